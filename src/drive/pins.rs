//! `kith pin`: content that stays on this machine whatever else needs room.
//!
//! What is pinned are objects; a directory stands for everything below it, now and later. A pass
//! walks through them, keeps their chunks from eviction, and fetches those that are not here.
//! It runs after changes, and again when something could not be had.

use super::api::{Error, Ino, Result};
use super::shared::{Shared, index_error};
use crate::content::{ChunkRef, Content, Nodes, Ref};
use crate::keys::{ChunkId, decode_canonical, encode};
use crate::tree::{Inode, ObjectId};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Name of the file, and its longest content.
pub const PINS: &str = "pins";
const PINS_BYTES_MAX: usize = 1 << 20;
/// Places pinned; below each there may be any number of files.
const PINS_MAX: usize = 4096;
/// Changes gather for so long before a pass, after which it rests this many times its own length,
/// and at most so long.
const GATHER: Duration = Duration::from_secs(2);
const REST: u32 = 20;
const REST_MAX: Duration = Duration::from_secs(60);
/// What could not be had is tried for again after this.
const AGAIN: Duration = Duration::from_secs(30);
/// Fetches that fail in one pass before it fetches no more: each may take a read's deadline.
const FAILURES_MAX: u32 = 64;
/// Directory entries looked at at once.
const PAGE: usize = 256;

/// What is pinned, and what came of it.
#[derive(Default)]
pub struct Pins {
    objects: BTreeSet<ObjectId>,
    /// Chunks kept from eviction by the passes so far.
    held: BTreeSet<ChunkId>,
    reports: Vec<PinReport>,
}

impl Pins {
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }
}

/// One pinned place, as the last pass found it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PinReport {
    pub object: ObjectId,
    /// A pass looked since it was pinned, or since the start; else nothing below is known.
    pub looked: bool,
    /// Of the place, `/` between names; empty for the root, None when it is gone.
    pub path: Option<String>,
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Files of which something is not on this machine yet.
    pub missing: u64,
    /// Why, of one of them.
    pub why: Option<String>,
}

/// What came of taking a pin away.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unpin {
    /// About so many bytes of this machine's disk.
    Freed(u64),
    /// It is pinned as part of this place.
    PinnedAbove(String),
}

impl Pins {
    /// From the file's content; None when it is not what is written there.
    pub fn decode(bytes: &[u8]) -> Option<Pins> {
        let objects: Vec<ObjectId> = decode_canonical(bytes, PINS_BYTES_MAX).ok()?;
        Some(Pins { objects: objects.into_iter().collect(), ..Pins::default() })
    }
    fn encode(&self) -> Vec<u8> {
        encode(&self.objects.iter().copied().collect::<Vec<_>>())
    }
    /// Whether a chunk is kept by a pin.
    pub fn holds(&self, id: &ChunkId) -> bool {
        self.held.contains(id)
    }
}

