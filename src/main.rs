//! The `strata` binary: arguments, configuration, logging, the server, a signal.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use strata::config::{Config, LogLevel};
use strata::disk::{self, scan::DamagedRange};
use strata::net::Server;
use tokio::signal::unix::{SignalKind, signal};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

/// How soon a change of `loglevel` is noticed.
const LEVEL_EVERY: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|word| word == "check") {
        return check(std::env::args_os().skip(2));
    }
    let config = match Config::load(std::env::args_os(), std::env::vars_os()) {
        Ok(config) => Arc::new(config),
        Err(error) => return ExitCode::from(error.report() as u8),
    };
    let level = match start_logging(&config) {
        Ok(level) => level,
        Err(error) => {
            eprintln!("strata: logfile: {error}");
            return ExitCode::FAILURE;
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("strata: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(run(config, level))
}

/// `strata check DIR [--repair]`: what of a log on disk is sound. Exits with 1 where something is damaged, or was.
fn check(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let (flags, paths): (Vec<OsString>, Vec<OsString>) = arguments.partition(|word| word == "--repair");
    let [path] = &paths[..] else {
        eprintln!("usage: strata check DIR [--repair]");
        return ExitCode::from(2);
    };
    let repair = !flags.is_empty();
    let (mut segments, mut records, mut damaged) = (0, 0, 0);
    let outcome = disk::check::check(Path::new(path), repair, |checked| {
        segments += 1;
        records += checked.records;
        if !checked.header {
            damaged += 1;
            println!("segment {:016x}: the header is damaged", checked.sequence);
        }
        for DamagedRange { offset, len, what } in checked.damage {
            damaged += 1;
            println!(
                "segment {:016x}: offset {offset}: {len} bytes are damaged ({what:?})",
                checked.sequence
            );
        }
    });
    if let Err(error) = outcome {
        eprintln!("strata: {error}");
        return ExitCode::FAILURE;
    }
    let done = if repair && damaged > 0 { ", which are cleared now" } else { "" };
    println!("{segments} segments, {records} sound records, {damaged} damaged places{done}");
    if damaged == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run(config: Arc<Config>, level: Level) -> ExitCode {
    tokio::spawn(follow_level(Arc::clone(&config), level));
    let server = match Server::start(config) {
        Ok(server) => server,
        Err(error) => {
            eprintln!("strata: {error}");
            return ExitCode::FAILURE;
        }
    };
    // Only now: a signal during a long load ends the process as it ends any other. No client is served before this
    // thread waits.
    let (mut terminate, mut interrupt) =
        match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
            (Err(error), _) | (_, Err(error)) => {
                eprintln!("strata: signals: {error}");
                return ExitCode::FAILURE;
            }
        };
    loop {
        tokio::select! {
            _ = terminate.recv() => tracing::warn!("received SIGTERM, stopping"),
            _ = interrupt.recv() => tracing::warn!("received SIGINT, stopping"),
            () = server.stopped() => break,
        }
        server.stop();
    }
    let finished = server.finish();
    tracing::warn!("stopped");
    match finished {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("strata: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Changes the level of the log.
type Level = reload::Handle<LevelFilter, Registry>;

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Debug => LevelFilter::TRACE,
        LogLevel::Verbose => LevelFilter::DEBUG,
        LogLevel::Notice => LevelFilter::INFO,
        LogLevel::Warning => LevelFilter::WARN,
        LogLevel::Nothing => LevelFilter::OFF,
    }
}

/// Logs to standard output, or to the end of `logfile`.
fn start_logging(config: &Config) -> std::io::Result<Level> {
    let settings = config.snapshot();
    let (filter, level) = reload::Layer::new(filter(settings.loglevel));
    let lines = tracing_subscriber::fmt::layer().with_target(false).with_ansi(false);
    let registry = tracing_subscriber::registry().with(filter);
    if settings.logfile.is_empty() {
        registry.with(lines).init();
    } else {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&settings.logfile)?;
        registry.with(lines.with_writer(Arc::new(file))).init();
    }
    Ok(level)
}

/// Makes the log follow `loglevel`.
async fn follow_level(config: Arc<Config>, level: Level) {
    let mut known = config.snapshot().loglevel;
    loop {
        tokio::time::sleep(LEVEL_EVERY).await;
        let wanted = config.settings().loglevel;
        if wanted != known && level.reload(filter(wanted)).is_ok() {
            known = wanted;
        }
    }
}
