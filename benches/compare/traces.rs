//! Hit ratio on recorded accesses, at equal resident memory.
//!
//! A trace is a gzip of little-endian u32 object numbers in the order of access. It is replayed as a look-aside cache:
//! GET 64 objects at once, then SET those that were missing, 256 bytes each. redis-server runs with both of its
//! general policies; then a `maxmemory` for Strata is searched at which it ends with no more resident memory than
//! either had.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;

use crate::options::Options;
use crate::report::Report;
use crate::server::Template;
use crate::wire::{Protocol, Requests};
use crate::{Failure, system};

const VALUE_BYTES: usize = 256;
const BATCH: usize = 64;
/// Steps of the search for a memory limit: each halves the interval.
const STEPS: usize = 8;

/// What one replay showed.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    ratio: f64,
    rss_bytes: u64,
    refused: u64,
}

/// Every trace and limit that was asked for and is there.
pub fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let directory = options.traces.as_deref().ok_or("traces need --traces DIR")?;
    report.section("traces: hit ratio at equal resident memory, values of 256 bytes, 64 at once");
    println!("\n{:<40}{:>12}{:>12}{:>10}{:>10}", "", "maxmemory", "MiB RSS", "hits", "refused");
    for (trace, limit) in &options.trace_limits {
        let path = directory.join(format!("{trace}.u32.gz"));
        if !path.exists() {
            println!("  {trace}: not in {}", directory.display());
            continue;
        }
        compare(options, report, trace, &read(&path)?, limit)?;
    }
    Ok(())
}

fn compare(
    options: &Options,
    report: &mut Report,
    trace: &str,
    objects: &[u32],
    redis_limit: &str,
) -> Result<(), Failure> {
    let show = |name: &str, limit: &str, outcome: Outcome| {
        let mebibytes = outcome.rss_bytes as f64 / f64::from(1 << 20);
        let title = format!("{trace} {name}");
        println!("  {title:<38}{limit:>12}{mebibytes:>12.2}{:>10.4}{:>10}", outcome.ratio, outcome.refused);
    };
    let redis = options.servers.first().ok_or("no redis-server")?;
    let lru = replay(redis, objects, redis_limit, "allkeys-lru")?;
    show("redis allkeys-lru", redis_limit, lru);
    let lfu = replay(redis, objects, redis_limit, "allkeys-lfu")?;
    show("redis allkeys-lfu", redis_limit, lfu);
    let rss_bytes = lru.rss_bytes.min(lfu.rss_bytes);
    let others = options.servers.iter().skip(1).filter(|template| template.takes_redis_options);
    for template in others {
        let strata = template.name == "strata";
        let policies: Vec<&str> = match strata {
            true => options.trace_policy.split(',').collect(),
            false => vec!["allkeys-lru", "allkeys-lfu"],
        };
        for policy in policies {
            let name = format!("{} {policy}", template.name);
            let Some((limit, outcome)) = search(template, objects, policy, rss_bytes)? else {
                println!("  {trace} {name}: needs more memory than redis-server even when empty");
                continue;
            };
            show(&name, &limit.to_string(), outcome);
            if strata {
                let better = lru.ratio.max(lfu.ratio);
                report.at_least(
                    format!("hit ratio to redis's better, {trace} at {redis_limit}"),
                    outcome.ratio / better,
                    1.0,
                );
            }
        }
    }
    Ok(())
}

/// The highest limit found at which the server ends with at most this resident memory.
fn search(
    template: &Template,
    objects: &[u32],
    policy: &str,
    rss_bytes: u64,
) -> Result<Option<(u64, Outcome)>, Failure> {
    let (mut low, mut high) = (rss_bytes / 16, rss_bytes * 2);
    let mut best = None;
    for _ in 0..STEPS {
        let limit = low.midpoint(high);
        let outcome = replay(template, objects, &limit.to_string(), policy)?;
        if outcome.rss_bytes <= rss_bytes {
            best = Some((limit, outcome));
            low = limit;
        } else {
            high = limit;
        }
    }
    Ok(best)
}

/// One replay on a fresh server.
fn replay(template: &Template, objects: &[u32], limit: &str, policy: &str) -> Result<Outcome, Failure> {
    let settings = ["--maxmemory", limit, "--maxmemory-policy", policy];
    let server = template.start(1, &[system::SERVER_CORE], &settings)?;
    let requests = Requests::new(Protocol::Redis, 1, VALUE_BYTES, 1);
    let stream = TcpStream::connect(server.address)?;
    stream.set_nodelay(true)?;
    let mut replies = BufReader::with_capacity(1 << 20, stream);
    let (mut hits, mut refused) = (0u64, 0u64);
    let mut out = Vec::new();
    let mut line = Vec::new();
    let mut value = vec![0; VALUE_BYTES + 2];
    for batch in objects.chunks(BATCH) {
        out.clear();
        for object in batch {
            requests.write_get(&name(*object), &mut out);
        }
        replies.get_mut().write_all(&out)?;
        let mut missing = Vec::new();
        for object in batch {
            line.clear();
            replies.read_until(b'\n', &mut line)?;
            match line.as_slice() {
                [b'$', b'-', ..] | [b'_', ..] => missing.push(*object),
                [b'$', ..] => {
                    replies.read_exact(&mut value)?;
                    hits += 1;
                }
                other => return Err(format!("GET: {}", String::from_utf8_lossy(other)).into()),
            }
        }
        let mut seen = HashSet::new();
        missing.retain(|object| seen.insert(*object));
        out.clear();
        for object in &missing {
            let name = name(*object);
            out.extend_from_slice(b"*3\r\n$3\r\nSET\r\n$8\r\n");
            out.extend_from_slice(&name);
            out.extend_from_slice(format!("\r\n${VALUE_BYTES}\r\n").as_bytes());
            out.resize(out.len() + VALUE_BYTES, b'x');
            out.extend_from_slice(b"\r\n");
        }
        replies.get_mut().write_all(&out)?;
        for _ in &missing {
            line.clear();
            replies.read_until(b'\n', &mut line)?;
            refused += u64::from(line.first() != Some(&b'+'));
        }
    }
    Ok(Outcome { ratio: hits as f64 / objects.len() as f64, rss_bytes: server.rss_bytes()?, refused })
}

/// The key of an object: eight decimal digits.
fn name(object: u32) -> [u8; 8] {
    let mut name = [b'0'; 8];
    let mut left = object;
    for digit in name.iter_mut().rev() {
        *digit += (left % 10) as u8;
        left /= 10;
    }
    name
}

fn read(path: &Path) -> Result<Vec<u32>, Failure> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(File::open(path)?).read_to_end(&mut bytes)?;
    let (objects, _) = bytes.as_chunks::<4>();
    Ok(objects.iter().map(|object| u32::from_le_bytes(*object)).collect())
}
