//! What to measure, and how much of it: the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, Command, value_parser};

use crate::load::Plan;
use crate::server::Template;

/// A part.
#[derive(Clone, Copy, Debug)]
pub enum Section {
    /// What the log costs.
    Log,
    /// Reads by where the value is.
    Tiers,
    /// Memory during a burst of writes.
    Storm,
    /// Speed of a large load.
    Load,
    /// What a full log writes.
    Amplification,
    /// Time to the first answer.
    Start,
}

const SECTIONS: [(&str, Section); 6] = [
    ("log", Section::Log),
    ("tiers", Section::Tiers),
    ("storm", Section::Storm),
    ("load", Section::Load),
    ("load-amplification", Section::Amplification),
    ("start", Section::Start),
];

/// The command line, read.
#[derive(Debug)]
pub struct Options {
    /// The parts to run, in order.
    pub sections: Vec<Section>,
    /// How redis-server is started.
    pub redis: Template,
    /// How Strata is.
    pub strata: Template,
    /// How often each server has its turn.
    pub rounds: usize,
    /// How long a turn lasts.
    pub round: Duration,
    /// Keys of `log`.
    pub keys: u64,
    /// `maxmemory` of `tiers`, in MB; the data is ten times as large.
    pub tiers_mb: u64,
    /// `maxmemory` of `storm`, in MB; the data is ten times as large.
    pub storm_mb: u64,
    /// Data of `load`, in GiB.
    pub gigabytes: u64,
    /// `l2-size` where write amplification is measured, in MB.
    pub amplification_mb: u64,
    /// Keys of `start`.
    pub populate: u64,
    /// Where traces are.
    pub traces: Option<PathBuf>,
    /// `name=maxmemory` for a trace.
    pub trace_limits: Vec<(String, String)>,
}

impl Options {
    /// How servers are compared with so many keys.
    pub fn plan(&self, keys: u64, value_bytes: usize) -> Plan {
        Plan { clients: crate::log::CLIENTS, keys, value_bytes, rounds: self.rounds, round: self.round }
    }
}

/// Reads the command line; clap ends the process if it is wrong.
pub fn parse(arguments: Vec<String>) -> Options {
    let matches = command().get_matches_from(arguments);
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let list = |name: &str| -> Vec<String> {
        text(name).iter().flat_map(|text| text.split(',')).map(str::to_owned).collect()
    };
    let number = |name: &str| matches.get_one::<u64>(name).copied().unwrap_or_default();
    let only = list("only");
    // `load` means all that begins with it.
    let is = |name: &str, wanted: &str| name == wanted || name.split('-').next() == Some(wanted);
    let wanted = |name: &str| only.is_empty() || only.iter().any(|wanted| is(name, wanted));
    let strata = text("strata").unwrap_or_else(|| env!("CARGO_BIN_EXE_strata").to_owned());
    Options {
        sections: SECTIONS.iter().filter(|(name, _)| wanted(name)).map(|(_, section)| *section).collect(),
        redis: Template::redis("redis", &text("redis").unwrap_or_default()),
        strata: Template::strata(&strata),
        rounds: number("rounds").max(1) as usize,
        round: Duration::from_millis(number("milliseconds")),
        keys: number("keys").max(1),
        tiers_mb: number("tiers-mb").max(20),
        storm_mb: number("storm-mb").max(20),
        gigabytes: number("gigabytes").max(1),
        amplification_mb: number("amplification-mb").max(128),
        populate: number("populate").max(1),
        traces: text("traces").map(PathBuf::from),
        trace_limits: list("trace-limits")
            .iter()
            .filter_map(|text| text.split_once('='))
            .map(|(name, limit)| (name.to_owned(), limit.to_owned()))
            .collect(),
    }
}

fn command() -> Command {
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help).action(ArgAction::Set)
    };
    let number = |name: &'static str, default: &'static str, help: &'static str| {
        option(name, "N", help).default_value(default).value_parser(value_parser!(u64))
    };
    Command::new("tiers")
        .about("Measures what Strata's two tiers cost")
        .arg(Arg::new("bench").long("bench").help("Given by cargo").hide(true).action(ArgAction::SetTrue))
        .arg(option("only", "LIST", "Parts to run: log, tiers, storm, load, load-amplification, start"))
        .arg(number("rounds", "3", "Turns of each server"))
        .arg(number("milliseconds", "1000", "Length of a turn"))
        .arg(number("keys", "1000000", "Keys of log"))
        .arg(number("tiers-mb", "100", "maxmemory of tiers in MB; ten times as much is loaded"))
        .arg(number("storm-mb", "64", "maxmemory of storm in MB; ten times as much is written"))
        .arg(number("gigabytes", "4", "Data of load in GiB"))
        .arg(number(
            "amplification-mb",
            "4096",
            "l2-size in MB where write amplification is measured; a small log has few segments",
        ))
        .arg(number("populate", "10000000", "Keys of start"))
        .arg(option("redis", "PATH", "The redis-server to compare to").default_value("redis-server"))
        .arg(option("strata", "PATH", "The Strata to measure [default: built by cargo]"))
        .arg(option("traces", "DIR", "Directory of traces, *.u32.gz"))
        .arg(
            option("trace-limits", "LIST", "maxmemory for each trace")
                .default_value("arc-oltp=8mb,cache2k-orm-busy=3mb"),
        )
}
