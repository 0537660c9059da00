//! Standard output, which may be a pipe that is closed early or a disk that is full.

use std::io::{ErrorKind, Write};

/// Like `println!`, which would panic.
macro_rules! out {
    ($($words:tt)*) => { crate::cli::out::line(format_args!($($words)*)) };
}

/// One line. A reader that has seen enough (`kith status | head -1`) ends the program quietly;
/// a line that is lost otherwise ends it with exit code 1.
pub fn line(words: std::fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{words}").and_then(|()| out.flush()) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(e) => {
            // Nothing is left to do if standard error is closed as well.
            let _ = writeln!(
                std::io::stderr(),
                "kith: the answer was not printed\n  why: standard output: {e}\n  do:  make room where it goes"
            );
            std::process::exit(1);
        }
    }
}
