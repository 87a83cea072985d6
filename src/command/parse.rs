//! Reading arguments as numbers and words.

use super::Error;
use crate::number;
use crate::resp::Args;

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

/// What LMPOP, ZMPOP and the blocking forms say after their keys, whose number stands at `at`: the end that `end` reads, and COUNT.
pub fn mpop_options<E>(
    args: Args<'_>,
    at: usize,
    end: impl FnOnce(&[u8]) -> Result<E, Error>,
) -> Result<(E, usize), Error> {
    let text = "ERR numkeys should be greater than 0";
    let keys = int_or(&args[at], text)?;
    if keys <= 0 {
        return Err(Error::fixed(text));
    }
    let end_at = usize::try_from(keys).ok().and_then(|keys| keys.checked_add(at + 1)).ok_or(Error::SYNTAX)?;
    let end = end(args.get(end_at).ok_or(Error::SYNTAX)?)?;
    let text = "ERR count should be greater than 0";
    let (mut at, mut count) = (end_at + 1, None);
    while let Some(word) = args.get(at) {
        let Some(number) = args.get(at + 1).filter(|_| is(word, "count") && count.is_none()) else {
            return Err(Error::SYNTAX);
        };
        let number = usize::try_from(int_or(number, text)?).ok().filter(|count| *count > 0);
        count = Some(number.ok_or(Error::fixed(text))?);
        at += 2;
    }
    Ok((end, count.unwrap_or(1)))
}
