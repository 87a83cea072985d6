//! A note as bytes. What its numbers and texts are is known to the type that it is of.
//!
//! ```text
//! note    op u8 | number .. number | text .. text       as many of each as the op has
//! number  LEB128: 7 bits a byte from the least on, the high bit where another byte follows
//! text    length (a number) | bytes
//! ```
//!
//! The ops of all types are different, so that notes of one type are never taken for those of another.

use super::{Journal, Malformed};

/// Texts in blobs and packs have lengths of 32 bits, and something beside them.
const TEXT_BYTES_MAX: u64 = (u32::MAX - 64) as u64;

impl Journal {
    /// Appends a note.
    #[inline(never)]
    pub(super) fn note(&mut self, op: u8, numbers: &[u64], texts: &[&[u8]]) {
        if self.whole {
            return;
        }
        self.notes.push(op);
        numbers.iter().for_each(|number| push_number(&mut self.notes, *number));
        for text in texts {
            push_number(&mut self.notes, text.len() as u64);
            self.notes.extend_from_slice(text);
        }
    }

    /// Appends a note of fixed length; answers where its bytes are, for [`Self::note_again`].
    pub(super) fn note_fixed(&mut self, op: u8, bytes: &[u8]) -> usize {
        if !self.whole {
            self.notes.push(op);
            self.notes.extend_from_slice(bytes);
        }
        self.notes.len().saturating_sub(bytes.len())
    }

    /// Overwrites the bytes of a note of fixed length.
    pub(super) fn note_again(&mut self, at: usize, bytes: &[u8]) {
        if let Some(old) = self.notes.get_mut(at..at + bytes.len()) {
            old.copy_from_slice(bytes);
        }
    }
}

fn push_number(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7F {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Notes that are read, one part after the other. They may be any bytes.
#[derive(Debug)]
pub(super) struct Notes<'n> {
    rest: &'n [u8],
}

impl<'n> Notes<'n> {
    pub(super) fn new(notes: &'n [u8]) -> Notes<'n> {
        Notes { rest: notes }
    }

    /// What the next note is, unless there is none.
    pub(super) fn op(&mut self) -> Option<u8> {
        let (op, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*op)
    }

    pub(super) fn number(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or(Malformed)?;
            self.rest = rest;
            let bits = u64::from(byte & 0x7F);
            if bits << shift >> shift != bits {
                return Err(Malformed);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    /// A number that is a place or a length in memory.
    pub(super) fn index(&mut self) -> Result<usize, Malformed> {
        usize::try_from(self.number()?).map_err(|_| Malformed)
    }

    pub(super) fn text(&mut self) -> Result<&'n [u8], Malformed> {
        let len = self.number()?;
        if len > TEXT_BYTES_MAX {
            return Err(Malformed);
        }
        let (text, rest) = self.rest.split_at_checked(len as usize).ok_or(Malformed)?;
        self.rest = rest;
        Ok(text)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*array)
    }
}

/// What is true of every note that fits the collection.
pub(super) fn holds(condition: bool) -> Result<(), Malformed> {
    if condition { Ok(()) } else { Err(Malformed) }
}
