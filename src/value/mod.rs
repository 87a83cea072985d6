//! The data structures behind the types of the protocol, and their compact forms.
//!
//! No protocol, no keys, no clock: a value does not know its own name, nor when it expires.

pub mod bits;
pub mod hyperloglog;
pub mod intset;
pub mod lcs;
pub mod listpack;
pub mod size_class;
pub mod string;
