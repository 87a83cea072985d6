//! Edits of sorted sets.

use super::note::{Notes, holds};
use super::{Edit, Malformed};
use crate::value::zset::Zset;
use crate::value::{Limits, PackLimits};

/// Score, as [`number_of`] has it; member: it has this score now.
const INSERT: u8 = 0x40;
/// Member.
const REMOVE: u8 = 0x41;
/// Rank, number of members: they are gone.
const REMOVE_RANKS: u8 = 0x42;

/// A score as a number that is small where the score is a whole one.
fn number_of(score: f64) -> u64 {
    score.to_bits().swap_bytes()
}

impl Edit<'_, Zset> {
    /// Takes the form that suits `len` more members, the first of which is `first`: [`Zset::for_members`] of an empty
    /// set, [`Zset::expect_members`] of another.
    #[inline]
    pub fn expect_members(&mut self, first: &[u8], len: usize, limits: &PackLimits) {
        if self.value.is_empty() {
            *self.value = Zset::for_members(len, first.len(), limits);
        } else {
            self.value.expect_members(len, limits);
        }
    }

    /// As [`Zset::insert`].
    #[inline]
    pub fn insert(&mut self, name: &[u8], score: f64, limits: &PackLimits) -> Option<f64> {
        let old = self.value.insert(name, score, limits);
        if self.journal.is_some() && old != Some(score) {
            // A pack has no -0.
            let kept = if matches!(self.value, Zset::Packed(_)) { score + 0.0 } else { score };
            self.note(INSERT, &[number_of(kept)], &[name]);
        }
        old
    }

    /// As [`Zset::remove`].
    #[inline]
    pub fn remove(&mut self, name: &[u8]) -> Option<f64> {
        let score = self.value.remove(name)?;
        self.note(REMOVE, &[], &[name]);
        Some(score)
    }

    /// As [`Zset::remove_ranks`].
    #[inline]
    pub fn remove_ranks(&mut self, from: usize, to: usize, removed: impl FnMut(&[u8], f64)) {
        let count = to.min(self.value.len()).saturating_sub(from);
        if count > 0 {
            self.value.remove_ranks(from, to, removed);
            self.note(REMOVE_RANKS, &[from as u64, count as u64], &[]);
        }
    }
}

pub(super) fn replay(zset: &mut Zset, mut notes: Notes<'_>, limits: &Limits) -> Result<(), Malformed> {
    let limits = &limits.zset;
    while let Some(op) = notes.op() {
        match op {
            INSERT => {
                let score = f64::from_bits(notes.number()?.swap_bytes());
                holds(!score.is_nan())?;
                if score == 0.0 && score.is_sign_negative() {
                    // Only the ordered form has it.
                    zset.expect_members(1, &PackLimits { entries: 0, ..*limits });
                }
                zset.insert(notes.text()?, score, limits);
            }
            REMOVE => drop(zset.remove(notes.text()?).ok_or(Malformed)?),
            REMOVE_RANKS => {
                let (from, count) = (notes.index()?, notes.index()?);
                let to = from.checked_add(count).filter(|to| *to <= zset.len()).ok_or(Malformed)?;
                zset.remove_ranks(from, to, |_, _| {});
            }
            _ => return Err(Malformed),
        }
    }
    Ok(())
}
