//! The 80-bit floating point that INCRBYFLOAT is defined by, in plain integers.
//!
//! Redis adds in C's `long double`, which on x86 has a 64-bit significand and a 15-bit exponent, and prints 17
//! decimals: that is why 10.5 + 0.1 is 10.6 there and not 10.59999999999999964. Rust has no such type, so reading,
//! adding and printing are done here with integers and rounded once, to nearest, ties to even, as the processor and the
//! C library do. Numbers too small for a normal exponent keep all 64 bits: the difference is far below the 17 decimals
//! that are ever printed.
//!
//! This file must not know about keys or commands.

use super::is_infinity;

/// Longest text Redis reads as a long double; longer ones are not a number.
const TEXT_MAX: usize = 5 * 1024 - 1;
/// Exponent of the last bit of the largest finite number.
const EXPONENT_MAX: i32 = 16383 - 63;
/// A number whose top bit is below 2^-16446 rounds to zero, and zero for something that is not is refused.
const TOP_BIT_MIN: i32 = -16446;
/// Decimals that are printed before trailing zeros are cut.
const DECIMALS_SCALE: u128 = 100_000_000_000_000_000;

/// A number with a 64-bit significand: `significand` x 2^`exponent`, or an infinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongDouble {
    negative: bool,
    /// Zero, or its top bit is set.
    significand: u64,
    exponent: i32,
    infinite: bool,
}

impl LongDouble {
    /// Zero, which stands for a key that does not exist.
    pub const ZERO: Self = Self { negative: false, significand: 0, exponent: 0, infinite: false };

    /// Reads what C's `strtold` reads, but no NaN, no spaces, and nothing that over- or underflows.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() > TEXT_MAX {
            return None;
        }
        let (negative, unsigned) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        if is_infinity(unsigned) {
            return Some(Self { negative, infinite: true, ..Self::ZERO });
        }
        let number = match unsigned {
            [b'0', b'x' | b'X', digits @ ..] => parse_hexadecimal(digits)?,
            digits => parse_decimal(digits)?,
        };
        let vanished = number.significand != 0 && number.top_bit() < TOP_BIT_MIN;
        // The exact tie between zero and the smallest number goes to zero, which is even.
        let tied = number.significand == 1 << 63 && number.top_bit() == TOP_BIT_MIN;
        (!number.infinite && !vanished && !tied).then_some(Self { negative, ..number })
    }

    /// Whether this is neither infinite nor the result of adding opposite infinities.
    #[must_use]
    pub fn is_finite(self) -> bool {
        !self.infinite
    }

    /// Appends the number as INCRBYFLOAT stores it: never an exponent, 17 decimals, trailing zeros cut, no `-0`.
    pub fn write(self, out: &mut Vec<u8>) {
        if self.significand == 0 && !self.infinite {
            return out.push(b'0');
        }
        let start = out.len();
        if self.negative {
            out.push(b'-');
        }
        if self.infinite {
            return out.extend_from_slice(b"inf");
        }
        if self.exponent >= 0 {
            return Big::from(self.significand).shift_left(self.exponent.unsigned_abs()).write_decimal(out);
        }
        let shift = self.exponent.unsigned_abs();
        let whole = u128::from(self.significand.checked_shr(shift).unwrap_or(0));
        let fraction = match shift {
            64.. => self.significand,
            _ => self.significand & ((1 << shift) - 1),
        };
        let decimals = round_shift(u128::from(fraction) * DECIMALS_SCALE, shift);
        let (whole, decimals) = (whole + decimals / DECIMALS_SCALE, decimals % DECIMALS_SCALE);
        out.extend_from_slice(whole.to_string().as_bytes());
        if decimals > 0 {
            let text = format!(".{decimals:017}");
            out.extend_from_slice(text.trim_end_matches('0').as_bytes());
        }
        if out[start..] == *b"-0" {
            out.truncate(start);
            out.push(b'0');
        }
    }

    /// The nearest double; `None` if that is infinite, or zero for a number that is not.
    #[must_use]
    pub fn to_f64(self) -> Option<f64> {
        let sign = if self.negative { -1.0 } else { 1.0 };
        if self.infinite {
            return Some(sign * f64::INFINITY);
        }
        if self.significand == 0 {
            return Some(sign * 0.0);
        }
        // Bits that the result has: 53, or fewer for a denormal. They are dropped in one rounding.
        let kept = (self.top_bit() + 1075).min(53);
        if kept < 0 {
            return None;
        }
        let dropped = 64 - kept.unsigned_abs();
        let significand = round_shift(u128::from(self.significand), dropped) as f64;
        let exponent = self.exponent + dropped.cast_signed();
        // Two steps, because 2^-1074 alone would already be out of reach for `powi` of a normal number.
        let half = exponent / 2;
        let number = significand * 2f64.powi(half) * 2f64.powi(exponent - half);
        (number.is_finite() && number != 0.0).then_some(sign * number)
    }

    /// Power of two of the highest bit.
    fn top_bit(self) -> i32 {
        self.exponent + 63
    }
}

