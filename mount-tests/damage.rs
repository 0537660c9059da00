//! Wrong, short and missing bytes on disks, here and at friends: survived, named, made good, and
//! never taken for what was written.

mod lab;
#[path = "../src/promises.rs"]
mod promises;

use lab::friends::{forget, shares};
use lab::{Lab, bytes, can_mount, file_state, same_tree, says, snapshot, wait_until};
use promises::promise;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The friends that status has something to say about.
fn in_trouble(lab: &Lab) -> Vec<String> {
    let status = lab.status("you");
    let friends = status["friends"].as_array().unwrap().iter();
    friends.filter(|f| !f["trouble"].is_null()).map(|f| f["name"].as_str().unwrap().into()).collect()
}

/// Changes one byte of a share at nine tenths of it, before the hashes at its end.
fn flip_late(share: &Path) {
    let file = File::options().read(true).write(true).open(share).unwrap();
    let at = file.metadata().unwrap().len() * 9 / 10;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

/// Reads piece by piece until the end or an error; what was read and how it ended.
fn read_on(path: &Path) -> (Vec<u8>, std::io::Result<()>) {
    let (file, mut got, mut piece) = (File::open(path).unwrap(), Vec::new(), vec![0; 64 << 10]);
    // Without it the kernel asks for later pages first, and the drive remembers that they failed.
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random).unwrap();
    loop {
        match file.read_at(&mut piece, got.len() as u64) {
            Ok(0) => return (got, Ok(())),
            Ok(n) => got.extend_from_slice(&piece[..n]),
            Err(e) => return (got, Err(e)),
        }
    }
}

#[test]
fn a_read_past_damage_is_an_error_after_the_right_bytes_and_never_an_end() {
    promise("What cannot be read is an error after the right bytes, never zeros and never an end of file.");
    if !can_mount() {
        return;
    }
    let lab = Lab::grid(5);
    let mnt = lab.mount("you");
    let want = bytes(11, 12_000_000);
    std::fs::write(mnt.join("film"), &want).unwrap();
    lab.sync("you", "full");
    forget(&lab, &mnt.join("film"));
    // 2 of 5: one sound friend is too few where the four have a wrong byte, and plenty elsewhere.
    let damaged = ["f0", "f1", "f2", "f3"];
    for friend in damaged {
        let all = shares(&lab, friend);
        assert!(!all.is_empty());
        all.iter().for_each(|share| flip_late(share));
    }
    let (got, end) = read_on(&mnt.join("film"));
    println!("{} of {} bytes, then {end:?}", got.len(), want.len());
    assert!(want.starts_with(&got), "wrong bytes were read");
    assert!(!got.is_empty(), "the part before the damage is readable");
    assert_eq!(end.map_err(|e| e.raw_os_error()), Err(Some(5)), "after {} bytes: EIO, no end", got.len());
    // All of it at once: the same error, no short file.
    assert_eq!(std::fs::read(mnt.join("film")).map(|d| d.len()).map_err(|e| e.raw_os_error()), Err(Some(5)));
    let named = in_trouble(&lab);
    assert!(!named.is_empty(), "nobody is named");
    assert!(named.iter().all(|f| damaged.contains(&f.as_str())), "a sound friend is blamed: {named:?}");
}

