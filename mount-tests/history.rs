//! The past in a real mount, and what brings it back: `.kith/at`, `kith history`, `kith restore`,
//! `kith conflicts`.

mod lab;
#[path = "../src/promises.rs"]
mod promises;

use lab::{Lab, bytes, can_mount, count, same_tree, says, snapshot, wait_until};
use promises::promise;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SOON: Duration = Duration::from_secs(60);

fn now() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    format!("@{}.{:09}", now.as_secs(), now.subsec_nanos())
}

fn family(root: &Path, files: usize) {
    for i in 0..files {
        let dir = root.join(format!("album {}", i % 7));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(format!("{i}.jpg")), bytes(i as u64, 500 + i * 97 % 40_000)).unwrap();
    }
    std::os::unix::fs::symlink("0.jpg", root.join("album 0/link")).unwrap();
    xattr::set(root.join("album 0/0.jpg"), "user.stars", b"5").unwrap();
    fs::create_dir(root.join("empty")).unwrap();
}

#[test]
fn a_tree_that_was_overwritten_comes_back_whole() {
    if !can_mount() {
        return;
    }
    let lab = Lab::grid(3);
    let mnt = lab.mount("you");
    family(&mnt.join("photos"), count("KITH_SMALL", 300));
    let want = snapshot(&mnt.join("photos"));
    lab.sync("you", "full");
    let then = now();
    std::thread::sleep(Duration::from_millis(20));

    // Ransomware, a clumsy hand, and an editor that saves by rename.
    for album in fs::read_dir(mnt.join("photos")).unwrap().map(|e| e.unwrap().path()) {
        for file in fs::read_dir(&album).unwrap().map(|e| e.unwrap().path()) {
            fs::write(&file, b"pay us").unwrap();
        }
    }
    // (What is replaced again before it settled was never there.)
    lab.sync("you", "full");
    fs::remove_dir_all(mnt.join("photos/album 3")).unwrap();
    fs::remove_dir(mnt.join("photos/empty")).unwrap();
    fs::write(mnt.join("photos/album 1/new"), b"new").unwrap();
    fs::rename(mnt.join("photos/album 1/new"), mnt.join("photos/album 1/1.jpg")).unwrap();
    fs::write(mnt.join("photos/note"), b"came later").unwrap();
    lab.sync("you", "full");

    promise("The drive as it was at any time is in `.kith/at/TIME`, for reading.");
    promise("What is in the past is changed by nobody: EROFS.");
    let past = mnt.join(".kith/at").join(&then);
    same_tree(&want, &snapshot(&past.join("photos")));
    let copied = lab.path("copied");
    assert!(Command::new("cp").arg("-a").arg(past.join("photos")).arg(&copied).status().unwrap().success());
    same_tree(&want, &snapshot(&copied));
    let refused = fs::write(past.join("photos/note"), b"x").unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EROFS));
    assert_eq!(fs::remove_dir(mnt.join(".kith")).unwrap_err().raw_os_error(), Some(libc::EPERM));
    assert!(fs::read_dir(&mnt).unwrap().all(|e| e.unwrap().file_name() != ".kith"));

    let path = |p: &str| mnt.join(p).to_str().unwrap().to_string();
    let history = lab.kith("you", &["--json", "history", &path("photos/album 1/1.jpg")]).json();
    assert_eq!(history["versions"].as_array().unwrap().len(), 3, "{history}");
    let gone = lab.kith("you", &["--json", "history", &path("photos/album 3/3.jpg")]).json();
    assert_eq!(gone["versions"][0]["kind"], "nothing", "{gone}");
    says(&lab.kith("you", &["history", &path("nothing")]), 1, "nothing ever had that name");

    promise(
        "A file that was overwritten, replaced or removed comes back with `kith restore`, and so does a tree.",
    );
    let aside = lab.path("aside");
    lab.kith("you", &["restore", &path("photos"), "--at", &then, "--to", aside.to_str().unwrap()]).ok();
    same_tree(&want, &snapshot(&aside.join("photos")));
    says(&lab.kith("you", &["restore", &path("photos")]), 1, "--at TIME");
    says(&lab.kith("you", &["restore", &path("photos"), "--at", "1999-01-01"]), 1, "no moment");
    let done = lab.kith("you", &["--json", "restore", &path("photos"), "--at", &then]).json();
    assert_eq!(done["failed"], 0, "{done}");
    assert_eq!(fs::read(mnt.join("photos/note")).unwrap(), b"came later");
    fs::remove_file(mnt.join("photos/note")).unwrap();
    same_tree(&want, &snapshot(&mnt.join("photos")));
    lab.sync("you", "full");
    let again = lab.kith("you", &["--json", "restore", &path("photos"), "--at", &then]).json();
    assert_eq!(again["restored"], 0, "{again}");
    // A file that was deleted needs no time.
    fs::remove_file(mnt.join("photos/album 2/2.jpg")).unwrap();
    lab.kith("you", &["restore", &path("photos/album 2/2.jpg")]).ok();
    let name = Path::new("album 2/2.jpg");
    assert_eq!(snapshot(&mnt.join("photos")).get(name), want.get(name));
}

