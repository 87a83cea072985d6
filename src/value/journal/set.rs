//! Edits of sets.

use super::note::{Notes, holds};
use super::{Edit, Malformed};
use crate::value::Limits;
use crate::value::set::{Set, SetLimits};

/// Member.
const ADD: u8 = 0x30;
/// Member.
const REMOVE: u8 = 0x31;

impl Edit<'_, Set> {
    /// Takes the form that suits `len` more members, the first of which is `first`: [`Set::for_members`] of an empty
    /// set, [`Set::expect_members`] of another.
    #[inline]
    pub fn expect_members(&mut self, first: &[u8], len: usize, limits: &SetLimits) {
        if self.value.is_empty() {
            *self.value = Set::for_members(first, len, limits);
        } else {
            self.value.expect_members(len, limits);
        }
    }

    /// As [`Set::add`].
    #[inline]
    pub fn add(&mut self, member: &[u8], limits: &SetLimits) -> bool {
        let new = self.value.add(member, limits);
        if new {
            self.note(ADD, &[], &[member]);
        }
        new
    }

    /// As [`Set::remove`].
    #[inline]
    pub fn remove(&mut self, member: &[u8]) -> bool {
        let removed = self.value.remove(member);
        if removed {
            self.note(REMOVE, &[], &[member]);
        }
        removed
    }

    /// As [`Set::take_random`].
    #[inline]
    pub fn take_random(&mut self, random: impl FnMut() -> u64) -> Option<Vec<u8>> {
        let member = self.value.take_random(random)?;
        self.note(REMOVE, &[], &[&member]);
        Some(member)
    }
}

pub(super) fn replay(set: &mut Set, mut notes: Notes<'_>, limits: &Limits) -> Result<(), Malformed> {
    while let Some(op) = notes.op() {
        let member = notes.text()?;
        holds(match op {
            ADD => set.add(member, &limits.set),
            REMOVE => set.remove(member),
            _ => false,
        })?;
    }
    Ok(())
}
