//! The one table of parameters. The command line, the environment, the file, CONFIG GET, SET and REWRITE are all made
//! from it; adding a parameter is one field of [`Settings`] and one row of [`PARAMETERS`] (and its paragraph in
//! `config/strata.toml`, which a test asks for).
//!
//! A parameter has its Redis name wherever Redis has one, and is here only if it does something. This file must not
//! know where a value comes from.

use super::types::{Access, AppendFsync, LogLevel, NotifyFlags, OutputLimits, Policy, SavePoints};
use super::value::{Kind, Value, words};

macro_rules! settings {
    ($($field:ident: $type:ty,)*) => {
        /// The value of every parameter. Fields have the parameter's name, and its unit at the end where it has one.
        #[derive(Clone, Debug, PartialEq)]
        #[expect(missing_docs, reason = "each field is explained by its row in PARAMETERS")]
        pub struct Settings {
            $(pub $field: $type,)*
        }

        impl Settings {
            /// All fields empty, to be filled from the table.
            fn blank() -> Self {
                Self { $($field: <$type>::default(),)* }
            }
        }
    };
}

settings! {
    bind: Vec<String>,
    port: u16,
    tcp_backlog: u32,
    unixsocket: String,
    unixsocketperm: u32,
    protected_mode: bool,
    requirepass: String,
    timeout_seconds: u64,
    tcp_keepalive_seconds: u64,
    maxclients: u32,
    proto_max_bulk_len: u64,
    client_query_buffer_limit: u64,
    client_output_buffer_limit: OutputLimits,
    workers: usize,
    databases: u32,
    shards: usize,
    hz: u32,
    maxmemory: u64,
    maxmemory_policy: Policy,
    maxmemory_samples: u32,
    maxmemory_eviction_tenacity: u32,
    lfu_log_factor: u32,
    lfu_decay_time_minutes: u32,
    hll_sparse_max_bytes: u64,
    lazyfree_lazy_eviction: bool,
    lazyfree_lazy_expire: bool,
    lazyfree_lazy_server_del: bool,
    lazyfree_lazy_user_del: bool,
    lazyfree_lazy_user_flush: bool,
    hash_max_listpack_entries: usize,
    hash_max_listpack_value: usize,
    list_max_listpack_size: i64,
    list_compress_depth: u32,
    set_max_intset_entries: usize,
    set_max_listpack_entries: usize,
    set_max_listpack_value: usize,
    zset_max_listpack_entries: usize,
    zset_max_listpack_value: usize,
    stream_node_max_bytes: usize,
    stream_node_max_entries: usize,
    notify_keyspace_events: NotifyFlags,
    slowlog_log_slower_than_us: i64,
    slowlog_max_len: usize,
    latency_monitor_threshold_ms: u64,
    latency_tracking: bool,
    latency_tracking_info_percentiles: Vec<f64>,
    loglevel: LogLevel,
    logfile: String,
    pidfile: String,
    dir: String,
    enable_debug_command: Access,
    enable_protected_configs: Access,
    appendonly: bool,
    appendfsync: AppendFsync,
    l2_size: u64,
    l2_dir: String,
    l2_reclaim_mb_per_second: u64,
    save: SavePoints,
    dbfilename: String,
    rdbcompression: bool,
    rdbchecksum: bool,
    rdb_save_incremental_fsync: bool,
    stop_writes_on_bgsave_error: bool,
}

/// When a parameter may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// At any time, by CONFIG SET.
    Runtime,
    /// Only at the start.
    Start,
    /// By CONFIG SET if `enable-protected-configs` lets the client.
    Protected,
}

/// One row of the table.
#[derive(Debug)]
pub struct Parameter {
    /// The name, as Redis spells it.
    pub name: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// The unit of a number, or nothing.
    pub unit: &'static str,
    /// The default, in the form the command line takes.
    pub default: &'static str,
    /// When it may be changed.
    pub change: Change,
    /// Whether its value must be kept out of logs.
    pub secret: bool,
    /// What it does, in one line.
    pub doc: &'static str,
    get: fn(&Settings, &Kind) -> String,
    set: fn(&mut Settings, &str, &Kind) -> Result<(), String>,
}

impl Parameter {
    /// The current value, in the form of CONFIG GET: bytes without units, `yes` and `no`.
    #[must_use]
    pub fn get(&self, settings: &Settings) -> String {
        (self.get)(settings, &self.kind)
    }

    /// Changes the value; times of change are not checked here.
    ///
    /// # Errors
    /// The reason in Redis's words; nothing is changed then.
    pub fn set(&self, settings: &mut Settings, text: &str) -> Result<(), String> {
        (self.set)(settings, text, &self.kind)
    }

