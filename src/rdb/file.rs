//! Whole files, `dump.rdb`: written and read as a stream, a value at a time.
//!
//! ```text
//! REDIS0010 | auxiliary fields … | records … | 255 | CRC-64 of all before it, u64 little-endian; 0: none
//! auxiliary field: 250 | name | value
//! database:        254 | number          and, once: 251 | number of keys | number of those that expire
//! record:          [252 | Unix milliseconds i64] [248 | idle seconds, or 249 | frequency u8] type | key | value
//! ```
//!
//! Values are written in forms that Redis 7.0 reads, and the header says so, unless there is a hash whose fields
//! expire: that takes version 12, of Redis 7.4. Since this is known at the end only, the header is written last.
//!
//! This knows values and bytes. Where records come from and where they go is the keyspace's.

mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use reader::{FileError, Item, Reader, Record};
pub use writer::{Writer, record};

/// The bytes of `REDIS` and the version.
const HEADER_BYTES: usize = 9;
/// The versions that are read.
const VERSIONS: std::ops::RangeInclusive<u16> = 9..=super::VERSION_MAX;

/// What a file says of the use of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Use {
    /// Nothing.
    Unknown,
    /// It was last used so many seconds ago.
    Idle(u64),
    /// Its logarithmic counter of uses.
    Frequency(u8),
}
