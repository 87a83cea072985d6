//! Configuration: one table of parameters, where their values come from, and how they change while the server runs.
//!
//! - `params.rs`: the table and [`Settings`], the typed values.
//! - `types.rs`, `value.rs`: the types of values; how each is read, checked and printed.
//! - `load.rs`: defaults < file < environment < command line.
//! - `file.rs`: the TOML file, read at the start and rewritten by CONFIG REWRITE.
//! - here: [`Config`], which everybody shares and CONFIG GET and SET work on.
//!
//! Readers take an immutable [`Settings`] and never see half a change. A hot loop keeps its own `Arc<Settings>` and
//! renews it when [`Config::generation`] has moved.
//!
//! Configuration must not know what a setting does: whoever can fail to apply one registers with [`Config::on_change`].

mod file;
mod load;
mod params;
mod types;
mod value;

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;

pub use load::{ConfigError, TOOLS, tools_help};
pub use params::{Change, OLD_NAMES, PARAMETERS, Parameter, Settings};
pub use types::{
    Access, AppendFsync, Choice, ClassLimit, LogLevel, NotifyFlags, OutputLimits, Policy, SavePoints,
    parse_memory, print_memory, print_percentile,
};
pub use value::Kind;

use crate::glob;

/// Applies new settings, or refuses them with the name of the parameter to blame and the reason.
type Apply = dyn Fn(&Settings, &Settings) -> Result<(), (&'static str, String)> + Send + Sync;

/// The configuration of a running server.
pub struct Config {
    settings: ArcSwap<Settings>,
    generation: AtomicU64,
    /// The file the server was started with, absolute; CONFIG REWRITE writes to it.
    path: Option<PathBuf>,
    apply: OnceLock<Box<Apply>>,
    /// Held by a change from reading the old settings to publishing the new ones.
    changing: Mutex<()>,
}

impl Config {
    /// A configuration that came from nowhere else, without a file.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self::with_file(settings, None)
    }

    fn with_file(settings: Settings, path: Option<PathBuf>) -> Self {
        Self {
            settings: ArcSwap::from_pointee(settings),
            generation: AtomicU64::new(0),
            path,
            apply: OnceLock::new(),
            changing: Mutex::new(()),
        }
    }

    /// The settings of this moment. Keep the guard for the shortest time; use [`Config::snapshot`] to keep them longer.
    pub fn settings(&self) -> Guard<Arc<Settings>> {
        self.settings.load()
    }

    /// The settings of this moment, to keep.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// A number that grows with every successful change. Read it before the settings: then a change in between is at
    /// worst seen twice, never missed.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The file the server was started with, if there is one.
    #[must_use]
    pub fn path(&self) -> Option<&std::path::Path> {
        self.path.as_deref()
    }

    /// Registers what has to succeed before changed settings count: it gets the old and the new ones, and what it
    /// refuses is not published. Only the first registration is kept.
    pub fn on_change(
        &self,
        apply: impl Fn(&Settings, &Settings) -> Result<(), (&'static str, String)> + Send + Sync + 'static,
    ) {
        let _ = self.apply.set(Box::new(apply));
    }

    /// Names and values of the parameters that match any of the patterns, each once. As for Redis, a name without `*`,
    /// `?` and `[` is looked up, and comes back spelled as it was asked for.
    #[must_use]
    pub fn get(&self, patterns: &[&[u8]]) -> Vec<(String, String)> {
        let settings = self.settings();
        let mut found: Vec<(String, &Parameter)> = Vec::new();
        let mut add = |name: String, parameter: &'static Parameter| {
            if !found.iter().any(|(known, _)| known.eq_ignore_ascii_case(&name)) {
                found.push((name, parameter));
            }
        };
        for pattern in patterns {
            if !pattern.iter().any(|byte| b"*?[".contains(byte)) {
                if let Some(parameter) = Parameter::find(pattern) {
                    add(String::from_utf8_lossy(pattern).into_owned(), parameter);
                }
                continue;
            }
            let old =
                OLD_NAMES.iter().filter_map(|(old, name)| Some((*old, Parameter::find(name.as_bytes())?)));
            for (name, parameter) in PARAMETERS.iter().map(|parameter| (parameter.name, parameter)).chain(old)
            {
                if glob::matches_nocase(pattern, name.as_bytes()) {
                    add(name.to_owned(), parameter);
                }
            }
        }
        found.into_iter().map(|(name, parameter)| (name, parameter.get(&settings))).collect()
    }

    /// Changes all these parameters or none, for a client of another host.
    ///
    /// # Errors
    /// What to answer; nothing is changed then.
    pub fn set(&self, pairs: &[(&[u8], &[u8])]) -> Result<(), SetError> {
        self.set_from(false, pairs)
    }

    /// Changes all these parameters or none; `local` says whether the client is on this host.
    ///
    /// # Errors
    /// What to answer; nothing is changed then.
    pub fn set_from(&self, local: bool, pairs: &[(&[u8], &[u8])]) -> Result<(), SetError> {
        let _changing = self.changing.lock();
        let old = self.snapshot();
        let mut parameters: Vec<&Parameter> = Vec::with_capacity(pairs.len());
        for (name, _) in pairs {
            let parameter = Parameter::find(name).ok_or_else(|| SetError::unknown(name))?;
            let protected = match old.enable_protected_configs {
                Access::No => true,
                Access::Yes => false,
                Access::Local => !local,
            };
            match parameter.change {
                Change::Start => return Err(SetError::failed(name, "can't set immutable config")),
                Change::Protected if protected => {
                    return Err(SetError::failed(name, "can't set protected config"));
                }
                Change::Protected | Change::Runtime => {}
            }
            if parameters.iter().any(|known| known.name == parameter.name) {
                return Err(SetError::failed(name, "duplicate parameter"));
            }
            parameters.push(parameter);
        }
        let mut new = Settings::clone(&old);
        for (parameter, (_, value)) in parameters.iter().zip(pairs) {
            let reason = match std::str::from_utf8(value) {
                Ok(value) => parameter.set(&mut new, value).err(),
                Err(_) => Some("argument must be valid UTF-8".to_owned()),
            };
            if let Some(reason) = reason {
                return Err(SetError::failed(parameter.name.as_bytes(), &reason));
            }
        }
        if let Some(apply) = self.apply.get() {
            apply(&old, &new).map_err(|(name, reason)| SetError::failed(name.as_bytes(), &reason))?;
        }
        self.settings.store(Arc::new(new));
        self.generation.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Writes the current settings to the file the server was started with: values that differ are replaced, comments
    /// and order stay, and parameters that the file does not mention are added if they are not at their default.
    ///
    /// # Errors
    /// If there is no file, or it cannot be read, understood or replaced; the old file is intact then.
    pub fn rewrite(&self) -> Result<(), RewriteError> {
        let path = self.path.as_deref().ok_or(RewriteError::NoFile)?;
        let _changing = self.changing.lock();
        file::rewrite(path, &self.settings()).map_err(RewriteError::Failed)
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("generation", &self.generation())
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Why CONFIG SET was refused. [`SetError::message`] is the reply behind `ERR `.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetError(Vec<u8>);

impl SetError {
    /// Names come from the client: they may hold any bytes, and C's `%s` ends them at the first NUL.
    fn unknown(name: &[u8]) -> Self {
        let mut text = b"Unknown option or number of arguments for CONFIG SET - '".to_vec();
        text.extend(name.iter().take_while(|byte| **byte != 0));
        text.push(b'\'');
        Self(text)
    }

    fn failed(name: &[u8], reason: &str) -> Self {
        let mut text = b"CONFIG SET failed (possibly related to argument '".to_vec();
        text.extend(name.iter().take_while(|byte| **byte != 0));
        text.extend_from_slice(b"') - ");
        text.extend_from_slice(reason.as_bytes());
        Self(text)
    }

    /// The reply behind `ERR `; it may hold any bytes that the client sent as a name.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl std::error::Error for SetError {}

/// Why CONFIG REWRITE failed. Its text is the reply behind `ERR `.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RewriteError {
    /// The server was started without a file.
    NoFile,
    /// The file could not be rewritten, for this reason.
    Failed(String),
}

impl fmt::Display for RewriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFile => f.write_str("The server is running without a config file"),
            Self::Failed(reason) => write!(f, "Rewriting config file: {reason}"),
        }
    }
}

impl std::error::Error for RewriteError {}

/// The reason of a failed system call in the C library's words, without Rust's error number.
fn io_reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((reason, _)) => reason.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests;
