//! The real clock, randomness, disk and network.

use super::{Blocking, Clock, Disk, DiskFile, Indexes, Net, Open, Rng, Space, World};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Bytes asked for as socket buffers; the kernel may grant less (rmem_max, wmem_max).
const SOCKET_BUFFER: usize = 4 << 20;
const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;

impl World {
    /// The machine's own world, with the given kind of index (sled's lives in a room above).
    pub fn real(indexes: Arc<dyn Indexes>) -> World {
        World {
            clock: Arc::new(SystemClock::new()),
            rng: Arc::new(OsRng),
            disk: Arc::new(RealDisk),
            net: Arc::new(RealNet),
            indexes,
            blocking: Blocking::Threads,
        }
    }
}

/// This machine's clocks.
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Monotonic time counts from here.
    pub fn new() -> SystemClock {
        SystemClock { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now_ns(&self) -> i64 {
        let since = |d: Duration| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX);
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => since(after),
            Err(before) => -since(before.duration()),
        }
    }
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// The kernel's random source.
pub struct OsRng;

impl Rng for OsRng {
    /// Ends the process when the kernel has no randomness to give: nothing safe can follow.
    fn fill(&self, out: &mut [u8]) {
        let mut done = 0;
        while done < out.len() {
            match rustix::rand::getrandom(&mut out[done..], rustix::rand::GetRandomFlags::empty()) {
                Ok(n) => done += n,
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => {
                    tracing::error!("the kernel gives no randomness ({e}): stopping");
                    std::process::abort();
                }
            }
        }
    }
}

/// The machine's filesystem.
pub struct RealDisk;

/// A file on it.
struct RealFile(File);

impl Disk for RealDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).mode(FILE_MODE);
        if how != Open::Read {
            options.write(true).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32);
        }
        match how {
            Open::Read | Open::Existing => &mut options,
            Open::OrCreate => options.create(true),
            Open::New => options.create_new(true),
        };
        let file = options.open(path)?;
        if file.metadata()?.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(Arc::new(RealFile(file)))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => self.create_dir_all(parent)?,
            _ => {}
        }
        match fs::DirBuilder::new().mode(DIR_MODE).create(path) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
            Err(e) => return Err(e),
        }
        sync_parent(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<(String, u64)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                found.push((name, entry.metadata()?.size()));
            }
        }
        found.sort();
        Ok(found)
    }

    fn list_dirs(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_dir()
                && let Ok(name) = entry.file_name().into_string()
            {
                found.push(name);
            }
        }
        found.sort();
        Ok(found)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let s = rustix::fs::statvfs(path)?;
        let frame = s.f_frsize;
        Ok(Space { free: s.f_bavail.saturating_mul(frame), total: s.f_blocks.saturating_mul(frame) })
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

impl DiskFile for RealFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self.0.read_at(&mut buf[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(buf, offset)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
    fn preallocate(&self, len: u64) -> io::Result<()> {
        use rustix::io::Errno;
        match rustix::fs::fallocate(&self.0, rustix::fs::FallocateFlags::empty(), 0, len) {
            Ok(()) => Ok(()),
            // The filesystem cannot: only the length is promised then.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                if self.len()? < len {
                    self.0.set_len(len)
                } else {
                    Ok(())
                }
            }
            Err(e) => Err(e.into()),
        }
    }
    fn punch_hole(&self, offset: u64, len: u64) -> io::Result<bool> {
        use rustix::fs::FallocateFlags as F;
        use rustix::io::Errno;
        match rustix::fs::fallocate(&self.0, F::PUNCH_HOLE | F::KEEP_SIZE, offset, len) {
            Ok(()) => Ok(true),
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }
}

/// UDP sockets of the machine, under quinn's tokio runtime (with GSO and GRO where the
/// kernel has them).
pub struct RealNet;

impl Net for RealNet {
    /// Must be called inside a tokio runtime.
    fn bind(&self, addr: SocketAddr) -> io::Result<Arc<dyn quinn::AsyncUdpSocket>> {
        let socket = std::net::UdpSocket::bind(addr)?;
        // A refusal leaves the kernel's default, which works and is only slower.
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BUFFER);
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(&socket, SOCKET_BUFFER);
        self.runtime().wrap_udp_socket(socket)
    }
    fn runtime(&self) -> Arc<dyn quinn::Runtime> {
        Arc::new(quinn::TokioRuntime)
    }
    fn rng_seed(&self) -> Option<[u8; 32]> {
        None
    }
    /// The bound address when it is a definite one; otherwise the address the kernel would
    /// send from towards the internet, and loopback.
    fn reachable(&self, bound: SocketAddr) -> Vec<SocketAddr> {
        if !bound.ip().is_unspecified() {
            return vec![bound];
        }
        let mut found = Vec::new();
        if let Some(ip) = outward(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))) {
            found.push(SocketAddr::new(ip, bound.port()));
        }
        if bound.is_ipv6()
            && let Some(ip) = outward(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)))
        {
            found.push(SocketAddr::new(ip, bound.port()));
        }
        found.push(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), bound.port()));
        found
    }
}

/// The local address of the route to `target`; connecting a UDP socket sends nothing.
fn outward(target: IpAddr) -> Option<IpAddr> {
    let any: IpAddr =
        if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = std::net::UdpSocket::bind((any, 0)).ok()?;
    socket.connect((target, 9)).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified() && !ip.is_loopback()).then_some(ip)
}
