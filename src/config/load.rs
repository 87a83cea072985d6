//! Where settings come from at the start: defaults, then the TOML file, then the environment, then the command line;
//! the last one that says something wins.
//!
//! Everything is made from the table, clap's options included. The command line is grouped before clap sees it, because
//! redis-server takes several words after an option (`--bind 127.0.0.1 ::1`) and words that begin with a dash, and clap
//! cannot tell those from the next option.
//!
//! This file must not know what any single parameter means.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use clap::{Arg, ArgAction, Command};

use super::params::{PARAMETERS, Parameter, Settings};
use super::{Config, file};

/// What environment variables of the server begin with.
const PREFIX: &str = "STRATA_";

/// What the program does beside serving: first arguments, what they take, and what they are for.
pub const TOOLS: &[(&str, &str, &str)] = &[
    ("check", "DIR [--repair]", "says what is damaged in the log of a stopped server; --repair clears it"),
    ("backup", "DIR TO", "copies a log, whose server may go on, into the new directory TO"),
    ("export", "FILE [OPTIONS]", "writes all keys of a stopped server's log to the new dump.rdb file FILE"),
    ("import", "FILE [OPTIONS]", "fills an empty log with the keys of the dump.rdb file FILE"),
];

/// One line for each of the [`TOOLS`].
#[must_use]
pub fn tools_help() -> String {
    let line = |(name, takes, what): &(&str, &str, &str)| format!("  strata {name:<6} {takes:<15} {what}\n");
    TOOLS.iter().map(line).collect()
}

/// Why the server cannot start, or need not: clap's help and version come this way too.
#[derive(Debug)]
pub enum ConfigError {
    /// What clap has to say: an unknown option with a suggestion, a missing value, help, the version.
    Usage(clap::Error),
    /// There is no parameter of this name.
    Unknown {
        /// The name, as it was given.
        name: String,
        /// Where it was given.
        source: String,
        /// The parameter that was probably meant.
        suggestion: Option<&'static str>,
    },
    /// A parameter does not take this value.
    Invalid {
        /// The parameter.
        parameter: &'static Parameter,
        /// The value, as it was given; hidden if it is a secret.
        value: String,
        /// Where it was given.
        source: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file cannot be read or is no TOML.
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
}

impl ConfigError {
    pub(super) fn unknown(name: &str, source: String) -> Self {
        Self::Unknown { name: name.to_owned(), source, suggestion: nearest(name) }
    }

    pub(super) fn invalid(
        parameter: &'static Parameter,
        value: &str,
        source: String,
        reason: String,
    ) -> Self {
        Self::Invalid {
            parameter,
            value: if parameter.secret { "(hidden)" } else { value }.to_owned(),
            source,
            reason,
        }
    }

    /// Prints this where it belongs (help to standard output, errors to standard error) and returns the exit status.
    #[must_use]
    pub fn report(&self) -> i32 {
        match self {
            Self::Usage(error) => {
                let _ = error.print();
                error.exit_code()
            }
            other => {
                eprintln!("strata: {other}");
                1
            }
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(error) => error.fmt(f),
            Self::Unknown { name, source, suggestion } => {
                write!(f, "unknown setting '{name}' ({source})")?;
                if let Some(suggestion) = suggestion {
                    write!(f, "; did you mean '{suggestion}'?")?;
                }
                f.write_str(" All settings are listed by --help")
            }
            Self::Invalid { parameter, value, source, reason } => write!(
                f,
                "invalid value '{value}' for {} ({source}): {reason}; allowed: {}",
                parameter.name,
                parameter.kind.allowed()
            ),
            Self::File { path, reason } => {
                write!(f, "configuration file {}: {reason}", path.display())
            }
        }
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads the configuration from the arguments (the program's name first) and the environment, and from the file
    /// that they name: `--config FILE`, a first argument `FILE`, or `STRATA_CONFIG`.
    ///
    /// # Errors
    /// The first setting that is unknown or invalid, in the order file, environment, command line; also help and
    /// version, which are to be printed in place of a start ([`ConfigError::report`]).
    pub fn load(
        args: impl IntoIterator<Item = OsString>,
        env: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let matches = command().try_get_matches_from(group(args)).map_err(ConfigError::Usage)?;
        let env: Vec<(String, OsString)> = env
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_str()?.strip_prefix(PREFIX)?.to_owned(), value)))
            .filter(|(name, value)| !is_service_link(name, value))
            .collect();
        let path = matches
            .get_one::<OsString>("config")
            .or_else(|| matches.get_one::<OsString>("file").filter(|path| *path != "-"))
            .or_else(|| env.iter().find(|(name, _)| name == "CONFIG").map(|(_, path)| path))
            .filter(|path| !path.is_empty())
            .map(PathBuf::from);

        let over = |mut settings: Settings| {
            if let Some(path) = &path {
                file::load(path, &mut settings)?;
            }
            from_env(&env, &mut settings)?;
            for parameter in PARAMETERS {
                for value in matches.get_many::<OsString>(parameter.name).into_iter().flatten() {
                    assign(parameter, value, format!("option --{}", parameter.name), &mut settings)?;
                }
            }
            Ok(settings)
        };
        let mut settings = over(Settings::default())?;
        if settings.l2_size == 0 {
            // Who turns the second tier off need not turn the log off as well.
            settings = over(Settings { appendonly: false, ..Settings::default() })?;
        }
        // CONFIG REWRITE must find the file again when `dir` has changed, and go through links to the file itself.
        let path = path.map(|path| std::fs::canonicalize(&path).unwrap_or(path));
        Ok(Self::with_file(settings, path))
    }
}

