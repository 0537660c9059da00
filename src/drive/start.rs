//! Opening a drive: what this machine's disk says of it.

use super::access::next_key;
use super::api::Invalidation;
use super::chunks::PageCache;
use super::live::Live;
use super::lost::{LOST, LostShares};
use super::past::Past;
use super::pending::PendingOps;
use super::pins::{PINS, Pins};
use super::rebuild::{Rebuild, restore_operations};
use super::replay::Replay;
use super::setup::{DriveSetup, OpenError};
use super::shared::{Core, SealJob, Shared};
use super::uploads::PackState;
use crate::grid::Level;
use crate::keys::{AdminLog, DriveId, Signed, decode_canonical};
use crate::store::{
    Before, EntryLog, Journal, JournalOptions, SealedFile, Segments, SegmentsOptions, StoreError, Work,
};
use crate::tree::{Change, Fold, ObjectId};
use crate::world::{Blocking, Found, World};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{mpsc, watch};

/// Own chunks that are safe elsewhere are kept up to this.
const OWN_KEPT: u64 = 2 << 30;
const ADMIN_MAX: usize = 64 << 20;
/// With less on the disk room is made for the start.
const START_ROOM: u64 = 32 << 20;

/// On a full disk: the journal's reserve goes, then what was fetched, unless some of it is pinned. What
/// finds no room then says so itself.
async fn make_room_to_start(world: &World, state: &Path, cache: &Segments, pinned: bool) {
    let room = START_ROOM.max(world.indexes.room_to_open(&state.join("index")));
    let full = async || {
        let (disk, path) = (world.disk.clone(), state.to_path_buf());
        let space = world.blocking(move || disk.space(&path)).await.and_then(|space| space);
        space.is_ok_and(|space| space.free < room)
    };
    let told = |e: StoreError| tracing::warn!("making room to start: {e}");
    if full().await {
        Journal::give_reserve(world, &state.join("journal")).await.unwrap_or_else(told);
    }
    if !pinned && full().await {
        let _ = cache.make_room(room).await.map_err(told);
    }
}

/// A drive's parts, and the ends of its queues.
type Started = (Arc<Shared>, mpsc::UnboundedReceiver<SealJob>, mpsc::UnboundedReceiver<Invalidation>);