/// What a walk does with every chunk of every file.
enum Walk<'a> {
    /// Keep it, fetch it if it is not here; the chunks seen are collected.
    Keep { wanted: &'a mut BTreeSet<ChunkId>, failures: u32 },
    /// Let it go if friends keep it well and nothing pins it.
    Free { under_way: &'a BTreeSet<ChunkId> },
}

impl Shared {
    /// Pins a place from now on: it is on the disk when this returns, its content later.
    pub async fn pin(&self, ino: Ino) -> Result<()> {
        let object = self.object(ino)?;
        {
            let mut pins = self.pins.lock();
            if pins.objects.len() >= PINS_MAX && !pins.objects.contains(&object) {
                return Err(Error::NoSpace);
            }
            pins.objects.insert(object);
            // What an earlier pass found is no answer to whoever asks now.
            pins.reports.retain(|report| report.object != object);
        }
        self.save_pins().await?;
        self.pins_wake.notify_one();
        Ok(())
    }

    /// Takes the pins at and below a place away, and frees what of its content friends keep
    /// safely and no other pin keeps.
    pub async fn unpin(self: &Arc<Self>, ino: Ino) -> Result<Unpin> {
        let object = self.object(ino)?;
        let pinned: Vec<ObjectId> = self.pins.lock().objects.iter().copied().collect();
        let (below, others): (Vec<_>, Vec<_>) = pinned.into_iter().partition(|o| self.is_below(*o, object));
        if let Some(above) = others.iter().find(|o| self.is_below(object, **o)) {
            let path = self.path_of(*above).unwrap_or_default();
            return Ok(Unpin::PinnedAbove(if path.is_empty() { "the whole drive".into() } else { path }));
        }
        below.iter().for_each(|o| {
            self.pins.lock().objects.remove(o);
        });
        self.save_pins().await?;
        let _turn = self.pins_turn.lock().await;
        let kept = || self.own.used().1 + self.cache.used().1;
        let before = kept();
        self.pass().await;
        let under_way = self.uploads.lock().needed_chunks();
        let mut report = PinReport::new(object);
        self.walk_below(object, &mut report, &mut Walk::Free { under_way: &under_way }).await;
        Ok(Unpin::Freed(before.saturating_sub(kept())))
    }

    /// All that is pinned, as the last pass found it.
    pub fn pin_reports(&self) -> Vec<PinReport> {
        let (mut reports, objects) = {
            let pins = self.pins.lock();
            (pins.reports.clone(), pins.objects.clone())
        };
        for object in objects {
            if !reports.iter().any(|report| report.object == object) {
                let path = self.path_of(object);
                reports.push(PinReport { looked: false, path, ..PinReport::new(object) });
            }
        }
        reports
    }

    async fn save_pins(&self) -> Result<()> {
        // What is written is what is known when the turn comes: a later writer never loses.
        let _one_at_a_time = self.pins_saving.lock().await;
        let bytes = self.pins.lock().encode();
        self.pins_file.store(&bytes).await.map(|_| ()).map_err(|e| self.fail(&e))
    }

    /// Passes over what is pinned, for ever.
    pub async fn pins_loop(self: Arc<Self>) {
        let mut progress = self.progress.subscribe();
        loop {
            let begun = Instant::now();
            let all_there = {
                let _turn = self.pins_turn.lock().await;
                self.pass().await
            };
            let rest = (begun.elapsed() * REST).clamp(GATHER, REST_MAX);
            let idle = self.pins.lock().objects.is_empty();
            tokio::select! { biased;
                () = self.pins_wake.notified() => {}
                changed = async {
                    tokio::time::sleep(rest).await;
                    progress.changed().await
                }, if !idle => if changed.is_err() { return },
                () = tokio::time::sleep(AGAIN.max(rest)), if !all_there => {}
            }
        }
    }

    /// Looks through everything that is pinned and fetches what is not here; whether all of it is.
    async fn pass(self: &Arc<Self>) -> bool {
        let objects: Vec<ObjectId> = self.pins.lock().objects.iter().copied().collect();
        let (mut wanted, mut reports) = (BTreeSet::new(), Vec::new());
        let mut walk = Walk::Keep { wanted: &mut wanted, failures: 0 };
        for object in objects {
            let mut report = PinReport::new(object);
            report.path = self.path_of(object);
            self.walk_below(object, &mut report, &mut walk).await;
            reports.push(report);
        }
        let all_there = reports.iter().all(|r| r.missing == 0);
        let gone: Vec<ChunkId> = {
            let mut pins = self.pins.lock();
            pins.reports = reports;
            // Behind what could not be read more may be wanted.
            let gone: Vec<ChunkId> = match all_there {
                true => pins.held.difference(&wanted).copied().collect(),
                false => Vec::new(),
            };
            gone.iter().for_each(|id| {
                pins.held.remove(id);
            });
            gone
        };
        for segments in [&self.own, &self.cache] {
            gone.iter().for_each(|id| segments.unpin(id));
            if !gone.is_empty()
                && let Err(e) = segments.evict().await
            {
                self.note(format!("what is pinned no more: {e}"));
            }
        }
        all_there
    }

    /// Does something with all files at and below an object.
    async fn walk_below(&self, object: ObjectId, report: &mut PinReport, walk: &mut Walk<'_>) {
        let mut rest = vec![object];
        while let Some(at) = rest.pop() {
            let found = self.view().inode(at);
            match found {
                Ok(Some(inode)) if inode.is_dir() => match self.children_of(at) {
                    Ok(children) => rest.extend(children),
                    Err(e) => report.miss(&e),
                },
                Ok(Some(inode)) if inode.is_file() && inode.is_live() => {
                    report.files += 1;
                    report.bytes += inode.size;
                    if let Err(e) = self.walk_file(&inode, walk).await {
                        report.miss(&e);
                    }
                }
                Ok(_) => {}
                Err(e) => report.miss(&index_error(e)),
            }
        }
    }

    fn children_of(&self, dir: ObjectId) -> Result<Vec<ObjectId>> {
        let (mut out, mut after) = (Vec::new(), None);
        loop {
            let page = self.view().children(dir, after, PAGE).map_err(index_error)?;
            let last = page.len() < PAGE;
            after = page.last().map(|c| c.cursor).or(after);
            out.extend(page.into_iter().map(|c| c.inode.object));
            if last {
                return Ok(out);
            }
        }
    }

    /// Does something with the chunks of a file, those of its content tree's nodes too. Goes on
    /// behind an error; answers the first.
    async fn walk_file(&self, inode: &Inode, walk: &mut Walk<'_>) -> Result<()> {
        let content = self.view().content(inode.object).map_err(index_error)?;
        let Content::Tree { depth, refs, .. } = content else { return Ok(()) };
        let mut rest: Vec<(u8, Ref)> = refs.into_iter().rev().map(|r| (depth, r)).collect();
        let mut outcome = Ok(());
        while let Some((depth, reference)) = rest.pop() {
            let Ref::Chunk(chunk) = reference else { continue };
            let mut done = Ok(());
            if depth > 0 {
                match self.open_node(&chunk).await {
                    Ok(children) => rest.extend(children.into_iter().rev().map(|r| (depth - 1, r))),
                    Err(e) => done = Err(e),
                }
            }
            // Behind a failure the rest of a file is only kept, and comes with the next pass.
            let so_far = outcome.is_ok() && done.is_ok();
            done = done.and(self.visit(&chunk, walk, so_far).await);
            outcome = outcome.and(done);
        }
        outcome
    }

    async fn open_node(&self, chunk: &ChunkRef) -> Result<Vec<Ref>> {
        let plain = self.read_chunk(chunk, 0, chunk.len, true).await?;
        let mut nodes = Nodes::new();
        nodes.insert(chunk, &plain).map_err(|e| Error::Unreadable(e.to_string()))?;
        Ok(nodes.children(&chunk.id).map(<[Ref]>::to_vec).unwrap_or_default())
    }

    async fn visit(&self, chunk: &ChunkRef, walk: &mut Walk<'_>, fetch: bool) -> Result<()> {
        let id = chunk.id;
        match walk {
            Walk::Keep { wanted, failures } => {
                if wanted.insert(id) && self.pins.lock().held.insert(id) {
                    self.own.pin(&id);
                    self.cache.pin(&id);
                }
                if self.is_here(&id) {
                    return Ok(());
                }
                if !fetch || *failures >= FAILURES_MAX {
                    return Err(Error::Unreadable("not fetched yet, since other parts could not be".into()));
                }
                let brought = self.bring(chunk).await;
                let kept = brought.and(if self.is_here(&id) { Ok(()) } else { Err(Error::NoSpace) });
                *failures += u32::from(kept.is_err());
                kept
            }
            Walk::Free { under_way } => {
                if self.pins.lock().holds(&id) || under_way.contains(&id) || !self.kept_by_friends(&id) {
                    return Ok(());
                }
                for segments in [&self.own, &self.cache] {
                    segments.free(&id).await.map_err(|e| Error::Internal(e.to_string()))?;
                }
                Ok(())
            }
        }
    }

    fn is_here(&self, id: &ChunkId) -> bool {
        self.own.place(id).is_some() || self.cache.place(id).is_some()
    }
}

impl PinReport {
    fn new(object: ObjectId) -> PinReport {
        PinReport { object, looked: true, path: None, files: 0, bytes: 0, missing: 0, why: None }
    }
    fn miss(&mut self, why: &Error) {
        self.missing += 1;
        self.why.get_or_insert_with(|| why.to_string());
    }
}
