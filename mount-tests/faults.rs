//! Bad input and faults, one by one: each is refused or survived in words, and nothing is lost.

mod lab;

use lab::friends::{forget, forget_at};
use lab::{Lab, bytes, can_mount, file_state, says, wait_until};
use std::process::Command;
use std::time::{Duration, Instant};

/// The same text with its last letter but three changed.
fn one_letter_changed(text: &str) -> String {
    let mut letters: Vec<char> = text.trim().chars().collect();
    let at = letters.len() - 4;
    letters[at] = if letters[at] == 'a' { 'b' } else { 'a' };
    letters.into_iter().collect()
}

#[test]
fn tickets_work_once_and_unchanged() {
    let mut lab = Lab::new();
    for node in ["you", "guest", "other"] {
        lab.init(node);
        lab.start(node);
    }
    let ticket =
        lab.kith("you", &["--json", "invite", "guest"]).json()["ticket"].as_str().unwrap().to_string();
    says(&lab.kith("guest", &["join", &one_letter_changed(&ticket)]), 1, "ticket");
    says(&lab.kith("guest", &["join", "kith-nonsense"]), 1, "ticket");
    // The whole line that `kith invite` prints, too.
    lab.kith("guest", &["join", &format!("kith join {ticket}")]).ok();
    says(&lab.kith("other", &["join", &ticket]), 1, "used");
    // A ticket is burned durably: a restart does not revive it.
    lab.kill("you");
    lab.start("you");
    says(&lab.kith("other", &["join", &ticket]), 1, "used");
}

#[test]
fn a_passphrase_guards_the_keys() {
    let lab = Lab::new();
    let dir = lab.path("sealed");
    let run = |args: &[&str], input: &str| {
        use std::io::Write;
        let mut child = Command::new(env!("CARGO_BIN_EXE_kith"))
            .arg("--home")
            .arg(&dir)
            .args(args)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let o = child.wait_with_output().unwrap();
        lab::Output {
            code: o.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&o.stdout).into_owned(),
            err: String::from_utf8_lossy(&o.stderr).into_owned(),
        }
    };
    run(&["init", "--name", "sealed", "--listen", "127.0.0.1:0", "--passphrase"], "correct horse\n").ok();
    says(&run(&["daemon", "--passphrase-stdin"], "wrong horse\n"), 1, "passphrase");
    says(&run(&["daemon"], ""), 1, "passphrase");
}

#[test]
fn a_changed_capability_is_refused() {
    let lab = Lab::grid(1);
    for role in ["reader", "helper", "auditor"] {
        let cap = lab.kith("you", &["drive", "show", "family", "--as", role]).ok().out;
        assert!(cap.starts_with("kith:"), "{cap}");
        says(&lab.kith("f0", &["drive", "open", &one_letter_changed(&cap)]), 1, "capability");
    }
    says(&lab.kith("you", &["drive", "show", "no such drive"]), 1, "no such drive");
}

#[test]
fn a_hung_friend_is_overtaken() {
    if !can_mount() {
        return;
    }
    let lab = Lab::grid(6);
    let mnt = lab.mount("you");
    std::fs::write(mnt.join("warm"), bytes(1, 2_000_000)).unwrap();
    lab.sync("you", "safe");
    let time = |name: &str| {
        std::fs::write(mnt.join(name), bytes(2, 6_000_000)).unwrap();
        let start = Instant::now();
        lab.sync("you", "safe");
        start.elapsed()
    };
    // From the friends, past the kernel's pages and the node's.
    let reading = |name: &str, want: &[u8]| {
        forget(&lab, &mnt.join(name));
        let start = Instant::now();
        assert!(std::fs::read(mnt.join(name)).unwrap() == want);
        start.elapsed()
    };
    let (quick, quick_read) = (time("all awake"), reading("warm", &bytes(1, 2_000_000)));
    lab.signal("f2", "-STOP");
    let hung = time("one hung");
    let read = reading("warm", &bytes(1, 2_000_000)).max(reading("all awake", &bytes(2, 6_000_000)));
    lab.signal("f2", "-CONT");
    println!("safe after {quick:?}, with one hung {hung:?}; read after {quick_read:?}, {read:?}");
    assert!(hung < quick + Duration::from_secs(1), "a hung friend added {:?}", hung - quick);
    assert!(read < quick_read + Duration::from_secs(1), "a hung friend held a read up for {read:?}");
}

