//! Numbers as Redis reads and writes them: what a client may send as an integer or a float, and the bytes it gets back.
//!
//! The rules are stricter than a usual parser (no `+1`, no `007`, no spaces) or looser (hexadecimal floats, `inf`), and
//! replies depend on them byte for byte, so they live in one place. [`LongDouble`] is the 80-bit arithmetic behind
//! INCRBYFLOAT and HINCRBYFLOAT.
//!
//! This file must not know about commands or replies: `None` means "not a number", and the caller has the error text.

mod long_double;

pub use long_double::LongDouble;

/// Longest text that can be a 64-bit integer: a sign and 20 digits. Anything longer is refused unread.
const INTEGER_TEXT_MAX: usize = 21;

/// Reads a signed integer in its one canonical form: an optional `-`, no leading zeros, no spaces, no `+`.
#[must_use]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        b"0" => return Some(0),
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if text.len() > INTEGER_TEXT_MAX || !matches!(digits.first(), Some(b'1'..=b'9')) {
        return None;
    }
    let magnitude = parse_digits(digits)?;
    if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// Reads an unsigned integer as Redis reads SCAN cursors and stream IDs: canonical, or else as C's `strtoull` does
/// (leading white space, a sign, leading zeros; `-1` wraps around).
#[must_use]
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    if let Some(number) = parse_i64(text) {
        return u64::try_from(number).ok();
    }
    let digits = match text.trim_ascii_start() {
        [b'-', digits @ ..] => return parse_digits(digits).map(u64::wrapping_neg),
        [b'+', digits @ ..] => digits,
        digits => digits,
    };
    parse_digits(digits)
}

fn parse_digits(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit <= 9).then(|| number.checked_mul(10)?.checked_add(u64::from(digit))).flatten()
    })
}

/// Reads a double as C's `strtod` does (decimal, hexadecimal, `inf`), and refuses NaN, spaces, and what over- or
/// underflows to infinity or zero.
#[must_use]
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    let (negative, unsigned) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let signed = |number: f64| if negative { -number } else { number };
    if let [b'0', b'x' | b'X', ..] = unsigned {
        return LongDouble::parse(text)?.to_f64();
    }
    match unsigned.first()? {
        // Most scores are whole numbers; up to so many digits a double has them all.
        b'0'..=b'9' if unsigned.len() <= 15 && unsigned.iter().all(u8::is_ascii_digit) => {
            parse_digits(unsigned).map(|number| signed(number as f64))
        }
        b'0'..=b'9' | b'.' => {
            let number: f64 = std::str::from_utf8(unsigned).ok()?.parse().ok()?;
            let significand = unsigned.split(|byte| matches!(byte, b'e' | b'E')).next()?;
            let vanished = number == 0.0 && significand.iter().any(|byte| matches!(byte, b'1'..=b'9'));
            (number.is_finite() && !vanished).then(|| signed(number))
        }
        _ if is_infinity(unsigned) => Some(signed(f64::INFINITY)),
        _ => None,
    }
}

/// Reads a double from a C string: as [`parse_f64`], but up to a zero byte, after white space, and nothing as zero.
#[must_use]
pub fn parse_f64_as_c(text: &[u8]) -> Option<f64> {
    match c_number(text)? {
        b"" => Some(0.0),
        number => parse_f64(number),
    }
}

/// As [`parse_f64_as_c`], and takes what over- or underflows.
#[must_use]
pub fn parse_f64_loosely(text: &[u8]) -> Option<f64> {
    parse_f64_as_c(text).or_else(|| {
        let text = c_number(text)?;
        let digits = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
        let is_decimal = matches!(digits.first()?, b'0'..=b'9' | b'.');
        let number = || std::str::from_utf8(text).ok()?.parse::<f64>().ok();
        is_decimal.then(number).flatten()
    })
}

/// What a C string has after its white space; `None` where it has nothing but that.
fn c_number(text: &[u8]) -> Option<&[u8]> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let start = text.iter().position(|byte| !matches!(byte, b' ' | b'\t'..=b'\r'));
    if text.is_empty() { Some(text) } else { Some(&text[start?..]) }
}

fn is_infinity(text: &[u8]) -> bool {
    text.eq_ignore_ascii_case(b"inf") || text.eq_ignore_ascii_case(b"infinity")
}

