//! Kernel requests to [`Files`] calls.

use crate::drive::Files;
use std::sync::Arc;

/// A [`Files`] as the kernel's FUSE driver sees it.
pub struct FuseAdapter<F: Files> {
    pub(super) files: Arc<F>,
    pub(super) runtime: tokio::runtime::Handle,
}

impl<F: Files> fuser::Filesystem for FuseAdapter<F> {}
