//! A machine is gone with all that was on it: what its person's words bring back, and what not.

use super::begin;
use super::close::node;
use bytes::Bytes;
use kithfs::daemon::api::{Line, Trouble};
use kithfs::daemon::home::Home;
use kithfs::daemon::node::Node;
use kithfs::daemon::recover::{CameBack, ComingBack, recover_in};
use kithfs::drive::{Caller, Drive, Files, OpenMode, ROOT_INO};
use kithfs::grid::Level;
use kithfs::keys::{Kit, KitFriend, Power, Seed};
use kithfs::sim::Village;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const ME: Caller = Caller { uid: 0, gid: 0, pid: 1, umask: 0 };
const EDIT: OpenMode = OpenMode { read: true, write: true, truncate: false, append: false };
/// Longer than a node takes to see that something has changed and to tell its friends.
const A_WHILE: Duration = Duration::from_secs(40);

async fn rest() {
    tokio::time::sleep(A_WHILE).await;
}

fn content(n: u8, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new().update(&[n]).finalize_xof().fill(&mut out);
    out
}

async fn write(drive: &Drive, name: &str, bytes: &[u8]) {
    let (_, handle) = drive.create(ROOT_INO, name.as_bytes(), 0o644, EDIT, ME).unwrap();
    for (i, part) in bytes.chunks(100_000).enumerate() {
        drive.write(handle, i as u64 * 100_000, Bytes::copy_from_slice(part), false).await.unwrap();
    }
    drive.flush(handle).await.unwrap();
    drive.release(handle).await.unwrap();
}

async fn read(drive: &Drive, name: &str) -> Vec<u8> {
    let attr = drive.lookup(ROOT_INO, name.as_bytes()).unwrap_or_else(|e| panic!("{name}: {e}"));
    let handle = drive.open(attr.ino, OpenMode { write: false, ..EDIT }).await.unwrap();
    let mut out = Vec::new();
    while (out.len() as u64) < attr.size {
        out.extend_from_slice(&drive.read(handle, out.len() as u64, 1 << 17).await.unwrap());
    }
    drive.release(handle).await.unwrap();
    out
}

async fn safe(drive: &Drive, level: Level) {
    let done = drive.wait(ROOT_INO, level, Duration::from_secs(600)).await.unwrap();
    assert!(matches!(done, kithfs::drive::WaitOutcome::Reached), "{done:?}");
}

/// Her machine and two friends' (0, 1, 2), with a drive in which files are as safe as can be.
async fn family(village: &Village) -> (Arc<Node>, Vec<Arc<Node>>) {
    let her = node(village.machine(0)).await;
    let mut friends = Vec::new();
    for n in [1, 2] {
        let friend = node(village.machine(n)).await;
        let ticket = her.invite(Some(format!("friend {n}")), Some(1 << 36), 60, &[], "writer").await.unwrap();
        let Line::Ticket { ticket, .. } = ticket else { panic!("no ticket") };
        friend.join(&ticket, Some(1 << 36)).await.unwrap();
        friends.push(friend);
    }
    let drive = her.create_drive("photos").await.unwrap().drive;
    rest().await;
    write(&drive, "note", b"a note").await;
    write(&drive, "photo", &content(1, 700_000)).await;
    safe(&drive, Level::Full).await;
    rest().await;
    (her, friends)
}

fn kit(her: &Node) -> Kit {
    let Ok(Line::RecoveryKit { text, friends, .. }) = her.recovery_kit(None) else { panic!("no kit") };
    let kit = Kit::parse(text.expose()).unwrap();
    assert_eq!(kit.nodes(), friends);
    kit
}

/// In place of the former machine's name: it is given up.
const GONE: &str = "gone";

/// At `machine`, which is to get the name and household of `former`.
async fn come_back(village: &Village, machine: usize, kit: Kit) -> Result<CameBack, Trouble> {
    come_back_as(village, machine, "node 0", kit).await
}

async fn come_back_as(
    village: &Village,
    machine: usize,
    former: &str,
    kit: Kit,
) -> Result<CameBack, Trouble> {
    let world = village.machine(machine).world;
    let home = Home::below(Path::new("/kith"));
    let listen = "0.0.0.0:4433".parse().unwrap();
    // In all these tests but one the former machine may return.
    let gone = former == GONE;
    let former = if gone { "node 0" } else { former };
    let coming =
        ComingBack { kit, label: None, lends: None, household: None, listen, passphrase: None, gone };
    recover_in(&world, &home, &coming).await.map(|(came, config)| {
        assert_eq!((config.label.as_str(), config.household.as_str()), (former, former));
        came
    })
}

