//! The shortest list of steps that still fails.

use std::time::{Duration, Instant};

/// Leaves out what can be left out (ddmin), until nothing more can be or the time is over.
pub fn shortest<T: Clone>(mut steps: Vec<T>, time: Duration, mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let (mut parts, start) = (2, Instant::now());
    while steps.len() > 1 && start.elapsed() < time {
        let len = steps.len().div_ceil(parts);
        let without = |n: usize| {
            let kept = steps.iter().enumerate().filter(|(i, _)| i / len != n);
            kept.map(|(_, step)| step.clone()).collect::<Vec<T>>()
        };
        // The first steps first: what comes late is nearer to the failure.
        let tried = (0..steps.len().div_ceil(len)).map(without);
        match tried.take_while(|_| start.elapsed() < time).find(|some| fails(some)) {
            Some(shorter) => (steps, parts) = (shorter, (parts - 1).max(2)),
            None if len == 1 => break,
            None => parts = (parts * 2).min(steps.len()),
        }
    }
    steps
}

#[test]
fn the_shortest_list_that_fails_is_found() {
    let list: Vec<u64> = (0..120).collect();
    let fails = |some: &[u64]| some.contains(&17) && some.contains(&90) && some.contains(&91);
    assert_eq!(shortest(list, Duration::from_secs(60), fails), vec![17, 90, 91]);
}
