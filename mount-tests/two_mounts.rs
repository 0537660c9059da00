//! One drive mounted on two machines at once: what is done on one is seen on the other, also
//! where the other's kernel has read it before and may believe what it knows for an hour.

mod lab;
#[path = "../src/promises.rs"]
mod promises;

use lab::{Lab, bytes, can_mount, wait_until};
use promises::promise;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

/// A change goes up and comes down in a few seconds; a busy machine gets more.
const SEEN_WITHIN: Duration = Duration::from_secs(30);

/// Whether a file has just these bytes.
fn has(path: &Path, want: &[u8]) -> bool {
    fs::read(path).is_ok_and(|got| got == want)
}

/// Each kind of change, done at `here` and seen at `there`, where everything was looked at
/// before. `tag` keeps the two directions apart.
fn changes_are_seen(here: &Path, there: &Path, tag: &str) {
    let at = |side: &Path, name: &str| side.join(format!("{tag} {name}"));
    let seen = |what: &str, done: &mut dyn FnMut() -> bool| {
        wait_until(&format!("{tag}: {what}"), SEEN_WITHIN, done);
    };
    let (first, second) = (bytes(1, 300_000), bytes(2, 300_000));
    // The other machine believes that the name is absent.
    assert!(fs::metadata(at(there, "file")).is_err());
    fs::write(at(here, "file"), &first).unwrap();
    fs::create_dir(at(here, "dir")).unwrap();
    fs::write(at(here, "dir").join("inner"), "inner").unwrap();
    seen("a new file", &mut || has(&at(there, "file"), &first));
    seen("a new directory and what is in it", &mut || has(&at(there, "dir").join("inner"), b"inner"));

    // Same length, so that nothing but its bytes tells. (Who has a file open goes on with the
    // version it has, and so do others of that machine meanwhile: nobody has it open here.)
    assert!(has(&at(there, "file"), &first));
    fs::write(at(here, "file"), &second).unwrap();
    seen("other bytes of a file that was read before", &mut || has(&at(there, "file"), &second));
    // Held open while it changes: seen at the latest when it is closed.
    let open = File::open(at(there, "file")).unwrap();
    let mut got = vec![0; 300_000];
    open.read_exact_at(&mut got, 0).unwrap();
    assert!(got == second);
    fs::write(at(here, "file"), &first).unwrap();
    wait_until("the change is up", SEEN_WITHIN, || lab::file_state(&at(here, "file")).starts_with("full"));
    drop(open);
    seen("other bytes of a file that was open", &mut || has(&at(there, "file"), &first));
    File::options().write(true).open(at(here, "file")).unwrap().set_len(1000).unwrap();
    seen("a shorter file, in stat alone", &mut || fs::metadata(at(there, "file")).unwrap().len() == 1000);

    let mode = |path: &Path| {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    let quiet = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o640);
    fs::set_permissions(at(here, "file"), quiet).unwrap();
    seen("another mode", &mut || mode(&at(there, "file")) == 0o640);

    fs::rename(at(here, "file"), at(here, "dir").join("moved")).unwrap();
    seen("the new place of a file", &mut || has(&at(there, "dir").join("moved"), &first[..1000]));
    seen("its old name gone", &mut || fs::metadata(at(there, "file")).is_err());

    fs::remove_file(at(here, "dir").join("inner")).unwrap();
    seen("a removed file", &mut || fs::metadata(at(there, "dir").join("inner")).is_err());
    seen("the listing without it", &mut || fs::read_dir(at(there, "dir")).unwrap().count() == 1);
}

#[test]
fn what_is_changed_on_one_machine_is_seen_on_the_other() {
    promise("What is changed on one machine is seen on the others without mounting anew.");
    if !can_mount() {
        return;
    }
    let mut lab = Lab::grid(3);
    lab.init("guest");
    lab.start("guest");
    lab.befriend("you", "guest", &["--drive", "family", "--as", "writer"]);
    let (yours, theirs) = (lab.mount("you"), lab.mount("guest"));
    changes_are_seen(&yours, &theirs, "from you");
    changes_are_seen(&theirs, &yours, "from the guest");
    lab.stop("guest");
    lab.stop("you");
}
