//! Recorded accesses, with the tier and without: what is kept, and what that costs.

use std::time::Instant;

use crate::options::Options;
use crate::report::Report;
use crate::talk::Talk;
use crate::{Failure, system, trace};

/// Every trace and limit that was asked for and is there.
pub fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    report.section("tiers, traces: look-aside reads of 256-byte values, 64 at once, 1 connection");
    let Some(directory) = &options.traces else {
        println!("  skipped: no --traces DIR");
        return Ok(());
    };
    println!(
        "\n{:<40}{:>12}{:>10}{:>14}{:>14}{:>16}{:>12}",
        "", "maxmemory", "hits", "from disk", "left memory", "CPU us/command", "commands/s"
    );
    for (name, limit) in &options.trace_limits {
        let path = directory.join(format!("{name}.u32.gz"));
        if !path.exists() {
            println!("  {name}: not in {}", directory.display());
            continue;
        }
        let objects = trace::read(&path)?;
        for tier in [false, true] {
            replay(options, report, name, &objects, limit, tier)?;
        }
    }
    Ok(())
}

fn replay(
    options: &Options,
    report: &mut Report,
    name: &str,
    objects: &[u32],
    limit: &str,
    tier: bool,
) -> Result<(), Failure> {
    let mut settings = vec!["--maxmemory", limit, "--maxmemory-policy", "allkeys-lru"];
    if tier {
        settings.extend(["--appendonly", "yes", "--appendfsync", "everysec", "--l2-size", "4gb"]);
    }
    let server = options.strata.start(1, &[system::SERVER_CORE], &settings)?;
    let (before, began) = (server.cpu_ns()?, Instant::now());
    let replayed = trace::replay(&server, objects)?;
    let (used, elapsed) = (server.cpu_ns()? - before, began.elapsed());
    let commands = (objects.len() as u64 + replayed.writes) as f64;
    let hits = replayed.hits as f64 / objects.len() as f64;
    let [promoted, demoted] = match tier {
        true => Talk::connect(server.address)?.info(["l2_promoted", "l2_demoted"])?,
        false => [0.0; 2],
    };
    let title = format!("{name}, {}", if tier { "two tiers" } else { "memory alone" });
    println!(
        "  {title:<38}{limit:>12}{hits:>10.4}{:>14.4}{:>14.4}{:>16.3}{:>12.0}",
        promoted / objects.len() as f64,
        demoted / objects.len() as f64,
        used as f64 / 1000.0 / commands,
        commands / elapsed.as_secs_f64(),
    );
    if tier {
        report.at_most(format!("refused writes, {name} at {limit}"), replayed.refused as f64, 0.0);
    }
    Ok(())
}
