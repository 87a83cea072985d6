//! What to measure, how long, and which servers: the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, Command};

use crate::server::Template;

/// A part of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// CPU, throughput and latency with one thread a server.
    Speed,
    /// The same with two.
    Workers,
    /// Ten thousand busy clients.
    Clients,
    /// Ten thousand silent clients.
    Idle,
    /// Bytes per key.
    Memory,
    /// CPU per command of collections.
    Types,
    /// Loading of collections, and their memory.
    Collections,
    /// Hit ratios.
    Traces,
}

const SECTIONS: [(&str, Section); 8] = [
    ("speed", Section::Speed),
    ("workers", Section::Workers),
    ("clients", Section::Clients),
    ("idle", Section::Idle),
    ("memory", Section::Memory),
    ("types", Section::Types),
    ("collections", Section::Collections),
    ("traces", Section::Traces),
];

/// The command line, read.
#[derive(Debug)]
pub struct Options {
    /// The parts to run, in order.
    pub sections: Vec<Section>,
    /// redis-server first, which the others are compared to, then Strata, then the rest.
    pub servers: Vec<Template>,
    /// How often each server has its turn.
    pub rounds: usize,
    /// How long a turn lasts.
    pub round: Duration,
    /// Keys loaded before the speed is measured.
    pub keys: u64,
    /// Numbers of keys at which memory is measured.
    pub memory_keys: Vec<u64>,
    /// Value sizes at which memory is measured, in bytes.
    pub memory_values: Vec<usize>,
    /// Pipelines to measure.
    pub pipelines: Vec<usize>,
    /// Commands to measure, all if empty.
    pub commands: Vec<String>,
    /// Where traces are.
    pub traces: Option<PathBuf>,
    /// `name=maxmemory` of redis-server for a trace.
    pub trace_limits: Vec<(String, String)>,
    /// Strata's policy on traces.
    pub trace_policy: String,
}

/// Reads the command line; clap ends the process if it is wrong.
pub fn parse(arguments: Vec<String>) -> Options {
    let matches = command().get_matches_from(arguments);
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let list = |name: &str| -> Vec<String> {
        let all = matches.get_many::<String>(name).into_iter().flatten();
        all.flat_map(|text| text.split(',')).map(str::to_owned).collect()
    };
    let numbers =
        |name: &str| -> Vec<u64> { list(name).iter().filter_map(|text| text.parse().ok()).collect() };
    let quick = matches.get_flag("quick");
    let traces = text("traces").map(PathBuf::from);
    let only = list("only");
    let sections = SECTIONS
        .iter()
        .filter(|(name, section)| match only.is_empty() {
            true => *section != Section::Traces || traces.is_some(),
            false => only.iter().any(|wanted| wanted == name),
        })
        .map(|(_, section)| *section)
        .collect();
    let rounds = numbers("rounds").first().map_or(if quick { 3 } else { 5 }, |rounds| *rounds as usize);
    let milliseconds = numbers("milliseconds").first().copied().unwrap_or(if quick { 300 } else { 1000 });

    let redis = text("redis").unwrap_or_else(|| "redis-server".to_owned());
    let strata = text("strata").unwrap_or_else(|| env!("CARGO_BIN_EXE_strata").to_owned());
    let mut servers = vec![Template::redis("redis", &redis)];
    servers.push(match text("strata-command") {
        Some(command) => Template::custom("strata", &command),
        None => Template::strata(&strata),
    });
    if matches.get_flag("memcached") {
        servers.push(Template::memcached());
    }
    for server in matches.get_many::<String>("server").into_iter().flatten() {
        match server.split_once('=') {
            Some((name, command)) => servers.push(Template::custom(name, command)),
            None => servers.push(Template::redis(server, server)),
        }
    }
    let default_keys = if quick { 100_000 } else { 1_000_000 };
    let default_memory =
        if quick { vec![1_000_000, 2_000_000] } else { [1, 2, 3, 4, 6, 8].map(|n| n * 1_000_000).to_vec() };
    Options {
        sections,
        servers,
        rounds: rounds.max(1),
        round: Duration::from_millis(milliseconds),
        keys: numbers("keys").first().copied().unwrap_or(default_keys),
        memory_keys: Some(numbers("memory-keys")).filter(|list| !list.is_empty()).unwrap_or(default_memory),
        memory_values: numbers("memory-values").iter().map(|size| *size as usize).collect(),
        pipelines: numbers("pipelines").iter().map(|depth| *depth as usize).collect(),
        commands: list("commands"),
        traces,
        trace_limits: list("trace-limits")
            .iter()
            .filter_map(|text| text.split_once('='))
            .map(|(name, limit)| (name.to_owned(), limit.to_owned()))
            .collect(),
        trace_policy: text("trace-policy").unwrap_or_default(),
    }
}

fn command() -> Command {
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help).action(ArgAction::Set)
    };
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).help(help).action(ArgAction::SetTrue)
    };
    let limits = "arc-oltp=8mb,arc-oltp=24mb,cache2k-web12=3mb,cache2k-orm-busy=3mb";
    Command::new("compare")
        .about("Compares Strata with redis-server and other servers")
        .arg(flag("bench", "Given by cargo").hide(true))
        .arg(flag("quick", "Shorter rounds and less data"))
        .arg(option("only", "LIST", "Parts to run: speed, workers, clients, idle, memory, traces"))
        .arg(option("commands", "LIST", "Commands to measure: get, set, incr, mget10, mixed"))
        .arg(option("pipelines", "LIST", "Requests sent at once").default_value("1,16,64"))
        .arg(option("rounds", "N", "Turns of each server [default: 5]"))
        .arg(option("milliseconds", "N", "Length of a turn [default: 1000]"))
        .arg(option("keys", "N", "Keys loaded before measuring speed [default: 1000000]"))
        .arg(option("memory-keys", "LIST", "Numbers of keys to measure memory at [default: 1 to 8 million]"))
        .arg(
            option("memory-values", "LIST", "Bytes of a value to measure memory at")
                .default_value("16,64,200"),
        )
        .arg(option("redis", "PATH", "The redis-server to compare to"))
        .arg(option("strata", "PATH", "The Strata to measure [default: built by cargo]"))
        .arg(option("strata-command", "COMMAND", "A whole command line in its place, as for --server"))
        .arg(
            option(
                "server",
                "NAME=COMMAND",
                "One more server; {port} and {threads} are replaced. A mere path is run as redis-server is",
            )
            .action(ArgAction::Append),
        )
        .arg(flag("memcached", "Measure memcached's get and set, too"))
        .arg(option("traces", "DIR", "Directory of traces, *.u32.gz"))
        .arg(option("trace-limits", "LIST", "maxmemory of redis-server for each trace").default_value(limits))
        .arg(
            option("trace-policy", "NAME", "maxmemory-policy of Strata on traces")
                .default_value("allkeys-lru"),
        )
}