/// Appends an integer in decimal.
pub fn write_i64(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Largest magnitude up to which a whole double is printed as an integer, with all its digits.
const WHOLE_MAX: f64 = (i64::MAX / 2) as f64;

/// Appends a double as Redis 7.4 does in a reply: the shortest digits that read back as the same number, plain up to
/// seven zeros behind them or six before, else as `1.5e+30`.
pub fn write_f64(out: &mut Vec<u8>, number: f64) {
    if number.is_nan() {
        return out.extend_from_slice(b"nan");
    }
    if number.is_sign_negative() {
        out.push(b'-');
    }
    let magnitude = number.abs();
    if magnitude.is_infinite() {
        return out.extend_from_slice(b"inf");
    }
    if magnitude <= WHOLE_MAX && magnitude.trunc() == magnitude {
        return write_i64(out, magnitude as i64);
    }
    let (digits, exponent) = shortest_digits(magnitude);
    write_digits(out, &digits, exponent, number.is_sign_negative());
}

/// [`write_f64`] as a string.
#[must_use]
pub fn format_double(number: f64) -> String {
    let mut out = Vec::with_capacity(24);
    write_f64(&mut out, number);
    String::from_utf8_lossy(&out).into_owned()
}

/// The shortest digits of a positive finite number and the power of ten that the last of them stands for.
fn shortest_digits(number: f64) -> (smallvec::SmallVec<[u8; 24]>, i32) {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(number).as_bytes();
    let (significand, exponent) = match text.iter().position(|byte| *byte == b'e') {
        Some(at) => (&text[..at], read_exponent(&text[at + 1..])),
        None => (text, 0),
    };
    let mut digits = smallvec::SmallVec::<[u8; 24]>::new();
    let mut exponent = exponent;
    let mut behind_point = false;
    for byte in significand {
        match byte {
            b'.' => behind_point = true,
            digit => {
                exponent -= i32::from(behind_point);
                if *digit != b'0' || !digits.is_empty() {
                    digits.push(*digit);
                }
            }
        }
    }
    while digits.last() == Some(&b'0') {
        digits.pop();
        exponent += 1;
    }
    (digits, exponent)
}

fn read_exponent(text: &[u8]) -> i32 {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Writes `digits` x 10^`exponent` in Redis's choice of form.
fn write_digits(out: &mut Vec<u8>, digits: &[u8], exponent: i32, negative: bool) {
    let count = digits.len() as i32;
    let leading = exponent + count - 1;
    if exponent >= 0 && leading.abs() < count + 7 {
        out.extend_from_slice(digits);
        out.resize(out.len() + exponent as usize, b'0');
        return;
    }
    if exponent < 0 && (exponent > -7 || leading.abs() < 4) {
        let whole = count + exponent;
        if whole <= 0 {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + whole.unsigned_abs() as usize, b'0');
            out.extend_from_slice(digits);
        } else {
            let (whole, fraction) = digits.split_at(whole as usize);
            out.extend_from_slice(whole);
            out.push(b'.');
            out.extend_from_slice(fraction);
        }
        return;
    }
    let shown = digits.len().min(18 - usize::from(negative));
    out.push(digits[0]);
    if shown > 1 {
        out.push(b'.');
        out.extend_from_slice(&digits[1..shown]);
    }
    out.push(b'e');
    out.push(if leading < 0 { b'-' } else { b'+' });
    write_i64(out, i64::from(leading.abs()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_one_form() {
        for (text, expected) in [
            ("0", Some(0)),
            ("-0", None),
            ("1", Some(1)),
            ("-1", Some(-1)),
            ("", None),
            ("-", None),
            ("+1", None),
            (" 1", None),
            ("1 ", None),
            ("01", None),
            ("1a", None),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("-9223372036854775808", Some(i64::MIN)),
            ("-9223372036854775809", None),
            ("18446744073709551616", None),
            ("1000000000000000000000", None),
        ] {
            assert_eq!(parse_i64(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn cursors_are_read_loosely() {
        assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_u64(b"18446744073709551616"), None);
        assert_eq!(parse_u64(b"007"), Some(7));
        assert_eq!(parse_u64(b" +7"), Some(7));
        assert_eq!(parse_u64(b"7 "), None);
        assert_eq!(parse_u64(b""), None);
        assert_eq!(parse_u64(b"-1"), None);
    }

    #[test]
    fn doubles_are_read_as_by_strtod() {
        for (text, expected) in [
            ("1.5", Some(1.5)),
            ("-1.5e3", Some(-1500.0)),
            (".5", Some(0.5)),
            ("5.", Some(5.0)),
            ("+5", Some(5.0)),
            ("0x1.8p1", Some(3.0)),
            ("0X10", Some(16.0)),
            ("-0x10", Some(-16.0)),
            ("0x", None),
            ("inf", Some(f64::INFINITY)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("nan", None),
            ("", None),
            ("-", None),
            (".", None),
            ("--1", None),
            (" 1", None),
            ("1 ", None),
            ("1e", None),
            ("1e400", None),
            ("1e-400", None),
            ("0e-400", Some(0.0)),
            ("5e-324", Some(5e-324)),
        ] {
            assert_eq!(parse_f64(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn doubles_are_read_loosely_where_strtod_alone_decides() {
        for (text, expected) in [
            ("", Some(0.0)),
            (" 1", Some(1.0)),
            ("1 ", None),
            (" ", None),
            ("1e400", Some(f64::INFINITY)),
            ("-1e400", Some(f64::NEG_INFINITY)),
            ("1e-400", Some(0.0)),
            ("1\0x", Some(1.0)),
            ("nan", None),
            ("-", None),
            ("0x10", Some(16.0)),
        ] {
            assert_eq!(parse_f64_loosely(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn doubles_are_written_as_by_redis_7_4() {
        for (number, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (-3.5, "-3.5"),
            (0.1, "0.1"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (1.5e-7, "1.5e-7"),
            (1e15, "1000000000000000"),
            (1e19, "1e+19"),
            (1e20, "1e+20"),
            (123_456_789_012_345_680_000.0, "123456789012345680000"),
            (1e300, "1e+300"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
            (std::f64::consts::PI, "3.141592653589793"),
        ] {
            assert_eq!(format_double(number), expected);
        }
    }
}
