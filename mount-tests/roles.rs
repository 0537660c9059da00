//! What each role may do, end to end: invited, and opened by a capability.

mod lab;

use lab::{Lab, can_mount};

fn power(lab: &Lab, node: &str) -> String {
    let drives = lab.kith(node, &["--json", "drive", "list"]).json()["drives"].clone();
    assert_eq!(drives.as_array().unwrap().len(), 1, "{drives}");
    drives[0]["power"].as_str().unwrap().to_string()
}

/// A node that can repair or verify knows the drive, does not claim that it can be mounted, and
/// is not kept from its other work by it.
fn knows_no_names(lab: &mut Lab, node: &str, said: &str, verb: &str) {
    assert!(said.contains("cannot be mounted") && !said.contains("yours to mount"), "{said}");
    for started_again in [false, true] {
        if started_again {
            lab.stop(node);
            lab.start(node);
        }
        assert!(power(lab, node).starts_with(verb), "{}", power(lab, node));
        let dir = lab.mount_dir(node);
        let refused = lab.kith(node, &["mount", "--drive", "family", dir.to_str().unwrap()]);
        assert!(refused.code == 1 && refused.err.contains("shows no names"), "{}", refused.err);
        lab.kith(node, &["sync", "--timeout", "20s"]).ok();
        let status = lab.status(node);
        assert_eq!(status["drives"][0]["problems"].as_array().unwrap().len(), 0, "{status}");
    }
}

#[test]
fn roles_may_what_they_say_and_are_told_so() {
    if !can_mount() {
        return;
    }
    let mut lab = Lab::grid(3);
    let mnt = lab.mount("you");
    std::fs::write(mnt.join("letter"), "dear").unwrap();
    lab.sync("you", "full");
    for (node, role, verb) in [("helper", "helper", "repair"), ("auditor", "auditor", "verify")] {
        lab.init(node);
        lab.start(node);
        let ticket = lab.kith("you", &["--json", "invite", node, "--drive", "family", "--as", role]);
        let ticket = ticket.json()["ticket"].as_str().unwrap().to_string();
        let said = lab.kith(node, &["join", &ticket]).ok().out;
        knows_no_names(&mut lab, node, &said, verb);
    }
    // A capability, opened by somebody who is a friend already.
    let cap = lab.kith("you", &["drive", "show", "family", "--as", "reader"]).ok().out.trim().to_string();
    lab.kith("f0", &["drive", "open", &cap]).ok();
    let read_only = lab.mount("f0");
    lab::wait_until("the letter is read", lab::PATIENCE, || {
        std::fs::read(read_only.join("letter")).is_ok_and(|found| found == b"dear")
    });
    let refused = std::fs::write(read_only.join("answer"), "no").unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(30), "EROFS");
    // A reader becomes a writer by another invitation.
    lab.init("reader");
    lab.start("reader");
    lab.befriend("you", "reader", &["--drive", "family", "--as", "reader"]);
    assert_eq!(power(&lab, "reader"), "read");
    let ticket = lab.kith("you", &["--json", "invite", "reader", "--drive", "family", "--as", "writer"]);
    let ticket = ticket.json()["ticket"].as_str().unwrap().to_string();
    let said = lab.kith("reader", &["join", &ticket]);
    assert!(said.code == 1 && said.err.contains("starts again"), "{}", said.err);
    lab.stop("reader");
    lab.start("reader");
    assert_eq!(power(&lab, "reader"), "write");
    let mnt = lab.mount("reader");
    std::fs::write(mnt.join("answer"), "yes").unwrap();
}
