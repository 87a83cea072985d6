//! Edits of long strings. One that is short is logged whole.

use super::note::{Notes, holds};
use super::{Edit, Malformed};
use std::ops::Range;

/// Offset; bytes: they are there from then on. Where the string was shorter than the offset, zeros lie between.
const WRITE: u8 = 0x60;

impl Edit<'_, Vec<u8>> {
    /// Overwrites what is at an offset. A string that is too short becomes as long as it takes, with zeros.
    pub fn write(&mut self, at: usize, bytes: &[u8]) {
        write(self.value, at, bytes);
        self.note(WRITE, &[at as u64], &[bytes]);
    }

    /// Makes the string at least so long, with zeros, and has `change` do what it likes with the bytes of these ranges, one
    /// of which ends where the string is to end if it is too short.
    pub fn change<R>(
        &mut self,
        len: usize,
        ranges: &[Range<usize>],
        change: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        if self.value.len() < len {
            self.value.resize(len, 0);
        }
        let result = change(self.value);
        for range in ranges {
            if let Some(journal) = &mut self.journal {
                journal.note(WRITE, &[range.start as u64], &[&self.value[range.clone()]]);
            }
        }
        result
    }
}

fn write(text: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if text.len() < end {
        text.resize(end, 0);
    }
    text[at..end].copy_from_slice(bytes);
}

/// As [`super::replay`], of a long string, which becomes no longer than `most` bytes.
///
/// # Errors
/// See there.
pub fn replay_text(text: &mut Vec<u8>, notes: &[u8], most: usize) -> Result<(), Malformed> {
    let mut notes = Notes::new(notes);
    while let Some(op) = notes.op() {
        holds(op == WRITE)?;
        let (at, bytes) = (notes.index()?, notes.text()?);
        holds(at.checked_add(bytes.len()).is_some_and(|end| end <= most))?;
        write(text, at, bytes);
    }
    Ok(())
}
