//! What the server counts. Each worker has counters of its own, so that counting is a plain store; whoever
//! asks adds them up.

mod commands;
mod latency;
mod rate;
mod slowlog;

pub use commands::{CommandStats, CommandTable, Sample};
pub use latency::{LatencyMonitor, Series};
pub use rate::Rate;
pub use slowlog::{SlowEntry, SlowLog};

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// A counter that only one thread adds to.
#[derive(Default, Debug)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds; only the owning thread may.
    #[inline]
    pub fn add(&self, more: u64) {
        self.0.store(self.0.load(Relaxed) + more, Relaxed);
    }

    /// Adds from any thread.
    pub fn add_shared(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    /// The sum so far.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Starts anew. An addition that happens at the same time may survive.
    pub fn reset(&self) {
        self.0.store(0, Relaxed);
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The counters of one worker.
        #[derive(Default, Debug)]
        pub struct WorkerCounters { $($(#[$doc])* pub $name: Counter,)* }

        impl WorkerCounters {
            fn reset(&self) { $(self.$name.reset();)* }
        }
    };
}

counters! {
    /// Commands that ran.
    commands,
    /// Bytes read from clients.
    input_bytes,
    /// Bytes written to clients.
    output_bytes,
    /// Reads from sockets.
    reads,
    /// Writes to sockets.
    writes,
    /// Lookups that found their key.
    hits,
    /// Lookups that did not.
    misses,
    /// Keys removed because they were due.
    expired,
    /// Keys evicted.
    evicted,
    /// Writes to the keyspace.
    changes,
    /// Error replies.
    errors,
    /// Authentications refused.
    auth_refused,
    /// Clients closed because their query buffer was too long.
    query_buffer_disconnects,
    /// Clients closed because their output was too long.
    output_buffer_disconnects,
}

/// The counters and tables of one worker, on cache lines of their own.
#[derive(Default)]
#[repr(align(128))]
pub struct WorkerMetrics {
    /// The counters.
    pub counters: WorkerCounters,
    /// Calls and times of commands.
    pub commands: Mutex<CommandTable>,
    /// Error replies by their code.
    errors: Mutex<BTreeMap<Vec<u8>, u64>>,
}

/// How many error codes are told apart; the rest is counted as one.
const ERROR_CODES_MAX: usize = 128;

impl WorkerMetrics {
    /// Counts an error reply by its code.
    pub fn count_error(&self, code: &[u8]) {
        self.counters.errors.add(1);
        let mut errors = self.errors.lock();
        if errors.len() >= ERROR_CODES_MAX && !errors.contains_key(code) {
            *errors.entry(b"ERRORSTATS_OVERFLOW".to_vec()).or_default() += 1;
        } else {
            *errors.entry(code.to_vec()).or_default() += 1;
        }
    }
}

/// All that is counted.
pub struct Metrics {
    workers: Box<[WorkerMetrics]>,
    /// Connections accepted.
    pub connections: Counter,
    /// Connections refused for `maxclients`.
    pub connections_refused: Counter,
    /// Commands, input and output a second.
    pub rates: Mutex<[Rate; 3]>,
    /// Slow commands.
    pub slowlog: SlowLog,
    /// Latency spikes by event.
    pub latency: LatencyMonitor,
    /// Writes that were counted before the counters were last started anew.
    earlier_changes: AtomicU64,
    /// Since when memory is over `maxmemory`, Unix microseconds; 0: it is not.
    pub over_maxmemory_since_us: AtomicI64,
}

impl Metrics {
    /// Counters for this many workers.
    pub fn new(workers: usize) -> Metrics {
        Metrics {
            workers: (0..workers).map(|_| WorkerMetrics::default()).collect(),
            connections: Counter::default(),
            connections_refused: Counter::default(),
            rates: Mutex::default(),
            slowlog: SlowLog::default(),
            latency: LatencyMonitor::default(),
            earlier_changes: AtomicU64::new(0),
            over_maxmemory_since_us: AtomicI64::new(0),
        }
    }

    /// Those of one worker.
    pub fn worker(&self, index: usize) -> &WorkerMetrics {
        &self.workers[index]
    }

    /// Those of all workers.
    pub fn workers(&self) -> &[WorkerMetrics] {
        &self.workers
    }

    /// A counter summed over the workers.
    pub fn sum(&self, counter: impl Fn(&WorkerCounters) -> &Counter) -> u64 {
        self.workers.iter().map(|worker| counter(&worker.counters).get()).sum()
    }

    /// The statistics of all commands, workers added up, by command.
    pub fn command_stats(&self) -> BTreeMap<u16, CommandStats> {
        let mut sum: BTreeMap<u16, CommandStats> = BTreeMap::new();
        for worker in &self.workers {
            for (id, stats) in worker.commands.lock().iter() {
                sum.entry(id).or_default().add(stats);
            }
        }
        sum
    }

    /// Error replies by their code.
    pub fn error_stats(&self) -> BTreeMap<Vec<u8>, u64> {
        let mut sum = BTreeMap::new();
        for worker in &self.workers {
            for (code, count) in worker.errors.lock().iter() {
                *sum.entry(code.clone()).or_default() += count;
            }
        }
        sum
    }

    /// Takes a reading for the rates; called ten times a second.
    pub fn sample_rates(&self, now_ms: i64) {
        let readings =
            [self.sum(|c| &c.commands), self.sum(|c| &c.input_bytes), self.sum(|c| &c.output_bytes)];
        for (rate, reading) in self.rates.lock().iter_mut().zip(readings) {
            rate.sample(reading, now_ms);
        }
    }

    /// Writes to the keyspace since the start, whatever was reset.
    pub fn changes(&self) -> u64 {
        self.earlier_changes.load(Relaxed) + self.sum(|c| &c.changes)
    }

    /// Starts the counters anew (CONFIG RESETSTAT).
    pub fn reset(&self) {
        self.earlier_changes.fetch_add(self.sum(|c| &c.changes), Relaxed);
        for worker in &self.workers {
            worker.counters.reset();
            worker.commands.lock().clear();
            worker.errors.lock().clear();
        }
        self.connections.reset();
        self.connections_refused.reset();
        *self.rates.lock() = Default::default();
    }
}