impl std::ops::Add for LongDouble {
    type Output = Self;

    /// The sum, rounded to 64 bits. Anything with an infinity in it is an infinity: the caller refuses both that and
    /// NaN in the same words.
    fn add(self, other: Self) -> Self {
        if self.infinite || other.infinite {
            return Self { infinite: true, ..Self::ZERO };
        }
        if self.significand == 0 || other.significand == 0 {
            return if other.significand == 0 { self } else { other };
        }
        let (large, small) = if (self.exponent, self.significand) >= (other.exponent, other.significand) {
            (self, other)
        } else {
            (other, self)
        };
        // 62 bits below each significand leave room for a carry above; what falls off the end stays as a sticky bit.
        let distance = large.exponent.abs_diff(small.exponent);
        let wide_large = u128::from(large.significand) << 62;
        let wide_small = u128::from(small.significand) << 62;
        let shifted = wide_small.checked_shr(distance).unwrap_or(0);
        let lost = distance > 0 && wide_small.trailing_zeros() < distance;
        let shifted = shifted | u128::from(lost);
        let sum = if large.negative == small.negative { wide_large + shifted } else { wide_large - shifted };
        round(large.negative, sum, large.exponent - 62, false)
    }
}

impl From<i64> for LongDouble {
    fn from(number: i64) -> Self {
        round(number < 0, u128::from(number.unsigned_abs()), 0, false)
    }
}

/// `number` / 2^`shift`, to nearest, ties to even. `number` must be below 2^127.
fn round_shift(number: u128, shift: u32) -> u128 {
    if shift == 0 {
        return number;
    }
    if shift > 127 {
        return 0;
    }
    let (quotient, rest) = (number >> shift, number & ((1 << shift) - 1));
    let half = 1u128 << (shift - 1);
    quotient + u128::from(rest > half || (rest == half && quotient & 1 == 1))
}

/// `number` x 2^`exponent`, and a bit more than that if `sticky`, rounded to 64 bits. A sticky number must have at least
/// two bits more than are kept.
fn round(negative: bool, number: u128, exponent: i32, sticky: bool) -> LongDouble {
    if number == 0 {
        return LongDouble::ZERO;
    }
    let bits = 128 - number.leading_zeros();
    let result = |significand, exponent| LongDouble {
        negative,
        significand,
        exponent,
        infinite: exponent > EXPONENT_MAX,
    };
    if bits <= 64 {
        let shift = 64 - bits;
        return result((number as u64) << shift, exponent - shift.cast_signed());
    }
    let excess = bits - 64;
    let rounded = round_shift(number | u128::from(sticky), excess);
    let exponent = exponent + excess.cast_signed();
    match u64::try_from(rounded) {
        Ok(significand) => result(significand, exponent),
        Err(_) => result(1 << 63, exponent + 1),
    }
}

/// Splits `digits [. digits] [marker exponent]` into its digits, how many stand behind the point, and the exponent.
fn split(text: &[u8], markers: [u8; 2], is_digit: fn(&u8) -> bool) -> Option<(Vec<u8>, i64, i64)> {
    let whole = text.iter().take_while(|byte| is_digit(byte)).count();
    let mut digits = text[..whole].to_vec();
    let mut rest = &text[whole..];
    let mut decimals = 0;
    if let [b'.', fraction @ ..] = rest {
        decimals = fraction.iter().take_while(|byte| is_digit(byte)).count();
        digits.extend_from_slice(&fraction[..decimals]);
        rest = &fraction[decimals..];
    }
    if digits.is_empty() {
        return None;
    }
    let exponent = match rest {
        [] => 0,
        [marker, exponent @ ..] if markers.contains(marker) => {
            let (negative, exponent) = match exponent {
                [b'-', rest @ ..] => (true, rest),
                [b'+', rest @ ..] => (false, rest),
                rest => (false, rest),
            };
            if exponent.is_empty() || !exponent.iter().all(u8::is_ascii_digit) {
                return None;
            }
            let magnitude =
                exponent.iter().fold(0i64, |sum, byte| (sum * 10 + i64::from(byte - b'0')).min(1_000_000));
            if negative { -magnitude } else { magnitude }
        }
        _ => return None,
    };
    Some((digits, decimals as i64, exponent))
}

