//! Taking shares: received, hashed, synced, named, leased, and only then receipted.

use super::admission::Held;
use super::body::Body;
use super::records::RecordError;
use super::shares::{Arrived, ShareError, ShareFiles, ShareHead};
use super::state::Event;
use super::{Caller, Holder, RECEIVE_BUFFER};
use crate::keys::Signed;
use crate::ledger::{LeaseEvent, LeaseKey};
use crate::net::{Pace, TooSlow};
use crate::wire::{Lease, Reason, Receipt, Response};
use crate::world::World;
use bytes::Bytes;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{Mutex, oneshot};

/// Why a share was not taken.
enum PutError {
    Refused(Box<Response>),
    Wrong(Reason, String),
}

impl From<ShareError> for PutError {
    fn from(e: ShareError) -> PutError {
        PutError::Wrong(Reason::Internal, e.to_string())
    }
}
impl From<RecordError> for PutError {
    fn from(e: RecordError) -> PutError {
        PutError::Wrong(Reason::Internal, e.to_string())
    }
}
impl From<TooSlow> for PutError {
    fn from(e: TooSlow) -> PutError {
        PutError::Wrong(Reason::Busy, e.to_string())
    }
}
impl From<std::io::Error> for PutError {
    fn from(e: std::io::Error) -> PutError {
        PutError::Wrong(Reason::Internal, e.to_string())
    }
}

impl Holder {
    /// An offer is answered with a reservation before any byte is sent.
    pub(super) async fn offer(
        self: &Arc<Self>,
        caller: &Caller,
        lease: Lease,
        grants: &[Signed],
    ) -> Response {
        let account = lease.account;
        if caller.person != Some(account) {
            return self.refuse(Reason::NotYours, account, "the lease is for another account");
        }
        match self.reserve(&lease, grants, true).await {
            Ok(held) => {
                let now = self.world.now_ms();
                let expires_ms = now + super::admission::RESERVATION_TIME.as_millis() as u64;
                Response::Accept { reservation: held.stand(), bytes: lease.len, expires_ms }
            }
            Err(refusal) => *refusal,
        }
    }

    /// Take a share.
    pub(super) async fn put(
        self: &Arc<Self>,
        caller: &Caller,
        lease: Lease,
        grants: &[Signed],
        reservation: Option<[u8; 16]>,
        body: &mut dyn Body,
    ) -> Response {
        let account = lease.account;
        if caller.person != Some(account) {
            return self.refuse(Reason::NotYours, account, "the lease is for another account");
        }
        match self.try_put(lease, grants, reservation, body).await {
            Ok(receipt) => Response::Receipt { receipt: self.sign(&receipt) },
            Err(PutError::Refused(response)) => *response,
            Err(PutError::Wrong(reason, detail)) => {
                if reason == Reason::Internal {
                    tracing::error!(%detail, "a share could not be kept");
                }
                self.refuse(reason, account, detail)
            }
        }
    }

    async fn try_put(
        self: &Arc<Self>,
        lease: Lease,
        grants: &[Signed],
        reservation: Option<[u8; 16]>,
        body: &mut dyn Body,
    ) -> Result<Receipt, PutError> {
        let taken = reservation.and_then(|id| self.take_reservation(id, &lease));
        let held = match taken {
            Some(held) => held,
            None => self.reserve(&lease, grants, false).await.map_err(PutError::Refused)?,
        };
        let turn = self.puts.take(lease.account, 1).await;
        let _turn = turn.map_err(|e| PutError::Wrong(Reason::Busy, e.to_string()))?;
        let today = self.today();
        let generation = self.state.lock().take_generation();
        let regime_term = self.options.policy.term_friends;
        let head = ShareHead {
            until: today.saturating_add(u32::from(lease.term_days.min(regime_term))),
            lease,
            payers: held.payers.clone(),
            generation,
            since: today,
        };
        let arrived = self.receive(&head, body).await?;
        // From here on to the end, whether or not the caller is still there: a file that was
        // named always gets its lease.
        let this = self.clone();
        let kept = tokio::spawn(async move { this.keep(held, head, arrived).await }).await;
        kept.unwrap_or_else(|e| Err(PutError::Wrong(Reason::Internal, e.to_string())))
    }

    /// Receive exactly the bytes of the lease into a file and compare the root.
    async fn receive(&self, head: &ShareHead, body: &mut dyn Body) -> Result<Arrived, PutError> {
        let (files, len) = (self.files.clone(), head.lease.len);
        let incoming = self.world.blocking(move || files.begin(len)).await??;
        let guard = Discard { files: self.files.clone(), path: Some(incoming.path().to_path_buf()) };
        let mut incoming = incoming;
        let mut collected: Vec<Bytes> = Vec::new();
        let mut waiting = 0usize;
        // A share that arrives takes one of few places, and reserves room: not for ever.
        let mut pace = Pace::new();
        loop {
            let chunk = pace.step(body.chunk()).await?;
            let chunk = chunk.map_err(|e| PutError::Wrong(Reason::Malformed, e.to_string()))?;
            pace.moved(chunk.as_ref().map_or(0, Bytes::len));
            let ended = chunk.is_none();
            waiting += chunk.as_ref().map_or(0, Bytes::len);
            collected.extend(chunk);
            if incoming.len() + waiting as u64 > len {
                return Err(PutError::Wrong(Reason::WrongBytes, "more bytes than the lease says".into()));
            }
            if waiting >= RECEIVE_BUFFER || (ended && waiting > 0) {
                let batch = std::mem::take(&mut collected);
                waiting = 0;
                let written = self
                    .world
                    .blocking(move || batch.iter().try_for_each(|b| incoming.write(b)).map(|()| incoming));
                incoming = written.await??;
            }
            if ended {
                break;
            }
        }
        if incoming.len() != len {
            return Err(PutError::Wrong(Reason::WrongBytes, "fewer bytes than the lease says".into()));
        }
        let (copy, share) = (head.clone(), head.lease.share);
        let arrived = self.world.blocking(move || incoming.finish(&copy)).await??;
        if arrived.id != share {
            return Err(PutError::Wrong(
                Reason::WrongBytes,
                "the bytes do not have the root of the lease".into(),
            ));
        }
        guard.keep();
        Ok(arrived)
    }

