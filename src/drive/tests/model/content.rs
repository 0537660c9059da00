//! Steps that change contents and attributes.

use super::*;

impl Run {
    /// One of the handles on a file, or one more; whether it is one more.
    async fn handle(&mut self, ino: Ino) -> (Handle, bool) {
        let ours: Vec<Handle> = self.open.iter().filter(|o| o.1 == ino).map(|o| o.0).collect();
        match ours.get(self.dice.below(ours.len() as u64) as usize) {
            Some(handle) => (*handle, false),
            None => (self.m().drive.open(ino, RW).await.expect("opens"), true),
        }
    }
    async fn end(&self, handle: Handle) {
        self.m().drive.flush(handle).await.expect("flushed");
        self.m().drive.release(handle).await.expect("released");
    }
    /// A file that has a name, or one that is open, with or without one.
    fn any_file(&self) -> Option<Ino> {
        if self.open.is_empty() || self.dice.below(2) == 0 {
            return self.some_file().map(|f| f.1);
        }
        Some(self.open[self.dice.below(self.open.len() as u64) as usize].1)
    }
    fn offset(&self) -> u64 {
        OFFSETS[self.dice.below(7) as usize] + self.dice.below(3)
    }
    pub(super) async fn write(&mut self) {
        let Some(ino) = self.any_file() else { return };
        let at = self.offset();
        let len = [1, 100, 4096, 60_000, 130_000][self.dice.below(5) as usize];
        let bytes = if self.dice.below(8) == 0 { vec![0; len] } else { self.dice.noise(len) };
        self.say(format!("write {ino} {at}+{len}"));
        let (handle, ours) = self.handle(ino).await;
        self.m().drive.write(handle, at, Bytes::from(bytes.clone()), false).await.expect("written");
        self.put(ino, at, &bytes);
        if ours {
            self.end(handle).await;
        }
    }
    fn put(&mut self, ino: Ino, at: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let file = self.model.files.get_mut(&ino).expect("modelled");
        let end = at as usize + bytes.len();
        file.resize(file.len().max(end), 0);
        file[at as usize..end].copy_from_slice(bytes);
    }
    pub(super) async fn truncate(&mut self) {
        let Some(ino) = self.any_file() else { return };
        let size = OFFSETS[self.dice.below(7) as usize] + self.dice.below(2) * 999;
        self.say(format!("truncate {ino} {size}"));
        self.m().drive.truncate(ino, size, SetAttr::default(), ME).await.expect("cut");
        self.model.files.get_mut(&ino).expect("modelled").resize(size as usize, 0);
    }
    /// fallocate(2): room, a hole, zeros.
    pub(super) async fn allocate(&mut self) {
        const KEEP: i32 = 1;
        let Some(ino) = self.any_file() else { return };
        let (at, len) = (self.offset(), [1, 5000, 200_000, 1_100_000][self.dice.below(4) as usize]);
        let mode = [0, KEEP, 2 | KEEP, 0x10, 0x10 | KEEP][self.dice.below(5) as usize];
        self.say(format!("fallocate {ino} {at}+{len}, mode {mode}"));
        let (handle, ours) = self.handle(ino).await;
        self.m().drive.fallocate(handle, at, len, mode).await.expect("allocated");
        let file = self.model.files.get_mut(&ino).expect("modelled");
        let end = (at + len) as usize;
        if mode & KEEP == 0 {
            file.resize(file.len().max(end), 0);
        }
        if mode & !KEEP != 0 {
            let end = end.min(file.len());
            file[(at as usize).min(end)..end].fill(0);
        }
        if ours {
            self.end(handle).await;
        }
    }
    pub(super) async fn copy(&mut self) {
        let (Some(from), Some(to)) = (self.any_file(), self.any_file()) else { return };
        if from == to {
            return;
        }
        let (at, there) = (self.offset(), self.offset());
        let len = [1, 4096, 300_000, 2_500_000][self.dice.below(4) as usize];
        self.say(format!("copy {from} {at}+{len} to {to} {there}"));
        let ((source, ours), (target, theirs)) = (self.handle(from).await, self.handle(to).await);
        let copied = self.m().drive.copy_range((source, at), (target, there), len).await.expect("copied");
        let file = &self.model.files[&from];
        let start = (at as usize).min(file.len());
        let bytes = file[start..(start + len as usize).min(file.len())].to_vec();
        assert_eq!(copied as usize, bytes.len(), "copied of {from}");
        self.put(to, there, &bytes);
        if ours {
            self.end(source).await;
        }
        if theirs {
            self.end(target).await;
        }
    }
    pub(super) fn xattr(&mut self) {
        let Some((_, ino)) = self.some_file() else { return };
        let name = [&b"user.a"[..], b"user.b"][self.dice.below(2) as usize].to_vec();
        let there = self.model.xattrs.entry(ino).or_default();
        if self.dice.below(3) == 0 {
            let had = there.remove(&name).is_some();
            let done = self.m().drive.removexattr(ino, &name, ME);
            assert_eq!(done.err(), (!had).then_some(Error::NoAttr));
            self.say(format!("removexattr {ino}"));
            return;
        }
        let value = self.dice.noise([0, 10, 3000][self.dice.below(3) as usize]);
        there.insert(name.clone(), value.clone());
        self.m().drive.setxattr(ino, &name, &value, false, false, ME).expect("set");
        self.say(format!("setxattr {ino}"));
    }
    pub(super) async fn open_or_close(&mut self) {
        if self.open.len() > 4 || (!self.open.is_empty() && self.dice.below(3) == 0) {
            let (handle, ino) = self.open.remove(self.dice.below(self.open.len() as u64) as usize);
            self.say(format!("close {ino}"));
            self.end(handle).await;
            return;
        }
        let Some((_, ino)) = self.some_file() else { return };
        self.say(format!("open {ino}"));
        let handle = self.m().drive.open(ino, RW).await.expect("opens");
        self.open.push((handle, ino));
    }
}
