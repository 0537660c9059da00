//! kill -9 of the client daemon, and now and then of a holder, at random moments under write load:
//! everything synced
//! before is there, the tree is well-formed, and what was reported safe is readable from
//! another machine with the first one's disk gone.
//!
//! `KITH_KILLS=100` for the long run; `KITH_SEED` replays one.

mod lab;
#[path = "../src/promises.rs"]
mod promises;

use lab::{Lab, bytes, can_mount, count};
use promises::promise;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What is known of a file, by its name in the mount.
#[derive(Clone, Debug)]
struct Kept {
    seed: u64,
    len: usize,
}

/// A small reproducible generator (splitmix64).
struct Dice(u64);
impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

/// Files a writer makes in a round at full speed; it goes on slowly, so that a long run fits on
/// a disk.
const BURST: u64 = 60;
/// Of the files of earlier rounds, one in so many is read again in each round; all at the end.
const SAMPLE: usize = 20;

/// Write files until told to stop or the mount dies: each is written to a temporary name,
/// synced, renamed, its directory synced, and only then recorded.
fn writer(
    mnt: PathBuf,
    worker: u64,
    round: u64,
    dice_seed: u64,
    synced: Arc<Mutex<BTreeMap<PathBuf, Kept>>>,
    stop: Arc<AtomicBool>,
) {
    let mut dice = Dice(dice_seed);
    let dir = PathBuf::from(format!("w{worker}"));
    let _ = std::fs::create_dir_all(mnt.join(&dir));
    for i in 0u64.. {
        if i > BURST {
            std::thread::sleep(Duration::from_millis(100));
        }
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let name = dir.join(format!("r{round}-{i}"));
        let kept = Kept {
            seed: dice.roll(u64::MAX),
            len: [0, 100, 5_000, 70_000, 1_500_000][dice.roll(5) as usize],
        };
        let work = || -> std::io::Result<()> {
            let temporary = mnt.join(&dir).join(format!(".tmp{i}"));
            let mut file = File::create(&temporary)?;
            for part in bytes(kept.seed, kept.len).chunks(50_000) {
                file.write_all(part)?;
            }
            file.sync_all()?;
            drop(file);
            std::fs::rename(&temporary, mnt.join(&name))?;
            File::open(mnt.join(&dir))?.sync_all()
        };
        if work().is_err() {
            return;
        }
        synced.lock().unwrap().insert(name, kept);
    }
}

fn check(mnt: &Path, kept: &BTreeMap<PathBuf, Kept>, when: &str) {
    for (name, k) in kept {
        let data = std::fs::read(mnt.join(name))
            .unwrap_or_else(|e| panic!("{when}: {} is lost: {e}", name.display()));
        assert_eq!(data.len(), k.len, "{when}: {} has another length", name.display());
        assert!(data == bytes(k.seed, k.len), "{when}: {} has other bytes", name.display());
    }
}

/// Every name can be listed, stat'ed and read: nothing half there.
fn well_formed(dir: &Path) {
    for entry in std::fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
        let path = entry.unwrap().path();
        let meta = std::fs::symlink_metadata(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        if meta.is_dir() {
            well_formed(&path);
        } else {
            let data = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert_eq!(data.len() as u64, meta.len(), "{}", path.display());
        }
    }
}

#[test]
fn nothing_synced_is_lost_when_the_daemon_is_killed() {
    promise("What fsync was asked for is there after the daemon was killed.");
    if !can_mount() {
        return;
    }
    let seed = count("KITH_SEED", 20_261_124) as u64;
    let kills = count("KITH_KILLS", 4);
    println!("seed={seed} kills={kills}");
    let mut dice = Dice(seed);
    let mut lab = Lab::grid(5);
    let synced = Arc::new(Mutex::new(BTreeMap::new()));
    let mut safe: BTreeMap<PathBuf, Kept> = BTreeMap::new();
    let mut mnt = lab.mount("you");
    for round in 0..kills as u64 {
        let stop = Arc::new(AtomicBool::new(false));
        let workers: Vec<_> = (0..3)
            .map(|w| {
                let (mnt, synced, stop, s) = (mnt.clone(), synced.clone(), stop.clone(), dice.roll(u64::MAX));
                std::thread::spawn(move || writer(mnt, w, round, s, synced, stop))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(50 + dice.roll(2000)));
        // Every other round a holder is killed, too, and stays off until all has been checked:
        // what it has receipted must be on its disk, and one may be missing at any time.
        let holder = (round % 2 == 1).then(|| format!("f{}", dice.roll(5)));
        if let Some(holder) = &holder {
            lab.kill(holder);
        }
        std::thread::sleep(Duration::from_millis(dice.roll(2000)));
        // What the file itself says is safe right now must survive everything from here on.
        for (name, kept) in synced.lock().unwrap().iter() {
            if safe.contains_key(name) {
                continue;
            }
            if let Ok(Some(state)) = xattr::get(mnt.join(name), "user.kith.state")
                && (state.starts_with(b"safe") || state.starts_with(b"full"))
            {
                safe.insert(name.clone(), kept.clone());
            }
        }
        lab.kill("you");
        stop.store(true, Ordering::Relaxed);
        for w in workers {
            w.join().unwrap();
        }
        lab.start("you");
        mnt = lab.mount("you");
        let known = synced.lock().unwrap().clone();
        let recent = |name: &Path| {
            (round.saturating_sub(1)..=round)
                .any(|r| name.file_name().unwrap().to_string_lossy().starts_with(&format!("r{r}-")))
        };
        let now: BTreeMap<PathBuf, Kept> = known
            .iter()
            .enumerate()
            .filter(|(i, (name, _))| recent(name) || i % SAMPLE == round as usize % SAMPLE)
            .map(|(_, (name, kept))| (name.clone(), kept.clone()))
            .collect();
        check(&mnt, &now, &format!("seed={seed} round {round}"));
        if let Some(holder) = &holder {
            lab.start(holder);
        }
        println!("round {round}: {} synced, {} safe, {holder:?} killed", known.len(), safe.len());
    }
    check(&mnt, &synced.lock().unwrap().clone(), &format!("seed={seed} at the end"));
    well_formed(&lab.mount_dir("you"));
    assert!(
        !safe.is_empty(),
        "nothing became safe in {kills} rounds: the load is too short to prove anything"
    );

    // The first machine's disk is gone, and any margin of homes with it.
    lab.init("guest");
    lab.start("guest");
    lab.befriend("you", "guest", &["--drive", "family", "--as", "writer"]);
    lab.kill("you");
    std::fs::remove_dir_all(lab.path("you")).unwrap();
    let margin = lab.status("guest")["drives"][0]["margin"].as_u64().unwrap();
    assert!(margin >= 1);
    let first = dice.roll(5);
    for i in 0..margin {
        lab.kill(&format!("f{}", (first + i) % 5));
    }
    let mnt = lab.mount("guest");
    check(&mnt, &safe, "on the second machine");
    lab.stop("guest");
}