    /// Name the file, record the lease, and only then say so.
    async fn keep(
        self: &Arc<Self>,
        held: Held,
        head: ShareHead,
        arrived: Arrived,
    ) -> Result<Receipt, PutError> {
        let key = (head.lease.account, head.lease.share);
        let lock = self.busy_lock(key);
        let busy = lock.lock().await;
        let done = self.keep_named(held, head, arrived).await;
        drop(busy);
        self.release_busy(&key, lock);
        done
    }

    /// Under the lock of the lease's file.
    async fn keep_named(
        self: &Arc<Self>,
        held: Held,
        head: ShareHead,
        arrived: Arrived,
    ) -> Result<Receipt, PutError> {
        let key = (head.lease.account, head.lease.share);
        self.publisher.publish(arrived.path, key).await?;
        let event = Event::Lease(LeaseEvent::Keep {
            lease: head.lease.clone(),
            path: head.payers.clone(),
            generation: head.generation,
            since: head.since,
            until: head.until,
        });
        let ticket = {
            let mut state = self.state.lock();
            state.reservations.remove(&held.id);
            state.forget_file(&key);
            let counters = state.counters.entry(key.0).or_default();
            counters.bytes_written = counters.bytes_written.saturating_add(head.lease.len);
            state.record(&self.log, event)
        };
        drop(held);
        ticket.durable().await?;
        Ok(Receipt {
            holder: self.options.node,
            account: key.0,
            share: key.1,
            len: head.lease.len,
            day: head.since,
            until: head.until,
            generation: head.generation,
            ledger_head: self.ledger_head(&key.0),
        })
    }

    /// The lock under which the file of a lease comes or goes.
    pub(super) fn busy_lock(&self, key: LeaseKey) -> Arc<Mutex<()>> {
        self.busy.lock().entry(key).or_default().clone()
    }

    /// Forget a lock nobody else waits for.
    pub(super) fn release_busy(&self, key: &LeaseKey, lock: Arc<Mutex<()>>) {
        let mut busy = self.busy.lock();
        // The table's and this one: nobody waits.
        if Arc::strong_count(&lock) <= 2 {
            busy.remove(key);
        }
    }
}

/// Removes a temporary file unless told otherwise.
struct Discard {
    files: Arc<ShareFiles>,
    path: Option<PathBuf>,
}

impl Discard {
    fn keep(mut self) {
        self.path = None;
    }
}

impl Drop for Discard {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            // An unlink; short enough for wherever this is dropped.
            self.files.discard(&path);
        }
    }
}

struct Naming {
    path: PathBuf,
    key: LeaseKey,
    done: oneshot::Sender<Result<(), String>>,
}

/// Names arrived shares in groups: all renames that wait, then one sync per directory.
pub(super) struct Publisher {
    world: World,
    files: Arc<ShareFiles>,
    queue: Arc<parking_lot::Mutex<Vec<Naming>>>,
    lead: Mutex<()>,
}

impl Publisher {
    pub(super) fn new(world: World, files: Arc<ShareFiles>) -> Publisher {
        Publisher { world, files, queue: Arc::default(), lead: Mutex::new(()) }
    }

    async fn publish(&self, path: PathBuf, key: LeaseKey) -> Result<(), PutError> {
        let (done, mut result) = oneshot::channel();
        self.queue.lock().push(Naming { path, key, done });
        {
            let _lead = self.lead.lock().await;
            if let Ok(done) = result.try_recv() {
                return done.map_err(|e| PutError::Wrong(Reason::Internal, e));
            }
            // Let those who are about to come into line do so.
            tokio::task::yield_now().await;
            let (files, queue) = (self.files.clone(), self.queue.clone());
            self.world.blocking(move || publish_all(&files, &queue)).await?;
        }
        let done = result.await.unwrap_or_else(|_| Err("the writer went away".into()));
        done.map_err(|e| PutError::Wrong(Reason::Internal, e))
    }
}

fn publish_all(files: &ShareFiles, queue: &parking_lot::Mutex<Vec<Naming>>) {
    let batch = std::mem::take(&mut *queue.lock());
    let names: Vec<_> = batch.iter().map(|n| (n.path.clone(), n.key)).collect();
    let result = files.publish(&names).map_err(|e| e.to_string());
    for naming in batch {
        // One who no longer waits left a file without a lease; the next start takes it up.
        let _ = naming.done.send(result.clone());
    }
}
