//! The sparse form of registers: runs of equal ones.
//!
//! ```text
//! 00llllll            zeros, l + 1 of them
//! 01llllll llllllll   zeros, l + 1 of them
//! 1vvvvvll            registers of v + 1, l + 1 of them
//! ```

use super::{Corrupted, HEADER_BYTES, REGISTERS};
use smallvec::SmallVec;
use std::fmt::Write;
use std::ops::Range;

const VALUE_MAX: u8 = 32;
const VALUE_RUN_MAX: usize = 4;
const SHORT_RUN_MAX: usize = 64;

/// All registers are zero.
pub(super) const EMPTY: [u8; 2] = [0x7F, 0xFF];

/// Equal registers in a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Run {
    pub(super) value: u8,
    pub(super) len: usize,
    /// The bytes that tell of it.
    bytes: usize,
}

/// The run at the start of `code`, which is not empty; a second byte that is missing counts as zero.
fn run_at(code: &[u8]) -> Run {
    let first = code[0];
    let low = usize::from(first & 0x3F);
    match first >> 6 {
        0 => Run { value: 0, len: low + 1, bytes: 1 },
        1 => {
            let second = code.get(1).copied().unwrap_or(0);
            Run { value: 0, len: (low << 8 | usize::from(second)) + 1, bytes: 2 }
        }
        _ => Run { value: (first >> 2 & 0x1F) + 1, len: usize::from(first & 3) + 1, bytes: 1 },
    }
}

/// How many bytes are passed over at once.
const STRIDE: usize = 32;

/// Whether a byte is the first of two that tell of a run, unless it is the second of such.
#[inline]
fn looks_wide(byte: u8) -> bool {
    byte.cast_signed() >= 0x40
}

/// Whether the byte at `at` is the second of two that tell of a run. The two bytes before settle it, unless
/// all three look wide, which takes two runs of zeros in a row: nobody writes those.
fn is_second(text: &[u8], at: usize) -> bool {
    looks_wide(text[at - 1]) && !looks_wide(text[at - 2])
}

/// How many registers the bytes from `at` on stand for, each by itself: the first and the second of two have a
/// part of their run's each. `None` where there are too few, or where [`is_second`] may be wrong.
///
/// There is no branch and no order in it, so that the compiler makes it a few instructions for 16 bytes each.
/// This is what makes long texts fast to search.
#[inline]
fn registers_at(text: &[u8], at: usize) -> Option<usize> {
    const PAIRS: u64 = 0x00FF_00FF_00FF_00FF;
    let behind = |back: usize| text.get(at - back..).and_then(<[u8]>::first_chunk::<STRIDE>);
    let (bytes, one_back, two_back) = (behind(0)?, behind(1)?, behind(2)?);
    let mask = |is: bool| if is { 0xFF } else { 0 };
    let (mut low, mut high, mut unsure) = ([0_u8; STRIDE], [0_u8; STRIDE], [0_u8; STRIDE]);
    for i in 0..STRIDE {
        let wide = mask(looks_wide(bytes[i]));
        let (wide_before, wide_before_that) = (mask(looks_wide(one_back[i])), mask(looks_wide(two_back[i])));
        let second = wide_before & !wide_before_that;
        // The length, less one, is in all bits of a second byte, in two bits of a value, else in six.
        let len = bytes[i] & (second | 0x03 | !mask(bytes[i] >= 0x80) & 0x3F);
        high[i] = len & wide & !second;
        low[i] = (len ^ high[i]).wrapping_sub(!second);
        unsure[i] = wide & wide_before & wide_before_that;
    }
    let sum = |bytes: &[u8; STRIDE]| {
        let words = bytes.as_chunks().0.iter().copied().map(u64::from_le_bytes);
        let sums: u64 = words.map(|word| (word & PAIRS) + (word >> 8 & PAIRS)).sum();
        (sums.wrapping_mul(0x0001_0001_0001_0001) >> 48) as usize
    };
    (unsure == [0; STRIDE]).then(|| sum(&low) + (sum(&high) << 8))
}

