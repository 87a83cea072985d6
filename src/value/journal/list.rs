//! Edits of lists. How a list is cut into packs is not noted.

use super::note::{Notes, holds};
use super::{Edit, Malformed};
use crate::value::Limits;
use crate::value::list::{ChunkLimit, End, List};
use crate::value::listpack::Element;

/// Element: new at the left.
const PUSH_FRONT: u8 = 0x20;
/// Element: new at the right.
const PUSH_BACK: u8 = 0x21;
/// The element at the left is gone.
const POP_FRONT: u8 = 0x22;
/// The element at the right is gone.
const POP_BACK: u8 = 0x23;
/// Index; element.
const SET: u8 = 0x24;
/// Index, which may be the length; element.
const INSERT: u8 = 0x25;
/// Index, number of elements: they are gone.
const REMOVE_RANGE: u8 = 0x26;
/// Number; element: so many that equal it are gone, the first.
const REMOVE_EQUAL: u8 = 0x27;
/// The same of the last.
const REMOVE_EQUAL_BACK: u8 = 0x28;

impl Edit<'_, List> {
    /// As [`List::make_room`].
    #[inline]
    pub fn make_room(&mut self, bytes: usize, len: usize, limit: ChunkLimit) {
        self.value.make_room(bytes, len, limit);
    }

    /// As [`List::shrink`].
    #[inline]
    pub fn shrink(&mut self, limit: ChunkLimit) {
        self.value.shrink(limit);
    }

    /// As [`List::push`].
    #[inline]
    pub fn push(&mut self, end: End, element: &[u8], limit: ChunkLimit) {
        self.value.push(end, element, limit);
        self.note(if end == End::Front { PUSH_FRONT } else { PUSH_BACK }, &[], &[element]);
    }

    /// As [`List::pop`].
    #[inline]
    pub fn pop<R>(&mut self, end: End, read: impl FnOnce(Element<'_>) -> R) -> Option<R> {
        let result = self.value.pop(end, read)?;
        self.note(if end == End::Front { POP_FRONT } else { POP_BACK }, &[], &[]);
        Some(result)
    }

    /// As [`List::set`].
    #[inline]
    pub fn set(&mut self, index: usize, element: &[u8], limit: ChunkLimit) {
        if index < self.value.len() {
            self.value.set(index, element, limit);
            self.note(SET, &[index as u64], &[element]);
        }
    }

    /// As [`List::insert`].
    #[inline]
    pub fn insert(&mut self, index: usize, element: &[u8], limit: ChunkLimit) {
        let index = index.min(self.value.len());
        self.value.insert(index, element, limit);
        self.note(INSERT, &[index as u64], &[element]);
    }

    /// As [`List::remove_range`].
    #[inline]
    pub fn remove_range(&mut self, start: usize, end: usize) {
        let count = end.min(self.value.len()).saturating_sub(start);
        if count > 0 {
            self.value.remove_range(start, end);
            self.note(REMOVE_RANGE, &[start as u64, count as u64], &[]);
        }
    }

    /// As [`List::remove_equal`].
    #[inline]
    pub fn remove_equal(&mut self, needle: &[u8], most: usize, reverse: bool) -> usize {
        let removed = self.value.remove_equal(needle, most, reverse);
        if removed > 0 {
            let op = if reverse { REMOVE_EQUAL_BACK } else { REMOVE_EQUAL };
            self.note(op, &[removed as u64], &[needle]);
        }
        removed
    }
}

pub(super) fn replay(list: &mut List, mut notes: Notes<'_>, limits: &Limits) -> Result<(), Malformed> {
    let limit = limits.list;
    while let Some(op) = notes.op() {
        match op {
            PUSH_FRONT | PUSH_BACK => {
                let element = notes.text()?;
                list.make_room(element.len(), 1, limit);
                list.push(if op == PUSH_FRONT { End::Front } else { End::Back }, element, limit);
            }
            POP_FRONT | POP_BACK => {
                let end = if op == POP_FRONT { End::Front } else { End::Back };
                list.pop(end, |_| ()).ok_or(Malformed)?;
                list.shrink(limit);
            }
            SET => {
                let index = notes.index()?;
                holds(index < list.len())?;
                list.set(index, notes.text()?, limit);
                list.shrink(limit);
            }
            INSERT => {
                let index = notes.index()?;
                holds(index <= list.len())?;
                list.insert(index, notes.text()?, limit);
            }
            REMOVE_RANGE => {
                let (start, count) = (notes.index()?, notes.index()?);
                let end = start.checked_add(count).filter(|end| *end <= list.len()).ok_or(Malformed)?;
                list.remove_range(start, end);
                list.shrink(limit);
            }
            REMOVE_EQUAL | REMOVE_EQUAL_BACK => {
                let count = notes.index()?;
                let removed = list.remove_equal(notes.text()?, count, op == REMOVE_EQUAL_BACK);
                holds(removed == count)?;
                list.shrink(limit);
            }
            _ => return Err(Malformed),
        }
    }
    Ok(())
}
