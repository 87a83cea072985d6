//! Reading arguments as numbers and words.

use super::Error;
use crate::number;

/// An integer.
pub fn int(arg: &[u8]) -> Result<i64, Error> {
    number::parse_i64(arg).ok_or(Error::NOT_AN_INTEGER)
}

/// An integer, or this error.
pub fn int_or(arg: &[u8], error: &'static str) -> Result<i64, Error> {
    number::parse_i64(arg).ok_or(Error::fixed(error))
}

/// A database's number.
pub fn database(arg: &[u8], count: usize, not_a_number: Error) -> Result<usize, Error> {
    let number = number::parse_i64(arg).ok_or(not_a_number)?;
    if i32::try_from(number).is_err() {
        return Err(Error::new(format!(
            "ERR value is out of range, value must between {} and {}",
            i32::MIN,
            i32::MAX
        )));
    }
    usize::try_from(number).ok().filter(|n| *n < count).ok_or(Error::INVALID_DB)
}

/// As C prints a string: up to a NUL.
pub fn c_string(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    &bytes[..end]
}

/// Whether an argument is this word, in any case.
#[inline]
pub fn is(arg: &[u8], word: &str) -> bool {
    arg.eq_ignore_ascii_case(word.as_bytes())
}
