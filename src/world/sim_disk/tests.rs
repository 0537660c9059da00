use super::*;
use crate::world::{Disk, DiskFile, Open};

fn disk_with(path: &str, synced: &[u8]) -> (SimDisk, Arc<dyn DiskFile>) {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new("/d")).unwrap();
    let file = disk.open(Path::new(path), Open::New).unwrap();
    file.write_at(synced, 0).unwrap();
    file.sync().unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    (disk, file)
}

fn content(disk: &SimDisk, path: &str) -> Option<Vec<u8>> {
    let file = disk.open(Path::new(path), Open::Existing).ok()?;
    let mut bytes = vec![0; file.len().unwrap() as usize];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
    Some(bytes)
}

#[test]
fn synced_bytes_stay_and_unsynced_ones_may_not() {
    let (disk, file) = disk_with("/d/a", b"old!");
    file.write_at(b"new", 0).unwrap();
    assert_eq!(content(&disk, "/d/a").unwrap(), b"new!");
    assert_eq!(disk.pending(), 1);
    assert_eq!(content(&disk.copy().crash(Crash::Keep(0)), "/d/a").unwrap(), b"new!", "a copy is synced");
    let lost = disk.crash(Crash::Keep(0));
    assert_eq!(content(&lost, "/d/a").unwrap(), b"old!");
    assert_eq!(content(&disk.crash(Crash::Keep(1)), "/d/a").unwrap(), b"new!");
    assert!(file.write_at(b"x", 0).is_err(), "handles from before the crash are dead");
    assert!(disk.open(Path::new("/d/a"), Open::Existing).is_err());
}

#[test]
fn seeded_crashes_lose_keep_and_tear() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let (disk, file) = disk_with("/d/a", &[1; 1024]);
        file.write_at(&[2; 1024], 0).unwrap();
        let bytes = content(&disk.crash(Crash::Seeded(seed)), "/d/a").unwrap();
        seen.insert((bytes[0], bytes[512]));
        assert!(bytes[..512].iter().all(|b| *b == bytes[0]), "a sector is whole");
    }
    assert_eq!(seen.len(), 4, "both, none, and either half: {seen:?}");
}

#[test]
fn names_need_a_sync_of_their_directory() {
    let (disk, _file) = disk_with("/d/a", b"1");
    disk.rename(Path::new("/d/a"), Path::new("/d/b")).unwrap();
    assert!(content(&disk, "/d/a").is_none());
    let lost = disk.copy();
    assert!(content(&lost, "/d/b").is_some());
    let before = disk.crash(Crash::Keep(0));
    assert_eq!((content(&before, "/d/a").is_some(), content(&before, "/d/b").is_some()), (true, false));
    before.rename(Path::new("/d/a"), Path::new("/d/b")).unwrap();
    before.sync_dir(Path::new("/d")).unwrap();
    let after = before.crash(Crash::Keep(0));
    assert_eq!((content(&after, "/d/a").is_some(), content(&after, "/d/b").is_some()), (false, true));
}

#[test]
fn a_failed_sync_loses_what_it_was_to_save() {
    let (disk, file) = disk_with("/d/a", b"old");
    file.write_at(b"new", 0).unwrap();
    disk.set_fault(Some(Fault::Fail { nth: 0, errno: 5, forever: false }));
    assert!(file.sync().is_err());
    file.sync().unwrap();
    assert_eq!(content(&disk, "/d/a").unwrap(), b"new");
    assert_eq!(content(&disk.crash(Crash::Keep(u64::MAX)), "/d/a").unwrap(), b"old");
}

#[test]
fn capacity_and_removal() {
    let (disk, file) = disk_with("/d/a", b"x");
    disk.set_capacity(8192);
    file.write_at(&[1; 8192], 0).unwrap();
    let full = file.write_at(&[1; 10], 8192).unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    assert_eq!(disk.space(Path::new("/d")).unwrap().free, 0);
    drop(file);
    disk.remove(Path::new("/d/a")).unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    assert_eq!(disk.used(), 0);
}
