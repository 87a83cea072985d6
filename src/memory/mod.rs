//! L1, the memory tier: shards of keys, each a table of 8-byte slots that point to entries.
//!
//! From the inside out: [`entry`] is one allocation that holds a key and its value; [`slot`] packs a
//! pointer to it and 20 bits of its hash into 8 bytes; [`table`] keeps slots in hash order; [`wheel`]
//! knows when keys are due; [`shard`] puts a lock around one table and one wheel; [`eviction`] picks
//! victims across shards; [`capture`] keeps what a snapshot has yet to save;
//! [`chain`] knows which records on disk make up a value; [`usage`] says how much memory there is to evict from.
//!
//! This layer knows no commands, no protocol, no disk and no peers. All `unsafe` of the data path is in
//! `entry` and `slot`.

pub mod access;
pub mod capture;
pub mod chain;
pub mod entry;
pub mod eviction;
pub mod shard;
pub mod slot;
pub mod table;
pub mod usage;
pub mod wheel;

pub use chain::Chain;
pub use entry::Entry;
pub use shard::{Database, KeyHash, Shard, ShardGuard, ShardState};
pub use table::Table;
