//! The invariants.

use super::acts::FAR;
use super::forge::FORGED;
use super::oracle::{self, version, walk};
use super::{Family, READER, WRITERS};
use crate::drive::{Drive, FileState};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// All drives agree this long after a heal, or it is a violation.
const AGREE: Duration = Duration::from_secs(120);
/// Friends who are there have a connection again after this.
const RECONNECT: Duration = Duration::from_secs(90);

impl Family {
    /// I6: no log goes back at a machine that kept its power, no two entries have one number,
    /// and nobody knows more of a log than its writer. I5: there is no log but the writers'.
    pub(super) fn look_at_heads(&mut self) {
        let (mut wrong, mut strange) = (Vec::new(), Vec::new());
        let logs: Vec<_> = WRITERS.iter().filter_map(|w| Some(self.drive(*w)?.log())).collect();
        self.logs.extend(logs);
        for i in 0..=READER {
            let Some(drive) = self.drive(i) else { continue };
            let heads = drive.heads();
            for head in &heads {
                if !self.logs.contains(&head.log) {
                    strange.push(format!("node {i} took log {:?}, which no writer writes", head.log));
                }
                let known = *self.entries.entry((head.log, head.seq)).or_insert(head.hash);
                if known != head.hash {
                    wrong.push(format!("log {:?} has two entries {} (one at node {i})", head.log, head.seq));
                }
                let before = self.heads.entry((i, head.log)).or_insert(head.seq);
                if *before > head.seq {
                    wrong.push(format!("node {i} went back from {before} to {}", head.seq));
                }
                *before = head.seq;
            }
            let own = heads.iter().find(|h| h.log == drive.log()).map_or(0, |h| h.seq);
            let most = self.entries.range((drive.log(), 0)..=(drive.log(), u64::MAX)).next_back();
            if let Some(((_, seq), _)) = most
                && *seq > own
            {
                wrong.push(format!("writer {i} is at entry {own} of its log, others saw {seq}"));
            }
        }
        self.count("I6 looks at heads");
        for what in wrong {
            self.violation("I6", what);
        }
        for what in strange {
            self.violation("I5", what);
        }
    }

    /// What can be read of a writer's own files after a power cut.
    async fn read_after_cut(
        &mut self,
        w: usize,
        drive: &Drive,
        tree: &BTreeMap<String, oracle::Seen>,
    ) -> BTreeMap<String, Vec<u8>> {
        let mut there: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for (path, seen) in tree.iter().filter(|(p, s)| !s.dir && p.starts_with(&format!("/w{w}/"))) {
            match oracle::read(drive, seen.ino, FAR).await {
                Ok(bytes) => {
                    if !self.versions.contains(&version(&bytes)) {
                        let what = format!("{path} after a power cut: never written ({} B)", bytes.len());
                        self.violation("I9", what);
                    }
                    there.insert(path.clone(), bytes);
                }
                // Safe elsewhere and not here: the friends are away.
                Err(e) => {
                    self.count("unreadable after a power cut for lack of friends");
                    tracing::debug!("{path}: {e}");
                }
            }
        }
        there
    }

    /// I1: every file is one of those a power cut may leave; the model follows what is there.
    pub(super) async fn after_power_cut(&mut self, w: usize) {
        let Some(drive) = self.drive(w) else { return };
        let Ok(tree) = walk(&drive) else { return self.violation("I1", "the tree is not readable") };
        let there = self.read_after_cut(w, &drive, &tree).await;
        let unread = |path: &str| tree.contains_key(path) && !there.contains_key(path);
        let mut wrong = Vec::new();
        let mut files = std::mem::take(&mut self.own[w].files);
        files.retain(|n, f| {
            let found =
                f.places.iter().flatten().find(|path| {
                    there.get(*path).is_some_and(|b| f.history[f.synced..].contains(&version(b)))
                });
            if let Some(path) = found.cloned() {
                let content = there.get(&path).cloned().unwrap_or_default();
                f.history = vec![version(&content)];
                (f.synced, f.content) = (0, content);
                f.places = [Some(path.clone())].into();
                f.path = Some(path);
                return true;
            }
            if f.places.iter().flatten().any(|p| unread(p)) {
                return false;
            }
            if !f.places.contains(&None) {
                let size = f.places.iter().flatten().map(|p| there.get(p).map(Vec::len));
                let sizes: Vec<_> = size.collect();
                wrong.push(format!(
                    "file {n} at {:?} was synced (version {} of {}) and is gone; there: {sizes:?}",
                    f.places,
                    f.synced,
                    f.history.len()
                ));
            }
            false
        });
        self.own[w].files = files;
        self.own[w].dirs.retain(|d| tree.get(d).is_some_and(|s| s.dir));
        self.count("I1 checks after a power cut");
        for what in wrong {
            self.violation("I1", what);
        }
    }

