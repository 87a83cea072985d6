//! Strings as arrays of bits: the first bit is the highest of the first byte, as SETBIT and BITFIELD count.

/// The bits that are set.
pub fn count(bytes: &[u8]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512vpopcntdq")
            && std::arch::is_x86_feature_detected!("avx512f")
        {
            // SAFETY: the processor has the instructions.
            return unsafe { count_by_eights(bytes) };
        }
        if std::arch::is_x86_feature_detected!("popcnt") {
            // SAFETY: the processor has the instruction.
            return unsafe { count_by_instruction(bytes) };
        }
    }
    count_words(bytes)
}

/// Eight words at a time, which the newest processors can.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "popcnt,avx512f,avx512vpopcntdq")]
fn count_by_eights(bytes: &[u8]) -> u64 {
    count_words(bytes)
}

/// What every processor for servers has had since 2008, but the compiler may not take for granted.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "popcnt")]
fn count_by_instruction(bytes: &[u8]) -> u64 {
    count_words(bytes)
}

#[inline(always)]
fn count_words(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks();
    let whole: u64 = words.iter().map(|word| u64::from(u64::from_ne_bytes(*word).count_ones())).sum();
    whole + rest.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>()
}

/// The bits that are set from `first` to `last`, both within the bytes.
pub fn count_between(bytes: &[u8], first: usize, last: usize) -> u64 {
    let range = &bytes[first / 8..=last / 8];
    let (before, after) = (first % 8, 7 - last % 8);
    let outside_left = range[0] & !(0xFF >> before);
    let outside_right = range[range.len() - 1] & !(0xFF_u8 << after);
    count(range) - u64::from(outside_left.count_ones()) - u64::from(outside_right.count_ones())
}

/// The first bit of this value from `first` to `last`, both within the bytes.
pub fn find(bytes: &[u8], wanted: bool, first: usize, last: usize) -> Option<usize> {
    // Turned around for a search of zeros, so that what is looked for is always a one.
    let turn = if wanted { 0 } else { 0xFF };
    let (first_byte, last_byte) = (first / 8, last / 8);
    let start = (bytes[first_byte] ^ turn) & 0xFF >> (first % 8);
    let byte = if start != 0 {
        first_byte
    } else {
        let rest = bytes.get(first_byte + 1..=last_byte)?;
        let skipped = rest.chunks_exact(8).take_while(|word| *word == [turn; 8]).count() * 8;
        first_byte + 1 + skipped + rest[skipped..].iter().position(|byte| *byte != turn)?
    };
    let ones = if byte == first_byte { start } else { bytes[byte] ^ turn };
    let found = byte * 8 + ones.leading_zeros() as usize;
    (found <= last).then_some(found)
}

/// The bit at an offset; zero beyond the end.
pub fn get(bytes: &[u8], offset: usize) -> bool {
    bytes.get(offset / 8).is_some_and(|byte| byte & 0x80 >> (offset % 8) != 0)
}

/// Sets the bit at an offset within the bytes.
pub fn set(bytes: &mut [u8], offset: usize, value: bool) {
    let mask = 0x80 >> (offset % 8);
    let byte = &mut bytes[offset / 8];
    if value { *byte |= mask } else { *byte &= !mask }
}

/// A field of up to 64 bits, anywhere in a string.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field {
    /// Whether its highest bit is a sign.
    pub signed: bool,
    /// Its width, 1 to 64.
    pub bits: u32,
    /// Where its highest bit is.
    pub offset: usize,
}

/// What becomes of a number that does not fit its field.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Overflow {
    /// The high bits are dropped.
    #[default]
    Wrap,
    /// The nearest number that fits takes its place.
    Saturate,
    /// Nothing is written.
    Fail,
}

impl Field {
    /// The offset of its last bit.
    pub fn last(&self) -> usize {
        self.offset + self.bits as usize - 1
    }

    /// The field's bytes and their neighbours at the high end of 128 bits; zeros beyond the end.
    fn window(&self, bytes: &[u8]) -> u128 {
        let mut window = [0; 16];
        let there = bytes.get(self.offset / 8..).unwrap_or_default();
        let len = there.len().min(9);
        window[..len].copy_from_slice(&there[..len]);
        u128::from_be_bytes(window)
    }

    /// How far the field is from the low end of the window.
    fn shift(&self) -> u32 {
        128 - (self.offset % 8) as u32 - self.bits
    }

    fn mask(&self) -> u64 {
        u64::MAX >> (64 - self.bits)
    }

    /// The number in the field.
    pub fn get(&self, bytes: &[u8]) -> i64 {
        self.wrap((self.window(bytes) >> self.shift()) as i128)
    }

    /// Writes the low bits of a number; the field must lie within the bytes.
    pub fn set(&self, bytes: &mut [u8], value: i64) {
        let mask = u128::from(self.mask()) << self.shift();
        let window = self.window(bytes) & !mask | (u128::from(value as u64) << self.shift() & mask);
        let (start, end) = (self.offset / 8, self.last() / 8 + 1);
        bytes[start..end].copy_from_slice(&window.to_be_bytes()[..end - start]);
    }

    /// The number that the low bits of another are in this field.
    fn wrap(&self, value: i128) -> i64 {
        let low = value as u64 & self.mask();
        let negative = self.signed && low >> (self.bits - 1) == 1;
        (if negative { low | !self.mask() } else { low }) as i64
    }

    /// The highest number that fits.
    pub fn max(&self) -> i64 {
        (if self.signed { self.mask() >> 1 } else { self.mask() }) as i64
    }

