//! sd_notify(3): telling systemd how the daemon is, over the datagram socket it names.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Sends states, one a line, such as `READY=1` or `STATUS=saving 3 files`. False, and nothing
/// is done, when systemd did not start this process.
pub fn notify(states: &str) -> io::Result<bool> {
    match std::env::var_os("NOTIFY_SOCKET") {
        Some(socket) if !socket.is_empty() => send(&socket, states).map(|()| true),
        _ => Ok(false),
    }
}

fn send(socket: &OsStr, states: &str) -> io::Result<()> {
    let address = match socket.as_bytes().split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(states.as_bytes(), &address)?;
    Ok(())
}

/// How often `WATCHDOG=1` must be sent at least; None if systemd does not watch this process.
/// Half of it is a good pace.
pub fn watchdog() -> Option<Duration> {
    parse_watchdog(std::env::var_os("WATCHDOG_USEC"), std::env::var_os("WATCHDOG_PID"), std::process::id())
}

fn parse_watchdog(usec: Option<OsString>, pid: Option<OsString>, own: u32) -> Option<Duration> {
    // The variables are inherited; the pid says whom they are for.
    if let Some(pid) = pid
        && pid.to_str()?.parse::<u32>().ok()? != own
    {
        return None;
    }
    let usec = usec?.to_str()?.parse::<u64>().ok().filter(|usec| *usec > 0)?;
    Some(Duration::from_micros(usec))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_arrive_by_path_and_by_abstract_name() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("socket");
        let by_path = UnixDatagram::bind(&path).expect("a socket");
        let name = format!("kith-notify-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let by_name = UnixDatagram::bind_addr(&address).expect("a socket");
        for (socket, at) in [(by_path, path.into_os_string()), (by_name, format!("@{name}").into())] {
            send(&at, "READY=1\nSTATUS=here").expect("sent");
            let mut buffer = [0; 100];
            let n = socket.recv(&mut buffer).expect("received");
            assert_eq!(&buffer[..n], b"READY=1\nSTATUS=here");
        }
    }

    #[test]
    fn the_watchdog_is_ours_or_none() {
        let of = |usec: Option<&str>, pid: Option<&str>| {
            parse_watchdog(usec.map(OsString::from), pid.map(OsString::from), 7)
        };
        assert_eq!(of(Some("60000000"), Some("7")), Some(Duration::from_secs(60)));
        assert_eq!(of(Some("60000000"), None), Some(Duration::from_secs(60)));
        assert_eq!(of(Some("60000000"), Some("8")), None);
        assert_eq!(of(None, Some("7")), None);
        assert_eq!(of(Some("0"), None), None);
        assert_eq!(of(Some("soon"), None), None);
    }
}
