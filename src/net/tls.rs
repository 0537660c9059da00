//! The TLS side: raw Ed25519 public keys both ways (RFC 7250), pinned; no certificates,
//! no names, no resumption (a resumed session would not ask who is there).

use super::NetError;
use super::service::{Admission, Policy};
use crate::keys::{DeviceKeys, NodeId, node_of_spki, spki, verify_tls};
use crate::wire::ALPN;
use rustls::client::AlwaysResolvesClientRawPublicKeys;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, SignatureScheme};
use std::sync::Arc;

/// The proved identity at the other end of a connection.
pub(super) fn peer_of(connection: &quinn::Connection) -> Option<NodeId> {
    let identity = connection.peer_identity()?;
    let certs = identity.downcast_ref::<Vec<CertificateDer<'static>>>()?;
    node_of_spki(certs.first()?).ok()
}

/// This node's TLS identity.
pub(super) struct Identity {
    pub node: NodeId,
    key: Arc<CertifiedKey>,
    provider: Arc<CryptoProvider>,
}

impl Identity {
    pub fn new(device: &DeviceKeys) -> Result<Identity, NetError> {
        let mut provider = rustls::crypto::ring::default_provider();
        provider.kx_groups = vec![rustls::crypto::ring::kx_group::X25519];
        let pkcs8 = PrivatePkcs8KeyDer::from(device.tls_pkcs8().to_vec());
        let key = provider
            .key_provider
            .load_private_key(PrivateKeyDer::Pkcs8(pkcs8))
            .map_err(|e| NetError::Key(e.to_string()))?;
        let node = device.node();
        let key = Arc::new(CertifiedKey::new(vec![CertificateDer::from(spki(&node).to_vec())], key));
        Ok(Identity { node, key, provider: Arc::new(provider) })
    }

    /// For calls to `pin` and nobody else.
    pub fn client(&self, pin: NodeId) -> Result<rustls::ClientConfig, NetError> {
        let verifier = Arc::new(Verifier { who: Who::Pinned(pin) });
        let mut config = rustls::ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|e| NetError::Key(e.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(self.key.clone())));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = rustls::client::Resumption::disabled();
        config.enable_sni = false;
        Ok(config)
    }

    /// For calls from whom the policy admits.
    pub fn server(&self, policy: Arc<dyn Policy>) -> Result<rustls::ServerConfig, NetError> {
        let verifier = Arc::new(Verifier { who: Who::Admitted(policy) });
        let mut config = rustls::ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|e| NetError::Key(e.to_string()))?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(self.key.clone())));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        config.max_early_data_size = 0;
        Ok(config)
    }
}

enum Who {
    Pinned(NodeId),
    Admitted(Arc<dyn Policy>),
}

/// Accepts one raw key, or those the policy admits; then the handshake's signature decides.
struct Verifier {
    who: Who,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifier")
    }
}

impl Verifier {
    fn accept(&self, spki: &[u8], intermediates: &[CertificateDer<'_>]) -> Result<(), rustls::Error> {
        let node = node_of_spki(spki).map_err(|_| CertificateError::BadEncoding)?;
        let good = match &self.who {
            Who::Pinned(pin) => node == *pin,
            Who::Admitted(policy) => policy.admit(&node) != Admission::Refuse,
        };
        if good && intermediates.is_empty() {
            return Ok(());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    /// Strict (`keys`), unlike the provider's own.
    fn signature(
        message: &[u8],
        spki: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let node = node_of_spki(spki).map_err(|_| CertificateError::BadEncoding)?;
        if dss.scheme != SignatureScheme::ED25519 || verify_tls(&node, message, dss.signature()).is_err() {
            return Err(CertificateError::BadSignature.into());
        }
        Ok(HandshakeSignatureValid::assertion())
    }

    fn never() -> rustls::Error {
        rustls::Error::General("TLS 1.2 is not spoken".into())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.accept(end_entity, intermediates).map(|()| ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(Self::never())
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        spki: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Self::signature(message, spki, dss)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.accept(end_entity, intermediates).map(|()| ClientCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(Self::never())
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        spki: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Self::signature(message, spki, dss)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
