//! The composition root: starts and stops everything, and answers the control socket.
#![forbid(unsafe_code)]

pub mod api;
mod capabilities;
mod comeback;
pub mod config;
mod control;
mod drives;
mod history;
pub mod home;
mod joining;
mod keyring;
pub mod log;
#[cfg_attr(not(feature = "mount"), path = "no_mounts.rs")]
mod mounts;
pub mod node;
pub mod notify;
mod pinning;
pub mod recover;
mod recovery;
mod reopen;
pub mod run;
mod runner;
mod service;
pub mod setup;
pub mod socket;

pub use keyring::Keyring;