    /// The parameter of this name, without regard to case.
    #[must_use]
    pub fn find(name: &[u8]) -> Option<&'static Self> {
        let is = |other: &str| other.as_bytes().eq_ignore_ascii_case(name);
        let old = OLD_NAMES.iter().find(|(old, _)| is(old));
        PARAMETERS.iter().find(|parameter| match old {
            Some((_, name)) => parameter.name == *name,
            None => is(parameter.name),
        })
    }
}

const INT: i64 = i32::MAX as i64;
const LONG: u64 = i64::MAX as u64;
const ONE_MB: u64 = 1 << 20;
const POLICIES: &[&str] = &words::<8, Policy>();
const FSYNCS: &[&str] = &words::<3, AppendFsync>();
const LOG_LEVELS: &[&str] = &words::<5, LogLevel>();
const ACCESS: &[&str] = &words::<3, Access>();
const LIMITS: &str =
    "<class> <hard limit> <soft limit> <soft seconds>, several times, class normal, replica or pubsub";

macro_rules! rows {
    ($($name:literal, $field:ident, $kind:ident $(($($range:expr),*))?, $default:literal, $change:ident, $doc:literal
        $(, unit $unit:literal)? $(, secret $secret:literal)? $(, adjust $adjust:ident)?;)*) => {
        &[$(Parameter {
            name: $name,
            kind: Kind::$kind $(($($range),*))?,
            unit: concat!($($unit)?),
            default: $default,
            change: Change::$change,
            secret: false $(|| $secret)?,
            doc: $doc,
            get: |settings, kind| Value::print(&settings.$field, kind),
            set: |settings, text, kind| {
                let mut value = settings.$field.clone();
                value.assign(text, kind)?;
                $($adjust(&mut value)?;)?
                settings.$field = value;
                Ok(())
            },
        }),*]
    };
}

/// Names that parameters had in older versions of Redis, and still answer to.
pub const OLD_NAMES: &[(&str, &str)] = &[
    ("hash-max-ziplist-entries", "hash-max-listpack-entries"),
    ("hash-max-ziplist-value", "hash-max-listpack-value"),
    ("list-max-ziplist-size", "list-max-listpack-size"),
    ("zset-max-ziplist-entries", "zset-max-listpack-entries"),
    ("zset-max-ziplist-value", "zset-max-listpack-value"),
];

