//! Sites that write one drive, and what their operations look like.

use crate::content::Content;
use crate::keys::{DriveId, EntryHash, Epoch, Hash, LogId};
use crate::tree::*;
use std::collections::{BTreeMap, BTreeSet};

/// splitmix64: small, seeded, good enough to choose test cases.
#[derive(Clone)]
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, n: usize) -> usize {
        (self.roll() % n.max(1) as u64) as usize
    }
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        if all.is_empty() { None } else { Some(&all[self.below(all.len())]) }
    }
}

/// Run `case` for every seed; the seed of a failure is printed.
pub fn cases(default: u64, case: impl Fn(u64)) {
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    if let Some(seed) = number("KITH_SEED") {
        return case(seed);
    }
    for seed in 0..number("KITH_CASES").unwrap_or(default) {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(seed)));
        if let Err(why) = outcome {
            eprintln!("failed: KITH_SEED={seed}");
            std::panic::resume_unwind(why);
        }
    }
}

pub const DRIVE: DriveId = DriveId([7; 32]);
pub const INCARNATION: [u8; 16] = [1; 16];

/// The log of the writer with a number.
pub fn log(writer: u8) -> LogId {
    crate::keys::log_id(&[writer; 32], &INCARNATION)
}

pub fn attrs(mode: u16, time: TimeNs) -> Attrs {
    Attrs { mode, uid: 1000, gid: 1000, atime: time, mtime: time, ctime: time, btime: time }
}

pub fn inline(text: &str) -> Content {
    Content::Inline(text.as_bytes().to_vec())
}

/// 2026-11-23 14:05:00 at UTC+1.
pub const NOW: TimeNs = 1_795_439_100_000_000_000;

/// A device: its table and its fold.
pub struct Site {
    pub writer: u8,
    pub table: MemTable,
    pub fold: Fold,
    pub next: u64,
    /// Every entry it has, in the order it came.
    pub has: Vec<Opened>,
}

