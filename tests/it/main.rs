//! The integration tests: one binary, one file a family, all over the wire.
//!
//! `STRATA_TEST_SERVER=/path/to/redis-server` runs them against another server, to see that it is the tests that are right;
//! `STRATA_TEST_SEED` and `STRATA_TEST_COMMANDS` repeat and size the random ones.

mod support;

mod bitmaps;
mod blocking;
mod client;
mod collections;
mod config;
mod connection;
mod differential;
mod dump;
mod eviction;
mod expire;
mod full_log;
mod hyperloglogs;
mod keys;
mod large_values;
mod limits;
mod notifications;
mod offline;
mod protocol;
mod pubsub;
mod redis_cli;
mod redis_rs;
mod scan;
mod server;
mod snapshot;
mod streams;
mod strings;
mod tier;
mod transactions;
