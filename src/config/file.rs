//! The TOML file: settings out of it at the start, settings into it at CONFIG REWRITE.
//!
//! A parameter is a key at the top level under its own name. Values may have TOML's types or be the text that the
//! command line takes: `port = 7000`, `maxmemory = "8mb"`, `protected-mode = false`, `bind = ["127.0.0.1", "-::1"]`.
//!
//! A rewrite goes to a file beside the old one and is renamed over it after it has reached the disk, so a crash leaves
//! the old file or the new one. This file must not know about the command line or the environment.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use toml_edit::{Array, Document, DocumentMut, Item, Value};

use super::params::{PARAMETERS, Parameter, Settings};
use super::types::print_memory;
use super::value::Kind;
use super::{ConfigError, io_reason};

/// Reads the file into `settings`.
pub(super) fn load(path: &Path, settings: &mut Settings) -> Result<(), ConfigError> {
    let unreadable = |reason: String| ConfigError::File { path: path.to_owned(), reason };
    let text = fs::read_to_string(path).map_err(|error| unreadable(io_reason(&error)))?;
    // One that is only read knows where in the text things are.
    let document = Document::parse(text.as_str()).map_err(|error: toml_edit::TomlError| {
        unreadable(match redis_line(&text) {
            Some(name) => {
                format!("this is a file of redis-server ('{name} ...'); Strata's is TOML, with lines such as port = 7000")
            }
            None => error.to_string(),
        })
    })?;
    for (name, item) in document.iter() {
        let at = document.key(name).and_then(|key| key.span()).map_or(0, |span| span.start);
        let line = 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
        let source = format!("file {}, line {line}", path.display());
        let Some(parameter) = Parameter::find(name.as_bytes()) else {
            return Err(ConfigError::unknown(name, source));
        };
        item_text(item, parameter)
            .and_then(|text| parameter.set(settings, &text).map_err(|reason| (text, reason)))
            .map_err(|(value, reason)| ConfigError::invalid(parameter, &value, source, reason))?;
    }
    Ok(())
}

/// The parameter of the first line that is one of redis-server's: a name and words, without the `=` of TOML.
fn redis_line(text: &str) -> Option<&str> {
    text.lines().find_map(|line| {
        let (name, rest) = line.trim().split_once([' ', '\t'])?;
        let known = name == "include" || Parameter::find(name.as_bytes()).is_some();
        (known && !rest.trim_start().starts_with('=')).then_some(name)
    })
}

/// The text of a value as the command line would take it, or the value and what is wrong with it.
fn item_text(item: &Item, parameter: &Parameter) -> Result<String, (String, String)> {
    let shown = || item.to_string().trim().to_owned();
    match item {
        Item::Value(Value::Array(array)) if parameter.kind.takes_several_words() => {
            let words: Option<Vec<String>> = array.iter().map(scalar_text).collect();
            words
                .map(|words| words.join(" "))
                .ok_or_else(|| (shown(), "a list must hold texts or numbers".to_owned()))
        }
        // 700 and 0o700 would both be integers here; only the digits of a text are octal for sure.
        Item::Value(Value::Integer(_)) if matches!(parameter.kind, Kind::Octal(_)) => {
            Err((shown(), "octal digits must be a text, such as \"700\"".to_owned()))
        }
        Item::Value(value) => {
            scalar_text(value).ok_or_else(|| (shown(), "a single text or number is expected".to_owned()))
        }
        _ => Err((shown(), "a single text or number is expected".to_owned())),
    }
}

fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.value().clone()),
        Value::Integer(number) => Some(number.value().to_string()),
        Value::Float(number) => Some(number.value().to_string()),
        Value::Boolean(truth) => Some(if *truth.value() { "yes" } else { "no" }.to_owned()),
        _ => None,
    }
}

/// Brings the file at `path` up to date with `settings`. The error is the reason.
pub(super) fn rewrite(path: &Path, settings: &Settings) -> Result<(), String> {
    let reason = |error: io::Error| io_reason(&error);
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        // Redis, too, writes a new file if the old one is gone.
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(io_reason(&error)),
    };
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| error.to_string())?;
    update(&mut document, settings);
    replace(path, document.to_string().as_bytes()).map_err(reason)
}

/// Sets every key that differs and adds the keys that are missing and not at their default.
fn update(document: &mut DocumentMut, settings: &Settings) {
    let defaults = Settings::default();
    for parameter in PARAMETERS {
        let current = parameter.get(settings);
        let key = document
            .iter()
            .map(|(key, _)| key.to_owned())
            .find(|key| key.eq_ignore_ascii_case(parameter.name));
        match key.and_then(|key| document.get_mut(&key)) {
            Some(item) if normal_form(item, parameter).as_ref() != Some(&current) => {
                let mut value = new_value(parameter, &current);
                if let Some(old) = item.as_value() {
                    *value.decor_mut() = old.decor().clone();
                }
                *item = Item::Value(value);
            }
            None if current != parameter.get(&defaults) => {
                document.insert(parameter.name, Item::Value(new_value(parameter, &current)));
            }
            _ => {}
        }
    }
}

/// What CONFIG GET would show if only this item of the file counted.
fn normal_form(item: &Item, parameter: &Parameter) -> Option<String> {
    let mut alone = Settings::default();
    let text = item_text(item, parameter).ok()?;
    parameter.set(&mut alone, &text).ok()?;
    Some(parameter.get(&alone))
}

/// The value in the TOML type that reads best.
fn new_value(parameter: &Parameter, text: &str) -> Value {
    match parameter.kind {
        Kind::Bool => (text == "yes").into(),
        Kind::Integer(..) => text.parse::<i64>().map_or_else(|_| text.into(), Into::into),
        Kind::Memory(..) => {
            text.parse::<u64>().map_or_else(|_| text.into(), |bytes| print_memory(bytes).into())
        }
        _ if parameter.name == "client-output-buffer-limit" => {
            let words: Vec<&str> = text.split(' ').collect();
            words.chunks(4).map(|class| class.join(" ")).collect::<Array>().into()
        }
        // Pairs of words read better in a row.
        _ if parameter.name == "save" => text.into(),
        Kind::Words(_) => text.split_ascii_whitespace().collect::<Array>().into(),
        _ => text.into(),
    }
}

/// Puts `content` in place of the file at `path`, all or nothing, with the old file's permissions.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let result = write_and_rename(path, &temporary, content);
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result
}

fn write_and_rename(path: &Path, temporary: &PathBuf, content: &[u8]) -> io::Result<()> {
    let mut file = fs::File::create(temporary)?;
    if let Ok(metadata) = fs::metadata(path) {
        file.set_permissions(metadata.permissions())?;
    }
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(temporary, path)?;
    if let Some(directory) = path.parent() {
        fs::File::open(directory)?.sync_all()?;
    }
    Ok(())
}
