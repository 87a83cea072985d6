//! Sockets: listeners hand connections to workers, workers read, run and write in batches.
//!
//! ```text
//! main thread      listeners, signals, the cron (memory figures, limits, timeouts)
//! worker threads   a current-thread runtime each; a connection lives and dies on one of them, and has its turns in
//!                  the rounds of that worker
//! ```

mod connection;
mod cron;
mod disk;
mod held;
mod listener;
mod migrate;
pub mod offline;
mod queue;
mod rounds;
mod server;
mod stream;
mod unsent;
mod wait;
mod worker;

pub use server::{Server, StartError};
