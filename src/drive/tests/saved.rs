//! Saving as programs do it that sync nothing.

use super::*;
use crate::promises::promise;

/// Another file is written, closed, and given the name of the first; then the power goes.
#[tokio::test(start_paused = true)]
async fn a_file_saved_over_another_is_the_old_one_or_the_new_one() {
    promise(
        "A file that is written, closed and renamed over another is the old one or the new one after a power cut, also without fsync.",
    );
    let (mut old, mut new) = (0, 0);
    for seed in model::seeds(120) {
        let (grid, founding, dice) = (MemGrid::new(0), found(1), Dice::new(seed));
        let len = [3_000, 300_000, 1_500_000, 2_300_000][dice.below(4) as usize];
        let m = Machine::start(&founding, 0, &grid).await;
        let (first, second) = (dice.noise(len), dice.noise(len + dice.below(9000) as usize));
        m.write("document", &first).await.unwrap();
        m.fsync("document").await.unwrap();
        tokio::time::sleep(Duration::from_millis(dice.below(4000))).await;
        m.write("document.new", &second).await.unwrap();
        let (from, to) = ((ROOT_INO, &b"document.new"[..]), (ROOT_INO, &b"document"[..]));
        m.drive.rename(from, to, false, false, ME).unwrap();
        tokio::time::sleep(Duration::from_millis(dice.below(1500))).await;
        let m = m.crash(Crash::Seeded(dice.next())).await;
        let found = m.read("document").await.unwrap();
        assert!(found == first || found == second, "seed {seed}: {} bytes", found.len());
        *(if found == first { &mut old } else { &mut new }) += 1;
    }
    assert!(model::seeds(120).len() < 100 || (old > 5 && new > 5), "{old} old, {new} new");
}

/// As on a local disk, where a file is the kernel's when it is closed.
#[tokio::test(start_paused = true)]
async fn what_was_closed_is_there_after_a_kill() {
    promise(
        "What was closed is there after the daemon was killed; a large file, and what has no content, a moment later.",
    );
    for (len, moment) in [(0, 0), (5, 0), (4096, 0), (60_000, 0), (1_500_000, 200)] {
        let (grid, founding, dice) = (MemGrid::new(0), found(1), Dice::new(len as u64));
        let m = Machine::start(&founding, 0, &grid).await;
        let bytes = dice.noise(len);
        for i in 0..20 {
            m.write(&format!("note {i}"), &bytes).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(moment)).await;
        let m = m.crash(Crash::Kill).await;
        for i in 0..20 {
            let found = m.read(&format!("note {i}")).await;
            assert!(found.as_ref() == Ok(&bytes), "{len} bytes, {i}: {:?}", found.map(|b| b.len()));
        }
        // A name alone: a moment later.
        m.drive.mkdir(ROOT_INO, b"dir", 0o755, ME).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let m = m.crash(Crash::Kill).await;
        assert!(m.drive.resolve(b"dir").is_ok());
    }
}
