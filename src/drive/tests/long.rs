//! What goes on for long: the journal must not grow with it.

use super::*;
use std::future::{Future, poll_fn};
use std::task::Poll;

async fn small_journal(file: u64, max: u64) -> Machine {
    let (grid, founding) = (MemGrid::new(3), found(1));
    let m = Machine::start(&founding, 0, &grid).await;
    let Machine { disk, mut setup, client, drive } = m;
    drive.close().await;
    (setup.options.journal_file, setup.options.journal_max) = (file, max);
    let drive = Drive::open(setup.clone()).await.expect("opens");
    Machine { disk, setup, client, drive }
}

/// Ten times what the journal may be, in files that lie in it whole.
#[tokio::test(start_paused = true)]
async fn a_journal_stays_far_from_its_limit_however_much_is_written() {
    let (max, dice) = (8 << 20, Dice::new(1));
    let m = small_journal(1 << 20, max).await;
    let mut longest = 0;
    let mut bytes = Vec::new();
    for i in 0..800 {
        bytes = dice.noise(100_000);
        m.write(&format!("note {}", i % 5), &bytes).await.expect("there is room");
        tokio::time::sleep(Duration::from_millis(700)).await;
        longest = longest.max(m.drive.shared.journal.status().disk);
    }
    assert!(longest < max, "{longest} of {max}");
    let m = m.restart().await;
    assert!(m.read("note 4").await.unwrap() == bytes);
}

/// More at once than the journal may be: who writes is told, and when the files have settled there
/// is room again.
#[tokio::test(start_paused = true)]
async fn a_full_journal_is_shortened_and_takes_more() {
    let dice = Dice::new(2);
    let m = small_journal(512 << 10, 2 << 20).await;
    let mut refused = 0;
    for i in 0..40 {
        let done = m.write(&format!("note {i}"), &dice.noise(100_000)).await;
        refused += usize::from(done == Err(Error::NoSpace));
    }
    assert!(refused > 0, "it was never full");
    tokio::time::sleep(Duration::from_secs(120)).await;
    for i in 0..20 {
        let bytes = dice.noise(100_000);
        m.write(&format!("later {i}"), &bytes).await.expect("there is room again");
        assert!(m.read(&format!("later {i}")).await.unwrap() == bytes);
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
}

/// While what is pending is told again, and it is more than memory has room for, others find room.
#[tokio::test(start_paused = true)]
async fn nobody_is_refused_while_the_journal_is_shortened() {
    let m = small_journal(1 << 20, 64 << 20).await;
    let shared = m.drive.shared.clone();
    let mkdir = |i: usize| m.drive.mkdir(ROOT_INO, format!("{i:0200}").as_bytes(), 0o755, ME);
    for i in 0..4000 {
        mkdir(i).expect("made");
        if i % 200 == 0 {
            shared.journal.sync_all().await.expect("synced");
        }
    }
    assert!(shared.core.lock().pending.len() >= 4000);
    let mut next = 4000;
    let mut shortening = Box::pin(shared.compact_journal());
    // Wherever it waits.
    while poll_fn(|cx| Poll::Ready(shortening.as_mut().poll(cx))).await.is_pending() {
        for _ in 0..200 {
            mkdir(next).expect("made meanwhile");
            next += 1;
        }
        tokio::task::yield_now().await;
    }
    drop(shortening);
    assert!(next > 4000, "it never waited");
    let m = m.restart().await;
    assert_eq!(m.names("").len(), next);
}
