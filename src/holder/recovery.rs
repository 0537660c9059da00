//! Recovery records: what friends need to come back with nothing but their words, sealed for
//! nobody but themselves.
//!
//! One for each person, in `recovery/<person>`, replaced whole. Whose it is, the generation and the
//! length are checked; what is in it nobody here can read. It is billed like a drive's logs.

use super::state::Event;
use super::{Caller, Holder};
use crate::keys::{DriveId, Hash, NodeId, PersonId, RecoveryRecord, Signed};
use crate::ledger::{Chain, Path as Payers};
use crate::store::SealedFile;
use crate::wire::{self, Reason, Response};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The directory below `places.lent`.
const DIR: &str = "recovery";

/// What is known of a record that is kept here.
#[derive(Clone)]
struct Kept {
    generation: u64,
    hash: Hash,
    door: NodeId,
    bytes: u64,
    payers: Payers,
}

/// All of them.
#[derive(Default)]
pub(super) struct Recoveries {
    kept: Mutex<BTreeMap<PersonId, Kept>>,
    /// One change at a time.
    changing: tokio::sync::Mutex<()>,
}

/// In the book a record stands beside the logs of drives, under a name that no drive has.
fn billed_as(person: &PersonId) -> DriveId {
    DriveId(person.0)
}

fn kept_as(record: &RecoveryRecord, signed: &Signed, payers: Payers) -> Kept {
    let bytes = (signed.bytes.len() + signed.signature.len()) as u64;
    Kept { generation: record.generation, hash: signed.hash(), door: record.door, bytes, payers }
}

impl Holder {
    /// Read at start what is kept. A record that is damaged is gone: its owner brings it again.
    pub(super) async fn open_recoveries(&self) {
        let known = self.state.lock().recoveries.clone();
        for (person, payers) in known {
            let Some(signed) = self.read_recovery(&person).await else { continue };
            let Ok(record) = RecoveryRecord::verify(&signed) else { continue };
            let kept = kept_as(&record, &signed, payers);
            self.state.lock().book.set_log_bytes(&kept.payers, billed_as(&person), kept.bytes);
            self.recoveries.kept.lock().insert(person, kept);
        }
    }

    fn recovery_file(&self, person: &PersonId) -> SealedFile {
        SealedFile::new(&self.world, &self.places.lent.join(DIR), &person.to_string(), None)
    }

    async fn read_recovery(&self, person: &PersonId) -> Option<Signed> {
        match self.recovery_file(person).load().await {
            Ok(stored) => wire::decode(&stored?.bytes).ok(),
            Err(e) => {
                tracing::warn!("the recovery record of {}: {e}", person.short());
                None
            }
        }
    }

    /// Whether a key is the door of somebody's record that is kept here.
    pub fn is_door(&self, node: &NodeId) -> bool {
        self.recoveries.kept.lock().values().any(|kept| kept.door == *node)
    }

    /// Whether a key is the door of this person's record.
    pub fn is_door_of(&self, node: &NodeId, person: &PersonId) -> bool {
        self.recoveries.kept.lock().get(person).is_some_and(|kept| kept.door == *node)
    }

    /// A person's record, for who has shown that it may have it.
    pub async fn recovery_of(&self, person: &PersonId) -> Response {
        let known = self.recoveries.kept.lock().contains_key(person);
        match if known { self.read_recovery(person).await } else { None } {
            Some(record) => Response::Recovery { record },
            None => self.refuse(Reason::NotFound, *person, "no recovery record of this person is kept here"),
        }
    }

    /// Keep a person's record in place of an older one.
    pub(super) async fn recovery_put(
        self: &Arc<Self>,
        caller: &Caller,
        signed: Signed,
        grants: &[Signed],
    ) -> Response {
        let account = caller.person.unwrap_or(self.options.owner);
        let record = match RecoveryRecord::verify(&signed) {
            Ok(record) => record,
            Err(e) => return self.refuse(Reason::BadEntry, account, e.to_string()),
        };
        if caller.person != Some(record.person) {
            return self.refuse(Reason::NotYours, account, "the recovery record is another person's");
        }
        let chain = match self.chain(account, grants) {
            Ok(chain) => chain,
            Err(refusal) => return *refusal,
        };
        let this = self.clone();
        // Begun is done, whether or not the caller stays.
        let done = tokio::spawn(async move { this.replace_recovery(account, &record, signed, chain).await });
        done.await.unwrap_or_else(|e| self.refuse(Reason::Internal, account, e.to_string()))
    }

    async fn replace_recovery(
        self: &Arc<Self>,
        person: PersonId,
        record: &RecoveryRecord,
        signed: Signed,
        chain: Chain,
    ) -> Response {
        let _one_at_a_time = self.recoveries.changing.lock().await;
        let known = self.recoveries.kept.lock().get(&person).cloned();
        let new = kept_as(record, &signed, chain.path());
        if let Some(known) = &known {
            if known.hash == new.hash && known.payers == new.payers {
                return Response::Done;
            }
            let same = known.generation == new.generation && known.hash != new.hash;
            if new.generation < known.generation || same {
                let (kept, brought) = (known.generation, new.generation);
                let detail = format!("generation {kept} is kept here, generation {brought} was brought");
                return self.refuse(Reason::StaleEpoch, person, detail);
            }
        }
        self.note_log_limits(&chain);
        let before = known.as_ref().filter(|k| k.payers == new.payers).map_or(0, |k| k.bytes);
        let held = match self.reserve_log(&new.payers, person, new.bytes.saturating_sub(before)).await {
            Ok(held) => held,
            Err(refusal) => return *refusal,
        };
        if let Err(why) = self.store_recovery(person, &signed, &new.payers).await {
            return self.refuse(Reason::Internal, person, why);
        }
        {
            let mut state = self.state.lock();
            if let Some(known) = &known {
                state.book.set_log_bytes(&known.payers, billed_as(&person), 0);
            }
            state.book.set_log_bytes(&new.payers, billed_as(&person), new.bytes);
        }
        self.recoveries.kept.lock().insert(person, new);
        drop(held);
        Response::Done
    }

    /// The bytes first: a record that is known and cannot be read is brought again.
    async fn store_recovery(&self, person: PersonId, signed: &Signed, payers: &Payers) -> Result<(), String> {
        let (disk, dir) = (self.world.disk.clone(), self.places.lent.join(DIR));
        let made = self.world.blocking(move || disk.create_dir_all(&dir)).await;
        made.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
        let file = self.recovery_file(&person);
        // What is there may be damaged; then it is begun anew.
        if let Err(e) = file.load().await {
            tracing::warn!("the recovery record of {}: {e}", person.short());
        }
        file.store(&wire::encode(signed)).await.map_err(|e| e.to_string())?;
        let told = self.state.lock().recoveries.get(&person) == Some(payers);
        if !told {
            let event = Event::Recovery { person, payers: payers.clone() };
            let ticket = self.state.lock().record(&self.log, event);
            ticket.durable().await.map_err(|e| e.to_string())?;
        }
        Ok(())
    }
}
