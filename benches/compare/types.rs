//! Collections: what their commands cost, how fast large ones load, and what they take in memory.

use std::ops::Range;
use std::time::Instant;

use crate::load::{Load, Turn, WARM_UP};
use crate::options::Options;
use crate::report::{Figures, Report};
use crate::server::{Server, Template};
use crate::speed::CLIENTS;
use crate::talk::Talk;
use crate::wire::{Random, Work};
use crate::{Failure, system};

/// Requests a client sends at once.
const PIPELINE: usize = 16;
/// Members of a large collection.
const LARGE: u64 = 1_000_000;
/// Requests that a server has seen before its memory is looked at.
const WARM_UP_REQUESTS: u64 = 1_000;
/// Keys of most cases.
const KEYS: u64 = 1_000;

/// A command that is measured.
pub struct Case {
    /// Its name on the command line and in tables.
    pub name: &'static str,
    /// How many requests fill the server before, and what they are.
    fill: (u64, fn(u64, &mut Vec<u8>)),
    /// Writes one request.
    pub write: fn(&mut Random, &mut Vec<u8>),
}

/// Appends a request.
fn request(out: &mut Vec<u8>, words: &[&str]) {
    let mut number = itoa::Buffer::new();
    out.push(b'*');
    out.extend_from_slice(number.format(words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(b"\r\n$");
        out.extend_from_slice(number.format(word.len()).as_bytes());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(word.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends a request of a name, a key and as many more words as `words` has.
fn many(out: &mut Vec<u8>, name: &str, key: &str, words: impl Iterator<Item = String>) {
    let words: Vec<String> = words.collect();
    let mut all = vec![name, key];
    all.extend(words.iter().map(String::as_str));
    request(out, &all);
}

fn no_fill(_: u64, _: &mut Vec<u8>) {}

fn nth(prefix: &str, number: u64) -> String {
    format!("{prefix}:{number:012}")
}

/// The commands of the table.
pub const CASES: &[Case] = &[
    Case {
        name: "LPUSH",
        fill: (0, no_fill),
        write: |random, out| request(out, &["LPUSH", &nth("lp", random.below(KEYS)), "element:00000001"]),
    },
    Case {
        name: "RPUSH",
        fill: (0, no_fill),
        write: |random, out| request(out, &["RPUSH", &nth("rp", random.below(KEYS)), "element:00000001"]),
    },
    Case {
        name: "LPOP",
        fill: (200_000, |number, out| {
            let elements = (0..20).map(|index| nth("e", number * 20 + index));
            many(out, "RPUSH", &nth("pop", number % KEYS), elements);
        }),
        write: |random, out| request(out, &["LPOP", &nth("pop", random.below(KEYS))]),
    },
    Case {
        name: "LRANGE 100",
        fill: (KEYS, |number, out| {
            many(out, "RPUSH", &nth("list", number), (0..200).map(|index| nth("e", index)));
        }),
        write: |random, out| request(out, &["LRANGE", &nth("list", random.below(KEYS)), "0", "99"]),
    },
    Case {
        name: "SADD",
        fill: (0, no_fill),
        write: |random, out| {
            request(out, &["SADD", &nth("sadd", random.below(KEYS)), &nth("m", random.below(1 << 20))]);
        },
    },
    Case {
        name: "SPOP",
        fill: (200_000, |number, out| {
            let members = (0..20).map(|index| nth("m", number * 20 + index));
            many(out, "SADD", &nth("spop", number % KEYS), members);
        }),
        write: |random, out| request(out, &["SPOP", &nth("spop", random.below(KEYS))]),
    },
    Case {
        name: "SISMEMBER",
        fill: (10_000, |number, out| {
            let members = (0..100).map(|index| nth("m", number / KEYS * 100 + index));
            many(out, "SADD", &nth("set", number % KEYS), members);
        }),
        write: |random, out| {
            request(out, &["SISMEMBER", &nth("set", random.below(KEYS)), &nth("m", random.below(2000))]);
        },
    },
    Case {
        name: "HSET",
        // With all fields: while they are filled, what a command costs depends on how far that has come.
        fill: (KEYS, |number, out| {
            let fields =
                (0..1 << 10).flat_map(|index| [nth("f", index), "a value of 24 bytes, yes".to_owned()]);
            many(out, "HSET", &nth("hset", number), fields);
        }),
        write: |random, out| {
            let (key, field) = (nth("hset", random.below(KEYS)), nth("f", random.below(1 << 10)));
            request(out, &["HSET", &key, &field, "a value of 24 bytes, yes"]);
        },
    },
    Case {
        name: "HGET",
        fill: (20_000, fill_hashes),
        write: |random, out| {
            request(out, &["HGET", &nth("hash", random.below(20_000)), &nth("f", random.below(20))]);
        },
    },
    Case {
        name: "HGETALL of 20",
        fill: (20_000, fill_hashes),
        write: |random, out| request(out, &["HGETALL", &nth("hash", random.below(20_000))]),
    },
    Case {
        name: "ZADD",
        fill: (0, no_fill),
        write: |random, out| {
            let (key, member) = (nth("zadd", random.below(KEYS)), nth("m", random.below(1 << 14)));
            request(out, &["ZADD", &key, &random.below(1 << 20).to_string(), &member]);
        },
    },
    Case {
        name: "ZRANGE 100 BYSCORE",
        fill: (LARGE / 20, fill_zset),
        write: |random, out| {
            let from = random.below(LARGE - 100);
            request(out, &["ZRANGE", "zset", &from.to_string(), &(from + 99).to_string(), "BYSCORE"]);
        },
    },
    Case {
        name: "ZRANK of 1M",
        fill: (LARGE / 20, fill_zset),
        write: |random, out| request(out, &["ZRANK", "zset", &nth("m", random.below(LARGE))]),
    },
    Case {
        name: "XADD",
        fill: (0, no_fill),
        write: |random, out| {
            let key = nth("xadd", random.below(KEYS));
            request(out, &["XADD", &key, "*", "sensor", "1234", "temperature", "19.8"]);
        },
    },
    Case {
        name: "XRANGE 100",
        fill: (100_000, |_, out| {
            request(out, &["XADD", "stream", "*", "sensor", "1234", "temperature", "19.8"]);
        }),
        write: |_, out| request(out, &["XRANGE", "stream", "-", "+", "COUNT", "100"]),
    },
    Case {
        name: "BITCOUNT of 4 KiB",
        fill: (KEYS, |number, out| request(out, &["SET", &nth("bits", number), &"x".repeat(4096)])),
        write: |random, out| request(out, &["BITCOUNT", &nth("bits", random.below(KEYS))]),
    },
    Case {
        name: "PFADD",
        fill: (0, no_fill),
        write: |random, out| {
            request(out, &["PFADD", &nth("hll", random.below(KEYS)), &nth("m", random.below(1 << 30))]);
        },
    },
];

fn fill_hashes(number: u64, out: &mut Vec<u8>) {
    let pairs = (0..20).flat_map(|field| [nth("f", field), "a value of 24 bytes, yes".to_owned()]);
    many(out, "HSET", &nth("hash", number), pairs);
}

fn fill_zset(number: u64, out: &mut Vec<u8>) {
    // In no order: 20 members that are far from one another.
    let members = (0..20).map(|index| (number * 20 + index) * 7_919 % LARGE);
    many(out, "ZADD", "zset", members.flat_map(|member| [member.to_string(), nth("m", member)]));
}

/// A kind of collection that is loaded: its name, how many requests make it, what they are, and what one
/// member is called in the table.
struct Kind {
    name: &'static str,
    members: u64,
    requests: u64,
    write: fn(u64, &mut Vec<u8>),
}

/// One collection of a million members each.
const LARGE_KINDS: &[Kind] = &[
    Kind {
        name: "list of 1M",
        members: LARGE,
        requests: LARGE,
        write: |number, out| request(out, &["RPUSH", "large", &nth("e", number)]),
    },
    Kind {
        name: "set of 1M",
        members: LARGE,
        requests: LARGE,
        write: |number, out| request(out, &["SADD", "large", &nth("m", number)]),
    },
    Kind {
        name: "hash of 1M",
        members: LARGE,
        requests: LARGE,
        write: |number, out| request(out, &["HSET", "large", &nth("f", number), "a value of 24 bytes, yes"]),
    },
    Kind {
        name: "sorted set of 1M",
        members: LARGE,
        requests: LARGE,
        write: |number, out| {
            let member = number * 7_919 % LARGE;
            request(out, &["ZADD", "large", &member.to_string(), &nth("m", member)]);
        },
    },
    Kind {
        name: "stream of 1M",
        members: LARGE,
        requests: LARGE,
        write: |_, out| request(out, &["XADD", "large", "*", "sensor", "1234", "temperature", "19.8"]),
    },
];

/// Many small ones, packed, and some that are just too large for that.
const SMALL_KINDS: &[Kind] = &[
    Kind {
        name: "lists of 10",
        members: 4_000_000,
        requests: 400_000,
        write: |number, out| many(out, "RPUSH", &nth("k", number), (0..10).map(|index| nth("e", index))),
    },
    Kind {
        name: "sets of 10 integers",
        members: 4_000_000,
        requests: 400_000,
        write: |number, out| many(out, "SADD", &nth("k", number), (0..10).map(|n| (n * 1_000).to_string())),
    },
    Kind {
        name: "sets of 10",
        members: 4_000_000,
        requests: 400_000,
        write: |number, out| many(out, "SADD", &nth("k", number), (0..10).map(|index| nth("m", index))),
    },
    Kind {
        name: "sets of 200",
        members: 2_000_000,
        requests: 10_000,
        write: |number, out| many(out, "SADD", &nth("k", number), (0..200).map(|index| nth("m", index))),
    },
    Kind {
        name: "hashes of 10",
        members: 4_000_000,
        requests: 400_000,
        write: |number, out| {
            let pairs = (0..10).flat_map(|field| [nth("f", field), "value".to_owned()]);
            many(out, "HSET", &nth("k", number), pairs);
        },
    },
    Kind {
        name: "hashes of 600",
        members: 1_200_000,
        requests: 2_000,
        write: |number, out| {
            let pairs = (0..600).flat_map(|field| [nth("f", field), "value".to_owned()]);
            many(out, "HSET", &nth("k", number), pairs);
        },
    },
    Kind {
        name: "sorted sets of 10",
        members: 4_000_000,
        requests: 400_000,
        write: |number, out| {
            let pairs = (0..10).flat_map(|index| [index.to_string(), nth("m", index)]);
            many(out, "ZADD", &nth("k", number), pairs);
        },
    },
    Kind {
        name: "sorted sets of 200",
        members: 2_000_000,
        requests: 10_000,
        write: |number, out| {
            let pairs = (0..200).flat_map(|index| [(index * 37 % 200).to_string(), nth("m", index)]);
            many(out, "ZADD", &nth("k", number), pairs);
        },
    },
    Kind {
        name: "streams of 10",
        members: 500_000,
        requests: 500_000,
        write: |number, out| {
            request(out, &["XADD", &nth("k", number / 10), "*", "sensor", "1234", "temperature", "19.8"]);
        },
    },
];

/// CPU per command, one worker.
pub fn commands(options: &Options, report: &mut Report) -> Result<(), Failure> {
    report.section(&format!(
        "types: 1 thread a server, {CLIENTS} clients, pipeline {PIPELINE}, on {KEYS} keys where nothing else is said"
    ));
    let servers: Vec<&Template> =
        options.servers.iter().filter(|server| server.takes_redis_options).collect();
    for case in CASES {
        let work = Work::Of { name: case.name, write: case.write };
        let wanted = |name: &String| case.name.to_lowercase().contains(&name.to_lowercase());
        if !options.commands.is_empty() && !options.commands.iter().any(wanted) {
            continue;
        }
        let mut all: Vec<(Server, Load, Vec<Turn>)> = Vec::new();
        for template in &servers {
            let server = template.start(1, &[system::SERVER_CORE], &[])?;
            fill(&server, 0..case.fill.0, case.fill.1)?;
            let load = Load::connect(&server, CLIENTS, options.keys, 0)?;
            all.push((server, load, Vec::new()));
        }
        for _ in 0..options.rounds {
            for (server, load, turns) in &mut all {
                load.closed(server, work, PIPELINE, WARM_UP)?;
                turns.push(load.closed(server, work, PIPELINE, options.round)?);
            }
        }
        let rows: Vec<(String, Figures)> =
            all.iter().map(|(server, _, turns)| (server.name.clone(), Figures::of(turns))).collect();
        report.table(case.name, &rows);
        let find = |wanted: &str| rows.iter().find(|(name, _)| name == wanted).map(|(_, figures)| figures);
        if let (Some(redis), Some(strata)) = (find("redis"), find("strata")) {
            let what = format!("CPU per command to redis, {} x{PIPELINE}", case.name);
            report.at_most(what, strata.cpu_us / redis.cpu_us, 0.6);
        }
    }
    Ok(())
}

/// How fast collections load and what a member takes.
pub fn collections(options: &Options, report: &mut Report) -> Result<(), Failure> {
    report.section("collections: seconds to load through 8 clients, bytes of resident memory per member");
    for (kinds, large) in [(LARGE_KINDS, true), (SMALL_KINDS, false)] {
        println!("\n{:<24}{:<10}{:>10}{:>14}", "", "", "seconds", "bytes/member");
        for kind in kinds {
            let mut found = Vec::new();
            for template in options.servers.iter().filter(|server| server.takes_redis_options) {
                let (seconds, bytes) = load(template, kind)?;
                println!("  {:<22}{:<10}{seconds:>10.2}{bytes:>14.1}", kind.name, template.name);
                found.push((template.name.clone(), seconds, bytes));
            }
            let find = |wanted: &str| found.iter().find(|(name, ..)| name == wanted);
            if let (Some((_, redis_seconds, redis_bytes)), Some((_, seconds, bytes))) =
                (find("redis"), find("strata"))
            {
                let what = format!("memory per member to redis, {}", kind.name);
                report.at_most(what, bytes / redis_bytes, 1.0);
                if large {
                    let what = format!("speed of loading to redis, {}", kind.name);
                    report.at_least(what, redis_seconds / seconds, 1.5);
                }
            }
        }
    }
    Ok(())
}

fn load(template: &Template, kind: &Kind) -> Result<(f64, f64), Failure> {
    // All requests are written before the clock starts.
    let (mut bytes, mut ends) = (Vec::new(), vec![0]);
    for number in 0..kind.requests {
        (kind.write)(number, &mut bytes);
        ends.push(bytes.len());
    }
    let server = template.start(1, &[system::SERVER_CORE], &[])?;
    let mut load = Load::connect(&server, 8, 1, 0)?;
    let mut send = |requests: Range<u64>| {
        load.fill(requests, |_, number, out| {
            let number = number as usize;
            out.extend_from_slice(&bytes[ends[number]..ends[number + 1]]);
        })
    };
    // Buffers and the program's own pages are no part of what members take.
    send(0..WARM_UP_REQUESTS.min(kind.requests))?;
    Talk::connect(server.address)?.ask(&["FLUSHALL"])?;
    let before = server.settled_rss_bytes()?;
    let started = Instant::now();
    send(0..kind.requests)?;
    let seconds = started.elapsed().as_secs_f64();
    let grown = server.settled_rss_bytes()?.saturating_sub(before);
    Ok((seconds, grown as f64 / kind.members as f64))
}

fn fill(server: &Server, range: Range<u64>, write: fn(u64, &mut Vec<u8>)) -> Result<(), Failure> {
    let mut load = Load::connect(server, 8, 1, 0)?;
    load.fill(range, |_, number, out| write(number, out))
}
