//! MEMORY.

use super::parse::{int, is};
use super::row::{ArgKind, Flag, Row, arg, container, key, keys_at, row};
use super::{Answer, Ctx, DONE, Error, Services};
use crate::keyspace::{Access, Lookup, Scope};
use crate::memory::usage::{self, AllocatorStats};

/// What a key costs beside its entry: its slot at the usual load.
const SLOT_BYTES: usize = 10;
/// Members of a collection that MEMORY USAGE looks at unless told.
const SAMPLES: usize = 5;

fn memory_usage(ctx: &mut Ctx<'_>) -> Answer {
    let options = ctx.args.from(3);
    let (mut at, mut sampled) = (0, SAMPLES);
    while let Some(word) = options.get(at) {
        let Some(samples) = options.get(at + 1).filter(|_| is(word, "samples")) else {
            return Err(Error::SYNTAX);
        };
        match usize::try_from(int(samples)?) {
            Ok(0) => sampled = usize::MAX,
            Ok(samples) => sampled = samples,
            Err(_) => return Err(Error::SYNTAX),
        }
        at += 2;
    }
    let key = ctx.key(0);
    let is_on_disk = ctx.access.came_from_disk(key);
    match ctx.access.get(key, Lookup::Silent) {
        // It was brought to memory to be looked at only.
        Some(_) if is_on_disk => ctx.reply.int(SLOT_BYTES as i64),
        Some(entry) => ctx.reply.int((entry.total_bytes(sampled) + SLOT_BYTES) as i64),
        None => ctx.reply.null(),
    }
    DONE
}

/// Where memory goes, in bytes.
pub struct Breakdown {
    /// Allocated by the process.
    pub used: usize,
    /// The most it ever was.
    pub peak: usize,
    /// What was allocated before there was any data.
    pub startup: usize,
    /// Of clients.
    pub clients: usize,
    /// Number, keys, keys that expire, and bytes of slots and wheels of each database that has keys.
    pub databases: Vec<(usize, usize, usize, usize)>,
    /// What the allocator says.
    pub allocator: AllocatorStats,
    /// Resident bytes.
    pub resident: usize,
}

impl Breakdown {
    /// Measures now.
    pub fn measure(services: &Services, access: &Access<'_>) -> Breakdown {
        usage::publish();
        let databases = services
            .keyspace
            .databases_in_use()
            .iter()
            .map(|(number, _)| {
                let (keys, expires, overhead) = access.sizes(*number);
                (*number, keys, expires, overhead)
            })
            .filter(|(_, keys, ..)| *keys > 0)
            .collect();
        let allocator = usage::allocator_stats();
        Breakdown {
            used: usage::allocated_bytes(),
            peak: usage::peak_bytes(),
            startup: usage::startup_bytes(),
            clients: services.clients.all().iter().map(|client| client.memory_bytes()).sum(),
            databases,
            allocator,
            resident: usage::resident_bytes(),
        }
    }

    /// All keys.
    pub fn keys(&self) -> usize {
        self.databases.iter().map(|(_, keys, ..)| keys).sum()
    }

    /// What is not data.
    pub fn overhead(&self) -> usize {
        self.startup + self.clients + self.databases.iter().map(|(.., bytes)| bytes).sum::<usize>()
    }

    /// What is data.
    pub fn dataset(&self) -> usize {
        self.used.saturating_sub(self.overhead())
    }

    /// The share of data in what was allocated since the start, in percent.
    pub fn dataset_percent(&self) -> f64 {
        let net = self.used.saturating_sub(self.startup).max(1);
        (self.dataset() as f64 * 100.0 / net as f64).min(100.0)
    }

    /// Resident bytes for each allocated one.
    pub fn fragmentation(&self) -> f64 {
        self.resident as f64 / self.used.max(1) as f64
    }
}

fn ratio(one: usize, other: usize) -> f64 {
    one as f64 / other.max(1) as f64
}

fn memory_stats(ctx: &mut Ctx<'_>) -> Answer {
    let found = Breakdown::measure(ctx.services, &ctx.access);
    let a = found.allocator;
    let keys = found.keys();
    let integers_1 = [
        ("peak.allocated", found.peak),
        ("total.allocated", found.used),
        ("startup.allocated", found.startup),
        ("replication.backlog", 0),
        ("clients.slaves", 0),
        ("clients.normal", found.clients),
        ("cluster.links", 0),
        ("aof.buffer", 0),
        ("lua.caches", 0),
        ("functions.caches", 0),
    ];
    ctx.reply.map(integers_1.len() + found.databases.len() + 21);
    let int = |ctx: &mut Ctx<'_>, name: &str, value: usize| {
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.int(value as i64);
    };
    let double = |ctx: &mut Ctx<'_>, name: &str, value: f64| {
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.double(value);
    };
    for (name, value) in integers_1 {
        int(ctx, name, value);
    }
    for (number, _, _, bytes) in &found.databases {
        ctx.reply.bulk(format!("db.{number}").as_bytes());
        ctx.reply.map(2);
        int(ctx, "overhead.hashtable.main", *bytes);
        int(ctx, "overhead.hashtable.expires", 0);
    }
    int(ctx, "overhead.db.hashtable.lut", 0);
    int(ctx, "overhead.db.hashtable.rehashing", 0);
    int(ctx, "overhead.total", found.overhead());
    int(ctx, "db.dict.rehashing.count", 0);
    int(ctx, "keys.count", keys);
    let net = found.used.saturating_sub(found.startup);
    int(ctx, "keys.bytes-per-key", net.checked_div(keys).unwrap_or(0));
    int(ctx, "dataset.bytes", found.dataset());
    double(ctx, "dataset.percentage", found.dataset_percent());
    double(ctx, "peak.percentage", ratio(found.used, found.peak) * 100.0);
    int(ctx, "allocator.allocated", a.allocated);
    int(ctx, "allocator.active", a.active);
    int(ctx, "allocator.resident", a.resident);
    int(ctx, "allocator.muzzy", 0);
    double(ctx, "allocator-fragmentation.ratio", ratio(a.active, a.allocated));
    int(ctx, "allocator-fragmentation.bytes", a.active.saturating_sub(a.allocated));
    double(ctx, "allocator-rss.ratio", ratio(a.resident, a.active));
    int(ctx, "allocator-rss.bytes", a.resident.saturating_sub(a.active));
    double(ctx, "rss-overhead.ratio", ratio(found.resident, a.resident));
    ctx.reply.bulk(b"rss-overhead.bytes");
    ctx.reply.int(found.resident as i64 - a.resident as i64);
    double(ctx, "fragmentation", found.fragmentation());
    ctx.reply.bulk(b"fragmentation.bytes");
    ctx.reply.int(found.resident as i64 - found.used as i64);
    DONE
}