#[test]
fn wrong_short_and_missing_shares_are_survived_and_named() {
    if !can_mount() {
        return;
    }
    let lab = Lab::grid(5);
    let mnt = lab.mount("you");
    let want = bytes(3, 12_000_000);
    std::fs::write(mnt.join("photo"), &want).unwrap();
    lab.sync("you", "full");
    // 2 of 5: three friends may fail, each in its own way.
    for share in shares(&lab, "f0") {
        let mut data = std::fs::read(&share).unwrap();
        let mid = data.len() / 2;
        data[mid] ^= 0x40;
        std::fs::write(&share, data).unwrap();
    }
    for share in shares(&lab, "f1") {
        let len = std::fs::metadata(&share).unwrap().len();
        std::fs::OpenOptions::new().write(true).open(&share).unwrap().set_len(len / 3).unwrap();
    }
    for share in shares(&lab, "f2") {
        std::fs::remove_file(share).unwrap();
    }
    forget(&lab, &mnt.join("photo"));
    assert!(std::fs::read(mnt.join("photo")).unwrap() == want, "any two good shares give the file back");
    // Which two are asked is chance; audits ask the others, too.
    wait_until("who served wrong or nothing is named", Duration::from_secs(120), || {
        let named = in_trouble(&lab);
        let damaged = ["f0", "f1", "f2"];
        assert!(named.iter().all(|f| damaged.contains(&f.as_str())), "{named:?}: a sound friend is blamed");
        !named.is_empty()
    });
    // What was found out by reading is made good, at the same friends: there are no others.
    let content = |lab: &Lab| !lab.status("you")["drives"][0].to_string().contains("has lost");
    let there = |lab: &Lab| ["f0", "f1", "f2"].iter().all(|f| !shares(lab, f).is_empty());
    wait_until("the shares are made again", Duration::from_secs(60), || there(&lab) && content(&lab));
    lab.sync("you", "full");
    // Four of five at once are too many: an error, never a short file.
    forget(&lab, &mnt.join("photo"));
    for share in ["f0", "f1", "f2", "f3"].iter().flat_map(|f| shares(&lab, f)) {
        std::fs::remove_file(share).unwrap();
    }
    let start = Instant::now();
    let got = std::fs::read(mnt.join("photo"));
    assert!(start.elapsed() < Duration::from_secs(15), "an answer took {:?}", start.elapsed());
    assert_eq!(got.map(|d| d.len()).map_err(|e| e.raw_os_error()), Err(Some(5)), "EIO, not a truncated file");
}

#[test]
fn shares_that_friends_have_lost_are_missed_and_made_again() {
    if !can_mount() {
        return;
    }
    let mut lab = Lab::grid(5);
    let mnt = lab.mount("you");
    let want = bytes(9, 9_000_000);
    std::fs::write(mnt.join("photo"), &want).unwrap();
    lab.sync("you", "full");
    assert_eq!(file_state(&mnt.join("photo")), "full, any 3 homes may vanish");
    // Two friends delete all they have; nothing is asked of them but what audits ask.
    let gone: Vec<PathBuf> = ["f0", "f1"].iter().flat_map(|f| shares(&lab, f)).collect();
    assert!(!gone.is_empty());
    gone.iter().for_each(|share| std::fs::remove_file(share).unwrap());
    let said = |lab: &Lab| lab.status("you")["drives"][0].to_string();
    wait_until("status says who has lost shares", Duration::from_secs(150), || {
        said(&lab).contains("has lost") || gone.iter().all(|share| share.exists())
    });
    wait_until("the shares are there again", Duration::from_secs(150), || gone.iter().all(|s| s.exists()));
    wait_until("and status is content", Duration::from_secs(60), || !said(&lab).contains("has lost"));
    lab.sync("you", "full");
    assert_eq!(file_state(&mnt.join("photo")), "full, any 3 homes may vanish");
    // Read from those two alone.
    for friend in ["f2", "f3", "f4"] {
        lab.kill(friend);
    }
    forget(&lab, &mnt.join("photo"));
    assert!(std::fs::read(mnt.join("photo")).unwrap() == want, "what was made again is right");
    // They delete them once more while the others are off: nothing can be made again, and no
    // word says that all is well.
    forget(&lab, &mnt.join("photo"));
    gone.iter().for_each(|share| std::fs::remove_file(share).unwrap());
    assert!(std::fs::read(mnt.join("photo")).is_err());
    wait_until("both losses are known", Duration::from_secs(60), || {
        said(&lab).contains("f0 has lost") && said(&lab).contains("f1 has lost")
    });
    assert_eq!(file_state(&mnt.join("photo")), "at risk");
    says(&lab.kith("you", &["sync", "--timeout", "2s"]), 5, "not safe");
}

