//! Entries that come before what they build on: few are kept, and all come in.

use super::super::access::Access;
use super::*;
use crate::grid::DriveAccess;
use std::sync::Weak;

const ROUNDS: usize = 12;

/// Two devices that each build on what the other did last; their logs come one after the other.
#[tokio::test(start_paused = true)]
async fn entries_that_find_no_place_to_wait_come_in_later() {
    let (founding, grid) = (found(3), MemGrid::new(1));
    let a = Machine::start(&founding, 0, &grid).await;
    let b = Machine::start(&founding, 1, &grid).await;
    for round in 0..ROUNDS {
        for (m, name) in [(&a, format!("a{round}")), (&b, format!("b{round}"))] {
            m.write(&name, name.as_bytes()).await.unwrap();
            m.full().await;
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    }
    grid.set_up(0, false);
    let c = Machine::start(&founding, 2, &grid).await;
    c.drive.shared.core.lock().fold.set_room(2, 1 << 20);
    grid.set_up(0, true);
    let (mut most, mut times) = (0, 0);
    while c.names("").len() < 2 * ROUNDS {
        most = most.max(c.drive.shared.core.lock().fold.waiting().len());
        times += 1;
        assert!(times < 10_000, "{:?} came in", c.names(""));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(most <= 2, "few wait");
    assert!(times > 30, "some were turned away, and asked for again");
    assert_eq!(c.names(""), a.names(""));
    assert!(c.drive.shared.core.lock().fold.waiting().is_empty());
    let c = c.restart().await;
    assert_eq!(c.names(""), a.names(""));
}

/// A list that is not known to be whole is none: what is not on it may be let go.
#[tokio::test(start_paused = true)]
async fn the_leases_of_a_drive_that_is_closed_are_not_known() {
    let founding = found(1);
    let m = Machine::start(&founding, 0, &MemGrid::new(3)).await;
    m.write("f", &Dice::new(1).noise(300_000)).await.unwrap();
    m.full().await;
    let (leased, whole) = m.drive.shared.leased_shares();
    assert_eq!(whole, Ok(()));
    assert_eq!(leased.len() % 3, 0);
    let closed = Access { drive: founding.keys.drive(), shared: Weak::new() };
    assert!(closed.leased().is_err());
}
