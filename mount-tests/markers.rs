//! Nothing in clear: after a day of use, no marker (content, names, keys) is found in any
//! node's directory, cache, journal, index, log, nor in the packets on loopback.

mod lab;

use lab::{Lab, can_mount};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// High-entropy words that occur nowhere by chance.
const CONTENT: &str = "XK7-marker-of-content-q9WzR4tLmB2v";
const NAME: &str = "XK7-marker-of-a-name-p3HsV8nJcD6y";
const TARGET: &str = "XK7-marker-of-a-target-f5GtM1kQxE0u";
const DRIVE: &str = "XK7-marker-of-a-drive-w8JdC2vPsN5k";
const XATTR: &str = "XK7-marker-of-an-attribute-a2BhN7rYwT";

fn found_in(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|w| w == needle)
}

/// Any 16-byte window of a marker counts.
fn windows(marker: &[u8]) -> impl Iterator<Item = &[u8]> {
    marker.windows(16).step_by(4)
}

fn search(dir: &Path, markers: &[Vec<u8>], files: &mut usize) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().as_encoded_bytes().to_vec();
        let meta = std::fs::symlink_metadata(&path).unwrap();
        let data = if meta.is_dir() {
            search(&path, markers, files);
            Vec::new()
        } else if meta.is_file() {
            *files += 1;
            std::fs::read(&path).unwrap()
        } else {
            continue;
        };
        for marker in markers {
            for w in windows(marker) {
                let shown = String::from_utf8_lossy(w);
                assert!(!found_in(&data, w), "'{shown}' is in clear in {}", path.display());
                assert!(!found_in(&name, w), "'{shown}' is in clear in the name {}", path.display());
            }
        }
    }
}

/// Everything sent on this machine's interfaces, while it runs (root only).
struct Capture {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Vec<u8>>,
}