fn assign(
    parameter: &'static Parameter,
    value: &OsString,
    source: String,
    settings: &mut Settings,
) -> Result<(), ConfigError> {
    let Some(text) = value.to_str() else {
        let reason = "argument must be valid UTF-8".to_owned();
        return Err(ConfigError::invalid(parameter, &value.to_string_lossy(), source, reason));
    };
    parameter.set(settings, text).map_err(|reason| ConfigError::invalid(parameter, text, source, reason))
}

fn from_env(env: &[(String, OsString)], settings: &mut Settings) -> Result<(), ConfigError> {
    for (name, value) in env {
        if name == "CONFIG" {
            continue;
        }
        let variable = format!("environment variable {PREFIX}{name}");
        match Parameter::find(name.replace('_', "-").as_bytes()) {
            Some(parameter) => assign(parameter, value, variable, settings)?,
            None => return Err(ConfigError::unknown(&format!("{PREFIX}{name}"), variable)),
        }
    }
    Ok(())
}

/// Kubernetes and Docker links describe a service called `strata` to every container by variables such as
/// `STRATA_PORT=tcp://10.0.0.1:6379` and `STRATA_SERVICE_HOST`: those are not meant for the server.
fn is_service_link(name: &str, value: &OsString) -> bool {
    let after_port = name.strip_prefix("PORT_").unwrap_or_default();
    name == "SERVICE_HOST"
        || name.starts_with("SERVICE_PORT")
        || after_port.starts_with(|first: char| first.is_ascii_digit())
        || (name == "PORT" && value.to_str().is_some_and(|value| value.contains("://")))
}

/// The command line: one option for each parameter.
fn command() -> Command {
    let option = |parameter: &'static Parameter| {
        let unit = if parameter.unit.is_empty() { String::new() } else { format!(" ({})", parameter.unit) };
        let default = match parameter.default {
            "" => "''",
            default => default,
        };
        Arg::new(parameter.name)
            .long(parameter.name)
            .value_name("value")
            .help(format!("{}{unit} [default: {default}]", parameter.doc))
            .long_help(format!(
                "{}{unit}.\nAllowed: {}\n[default: {default}]",
                parameter.doc,
                parameter.kind.allowed()
            ))
            .value_parser(clap::value_parser!(OsString))
            .action(ArgAction::Append)
            .num_args(1)
            .allow_hyphen_values(true)
            .hide_default_value(true)
    };
    Command::new("strata")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A cache server that speaks the Redis protocol and keeps its data in tiers")
        .after_help(format!(
            "Every option can also be an environment variable (STRATA_PORT, STRATA_MAXMEMORY_POLICY) or a line of \
             the TOML file. The command line wins over the environment, and that over the file.\n\nTools:\n{}\n\
             OPTIONS are the server's, such as --l2-dir and --config.",
            tools_help()
        ))
        .arg(
            Arg::new("file")
                .value_name("FILE")
                .help("TOML file to read settings from and to write them to at CONFIG REWRITE")
                .value_parser(clap::value_parser!(OsString)),
        )
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .help("The same as FILE")
                .value_parser(clap::value_parser!(OsString))
                .conflicts_with("file"),
        )
        .args(PARAMETERS.iter().map(option))
}

/// Joins each option with the words that belong to it, as `--name=value`: all that follow up to the next option for
/// parameters that take several, one for the others. A `-` among the options means nothing, as for redis-server.
fn group(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut args = args.into_iter().peekable();
    let mut grouped = Vec::new();
    grouped.extend(args.next());
    while let Some(arg) = args.next() {
        let parameter = arg.to_str().and_then(|text| text.strip_prefix("--"));
        let Some(parameter) = parameter.and_then(|name| Parameter::find(name.as_bytes())) else {
            if arg != "-" {
                grouped.push(arg);
            }
            continue;
        };
        let mut option = OsString::from(format!("--{}", parameter.name));
        let mut words = 0;
        while let Some(word) = args.next_if(|word| !is_option(word)) {
            option.push(if words == 0 { "=" } else { " " });
            option.push(word);
            words += 1;
            if !parameter.kind.takes_several_words() {
                break;
            }
        }
        if words == 0 && parameter.kind.takes_several_words() && parameter.default.is_empty() {
            // Redis takes `--save` alone for `--save ''`.
            option.push("=");
        }
        grouped.push(option);
    }
    grouped
}

/// Whether this can only be the next option. Other words with two dashes, such as a password, stay values.
fn is_option(word: &OsString) -> bool {
    let Some(name) = word.to_str().and_then(|text| text.strip_prefix("--")) else {
        return false;
    };
    let name = name.split('=').next().unwrap_or(name);
    ["help", "version", "config"].contains(&name) || Parameter::find(name.as_bytes()).is_some()
}

/// The known name with the fewest edits from `name`, if they are few for its length: every short word is
/// near to `dir` and `port`.
fn nearest(name: &str) -> Option<&'static str> {
    const EDITS_MAX: usize = 3;
    const LETTERS_PER_EDIT: usize = 2;
    let name = name.strip_prefix(PREFIX).unwrap_or(name);
    let name = name.to_ascii_lowercase().replace('_', "-");
    PARAMETERS
        .iter()
        .map(|parameter| (edits(&name, parameter.name), parameter.name))
        .min()
        .filter(|(edits, _)| *edits <= EDITS_MAX.min(name.len() / LETTERS_PER_EDIT))
        .map(|(_, name)| name)
}

/// How many bytes to insert, remove or replace to get from one name to the other (Levenshtein).
fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, a) in from.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (column, b) in to.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

/// Reads a file alone, over the defaults; for tests of the documented file.
#[cfg(test)]
pub(super) fn load_file(path: &std::path::Path) -> Result<Settings, ConfigError> {
    let mut settings = Settings::default();
    file::load(path, &mut settings)?;
    Ok(settings)
}
