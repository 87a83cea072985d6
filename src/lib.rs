//! Strata: a cache server that speaks the Redis protocol and keeps its data in tiers.
//!
//! ```text
//!            bytes                                                    bytes
//!   client --------> net::connection --> resp::scan       resp::reply --------> client
//!                          |                                  ^
//!                          v                                  |
//!                    command::Engine: row -> checks -> prepare -> handler -> settle
//!                                                        |                     |
//!                                                        v                     v
//!                                                 keyspace (shard locks)   effects -> notifications, WATCH
//!                                                        |
//!                                                        v
//!                                              memory: table -> slot -> entry
//! ```
//!
//! Layers, from the bottom; imports point down only (`tests/architecture.rs`):
//!
//! 0. [`config`], [`clock`], [`glob`], [`number`], [`metrics`]: know nothing of the server.
//! 1. [`resp`], [`value`], [`rdb`], [`client`]: the protocol, the data structures, their form as bytes, who is
//!    connected. No keys.
//! 2. [`memory`], [`pubsub`]: the memory tier, the channels. Neither knows the other, nor any command.
//! 3. [`keyspace`]: prepare, settle, expire, evict, scan, snapshot. The only one that knows all tiers. No protocol.
//! 4. [`command`]: handlers, their table, the engine. No sockets.
//! 5. [`net`]: listeners, workers, connections.

pub mod client;
pub mod clock;
pub mod command;
pub mod config;
pub mod disk;
pub mod glob;
pub mod keyspace;
pub mod memory;
pub mod metrics;
pub mod net;
pub mod number;
pub mod pubsub;
pub mod rdb;
pub mod resp;
pub mod value;

/// Not under AddressSanitizer, which must see every allocation itself (`tests/asan`).
#[cfg(not(strata_system_allocator))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
