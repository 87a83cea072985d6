//! What a write did, as data: recorded once, read by all who care.

use crate::config::NotifyFlags;

/// What became of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// It has a new value.
    Put,
    /// A consumer group of its stream has changed, of which those who watch the key are not told.
    Group,
    /// It is gone.
    Delete,
    /// Its deadline changed, its value did not.
    Expiry,
    /// Every key of the database is gone; the key is empty.
    Flush,
    /// Nothing: an event without a change.
    None,
}

/// One effect of a command.
#[derive(Clone, Debug)]
pub struct Effect {
    /// The database's number.
    pub database: usize,
    /// The key.
    pub key: Box<[u8]>,
    /// Grows with every write to the key.
    pub version: u64,
    /// What became of it.
    pub change: Change,
    /// The class of the notification.
    pub class: NotifyFlags,
    /// The notification's name; empty for none.
    pub event: &'static str,
}