impl Site {
    pub fn new(writer: u8) -> Site {
        let table = MemTable::new();
        let fold = Fold::open(&table, log(writer), &format!("dev{writer}")).unwrap();
        Site { writer, table, fold, next: 1, has: Vec::new() }
    }
    pub fn view(&self) -> View<'_> {
        View(&self.table)
    }
    pub fn op(&mut self, change: Change) -> Operation {
        let n = self.next;
        self.next += 1;
        Operation { n, time: NOW + n as i64, utc_offset_min: 60, change }
    }
    /// Do a change here; its id.
    pub fn local(&mut self, change: Change) -> OpId {
        let op = self.op(change);
        let id = OpId { log: log(self.writer), n: op.n };
        let step = self.fold.local(&self.table, op).unwrap();
        self.commit(step);
        id
    }
    pub fn commit(&mut self, step: Step) -> Touched {
        self.table.commit(step.batch);
        step.touched
    }
    /// Make an entry of these pending operations.
    pub fn publish_some(&mut self, chosen: &[u64]) -> Opened {
        let draft = self.fold.draft(&self.table, chosen).unwrap();
        let entry = unsigned(self.writer, draft);
        let step = self.fold.published(&self.table, entry.clone()).unwrap();
        self.commit(step);
        self.has.push(entry.clone());
        entry
    }
    pub fn publish(&mut self) -> Opened {
        self.publish_some(&self.fold.pending())
    }
    pub fn take(&mut self, entries: Vec<Opened>) -> Touched {
        for entry in &entries {
            if !self.has.iter().any(|e| e.hash == entry.hash) {
                self.has.push(entry.clone());
            }
        }
        let step = self.fold.take(&self.table, entries).unwrap();
        self.commit(step)
    }
    /// Forget everything in memory.
    pub fn reopen(&mut self) {
        self.fold = Fold::open(&self.table, log(self.writer), &format!("dev{}", self.writer)).unwrap();
    }
    pub fn create(&mut self, parent: ObjectId, name: &str, kind: Kind) -> ObjectId {
        let time = NOW + self.next as i64;
        self.local(Change::Create { parent, name: name.into(), kind, attrs: attrs(0o644, time) })
    }
    pub fn file(&mut self, parent: ObjectId, name: &str, text: &str) -> ObjectId {
        let object = self.create(parent, name, Kind::File);
        self.write(object, text);
        object
    }
    pub fn dir(&mut self, parent: ObjectId, name: &str) -> ObjectId {
        self.create(parent, name, Kind::Dir)
    }
    /// Save over the version this site has.
    pub fn write(&mut self, object: ObjectId, text: &str) -> OpId {
        let base = self.view().inode(object).unwrap().and_then(|i| i.version);
        self.write_from(object, base, text)
    }
    pub fn write_from(&mut self, object: ObjectId, base: Option<OpId>, text: &str) -> OpId {
        let mtime = NOW + self.next as i64;
        self.local(Change::SetContent { object, base, content: inline(text), mtime })
    }
    pub fn seen(&self, parent: ObjectId, name: &str) -> Option<Seen> {
        let inode = self.view().lookup(parent, name.as_bytes()).unwrap()?;
        Some(Seen { object: inode.object, version: inode.version })
    }
    pub fn unlink(&mut self, parent: ObjectId, name: &str) {
        let seen = self.seen(parent, name).expect("there");
        self.local(Change::Unlink { parent, name: name.into(), seen });
    }
    pub fn rmdir(&mut self, parent: ObjectId, name: &str) {
        let object = self.seen(parent, name).expect("there").object;
        self.local(Change::Rmdir { parent, name: name.into(), object });
    }
    pub fn rename(&mut self, from: (ObjectId, &str), to: (ObjectId, &str)) {
        let object = self.seen(from.0, from.1).expect("there").object;
        let replaced = self.seen(to.0, to.1);
        self.local(Change::Rename {
            object,
            from_parent: from.0,
            from_name: from.1.into(),
            to_parent: to.0,
            to_name: to.1.into(),
            replaced,
        });
    }
    /// `path: text` of all files, `path/` of directories, sorted.
    pub fn tree(&self) -> Vec<String> {
        let mut out = Vec::new();
        walk(self.view(), ROOT, "", &mut out);
        out.sort();
        out
    }
}

fn walk(view: View<'_>, dir: ObjectId, path: &str, out: &mut Vec<String>) {
    for child in view.children(dir, None, usize::MAX).unwrap() {
        let at = format!("{path}{}", String::from_utf8_lossy(&child.name));
        match child.inode.kind {
            Kind::Dir => {
                out.push(format!("{at}/"));
                walk(view, child.inode.object, &format!("{at}/"), out);
            }
            Kind::File => match view.content(child.inode.object).unwrap() {
                Content::Inline(bytes) => out.push(format!("{at}: {}", String::from_utf8_lossy(&bytes))),
                Content::Tree { .. } => out.push(format!("{at}: ...")),
            },
            _ => out.push(at),
        }
    }
}

/// The entry of a draft without seals and signature: the fold looks at neither.
pub fn unsigned(writer: u8, draft: Draft) -> Opened {
    unsigned_with(writer, draft, Vec::new())
}

pub fn unsigned_with(writer: u8, draft: Draft, catalogue: Vec<crate::content::CatalogueRecord>) -> Opened {
    let digest = |bytes: Vec<u8>| Hash(*blake3::hash(&bytes).as_bytes());
    let body = crate::keys::encode(&(&draft.label, &draft.operations));
    let header = Header {
        drive: DRIVE,
        writer: [writer; 32],
        incarnation: INCARNATION,
        seq: draft.seq,
        previous: draft.previous,
        lamport: draft.lamport,
        epoch: Epoch::FIRST,
        vector: digest(crate::keys::encode(&draft.vector)),
        operations: digest(body),
        catalogue: digest(crate::keys::encode(&catalogue)),
    };
    let hash = EntryHash(*blake3::hash(&crate::keys::encode_record(&header)).as_bytes());
    Opened { hash, header, vector: draft.vector, label: draft.label, operations: draft.operations, catalogue }
}

