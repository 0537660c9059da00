//! Chains of grants: the holder's own grant first, then delegations that only narrow it.

use crate::keys::{Domain, Hash, NodeId, PersonId, Signed};
use crate::wire::{Day, Grant};

/// Longest chain: the holder's grant and three delegations.
pub const CHAIN_MAX: usize = 4;

/// Checks that a signature over `signed` was made for a person (its own key, or that of a
/// device it certified).
pub type VerifyFor<'a> = &'a dyn Fn(&PersonId, &Signed) -> bool;

/// Why a chain of grants is worth nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    #[error("no grant was shown")]
    Empty,
    #[error("the chain of grants is longer than {CHAIN_MAX}")]
    TooLong,
    #[error("a grant's bytes are not canonical")]
    Malformed,
    #[error("the first grant is not by the owner of this disk")]
    NotOurs,
    #[error("a grant's signature is wrong")]
    Signature,
    #[error("the first grant has a parent")]
    RootHasParent,
    #[error("a delegation does not name its parent's hash")]
    WrongParent,
    #[error("a delegation is not by the one it was granted to")]
    WrongIssuer,
    #[error("a grant that may not be delegated was delegated")]
    NotDelegable,
    #[error("a delegation widens its parent")]
    Widens,
    #[error("a grant is for another node's disk")]
    WrongHolder,
    #[error("a grant is not valid today")]
    NotToday,
    #[error("the last grant is for somebody else")]
    WrongSubject,
}

/// A chain whose every link was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The holder's own grant first, the account's last.
    pub grants: Vec<Grant>,
}

impl Chain {
    /// Who pays: every subject along the chain, the account last.
    pub fn path(&self) -> Vec<PersonId> {
        self.grants.iter().map(|g| g.subject).collect()
    }
    /// Bytes allowed at each link.
    pub fn limits(&self) -> Vec<u64> {
        self.grants.iter().map(|g| g.bytes).collect()
    }
    /// The grant the account uses.
    pub fn last(&self) -> Option<&Grant> {
        self.grants.last()
    }
}

/// The hash by which a delegation names its parent.
pub fn grant_hash(parent: &Signed) -> Hash {
    parent.hash()
}

/// The signature of a grant is its issuer's own.
pub fn signed_by_person(person: &PersonId, signed: &Signed) -> bool {
    signed.verify(Domain::Grant, &person.0).is_ok()
}

/// The grant in signed bytes, if they are canonical. The signature is not looked at.
pub fn decode_grant(signed: &Signed) -> Option<Grant> {
    signed.peek().ok()
}

/// Check a chain shown by `subject` at `holder`, whose disk belongs to `owner`.
pub fn verify_chain(
    chain: &[Signed],
    holder: &NodeId,
    owner: &PersonId,
    subject: &PersonId,
    today: Day,
    verify: VerifyFor<'_>,
) -> Result<Chain, ChainError> {
    if chain.is_empty() {
        return Err(ChainError::Empty);
    }
    if chain.len() > CHAIN_MAX {
        return Err(ChainError::TooLong);
    }
    let mut grants: Vec<Grant> = Vec::with_capacity(chain.len());
    for (i, signed) in chain.iter().enumerate() {
        let grant = decode_grant(signed).ok_or(ChainError::Malformed)?;
        match grants.last() {
            None => check_root(&grant, owner)?,
            Some(parent) => check_link(parent, &chain[i - 1], &grant)?,
        }
        if grant.holder.is_some_and(|h| h != *holder) {
            return Err(ChainError::WrongHolder);
        }
        if today < grant.not_before || grant.expires.is_some_and(|e| today >= e) {
            return Err(ChainError::NotToday);
        }
        if !verify(&grant.issuer, signed) {
            return Err(ChainError::Signature);
        }
        grants.push(grant);
    }
    match grants.last() {
        Some(last) if last.subject == *subject => Ok(Chain { grants }),
        _ => Err(ChainError::WrongSubject),
    }
}

fn check_root(grant: &Grant, owner: &PersonId) -> Result<(), ChainError> {
    if grant.issuer != *owner {
        return Err(ChainError::NotOurs);
    }
    if grant.parent.is_some() {
        return Err(ChainError::RootHasParent);
    }
    Ok(())
}

fn check_link(parent: &Grant, parent_signed: &Signed, child: &Grant) -> Result<(), ChainError> {
    if child.parent != Some(grant_hash(parent_signed)) {
        return Err(ChainError::WrongParent);
    }
    if child.issuer != parent.subject {
        return Err(ChainError::WrongIssuer);
    }
    if !parent.delegable {
        return Err(ChainError::NotDelegable);
    }
    if narrows(parent, child) { Ok(()) } else { Err(ChainError::Widens) }
}

/// True when `child` allows nothing that `parent` does not.
fn narrows(parent: &Grant, child: &Grant) -> bool {
    let expiry = match (parent.expires, child.expires) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(p), Some(c)) => c <= p,
    };
    expiry
        && child.bytes <= parent.bytes
        && child.egress_bytes_per_day <= parent.egress_bytes_per_day
        && child.not_before >= parent.not_before
        && child.retention_days <= parent.retention_days
        && child.rank <= parent.rank
        && child.obligation_bytes >= parent.obligation_bytes
        && child.regime == parent.regime
        && (parent.holder.is_none() || child.holder == parent.holder)
}