    /// What is written for a number, or nothing where it does not fit and must.
    pub fn fit(&self, value: i128, overflow: Overflow) -> Option<i64> {
        let max = i128::from(self.max());
        let min = if self.signed { -max - 1 } else { 0 };
        if (min..=max).contains(&value) {
            return Some(self.wrap(value));
        }
        match overflow {
            Overflow::Wrap => Some(self.wrap(value)),
            Overflow::Saturate => Some(self.wrap(if value > max { max } else { min })),
            Overflow::Fail => None,
        }
    }
}

/// What BITOP does with its sources.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Bits that all have.
    And,
    /// Bits that any has.
    Or,
    /// Bits that an odd number has.
    Xor,
    /// Bits that the only source has not.
    Not,
}

impl Operation {
    /// Makes `result`, whatever it held, what the first source becomes.
    pub fn start(self, result: &mut Vec<u8>, source: &[u8]) {
        result.clear();
        if self == Operation::Not {
            result.extend(source.iter().map(|byte| !byte));
        } else {
            result.extend_from_slice(source);
        }
    }

    /// Adds one more source; the shorter of the two is taken for filled up with zeros.
    pub fn add(self, result: &mut Vec<u8>, source: &[u8]) {
        let old = result.len();
        let common = old.min(source.len());
        let pairs = result.iter_mut().zip(source);
        match self {
            Operation::And => pairs.for_each(|(byte, other)| *byte &= other),
            Operation::Or => pairs.for_each(|(byte, other)| *byte |= other),
            Operation::Xor => pairs.for_each(|(byte, other)| *byte ^= other),
            Operation::Not => {}
        }
        if self == Operation::And {
            result[common..].fill(0);
            result.resize(old.max(source.len()), 0);
        } else {
            result.extend_from_slice(&source[common..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slow_bits(bytes: &[u8]) -> Vec<bool> {
        (0..bytes.len() * 8).map(|offset| get(bytes, offset)).collect()
    }

    /// Long runs of equal bytes, so that words are skipped.
    fn bitmap() -> impl Strategy<Value = Vec<u8>> {
        let run = (prop::sample::select(vec![0_u8, 0xFF, 1, 0x80, 0x7F]), 1_usize..90);
        prop::collection::vec(run, 1..5)
            .prop_map(|runs| runs.into_iter().flat_map(|(byte, times)| vec![byte; times]).collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn counting_and_finding_look_at_every_bit_of_the_range(bytes in bitmap(), a in any::<usize>(), b in any::<usize>()) {
            let bits = slow_bits(&bytes);
            let (a, b) = (a % bits.len(), b % bits.len());
            let (first, last) = (a.min(b), a.max(b));
            let ones = bits[first..=last].iter().filter(|bit| **bit).count();
            prop_assert_eq!(count_between(&bytes, first, last), ones as u64);
            prop_assert_eq!(count(&bytes), bits.iter().filter(|bit| **bit).count() as u64);
            for wanted in [false, true] {
                let found = bits[first..=last].iter().position(|bit| *bit == wanted).map(|at| at + first);
                prop_assert_eq!(find(&bytes, wanted, first, last), found);
            }
        }

        #[test]
        fn a_field_reads_what_was_written_and_leaves_its_neighbours(
            mut bytes in prop::collection::vec(any::<u8>(), 20), offset in 0_usize..96, bits in 1_u32..=64,
            signed in any::<bool>(), value in any::<i64>(),
        ) {
            let field = Field { signed, bits: if signed { bits } else { bits.min(63) }, offset };
            let before = slow_bits(&bytes);
            let wrapped = field.fit(value.into(), Overflow::Wrap).expect("wrapping always fits");
            field.set(&mut bytes, value);
            prop_assert_eq!(field.get(&bytes), wrapped);
            let after = slow_bits(&bytes);
            prop_assert_eq!(&before[..offset], &after[..offset]);
            prop_assert_eq!(&before[field.last() + 1..], &after[field.last() + 1..]);
        }
    }

    #[test]
    fn a_number_too_large_wraps_saturates_or_fails() {
        let signed = Field { signed: true, bits: 8, offset: 0 };
        let unsigned = Field { signed: false, bits: 8, offset: 0 };
        for (field, value, wrapped, nearest) in [
            (signed, 128, -128, 127),
            (signed, -129, 127, -128),
            (unsigned, 256, 0, 255),
            (unsigned, -1, 255, 0),
        ] {
            assert_eq!(field.fit(value, Overflow::Wrap), Some(wrapped));
            assert_eq!(field.fit(value, Overflow::Saturate), Some(nearest));
            assert_eq!(field.fit(value, Overflow::Fail), None);
        }
        let widest = Field { signed: true, bits: 64, offset: 0 };
        let beyond = i128::from(i64::MAX) + 1;
        assert_eq!(widest.fit(beyond, Overflow::Wrap), Some(i64::MIN));
        assert_eq!(widest.fit(beyond, Overflow::Saturate), Some(i64::MAX));
    }

    #[test]
    fn shorter_sources_count_as_filled_up_with_zeros() {
        for (operation, expected) in [
            (Operation::And, [0b1000, 0, 0]),
            (Operation::Or, [0b1110, 3, 7]),
            (Operation::Xor, [0b0110, 3, 7]),
        ] {
            let mut result = vec![1, 2, 3];
            operation.start(&mut result, &[0b1100, 3]);
            operation.add(&mut result, &[0b1010]);
            operation.add(&mut result, if operation == Operation::And { &[8, 1, 7] } else { &[0, 0, 7] });
            assert_eq!(result, expected, "{operation:?}");
        }
    }
}
