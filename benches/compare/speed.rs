//! CPU per command, throughput and latency of busy servers, with one thread each and with two.

use std::collections::HashMap;
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
        "workers: 2 threads a server on cores {} and {}, which the load shares, {CLIENTS} clients; -1 and -2 are workers",
        system::LOAD_CORE,
        system::SERVER_CORE,
    ));
    let cores = [system::LOAD_CORE, system::SERVER_CORE];
    system::pin_self(&cores)?;
    let mut servers = Vec::new();
    for template in options.servers.iter().filter(|template| template.takes_threads()) {
        servers.push(start(template, 2, &cores, options)?);
        if template.name == "strata" {
            let mut one = start(template, 1, &cores, options)?;
            one.name = "strata-1".to_owned();
            servers.push(one);
        }
    }
    for server in &mut servers {
        if server.name == "strata" {
            server.name = "strata-2".to_owned();
        }
    }
    for (work, pipeline) in works(options) {
        let all: Vec<&Server> = servers.iter().filter(|server| work.exists_in(server.protocol)).collect();
        let rows = measure(&all, work, pipeline, plan(options))?;
        report.table(&format!("{} x{pipeline}", work.name()), &rows);
        if let (Some((_, two)), Some((_, one)), Some((_, redis))) = (
            rows.iter().find(|(name, _)| name == "strata-2"),
            rows.iter().find(|(name, _)| name == "strata-1"),
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

/// What a command costs two workers, and what one, when both are offered the same. At full load two workers and the
/// load generator are three threads for two cores, and one worker has a core of its own: that compares schedules.
fn same_load(
    servers: &[Server],
    work: Work,
    pipeline: usize,
    rate: f64,
    options: &Options,
    report: &mut Report,
) -> Result<(), Failure> {
    let both: Vec<&Server> =
        ["strata-1", "strata-2"].iter().filter_map(|name| servers.iter().find(|s| s.name == *name)).collect();
    let interval = Duration::from_secs_f64((CLIENTS * pipeline) as f64 / rate);
    let mut sleeps = [Vec::new(), Vec::new()];
    let mut turns: Vec<Vec<Turn>> = both.iter().map(|_| Vec::new()).collect();
    let mut loads = Vec::new();
    for server in &both {
        // A worker beside the load would interrupt it for every request, and sleep after each.
        system::set_patient(server.pid(), true)?;
        loads.push(Load::connect(server, CLIENTS, options.keys, VALUE_BYTES)?);
    }
    // Here both workers can run when they have something to do; at full load it is the scheduler that chooses which of them
    // shares its core with the load.
    let with_two = both.iter().find(|server| server.name == "strata-2");
    let before_all = with_two.map(|server| system::thread_cpu_ns(server.pid())).transpose()?;
    for _ in 0..options.rounds {
        for (index, (server, load)) in both.iter().zip(&mut loads).enumerate() {
            load.bursts(server, work, pipeline, interval, WARM_UP)?;
            let before = system::sleeps(server.pid())?;
            let turn = load.bursts(server, work, pipeline, interval, options.round)?;
            sleeps[index].push((system::sleeps(server.pid())? - before) as f64 / turn.commands.max(1) as f64);
            turns[index].push(turn);
        }
    }
    for server in &both {
        system::set_patient(server.pid(), false)?;
    }
    let names = both.iter().map(|server| server.name.clone());
    let rows: Vec<(String, Figures)> = names.zip(turns.iter().map(|turns| Figures::of(turns))).collect();
    let name = format!("{} x{pipeline}", work.name());
    report.table(&format!("{name}, {rate:.0}/s offered"), &rows);
    let [one, two] = [0, 1].map(|index| median(std::mem::take(&mut sleeps[index])));
    if let (Some(server), Some(before)) = (with_two, before_all) {
        spread(report, work, pipeline, server, &before)?;
    }
    println!("  commands each time a thread slept: {:.1} with 1 worker, {:.1} with 2", 1.0 / one, 1.0 / two);
    if let [(_, one), (_, two)] = rows.as_slice() {
        let ratio = two.cpu_us / one.cpu_us;
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

/// How evenly the two busiest threads of the server shared the work since `before`.
fn spread(
    report: &mut Report,
    work: Work,
    pipeline: usize,
    server: &Server,
    before: &[(u32, String, u64)],
) -> Result<(), Failure> {
    let before: HashMap<u32, u64> = before.iter().map(|(id, _, used)| (*id, *used)).collect();
    let mut used: Vec<(u64, String)> = system::thread_cpu_ns(server.pid())?
        .into_iter()
        .map(|(id, name, used)| (used - before.get(&id).copied().unwrap_or(0).min(used), name))
        .collect();
    used.sort_by(|a, b| b.cmp(a));
    let total: u64 = used.iter().map(|(used, _)| used).sum();
    let shares: Vec<String> = used
        .iter()
        .take(3)
        .map(|(used, name)| format!("{name} {:.0}%", *used as f64 * 100.0 / total.max(1) as f64))
        .collect();
    println!("  threads of {}: {}", server.name, shares.join(", "));
    if let [(first, _), (second, _), ..] = used.as_slice() {
        let ratio = *first as f64 / (*second).max(1) as f64;
        report.at_most(format!("busier worker to the other, {} x{pipeline}", work.name()), ratio, 1.25);
    }
    Ok(())
}