/// Where to search for a register run by run: the start of a run at or before it, that of the run before, and
/// the first register of the former.
fn seek_near(text: &[u8], register: usize) -> (usize, usize, usize) {
    let (mut at, mut first) = (HEADER_BYTES, 0);
    if looks_wide(text[HEADER_BYTES - 1]) {
        // Not so in a header that was written as one; the first run would look like a second byte.
        return (at, at, first);
    }
    while let Some(registers) = registers_at(text, at)
        && first + registers <= register
    {
        (at, first) = (at + STRIDE, first + registers);
    }
    if at == HEADER_BYTES {
        return (at, at, first);
    }
    if is_second(text, at) {
        at -= 1;
        first -= (usize::from(text[at] & 0x3F) << 8) + 1;
    }
    (at, at - 1 - usize::from(is_second(text, at - 1)), first)
}

/// The runs of all registers; an error ends them where they are too few or too many.
pub(super) fn runs(code: &[u8]) -> impl Iterator<Item = Result<Run, Corrupted>> + '_ {
    let (mut at, mut registers, mut ended) = (0, 0, false);
    std::iter::from_fn(move || {
        if ended {
            return None;
        }
        if at == code.len() {
            ended = true;
            return (registers != REGISTERS).then_some(Err(Corrupted));
        }
        let run = run_at(&code[at..]);
        at += run.bytes;
        registers += run.len;
        if at > code.len() || registers > REGISTERS {
            ended = true;
            return Some(Err(Corrupted));
        }
        Some(Ok(run))
    })
}

/// The runs of a sparse HyperLogLog, corrupted or not, in the words of PFDEBUG DECODE.
pub fn decode(text: &[u8]) -> String {
    let mut words = String::new();
    let mut code = &text[HEADER_BYTES..];
    while !code.is_empty() {
        let run = run_at(code);
        if !words.is_empty() {
            words.push(' ');
        }
        let written = match (run.value, run.bytes) {
            (0, 1) => write!(words, "z:{}", run.len),
            (0, _) => write!(words, "Z:{}", run.len),
            (value, _) => write!(words, "v:{value},{}", run.len),
        };
        debug_assert!(written.is_ok(), "a string takes all");
        code = code.get(run.bytes..).unwrap_or_default();
    }
    words
}

/// What raising a register comes to.
#[derive(Debug)]
pub(super) enum Raise {
    /// It is as high already.
    No,
    /// These bytes take another's place.
    Edit(Edit),
    /// The value or the text would be too large for this form.
    DoesNotFit,
}

/// Bytes that take the place of a range of a text.
#[derive(Debug)]
pub struct Edit {
    /// What goes.
    pub range: Range<usize>,
    /// What comes.
    pub code: SmallVec<[u8; CODE_BYTES_MAX]>,
}

/// How many bytes after the run of a raised register may have to do with the joining of equal runs.
const JOIN_BYTES: usize = 12;
/// More than a run, what takes another's place, and those bytes come to.
const CODE_BYTES_MAX: usize = 24;