    /// Waits until all drives show one tree and nothing is waiting; then compares contents.
    pub(super) async fn converge(&mut self) {
        self.heal().await;
        let began = Instant::now();
        let agreed = loop {
            if self.agree() {
                break true;
            }
            if began.elapsed() > AGREE {
                break false;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        self.count("I3 checks of agreement");
        self.most("longest way to agreement, s", began.elapsed().as_secs());
        self.look_at_heads();
        if !agreed {
            let state = self.differences();
            return self.violation("I3", format!("no agreement in {AGREE:?}: {state}"));
        }
        self.compare().await;
    }

    /// All drives know the same entries and show one tree, and their writers have nothing that
    /// friends do not have.
    fn agree(&self) -> bool {
        let mut seen = Vec::new();
        for i in 0..=READER {
            let Some(drive) = self.drive(i) else { return false };
            let waiting =
                drive.status().pending_operations > 0 || drive.state_of_all() < FileState::Published;
            if WRITERS.contains(&i) && waiting {
                return false;
            }
            let Ok(tree) = walk(&drive) else { return false };
            let tree: Vec<_> = tree.into_iter().map(|(p, s)| (p, s.dir, s.size)).collect();
            let mut heads: Vec<_> = drive.heads().iter().map(|h| (h.log, h.seq)).collect();
            heads.sort();
            seen.push((heads, tree));
        }
        seen.windows(2).all(|w| w[0] == w[1])
    }

    fn differences(&self) -> String {
        let mut out = String::new();
        let first = self.drive(0).and_then(|d| walk(&d).ok()).unwrap_or_default();
        for i in 0..=READER {
            let Some(drive) = self.drive(i) else {
                out += &format!("node {i} has no drive; ");
                continue;
            };
            let status = drive.status();
            let tree = walk(&drive).unwrap_or_default();
            let size = |t: &BTreeMap<String, oracle::Seen>, p: &String| t.get(p).map(|s| s.size);
            let differ = first.keys().chain(tree.keys()).filter(|p| size(&first, p) != size(&tree, p));
            out += &format!(
                "node {i}: {} names, {} pending, heads {:?}, differ {:?}, notes {:?}; ",
                tree.len(),
                status.pending_operations,
                drive.heads().iter().map(|h| h.seq).collect::<Vec<_>>(),
                differ.take(5).collect::<Vec<_>>(),
                status.notes,
            );
        }
        out
    }

    /// Contents after agreement: the same everywhere, and what the writers wrote.
    async fn compare(&mut self) {
        let mut first: BTreeMap<String, oracle::Version> = BTreeMap::new();
        for (w, own) in self.own.iter().enumerate() {
            for f in own.files.values() {
                let Some(path) = f.path.clone() else { continue };
                debug_assert!(path.starts_with(&format!("/w{w}/")));
                first.insert(path, version(&f.content));
            }
        }
        for i in 0..=READER {
            let Some(drive) = self.drive(i) else { continue };
            let Ok(tree) = walk(&drive) else { continue };
            if tree.keys().any(|path| path.contains(FORGED) || path.contains("forbidden")) {
                self.violation("I5", format!("node {i} shows a name that nobody had the right to make"));
            }
            for (path, seen) in tree.iter().filter(|(_, s)| !s.dir) {
                let bytes = match oracle::read(&drive, seen.ino, FAR).await {
                    Ok(bytes) => bytes,
                    Err(e) => {
                        self.violation("I9", format!("{path} at {i}, everything well: {e}"));
                        continue;
                    }
                };
                self.count("files compared after agreement");
                let hash = version(&bytes);
                if !self.versions.contains(&hash) {
                    self.violation("I9", format!("{path} at {i}: {} bytes never written", bytes.len()));
                }
                let expected = *first.entry(path.clone()).or_insert(hash);
                if expected != hash {
                    self.violation("I3", format!("{path} at {i} is not what the others have"));
                }
            }
            for path in first.keys().filter(|p| !tree.contains_key(*p)).cloned().collect::<Vec<_>>() {
                self.violation("I3", format!("{path} is missing at {i}"));
            }
        }
    }

    /// Node `i` may have missed the last entries: it asks, until everybody who is there answers.
    /// (A friend who has just come back may be without a connection for a moment.)
    async fn ask_for_news(&mut self, i: usize) -> Result<(), String> {
        let (Some(node), Some(drive)) = (self.node(i), self.drive(i)) else { return Ok(()) };
        let there = (0..self.homes.village.len()).filter(|j| *j != i && !self.asleep.contains(j));
        let there: Vec<String> = there.filter_map(|j| Some(node.name_of(&self.node(j)?.id()))).collect();
        let began = Instant::now();
        loop {
            let asked = tokio::time::timeout(FAR, drive.catch_up(Duration::from_secs(20))).await;
            let silent = match asked {
                Ok(Ok(silent)) => silent,
                other => return Err(format!("the second writer cannot ask for news: {other:?}")),
            };
            if !silent.iter().any(|name| there.contains(name)) {
                self.most("longest way to all friends, s", began.elapsed().as_secs());
                return Ok(());
            }
            if began.elapsed() > RECONNECT {
                return Err(format!("of {there:?}, all awake, {silent:?} did not answer"));
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Files that writer `w`'s drive calls safe, and how many homes they can all spare.
    fn safe_files(&mut self, w: usize) -> (Vec<(String, oracle::Version)>, u8) {
        let (mut safe, mut least) = (Vec::new(), u8::MAX);
        let Some(drive) = self.drive(w) else { return (safe, least) };
        for n in self.own[w].present() {
            let Some(f) = self.own[w].files.get(&n) else { continue };
            let Some(path) = f.path.clone() else { continue };
            let Ok(ino) = drive.resolve(path.trim_start_matches('/').as_bytes()) else { continue };
            match drive.state(ino) {
                Ok(FileState::Safe { margin } | FileState::Full { margin }) => {
                    least = least.min(margin);
                    safe.push((path, version(&f.content)));
                }
                _ => self.count("I2 files not safe yet"),
            }
        }
        (safe, least)
    }

    /// I2: what one writer's drive calls safe is read at the other writer, with the first one
    /// off and with it as many other homes as the promise allows.
    pub(super) async fn safe_without_writer(&mut self) {
        self.heal().await;
        let w = WRITERS[self.below(2)];
        let other = WRITERS[1 - w];
        let (safe, least) = self.safe_files(w);
        if safe.is_empty() {
            return;
        }
        self.homes.sleep(w);
        self.asleep.insert(w);
        let mut others: Vec<usize> = (0..self.homes.village.len()).filter(|i| !WRITERS.contains(i)).collect();
        for _ in 0..least {
            if others.is_empty() {
                break;
            }
            let gone = others.remove(self.below(others.len()));
            self.homes.sleep(gone);
            self.asleep.insert(gone);
        }
        self.count("I2 writer and homes unplugged");
        let Some(drive) = self.drive(other) else { return };
        if let Err(why) = self.ask_for_news(other).await {
            self.violation("I2", why);
        }
        drive.drop_caches().await;
        for (path, expected) in safe {
            let read = match drive.resolve(path.trim_start_matches('/').as_bytes()) {
                Ok(ino) => oracle::read(&drive, ino, FAR).await,
                Err(e) => Err(e),
            };
            match read {
                Ok(bytes) if version(&bytes) == expected => self.count("I2 files read without their writer"),
                Ok(bytes) => {
                    let what = format!("{path} was safe and reads as {} other bytes", bytes.len());
                    self.violation("I2", what);
                }
                Err(e) => self.violation("I2", format!("{path} was safe (margin {least}) and is not: {e}")),
            }
        }
        self.wake_all();
    }
}
