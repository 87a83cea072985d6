//! The `strata` binary: arguments, configuration, logging, the server, a signal.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use strata::config::{Config, LogLevel, TOOLS, tools_help};
use strata::disk::{self, backup::Copied, scan::DamagedRange};
use strata::net::{Server, offline};
use tokio::signal::unix::{SignalKind, signal};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

/// How soon a change of `loglevel` is noticed.
const LEVEL_EVERY: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let word = std::env::args_os().nth(1).unwrap_or_default();
    let arguments = std::env::args_os().skip(2);
    match word.to_str() {
        Some(word) if TOOLS.iter().any(|(name, ..)| *name == word) => return tool(word, arguments.collect()),
        Some(word) if is_unknown_tool(word) => {
            eprintln!(
                "strata: there is no command '{word}', and no configuration file of this name. The commands are\n{}\
                 Without one, strata is a server; `strata --help` lists its settings",
                tools_help()
            );
            return ExitCode::from(WRONG_USE);
        }
        _ => {}
    }
    let config = match Config::load(std::env::args_os(), std::env::vars_os()) {
        Ok(config) => Arc::new(config),
        Err(error) => return ExitCode::from(error.report() as u8),
    };
    let level = match start_logging(&config) {
        Ok(level) => level,
        Err(error) => {
            eprintln!("strata: logfile '{}': {error}", config.snapshot().logfile);
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

/// How the program ends when it was not told what to do.
const WRONG_USE: u8 = 2;

/// Whether a first argument can be neither a tool nor a configuration file: a plain word, and no file.
fn is_unknown_tool(word: &str) -> bool {
    let plain = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    plain && !word.is_empty() && !Path::new(word).exists()
}

fn tool(word: &str, arguments: Vec<OsString>) -> ExitCode {
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        println!("{}", usage(word));
        return ExitCode::SUCCESS;
    }
    match word {
        "check" => check(arguments),
        "backup" => backup(&arguments),
        _ => move_data(word, arguments.into_iter()),
    }
}

/// What a tool takes, and what it is for.
fn usage(word: &str) -> String {
    let known = TOOLS.iter().find(|(name, ..)| *name == word);
    let (takes, what) = known.map_or(("", ""), |(_, takes, what)| (takes, what));
    let status = match word {
        "check" => {
            "\nexit status: 0 where nothing is damaged, 1 where something is (or was, before --repair) or the log \
             cannot be read, 2 for a wrong use"
        }
        _ => "\nexit status: 0 where it is done, 1 where it is not, 2 for a wrong use",
    };
    format!("usage: strata {word} {takes}\n{what}{status}")
}

fn refuse(word: &str) -> ExitCode {
    eprintln!("{}", usage(word));
    ExitCode::from(WRONG_USE)
}

/// `strata check DIR [--repair]`: what of a log on disk is sound. Exits with 1 where something is damaged, or was.
fn check(arguments: Vec<OsString>) -> ExitCode {
    let (flags, paths): (Vec<OsString>, Vec<OsString>) =
        arguments.into_iter().partition(|word| word == "--repair");
    let [path] = &paths[..] else { return refuse("check") };
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

/// `strata backup DIR TO`: copies what is in a log on disk, whose server may go on.
fn backup(arguments: &[OsString]) -> ExitCode {
    let [from, to] = arguments else { return refuse("backup") };
    match disk::backup::backup(Path::new(from), Path::new(to)) {
        Ok(Copied { segments, records, bytes, damaged }) => {
            println!(
                "{segments} segments, {records} records, {bytes} bytes copied, {damaged} damaged places"
            );
            if damaged == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("strata: {error}");
            ExitCode::FAILURE
        }
    }
}

/// `strata import FILE` and `strata export FILE`, with the options of the server whose log it is: moves all keys from a
/// dump.rdb file into the log on disk, or the other way.
fn move_data(word: &str, mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(file) = arguments.next().filter(|file| !file.to_string_lossy().starts_with("--")) else {
        return refuse(word);
    };
    let options = std::iter::once(OsString::from("strata")).chain(arguments);
    let settings = match Config::load(options, std::env::vars_os()) {
        Ok(config) => config.snapshot(),
        Err(error) => return ExitCode::from(error.report() as u8),
    };
    // Before the directory changes.
    let path = std::path::absolute(&file).unwrap_or_else(|_| file.clone().into());
    let moved = std::env::set_current_dir(&settings.dir)
        .map_err(|error| format!("{}: {error}", settings.dir))
        .and_then(|()| match word {
            "export" => offline::export(&settings, &path).map(|keys| format!("{keys} keys exported")),
            _ => offline::import(&settings, &path).map(|imported| {
                let functions = match imported.functions {
                    0 => String::new(),
                    count => {
                        format!(", {count} libraries of functions were left out: they are not supported")
                    }
                };
                format!("{} keys imported, {} had expired{functions}", imported.keys, imported.expired)
            }),
        });
    match moved {
        Ok(done) => {
            println!("{done}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("strata: {error}");
            ExitCode::FAILURE
        }
    }
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
    // The terminal that it was started from may go.
    let _hangup = signal(SignalKind::hangup());
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
