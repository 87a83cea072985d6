//! What it costs that every write is logged.

use crate::load::{Load, measure};
use crate::options::Options;
use crate::report::{Figures, Report};
use crate::server::{Server, Template};
use crate::wire::{Work, key};
use crate::{Failure, system};

/// Clients that send at the same time.
pub const CLIENTS: usize = 50;
const VALUE_BYTES: usize = 64;

/// CPU per SET with `everysec`, throughput with `always`.
pub fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    report.section(&format!(
        "log: 1 thread a server on core {}, {CLIENTS} clients, {} keys, {VALUE_BYTES}-byte values",
        system::SERVER_CORE,
        options.keys,
    ));
    let start = |template: &Template, name: &str, settings: &[&str]| -> Result<Server, Failure> {
        let mut server = template.start(1, &[system::SERVER_CORE], settings)?;
        server.name = name.to_owned();
        let mut load = Load::connect(&server, 8, options.keys, VALUE_BYTES)?;
        load.fill(0..options.keys, |requests, number, out| requests.write_set(&key(number), out))?;
        Ok(server)
    };
    let plan = options.plan(options.keys, VALUE_BYTES);
    let logging = |fsync| ["--appendonly", "yes", "--appendfsync", fsync, "--l2-size", "8gb"];
    let appending =
        |fsync| ["--appendonly", "yes", "--appendfsync", fsync, "--auto-aof-rewrite-percentage", "0"];

    let bare = start(&options.strata, "no log", &[])?;
    let logged = start(&options.strata, "log, everysec", &logging("everysec"))?;
    let redis = start(&options.redis, "redis, everysec", &appending("everysec"))?;
    for pipeline in [1, 16] {
        let rows = measure(&[&bare, &logged, &redis], Work::Set, pipeline, plan)?;
        report.table(&format!("SET x{pipeline}"), &rows);
        let [(_, bare), (_, logged), (_, redis)] = rows.as_slice() else { continue };
        let to = |base: &Figures| logged.cpu_us / base.cpu_us;
        report.at_most(format!("CPU per SET with the log to without, x{pipeline}"), to(bare), 1.3);
        report.at_most(
            format!("CPU per SET with the log to redis with its own, x{pipeline}"),
            to(redis),
            1.0,
        );
    }
    drop((bare, logged, redis));

    let redis = start(&options.redis, "redis, always", &appending("always"))?;
    let logged = start(&options.strata, "log, always", &logging("always"))?;
    let rows = measure(&[&redis, &logged], Work::Set, 1, plan)?;
    report.table("SET x1", &rows);
    if let [(_, redis), (_, logged)] = rows.as_slice() {
        let ratio = logged.per_second / redis.per_second;
        report.at_least("SETs a second with always to redis", ratio, 1.0);
    }
    Ok(())
}