#[test]
fn beyond_the_largest_size_is_an_error_and_nothing_else() {
    use std::os::unix::fs::FileExt;
    if !can_mount() {
        return;
    }
    let lab = Lab::grid(1);
    let mnt = lab.mount("you");
    let path = mnt.join("file");
    std::fs::write(&path, "here").unwrap();
    let file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
    let refused = |outcome: std::io::Result<()>| {
        let errno = outcome.map_err(|e| e.raw_os_error().unwrap()).unwrap_err();
        let (big, invalid) =
            (rustix::io::Errno::FBIG.raw_os_error(), rustix::io::Errno::INVAL.raw_os_error());
        assert!([big, invalid].contains(&errno), "errno {errno}");
    };
    // The largest size is the largest offset there is: one byte more has nowhere to go.
    let last = kithfs::content::SIZE_MAX;
    refused(file.write_all_at(b"x", last));
    refused(file.write_all_at(b"x", last + 1));
    refused(rustix::fs::ftruncate(&file, last + 1).map_err(Into::into));
    let flags = rustix::fs::FallocateFlags::empty();
    refused(rustix::fs::fallocate(&file, flags, last - 10, 20).map_err(Into::into));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "here", "as it was");
    // Up to it a file may go, and come back.
    file.set_len(last).unwrap();
    refused(file.write_all_at(b"xx", last - 1));
    assert_eq!(file.metadata().unwrap().len(), last);
    file.set_len(4).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "here");
    file.write_all_at(b"still", 0).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "still", "and writable");
    lab.sync("you", "full");
    assert!(!std::fs::read_to_string(lab.log("you")).unwrap().contains("panicked"));
}

#[test]
fn what_friends_keep_is_known_after_a_restart() {
    if !can_mount() {
        return;
    }
    let mut lab = Lab::grid(2);
    let mnt = lab.mount("you");
    std::fs::write(mnt.join("photo"), bytes(10, 2_000_000)).unwrap();
    lab.sync("you", "full");
    // The holder's statement comes with the connection; for what was put since, with the next.
    lab.stop("you");
    lab.start("you");
    let held = |lab: &Lab| -> Vec<(u64, u64)> {
        let status = lab.status("you");
        let friends = status["friends"].as_array().unwrap();
        let of = |f: &serde_json::Value| f["statement"]["used"].as_u64().unwrap_or(0);
        friends.iter().map(|f| (f["holds_for_us"].as_u64().unwrap_or(0), of(f))).collect()
    };
    wait_until("both have said what they keep", Duration::from_secs(20), || {
        held(&lab).iter().all(|(used, stated)| *used > 2_000_000 && used == stated)
    });
    let people = lab.kith("you", &["friend", "list"]).ok().out;
    assert!(people.contains("(signed 20"), "{people}");
    // Known at once, with nobody there to ask.
    lab.stop("f0");
    lab.stop("f1");
    lab.stop("you");
    lab.start("you");
    assert!(held(&lab).iter().all(|(used, _)| *used > 2_000_000), "{:?}", held(&lab));
}

#[test]
fn too_few_friends_is_an_error_for_reading_and_no_loss_for_writing() {
    if !can_mount() {
        return;
    }
    let mut lab = Lab::grid(5);
    let mnt = lab.mount("you");
    std::fs::write(mnt.join("before"), bytes(4, 3_000_000)).unwrap();
    lab.sync("you", "full");
    forget(&lab, &mnt.join("before"));
    for i in 0..5 {
        lab.kill(&format!("f{i}"));
    }
    // Reading: EIO within the bound, metadata at once.
    let start = Instant::now();
    let got = std::fs::read(mnt.join("before"));
    assert_eq!(got.map(|d| d.len()).map_err(|e| e.raw_os_error()), Err(Some(5)));
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    let start = Instant::now();
    assert!(std::fs::read(mnt.join("before")).is_err());
    assert!(start.elapsed() < Duration::from_secs(1), "known already: {:?}", start.elapsed());
    let start = Instant::now();
    assert_eq!(std::fs::metadata(mnt.join("before")).unwrap().len(), 3_000_000);
    assert!(std::fs::read_dir(&mnt).unwrap().count() >= 1);
    assert!(start.elapsed() < Duration::from_millis(500), "metadata waited {:?}", start.elapsed());
    // Who is missing is said, in the log's reason and in status.
    let log = lab.log_tail("you");
    let why = log.lines().rfind(|l| l.contains("unreadable:")).unwrap_or_else(|| panic!("no reason: {log}"));
    for friend in ["f0", "f1", "f2", "f3", "f4"] {
        assert!(why.contains(friend), "{friend} is not named: {why}");
    }
    wait_until("status says that all are off", Duration::from_secs(60), || {
        lab.status("you")["friends"].as_array().unwrap().iter().all(|f| f["online"] == false)
    });
    // Writing: success here, shown as not safe, kept across a crash, up when friends return.
    std::fs::write(mnt.join("after"), bytes(5, 3_000_000)).unwrap();
    std::fs::File::open(mnt.join("after")).unwrap().sync_all().unwrap();
    let o = lab.kith("you", &["sync", "--timeout", "3s"]);
    says(&o, 4, "safe");
    assert!(!file_state(&mnt.join("after")).starts_with("safe"), "{}", file_state(&mnt.join("after")));
    lab.kill("you");
    lab.start("you");
    let mnt = lab.mount("you");
    assert!(std::fs::read(mnt.join("after")).unwrap() == bytes(5, 3_000_000));
    for i in 0..5 {
        lab.start(&format!("f{i}"));
    }
    lab.sync("you", "full");
    wait_until("state says full", Duration::from_secs(5), || {
        file_state(&mnt.join("after")).starts_with("full")
    });
    forget(&lab, &mnt.join("before"));
    forget(&lab, &mnt.join("after"));
    for name in ["before", "after"] {
        let seed = if name == "before" { 4 } else { 5 };
        assert!(std::fs::read(mnt.join(name)).unwrap() == bytes(seed, 3_000_000), "{name}");
    }
}

