//! Ten thousand clients: busy ones, for errors and latency, and silent ones, for memory.

use std::time::Duration;

use crate::load::{Load, Turn};
use crate::options::Options;
use crate::report::{Figures, Report, median};
use crate::server::Server;
use crate::wire::{Protocol, Work};
use crate::{Failure, speed, system};

const CLIENTS: usize = 10_000;
const PER_SECOND: u64 = 50_000;
const VALUE_BYTES: usize = 64;
/// Turns of each server; they are longer than elsewhere, because each client asks only five times a second.
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(3);
/// How long idle connections may take to give their buffers back.
const REST: Duration = Duration::from_secs(5);

/// Busy clients, with one worker and with two.
pub fn many(options: &Options, report: &mut Report) -> Result<(), Failure> {
    for (threads, cores) in
        [(1, vec![system::SERVER_CORE]), (2, vec![system::LOAD_CORE, system::SERVER_CORE])]
    {
        report.section(&format!(
            "clients: {CLIENTS} connections, {PER_SECOND} GET a second offered, {threads} thread(s) a server on cores \
             {cores:?}, latency from when a request was due",
        ));
        let mut servers = Vec::new();
        for template in options.servers.iter().filter(|template| threads == 1 || template.takes_threads()) {
            servers.push(speed::start(template, threads, &cores, options)?);
        }
        let mut turns: Vec<Vec<Turn>> = servers.iter().map(|_| Vec::new()).collect();
        for _ in 0..ROUNDS {
            for (server, turns) in servers.iter().zip(&mut turns) {
                let mut load = Load::connect(server, CLIENTS, options.keys, VALUE_BYTES)?;
                load.open(server, Work::Get, PER_SECOND, Duration::from_millis(200))?;
                turns.push(load.open(server, Work::Get, PER_SECOND, ROUND)?);
            }
        }
        let names = servers.iter().map(|server| server.name.clone());
        let rows: Vec<(String, Figures)> = names.zip(turns.iter().map(|turns| Figures::of(turns))).collect();
        report.table(&format!("GET, {CLIENTS} clients"), &rows);
        let find = |wanted: &str| rows.iter().find(|(name, _)| name == wanted).map(|(_, figures)| figures);
        if let (Some(redis), Some(strata)) = (find("redis"), find("strata")) {
            let name = format!("{CLIENTS} clients, {threads} worker(s)");
            report.at_most(format!("errors, {name}"), strata.errors as f64, 0.0);
            report.at_most(format!("p99 to redis, {name}"), strata.latency_us[1] / redis.latency_us[1], 1.0);
        }
    }
    Ok(())
}

/// Silent clients.
pub fn idle(options: &Options, report: &mut Report) -> Result<(), Failure> {
    report.section(&format!(
        "idle: resident memory of {CLIENTS} connections, {} s after one GET each",
        REST.as_secs()
    ));
    println!("\n{:<30}{:>10}{:>18}", "", "MB", "bytes/connection");
    for template in &options.servers {
        let mut figures = Vec::new();
        for _ in 0..ROUNDS.min(options.rounds) {
            let server = template.start(1, &[system::SERVER_CORE], &[])?;
            figures.push(idle_bytes(&server)? as f64);
        }
        let bytes = median(figures);
        println!("  {:<28}{:>10.1}{:>18.0}", template.name, bytes / 1e6, bytes / CLIENTS as f64);
        if template.name == "strata" && template.protocol == Protocol::Redis {
            report.at_most(format!("MB of {CLIENTS} idle connections"), bytes / 1e6, 40.0);
        }
    }
    Ok(())
}

/// What ten thousand connections add to a fresh server that has served one.
fn idle_bytes(server: &Server) -> Result<u64, Failure> {
    let mut first = Load::connect(server, 1, 1, VALUE_BYTES)?;
    first.closed(server, Work::Get, 1, Duration::from_millis(100))?;
    let before = server.settled_rss_bytes()?;
    let mut load = Load::connect(server, CLIENTS, 1, VALUE_BYTES)?;
    load.closed(server, Work::Get, 1, Duration::ZERO)?;
    std::thread::sleep(REST);
    Ok(server.settled_rss_bytes()?.saturating_sub(before))
}
