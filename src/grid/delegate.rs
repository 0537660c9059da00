//! Passing on what was granted: who writes in a drive of this person may use the friends that
//! keep it, whoever of them came first.

use super::GridError;
use super::roster::{Roster, known_grant, open_grant};
use crate::keys::{NodeId, PersonId, Signed};
use crate::ledger::{CHAIN_MAX, grant_hash, signed_by_person, verify_chain};
use crate::wire::{GRANTS_MAX, Grant, Reason, Request, Response};
use std::collections::{BTreeMap, BTreeSet};

impl Roster {
    /// Who else writes in drives of this person: each is given a part in all that friends grant,
    /// now and whenever a friend grants something.
    pub fn set_guests(&self, guests: BTreeSet<PersonId>) {
        let before = std::mem::replace(&mut *self.guests.lock(), guests.clone());
        if before != guests {
            self.tell();
        }
    }

    /// For a guest, the grants that let it use other friends' disks, in messages of whole chains.
    pub(super) fn for_guest(&self, person: &PersonId, node: &NodeId) -> Result<Vec<Vec<Signed>>, GridError> {
        if !self.guests.lock().contains(person) {
            return Ok(Vec::new());
        }
        let mut messages: Vec<Vec<Signed>> = Vec::new();
        for chain in self.delegate_all(*person, node)? {
            match messages.last_mut().filter(|m| m.len() + chain.len() <= GRANTS_MAX) {
                Some(message) => message.extend(chain),
                None => messages.push(chain),
            }
        }
        Ok(messages)
    }

    /// For another person, a narrower grant below each chain this person holds and may
    /// delegate. What is made anew from the same grant is the same, byte for byte.
    pub(super) fn delegate_all(
        &self,
        subject: PersonId,
        except: &NodeId,
    ) -> Result<Vec<Vec<Signed>>, GridError> {
        let mut out = Vec::new();
        for (holder, mut chain) in self.held() {
            let Some((parent, grant)) = chain.last().and_then(|s| known_grant(s).map(|g| (s, g))) else {
                continue;
            };
            let circular = chain.iter().filter_map(known_grant).any(|g| g.issuer == subject);
            if holder == *except || circular || !grant.delegable || chain.len() >= CHAIN_MAX {
                continue;
            }
            // With the parent's serial, so that it takes the place of one below an earlier parent.
            let narrower = Grant {
                issuer: self.me().person,
                subject,
                holder: Some(holder),
                parent: Some(grant_hash(parent)),
                ..grant
            };
            chain.push(self.sign_grant(&narrower)?);
            out.push(chain);
        }
        Ok(out)
    }

    /// Chains somebody passes on: kept where they are sound, for this person, and their last
    /// link is the sender's. Answers how many.
    pub(super) async fn take_chains(&self, from: &NodeId, grants: &[Signed]) -> Result<usize, GridError> {
        let sender = self.member(from).map(|m| m.person);
        let mine = self.me().person;
        let mut taken = 0;
        for (holder, chain) in chains(grants, |subject| *subject == mine) {
            let owner = self.member(&holder).map(|m| m.person);
            let issuer = chain.last().and_then(open_grant).map(|g| g.issuer);
            let (Some(owner), true) = (owner, issuer.is_some() && issuer == sender) else { continue };
            let sound = verify_chain(&chain, &holder, &owner, &mine, self.today(), &signed_by_person);
            if sound.is_ok() {
                self.keep_chain(holder, chain).await?;
                taken += 1;
            }
        }
        Ok(taken)
    }

    /// Answers what friends say of themselves and what they grant; other requests come back.
    pub async fn answer(&self, from: &NodeId, request: Request) -> Result<Response, Box<Request>> {
        let person = self.member(from).map(|m| m.person);
        Ok(match request {
            Request::Roster { records, revocations } => {
                self.take_roster(from, &records, &revocations).await;
                Response::Roster { records: self.records(), revocations: self.revocations() }
            }
            Request::GrantGive { grant } => match self.take_grant(from, &grant).await {
                Ok(()) => Response::Done,
                Err(e) => self.refusal(Reason::NoGrant, person, &e.to_string()),
            },
            Request::GrantChain { grants } => match self.take_chains(from, &grants).await {
                Ok(taken) if taken > 0 => Response::Done,
                Ok(_) => self.refusal(Reason::NoGrant, person, "no chain in it is sound and for this person"),
                Err(e) => self.refusal(Reason::Internal, person, &e.to_string()),
            },
            other => return Err(Box::new(other)),
        })
    }
}

/// From a heap of grants, for each holder the chain whose last grant is for `mine`.
pub(super) fn chains(grants: &[Signed], mine: impl Fn(&PersonId) -> bool) -> Vec<(NodeId, Vec<Signed>)> {
    let by_hash: BTreeMap<_, &Signed> = grants.iter().map(|g| (grant_hash(g), g)).collect();
    let mut out = Vec::new();
    for signed in grants {
        let Some(last) = open_grant(signed).filter(|g| mine(&g.subject)) else { continue };
        let Some(holder) = last.holder else { continue };
        let (mut chain, mut parent) = (vec![signed.clone()], last.parent);
        while let Some(link) = parent.and_then(|hash| by_hash.get(&hash)) {
            chain.push((*link).clone());
            parent = open_grant(link).and_then(|g| g.parent);
            if chain.len() > CHAIN_MAX {
                break;
            }
        }
        if parent.is_none() && chain.len() <= CHAIN_MAX {
            chain.reverse();
            out.push((holder, chain));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{PersonKey, Seed};
    use crate::wire::{Grant, Regime};

    fn grant(issuer: &PersonKey, subject: &PersonKey, parent: Option<&Signed>) -> Signed {
        let grant = Grant {
            issuer: issuer.id(),
            subject: subject.id(),
            holder: Some(NodeId([7; 32])),
            regime: Regime::Friends,
            bytes: 1,
            egress_bytes_per_day: 1,
            not_before: 0,
            expires: None,
            retention_days: 0,
            rank: 0,
            obligation_bytes: 0,
            delegable: true,
            parent: parent.map(grant_hash),
            serial: 1,
        };
        Signed::record(issuer.signing(), &grant)
    }

    #[test]
    fn chains_are_found_in_any_order_and_broken_ones_left_out() {
        let [owner, inviter, guest] = [1, 2, 3].map(|n| PersonKey::from_seed(&Seed::from_bytes([n; 32])));
        let root = grant(&owner, &inviter, None);
        let sub = grant(&inviter, &guest, Some(&root));
        let mine = |p: &crate::keys::PersonId| *p == guest.id();
        for heap in [vec![root.clone(), sub.clone()], vec![sub.clone(), root.clone()]] {
            assert_eq!(chains(&heap, mine), vec![(NodeId([7; 32]), vec![root.clone(), sub.clone()])]);
        }
        assert_eq!(chains(&[sub], mine), vec![], "its parent is missing");
    }
}
