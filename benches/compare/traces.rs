//! Hit ratio on recorded accesses, at equal resident memory.
//!
//! redis-server runs with both of its general policies; then a `maxmemory` for Strata is searched at which it ends with no more resident memory than
//! either had.

use crate::options::Options;
use crate::report::Report;
use crate::server::Template;
use crate::{Failure, system, trace};

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
        compare(options, report, trace, &trace::read(&path)?, limit)?;
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
    let replayed = trace::replay(&server, objects)?;
    let ratio = replayed.hits as f64 / objects.len() as f64;
    Ok(Outcome { ratio, rss_bytes: server.rss_bytes()?, refused: replayed.refused })
}
