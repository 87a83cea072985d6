//! The parts of the server that handlers may reach.

use super::blocking::BlockedClients;
use super::save::Saves;
use crate::client::Registry;
use crate::client::{Client, Flags, Mail};
use crate::config::Config;
use crate::keyspace::Keyspace;
use crate::metrics::Metrics;
use crate::pubsub::PubSub;
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use tokio::sync::watch;

/// Everything that is shared between workers.
pub struct Services {
    /// The parameters.
    pub config: Arc<Config>,
    /// The keys.
    pub keyspace: Keyspace,
    /// The channels.
    pub pubsub: Arc<PubSub>,
    /// The clients.
    pub clients: Registry,
    /// Counters, the slow log, latencies.
    pub metrics: Metrics,
    /// Who runs MONITOR.
    pub monitors: Monitors,
    /// CLIENT PAUSE.
    pub pause: Pause,
    /// Clients that wait for keys.
    pub blocked: BlockedClients,
    /// The keys are not all known yet.
    pub loading: AtomicBool,
    /// How far finding them has come.
    pub progress: crate::keyspace::Progress,
    /// SAVE and its like.
    pub saves: Saves,
    /// The order to stop.
    pub shutdown: watch::Sender<bool>,
    /// When the server started, Unix milliseconds.
    pub started_at_ms: i64,
    /// 40 random hexadecimal digits, new with each start.
    pub run_id: String,
}

/// Clients that see every command.
#[derive(Default)]
pub struct Monitors {
    clients: RwLock<Vec<Arc<Client>>>,
    count: AtomicUsize,
}

impl Monitors {
    /// Adds a client.
    pub fn add(&self, client: &Arc<Client>) {
        client.set_flags(Flags::MONITOR, true);
        let mut clients = self.clients.write();
        clients.push(Arc::clone(client));
        self.count.store(clients.len(), Ordering::Release);
    }

    /// Removes a client.
    pub fn remove(&self, client: &Client) {
        client.set_flags(Flags::MONITOR, false);
        let mut clients = self.clients.write();
        clients.retain(|other| other.id != client.id);
        self.count.store(clients.len(), Ordering::Release);
    }

    /// Whether nobody monitors.
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// How many monitor.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Sends a line to all; `limit_bytes` bounds what may wait for each.
    pub fn feed(&self, line: Bytes, limit_bytes: u64) {
        for client in self.clients.read().iter() {
            client.mailbox.put(Mail::Raw(line.clone()), limit_bytes);
        }
    }
}

/// What is held back while clients are paused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd)]
pub enum Paused {
    /// Nothing.
    No,
    /// Commands that may write.
    Writes,
    /// All commands.
    All,
}

/// CLIENT PAUSE and UNPAUSE.
pub struct Pause {
    /// Until when, Unix milliseconds.
    until_ms: AtomicI64,
    all: AtomicBool,
    /// Counts changes, so that held-back connections look again.
    changed: watch::Sender<u64>,
    lock: Mutex<()>,
}

impl Default for Pause {
    fn default() -> Self {
        Pause {
            until_ms: AtomicI64::new(0),
            all: AtomicBool::new(false),
            changed: watch::Sender::new(0),
            lock: Mutex::new(()),
        }
    }
}

impl Pause {
    /// Pauses until then; a running pause is only ever made longer and stricter.
    pub fn begin(&self, until_ms: i64, all: bool, now_ms: i64) {
        let _guard = self.lock.lock();
        let running = self.until_ms.load(Ordering::Acquire) > now_ms;
        let strict = all || (running && self.all.load(Ordering::Acquire));
        self.all.store(strict, Ordering::Release);
        let until = if running { until_ms.max(self.until_ms.load(Ordering::Acquire)) } else { until_ms };
        self.until_ms.store(until, Ordering::Release);
        self.changed.send_modify(|count| *count += 1);
    }

    /// Ends the pause.
    pub fn end(&self) {
        let _guard = self.lock.lock();
        self.until_ms.store(0, Ordering::Release);
        self.changed.send_modify(|count| *count += 1);
    }

    /// What is held back now.
    #[inline]
    pub fn state(&self, now_ms: i64) -> Paused {
        let until = self.until_ms.load(Ordering::Acquire);
        if until == 0 || until <= now_ms {
            return Paused::No;
        }
        if self.all.load(Ordering::Acquire) { Paused::All } else { Paused::Writes }
    }

    /// When the pause ends, Unix milliseconds.
    pub fn until_ms(&self) -> i64 {
        self.until_ms.load(Ordering::Acquire)
    }

    /// Tells of changes.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}