/// Every parameter, grouped as in `config/strata.toml`. A row: name, field, kind, default, when it may be changed, what
/// it does; then its unit, whether it is a secret, and what still happens to a value of the right form.
pub static PARAMETERS: &[Parameter] = rows! {
    // Network.
    "bind", bind, Words("addresses to listen on, separated by spaces"), "127.0.0.1 -::1", Runtime,
        "Addresses to listen on; one that begins with - may be unavailable";
    "port", port, Integer(0, 65535), "6379", Runtime,
        "TCP port; 0 listens on none";
    "tcp-backlog", tcp_backlog, Integer(0, INT), "511", Start,
        "Connections the kernel keeps waiting to be accepted";
    "unixsocket", unixsocket, Text, "", Start,
        "Path of a unix socket to listen on; empty for none";
    "unixsocketperm", unixsocketperm, Octal(0o777), "0", Start,
        "Permissions of the unix socket; 0 leaves them to the umask";
    "protected-mode", protected_mode, Bool, "yes", Runtime,
        "Refuse clients of other hosts while there is no password";
    "requirepass", requirepass, Text, "", Runtime,
        "Password of the default user; empty for none", secret true;
    // Clients.
    "timeout", timeout_seconds, Integer(0, INT), "0", Runtime,
        "Close clients that have been idle this long; 0 never does", unit "seconds";
    "tcp-keepalive", tcp_keepalive_seconds, Integer(0, INT), "300", Runtime,
        "How often the kernel probes a silent connection; 0 never does", unit "seconds";
    "maxclients", maxclients, Integer(1, u32::MAX as i64), "10000", Runtime,
        "Clients connected at the same time";
    "proto-max-bulk-len", proto_max_bulk_len, Memory(ONE_MB, LONG), "512mb", Runtime,
        "Longest single argument, and so the longest string value", unit "bytes";
    "client-query-buffer-limit", client_query_buffer_limit, Memory(ONE_MB, LONG), "1gb", Runtime,
        "Unread input that a client may pile up before it is closed", unit "bytes";
    "client-output-buffer-limit", client_output_buffer_limit, Words(LIMITS),
        "normal 0 0 0 slave 256mb 64mb 60 pubsub 32mb 8mb 60", Runtime,
        "Unsent output that a client may pile up before it is closed; 0 for no limit";
    // Threads and data.
    "workers", workers, Integer(0, 1024), "0", Start,
        "Threads that serve clients; 0 for one a core", adjust workers;
    "databases", databases, Integer(1, 65536), "16", Start,
        "Databases that SELECT knows";
    "shards", shards, Integer(1, 65536), "1024", Start,
        "Parts with a lock of their own that a database is split into; a power of two", adjust shards;
    "hz", hz, Integer(0, INT), "10", Runtime,
        "How often a second memory figures, rates and limits of time are looked at; 500 at most, 1 at least", adjust hz;
    // Memory.
    "maxmemory", maxmemory, Memory(0, u64::MAX), "0", Runtime,
        "Resident memory at which keys are evicted; 0 for no limit", unit "bytes";
    "maxmemory-policy", maxmemory_policy, Choice(POLICIES), "noeviction", Runtime,
        "Which keys are evicted when maxmemory is reached";
    "maxmemory-samples", maxmemory_samples, Integer(1, 64), "5", Runtime,
        "Keys looked at to find one to evict, where a policy samples";
    "maxmemory-eviction-tenacity", maxmemory_eviction_tenacity, Integer(0, 100), "10", Runtime,
        "How long one command may spend on eviction, from 0 (shortest) to 100 (until done)";
    "lfu-log-factor", lfu_log_factor, Integer(0, INT), "10", Runtime,
        "How slowly the access counter of the lfu policies saturates";
    "lfu-decay-time", lfu_decay_time_minutes, Integer(0, INT), "1", Runtime,
        "Time after which an access counter of the lfu policies is lowered by one; 0 never does", unit "minutes";
    "hll-sparse-max-bytes", hll_sparse_max_bytes, Memory(0, LONG), "3000", Runtime,
        "Longest HyperLogLog that is kept sparse", unit "bytes";
    "lazyfree-lazy-eviction", lazyfree_lazy_eviction, Bool, "no", Runtime,
        "Without effect: large values that are evicted are always freed in the background";
    "lazyfree-lazy-expire", lazyfree_lazy_expire, Bool, "no", Runtime,
        "Without effect: large values that expire are always freed in the background";
    "lazyfree-lazy-server-del", lazyfree_lazy_server_del, Bool, "no", Runtime,
        "Without effect: large values that are replaced are always freed in the background";
    "lazyfree-lazy-user-del", lazyfree_lazy_user_del, Bool, "no", Runtime,
        "Without effect: DEL and UNLINK are alike, and free large values in the background";
    "lazyfree-lazy-user-flush", lazyfree_lazy_user_flush, Bool, "no", Runtime,
        "Let FLUSHDB and FLUSHALL be ASYNC when they do not say: no reply waits for the memory to be free";
    // Collections.
    "hash-max-listpack-entries", hash_max_listpack_entries, Integer(0, i64::MAX), "128", Runtime,
        "Most fields of a hash that is kept packed";
    "hash-max-listpack-value", hash_max_listpack_value, Memory(0, LONG), "64", Runtime,
        "Longest field or value of a hash that is kept packed", unit "bytes";
    "list-max-listpack-size", list_max_listpack_size, Integer(-(INT + 1), INT), "-2", Runtime,
        "Most elements of one pack of a list; -1 to -5 for 4, 8, 16, 32 or 64 KiB";
    "list-compress-depth", list_compress_depth, Integer(0, INT), "0", Runtime,
        "Accepted for compatibility: the packs of a list are never compressed";
    "set-max-intset-entries", set_max_intset_entries, Integer(0, i64::MAX), "512", Runtime,
        "Most members of a set of integers that is kept as a sorted array";
    "set-max-listpack-entries", set_max_listpack_entries, Integer(0, i64::MAX), "128", Runtime,
        "Most members of a set that is kept packed";
    "set-max-listpack-value", set_max_listpack_value, Integer(0, i64::MAX), "64", Runtime,
        "Longest member of a set that is kept packed", unit "bytes";
    "zset-max-listpack-entries", zset_max_listpack_entries, Integer(0, i64::MAX), "128", Runtime,
        "Most members of a sorted set that is kept packed";
    "zset-max-listpack-value", zset_max_listpack_value, Memory(0, LONG), "64", Runtime,
        "Longest member of a sorted set that is kept packed", unit "bytes";
    "stream-node-max-bytes", stream_node_max_bytes, Memory(0, LONG), "4096", Runtime,
        "Bytes from which on a node of a stream takes no more entries; 0 for no limit", unit "bytes";
    "stream-node-max-entries", stream_node_max_entries, Integer(0, i64::MAX), "100", Runtime,
        "Entries of a node of a stream; 0 for no limit";
    // Events and observation.
    "notify-keyspace-events", notify_keyspace_events, Form("letters out of Ag$lshzxeKEtmdn"), "", Runtime,
        "Classes of key events to publish; needs K or E to publish any";
    "slowlog-log-slower-than", slowlog_log_slower_than_us, Integer(-1, i64::MAX), "10000", Runtime,
        "Commands that take longer go to the slow log; -1 for none, 0 for all", unit "microseconds";
    "slowlog-max-len", slowlog_max_len, Integer(0, i64::MAX), "128", Runtime,
        "Entries of the slow log";
    "latency-monitor-threshold", latency_monitor_threshold_ms, Integer(0, i64::MAX), "0", Runtime,
        "Events that take longer are kept for LATENCY; 0 for none", unit "milliseconds";
    "latency-tracking", latency_tracking, Bool, "yes", Runtime,
        "Keep a histogram of each command's time";
    "latency-tracking-info-percentiles", latency_tracking_info_percentiles,
        Words("numbers from 0 to 100, separated by spaces"), "50 99 99.9", Runtime,
        "Percentiles that INFO latencystats shows";
    // The process.
    "loglevel", loglevel, Choice(LOG_LEVELS), "notice", Runtime,
        "Least urgent messages to log";
    "logfile", logfile, Text, "", Start,
        "File to log to; empty for standard output";
    "pidfile", pidfile, Text, "", Start,
        "File to write the process id to; empty for none";
    "dir", dir, Directory, ".", Protected,
        "Working directory, that other paths start from";
    "enable-debug-command", enable_debug_command, Choice(ACCESS), "no", Start,
        "Who may use DEBUG; local means clients of this host";
    "enable-protected-configs", enable_protected_configs, Choice(ACCESS), "no", Start,
        "Who may change protected parameters (dir) by CONFIG SET; local means clients of this host";
    // Persistence.
    "appendonly", appendonly, Bool, "yes", Runtime,
        "Log every write on disk before it is answered; needs l2-size, and is off by default without";
    "appendfsync", appendfsync, Choice(FSYNCS), "everysec", Runtime,
        "When what was logged is synced: before the reply, once a second, or when the kernel likes";
    "l2-size", l2_size, Memory(0, LONG), "4gb", Runtime,
        "Bytes of disk that the second tier may take, at least 16mb; 0 for no second tier", unit "bytes", adjust l2_size;
    "l2-reclaim-mb-per-second", l2_reclaim_mb_per_second, Integer(0, INT), "128", Runtime,
        "How much of the log is read a second to remove what no longer counts, while there is room; 0 for no bound",
        unit "megabytes";
    "l2-dir", l2_dir, Text, "l2", Start,
        "Directory of the second tier";
    "save", save, Words("<seconds> <changes>, any number of times, or nothing"), "", Runtime,
        "Save a snapshot when so many seconds have passed since the last one, and so many changes; none for never";
    "dbfilename", dbfilename, Text, "dump.rdb", Protected,
        "File of snapshots, in dir", adjust file_name;
    "rdbcompression", rdbcompression, Bool, "yes", Runtime,
        "Accepted for compatibility: snapshots are not compressed";
    "rdbchecksum", rdbchecksum, Bool, "yes", Start,
        "End snapshots with a sum that tells damage";
    "rdb-save-incremental-fsync", rdb_save_incremental_fsync, Bool, "yes", Runtime,
        "Sync a snapshot every 4 MiB, so that the sync at its end is short";
    "stop-writes-on-bgsave-error", stop_writes_on_bgsave_error, Bool, "yes", Runtime,
        "Refuse writes when there are save points and the last snapshot failed";
};