#[test]
fn the_words_bring_back_the_drive_the_files_and_the_power_to_write() {
    begin(1, || {
        kithfs::village!(async {
            let village = Village::new(1, 5);
            let (her, friends) = family(&village).await;
            let report = her.recovery_report();
            assert!(report.keepers.len() == 2 && report.keepers.iter().all(|k| k.newest), "{report:?}");
            let (person, kit) = (her.person(), kit(&her));
            her.close().await;
            village.net.set_off(0, true);
            let came = come_back(&village, 3, kit).await.unwrap();
            assert_eq!((came.person, came.answered, came.older), (person, 2, 0));
            assert_eq!((came.label.as_str(), came.drives), ("node 0", vec!["photos".to_string()]));
            let new = node(village.machine(3)).await;
            new.bring_all_back().await;
            let drive = new.find_drive(Some("photos")).unwrap().drive;
            assert_eq!(read(&drive, "note").await, b"a note");
            assert_eq!(read(&drive, "photo").await, content(1, 700_000));
            write(&drive, "written after", &content(2, 300_000)).await;
            safe(&drive, Level::Full).await;
            rest().await;
            // Friends may use the new machine, too, by the names she gave them.
            let mut names: Vec<String> =
                new.friends().into_iter().filter(|f| f.online).map(|f| f.name).collect();
            names.sort();
            assert_eq!(names, ["friend 1", "friend 2"]);
            assert!(new.friends().iter().filter(|f| f.online).all(|f| f.we_allow == 1 << 36));
            let report = new.recovery_report();
            assert!(report.keepers.iter().filter(|k| k.newest).count() == 2, "{report:?}");
            // And again, from the record that the new machine made.
            let again = self::kit(&new);
            new.close().await;
            village.net.set_off(3, true);
            let came = come_back_as(&village, 4, "node 3", again).await.unwrap();
            assert_eq!(came.answered, 2);
            let last = node(village.machine(4)).await;
            last.bring_all_back().await;
            let drive = last.find_drive(None).unwrap().drive;
            assert_eq!(read(&drive, "written after").await, content(2, 300_000));
            last.close().await;
            for friend in friends {
                friend.close().await;
            }
        });
    });
}

#[test]
fn the_newest_record_counts_and_who_has_an_older_one_is_brought_it() {
    begin(1, || {
        kithfs::village!(async {
            let village = Village::new(2, 4);
            let (her, friends) = family(&village).await;
            let old = her.recovery_report().generation;
            village.net.set_off(2, true);
            rest().await;
            her.create_drive("later").await.unwrap();
            rest().await;
            assert!(her.recovery_report().generation > old);
            let kit = kit(&her);
            her.close().await;
            village.net.set_off(0, true);
            village.net.set_off(2, false);
            let came = come_back(&village, 3, kit).await.unwrap();
            assert_eq!((came.answered, came.older), (2, 1));
            assert_eq!(came.drives.len(), 2, "{came:?}");
            let new = node(village.machine(3)).await;
            new.bring_all_back().await;
            rest().await;
            assert_eq!(new.drives().len(), 2);
            let report = new.recovery_report();
            assert!(report.keepers.len() == 2 && report.keepers.iter().all(|k| k.newest), "{report:?}");
            new.close().await;
            for friend in friends {
                friend.close().await;
            }
        });
    });
}

#[test]
fn what_does_not_come_back_is_said() {
    begin(1, || {
        kithfs::village!(async {
            let village = Village::new(3, 5);
            let (her, friends) = family(&village).await;
            let kit = kit(&her);
            her.close().await;
            village.net.set_off(0, true);
            let nowhere = Kit { friends: Vec::new(), ..kit.clone() };
            let t = come_back(&village, 3, nowhere).await.unwrap_err();
            assert!(t.why.contains("no friend's address") && t.fix.contains("--friend"), "{t}");
            // Words of somebody whom the friends do not know: their machines take no such call.
            let stranger = Kit { root: Seed::from_bytes([9; 32]), ..kit.clone() };
            let t = come_back(&village, 3, stranger).await.unwrap_err();
            assert!(t.why.contains("keeps no recovery record for these words"), "{t}");
            // One friend's node under another's address is not that friend.
            let mut crossed = kit.clone();
            let addr = crossed.friends[0].addr;
            crossed.friends.truncate(2);
            crossed.friends = crossed.friends.iter().map(|f| KitFriend { addr, ..f.clone() }).collect();
            crossed.friends.remove(0);
            let t = come_back(&village, 3, crossed).await.unwrap_err();
            assert_eq!(t.what, "nothing was recovered", "{t}");
            for n in [1, 2] {
                village.net.set_off(n, true);
            }
            let t = come_back(&village, 3, kit.clone()).await.unwrap_err();
            assert!(t.why.contains("no friend gave a recovery record"), "{t}");
            village.net.set_off(1, false);
            let came = come_back(&village, 3, kit.clone()).await.unwrap();
            assert_eq!((came.answered, came.silent.len()), (1, 1), "one friend is enough");
            for friend in friends {
                friend.close().await;
            }
        });
    });
}

