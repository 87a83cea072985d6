//! CPU per command, throughput and latency of busy servers, with one thread each and with two.

use std::time::Duration;

use crate::load::{Load, Plan, Turn, WARM_UP, measure};
use crate::options::Options;
use crate::report::{Figures, Report, median};
use crate::server::{Server, Template};
use crate::wire::{Protocol, Work, key};
use crate::{Failure, floor, system};

/// Clients that send at the same time.
pub const CLIENTS: usize = 50;
/// Bytes of a value.
const VALUE_BYTES: usize = 64;
/// Two workers are compared to one at the throughput of one divided by this.
const OFFERED_PART: f64 = 2.0;

/// Strata with two workers.
const TWO: &str = "strata-2";
/// With one, on the other core than the load.
const ONE: &str = "strata-1";
/// With one, on the core of the load.
const ONE_BESIDE_LOAD: &str = "strata-1b";

/// One worker a server, on a core of its own.
pub fn one_worker(options: &Options, report: &mut Report) -> Result<(), Failure> {
    report.section(&format!(
        "speed: 1 thread a server on core {}, load on core {}, {CLIENTS} clients, {} keys, {VALUE_BYTES}-byte values",
        system::SERVER_CORE,
        system::LOAD_CORE,
        options.keys,
    ));
    let mut servers = Vec::new();
    for template in &options.servers {
        servers.push(start(template, 1, &[system::SERVER_CORE], options)?);
    }
    let floor = floor::template()?.start(1, &[system::SERVER_CORE], &[])?;
    for (work, pipeline) in works(options) {
        let mut all: Vec<&Server> = servers.iter().filter(|server| work.exists_in(server.protocol)).collect();
        if matches!(work, Work::Get) {
            all.push(&floor);
        }
        let rows = measure(&all, work, pipeline, plan(options))?;
        report.table(&format!("{} x{pipeline}", work.name()), &rows);
        targets(report, work, pipeline, &rows);
    }
    Ok(())
}

/// Two workers a server; both cores are shared with the load.
pub fn two_workers(options: &Options, report: &mut Report) -> Result<(), Failure> {
    report.section(&format!(
        "workers: 2 threads a server on cores {} and {}, which the load shares, {CLIENTS} clients; {} has one worker, {} \
         one on the core of the load",
        system::LOAD_CORE,
        system::SERVER_CORE,
        ONE,
        ONE_BESIDE_LOAD,
    ));
    let cores = [system::LOAD_CORE, system::SERVER_CORE];
    system::pin_self(&cores)?;
    let mut servers = Vec::new();
    for template in options.servers.iter().filter(|template| template.takes_threads()) {
        let mut two = start(template, 2, &cores, options)?;
        if template.name == "strata" {
            two.name = TWO.to_owned();
            for (name, core) in [(ONE, system::SERVER_CORE), (ONE_BESIDE_LOAD, system::LOAD_CORE)] {
                let mut one = start(template, 1, &[core], options)?;
                one.name = name.to_owned();
                servers.push(one);
            }
        }
        servers.push(two);
    }
    for (work, pipeline) in works(options) {
        let all: Vec<&Server> = servers
            .iter()
            .filter(|server| server.name != ONE_BESIDE_LOAD && work.exists_in(server.protocol))
            .collect();
        let rows = measure(&all, work, pipeline, plan(options))?;
        report.table(&format!("{} x{pipeline}", work.name()), &rows);
        if let (Some((_, two)), Some((_, one)), Some((_, redis))) = (
            rows.iter().find(|(name, _)| name == TWO),
            rows.iter().find(|(name, _)| name == ONE),
            rows.iter().find(|(name, _)| name == "redis"),
        ) {
            let name = format!("{} x{pipeline}", work.name());
            let ratio = two.per_second / redis.per_second;
            report.at_least(
                format!("throughput of 2 workers to redis with 2 io-threads, {name}"),
                ratio,
                1.0,
            );
            let rate = one.per_second / OFFERED_PART;
            same_load(&servers, work, pipeline, rate, options, report)?;
        }
    }
    system::pin_self(&[system::LOAD_CORE])
}

