//! `kith recover` as a person uses it, with real nodes: a kit, its check, a machine that is gone with
//! all that was on it, and the way back on an empty one.

mod lab;

use lab::{Lab, Output, PATIENCE, bytes, can_mount, same_tree, says, snapshot, wait_until};
use std::fs;
use std::io::Write;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

/// A verb with something on its standard input.
fn kith_with(lab: &Lab, node: &str, args: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_kith"))
        .arg("--home")
        .arg(lab.path(node))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Who refuses at once may not have read it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let out = child.wait_with_output().unwrap();
    Output {
        code: out.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&out.stdout).into_owned(),
        err: String::from_utf8_lossy(&out.stderr).into_owned(),
    }
}

/// A node that `kith recover` started in the background ends with the test.
struct Background<'a>(&'a Lab, &'static str);

impl Drop for Background<'_> {
    fn drop(&mut self) {
        self.0.kith(self.1, &["unmount"]);
        self.0.kith(self.1, &["stop"]);
    }
}

fn free_address() -> String {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// The words of a kit, in their order.
fn words_of(kit: &str) -> Vec<String> {
    let rows = kit.lines().skip_while(|l| *l != "Words:").skip(1).take_while(|l| !l.is_empty());
    let parts = rows.flat_map(str::split_whitespace).filter(|p| !p.ends_with('.'));
    parts.map(String::from).collect()
}

/// Wait until every friend says that it keeps the newest record.
fn wait_for_keepers(lab: &Lab, friends: usize) {
    wait_until("friends keep the recovery record", PATIENCE, || {
        let keepers = lab.kith("you", &["--json", "recover"]).json()["keepers"].clone();
        let keepers = keepers.as_array().unwrap();
        keepers.len() == friends && keepers.iter().all(|k| k["newest"] == true)
    });
}

#[test]
fn words_are_made_checked_and_refused_in_three_lines() {
    let mut lab = Lab::new();
    says(&lab.kith("you", &["recover", "--new", "--yes"]), 1, "not a node yet");
    lab.init("you");
    lab.start("you");
    says(&lab.kith("you", &["recover", "--new"]), 2, "no recovery kit was made");
    let made = lab.kith("you", &["recover", "--new", "--yes"]).ok();
    assert!(made.err.contains("no friends yet"), "{}", made.err);
    for part in ["What it is for", "How sensitive", "Friends: none yet", "\u{2588}"] {
        assert!(made.out.contains(part), "{part} in {}", made.out);
    }
    let words = words_of(&made.out);
    assert_eq!(words.len(), 24);
    let verify = |words: &[String]| kith_with(&lab, "you", &["recover", "--verify"], &words.join("\n"));
    assert!(verify(&words).ok().out.contains("These are your words"));
    assert!(kith_with(&lab, "you", &["recover", "--verify"], &made.out).ok().out.contains("your words"));
    let mut wrong = words.clone();
    wrong[6] = "kith".into();
    says(&verify(&wrong), 1, "word 7 is not in the list");
    says(&verify(&words[1..]), 1, "23 words");
    let swapped: Vec<String> = words.iter().rev().cloned().collect();
    says(&verify(&swapped), 1, "do not fit together");
    let zeros = [&vec!["abandon".to_string(); 23][..], &["art".to_string()]].concat();
    says(&verify(&zeros), 1, "not yours");
    // A place where a node is, no address, nobody there, an address that is none.
    let all = words.join(" ");
    let back = |node: &str, more: &[&str]| {
        let args = [&["recover", "--from-phrase", "--listen", "127.0.0.1:0"], more].concat();
        kith_with(&lab, node, &args, &all)
    };
    says(&back("you", &[]), 1, "a node already");
    says(&back("new", &[]), 1, "no friend's address");
    let nobody = format!("{}#{}", free_address(), "a".repeat(52));
    assert_eq!(back("new", &["--friend", &nobody]).code, 2, "that is no node's key");
    assert_eq!(back("new", &["--friend", "127.0.0.1:1"]).code, 2);
    let node = lab.status("you")["node"].as_str().unwrap().to_string();
    let nobody = format!("{}#{node}", free_address());
    says(&back("new", &["--friend", &nobody]), 1, "no friend gave a recovery record");
    // Who is no friend of hers takes no call from her.
    let stranger = format!("{}#{node}", lab.status("you")["addrs"][0].as_str().unwrap());
    says(&back("new", &["--friend", &stranger]), 1, "keeps no recovery record");
    assert!(!lab.path("new").join("state/config.json").exists());
}

#[test]
fn a_machine_that_is_gone_comes_back_from_friends_with_a_kit() {
    if !can_mount() {
        return;
    }
    let mut lab = Lab::grid(2);
    let mnt = lab.mount("you");
    fs::create_dir(mnt.join("album")).unwrap();
    for i in 0..8 {
        fs::write(mnt.join(format!("album/photo {i}")), bytes(i, 400_000 * i as usize)).unwrap();
        fs::write(mnt.join(format!("note {i}")), bytes(100 + i, 900)).unwrap();
    }
    let want = snapshot(&mnt);
    lab.sync("you", "full");
    wait_for_keepers(&lab, 2);
    let kit = lab.path("kit.txt");
    let made = lab.kith("you", &["recover", "--new", "--yes", "--out", kit.to_str().unwrap()]).ok();
    assert_eq!(fs::metadata(&kit).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!made.out.contains(&words_of(&fs::read_to_string(&kit).unwrap())[..3].join(" ")), "{}", made.out);
    let again = lab.kith("you", &["recover", "--new", "--yes", "--out", kit.to_str().unwrap()]);
    says(&again, 1, "no recovery kit was made");
    let text = fs::read_to_string(&kit).unwrap();
    assert!(text.contains("Drives: family") && text.matches('#').count() == 3, "{text}");
    // The machine is gone, and nothing of it is left.
    lab.kill("you");
    let _ = Command::new("umount").arg("-l").arg(&mnt).stderr(Stdio::null()).status();
    let _ = Command::new("fusermount3").arg("-uz").arg(&mnt).stderr(Stdio::null()).status();
    fs::remove_dir_all(lab.path("you")).unwrap();

    let listen = free_address();
    let args = ["recover", "--from-phrase", "--kit", kit.to_str().unwrap(), "--listen", &listen, "--gone"];
    let background = Background(&lab, "back");
    let back = lab.kith("back", &args).ok();
    assert!(back.out.contains("You are back, as 'you'") && back.out.contains("family"), "{}", back.out);
    let mnt = lab.mount("back");
    wait_until("the files are there", PATIENCE, || fs::read_dir(&mnt).unwrap().count() == 9);
    same_tree(&want, &snapshot(&mnt));
    let letter = mnt.join("written after");
    fs::write(&letter, bytes(77, 3_000_000)).unwrap();
    lab.sync("back", "full");
    assert_eq!(fs::read(&letter).unwrap(), bytes(77, 3_000_000));
    says(&lab.kith("back", &args), 1, "a node already");
    let friends = lab.status("back")["friends"].clone();
    assert_eq!(friends.as_array().unwrap().len(), 2, "the former machine was given up: {friends}");
    drop(background);
}
