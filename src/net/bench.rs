//! The limit.
