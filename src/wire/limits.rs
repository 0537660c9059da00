//! Every limit of the protocol, named. Lengths are checked before anything is allocated.

use std::time::Duration;

/// The protocol, as negotiated in the TLS handshake.
pub const ALPN: &[u8] = b"kith/1";
/// Longest frame (one encoded message; bulk bytes follow a frame, they are not in it).
pub const FRAME_MAX: usize = (1 << 20) + 4096;
/// Longest entry (signed header and sealed bodies).
pub const ENTRY_MAX: usize = 1 << 20;
/// Longest message an unknown key may send.
pub const JOIN_MAX: usize = 4096;
/// Longest share: a whole pack at k = 1, and its last row.
pub const SHARE_MAX: u64 = (17 << 20) + 4096;
/// Most bytes a single Get may ask for.
pub const GET_MAX: u64 = SHARE_MAX;
/// Ranges in one Get.
pub const GET_RANGES_MAX: usize = 256;
/// Entries in one answer to a fetch.
pub const FETCH_ENTRIES_MAX: usize = 1024;
/// Logs in a vector.
pub const VECTOR_MAX: usize = 4096;
/// Concurrent request streams of one peer.
pub const STREAMS_MAX: u32 = 64;
/// Bytes one peer may have in flight to us on one connection.
pub const RECEIVE_WINDOW: u32 = 16 << 20;
/// Handshakes in progress, in all and per /24 (IPv4) or /64 (IPv6).
pub const HANDSHAKES_MAX: usize = 64;
pub const HANDSHAKES_PER_PREFIX_MAX: usize = 8;
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
pub const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// A holder refuses shares when its disk would have less free than this.
pub const FREE_DISK_FLOOR: u64 = 64 << 20;
/// Longest name a node, person or drive may have.
pub use crate::keys::LABEL_MAX;
/// Grants in one request: a chain of delegation and its root.
pub const GRANTS_MAX: usize = 16;
/// Leases or shares in one request about them.
pub const LEASES_MAX: usize = 4096;
/// Admin records in one message.
pub const ADMIN_RECORDS_MAX: usize = 4096;
/// Records in one roster message.
pub const ROSTER_MAX: usize = 1024;
/// Addresses of one node.
pub const ADDRS_MAX: usize = 8;
/// Longest text for people.
pub const DETAIL_MAX: usize = 1024;
/// Longest time a watch may ask to wait.
pub const WATCH_MAX: Duration = Duration::from_secs(300);
/// Most bytes that follow a Data answer: the ranges and their proofs.
pub const DATA_MAX: u64 = 2 * GET_MAX;
/// Bytes of a Join request that are not its body.
pub const JOIN_HEAD: usize = 64;
/// Longest Hello, and longest answer to one.
pub const HELLO_MAX: usize = 4096;
/// The version said in Hello.
pub const PROTOCOL_VERSION: u32 = 1;
