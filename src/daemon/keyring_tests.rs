use super::*;
use crate::daemon::setup::new_identity;
use crate::world::{Blocking, Disk, MemIndexes, OsRng, RealDisk, RealNet, SimDisk, SystemClock};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

fn world(disk: impl Disk) -> World {
    World {
        clock: Arc::new(SystemClock::new()),
        rng: Arc::new(OsRng),
        disk: Arc::new(disk),
        net: Arc::new(RealNet),
        indexes: Arc::new(MemIndexes),
        blocking: Blocking::Inline,
    }
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(test)
}

/// The label is the drive's name here: what tells one state of the keys from another.
async fn made(world: &World, home: &Home) -> Keyring {
    world.disk.create_dir_all(&home.state).unwrap();
    Keyring::create(world, home, new_identity(world, "me", "home"), None).await.unwrap()
}

#[test]
fn one_flipped_bit_in_the_newest_keystore_loses_no_key_and_is_told() {
    run(async {
        let home = Home::below(Path::new("/kith"));
        // Written once, as of a node that only lends; and changed later.
        for changes in 0..3 {
            let disk = SimDisk::new();
            let world = world(disk.clone());
            let ring = made(&world, &home).await;
            for n in 0..changes {
                ring.change(|k| k.other.insert(n.to_string(), crate::keys::Sensitive(vec![1])))
                    .await
                    .unwrap();
            }
            for name in ["keystore.0", "keystore.1"] {
                assert!(disk.flip(&home.state.join(name), 2000), "{name} is there");
                let ring = Keyring::open(&world, &home, None).await.unwrap();
                assert_eq!(ring.read(|k| k.other.len()), changes, "{name}");
                assert!(ring.problem().unwrap().contains(name));
                assert_eq!(Keyring::open(&world, &home, None).await.unwrap().problem(), None, "mended");
            }
        }
    });
}

#[test]
fn keys_that_cannot_be_read_are_refused_in_words_and_not_written_over() {
    run(async {
        let home = Home::below(Path::new("/kith"));
        let disk = SimDisk::new();
        let world = world(disk.clone());
        made(&world, &home).await;
        for name in ["keystore.0", "keystore.1"] {
            disk.flip(&home.state.join(name), 2000);
        }
        let before = disk.paths();
        let refused = Keyring::open(&world, &home, None).await.err().unwrap();
        for name in ["keystore.0", "keystore.1"] {
            assert!(refused.why.contains(name) && refused.fix.contains(name), "{refused:?}");
        }
        assert!(exists(&world, &home).await.is_err(), "it is not taken for a machine without keys");
        assert_eq!(disk.paths(), before);
    });
}

#[test]
fn keys_are_for_their_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::below(dir.path());
    run(made(&world(RealDisk), &home));
    let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&home.state), 0o700);
    for name in ["keystore.0", "keystore.1", "keystore.key"] {
        assert_eq!(mode(&home.state.join(name)), 0o600, "{name}");
    }
}