#[test]
fn a_friend_who_was_off_hears_of_the_new_machine_from_another() {
    begin(1, || {
        kithfs::village!(async {
            let village = Village::new(5, 4);
            let (her, friends) = family(&village).await;
            let kit = kit(&her);
            her.close().await;
            village.net.set_off(0, true);
            village.net.set_off(2, true);
            let came = come_back(&village, 3, kit).await.unwrap();
            assert_eq!((came.answered, came.silent.len()), (1, 1), "{came:?}");
            let new = node(village.machine(3)).await;
            new.bring_all_back().await;
            // One of the two is enough for what is there, and too few for what is new to be safe.
            let drive = new.find_drive(None).unwrap().drive;
            assert_eq!(read(&drive, "photo").await, content(1, 700_000));
            write(&drive, "new", &content(3, 200_000)).await;
            rest().await;
            village.net.set_off(2, false);
            safe(&drive, Level::Full).await;
            rest().await;
            let report = new.recovery_report();
            assert!(report.keepers.len() == 2 && report.keepers.iter().all(|k| k.newest), "{report:?}");
            new.close().await;
            for friend in friends {
                friend.close().await;
            }
        });
    });
}

#[test]
fn a_drive_of_somebody_else_comes_back_to_be_read_until_she_is_invited_again() {
    begin(1, || {
        kithfs::village!(async {
            let village = Village::new(6, 4);
            let (her, friends) = family(&village).await;
            let host = &friends[0];
            let theirs = host.create_drive("theirs").await.unwrap().drive;
            let invite = || async {
                let ticket = host.invite(None, Some(1 << 36), 60, &["theirs".into()], "writer").await;
                let Line::Ticket { ticket, .. } = ticket.unwrap() else { panic!("no ticket") };
                ticket
            };
            her.join(&invite().await, Some(1 << 36)).await.unwrap();
            // So small that it lies in the log: shares of it are on her machine alone.
            write(&theirs, "by its owner", &content(4, 900)).await;
            safe(&theirs, Level::Full).await;
            rest().await;
            write(&her.find_drive(Some("theirs")).unwrap().drive, "by her", b"hers").await;
            safe(&her.find_drive(Some("theirs")).unwrap().drive, Level::Full).await;
            rest().await;
            let kit = kit(&her);
            her.close().await;
            village.net.set_off(0, true);
            come_back(&village, 3, kit).await.unwrap();
            let new = node(village.machine(3)).await;
            new.bring_all_back().await;
            let drive = new.find_drive(Some("theirs")).unwrap();
            assert_eq!(drive.power, Power::Read);
            assert_eq!(read(&drive.drive, "by its owner").await, content(4, 900));
            assert_eq!(read(&drive.drive, "by her").await, b"hers");
            assert!(drive.drive.create(ROOT_INO, b"no", 0o644, EDIT, ME).is_err(), "read only");
            let t = new.join(&invite().await, Some(1 << 36)).await.unwrap_err();
            assert!(t.what.contains("until kith starts again"), "{t}");
            new.close().await;
            let new = node(village.machine(3)).await;
            let drive = new.find_drive(Some("theirs")).unwrap();
            assert_eq!(drive.power, Power::Write);
            write(&drive.drive, "by her again", b"back").await;
            safe(&drive.drive, Level::Full).await;
            new.close().await;
            for friend in friends {
                friend.close().await;
            }
        });
    });
}

#[test]
fn a_machine_that_was_given_up_is_refused_by_friends_for_ever() {
    begin(1, || {
        kithfs::village!(async {
            let village = Village::new(7, 5);
            let (her, friends) = family(&village).await;
            let (former, kit) = (her.id(), kit(&her));
            her.close().await;
            village.net.set_off(0, true);
            come_back_as(&village, 3, GONE, kit).await.unwrap();
            let new = node(village.machine(3)).await;
            new.bring_all_back().await;
            rest().await;
            assert_eq!(new.friends().len(), 2, "the former machine is none");
            for friend in &friends {
                assert!(friend.friends().iter().all(|f| f.node != former.to_string()));
            }
            // The thief switches it on.
            village.net.set_off(0, false);
            let stolen = node(village.machine(0)).await;
            rest().await;
            assert!(stolen.friends().iter().all(|f| !f.online), "{:?}", stolen.friends());
            // And it does not come back by what a later machine brings back.
            let again = self::kit(&new);
            new.close().await;
            village.net.set_off(3, true);
            come_back_as(&village, 4, "node 3", again).await.unwrap();
            let last = node(village.machine(4)).await;
            last.bring_all_back().await;
            rest().await;
            assert!(stolen.friends().iter().all(|f| !f.online));
            assert!(last.friends().iter().all(|f| f.node != former.to_string()));
            for node in friends.into_iter().chain([stolen, last]) {
                node.close().await;
            }
        });
    });
}

#[test]
fn a_second_machine_and_the_first_come_to_know_the_same_drives() {
    begin(1, || {
        kithfs::village!(async {
            let village = Village::new(4, 4);
            let (her, friends) = family(&village).await;
            come_back(&village, 3, kit(&her)).await.unwrap();
            let second = node(village.machine(3)).await;
            second.bring_all_back().await;
            second.create_drive("second's").await.unwrap();
            rest().await;
            her.create_drive("first's").await.unwrap();
            for _ in 0..4 {
                rest().await;
            }
            let names = |node: &Node| {
                let mut names: Vec<String> = node.drives().into_iter().map(|d| d.name).collect();
                names.sort();
                names
            };
            assert_eq!(names(&her), ["first's", "photos", "second's"]);
            her.close().await;
            second.close().await;
            for friend in friends {
                friend.close().await;
            }
        });
    });
}
