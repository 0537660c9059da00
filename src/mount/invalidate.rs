//! Telling the kernel what changed elsewhere, from a thread of its own.
//!
//! These calls wait for locks that the kernel holds while it waits for our answers. Made from
//! a handler, from a worker of the runtime, or under a lock of ours, they deadlock the mount
//! beyond the reach of kill -9; other FUSE filesystems have met that in production.

use super::shared::Shared;
use crate::drive::{Files, Invalidation};
use fuser::{INodeNo, Notifier};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::thread;

/// "Attributes, no pages": a negative offset.
const NO_PAGES: i64 = -1;

/// Starts the thread; it ends with the filesystem or with the mount.
pub(super) fn spawn<F: Files>(
    files: Arc<F>,
    shared: Arc<Shared>,
    notifier: Notifier,
    runtime: tokio::runtime::Handle,
) -> io::Result<thread::JoinHandle<()>> {
    thread::Builder::new().name("kith-invalidate".into()).spawn(move || {
        let next = || {
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = shared.ended() => None,
                    next = files.next_invalidation() => next,
                }
            })
        };
        while let Some(change) = next() {
            if let Err(error) = tell(&notifier, &shared, &change)
                && !shared.has_ended()
            {
                // The kernel then believes the old for KEPT_FOR at most.
                tracing::warn!(%error, ?change, "the kernel did not take an invalidation");
            }
        }
    })
}

fn tell(notifier: &Notifier, shared: &Shared, change: &Invalidation) -> io::Result<()> {
    match change {
        Invalidation::Entry { parent, name } => {
            notifier.inval_entry(INodeNo(*parent), OsStr::from_bytes(name))
        }
        Invalidation::Inode { ino, data } => {
            let pages_go = *data && !shared.open.changed(*ino);
            notifier.inval_inode(INodeNo(*ino), if pages_go { 0 } else { NO_PAGES }, 0)
        }
    }
}
