//! L2, the disk tier: a log of records in segments.
//!
//! From the inside out: [`format`] is the bytes of a record and of a frame of records; [`place`] is where one is; [`files`] is what is
//! asked of a file system; [`store`] knows all segments, how full and how alive each is; [`lane`] appends; `resident` knows
//! what is in memory; [`load`] waits for the disk; [`scan`] reads a segment from end to end and steps over damage; [`check`] and [`backup`] do so for a whole directory.
//!
//! This layer knows no commands, no data types and no memory tier: a key and a value are bytes.

pub mod backup;
pub mod check;
pub mod files;
pub mod format;
pub mod lane;
pub mod load;
pub mod place;
mod resident;
pub mod room;
pub mod scan;
pub mod segment;
pub mod store;

pub use format::{Frame, Kind, Record};
pub use lane::Lane;
pub use place::{Location, Place};
pub use store::{Fetched, Store};
