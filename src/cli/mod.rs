//! One file per verb.
pub mod mount_kith;

use std::process::ExitCode;
/// The program.
pub fn main() -> ExitCode {
    ExitCode::from(1)
}
