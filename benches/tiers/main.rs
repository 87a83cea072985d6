//! What two tiers cost: the log, values on disk, bursts, large loads, starts. Each in one run on one machine.
//!
//! ```text
//! cargo bench --bench tiers                                    everything but the traces, about 7 minutes
//! cargo bench --bench tiers -- --only log,storm                some of it
//! cargo bench --bench tiers -- --only tiers --traces DIR       with recorded accesses
//! cargo bench --bench tiers -- --only load --gigabytes 20      a load that no memory holds
//! ```
//!
//! Data goes below the directory for temporary files (`TMPDIR`) and is removed. As in `compare`, servers take turns and the
//! median of the rounds counts.
//!
//! - **log**: CPU per SET with the log and without, and redis-server's with its own; SETs a second with `always`.
//! - **tiers**: a data set of ten times `maxmemory`. First reads by a Zipf distribution; then reads of each kind alone:
//!   values in memory, on disk with their pages in the kernel's memory, on disk without, and keys that do not exist.
//!   Memory is compared to a server without tier that has the same keys, and nothing else. Meanwhile another connection
//!   sends PING. With `--traces`, recorded accesses too.
//! - **storm**: ten times `maxmemory` written as fast as they go; anonymous memory is looked at every 50 ms.
//! - **load**: large values in order, until they are on the disk, against a file of as many bytes; then
//!   (**load-amplification**) what a full log writes for each byte that it is given: where the oldest keys are deleted or
//!   evicted, and where random ones are overwritten.
//! - **start**: the time until a key can be read, after a kill and after a stop.
//!
//! Exit status 1 if a target is missed, 2 if something could not be measured.

mod amplification;
mod load_large;
mod log;
mod options;
#[path = "../shared/mod.rs"]
mod shared;
mod start;
mod storm;
mod tiers;
mod traces;

use std::process::ExitCode;

use options::{Options, Section};
use shared::report::Report;
use shared::{Failure, load, report, server, system, talk, trace, wire};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    // `cargo test --benches` runs this too, without `--bench`: there is nothing to test.
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("tiers: nothing to test; measure with cargo bench --bench tiers");
        return ExitCode::SUCCESS;
    }
    let options = options::parse(arguments);
    match run(&options) {
        Ok(report) => report.finish(),
        Err(failure) => {
            eprintln!("tiers: {failure}");
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
            Section::Log => log::run(options, &mut report)?,
            Section::Tiers => {
                tiers::run(options, &mut report)?;
                traces::run(options, &mut report)?;
            }
            Section::Storm => storm::run(options, &mut report)?,
            Section::Load => load_large::run(options, &mut report)?,
            Section::Amplification => amplification::run(options, &mut report)?,
            Section::Start => start::run(options, &mut report)?,
        }
    }
    Ok(report)
}
