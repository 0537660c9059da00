//! The mount through the kernel: one file for each family of calls. Most cases run on a mount
//! and on the local disk, and both must tell the same. Needs /dev/fuse and a user who may mount.
#![allow(clippy::unwrap_used)]

mod harness;
mod lab;
#[path = "../src/promises.rs"]
mod promises;

mod acl_test;
mod attrs_test;
mod dirs_test;
mod faults_test;
mod figures_test;
mod files_test;
mod handles_test;
mod io_test;
mod limits_test;
mod links_test;
mod locks_test;
mod mapped_test;
mod owners_test;
mod remote_test;
mod rename_test;
mod session_test;
mod statfs_test;
mod user_test;
mod xattr_test;