#[test]
fn a_full_friend_refuses_and_says_its_limit() {
    if !can_mount() {
        return;
    }
    let lab = Lab::grid(1);
    lab.kith("f0", &["friend", "limit", "you", "2M"]).ok();
    let mnt = lab.mount("you");
    std::fs::write(mnt.join("big"), bytes(6, 8_000_000)).unwrap();
    let o = lab.kith("you", &["sync", "--until", "published", "--timeout", "8s"]);
    says(&o, 6, "not safe");
    assert!(o.err.contains("room") && o.err.contains("limit"), "{}", o.err);
    let status = lab.status("you").to_string();
    assert!(status.contains("limit") || status.contains("room"), "the refusal is shown: {status}");
    assert!(std::fs::read(mnt.join("big")).unwrap() == bytes(6, 8_000_000), "and nothing is lost here");
    // Without a time to give up, it ends all the same: waiting would change nothing.
    let start = Instant::now();
    says(&lab.kith("you", &["sync", "--until", "published"]), 6, "not safe");
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    lab.kith("f0", &["friend", "limit", "you", "2G"]).ok();
    lab.sync("you", "published");
    // One friend holds it all: nobody may vanish, and that is not safe.
    lab.sync("you", "full");
    says(&lab.kith("you", &["sync"]), 6, "thin");
}

#[test]
fn nobody_to_keep_it_is_no_room() {
    if !can_mount() {
        return;
    }
    let lab = Lab::grid(0);
    let mnt = lab.mount("you");
    std::fs::write(mnt.join("note"), bytes(7, 300_000)).unwrap();
    let o = lab.kith("you", &["sync"]);
    says(&o, 6, "not safe");
    assert!(o.err.contains("no friend has granted any room") && o.err.contains("kith invite"), "{}", o.err);
}

#[test]
fn a_guest_uses_friends_who_come_after_it() {
    if !can_mount() {
        return;
    }
    let mut lab = Lab::grid(0);
    for node in ["guest", "late"] {
        lab.init(node);
        lab.start(node);
    }
    lab.befriend("you", "guest", &["--drive", "family", "--as", "writer"]);
    lab.befriend("you", "late", &[]);
    let friend = |node: &str, name: &str, field: &str| {
        let status = lab.status(node);
        let found = status["friends"].as_array().unwrap().iter().find(|f| f["name"] == name);
        found.and_then(|f| f[field].as_u64()).unwrap_or(0)
    };
    wait_until("the guest may use the one who came late", Duration::from_secs(10), || {
        friend("guest", "late", "allows") > 0
    });
    let mnt = lab.mount("guest");
    std::fs::write(mnt.join("from the guest"), bytes(8, 3_000_000)).unwrap();
    lab.sync("guest", "safe");
    wait_until("the one who came late holds something", Duration::from_secs(10), || {
        friend("guest", "late", "holds_for_us") > 0
    });
    // What one of two holds is enough.
    lab.kill("you");
    forget_at(&lab, "guest", &mnt.join("from the guest"));
    assert!(std::fs::read(mnt.join("from the guest")).unwrap() == bytes(8, 3_000_000));
}

#[test]
fn a_mount_left_by_a_crash_is_taken_over() {
    if !can_mount() {
        return;
    }
    let mut lab = Lab::grid(1);
    let mnt = lab.mount("you");
    std::fs::write(mnt.join("note"), "still here").unwrap();
    std::fs::File::open(mnt.join("note")).unwrap().sync_all().unwrap();
    lab.kill("you");
    assert!(std::fs::read_dir(&mnt).is_err(), "the mount is dead now");
    lab.start("you");
    let mnt = lab.mount("you");
    assert_eq!(std::fs::read_to_string(mnt.join("note")).unwrap(), "still here");
    lab.stop("you");
    assert!(std::fs::read_dir(&mnt).unwrap().next().is_none(), "unmounted cleanly on SIGTERM");
}

#[test]
fn verbs_without_a_daemon_or_with_bad_input_say_what_to_do() {
    let lab = Lab::new();
    says(&lab.kith("nowhere", &["status"]), 3, "not a node");
    says(&lab.kith("nowhere", &["mount", "/tmp"]), 1, "not a node");
    lab.init("you");
    says(&lab.kith("you", &["status"]), 3, "not running");
    says(&lab.kith("you", &["init", "--name", "again"]), 1, "already");
    assert_eq!(lab.kith("you", &["no-such-verb"]).code, 2);
    assert_eq!(lab.kith("you", &["invite", "--valid", "soon"]).code, 2);
}
