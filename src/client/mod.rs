//! Clients as the rest of the server sees them: who is connected, what to tell them, whom to close.
//!
//! A [`Client`] is shared between the connection that serves it and everyone who looks at it or sends it
//! messages; a [`State`] belongs to its connection alone. Neither knows a socket.

mod mailbox;
mod registry;
mod state;

pub use mailbox::{Mail, Mailbox};
pub use registry::Registry;
pub use state::{Queued, ReplyMode, State, Subscriptions, Transaction, Watching};

use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

bitflags::bitflags! {
    /// What CLIENT LIST shows as flags, and what CLIENT KILL and the limits go by.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Flags: u32 {
        /// Subscribed to at least one channel or pattern.
        const PUBSUB = 1;
        /// Runs MONITOR.
        const MONITOR = 2;
        /// CLIENT NO-EVICT ON.
        const NO_EVICT = 4;
        /// CLIENT NO-TOUCH ON.
        const NO_TOUCH = 8;
        /// Came over the unix socket.
        const UNIX_SOCKET = 16;
        /// Is to be closed after its last reply.
        const CLOSING = 32;
        /// Waits for something before its next command runs.
        const BLOCKED = 64;
    }
}

/// What a client says of itself.
#[derive(Clone, Debug, Default)]
pub struct Info {
    /// CLIENT SETNAME.
    pub name: Bytes,
    /// CLIENT SETINFO LIB-NAME.
    pub library_name: Bytes,
    /// CLIENT SETINFO LIB-VER.
    pub library_version: Bytes,
}

/// A connected client.
pub struct Client {
    /// Unique, and growing in order of connection.
    pub id: u64,
    /// The peer, `ip:port` or the unix socket's path with port 0.
    pub address: String,
    /// The server's own end.
    pub local_address: String,
    /// The file descriptor's number.
    pub fd: i32,
    /// The index of the worker that serves it.
    pub worker: usize,
    /// Unix milliseconds.
    pub connected_at_ms: i64,
    /// Unix milliseconds of the last request.
    pub active_at_ms: AtomicI64,
    /// The number of the selected database.
    pub database: AtomicU32,
    /// The index of the last command's row; `u32::MAX` before the first.
    pub last_command: AtomicU32,
    /// The flush of the log that has what another client's write did for it while it waited for a key.
    pub served_flush: AtomicU64,
    /// Whether it speaks RESP3.
    pub resp3: AtomicBool,
    /// Whether it has authenticated (or needs not).
    pub authenticated: AtomicBool,
    /// How many channels, patterns and shard channels it is subscribed to.
    pub subscriptions: [AtomicU32; 3],
    /// How many requests MULTI has queued; `u32::MAX` outside of one.
    pub queued: AtomicU32,
    /// How many keys it watches.
    pub watched: AtomicU32,
    /// Bytes of a partial request.
    pub input_bytes: AtomicUsize,
    /// The capacity of the buffer of partial requests.
    pub input_capacity: AtomicUsize,
    /// Bytes of replies that are not sent yet.
    pub output_bytes: AtomicUsize,
    flags: AtomicU32,
    /// What it says of itself.
    pub info: Mutex<Info>,
    /// What others send it.
    pub mailbox: Mailbox,
}

impl Client {
    /// A client that has just connected.
    pub fn new(
        id: u64,
        address: String,
        local_address: String,
        fd: i32,
        worker: usize,
        now_ms: i64,
        flags: Flags,
    ) -> Client {
        Client {
            id,
            address,
            local_address,
            fd,
            worker,
            connected_at_ms: now_ms,
            active_at_ms: AtomicI64::new(now_ms),
            database: AtomicU32::new(0),
            last_command: AtomicU32::new(u32::MAX),
            served_flush: AtomicU64::new(0),
            resp3: AtomicBool::new(false),
            authenticated: AtomicBool::new(false),
            subscriptions: Default::default(),
            queued: AtomicU32::new(u32::MAX),
            watched: AtomicU32::new(0),
            input_bytes: AtomicUsize::new(0),
            input_capacity: AtomicUsize::new(0),
            output_bytes: AtomicUsize::new(0),
            flags: AtomicU32::new(flags.bits()),
            info: Mutex::default(),
            mailbox: Mailbox::default(),
        }
    }

    /// The flags as they are now.
    pub fn flags(&self) -> Flags {
        Flags::from_bits_truncate(self.flags.load(Relaxed))
    }

    /// Sets or clears flags.
    pub fn set_flags(&self, flags: Flags, on: bool) {
        if on {
            self.flags.fetch_or(flags.bits(), Relaxed);
        } else {
            self.flags.fetch_and(!flags.bits(), Relaxed);
        }
    }

    /// All its bytes that wait to be sent, messages included.
    pub fn output_memory(&self) -> usize {
        self.output_bytes.load(Relaxed) + self.mailbox.bytes()
    }

    /// An estimate of the memory it takes, in bytes.
    pub fn memory_bytes(&self) -> usize {
        const OBJECT_BYTES: usize = size_of::<Client>() + size_of::<State>() + 1024;
        OBJECT_BYTES + self.input_capacity.load(Relaxed) + self.output_memory()
    }
}

/// Whether a client came from this host: over the unix socket or the loopback interface.
pub fn is_local(client: &Client) -> bool {
    let ip = client.address.rsplit_once(':').map(|(ip, _)| ip.trim_matches(['[', ']']));
    client.flags().contains(Flags::UNIX_SOCKET)
        || ip
            .and_then(|ip| ip.parse::<std::net::IpAddr>().ok())
            .is_some_and(|ip| ip.to_canonical().is_loopback())
}
