//! Random operations against a model of bytes and names in memory, with clean restarts,
//! power cuts, and a second node that must read the same in the end.

mod content;
mod shrink;

use super::*;
use crate::grid::Level;
use std::collections::BTreeMap;

/// What there should be.
#[derive(Clone, Default)]
struct Model {
    /// Path -> inode number; directories too.
    names: BTreeMap<String, Ino>,
    files: BTreeMap<Ino, Vec<u8>>,
    dirs: BTreeMap<Ino, ()>,
    modes: BTreeMap<Ino, u16>,
    xattrs: BTreeMap<Ino, BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl Model {
    /// Gives what is at and below `from` the names at and below `to`.
    fn rename(&mut self, from: &str, to: &str, exchange: bool) {
        let below = |path: &str, root: &str| path == root || path.starts_with(&format!("{root}/"));
        let moved = |path: &str| match path {
            _ if below(path, from) => format!("{to}{}", &path[from.len()..]),
            _ if exchange && below(path, to) => format!("{from}{}", &path[to.len()..]),
            _ => path.to_string(),
        };
        if !exchange {
            self.names.remove(to);
        }
        self.names = self.names.iter().map(|(path, ino)| (moved(path), *ino)).collect();
    }
}

struct Run {
    /// New for each step, so that a step does the same without those before it.
    dice: Dice,
    model: Model,
    machine: Option<Machine>,
    open: Vec<(Handle, Ino)>,
    log: Vec<String>,
}

const OFFSETS: [u64; 7] = [0, 1, 4096, 70_000, (1 << 20) - 5, 1 << 20, (2 << 20) + 17];

impl Run {
    fn m(&self) -> &Machine {
        self.machine.as_ref().expect("running")
    }
    fn say(&mut self, text: String) {
        self.log.push(text);
    }
    fn path(&self) -> String {
        let dirs = ["", "a/", "a/b/", "c/"];
        format!("{}{}", dirs[self.dice.below(4) as usize], self.dice.below(4))
    }
    fn parent(&self, path: &str) -> Option<Ino> {
        match path.rsplit_once('/') {
            None => Some(ROOT_INO),
            Some((dir, _)) => self.model.names.get(dir).copied().filter(|i| self.model.dirs.contains_key(i)),
        }
    }
    fn some_file(&self) -> Option<(String, Ino)> {
        let files: Vec<_> =
            self.model.names.iter().filter(|(_, i)| self.model.files.contains_key(i)).collect();
        let pick = files.get(self.dice.below(files.len() as u64) as usize)?;
        Some((pick.0.clone(), *pick.1))
    }
    async fn step(&mut self) {
        let roll = self.dice.below(100);
        match roll {
            0..11 => self.create().await,
            11..33 => self.write().await,
            33..38 => self.truncate().await,
            38..43 => self.allocate().await,
            43..47 => self.copy().await,
            47..52 => self.mkdir(),
            52..62 => self.rename(),
            62..68 => self.unlink(),
            68..71 => self.link(),
            71..79 => self.open_or_close().await,
            79..84 => self.check_one().await,
            84..86 => self.chmod(),
            86..89 => self.xattr(),
            89..93 => self.sync_one().await,
            93..97 => {
                let ms = [5, 300, 2500, 9000][self.dice.below(4) as usize];
                self.say(format!("wait {ms}"));
                tokio::time::sleep(Duration::from_millis(ms)).await;
            }
            97 => self.restart(false).await,
            98 => self.restart(true).await,
            _ => {
                self.say("drop caches".into());
                self.m().drive.drop_caches().await;
            }
        }
    }
    async fn create(&mut self) {
        let path = self.path();
        let Some(parent) = self.parent(&path) else { return };
        let name = path.rsplit('/').next().unwrap_or("").to_string();
        let made = self.m().drive.create(parent, name.as_bytes(), 0o644, RW, ME);
        if self.model.names.contains_key(&path) {
            assert_eq!(made.err(), Some(Error::Exists));
            return;
        }
        let (attr, handle) = made.expect("created");
        self.say(format!("create {path} = {}", attr.ino));
        self.model.names.insert(path, attr.ino);
        self.model.files.insert(attr.ino, Vec::new());
        self.model.modes.insert(attr.ino, 0o644);
        self.m().drive.release(handle).await.expect("released");
    }
    fn mkdir(&mut self) {
        let path = ["a", "a/b", "c", "a/3"][self.dice.below(4) as usize].to_string();
        let Some(parent) = self.parent(&path) else { return };
        let name = path.rsplit('/').next().unwrap_or("").to_string();
        let made = self.m().drive.mkdir(parent, name.as_bytes(), 0o755, ME);
        if self.model.names.contains_key(&path) {
            assert_eq!(made.err(), Some(Error::Exists));
            return;
        }
        let attr = made.expect("made");
        self.say(format!("mkdir {path} = {}", attr.ino));
        self.model.names.insert(path, attr.ino);
        self.model.dirs.insert(attr.ino, ());
    }
    fn rename(&mut self) {
        let (from, to) = (self.path(), self.path());
        let (Some(a), Some(b)) = (self.parent(&from), self.parent(&to)) else { return };
        let (noreplace, exchange) =
            [(true, false), (false, true), (false, false)][self.dice.below(3) as usize];
        let names = |p: &str| p.rsplit('/').next().unwrap_or("").to_string();
        let (from_name, to_name) = (names(&from), names(&to));
        let (from_at, to_at) = ((a, from_name.as_bytes()), (b, to_name.as_bytes()));
        let got = self.m().drive.rename(from_at, to_at, noreplace, exchange, ME);
        let Some(&moved) = self.model.names.get(&from) else {
            assert_eq!(got, Err(Error::NotFound));
            return;
        };
        let there = self.model.names.get(&to).copied();
        let dir = |i: &Ino| self.model.dirs.contains_key(i);
        let below = to.starts_with(&format!("{from}/")) || (exchange && from.starts_with(&format!("{to}/")));
        let wrong = match there {
            None => exchange,
            Some(_) if noreplace => true,
            Some(t) if t == moved || exchange => false,
            Some(t) if dir(&moved) != dir(&t) => true,
            Some(t) if dir(&t) => self.model.names.keys().any(|n| n.starts_with(&format!("{to}/"))),
            _ => false,
        };
        let what = format!("rename {from} {to}, noreplace {noreplace}, exchange {exchange}");
        if wrong || below {
            assert!(got.is_err(), "{what}");
            return;
        }
        got.unwrap_or_else(|e| panic!("{what}: {e}"));
        self.say(what);
        if there != Some(moved) {
            self.model.rename(&from, &to, exchange);
        }
    }
    fn unlink(&mut self) {
        let path = self.path();
        let Some(parent) = self.parent(&path) else { return };
        let name = path.rsplit('/').next().unwrap_or("").to_string();
        let got = self.m().drive.unlink(parent, name.as_bytes(), ME);
        match self.model.names.get(&path) {
            Some(ino) if self.model.files.contains_key(ino) => {
                got.expect("unlinked");
                self.say(format!("unlink {path}"));
                self.model.names.remove(&path);
            }
            _ => assert!(got.is_err()),
        }
    }
    fn link(&mut self) {
        let Some((_, ino)) = self.some_file() else { return };
        let to = self.path();
        let Some(parent) = self.parent(&to) else { return };
        let name = to.rsplit('/').next().unwrap_or("").to_string();
        let got = self.m().drive.link(ino, parent, name.as_bytes());
        if self.model.names.contains_key(&to) {
            assert_eq!(got.err(), Some(Error::Exists));
        } else {
            got.expect("linked");
            self.say(format!("link {ino} {to}"));
            self.model.names.insert(to, ino);
        }
    }
    fn chmod(&mut self) {
        let Some((_, ino)) = self.some_file() else { return };
        let mode = [0o600, 0o755, 0o640][self.dice.below(3) as usize];
        self.m().drive.setattr(ino, SetAttr { mode: Some(mode), ..SetAttr::default() }, ME).expect("chmod");
        self.model.modes.insert(ino, mode);
    }
    async fn sync_one(&mut self) {
        if let Some((_, ino)) = self.some_file() {
            self.say(format!("fsync {ino}"));
            self.m().drive.sync_inode(ino).await.expect("synced");
        }
    }
    async fn check_one(&mut self) {
        let open = self.open.get(self.dice.below(3) as usize).copied();
        if let Some((handle, ino)) = open {
            // An open file, with or without a name.
            let want = &self.model.files[&ino];
            let at = self.dice.below(want.len() as u64 + 10);
            let got = self.m().drive.read(handle, at, 200_000).await.expect("read");
            let want = &want[(at as usize).min(want.len())..(at as usize + 200_000).min(want.len())];
            assert!(got == want, "open {ino} at {at}");
        }
        if let Some((path, ino)) = self.some_file() {
            self.compare(&path, ino).await;
        }
    }
    async fn compare(&self, path: &str, ino: Ino) {
        let attr = self.m().drive.getattr(ino).expect("attributes");
        assert_eq!(self.m().drive.resolve(path.as_bytes()), Ok(ino), "{path}");
        let want = &self.model.files[&ino];
        assert_eq!(attr.size, want.len() as u64, "size of {path} ({ino})");
        assert_eq!(attr.mode, self.model.modes[&ino], "mode of {path}");
        let links = self.model.names.values().filter(|i| **i == ino).count();
        assert_eq!(attr.nlink, links as u32, "links of {path}");
        let mut xattrs = BTreeMap::new();
        for name in self.m().drive.listxattr(ino).expect("listed") {
            let value = self.m().drive.getxattr(ino, &name).expect("an attribute");
            xattrs.insert(name, value);
        }
        assert_eq!(xattrs, self.model.xattrs.get(&ino).cloned().unwrap_or_default(), "attributes of {path}");
        let got = self.m().read_ino(ino).await.expect("read");
        let wrong = got.iter().zip(want).position(|(a, b)| a != b);
        assert!(got == *want, "{path} ({ino}): {} bytes, first wrong at {wrong:?}", got.len());
    }
    async fn compare_all(&self) {
        let mut found = BTreeMap::new();
        let mut todo = vec![(String::new(), ROOT_INO)];
        while let Some((path, dir)) = todo.pop() {
            for entry in self.m().drive.readdir(dir, None, 10_000).expect("listed") {
                let path = format!("{path}{}", String::from_utf8_lossy(&entry.name));
                if entry.attr.kind == FileKind::Dir {
                    todo.push((format!("{path}/"), entry.attr.ino));
                }
                found.insert(path, entry.attr.ino);
            }
        }
        assert_eq!(found, self.model.names);
        for (path, ino) in &self.model.names {
            if self.model.files.contains_key(ino) {
                self.compare(path, *ino).await;
            }
        }
    }
    async fn restart(&mut self, crash: bool) {
        self.say(format!("restart, crash {crash}"));
        let machine = self.machine.take().expect("running");
        self.open.clear();
        if crash {
            machine.drive.sync_inode(ROOT_INO).await.expect("synced");
            for ino in self.model.names.values().filter(|i| self.model.files.contains_key(i)) {
                machine.drive.sync_inode(*ino).await.expect("synced");
            }
            let seed = self.dice.next();
            self.machine = Some(machine.crash(Crash::Seeded(seed)).await);
        } else {
            self.machine = Some(machine.restart().await);
        }
        self.compare_all().await;
    }
}

pub(super) fn seeds(cases: u64) -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse().ok());
    match number("KITH_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("KITH_CASES").unwrap_or(cases)).collect(),
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_for_safe_is_answered_and_not_more_than_once() {
    let (grid, founding, dice) = (MemGrid::new(1), found(1), Dice::new(7));
    let m = Machine::start(&founding, 0, &grid).await;
    m.write("one", &dice.noise(100_000)).await.unwrap();
    let ino = m.drive.resolve(b"one").unwrap();
    // One holder: it can never be safe, only thin.
    let safe = m.drive.wait(ino, Level::Safe, Duration::from_secs(20)).await.unwrap();
    assert_eq!(safe, WaitOutcome::NotYet { least: FileState::Thin, files: 1 });
    assert_eq!(m.drive.wait(ino, Level::Full, Duration::from_secs(20)).await, Ok(WaitOutcome::Reached));
}