fn memory_doctor(ctx: &mut Ctx<'_>) -> Answer {
    const SMALL_BYTES: usize = 5 << 20;
    let found = Breakdown::measure(ctx.services, &ctx.access);
    let mut advice = Vec::new();
    if found.used < SMALL_BYTES {
        let text = "Hi Sam, this instance is empty or is using very little memory, my issues detector can't be \
                    used in these conditions. Please, leave for your mission on Earth and fill it with some \
                    data. The new Sam and I will be back to our programming as soon as I finished rebooting.\n";
        ctx.reply.verbatim(text.as_bytes());
        return DONE;
    }
    if found.peak as f64 > found.used as f64 * 1.5 {
        advice.push(format!(
            " * Peak memory: in the past this instance used {} bytes, now it uses {}. Freed pages go back to \
             the system by themselves; MEMORY PURGE gives them back at once.",
            found.peak, found.used
        ));
    }
    if found.fragmentation() > 1.4 && found.resident.saturating_sub(found.used) > 10 << 20 {
        advice.push(format!(
            " * High fragmentation: {} bytes are resident for {} in use. MEMORY PURGE gives free pages back.",
            found.resident, found.used
        ));
    }
    let text = if advice.is_empty() {
        "Hi Sam, I can't find any memory issue in your instance. I can only account for what occurs on this base.\n"
            .to_owned()
    } else {
        format!("Sam, I detected a few issues in this instance memory implants:\n\n{}\n", advice.join("\n"))
    };
    ctx.reply.verbatim(text.as_bytes());
    DONE
}

fn memory_malloc_stats(ctx: &mut Ctx<'_>) -> Answer {
    let stats = usage::allocator_report();
    ctx.reply.verbatim(&stats);
    DONE
}

fn memory_purge(ctx: &mut Ctx<'_>) -> Answer {
    usage::purge();
    ctx.reply.ok();
    DONE
}

fn memory_help(ctx: &mut Ctx<'_>) -> Answer {
    ctx.help(&[
        "DOCTOR",
        "    Return memory problems reports.",
        "MALLOC-STATS",
        "    Return internal statistics report from the memory allocator.",
        "PURGE",
        "    Attempt to purge dirty pages for reclamation by the allocator.",
        "STATS",
        "    Return information about the memory usage of the server.",
        "USAGE <key> [SAMPLES <count>]",
        "    Return memory in bytes used by <key> and its value. Nested values are",
        "    sampled up to <count> times (default: 5, 0 means sample all).",
    ])
}

/// The rows of this family.
pub const ROWS: &[Row] = &[container(
    "memory",
    -2,
    "server",
    &[
        row("doctor", 2, "server", memory_doctor)
            .scope(|_| Scope::WalkAll)
            .docs("Outputs a memory problems report.", "4.0.0")
            .complexity("O(1)")
            .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]),
        row("help", 2, "server", memory_help)
            .flags(&[Flag::Loading, Flag::Stale])
            .docs("Returns helpful text about the different subcommands.", "4.0.0")
            .complexity("O(1)"),
        row("malloc-stats", 2, "server", memory_malloc_stats)
            .docs("Returns the allocator statistics.", "4.0.0")
            .complexity("Depends on how much memory is allocated, could be slow")
            .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]),
        row("purge", 2, "server", memory_purge)
            .docs("Asks the allocator to release memory.", "4.0.0")
            .complexity("Depends on how much memory is allocated, could be slow")
            .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]),
        row("stats", 2, "server", memory_stats)
            .scope(|_| Scope::WalkAll)
            .docs("Returns details about memory usage.", "4.0.0")
            .complexity("O(1)")
            .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]),
        row("usage", -3, "server", memory_usage)
            .flags(&[Flag::Readonly])
            .keys(&[keys_at(2, 0, 1, &["RO"])])
            .docs("Estimates the memory usage of a key.", "4.0.0")
            .complexity("O(N) where N is the number of samples.")
            .args(&[key("key", 0), arg("count", ArgKind::Integer).token("SAMPLES").optional()]),
    ],
)
.docs("A container for memory diagnostics commands.", "4.0.0")
.complexity("Depends on subcommand.")];