/// What raises a register to `value`: the run that it is in is split.
pub(super) fn raise(text: &[u8], register: usize, value: u8, bytes_max: usize) -> Result<Raise, Corrupted> {
    if value > VALUE_MAX {
        return Ok(Raise::DoesNotFit);
    }
    // 1. Find the run, and the one before it.
    let (mut at, mut before, mut first) = seek_near(text, register);
    let run = loop {
        if at >= text.len() {
            return Err(Corrupted);
        }
        let run = run_at(&text[at..]);
        if register < first + run.len {
            break run;
        }
        before = at;
        at += run.bytes;
        first += run.len;
    };
    let after = at + run.bytes;
    if after > text.len() {
        return Err(Corrupted);
    }
    if run.value >= value {
        return Ok(Raise::No);
    }
    // 2. Write what takes its place: the rest of it on either side of the register.
    let mut split = Code::default();
    split.push(run.value, register - first);
    split.push(value, 1);
    split.push(run.value, first + run.len - 1 - register);
    let split = split.as_bytes();
    if split.len() > run.bytes && text.len() + split.len() - run.bytes > bytes_max {
        return Ok(Raise::DoesNotFit);
    }
    // 3. Join equal neighbours, looking at five runs.
    let range = before..text.len().min(after + JOIN_BYTES);
    let mut code = [0; CODE_BYTES_MAX];
    let mut len = 0;
    for piece in [&text[before..at], split, &text[after..range.end]] {
        code[len..len + piece.len()].copy_from_slice(piece);
        len += piece.len();
    }
    let mut code = SmallVec::from_buf_and_len(code, len);
    join(&mut code);
    Ok(Raise::Edit(Edit { range, code }))
}

/// Up to three runs being written.
#[derive(Default)]
struct Code {
    bytes: [u8; 5],
    len: usize,
}

impl Code {
    fn push(&mut self, value: u8, registers: usize) {
        let Some(more) = registers.checked_sub(1) else { return };
        if value > 0 {
            self.push_byte(0x80 | (value - 1) << 2 | more as u8);
        } else if registers <= SHORT_RUN_MAX {
            self.push_byte(more as u8);
        } else {
            self.push_byte(0x40 | (more >> 8) as u8);
            self.push_byte(more as u8);
        }
    }

    fn push_byte(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

fn join(text: &mut SmallVec<[u8; CODE_BYTES_MAX]>) {
    let mut at = 0;
    for _ in 0..5 {
        if at >= text.len() {
            return;
        }
        let run = run_at(&text[at..]);
        if run.value > 0 && at + 1 < text.len() {
            let next = run_at(&text[at + 1..]);
            let len = run.len + next.len;
            if next.value == run.value && len <= VALUE_RUN_MAX {
                text[at + 1] = 0x80 | (run.value - 1) << 2 | (len - 1) as u8;
                text.remove(at);
                continue;
            }
        }
        at += run.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A search from the nearer end took this for 16,384 registers, of which it has fewer, and ran past its start.
    #[test]
    fn a_corrupted_text_is_searched_within_its_bounds() {
        let code = b"\x3f\x3d\xff\xff\xff\x3d\x3d\x3d\x51\x51\x51\x51\x51\x3f\x51\x51\x51\x3d\x51\x51\x3d\x3d\x00\xff\xff\
            \xff\xff\xff\x2b\x00\x00\x3d\x3d\x3d\x3d\x3d\x3d\x00\x00\x00\x00\x00\x00\x3f\x5c\x3d\x00\xe8\x3d";
        let text = [&[0; HEADER_BYTES], &code[..]].concat();
        for register in 0..REGISTERS {
            for value in [1, 5, VALUE_MAX] {
                if let Ok(Raise::Edit(edit)) = raise(&text, register, value, 3000) {
                    assert!(edit.range.start >= HEADER_BYTES && edit.range.end <= text.len());
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

        /// Also in texts that nobody writes, and with any byte at the end of the header.
        #[test]
        fn a_search_starts_where_one_from_the_beginning_comes_by(
            count_end in any::<u8>(),
            code in prop::collection::vec(prop_oneof![4 => 0x80_u8.., 2 => any::<u8>(), 1 => 0x40..0x80_u8], 1..300),
            register in 0..REGISTERS,
        ) {
            let mut text = vec![count_end; HEADER_BYTES];
            text.extend(code);
            let (mut place, near) = ((HEADER_BYTES, HEADER_BYTES, 0), seek_near(&text, register));
            while place.0 < near.0 {
                let run = run_at(&text[place.0..]);
                place = (place.0 + run.bytes, place.0, place.2 + run.len);
            }
            prop_assert_eq!(place, near);
            prop_assert!(near.2 <= register);
        }
    }
}
