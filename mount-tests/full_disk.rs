//! The disk is full: here, and at a friend. Writers are told, nothing that was kept is lost, and
//! room brings everything back to work.

mod lab;
#[path = "../src/promises.rs"]
mod promises;

use lab::{Lab, bytes, can_mount, wait_until};
use promises::promise;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// ENOSPC and EDQUOT.
const FULL: [i32; 2] = [28, 122];

/// Small disks are tmpfs mounts, which only root can make.
fn can_make_disks() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("NOT RUN: a small disk is a tmpfs, and mounting one takes root");
    }
    can_mount() && root
}

fn write_synced(path: &Path, data: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(data)?;
    file.sync_all()
}

#[test]
fn a_full_disk_here_is_told_to_the_writer_and_loses_nothing() {
    promise("A full disk is told to the writer, and nothing that was synced is lost.");
    if !can_make_disks() {
        return;
    }
    const EACH: usize = 4_000_000;
    let mut lab = Lab::new();
    lab.small_disk("you", 400);
    lab.init("you");
    lab.start("you");
    lab.kith("you", &["drive", "create", "family"]).ok();
    let mnt = lab.mount("you");
    // No friend has anything, so nothing may make room.
    let mut kept = Vec::new();
    let refused = (0..200u64).find_map(|i| {
        let name = mnt.join(format!("photo {i}"));
        match write_synced(&name, &bytes(i, EACH)) {
            Ok(()) => {
                kept.push(i);
                None
            }
            Err(e) => Some((i, e)),
        }
    });
    let (at, why) = refused.expect("a disk of 400 MB does not take 800 MB");
    assert!(FULL.contains(&why.raw_os_error().unwrap_or(0)), "photo {at}: {why}");
    assert!(kept.len() > 20, "full after {} photos only", kept.len());
    let all_there = |mnt: &Path, kept: &[u64], when: &str| {
        for i in kept {
            let data =
                std::fs::read(mnt.join(format!("photo {i}"))).unwrap_or_else(|e| panic!("{when}: {i}: {e}"));
            assert!(data == bytes(*i, EACH), "{when}: photo {i} has other bytes");
        }
    };
    all_there(&mnt, &kept, "full");
    // Neither a crash nor a start on a full disk takes anything.
    lab.kill("you");
    lab.start("you");
    let mnt = lab.mount("you");
    all_there(&mnt, &kept, "after a crash on a full disk");
    // Deleting makes room, as people expect.
    let _ = std::fs::remove_file(mnt.join(format!("photo {at}")));
    for i in kept.drain(..10) {
        std::fs::remove_file(mnt.join(format!("photo {i}"))).unwrap();
    }
    wait_until("room after deleting ten photos", Duration::from_secs(60), || {
        write_synced(&mnt.join("photo 900"), &bytes(900, EACH)).is_ok()
    });
    kept.push(900);
    all_there(&mnt, &kept, "at the end");
    lab.stop("you");
}

/// What others put on a node's disk, so that nothing is left of it.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    let mut len = 1 << 20;
    while len >= 4096 {
        if file.write_all(&vec![1; len]).is_err() {
            len /= 2;
        }
    }
}

#[test]
fn a_disk_that_others_fill_keeps_no_name_from_being_read_and_room_brings_all_back() {
    if !can_make_disks() {
        return;
    }
    let mut lab = Lab::new();
    lab.small_disk("you", 500);
    lab.init("you");
    // Its log finds no room either.
    std::os::unix::fs::symlink(lab.path("you").join("log"), lab.log("you")).unwrap();
    lab.start("you");
    lab.kith("you", &["drive", "create", "family"]).ok();
    let mnt = lab.mount("you");
    write_synced(&mnt.join("photo"), &bytes(1, 1_000_000)).unwrap();
    let ballast = lab.path("you").join("of another program");
    fill(&ballast);
    // As long as there is room in memory, and what the journal has made before, names are taken.
    let mut made = 0;
    let why = loop {
        match std::fs::create_dir(mnt.join(format!("{made:0>200}"))) {
            Ok(()) => made += 1,
            Err(e) => break e,
        }
        assert!(made < 200_000, "it never ends");
    };
    assert!(FULL.contains(&why.raw_os_error().unwrap_or(0)), "after {made} names: {why}");
    assert!(made > 1000, "full after {made} names only");
    let names = |mnt: &Path| std::fs::read_dir(mnt).unwrap().collect::<Result<Vec<_>, _>>().unwrap().len();
    let all_there = |mnt: &Path, when: &str| {
        assert_eq!(names(mnt), made + 1, "{when}");
        assert!(std::fs::read(mnt.join("photo")).unwrap() == bytes(1, 1_000_000), "{when}");
    };
    all_there(&mnt, "full");
    let status = lab.status("you");
    assert!(status["drives"][0]["id"].is_string() && !status.to_string().contains("stopped"), "{status}");
    // It starts on the full disk, too.
    File::open(&mnt).unwrap().sync_all().unwrap();
    lab.kill("you");
    lab.start("you");
    let mnt = lab.mount("you");
    all_there(&mnt, "started on a full disk");
    std::fs::remove_file(&ballast).unwrap();
    wait_until("names are taken again", Duration::from_secs(60), || {
        std::fs::create_dir(mnt.join("after")).is_ok()
    });
    std::fs::remove_dir(mnt.join("after")).unwrap();
    all_there(&mnt, "with room");
    lab.stop("you");
    lab.start("you");
    let mnt = lab.mount("you");
    all_there(&mnt, "at the end");
    lab.stop("you");
}

#[test]
fn a_friend_with_a_full_disk_is_named_and_catches_up_when_it_has_room() {
    if !can_make_disks() {
        return;
    }
    let mut lab = Lab::new();
    lab.small_disk("f0", 100);
    for node in ["you", "f0", "f1", "f2", "f3", "f4"] {
        lab.init(node);
        lab.start(node);
        if node != "you" {
            lab.befriend("you", node, &[]);
        }
    }
    lab.kith("you", &["drive", "create", "family"]).ok();
    let mnt = lab.mount("you");
    // 100 MB at 2 of 5 is 50 MB for each friend; f0 has less, since it keeps 64 MB of its disk free.
    for i in 0..10u64 {
        std::fs::write(mnt.join(format!("film {i}")), bytes(i, 10_000_000)).unwrap();
    }
    // Four friends are enough to be safe; the fifth is not waited for.
    lab.sync("you", "safe");
    let o = lab.kith("you", &["sync", "--until", "full", "--timeout", "5s"]);
    assert_ne!(o.code, 0, "nobody says full while a friend has no room: {}", o.out);
    wait_until("status names the friend without room", Duration::from_secs(30), || {
        let status = lab.status("you");
        status["friends"].as_array().unwrap().iter().any(|f| f["name"] == "f0" && !f["trouble"].is_null())
    });
    // What it had taken before is served, and it goes on living.
    lab.resize_disk("f0", 400);
    lab.sync("you", "full");
    for i in 1..=3 {
        lab.kill(&format!("f{i}"));
    }
    std::thread::sleep(Duration::from_secs(1));
    lab.kith("you", &["drop-caches"]).ok();
    let _ = std::fs::write("/proc/sys/vm/drop_caches", "3");
    for i in 0..10u64 {
        let data = std::fs::read(mnt.join(format!("film {i}"))).unwrap();
        assert!(data == bytes(i, 10_000_000), "film {i} from f0 and f4");
    }
}
