//! Identities, capabilities, key derivation; one primitive per function.
//!
//! Pure: no I/O, no clock; randomness comes in as bytes.
#![forbid(unsafe_code)]

mod admin_author;
mod admin_error;
mod admin_log;
mod admin_record;
mod capability;
mod derive;
mod drive_keys;
mod enrol;
mod genesis;
mod identity;
mod ids;
mod keystore;
mod kit;
mod phrase;
mod recovery;
mod seal;
mod secret;
mod signed;
#[cfg(test)]
mod tests;
mod text;
mod wrap;
mod writer;

pub use admin_author::{AuthorError, UnlockError, found_drive};
pub use admin_error::{AdminError, AdminRule, AppendError};
pub use admin_log::{AdminHead, AdminLog, LogEnd, WriterState};
pub use admin_record::{
    ADMIN_LOG_MAX, ADMIN_RECORD_MAX, AdminChange, AdminRecord, EpochRecord, LastEntry, MEMBERS_MAX, Member,
    WRITERS_MAX, Wrap, Writer,
};
pub use capability::{CAPABILITY_MAX, CAPABILITY_SCHEME, Capability, CapabilityError};
pub use derive::{PURPOSES, Purpose, derive, derive_array, hash};
pub use drive_keys::{DriveKeys, LevelKey, NoKey, read_token_hash};
pub use enrol::{
    ENROLMENT_MAX, ENROLMENT_REPLY_MAX, Enrolment, EnrolmentError, EnrolmentReply, EnrolmentRequest,
    Invitation, WriterPart, failure_domain, household,
};
pub use genesis::{GENESIS_MAX, Genesis, GenesisError, NameError, Parameters, seal_name};
pub use identity::{
    CERTIFICATE_DAYS, CERTIFICATE_MAX, Certificate, CertificateError, Day, DeviceKeys, ExchangeKey,
    LABEL_MAX, PersonKey, Revocation, Revocations, SPKI_LEN, check_exchange_key, node_of_spki, spki,
    verify_tls,
};
pub use ids::{
    BadId, BadPower, ChunkId, DriveId, EntryHash, Epoch, Hash, LogId, NodeId, PackId, PersonId, Power,
    ShareId,
};
pub use keystore::{
    Argon2Cost, DriveSecrets, KEYSTORE_MAX, Keystore, KeystoreError, Lock, PersonSecrets, Sensitive, Unlock,
    WriterSecrets,
};
pub use kit::{KIT_FRIENDS_MAX, KIT_QR_FRIENDS, Kit, KitError, KitFriend};
pub use phrase::{PHRASE_TEXT_MAX, PHRASE_WORDS, PhraseError, phrase_of, phrase_words, root_of_phrase};
pub use recovery::{
    RECOVERY_RECORD_MAX, RECOVERY_SEALED_MAX, RecoveryContent, RecoveryDrive, RecoveryError, RecoveryRecord,
};
pub use seal::{KINDS, Kind, NONCE_LEN, OpenError, Position, SEAL_HEAD, Seal, SealKey, TAG_LEN};
pub use secret::{
    ChunkIdKey, ContentKey, EnrolmentSecret, EntryKey, FileKey, LocalKey, ReadKey, RepairKey, Seed,
    VerifyKey, ct_eq,
};
pub use signed::{
    DOMAINS, DecodeError, Domain, Record, Signed, SignedError, SigningKey, check_public_key,
    decode_canonical, decode_record, encode, encode_record, encode_secret, verify,
};
pub use text::{TEXT_CHECKSUM_LEN, TextError, decode_text, encode_text};
pub use writer::{WriterKey, log_id};