fn parse_hexadecimal(text: &[u8]) -> Option<LongDouble> {
    let (digits, decimals, exponent) = split(text, [b'p', b'P'], u8::is_ascii_hexdigit)?;
    let mut big = Big::from(0);
    for digit in digits {
        big.multiply_add(16, (digit as char).to_digit(16)?);
    }
    Some(big.round(exponent - 4 * decimals))
}

fn parse_decimal(text: &[u8]) -> Option<LongDouble> {
    let (digits, decimals, exponent) = split(text, [b'e', b'E'], u8::is_ascii_digit)?;
    let digits = digits.trim_ascii_start_zeros();
    let exponent = exponent - decimals;
    let magnitude = digits.len() as i64 + exponent;
    if digits.is_empty() {
        return Some(LongDouble::ZERO);
    }
    // Far outside of what 15 bits of exponent hold; without this, a short text could ask for a million digits.
    if !(-5000..=5000).contains(&magnitude) {
        return None;
    }
    let mut numerator = Big::from(0);
    for digit in digits {
        numerator.multiply_add(10, u32::from(digit - b'0'));
    }
    let mut power = Big::from(1);
    for _ in 0..exponent.unsigned_abs() {
        power.multiply_add(10, 0);
    }
    Some(if exponent >= 0 { numerator.multiply(&power).round(0) } else { numerator.divide(power) })
}

trait TrimZeros {
    fn trim_ascii_start_zeros(&self) -> &[u8];
}

impl TrimZeros for Vec<u8> {
    fn trim_ascii_start_zeros(&self) -> &[u8] {
        let zeros = self.iter().take_while(|byte| **byte == b'0').count();
        &self[zeros..]
    }
}

/// A natural number of any size: base 2^32, lowest digit first, no zeros at the top.
#[derive(Clone, Debug)]
struct Big(smallvec::SmallVec<[u32; 8]>);

impl From<u64> for Big {
    fn from(number: u64) -> Self {
        let mut big = Self(smallvec::smallvec![number as u32, (number >> 32) as u32]);
        big.trim();
        big
    }
}

impl Big {
    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    fn bits(&self) -> u32 {
        match self.0.last() {
            Some(top) => self.0.len() as u32 * 32 - top.leading_zeros(),
            None => 0,
        }
    }

    fn multiply_add(&mut self, factor: u32, addend: u32) {
        let mut carry = u64::from(addend);
        for digit in &mut self.0 {
            carry += u64::from(*digit) * u64::from(factor);
            *digit = carry as u32;
            carry >>= 32;
        }
        if carry > 0 {
            self.0.push(carry as u32);
        }
    }

    fn multiply(&self, other: &Self) -> Self {
        let mut product = smallvec::smallvec![0u32; self.0.len() + other.0.len()];
        for (at, digit) in self.0.iter().enumerate() {
            let mut carry = 0u64;
            for (place, factor) in product[at..].iter_mut().zip(other.0.iter().chain(std::iter::repeat(&0))) {
                carry += u64::from(*place) + u64::from(*digit) * u64::from(*factor);
                *place = carry as u32;
                carry >>= 32;
            }
        }
        let mut product = Self(product);
        product.trim();
        product
    }

    fn shift_left(&self, shift: u32) -> Self {
        let mut shifted = Self(smallvec::smallvec![0; (shift / 32) as usize]);
        let mut carry = 0u64;
        for digit in &self.0 {
            carry |= u64::from(*digit) << (shift % 32);
            shifted.0.push(carry as u32);
            carry >>= 32;
        }
        shifted.0.push(carry as u32);
        shifted.trim();
        shifted
    }

    /// Takes `other` away if it fits.
    fn subtract(&mut self, other: &Self) -> bool {
        let smaller = self.0.len() < other.0.len()
            || (self.0.len() == other.0.len() && self.0.iter().rev().lt(other.0.iter().rev()));
        if smaller {
            return false;
        }
        let mut borrow = 0i64;
        for (digit, taken) in self.0.iter_mut().zip(other.0.iter().chain(std::iter::repeat(&0))) {
            borrow += i64::from(*digit) - i64::from(*taken);
            *digit = borrow as u32;
            borrow >>= 32;
        }
        self.trim();
        true
    }

