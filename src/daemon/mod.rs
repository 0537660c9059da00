//! See lib.rs.

pub mod notify;
