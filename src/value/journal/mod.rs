//! What is done to a large value, as data, so that the log need not have the whole of it for each change.
//!
//! A command edits a collection through [`Edit`], which only shows it: what changes it is a method of `Edit` of that
//! type, in a file of its own here, and notes what it did in a [`Journal`] where one is kept. So nothing can change unnoticed.
//! So does one that edits a long string in place.
//!
//! A note says what became of the value, not what was asked for: [`replay`] has no clock, no random numbers and no
//! configuration that would change the content.

mod hash;
mod list;
mod note;
mod set;
mod stream;
#[cfg(test)]
mod tests;
mod text;
mod zset;

pub use stream::GroupEdit;
pub use text::replay_text;

use super::{Collection, Limits};
use note::Notes;
use std::ops::Deref;

/// What was done to one value.
#[derive(Default, Debug)]
pub struct Journal {
    notes: Vec<u8>,
    whole: bool,
}

/// The bytes are no notes, or none of this collection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

impl Journal {
    /// The notes in order; `None` where they do not tell all.
    pub fn notes(&self) -> Option<&[u8]> {
        (!self.whole).then_some(&self.notes[..])
    }

    /// Something was done that has no note.
    pub fn tells_not_all(&mut self) {
        self.whole = true;
        self.notes.clear();
    }

    /// Begins anew; the room of many notes is given back.
    pub fn clear(&mut self) {
        self.notes.clear();
        self.notes.shrink_to(4096);
        self.whole = false;
    }
}

/// A collection of one type, or a long string, under a command's hands.
#[derive(Debug)]
pub struct Edit<'a, T> {
    value: &'a mut T,
    journal: Option<&'a mut Journal>,
}

impl<'a, T> Edit<'a, T> {
    /// Edits `value`; what is done is noted in `journal`.
    #[inline]
    pub fn new(value: &'a mut T, journal: Option<&'a mut Journal>) -> Edit<'a, T> {
        Edit { value, journal }
    }

    #[inline]
    fn note(&mut self, op: u8, numbers: &[u64], texts: &[&[u8]]) {
        if let Some(journal) = &mut self.journal {
            journal.note(op, numbers, texts);
        }
    }
}

impl<T> Deref for Edit<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        self.value
    }
}

/// Does again what notes tell of a collection that was equal to this one. `limits` say how it is kept, and nothing of
/// its content; those of the configuration are right: under boundless ones a pack would grow without end.
///
/// # Errors
/// When the bytes are no notes or do not fit the collection, which may then be changed in part.
pub fn replay(collection: &mut Collection, notes: &[u8], limits: &Limits) -> Result<(), Malformed> {
    let notes = Notes::new(notes);
    match collection {
        Collection::Hash(hash) => hash::replay(hash, notes, limits),
        Collection::List(list) => list::replay(list, notes, limits),
        Collection::Set(set) => set::replay(set, notes, limits),
        Collection::Zset(zset) => zset::replay(zset, notes, limits),
        Collection::Stream(stream) => stream::replay(stream, notes),
    }
}
