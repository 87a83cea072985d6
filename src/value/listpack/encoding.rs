//! How one element lies in a listpack.
//!
//! ```text
//! 0xxxxxxx                        integer 0..=127
//! 10xxxxxx, text                  text of up to 63 bytes
//! 110xxxxx xxxxxxxx               integer of 13 bits, big end first
//! 1110xxxx xxxxxxxx, text         text of up to 4095 bytes
//! 11110000 u32, text              longer text
//! 11110001..11110100              integer of 16, 24, 32, 64 bits, little end first
//! then                            the length of all this, 7 bits a byte, to be read backwards: the first
//!                                 byte has the high bits and no mark, the others the mark 0x80
//! ```

use super::Element;
use crate::number;

/// The longest text whose entry has one byte before it and one after.
pub(super) const SHORT_TEXT_BYTES_MAX: usize = 63;

const TEXT_32: u8 = 0xF0;
const INT_16: u8 = 0xF1;
const INT_24: u8 = 0xF2;
const INT_32: u8 = 0xF3;
const INT_64: u8 = 0xF4;

/// An element ready to be written: its head, then its text if it has one.
pub(super) struct Encoded<'a> {
    head: [u8; 9],
    head_bytes: usize,
    text: &'a [u8],
}

impl<'a> Encoded<'a> {
    /// The form of an element: that of an integer where the bytes are exactly one.
    pub(super) fn of(element: &'a [u8]) -> Self {
        match integer_of(element) {
            Some(int) => Encoded::of_int(int),
            None => Encoded::of_text(element),
        }
    }

    fn of_text(text: &'a [u8]) -> Self {
        let len = text.len();
        match len {
            0..64 => Encoded::new(&[0x80 | len as u8], text),
            64..4096 => Encoded::new(&[0xE0 | (len >> 8) as u8, len as u8], text),
            _ => {
                let [a, b, c, d] = (len as u32).to_le_bytes();
                Encoded::new(&[TEXT_32, a, b, c, d], text)
            }
        }
    }

    pub(super) fn of_int(int: i64) -> Self {
        let [a, b, c, d, ..] = int.to_le_bytes();
        match int {
            0..=127 => Encoded::new(&[a], &[]),
            -4096..=4095 => Encoded::new(&[0xC0 | (b & 0x1F), a], &[]),
            -0x8000..=0x7FFF => Encoded::new(&[INT_16, a, b], &[]),
            -0x80_0000..=0x7F_FFFF => Encoded::new(&[INT_24, a, b, c], &[]),
            -0x8000_0000..=0x7FFF_FFFF => Encoded::new(&[INT_32, a, b, c, d], &[]),
            _ => {
                let mut head = [INT_64; 9];
                head[1..].copy_from_slice(&int.to_le_bytes());
                Encoded { head, head_bytes: 9, text: &[] }
            }
        }
    }

    fn new(start: &[u8], text: &'a [u8]) -> Self {
        let mut head = [0; 9];
        head[..start.len()].copy_from_slice(start);
        Encoded { head, head_bytes: start.len(), text }
    }

    /// Without the length at the end.
    fn body_bytes(&self) -> usize {
        self.head_bytes + self.text.len()
    }

    /// All bytes of the entry.
    pub(super) fn bytes(&self) -> usize {
        self.body_bytes() + backlen_bytes(self.body_bytes())
    }

    /// Writes the entry to a place of exactly its size.
    #[inline]
    pub(super) fn write(&self, to: &mut [u8]) {
        let body = self.body_bytes();
        if self.head_bytes == 1 {
            to[0] = self.head[0];
        } else {
            to[..self.head_bytes].copy_from_slice(&self.head[..self.head_bytes]);
        }
        to[self.head_bytes..body].copy_from_slice(self.text);
        if body < 0x80 {
            to[body] = body as u8;
        } else {
            write_backlen(&mut to[body..], body);
        }
    }
}

/// Whether an element is kept as a text whose entry has one byte before it and one after.
#[inline]
pub(super) fn is_short_text(element: &[u8]) -> bool {
    element.len() <= SHORT_TEXT_BYTES_MAX && integer_of(element).is_none()
}

/// The integer that an element is kept as.
pub(super) fn integer_of(element: &[u8]) -> Option<i64> {
    // The first byte settles most texts that are no number.
    if element.len() > 20 || !matches!(element.first(), Some(b'0'..=b'9' | b'-')) {
        return None;
    }
    number::parse_i64(element)
}

/// The element at `at` and the bytes of its entry without the length at the end; `None` where there is none.
#[inline]
pub(super) fn decode(bytes: &[u8], at: usize) -> Option<(Element<'_>, usize)> {
    let first = *bytes.get(at)?;
    match first {
        0..=0x7F => Some((Element::Int(first.into()), 1)),
        0x80..=0xBF => text(bytes, at + 1, (first & 0x3F).into(), 1),
        0xC0..=0xDF => {
            let bits = i64::from(first & 0x1F) << 8 | i64::from(*bytes.get(at + 1)?);
            Some((Element::Int(if bits < 1 << 12 { bits } else { bits - (1 << 13) }), 2))
        }
        0xE0..=0xEF => {
            let len = usize::from(first & 0x0F) << 8 | usize::from(*bytes.get(at + 1)?);
            text(bytes, at + 2, len, 2)
        }
        TEXT_32 => {
            let len: [u8; 4] = bytes.get(at + 1..at + 5)?.try_into().ok()?;
            text(bytes, at + 5, u32::from_le_bytes(len) as usize, 5)
        }
        INT_16 => int(bytes, at, 2),
        INT_24 => int(bytes, at, 3),
        INT_32 => int(bytes, at, 4),
        INT_64 => int(bytes, at, 8),
        _ => None,
    }
}

#[inline]
fn text(bytes: &[u8], start: usize, len: usize, head: usize) -> Option<(Element<'_>, usize)> {
    Some((Element::Bytes(bytes.get(start..start.checked_add(len)?)?), head + len))
}

fn int(bytes: &[u8], at: usize, width: usize) -> Option<(Element<'_>, usize)> {
    let digits = bytes.get(at + 1..at + 1 + width)?;
    let negative = digits.last()? & 0x80 != 0;
    let mut all = [if negative { 0xFF } else { 0 }; 8];
    all[..width].copy_from_slice(digits);
    Some((Element::Int(i64::from_le_bytes(all)), 1 + width))
}

/// All bytes of the entry that begins with `first`, if it is that of a short text.
#[inline]
pub(super) fn short_text_bytes(first: u8) -> Option<usize> {
    (0x80..=0xBF).contains(&first).then_some(usize::from(first & 0x3F) + 2)
}

/// What the length at the end of an entry takes.
#[inline]
pub(super) fn backlen_bytes(len: usize) -> usize {
    match len {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        0x20_0000..0x1000_0000 => 4,
        _ => 5,
    }
}

fn write_backlen(to: &mut [u8], len: usize) {
    let bytes = backlen_bytes(len);
    for (index, byte) in to[..bytes].iter_mut().enumerate() {
        let mark = if index == 0 { 0 } else { 0x80 };
        *byte = (len >> (7 * (bytes - 1 - index)) & 0x7F) as u8 | mark;
    }
}

/// The length that ends before `end`.
#[inline]
pub(super) fn read_backlen(bytes: &[u8], end: usize) -> Option<usize> {
    let mut len = 0;
    for index in 0..5 {
        let byte = *bytes.get(end.checked_sub(1 + index)?)?;
        len |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return Some(len);
        }
    }
    None
}