impl Capture {
    fn start() -> Option<Capture> {
        use rustix::net::{AddressFamily, SocketType, socket};
        const ETH_P_ALL_BE: u32 = (3u16).to_be() as u32;
        let protocol = rustix::net::Protocol::from_raw(std::num::NonZeroU32::new(ETH_P_ALL_BE)?);
        let fd = socket(AddressFamily::PACKET, SocketType::RAW, Some(protocol)).ok()?;
        rustix::net::sockopt::set_socket_timeout(
            &fd,
            rustix::net::sockopt::Timeout::Recv,
            Some(std::time::Duration::from_millis(50)),
        )
        .ok()?;
        let stop = Arc::new(AtomicBool::new(false));
        let flag = stop.clone();
        let thread = std::thread::spawn(move || {
            let (mut all, mut buf) = (Vec::new(), vec![0u8; 70_000]);
            while !flag.load(Ordering::Relaxed) {
                if let Ok((_, n)) = rustix::net::recv(&fd, &mut buf[..], rustix::net::RecvFlags::empty()) {
                    all.extend_from_slice(&buf[..n]);
                }
            }
            all
        });
        Some(Capture { stop, thread })
    }
    fn end(self) -> Vec<u8> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// The keys in three capabilities of one drive, as letters and as bytes: before the keys
/// all are alike (version, drive, epoch), and that part is no secret.
fn capabilities(texts: &[String]) -> Vec<Vec<u8>> {
    let letters: Vec<&str> = texts.iter().map(|t| t.trim().rsplit(':').next().unwrap()).collect();
    let decode = |l: &&str| data_encoding::BASE32_NOPAD.decode(l.to_ascii_uppercase().as_bytes()).unwrap();
    let bytes: Vec<Vec<u8>> = letters.iter().map(decode).collect();
    let alike = (0..bytes[0].len()).take_while(|i| bytes.iter().all(|b| b[*i] == bytes[0][*i])).count();
    assert!((33..40).contains(&alike), "the keys begin after the drive's id: {alike}");
    // Two keys may begin with one byte alike.
    let keys = bytes.iter().map(|b| b[alike..alike + 28].to_vec());
    let first = (alike * 8).div_ceil(5);
    letters.iter().map(|l| l.as_bytes()[first..first + 44].to_vec()).chain(keys).collect()
}

/// Invites and joins by a ticket, and gives what is secret of it.
fn ticket_used(lab: &Lab, guest: &str, extra: &[&str]) -> Vec<Vec<u8>> {
    let args = [&["--json", "invite", guest], extra].concat();
    let ticket = lab.kith("you", &args).json()["ticket"].as_str().unwrap().to_string();
    lab.kith(guest, &["join", &ticket]).ok();
    let secret = ticket.parse::<kithfs::wire::Ticket>().unwrap().secret;
    // Who invites, and to which drive, stands in the ticket as well, and is no secret.
    let letters = ticket.strip_prefix("kith-").unwrap();
    let bytes = data_encoding::BASE32_NOPAD.decode(letters.to_ascii_uppercase().as_bytes()).unwrap();
    let at = bytes.windows(secret.len()).position(|w| w == secret).unwrap();
    let of_secret = (at * 8).div_ceil(5)..(at + secret.len()) * 8 / 5;
    vec![letters.as_bytes()[of_secret].to_vec(), secret.to_vec()]
}

fn mount(lab: &Lab, node: &str) -> std::path::PathBuf {
    let dir = lab.mount_dir(node);
    lab.kith(node, &["mount", "--drive", DRIVE, dir.to_str().unwrap()]).ok();
    dir
}

/// Neither its command line nor its environment gives a daemon's secrets away.
fn nothing_in_proc(lab: &Lab, node: &str, markers: &[Vec<u8>]) {
    for file in ["cmdline", "environ"] {
        let data = std::fs::read(format!("/proc/{}/{file}", lab.pid(node))).unwrap();
        assert!(!data.is_empty());
        for w in markers.iter().flat_map(|m| windows(m)) {
            assert!(!found_in(&data, w), "'{}' is in {file} of {node}", String::from_utf8_lossy(w));
        }
    }
}

#[test]
fn nothing_is_in_clear_on_any_disk_or_on_the_wire() {
    if !can_mount() {
        return;
    }
    let capture = Capture::start();
    let mut lab = Lab::new();
    // All that the log can say, is said.
    lab.set_env("KITH_LOG", "kithfs=trace");
    let friends = ["f0", "f1", "f2", "f3", "f4"];
    for node in ["you"].iter().chain(&friends) {
        lab.init(node);
        lab.start(node);
    }
    let mut secrets: Vec<Vec<u8>> = friends.iter().flat_map(|f| ticket_used(&lab, f, &[])).collect();
    lab.kith("you", &["drive", "create", DRIVE]).ok();
    let show = |role| lab.kith("you", &["drive", "show", DRIVE, "--as", role]).ok().out;
    secrets.extend(capabilities(&["reader", "helper", "auditor"].map(show)));
    let mnt = mount(&lab, "you");
    let dir = mnt.join(format!("{NAME}-dir"));
    std::fs::create_dir(&dir).unwrap();
    for i in 0..40 {
        let text = format!("{CONTENT} {i}\n").repeat(1 + i * 300);
        std::fs::write(dir.join(format!("{NAME}-{i}")), text).unwrap();
    }
    std::os::unix::fs::symlink(TARGET, dir.join("link")).unwrap();
    xattr::set(dir.join(format!("{NAME}-1")), "user.note", XATTR.as_bytes()).unwrap();
    lab.sync("you", "full");
    // The guest's ticket is on the wire's far side of this test: joining must not leak it either.
    lab.init("guest");
    lab.start("guest");
    secrets.extend(ticket_used(&lab, "guest", &["--drive", DRIVE, "--as", "writer"]));
    let second = mount(&lab, "guest");
    // A mount is ready before what others wrote has arrived.
    let last = second.join(format!("{NAME}-dir/{NAME}-39"));
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !last.exists() && std::time::Instant::now() < end {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let read = std::fs::read(&last).unwrap();
    assert!(found_in(&read, CONTENT.as_bytes()), "the search itself works");
    let _ = std::fs::read_dir(second.join("no such directory"));
    let mut markers: Vec<Vec<u8>> =
        [CONTENT, NAME, TARGET, XATTR, DRIVE].iter().map(|m| m.as_bytes().to_vec()).collect();
    markers.extend(secrets);
    for node in ["you", "guest"].iter().chain(&friends) {
        nothing_in_proc(&lab, node, &markers);
    }
    lab.stop("guest");
    lab.stop("you");

    let mut files = 0;
    for node in ["you", "guest", "f0", "f1", "f2", "f3", "f4"] {
        search(&lab.path(node), &markers, &mut files);
        let log = std::fs::read(lab.log(node)).unwrap();
        for w in markers.iter().flat_map(|m| windows(m)) {
            assert!(!found_in(&log, w), "'{}' is in {node}'s log", String::from_utf8_lossy(w));
        }
    }
    assert!(files > 20, "there was something to search: {files} files");
    match capture {
        Some(capture) => {
            let packets = capture.end();
            assert!(packets.len() > 1_000_000, "the capture saw the traffic: {} bytes", packets.len());
            for w in markers.iter().flat_map(|m| windows(m)) {
                assert!(!found_in(&packets, w), "'{}' is on the wire", String::from_utf8_lossy(w));
            }
        }
        None => eprintln!("NOT RUN: the capture of loopback traffic needs root"),
    }
}