#[test]
fn two_edits_at_once_are_listed_and_settled() {
    if !can_mount() {
        return;
    }
    let mut lab = Lab::grid(2);
    let mnt = lab.mount("you");
    lab.init("guest");
    lab.start("guest");
    lab.befriend("you", "guest", &["--drive", "family", "--as", "writer"]);
    let other = lab.mount("guest");
    for name in ["a", "b", "c.txt"] {
        fs::write(mnt.join(name), b"begin").unwrap();
    }
    lab.sync("you", "published");
    wait_until("all is seen", SOON, || fs::read(other.join("c.txt")).is_ok_and(|b| b == b"begin"));
    // Apart, both write.
    lab.stop("guest");
    for name in ["a", "b", "c.txt"] {
        fs::write(mnt.join(name), b"yours").unwrap();
    }
    lab.sync("you", "published");
    lab.stop("you");
    for friend in ["f0", "f1"] {
        lab.kill(friend);
    }
    lab.start("guest");
    let other = lab.mount("guest");
    for name in ["a", "b", "c.txt"] {
        assert_eq!(fs::read(other.join(name)).unwrap(), b"begin");
        fs::write(other.join(name), b"guest's").unwrap();
    }
    lab.sync("guest", "local");
    for node in ["f0", "f1", "you"] {
        lab.start(node);
    }
    let mnt = lab.mount("you");
    let list = |lab: &Lab, node: &str| lab.kith(node, &["--json", "conflicts"]).json();
    for node in ["you", "guest"] {
        wait_until("the conflicts are listed", SOON, || list(&lab, node)["count"] == 3);
        assert_eq!(lab.status(node)["drives"][0]["conflicts"], 3);
    }
    let all = list(&lab, "guest");
    let of = |name: &str| {
        let wanted = other.join(name);
        let found =
            all["conflicts"].as_array().unwrap().iter().find(|c| c["wanted"] == wanted.to_str().unwrap());
        found.unwrap_or_else(|| panic!("{name} in {all}"))["path"].as_str().unwrap().to_string()
    };
    assert!(
        of("c.txt").contains("c (conflict, guest, ") && of("c.txt").ends_with(").txt"),
        "{}",
        of("c.txt")
    );
    assert_eq!(xattr::get(of("a"), "user.kith.conflict").unwrap().unwrap(), b"a");
    assert_eq!(fs::read(of("a")).unwrap(), b"guest's");
    fs::rename(other.join("b"), other.join("b away")).unwrap();
    says(&lab.kith("guest", &["conflicts", &of("b"), "--keep", "theirs"]), 1, "any more");
    fs::rename(other.join("b away"), other.join("b")).unwrap();
    lab.kith("guest", &["conflicts", &of("a"), "--keep", "mine"]).ok();
    lab.kith("guest", &["conflicts", &of("b"), "--keep", "theirs"]).ok();
    lab.kith("guest", &["conflicts", &of("c.txt"), "--keep", "both"]).ok();
    for (node, root) in [("you", &mnt), ("guest", &other)] {
        wait_until("they are settled", SOON, || list(&lab, node)["count"] == 0);
        wait_until("mine", SOON, || fs::read(root.join("a")).is_ok_and(|b| b == b"guest's"));
        assert_eq!(fs::read(root.join("b")).unwrap(), b"yours");
        assert_eq!(fs::read(root.join("c.txt")).unwrap(), b"yours");
        wait_until("four files", SOON, || fs::read_dir(root).unwrap().count() == 4);
    }
}