#[test]
fn a_drive_that_does_not_open_is_said_and_never_taken_for_none() {
    let mut lab = Lab::grid(1);
    lab.stop("you");
    let drives = lab.path("you").join("state/drives");
    let dir = std::fs::read_dir(drives).unwrap().next().unwrap().unwrap().path();
    for file in std::fs::read_dir(&dir).unwrap().flatten() {
        if file.file_name().to_string_lossy().starts_with("admin") {
            std::fs::write(file.path(), "not what was written").unwrap();
        }
    }
    lab.start("you");
    let status = lab.status("you");
    assert_eq!(status["drives"][0]["state"], "not open", "{status}");
    assert!(!status["drives"][0]["problems"].as_array().unwrap().is_empty(), "{status}");
    assert!(lab.kith("you", &["drive", "list"]).ok().out.contains("does not open"));
    says(&lab.kith("you", &["sync", "--timeout", "1s"]), 1, "does not open");
    says(&lab.kith("you", &["mount", lab.mount_dir("you").to_str().unwrap()]), 1, "does not open");
    says(&lab.kith("you", &["drive", "create", "a/b"]), 1, "a/b");
}

/// All files below a directory that have something in them.
fn files_below(dir: &Path) -> Vec<PathBuf> {
    let (mut out, mut todo) = (Vec::new(), vec![dir.to_path_buf()]);
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            let meta = entry.metadata().unwrap();
            if meta.is_dir() {
                todo.push(entry.path());
            } else if meta.len() > 0 {
                out.push(entry.path());
            }
        }
    }
    out
}

fn flip_all_over(file: &Path) {
    let mut data = std::fs::read(file).unwrap();
    data.iter_mut().step_by(101).for_each(|byte| *byte ^= 0x10);
    std::fs::write(file, data).unwrap();
}

fn halve(file: &Path) {
    let file = File::options().write(true).open(file).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
}

fn remove(file: &Path) {
    std::fs::remove_file(file).unwrap();
}

#[test]
fn a_damaged_index_costs_nothing_but_time() {
    if !can_mount() {
        return;
    }
    let mut lab = Lab::grid(3);
    let mut mnt = lab.mount("you");
    for i in 0..200 {
        use std::os::unix::fs::PermissionsExt;
        let dir = mnt.join(format!("dir {}", i % 7));
        std::fs::create_dir_all(&dir).unwrap();
        let file = dir.join(format!("file {i}"));
        std::fs::write(&file, bytes(i, (i * 1013) as usize)).unwrap();
        let mode = [0o600, 0o644, 0o755][i as usize % 3];
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    lab.sync("you", "full");
    let want = snapshot(&mnt);
    type Harm = (&'static str, &'static str, fn(&Path));
    let harms: [Harm; 4] = [
        ("bytes flipped in all of it", "", flip_all_over),
        ("bytes flipped in the database alone", "db", flip_all_over),
        ("the database cut short", "db", halve),
        ("the database's files gone", "db", remove),
    ];
    for (what, part, harm) in harms {
        lab.stop("you");
        let drives: Vec<_> =
            std::fs::read_dir(lab.path("you").join("state/drives")).unwrap().flatten().collect();
        assert_eq!(drives.len(), 1);
        let files = files_below(&drives[0].path().join("index").join(part));
        assert!(!files.is_empty(), "{what}: there is no index to harm");
        files.iter().for_each(|file| harm(file));
        lab.start("you");
        mnt = lab.mount("you");
        println!("{what}: {} files", files.len());
        same_tree(&want, &snapshot(&mnt));
        std::fs::write(mnt.join("after"), what).unwrap();
        lab.sync("you", "full");
        std::fs::remove_file(mnt.join("after")).unwrap();
    }
    // And as another machine's: what was rebuilt is what the friends have.
    forget(&lab, &mnt.join("dir 0/file 7"));
    assert!(std::fs::read(mnt.join("dir 0/file 7")).unwrap() == bytes(7, 7 * 1013));
}