/// What must be equal on every mount.
pub fn state_of(table: &MemTable) -> BTreeMap<Key, Vec<u8>> {
    table.iter().filter(|(k, _)| k.table < tables::LOCAL).map(|(k, v)| (k, v.to_vec())).collect()
}

/// Everybody publishes and takes in everything.
pub fn settle(sites: &mut [Site]) {
    let entries: Vec<Opened> = sites
        .iter_mut()
        .flat_map(|site| {
            if !site.fold.pending().is_empty() {
                site.publish();
            }
            site.has.clone()
        })
        .collect();
    for site in sites.iter_mut() {
        site.take(entries.clone());
        assert!(site.fold.waiting().is_empty());
        assert!(site.fold.pending().is_empty());
    }
    for site in &sites[1..] {
        assert_eq!(site.tree(), sites[0].tree(), "site {}", site.writer);
        assert_eq!(state_of(&site.table), state_of(&sites[0].table), "site {}", site.writer);
        assert_eq!(state_hash(site.view()).unwrap(), state_hash(sites[0].view()).unwrap());
    }
    check_sound(sites[0].view());
}

/// Two sites that share a beginning.
pub fn two(begin: impl FnOnce(&mut Site)) -> Vec<Site> {
    let mut sites = vec![Site::new(1), Site::new(2)];
    begin(&mut sites[0]);
    settle(&mut sites);
    sites
}

/// Every live object is reached once per name, counts and parents agree, no circles.
pub fn check_sound(view: View<'_>) {
    let mut seen: BTreeMap<ObjectId, u32> = BTreeMap::new();
    let mut dirs = vec![ROOT];
    let (mut objects, mut dir_count, mut bytes) = (1, 1, 0);
    let mut inos = BTreeSet::from([ROOT_NUMBER]);
    while let Some(dir) = dirs.pop() {
        let children = view.children(dir, None, usize::MAX).unwrap();
        let here = view.inode(dir).unwrap().unwrap();
        assert_eq!(here.children, children.len() as u64);
        assert_eq!(here.subdirs as usize, children.iter().filter(|c| c.inode.is_dir()).count());
        for child in children {
            assert!(is_name(&child.name));
            assert_eq!(view.dirent(dir, &child.name).unwrap(), Some(child.inode.object));
            let place = Place { parent: dir, name: child.name };
            let names = view.names(child.inode.object).unwrap();
            assert!(names.contains(&place), "{place:?} {names:?}");
            assert_eq!(names.len(), child.inode.names as usize);
            assert!(names.contains(&child.inode.home));
            let times = seen.entry(child.inode.object).or_default();
            *times += 1;
            if *times == 1 {
                objects += 1;
                assert!(inos.insert(child.inode.ino));
                assert_eq!(view.by_ino(child.inode.ino).unwrap(), Some(child.inode.object));
                if child.inode.is_file() {
                    bytes += child.inode.size;
                }
            }
            if child.inode.is_dir() {
                assert_eq!(*times, 1, "a directory with two names");
                dir_count += 1;
                dirs.push(child.inode.object);
            }
        }
    }
    for (object, times) in seen {
        assert_eq!(view.inode(object).unwrap().unwrap().names, times);
    }
    let totals = view.totals().unwrap();
    assert_eq!((totals.objects, totals.dirs, totals.bytes), (objects, dir_count, bytes));
}

/// [`Queues::publishable`] as it is meant, looking at all.
pub fn publishable<'a>(
    log: LogId,
    pending: impl IntoIterator<Item = &'a Operation>,
    unready: &BTreeSet<u64>,
) -> Vec<u64> {
    let mut blocked: BTreeSet<ObjectId> = BTreeSet::new();
    let mut out = Vec::new();
    for op in pending {
        let queues = queues(log, op);
        if unready.contains(&op.n) || queues.iter().any(|q| blocked.contains(q)) {
            blocked.extend(queues);
        } else {
            out.push(op.n);
        }
    }
    out
}
