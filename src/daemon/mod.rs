//! The composition root: starts and stops everything, and answers the control socket.
#![forbid(unsafe_code)]

pub mod api;
pub mod config;
pub mod home;
mod keyring;
pub mod notify;
pub mod setup;

pub use keyring::Keyring;
