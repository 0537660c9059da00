//! A drive whose admin log is damaged on this machine's disk opens all the same, now or later.

use super::begin;
use super::close::{friends, node};
use kithfs::sim::Village;
use kithfs::world::{Disk, SimDisk};
use std::path::PathBuf;
use std::time::Duration;

/// Files of a node whose path contains these parts.
fn files(disk: &SimDisk, parts: [&str; 2]) -> Vec<PathBuf> {
    let fits = |p: &PathBuf| parts.iter().all(|part| p.to_string_lossy().contains(part));
    disk.paths().into_iter().filter(fits).collect()
}

fn damage_admin_log(disk: &SimDisk) {
    let files = files(disk, ["/drives/", "/admin."]);
    assert!(!files.is_empty());
    for path in files {
        assert!(disk.flip(&path, 2000));
    }
}

async fn friends_that_stopped(village: &Village) {
    let [a, b] = friends(village).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    a.close().await;
    b.close().await;
}

#[test]
fn a_damaged_admin_log_comes_again_from_what_this_machine_lends() {
    begin(1, || {
        kithfs::village!(async {
            let village = Village::new(1, 2);
            friends_that_stopped(&village).await;
            damage_admin_log(&village.disk(0));
            // Its friend is not even on.
            let a = node(village.machine(0)).await;
            let drive = a.find_drive(Some("d")).unwrap().drive;
            assert_eq!(drive.members().len(), 2);
            a.close().await;
            assert!(!files(&village.disk(0), ["/drives/", ".damaged-1"]).is_empty(), "it is kept");
            let a = node(village.machine(0)).await;
            a.find_drive(Some("d")).unwrap();
            a.close().await;
        });
    });
}

#[test]
fn a_drive_that_did_not_open_opens_once_it_can() {
    for asked in [false, true] {
        begin(1, || {
            kithfs::village!(async {
                let village = Village::new(1, 2);
                friends_that_stopped(&village).await;
                let disk = village.disk(1);
                damage_admin_log(&disk);
                for path in files(&disk, ["/lent/", "/logs/"]) {
                    disk.remove(&path).unwrap();
                }
                let b = node(village.machine(1)).await;
                assert!(b.find_drive(Some("d")).is_err(), "nobody to ask");
                let a = node(village.machine(0)).await;
                match asked {
                    true => {
                        tokio::time::sleep(Duration::from_secs(2)).await;
                        b.reopen(Some("d")).await;
                    }
                    false => tokio::time::sleep(Duration::from_secs(120)).await,
                }
                let drive = b.find_drive(Some("d")).unwrap().drive;
                assert_eq!(drive.members().len(), 2);
                b.close().await;
                a.close().await;
            });
        });
    }
}
