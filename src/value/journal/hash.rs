//! Edits of hashes.

use super::note::{Notes, holds};
use super::{Edit, Malformed};
use crate::value::hash::Hash;
use crate::value::{Limits, PackLimits};

/// Field, value: set, without a deadline.
const SET: u8 = 0x10;
/// Deadline; field, value.
const SET_UNTIL: u8 = 0x11;
/// Field.
const REMOVE: u8 = 0x12;
/// Deadline; field.
const EXPIRE: u8 = 0x13;
/// Field: its deadline is gone.
const PERSIST: u8 = 0x14;
/// Number: so many fields are gone, those due first.
const REMOVE_DUE: u8 = 0x15;

/// Before any deadline, so that no field is due.
const BEFORE_ALL: i64 = i64::MIN;

impl Edit<'_, Hash> {
    /// As [`Hash::set`].
    #[inline]
    pub fn set(&mut self, field: &[u8], value: &[u8], limits: &PackLimits) -> bool {
        let new = self.value.set(field, value, limits);
        self.note(SET, &[], &[field, value]);
        new
    }

    /// As [`Hash::set_until`].
    #[inline]
    pub fn set_until(&mut self, field: &[u8], value: &[u8], at_ms: Option<i64>, limits: &PackLimits) -> bool {
        let new = self.value.set_until(field, value, at_ms, limits);
        match at_ms {
            Some(at_ms) => self.note(SET_UNTIL, &[at_ms as u64], &[field, value]),
            None => self.note(SET, &[], &[field, value]),
        }
        new
    }

    /// As [`Hash::remove`].
    #[inline]
    pub fn remove(&mut self, field: &[u8], now_ms: i64) -> bool {
        let removed = self.value.remove(field, now_ms);
        if removed {
            self.note(REMOVE, &[], &[field]);
        }
        removed
    }

    /// As [`Hash::set_deadline`].
    #[inline]
    pub fn set_deadline(&mut self, field: &[u8], at_ms: Option<i64>) {
        if self.journal.is_some() && self.value.deadline(field, BEFORE_ALL).is_some_and(|old| old != at_ms) {
            match at_ms {
                Some(at_ms) => self.note(EXPIRE, &[at_ms as u64], &[field]),
                None => self.note(PERSIST, &[], &[field]),
            }
        }
        self.value.set_deadline(field, at_ms);
    }

    /// As [`Hash::remove_due`].
    pub fn remove_due(&mut self, now_ms: i64, most: usize) -> usize {
        let removed = self.value.remove_due(now_ms, most);
        if removed > 0 {
            self.note(REMOVE_DUE, &[removed as u64], &[]);
        }
        removed
    }
}

pub(super) fn replay(hash: &mut Hash, mut notes: Notes<'_>, limits: &Limits) -> Result<(), Malformed> {
    let limits = &limits.hash;
    while let Some(op) = notes.op() {
        match op {
            SET => {
                hash.set(notes.text()?, notes.text()?, limits);
            }
            SET_UNTIL => {
                let at_ms = deadline(&mut notes)?;
                hash.set_until(notes.text()?, notes.text()?, Some(at_ms), limits);
            }
            REMOVE => holds(hash.remove(notes.text()?, BEFORE_ALL))?,
            EXPIRE => {
                let at_ms = deadline(&mut notes)?;
                set_deadline(hash, notes.text()?, Some(at_ms))?;
            }
            PERSIST => set_deadline(hash, notes.text()?, None)?,
            REMOVE_DUE => {
                let count = notes.index()?;
                holds(hash.remove_due(i64::MAX, count) == count)?;
            }
            _ => return Err(Malformed),
        }
    }
    Ok(())
}

fn deadline(notes: &mut Notes<'_>) -> Result<i64, Malformed> {
    i64::try_from(notes.number()?).map_err(|_| Malformed)
}

fn set_deadline(hash: &mut Hash, field: &[u8], at_ms: Option<i64>) -> Result<(), Malformed> {
    holds(hash.deadline(field, BEFORE_ALL).is_some())?;
    hash.set_deadline(field, at_ms);
    Ok(())
}
