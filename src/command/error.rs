//! The errors that commands answer with, to the byte those of Redis.

use super::parse::c_string;
use crate::keyspace::{NotReady, WrongType};
use std::borrow::Cow;

/// An error reply: its code, a space, and a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Cow<'static, [u8]>);

#[expect(missing_docs, reason = "the texts speak for themselves")]
impl Error {
    pub const SYNTAX: Error = Error::fixed("ERR syntax error");
    pub const NOT_AN_INTEGER: Error = Error::fixed("ERR value is not an integer or out of range");
    pub const NOT_A_FLOAT: Error = Error::fixed("ERR value is not a valid float");
    pub const WRONG_TYPE: Error =
        Error::fixed("WRONGTYPE Operation against a key holding the wrong kind of value");
    pub const LCS_WRONG_TYPE: Error = Error::fixed("ERR The specified keys must contain string values");
    pub const NO_SUCH_KEY: Error = Error::fixed("ERR no such key");
    pub const OVERFLOW: Error = Error::fixed("ERR increment or decrement would overflow");
    pub const OUT_OF_MEMORY: Error = Error::fixed("OOM command not allowed when used memory > 'maxmemory'.");
    pub const LOADING: Error = Error::fixed("LOADING Redis is loading the dataset in memory");
    pub const MISCONFIGURED: Error = Error::fixed(
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands \
         that may modify the data set are disabled, because this instance is configured to report errors during \
         writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for \
         details about the RDB error.",
    );
    pub const NO_AUTH: Error = Error::fixed("NOAUTH Authentication required.");
    pub const INVALID_DB: Error = Error::fixed("ERR DB index is out of range");
    pub const SAME_OBJECT: Error = Error::fixed("ERR source and destination objects are the same");
    pub const STRING_TOO_LONG: Error =
        Error::fixed("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
}

impl From<WrongType> for Error {
    fn from(_: WrongType) -> Error {
        Error::WRONG_TYPE
    }
}

impl From<NotReady> for Error {
    fn from(why: NotReady) -> Error {
        let (NotReady::Yet(why) | NotReady::Failed(why)) = why;
        Error::new(format!("MISCONF Errors writing to the AOF file: {why}"))
    }
}

impl Error {
    /// An error of a fixed text.
    pub const fn fixed(text: &'static str) -> Error {
        Error(Cow::Borrowed(text.as_bytes()))
    }

    /// An error of a text made for the occasion.
    pub fn new(text: impl Into<Vec<u8>>) -> Error {
        Error(Cow::Owned(text.into()))
    }

    /// The whole text.
    pub fn text(&self) -> &[u8] {
        &self.0
    }

    /// The code, under which INFO errorstats counts it.
    pub fn code(&self) -> &[u8] {
        self.0.split(|byte| *byte == b' ').next().unwrap_or(b"ERR")
    }

    /// The answer to an EXEC that this error keeps from running.
    pub fn as_abort(&self) -> Error {
        let reason = self.0.strip_prefix(b"ERR ").unwrap_or(&self.0);
        Error::new([&b"EXECABORT Transaction discarded because of: "[..], reason].concat())
    }

    /// The wrong number of arguments for a command of this full name.
    pub fn arity(full_name: &str) -> Error {
        Error::new(format!("ERR wrong number of arguments for '{full_name}' command"))
    }

    /// Too many arguments for a subcommand that was called by these words.
    pub fn subcommand_syntax(command: &[u8], subcommand: &[u8]) -> Error {
        let mut text = b"ERR unknown subcommand or wrong number of arguments for '".to_vec();
        let subcommand = c_string(subcommand);
        text.extend_from_slice(&subcommand[..subcommand.len().min(128)]);
        text.extend_from_slice(b"'. Try ");
        text.extend_from_slice(&command.to_ascii_uppercase());
        text.extend_from_slice(b" HELP.");
        Error::new(text)
    }

    /// An error that quotes what the client sent.
    pub fn quoting(before: &str, quoted: &[u8], after: &str) -> Error {
        Error::new([before.as_bytes(), c_string(quoted), after.as_bytes()].concat())
    }

    /// An expiry that cannot be, for a command of this name.
    pub fn invalid_expire(name: &str) -> Error {
        Error::new(format!("ERR invalid expire time in '{name}' command"))
    }
}