pub async fn start(setup: DriveSetup) -> std::result::Result<Started, OpenError> {
    let DriveSetup { world, places, keys, writer, local, admin, account, label, grid, options } =
        setup.clone();
    let (drive, log) = (keys.drive(), setup.log());
    let (state, cache_dir) = (places.state.clone(), places.cache.clone());
    for dir in [&state, &cache_dir] {
        let (disk, path) = (world.disk.clone(), dir.clone());
        let made = world.blocking(move || disk.create_dir_all(&path)).await.and_then(|r| r);
        made.map_err(|error| OpenError::Disk { path: dir.clone(), error })?;
    }
    let admin_file = SealedFile::new(&world, &state, "admin", Some(&local));
    let admin = load_admin(&admin_file, &drive, &admin).await?;
    let lost_file = SealedFile::new(&world, &state, LOST, Some(&local));
    let lost = match lost_file.load().await? {
        Some(stored) => LostShares::decode(&stored.bytes),
        None => Some(LostShares::default()),
    };
    let lost_unread = lost.is_none();
    let pins_file = SealedFile::new(&world, &state, PINS, Some(&local));
    let pins = match pins_file.load().await {
        Ok(Some(stored)) => Pins::decode(&stored.bytes),
        Ok(None) => Some(Pins::default()),
        Err(StoreError::Damaged(_)) => None,
        Err(e) => return Err(e.into()),
    };
    let pins_unread = pins.is_none();
    let own_options = SegmentsOptions::own(OWN_KEPT);
    let own = Segments::open(&world, &state.join("own"), &local, own_options).await?;
    let cache_options = SegmentsOptions::cache(options.cache_disk);
    let cache = Segments::open(&world, &cache_dir.join("chunks"), &local, cache_options).await?;
    let pinned = pins_unread || pins.as_ref().is_some_and(|pins| !pins.is_empty());
    make_room_to_start(&world, &state, &cache, pinned).await;
    let opened = {
        let (indexes, dir) = (world.indexes.clone(), state.join("index"));
        let key = *local.expose();
        let opened = world.blocking(move || indexes.open(&dir, &key)).await;
        opened.map_err(|error| OpenError::Disk { path: state.join("index"), error })??
    };
    let index = opened.index;
    let mut fold = Fold::open(&*index, log, &label).map_err(|e| OpenError::Tree(e.to_string()))?;
    fold.set_now(world.clock.now_ns());
    let rebuild = Rebuild::new(index.clone(), fold, keys.clone(), opened.found);
    let entries_dir = state.join("entries");
    let skim = opened.found == Found::All;
    let entries =
        EntryLog::open(&world, &entries_dir, &drive, &local, skim, rebuild, |r, _, bytes| r.entry(bytes))
            .await?;
    let (entry_log, damage) = (entries.log, entries.damage);
    let rebuilt = entries.state.finish().map_err(OpenError::Tree)?;
    let journal = Journal::open(
        &world,
        &state.join("journal"),
        &local,
        journal_options(world.blocking, &options),
        Replay::new(rebuilt.wanted(opened.found)),
        |replay, record| replay.record(record),
    )
    .await?;
    let mut replay = journal.state;
    let stored = index.get(&next_key())?.and_then(|b| b.try_into().ok()).map_or(1, u64::from_le_bytes);
    let published = rebuilt.published.last().map_or(1, |n| n + 1);
    let next_n = stored.max(published).max(replay.next_n).max(rebuilt.fold.next_number());
    let core = Core {
        fold: rebuilt.fold,
        next_n,
        pending: PendingOps::new(log),
        drafted: BTreeSet::new(),
        gone: BTreeSet::new(),
    };
    let (sealer, jobs) = mpsc::unbounded_channel();
    let (invalidations, news) = mpsc::unbounded_channel();
    let shared = Arc::new(Shared {
        drive,
        keys: parking_lot::RwLock::new(Arc::new(keys)),
        writer,
        account,
        log,
        admin: Mutex::new(admin),
        grid,
        index,
        core: Mutex::new(core),
        journal: journal.journal,
        entries: entry_log,
        own,
        naming: Default::default(),
        own_changed: AtomicBool::new(true),
        ending: Default::default(),
        full: Default::default(),
        short: Default::default(),
        unnamed: Mutex::default(),
        cache,
        lives: Mutex::default(),
        pages: Mutex::new(PageCache::new(options.page_memory)),
        unreachable: Mutex::default(),
        fetching: Mutex::default(),
        dirty_bytes: Default::default(),
        room: Default::default(),
        pressure: Default::default(),
        sealer,
        settle_wake: Default::default(),
        dir_times: Mutex::default(),
        settles: Default::default(),
        uploads: Mutex::default(),
        pack_wake: Default::default(),
        publish_wake: Default::default(),
        publishing: Mutex::default(),
        unknown: Mutex::default(),
        turned_away: AtomicBool::new(false),
        invalidations,
        epochs: Mutex::default(),
        failed: Mutex::default(),
        forked: Default::default(),
        notes: Mutex::default(),
        progress: watch::Sender::new(0),
        admin_file,
        admin_changed: watch::Sender::new(0),
        lost: Mutex::new(lost.unwrap_or_default()),
        lost_file,
        lost_saving: Default::default(),
        lost_wake: Default::default(),
        pins: Mutex::new(pins.unwrap_or_default()),
        pins_file,
        pins_saving: Default::default(),
        pins_turn: Default::default(),
        pins_wake: Default::default(),
        repairing: Default::default(),
        closing: watch::Sender::new(false),
        past: Past::default(),
        index_behind: AtomicBool::new(false),
        admin_unsaved: AtomicBool::new(false),
        authoring: tokio::sync::Mutex::new(()),
        world,
        options,
    });
    let (own, sync) = (shared.own.clone(), shared.own.clone());
    let run = move || -> Work {
        let own = sync.clone();
        Box::pin(async move { own.sync().await })
    };
    shared.journal.precede(Before { ready: Box::new(move || own.is_synced()), run: Box::new(run) });
    for lost in journal.damage.iter().chain(&damage) {
        shared.note(format!("this machine's disk: {lost}"));
    }
    if lost_unread {
        shared.note("what friends have lost could not be read; audits will find it again".into());
    }
    if pins_unread {
        shared.note("which files are pinned could not be read: pin them again".into());
    }
    if rebuilt.refused > 0 || replay.malformed > 0 {
        shared.note(format!("{} records could not be read", rebuilt.refused + replay.malformed));
    }
    restore_operations(&shared, &mut replay, opened.found)?;
    restore_gone(&shared)?;
    restore_files(&shared, &mut replay).await?;
    restore_packs(&shared, &mut replay).await?;
    shared.doubt_entries(replay.entries_safe);
    Ok((shared, jobs, news))
}

