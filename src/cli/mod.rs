//! One file per verb.
use std::process::ExitCode;
/// The program.
pub fn main() -> ExitCode {
    ExitCode::from(1)
}
