//! The `strata` binary: arguments, configuration, logging, the server, a signal.

use std::process::ExitCode;
use std::sync::Arc;
use strata::config::{Config, LogLevel};
use strata::net::Server;
use tokio::signal::unix::{SignalKind, signal};
use tracing::level_filters::LevelFilter;

fn main() -> ExitCode {
    let config = match Config::load(std::env::args_os(), std::env::vars_os()) {
        Ok(config) => Arc::new(config),
        Err(error) => return ExitCode::from(error.report() as u8),
    };
    if let Err(error) = start_logging(&config) {
        eprintln!("strata: logfile: {error}");
        return ExitCode::FAILURE;
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("strata: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(run(config))
}

async fn run(config: Arc<Config>) -> ExitCode {
    let (mut terminate, mut interrupt) =
        match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
            (Err(error), _) | (_, Err(error)) => {
                eprintln!("strata: signals: {error}");
                return ExitCode::FAILURE;
            }
        };
    let server = match Server::start(config) {
        Ok(server) => server,
        Err(error) => {
            eprintln!("strata: {error}");
            return ExitCode::FAILURE;
        }
    };
    tokio::select! {
        _ = terminate.recv() => tracing::warn!("received SIGTERM, stopping"),
        _ = interrupt.recv() => tracing::warn!("received SIGINT, stopping"),
        () = server.stopped() => {}
    }
    server.stop();
    server.finish();
    tracing::warn!("stopped");
    ExitCode::SUCCESS
}

/// Logs to standard output, or to the end of `logfile`.
fn start_logging(config: &Config) -> std::io::Result<()> {
    let settings = config.snapshot();
    let level = match settings.loglevel {
        LogLevel::Debug => LevelFilter::TRACE,
        LogLevel::Verbose => LevelFilter::DEBUG,
        LogLevel::Notice => LevelFilter::INFO,
        LogLevel::Warning => LevelFilter::WARN,
        LogLevel::Nothing => LevelFilter::OFF,
    };
    let builder = tracing_subscriber::fmt().with_max_level(level).with_target(false);
    if settings.logfile.is_empty() {
        builder.with_ansi(false).init();
    } else {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&settings.logfile)?;
        builder.with_ansi(false).with_writer(Arc::new(file)).init();
    }
    Ok(())
}
