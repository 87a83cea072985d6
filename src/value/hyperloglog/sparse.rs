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

/// Some runs that are passed over at once.
struct Stretch {
    registers: usize,
    bytes: usize,
    /// Where in it the last run begins.
    last: usize,
}

/// The next eight runs, or those up to and including the first that takes two bytes. Adding them up at once
/// is what makes long texts fast to search.
#[inline]
fn stretch(code: &[u8; 10]) -> Stretch {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const PAIRS: u64 = 0x00FF_00FF_00FF_00FF;
    let word = u64::from_le_bytes(*code.first_chunk().unwrap_or(&[0; 8]));
    let high = word >> 7 & EACH;
    let wide = (word >> 6 & EACH) & !high;
    // All bits below the first wide run, or all there are without one.
    let short = wide.wrapping_sub(1) & !wide;
    // The length, less one, is in two bits where the highest bit is set, else in six.
    let is_value = high * 0xFF;
    let lens = word & short & ((is_value & (EACH * 0x03)) | (!is_value & (EACH * 0x3F)));
    let sums = (lens & PAIRS) + (lens >> 8 & PAIRS);
    let registers = (sums.wrapping_mul(0x0001_0001_0001_0001) >> 48) as usize;
    if wide == 0 {
        // A branch here lets the processor go ahead to the next eight.
        return Stretch { registers: registers + 8, bytes: 8, last: 7 };
    }
    let count = wide.trailing_zeros() as usize / 8;
    let wide_len = usize::from(code[count] & 0x3F) << 8 | usize::from(code[count + 1]);
    Stretch { registers: registers + count + wide_len + 1, bytes: count + 2, last: count }
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
    pub code: SmallVec<[u8; 24]>,
}

/// How many bytes after the run of a raised register may have to do with the joining of equal runs.
const JOIN_BYTES: usize = 12;

/// What raises a register to `value`: the run that it is in is split.
pub(super) fn raise(text: &[u8], register: usize, value: u8, bytes_max: usize) -> Result<Raise, Corrupted> {
    if value > VALUE_MAX {
        return Ok(Raise::DoesNotFit);
    }
    // 1. Find the run, and the one before it.
    let (mut at, mut before, mut first) = (HEADER_BYTES, HEADER_BYTES, 0);
    while let Some(code) = text.get(at..).and_then(<[u8]>::first_chunk) {
        let Stretch { registers, bytes, last } = stretch(code);
        if first + registers > register {
            break;
        }
        (at, before, first) = (at + bytes, at + last, first + registers);
    }
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
    let mut code = SmallVec::new();
    code.extend_from_slice(&text[before..at]);
    code.extend_from_slice(split);
    code.extend_from_slice(&text[after..range.end]);
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

fn join(text: &mut SmallVec<[u8; 24]>) {
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
