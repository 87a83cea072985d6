//! Strata: a cache server that speaks the Redis protocol and keeps its data in tiers.

pub mod config;
pub mod glob;
pub mod number;
