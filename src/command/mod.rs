//! Commands: one family a file, its rows at the foot of the file; the table of all rows; the engine that
//! runs a request against it.
//!
//! A handler is a plain function on a [`Ctx`]: it reads arguments, uses its keys through `ctx.access`,
//! and writes its reply. It never touches a socket, never waits and takes no lock of its own on keys.
//! Adding a command is one function and one row in one file.

mod account;
mod bitmap;
mod blocking;
mod client;
mod client_filter;
mod config;
mod connection;
mod debug;
mod dump;
mod engine;
mod error;
mod expire;
mod geo;
mod hash;
mod hash_expire;
mod hyperloglog;
mod info;
mod introspect;
mod key;
mod list;
mod list_blocking;
mod memory;
mod migrate;
mod object;
mod observe;
mod parse;
mod prefetch;
mod pubsub;
mod room;
mod row;
mod sample;
mod save;
mod scan;
mod server;
mod services;
mod set;
mod sort;
mod stream;
mod string;
mod string_set;
mod table;
mod transaction;
mod wait;
mod zset;
mod zset_combine;
mod zset_pop;
mod zset_range;

pub use blocking::{BlockedClients, BlockedWait};
pub use engine::{Durability, Engine, Request, Wait};
pub use error::Error;
pub use migrate::{Broken, Migration};
pub use pubsub::forget_subscriptions;
pub use row::{Category, Flag, Row};
pub use save::{Report, Saves, form, limits};
pub use services::{Monitors, Pause, Paused, Services};
pub use table::{all_rows, full_name, lookup, row_at};
pub use transaction::forget_watched;

use crate::client::{Client, State, Transaction};
use crate::config::Settings;
use crate::keyspace::{Access, Key};
use crate::metrics::WorkerMetrics;
use crate::resp::{Args, Reply};
use std::sync::Arc;

/// What a handler works with.
pub struct Ctx<'a> {
    /// The server's parts.
    pub services: &'a Arc<Services>,
    /// The settings in force.
    pub settings: &'a Settings,
    /// This worker's counters.
    pub metrics: &'a WorkerMetrics,
    /// The client as others see it.
    pub client: &'a Arc<Client>,
    /// The client's own state.
    pub state: &'a mut State,
    /// The command's row.
    pub row: &'static Row,
    /// The request; `args[0]` is the name.
    pub args: Args<'a>,
    /// The keys of the request, in order.
    pub keys: &'a [Key<'a>],
    /// The locked keys.
    pub access: Access<'a>,
    /// Where the reply goes.
    pub reply: Reply<'a>,
    /// Whether the client may be made to wait.
    pub may_block: bool,
}

/// What becomes of a command that has run. What is rare is boxed: this is handed on several times for every command.
#[derive(Debug)]
pub enum Step {
    /// The reply is written.
    Done,
    /// The reply is written, but is sent, and the connection goes on, only after this.
    Wait(Box<Wait>),
    /// There is no reply yet: the client waits for a key.
    Block(Box<blocking::Block>),
    /// The reply is that of the queued requests.
    Exec(Box<Transaction>),
}

/// The outcome of a handler; an error is the whole reply.
pub type Answer = Result<Step, Error>;

/// What runs a command.
pub type Handler = fn(&mut Ctx<'_>) -> Answer;

/// The reply is written.
pub const DONE: Answer = Ok(Step::Done);

impl<'a> Ctx<'a> {
    /// The `index`-th key of the request.
    ///
    /// # Panics
    /// When the row declares no such key.
    #[inline]
    pub fn key(&self, index: usize) -> Key<'a> {
        self.keys[index]
    }

    /// The time of this request, Unix milliseconds.
    #[inline]
    pub fn now_ms(&self) -> i64 {
        self.access.now_ms()
    }

    /// Answers with the lines of a HELP subcommand, between its fixed first and last ones.
    pub fn help(&mut self, lines: &[&str]) -> Answer {
        let name = String::from_utf8_lossy(&self.args[0]).to_ascii_uppercase();
        self.reply.array(lines.len() + 3);
        self.reply.simple(&format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
        lines.iter().for_each(|line| self.reply.simple(line));
        self.reply.simple("HELP");
        self.reply.simple("    Print this help.");
        DONE
    }
}
