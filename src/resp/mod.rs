//! The protocol: requests are scanned in place, replies are written into one buffer.
//!
//! Knows bytes, RESP2, RESP3 and inline commands; knows no command, no key and no socket.

pub mod inline;
pub mod output;
pub mod reply;
pub mod scan;

pub use output::Output;
pub use reply::Reply;
pub use scan::{ArgRange, Args, Limits, ProtocolError, Scan, Scanner};
