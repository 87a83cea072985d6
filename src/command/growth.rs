//! How much of the log a command needs, which may be far more than its request has: a string is logged whole whatever
//! changes of it, RENAME and COPY log all of a value, and SETRANGE makes one as long as a number says.

use super::row::{Flag, Row};
use crate::keyspace::{Access, Key, NotReady, request_bytes};
use crate::resp::Args;

/// A command that frees, or neither grows nor frees (RENAME), may copy so much even where there is no room for others.
const COPIED_BYTES_MAX: u64 = 4096;

/// A request that is about to run.
#[derive(Clone, Copy)]
pub(super) struct Change<'a> {
    pub(super) row: &'static Row,
    pub(super) args: Args<'a>,
    pub(super) keys: &'a [Key<'a>],
}

impl Change<'_> {
    /// What it brings itself.
    #[inline]
    fn bytes(&self, bulk_len_max: u64) -> u64 {
        let made = self.row.extent.map_or(0, |extent| extent(&self.args, bulk_len_max));
        request_bytes(self.args.len(), self.args.bytes()) + made
    }
}

/// Makes sure that the log has room for what some requests do to the values that are there. They run together or not at
/// all; those that only `frees` have room where others have none.
///
/// # Errors
/// What stands against it.
#[inline]
pub(super) fn log_ready<'a>(
    access: &mut Access<'_>,
    changes: impl Iterator<Item = Change<'a>> + Clone,
    bulk_len_max: u64,
    frees: bool,
) -> Result<(), NotReady> {
    if !access.is_logged() {
        return Ok(());
    }
    let (mut keys, mut bytes) = (0, 0);
    for change in changes.clone().filter(|change| change.row.has(Flag::Write)) {
        keys += change.keys.len();
        bytes += change.bytes(bulk_len_max);
    }
    if access.has_log_room(keys, bytes) {
        Ok(())
    } else {
        log_ready_for_values(access, changes, bytes, frees)
    }
}

/// The same, where the values have to be looked at.
#[cold]
fn log_ready_for_values<'a>(
    access: &mut Access<'_>,
    changes: impl Iterator<Item = Change<'a>>,
    mut bytes: u64,
    frees: bool,
) -> Result<(), NotReady> {
    let mut changed: Vec<Key<'_>> = Vec::new();
    let mut copied = 0;
    for change in changes.filter(|change| change.row.has(Flag::Write)) {
        if change.row.copies_values() {
            let specs = change.row.keys.iter();
            let overwritten =
                specs.flat_map(|spec| spec.indices(&change.args).into_iter().map(|_| spec.is_overwritten()));
            for (key, overwritten) in change.keys.iter().zip(overwritten.chain(std::iter::repeat(false))) {
                copied += if overwritten { 0 } else { access.logged_as_copy(*key) };
            }
        } else if change.row.changes_values() {
            changed.extend(change.keys);
        }
    }
    // What several requests do to a key is one record.
    changed.sort_unstable_by_key(|key| (key.database, key.name));
    changed.dedup_by_key(|key| (key.database, key.name));
    let changed: u64 = changed.into_iter().map(|key| access.logged_with(key, bytes)).sum();
    bytes += copied + changed;
    // What is kept for those that free is not for large copies.
    access.log_ready(frees && copied <= COPIED_BYTES_MAX, bytes)
}