/// What a command costs two workers, and what one, when all are offered the same. At full load two workers and the
/// load generator are three threads for two cores, and one worker has a core of its own: that compares schedules.
///
/// A worker on the core of the load finds in its caches what the load's thread has put into the sockets, one on the other
/// core has to fetch it: that is most of what a command costs without a pipeline. Of two workers one is here and one there,
/// so they are compared to the mean of one worker here and one there.
fn same_load(
    servers: &[Server],
    work: Work,
    pipeline: usize,
    rate: f64,
    options: &Options,
    report: &mut Report,
) -> Result<(), Failure> {
    let all: Vec<&Server> = [ONE, ONE_BESIDE_LOAD, TWO]
        .iter()
        .filter_map(|name| servers.iter().find(|s| s.name == *name))
        .collect();
    let interval = Duration::from_secs_f64((CLIENTS * pipeline) as f64 / rate);
    let mut sleeps: Vec<Vec<f64>> = all.iter().map(|_| Vec::new()).collect();
    let mut turns: Vec<Vec<Turn>> = all.iter().map(|_| Vec::new()).collect();
    let mut loads = Vec::new();
    for server in &all {
        // A worker beside the load would interrupt it for every request, and sleep after each.
        system::set_patient(server.pid(), true)?;
        loads.push(Load::connect(server, CLIENTS, options.keys, VALUE_BYTES)?);
    }
    for _ in 0..options.rounds {
        for (index, (server, load)) in all.iter().zip(&mut loads).enumerate() {
            load.bursts(server, work, pipeline, interval, WARM_UP)?;
            let before = system::sleeps(server.pid())?;
            let turn = load.bursts(server, work, pipeline, interval, options.round)?;
            sleeps[index].push((system::sleeps(server.pid())? - before) as f64 / turn.commands.max(1) as f64);
            turns[index].push(turn);
        }
    }
    for server in &all {
        system::set_patient(server.pid(), false)?;
        if server.name == TWO {
            spread(report, work, pipeline, server)?;
        }
    }
    let names = all.iter().map(|server| server.name.clone());
    let rows: Vec<(String, Figures)> = names.zip(turns.iter().map(|turns| Figures::of(turns))).collect();
    let name = format!("{} x{pipeline}", work.name());
    report.table(&format!("{name}, {rate:.0}/s offered"), &rows);
    for (server, sleeps) in all.iter().zip(sleeps) {
        println!("  commands each time a thread of {} slept: {:.1}", server.name, 1.0 / median(sleeps));
    }
    if let [(_, one), (_, beside_load), (_, two)] = rows.as_slice() {
        let ratio = two.cpu_us / ((one.cpu_us + beside_load.cpu_us) / 2.0);
        report.at_most(format!("CPU per command of 2 workers to 1 at the same load, {name}"), ratio, 1.15);
    }
    Ok(())
}

/// The commands and pipelines that were asked for.
fn works(options: &Options) -> Vec<(Work, usize)> {
    Work::ALL
        .iter()
        .filter(|(name, _)| {
            options.commands.is_empty() || options.commands.iter().any(|wanted| wanted == name)
        })
        .flat_map(|(_, work)| options.pipelines.iter().map(|pipeline| (*work, *pipeline)))
        .collect()
}

/// Starts a server and loads keys and counters.
pub fn start(
    template: &Template,
    threads: usize,
    cores: &[usize],
    options: &Options,
) -> Result<Server, Failure> {
    let server = template.start(threads, cores, &[])?;
    let mut load = Load::connect(&server, 8, options.keys, VALUE_BYTES)?;
    load.fill(0..options.keys, |requests, number, out| requests.write_set(&key(number), out))?;
    if server.protocol == Protocol::Redis {
        load.fill(0..options.keys, |requests, number, out| requests.write_counter(number, out))?;
    }
    Ok(server)
}

fn plan(options: &Options) -> Plan {
    Plan {
        clients: CLIENTS,
        keys: options.keys,
        value_bytes: VALUE_BYTES,
        rounds: options.rounds,
        round: options.round,
    }
}

/// The targets of one worker.
fn targets(report: &mut Report, work: Work, pipeline: usize, rows: &[(String, Figures)]) {
    let find = |wanted: &str| rows.iter().find(|(name, _)| name == wanted).map(|(_, figures)| figures);
    let (Some(redis), Some(strata)) = (find("redis"), find("strata")) else {
        return;
    };
    if !matches!(work, Work::Get | Work::Set) {
        return;
    }
    let name = format!("{} x{pipeline}", work.name());
    let bound = if pipeline == 1 { 0.95 } else { 0.5 };
    report.at_most(format!("CPU per command to redis, {name}"), strata.cpu_us / redis.cpu_us, bound);
    if let (Some(floor), 1) = (find("floor"), pipeline) {
        report.at_most(
            format!("CPU per command to the bare epoll loop, {name}"),
            strata.cpu_us / floor.cpu_us,
            1.15,
        );
    }
}

/// How evenly the connections are spread over the two workers.
fn spread(report: &mut Report, work: Work, pipeline: usize, server: &Server) -> Result<(), Failure> {
    let sockets = system::watched_sockets(server.pid())?;
    let [first, second, ..] = sockets.as_slice() else { return Err("two event queues were expected".into()) };
    println!("  connections of the workers of {}: {first} and {second}", server.name);
    let ratio = *first as f64 / (*second).max(1) as f64;
    report.at_most(
        format!("connections of one worker to the other's, {} x{pipeline}", work.name()),
        ratio,
        1.1,
    );
    Ok(())
}
