//! Work that may wait for the disk itself.
//!
//! Handing a job to another thread and being woken when it is done costs two wakes, on some
//! machines more than the job. Who waits for nothing but a disk has a thread to do that on.

use std::cell::Cell;
use std::future::Future;
use tokio::runtime::Handle;

thread_local! {
    static APART: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread does nothing but a work given to [`run_apart`]: it may block.
pub fn is_apart() -> bool {
    APART.get()
}

/// Runs `work` to its end on a thread of its own, where [`super::World::blocking`] does its jobs
/// here and now. As the threads of `runtime` for blocking jobs are many but not without end, the
/// caller bounds how many run at once.
pub fn run_apart(runtime: &Handle, work: impl Future<Output = ()> + Send + 'static) {
    /// Also when the work panics.
    struct Mark;
    impl Drop for Mark {
        fn drop(&mut self) {
            APART.set(false);
        }
    }
    let handle = runtime.clone();
    runtime.spawn_blocking(move || {
        APART.set(true);
        let _mark = Mark;
        handle.block_on(work);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn jobs_of_what_runs_apart_are_done_on_its_own_thread_and_others_are_not() {
        let world = crate::world::World::real(std::sync::Arc::new(crate::world::MemIndexes));
        let here = std::thread::current().id();
        let elsewhere = world.blocking(|| (std::thread::current().id(), is_apart())).await.expect("a job");
        assert!(elsewhere.0 != here && !elsewhere.1);
        let (told, answer) = tokio::sync::oneshot::channel();
        run_apart(&Handle::current(), async move {
            let own = std::thread::current().id();
            // Over a wait, too.
            tokio::task::yield_now().await;
            let job = world.blocking(|| std::thread::current().id()).await;
            let _ = told.send(is_apart() && job.is_ok_and(|id| id == own));
        });
        assert!(answer.await.expect("an answer"));
        assert!(!is_apart());
    }
}
