//! What only the client's own connection needs to know.

use bytes::Bytes;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A request that runs later: its arguments, one after the other, and where each ends.
#[derive(Clone, Debug, Default)]
pub struct Queued {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Queued {
    /// A copy of arguments, which are together shorter than 4 GiB.
    pub fn new<'a>(args: impl Iterator<Item = &'a [u8]>) -> Queued {
        let mut queued = Queued::default();
        for arg in args {
            queued.bytes.extend_from_slice(arg);
            queued.ends.push(queued.bytes.len() as u32);
        }
        queued
    }

    /// All arguments, one after the other.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where each argument begins and ends.
    pub fn ranges(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(self.ends.iter().copied())
    }
}

/// What MULTI has begun.
#[derive(Debug, Default)]
pub struct Transaction {
    /// The requests, in order.
    pub requests: Vec<Queued>,
    /// One of them was refused: EXEC will be.
    pub failed: bool,
    /// One of them writes.
    pub writes: bool,
    /// One of them may not run when memory is short.
    pub needs_memory: bool,
}

impl Transaction {
    /// How many arguments all requests have, and bytes.
    pub fn size(&self) -> (usize, usize) {
        self.requests
            .iter()
            .fold((0, 0), |(args, bytes), request| (args + request.ends.len(), bytes + request.bytes.len()))
    }
}

/// What a client watches.
#[derive(Debug, Default)]
pub struct Watching {
    /// Raised by a change of any of them.
    pub changed: Arc<AtomicBool>,
    /// Databases and keys.
    pub keys: Vec<(usize, Box<[u8]>)>,
}

/// Whether replies are sent (CLIENT REPLY).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ReplyMode {
    /// They are.
    #[default]
    On,
    /// They are not.
    Off,
    /// That of the next command is not.
    SkipNext,
    /// That of the present command is not.
    Skipping,
}

/// What a client is subscribed to.
#[derive(Default, Debug)]
pub struct Subscriptions {
    /// SUBSCRIBE.
    pub channels: HashSet<Bytes>,
    /// PSUBSCRIBE.
    pub patterns: HashSet<Bytes>,
    /// SSUBSCRIBE.
    pub shard_channels: HashSet<Bytes>,
}

/// A client's own state.
#[derive(Default, Debug)]
pub struct State {
    /// The number of the selected database.
    pub database: usize,
    /// Whether HELLO asked for RESP3.
    pub resp3: bool,
    /// Whether commands may run: there is no password, or it was shown.
    pub authenticated: bool,
    /// Whether replies are sent.
    pub reply_mode: ReplyMode,
    /// CLIENT NO-TOUCH.
    pub no_touch: bool,
    /// How often the present request was put off to read what it looks at from disk.
    pub put_off: u8,
    /// Since when the present request waits for room on disk, in ticks.
    pub no_room_since: Option<u64>,
    /// Runs MONITOR.
    pub monitor: bool,
    /// The connection closes when the present replies are sent.
    pub close_after_reply: bool,
    /// Between MULTI and EXEC.
    pub transaction: Option<Box<Transaction>>,
    /// WATCH.
    pub watching: Option<Box<Watching>>,
    /// Made by the first subscription.
    subscriptions: Option<Box<Subscriptions>>,
}

impl State {
    /// What it is subscribed to, to change.
    pub fn subscriptions_mut(&mut self) -> &mut Subscriptions {
        self.subscriptions.get_or_insert_default()
    }

    /// What it is subscribed to, if it ever was.
    pub fn subscriptions(&self) -> Option<&Subscriptions> {
        self.subscriptions.as_deref()
    }

    /// Forgets all subscriptions; they must have been given up.
    pub fn clear_subscriptions(&mut self) {
        self.subscriptions = None;
    }

    /// Channels and patterns: the count that SUBSCRIBE answers.
    pub fn subscription_count(&self) -> usize {
        self.subscriptions.as_ref().map_or(0, |s| s.channels.len() + s.patterns.len())
    }

    /// Shard channels: the count that SSUBSCRIBE answers.
    pub fn shard_subscription_count(&self) -> usize {
        self.subscriptions.as_ref().map_or(0, |s| s.shard_channels.len())
    }

    /// Whether it is subscribed to anything.
    pub fn is_subscribed(&self) -> bool {
        self.subscription_count() + self.shard_subscription_count() > 0
    }
}
