//! The main job: photos dragged in, friends switched off, photos read back, byte for byte,
//! on another machine's mount.

mod lab;

use lab::{Lab, bytes, can_mount, count, same_tree, snapshot};
use std::path::Path;
use std::process::Command;

/// A folder as people have it: photos of 3-5 MB, and a tree of small files of all kinds.
fn make_source(dir: &Path, photos: usize, small: usize) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(dir.join("photos")).unwrap();
    for i in 0..photos {
        let len = 3_000_000 + (i * 977_131) % 2_000_000;
        std::fs::write(dir.join(format!("photos/IMG_{i:04}.jpg")), bytes(i as u64, len)).unwrap();
    }
    for i in 0..small {
        let sub = dir.join(format!("tree/{:02}/{:02}", i % 17, i % 5));
        std::fs::create_dir_all(&sub).unwrap();
        let file = sub.join(format!("note {i}.txt"));
        std::fs::write(&file, bytes(1_000_000 + i as u64, (i * 37) % 9000)).unwrap();
        let mode = [0o644, 0o600, 0o755, 0o444][i % 4];
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let time = filetime::FileTime::from_unix_time(
            1_000_000_000 + i as i64 * 1000,
            ((i as u64 * 1_234_567) % 1_000_000_000) as u32,
        );
        filetime::set_file_mtime(&file, time).unwrap();
    }
    std::fs::create_dir_all(dir.join("odd names")).unwrap();
    for name in ["tab\there", "new\nline", "ümläut", "  spaces  ", "quote'\"", "-dash"] {
        std::fs::write(dir.join("odd names").join(name), name).unwrap();
    }
    std::os::unix::fs::symlink("../photos/IMG_0000.jpg", dir.join("odd names/link")).unwrap();
    std::fs::create_dir_all(dir.join("empty")).unwrap();
    std::fs::write(dir.join("empty file"), b"").unwrap();
}

#[test]
fn photos_come_back_on_another_machine_with_friends_switched_off() {
    if !can_mount() {
        return;
    }
    let (photos, small) = (count("KITH_PHOTOS", 300), count("KITH_SMALL", 5000));
    let mut lab = Lab::grid(5);
    let source = lab.path("source");
    make_source(&source, photos, small);
    let want = snapshot(&source);

    let mnt = lab.mount("you");
    let copied = Command::new("cp").arg("-a").arg(source.join(".")).arg(&mnt).status().unwrap();
    assert!(copied.success());
    same_tree(&want, &snapshot(&mnt));

    lab.init("guest");
    lab.start("guest");
    lab.befriend("you", "guest", &["--drive", "family", "--as", "writer"]);
    lab.sync("you", "full");

    // The first machine loses its caches and its index, and still has everything ...
    lab.stop("you");
    std::fs::remove_dir_all(lab.path("you").join("cache")).unwrap();
    let mut indexes = 0;
    for drive in std::fs::read_dir(lab.path("you").join("state/drives")).unwrap() {
        std::fs::remove_dir_all(drive.unwrap().path().join("index")).unwrap();
        indexes += 1;
    }
    assert_eq!(indexes, 1, "there was one index to lose");
    // ... any n - k homes vanish ...
    let status = lab.status("guest");
    let drive = &status["drives"][0];
    let (k, n) = (drive["k"].as_u64().unwrap(), drive["n"].as_u64().unwrap());
    assert!(n > k, "five friends give redundancy: {drive}");
    for i in 0..(n - k) {
        lab.kill(&format!("f{i}"));
    }
    // ... and the second machine reads every byte, mode and time, with the first one off.
    let second = lab.mount("guest");
    same_tree(&want, &snapshot(&second));
    lab.start("you");
    let again = lab.mount("you");
    same_tree(&want, &snapshot(&again));
    lab.stop("you");
    lab.stop("guest");
}
