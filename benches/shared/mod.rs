//! What the benches that start servers have in common: servers, load, figures.
//!
//! Nothing here may know how a server works inside: it sees sockets, processes and /proc.

#![allow(dead_code, reason = "no bench needs all of it")]

pub mod load;
pub mod report;
pub mod server;
pub mod system;
pub mod talk;
pub mod trace;
pub mod wire;

/// What a measurement fails with: a sentence for people.
pub type Failure = Box<dyn std::error::Error>;