fn journal_options(blocking: Blocking, options: &super::DriveOptions) -> JournalOptions {
    let mut out = JournalOptions {
        sync_after: options.journal_after,
        file_len: options.journal_file,
        max_len: options.journal_max,
        ..JournalOptions::default()
    };
    if blocking == Blocking::Inline {
        // In the village disks are memory: nothing is gained by writing files beforehand.
        (out.file_len, out.prewrite, out.reserve) = (out.file_len.min(4 << 20), false, 0);
    }
    out
}

/// The admin log: what was given, or what is kept here if that is longer.
async fn load_admin(
    file: &SealedFile,
    drive: &DriveId,
    given: &[Signed],
) -> std::result::Result<AdminLog, OpenError> {
    let wrong = |e: crate::keys::AdminError| OpenError::Admin(e.to_string());
    let kept: std::result::Result<Vec<Signed>, String> = match file.load().await {
        Ok(Some(stored)) => decode_canonical(&stored.bytes, ADMIN_MAX).map_err(|e| e.to_string()),
        Ok(None) => Err("there is none".into()),
        Err(StoreError::Damaged(damage)) => Err(damage.to_string()),
        Err(e) => return Err(e.into()),
    };
    let kept = match kept {
        Ok(kept) => kept,
        Err(why) if given.is_empty() => return Err(OpenError::AdminLost(why)),
        Err(_) => Vec::new(),
    };
    let longer = if kept.len() > given.len() { &kept } else { given };
    let log = AdminLog::load(drive, longer).map_err(wrong)?;
    if kept.len() < given.len() {
        file.store(&crate::keys::encode(&given.to_vec())).await?;
    }
    Ok(log)
}

/// Objects that came and went before the last end, too late to be taken back.
fn restore_gone(shared: &Shared) -> std::result::Result<(), OpenError> {
    let mut core = shared.core.lock();
    let made = core.pending.all().filter(|p| matches!(p.op.change, Change::Create { .. }));
    let made: Vec<ObjectId> = made.map(|p| ObjectId { log: shared.log, n: p.op.n }).collect();
    for object in made {
        if shared.view().inode(object)?.is_some_and(|inode| !inode.is_live()) {
            core.gone.insert(object);
        }
    }
    Ok(())
}

/// Files that differ from their content.
async fn restore_files(shared: &Shared, replay: &mut Replay) -> std::result::Result<(), OpenError> {
    let now = shared.world.clock.monotonic();
    for (object, file) in replay.take_files(&shared.own, |id| shared.is_placed(id)).await {
        let Some(inode) = shared.view().inode(object)? else { continue };
        if !inode.is_live() {
            continue;
        }
        if file.broken {
            let name = shared.path_of(object).unwrap_or_else(|| "a file".into());
            shared.note(format!(
                "{name}: its last changes did not all reach this machine's disk; it is as it was before them"
            ));
        }
        let live = Live::new(inode.ino, inode.object, file.base.version, file.base.content);
        {
            let mut state = live.state.lock();
            state.mtime = file.mtime;
            state.base_journaled = !file.broken;
            (state.first_write, state.last_write) = (now, now);
            shared.dirty_bytes.fetch_add(file.dirty.buffered, Ordering::Relaxed);
            let dirty = state.dirty.insert(file.dirty);
            if file.broken {
                dirty.forget_journal();
            }
        }
        shared.lives.lock().inodes.insert(inode.ino, Arc::new(live));
    }
    Ok(())
}

/// Packs under way, and chunks that wait for one.
async fn restore_packs(shared: &Shared, replay: &mut Replay) -> std::result::Result<(), OpenError> {
    let view = shared.view();
    let mut published = Vec::new();
    for (id, (intent, placed)) in std::mem::take(&mut replay.packs) {
        let mut pack = PackState::new(intent);
        pack.placed = placed;
        pack.told = !view.packed(&id)?.is_empty();
        pack.bytes = pack.intent.len;
        if let Some(record) = view.pack(&id)? {
            pack.catalogued = record.shares.len();
            for share in record.shares {
                if !pack.placed.iter().any(|p| p.number == share.number) {
                    pack.placed.push(share);
                }
            }
            pack.catalogued_level = Level::of(pack.intent.coding, pack.catalogued);
        }
        if pack.level() >= Level::Published {
            published.push(id);
        }
        shared.uploads.lock().add_pack(pack);
    }
    let core = shared.core.lock();
    let mut uploads = shared.uploads.lock();
    for pending in core.pending.all() {
        let n = &pending.op.n;
        uploads.need(*n, &pending.chunks, |id| shared.is_placed(id));
        if let Change::SetContent { object, .. } = &pending.op.change {
            uploads.for_object(*n, *object);
        }
    }
    for id in published {
        uploads.published(&id);
    }
    Ok(())
}
