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