fn workers(workers: &mut usize) -> Result<(), String> {
    if *workers == 0 {
        *workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    }
    Ok(())
}

fn shards(shards: &mut usize) -> Result<(), String> {
    if shards.is_power_of_two() { Ok(()) } else { Err("argument must be a power of two".to_owned()) }
}

/// With less, what workers write to and what is kept for reclaiming would be all there is.
fn l2_size(bytes: &mut u64) -> Result<(), String> {
    if *bytes == 0 || *bytes >= 16 << 20 {
        Ok(())
    } else {
        Err("argument must be 0 or at least 16mb".to_owned())
    }
}

fn file_name(name: &mut str) -> Result<(), String> {
    if name.contains('/') { Err("dbfilename can't be a path, just a filename".to_owned()) } else { Ok(()) }
}

/// Like Redis, takes a number out of range as a wish and comes as close as it can.
fn hz(hz: &mut u32) -> Result<(), String> {
    *hz = (*hz).clamp(1, 500);
    Ok(())
}

impl Default for Settings {
    /// The defaults of the table.
    fn default() -> Self {
        let mut settings = Self::blank();
        for parameter in PARAMETERS {
            if let Err(reason) = parameter.set(&mut settings, parameter.default) {
                panic!("the default of {} is invalid: {reason}", parameter.name);
            }
        }
        settings
    }
}
