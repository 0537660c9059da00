//! Parse, run, exit code.
fn main() -> std::process::ExitCode {
    kithfs::cli::main()
}
