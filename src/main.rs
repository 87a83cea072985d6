//! The `strata` binary: arguments, configuration, logging, the server, a signal.
fn main() {}