    /// This x 2^`exponent`, rounded to 64 bits.
    fn round(&self, exponent: i64) -> LongDouble {
        let excess = self.bits().saturating_sub(96);
        let (digits, bits) = ((excess / 32) as usize, excess % 32);
        let mut top = 0u128;
        for digit in self.0[digits.min(self.0.len())..].iter().rev() {
            top = top << 32 | u128::from(*digit);
        }
        let sticky = self.0[..digits.min(self.0.len())].iter().any(|digit| *digit != 0);
        debug_assert!(bits < 32);
        let exponent = exponent + digits as i64 * 32;
        let exponent = exponent.clamp(-1_000_000, 1_000_000) as i32;
        round(false, top, exponent, sticky)
    }

    /// This / `divisor`, rounded to 64 bits: long division in base two, 68 steps.
    fn divide(&self, divisor: Self) -> LongDouble {
        const STEPS: u32 = 68;
        // Both get the same number of bits, so the first step gives the first or second bit of the quotient.
        let (own, other) = (self.bits(), divisor.bits());
        let bits = own.max(other);
        let mut rest = self.shift_left(bits - own);
        let divisor = divisor.shift_left(bits - other);
        let mut quotient = 0u128;
        for _ in 0..STEPS {
            quotient = quotient << 1 | u128::from(rest.subtract(&divisor));
            rest = rest.shift_left(1);
        }
        let exponent = own.cast_signed() - other.cast_signed() - (STEPS.cast_signed() - 1);
        round(false, quotient, exponent, !rest.0.is_empty())
    }

    fn write_decimal(mut self, out: &mut Vec<u8>) {
        const CHUNK: u64 = 1_000_000_000;
        let mut chunks = Vec::new();
        while !self.0.is_empty() {
            let mut rest = 0u64;
            for digit in self.0.iter_mut().rev() {
                rest = rest << 32 | u64::from(*digit);
                *digit = (rest / CHUNK) as u32;
                rest %= CHUNK;
            }
            chunks.push(rest);
            self.trim();
        }
        let top = chunks.pop().unwrap_or(0);
        out.extend_from_slice(top.to_string().as_bytes());
        for chunk in chunks.iter().rev() {
            out.extend_from_slice(format!("{chunk:09}").as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LongDouble;

    fn sum(a: &str, b: &str) -> Option<String> {
        let total = LongDouble::parse(a.as_bytes())? + LongDouble::parse(b.as_bytes())?;
        let mut out = Vec::new();
        total.write(&mut out);
        String::from_utf8(out).ok()
    }

    #[test]
    fn sums_are_those_of_redis() {
        for (a, b, expected) in [
            ("10.5", "0.1", "10.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("0", "-0", "0"),
            ("0", "-0.0", "0"),
            ("-0", "-0", "0"),
            ("-1e-20", "0", "0"),
            ("-1", "1", "0"),
            ("0.1", "0.2", "0.3"),
            ("1", "1e-18", "1"),
            ("3", "0.00000000000000001", "3.00000000000000001"),
            ("1e20", "1", "100000000000000000000"),
            ("1e30", "0", "1000000000000000000024696061952"),
            ("0x1.8p1", "1", "4"),
            ("9223372036854775807", "1", "9223372036854775808"),
            ("18446744073709551615", "0", "18446744073709551615"),
            ("18446744073709551615", "1", "18446744073709551616"),
            ("1.797693134862315708e308", "-1.797693134862315708e308", "0"),
        ] {
            assert_eq!(sum(a, b).as_deref(), Some(expected), "{a} + {b}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in [
            "", " 1", "1 ", "abc", "nan", "1e", "1e+", "0x", "0xp1", ".", "-", "+-1", "1e5000", "1e-5000",
            "1_0", "1.2.3",
        ] {
            assert_eq!(LongDouble::parse(text.as_bytes()), None, "{text:?}");
        }
        assert!(LongDouble::parse(b"1e4932").is_some_and(LongDouble::is_finite));
        assert_eq!(LongDouble::parse(b"1.2e4932"), None);
        assert!(LongDouble::parse(b"0e999999").is_some());
        assert!(LongDouble::parse(b"inf").is_some_and(|number| !number.is_finite()));
    }

    #[test]
    fn integers_and_doubles_convert_exactly() {
        for number in [0, 1, -1, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            LongDouble::from(number).write(&mut out);
            assert_eq!(String::from_utf8(out).ok(), Some(number.to_string()));
        }
        for number in [1.5, -0.1, 1e300, 5e-324, 2.2e-308, f64::MAX, f64::MIN_POSITIVE] {
            let text = format!("{number:e}");
            let parsed = LongDouble::parse(text.as_bytes()).and_then(LongDouble::to_f64);
            assert_eq!(parsed, Some(number));
        }
    }
}
