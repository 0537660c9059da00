//! The control socket, from the outside.

use crate::cli::say;
use crate::daemon::api::{Line, Outcome, Progress, Request, Trouble};
use crate::daemon::home::Home;
use crate::daemon::socket;
use std::io::{BufRead, BufReader, Write};

/// Longest answer line taken from a daemon.
const LINE_MAX: u64 = 64 << 20;

/// Ask the daemon of `home`; progress lines go to `progress`, the last line is the answer.
pub fn ask(home: &Home, request: &Request, mut progress: impl FnMut(&Progress)) -> Outcome<Line> {
    let mut stream = socket::connect(home).map_err(|e| say::no_daemon(home, &e))?;
    let lost = |e: std::io::Error| {
        Trouble::new(
            "the daemon's answer was cut off",
            e,
            "see its log; 'kith status' tells whether it is still running",
        )
    };
    let mut text = serde_json::to_vec(request).map_err(|e| {
        Trouble::new(
            "nothing was asked",
            e,
            "give a path whose name is valid UTF-8, for example the directory above",
        )
    })?;
    text.push(b'\n');
    stream.write_all(&text).map_err(lost)?;
    let mut lines = BufReader::new(std::io::Read::take(stream, LINE_MAX));
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).map_err(lost)? == 0 {
            return Err(lost(std::io::ErrorKind::UnexpectedEof.into()));
        }
        match serde_json::from_str::<Line>(&line) {
            Ok(Line::Progress(p)) => progress(&p),
            Ok(Line::Failed(trouble)) => return Err(trouble),
            Ok(line) => return Ok(line),
            Err(e) => {
                return Err(Trouble::new(
                    "the daemon's answer was not understood",
                    e,
                    "the daemon and this command may be of different versions: restart the daemon",
                ));
            }
        }
    }
}
