//! Side by side: Strata, redis-server and any other server, measured in one run on one machine.
//!
//! ```text
//! cargo bench --bench compare                             everything but the traces, about 15 minutes
//! cargo bench --bench compare -- --quick --only speed     a short look
//! cargo bench --bench compare -- --only traces --traces DIR
//! cargo bench --bench compare -- --memcached --server 'valkey=/opt/valkey-server --port {port} --save ""'
//! ```
//!
//! A time alone says more about the machine and its neighbours than about a server, so every figure is taken for all
//! servers in turn, in rounds (A B A B ...), and printed beside its ratio to redis-server's; rounds are combined by
//! their median. Servers are pinned to one core and the load generator to the other.
//!
//! - **speed**: GET, SET, INCR, MGET of ten and a 90:10 mix at pipelines of 1, 16 and 64, 50 clients, a million random
//!   keys of 64 bytes. *CPU* is what the server's process used, all threads, divided by commands: unlike throughput, it
//!   does not depend on whether the one thread of the load generator can keep up (with deep pipelines it cannot, and
//!   throughput is then its own). *floor* is a bare epoll loop that answers the bytes of a 64-byte value to whatever it
//!   reads: what the kernel alone costs. Latency is the time from sending a batch to its last reply.
//! - **workers**: the same with two threads a server, on both cores, which the load generator shares. What a command costs
//!   two workers and one is compared at the same offered load: all clients send at once, at intervals, half of what one
//!   worker can do; the load generator sleeps meanwhile, and the servers do not interrupt it. At full load two workers
//!   and the load generator are three threads on two cores and evict each other's caches, where one worker has a core
//!   to itself. One worker is measured on each of the cores, and two are compared to the mean: what comes from the other
//!   core's cache costs half as much again, with any number of workers.
//! - **clients**: 10,000 connections and 50,000 requests a second, sent when they are due whether or not earlier ones
//!   were answered; latency counts from when they were due.
//! - **idle**: resident memory of 10,000 connections that have asked once and are silent since.
//! - **memory**: resident memory per key at 1 to 8 million keys of 16 bytes; overhead is what is not key or value.
//! - **types**: CPU per command of each kind of collection at a pipeline of 16.
//! - **collections**: seconds to load collections of a million members, and resident memory per member of large and of
//!   small ones.
//! - **traces**: hit ratio of a look-aside cache (GET; on a miss, SET of 256 bytes) on recorded accesses, at a memory
//!   limit that leaves Strata no more resident memory than redis-server had.
//!
//! Strata's targets are checked at the end: exit status 1 if one is missed, 2 if something could not be measured.
//!
//! Nothing here may know how a server works inside: it sees sockets, processes and /proc.

mod clients;
mod floor;
mod memory;
mod options;
#[path = "../shared/mod.rs"]
mod shared;
mod speed;
mod traces;
mod types;

use std::process::ExitCode;

use options::{Options, Section};
use report::Report;
use shared::{Failure, load, report, server, system, talk, trace, wire};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, flag, port] = arguments.as_slice()
        && flag == floor::FLAG
    {
        return floor::serve(port);
    }
    // `cargo test --benches` runs this too, without `--bench`: there is nothing to test.
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("compare: nothing to test; measure with cargo bench --bench compare");
        return ExitCode::SUCCESS;
    }
    let options = options::parse(arguments);
    match run(&options) {
        Ok(report) => report.finish(),
        Err(failure) => {
            eprintln!("compare: {failure}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> Result<Report, Failure> {
    system::raise_file_limit()?;
    system::pin_self(&[system::LOAD_CORE])?;
    let mut report = Report::new();
    for section in &options.sections {
        match section {
            Section::Speed => speed::one_worker(options, &mut report)?,
            Section::Workers => speed::two_workers(options, &mut report)?,
            Section::Clients => clients::many(options, &mut report)?,
            Section::Idle => clients::idle(options, &mut report)?,
            Section::Memory => memory::run(options, &mut report)?,
            Section::Types => types::commands(options, &mut report)?,
            Section::Collections => types::collections(options, &mut report)?,
            Section::Traces => traces::run(options, &mut report)?,
        }
    }
    Ok(report)
}
