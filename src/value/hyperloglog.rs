//! HyperLogLogs: about how many different elements were added, in Redis's own format to the byte, because
//! they are strings that clients can read and write.
//!
//! ```text
//! "HYLL"
//! u8     0 dense, 1 sparse
//! 3 x 0
//! u64    the last count, little end first; with its highest bit set, it is stale
//! ...    16,384 registers: dense, 6 bits each from the lowest bit up; sparse, see `sparse`
//! ```
//!
//! An element's hash names a register, which keeps the longest run of zeros that it was seen with. Any string
//! may claim to be a HyperLogLog: what is sparse and turns out not to be one is [`Corrupted`].

mod estimate;
mod sparse;

pub use sparse::{Edit, decode};

use estimate::estimate;

/// The registers of a HyperLogLog.
pub const REGISTERS: usize = 1 << INDEX_BITS;

const INDEX_BITS: u32 = 14;
const REGISTER_MAX: u8 = 63;
const HEADER_BYTES: usize = 16;
const DENSE_BYTES: usize = HEADER_BYTES + REGISTERS * 6 / 8;
const ENCODING: usize = 4;
const CACHE: std::ops::Range<usize> = 8..16;
const STALE: u8 = 0x80;

/// How the registers are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encoding {
    /// Six bits each.
    Dense,
    /// Runs of equal ones.
    Sparse,
}

/// The string begins as a HyperLogLog but is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Corrupted;

/// The encoding of a string that has the form of a HyperLogLog.
pub fn encoding(text: &[u8]) -> Option<Encoding> {
    if text.len() < HEADER_BYTES || !text.starts_with(b"HYLL") {
        return None;
    }
    match text[ENCODING] {
        0 if text.len() == DENSE_BYTES => Some(Encoding::Dense),
        1 => Some(Encoding::Sparse),
        _ => None,
    }
}

/// An empty one.
pub fn empty() -> Vec<u8> {
    let mut text = b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    text.extend_from_slice(&sparse::EMPTY);
    text
}

/// The register of an element and the length of its run.
pub fn locate(element: &[u8]) -> (usize, u8) {
    let hash = murmur_hash_64a(element, 0xadc8_3b19);
    let run = (hash >> INDEX_BITS | 1 << (64 - INDEX_BITS)).trailing_zeros() + 1;
    (hash as usize & (REGISTERS - 1), run as u8)
}

/// Raises a register of a string of this encoding; answers whether it was lower.
///
/// # Errors
/// When the string is corrupted.
pub fn raise(
    text: &mut Vec<u8>,
    register: usize,
    run: u8,
    sparse_bytes_max: usize,
) -> Result<bool, Corrupted> {
    match raising(text, register, run, sparse_bytes_max)? {
        Raising::Needless => Ok(false),
        Raising::Edit(Edit { range, code }) => {
            text.splice(range, code);
            invalidate(text);
            Ok(true)
        }
        Raising::Dense => {
            if text[ENCODING] != 0 {
                *text = to_dense(text)?;
            }
            Ok(raise_dense(text, register, run))
        }
    }
}

/// How a register is raised.
#[derive(Debug)]
pub enum Raising {
    /// It is as high already.
    Needless,
    /// By this edit of the sparse text.
    Edit(Edit),
    /// By [`raise_dense`], after [`to_dense`].
    Dense,
}

/// How to raise a register of a string of this encoding.
///
/// # Errors
/// When the string is corrupted.
pub fn raising(text: &[u8], register: usize, run: u8, sparse_bytes_max: usize) -> Result<Raising, Corrupted> {
    if text[ENCODING] == 0 {
        return Ok(Raising::Dense);
    }
    Ok(match sparse::raise(text, register, run, sparse_bytes_max)? {
        sparse::Raise::No => Raising::Needless,
        sparse::Raise::Edit(edit) => Raising::Edit(edit),
        sparse::Raise::DoesNotFit => Raising::Dense,
    })
}

/// The value of a register.
///
/// # Errors
/// When the string is corrupted.
pub fn register(text: &[u8], register: usize) -> Result<u8, Corrupted> {
    if text[ENCODING] == 0 {
        return Ok(dense_register(&text[HEADER_BYTES..], register));
    }
    let mut first = 0;
    for run in sparse::runs(&text[HEADER_BYTES..]) {
        let run = run?;
        first += run.len;
        if register < first {
            return Ok(run.value);
        }
    }
    Err(Corrupted)
}

/// Raises a register of a dense one in place; answers whether it was lower.
pub fn raise_dense(text: &mut [u8], register: usize, run: u8) -> bool {
    let registers = &mut text[HEADER_BYTES..];
    let lower = dense_register(registers, register) < run;
    if lower {
        set_dense_register(registers, register, run);
    }
    lower
}

fn dense_register(registers: &[u8], index: usize) -> u8 {
    let (byte, shift) = (index * 6 / 8, index * 6 % 8);
    let high = registers.get(byte + 1).copied().unwrap_or(0);
    (u16::from_le_bytes([registers[byte], high]) >> shift) as u8 & REGISTER_MAX
}

fn set_dense_register(registers: &mut [u8], index: usize, run: u8) {
    let (byte, shift) = (index * 6 / 8, index * 6 % 8);
    let mask = (u16::from(REGISTER_MAX) << shift).to_le_bytes();
    let value = (u16::from(run) << shift).to_le_bytes();
    for (at, byte) in registers[byte..].iter_mut().take(2).enumerate() {
        *byte = *byte & !mask[at] | value[at];
    }
}

/// The count, if nothing has changed since it was taken.
pub fn cached_count(text: &[u8]) -> Option<u64> {
    let bytes: [u8; 8] = text[CACHE].try_into().ok()?;
    (bytes[7] & STALE == 0).then(|| u64::from_le_bytes(bytes))
}

/// Keeps a count that was taken.
pub fn cache_count(text: &mut [u8], count: u64) {
    text[CACHE].copy_from_slice(&count.to_le_bytes());
}

/// Marks the kept count as stale.
pub fn invalidate(text: &mut [u8]) {
    text[CACHE.end - 1] |= STALE;
}

/// About how many different elements were added.
///
/// # Errors
/// When the string is corrupted.
pub fn count(text: &[u8]) -> Result<u64, Corrupted> {
    let mut histogram = [0_u32; 64];
    if text[ENCODING] == 0 {
        // Four histograms, so that equal registers in a row do not wait for one another.
        let mut each = [[0_u32; 64]; 4];
        for three in text[HEADER_BYTES..].chunks_exact(3) {
            for (counts, register) in each.iter_mut().zip(four_registers(three)) {
                counts[usize::from(register)] += 1;
            }
        }
        for (value, sum) in histogram.iter_mut().enumerate() {
            *sum = each.iter().map(|counts| counts[value]).sum();
        }
    } else {
        for run in sparse::runs(&text[HEADER_BYTES..]) {
            let run = run?;
            histogram[usize::from(run.value)] += run.len as u32;
        }
    }
    Ok(estimate(&histogram))
}

/// The registers in three bytes of a dense one.
fn four_registers(three: &[u8]) -> [u8; 4] {
    let bits = u32::from(three[0]) | u32::from(three[1]) << 8 | u32::from(three[2]) << 16;
    [0, 6, 12, 18].map(|shift| (bits >> shift) as u8 & REGISTER_MAX)
}

/// Registers, a byte each: what several HyperLogLogs are merged into.
pub struct Registers(Box<[u8; REGISTERS]>);

impl Default for Registers {
    fn default() -> Self {
        Registers(Box::new([0; REGISTERS]))
    }
}

impl Registers {
    /// Raises every register to that of a HyperLogLog.
    ///
    /// # Errors
    /// When the string is corrupted.
    pub fn merge(&mut self, text: &[u8]) -> Result<(), Corrupted> {
        if text[ENCODING] == 0 {
            for (mine, three) in self.0.chunks_exact_mut(4).zip(text[HEADER_BYTES..].chunks_exact(3)) {
                for (mine, other) in mine.iter_mut().zip(four_registers(three)) {
                    *mine = other.max(*mine);
                }
            }
            return Ok(());
        }
        let mut at = 0;
        for run in sparse::runs(&text[HEADER_BYTES..]) {
            let run = run?;
            if run.value > 0 {
                self.0[at..at + run.len].iter_mut().for_each(|mine| *mine = run.value.max(*mine));
            }
            at += run.len;
        }
        Ok(())
    }

    /// About how many different elements were added.
    pub fn count(&self) -> u64 {
        let mut histogram = [0; 64];
        self.0.iter().for_each(|value| histogram[usize::from(value & REGISTER_MAX)] += 1);
        estimate(&histogram)
    }

    /// Writes all values into a dense HyperLogLog.
    pub fn write_dense(&self, text: &mut [u8]) {
        for (four, three) in self.0.chunks_exact(4).zip(text[HEADER_BYTES..].chunks_exact_mut(3)) {
            let bits = four.iter().rev().fold(0, |bits, value| bits << 6 | u32::from(value & REGISTER_MAX));
            three.copy_from_slice(&bits.to_le_bytes()[..3]);
        }
    }

    /// The values, in order.
    pub fn iter(&self) -> impl Iterator<Item = u8> + '_ {
        self.0.iter().copied()
    }
}

/// The same registers, dense; the kept count stays.
///
/// # Errors
/// When the string is corrupted.
pub fn to_dense(text: &[u8]) -> Result<Vec<u8>, Corrupted> {
    if text[ENCODING] == 0 {
        return Ok(text.to_vec());
    }
    let mut dense = vec![0; DENSE_BYTES];
    dense[..HEADER_BYTES].copy_from_slice(&text[..HEADER_BYTES]);
    dense[ENCODING] = 0;
    let mut at = 0;
    for run in sparse::runs(&text[HEADER_BYTES..]) {
        let run = run?;
        if run.value > 0 {
            (at..at + run.len)
                .for_each(|index| set_dense_register(&mut dense[HEADER_BYTES..], index, run.value));
        }
        at += run.len;
    }
    Ok(dense)
}

/// MurmurHash2 of 64 bits, by Austin Appleby.
fn murmur_hash_64a(bytes: &[u8], seed: u64) -> u64 {
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    const R: u32 = 47;
    let mut hash = seed ^ (bytes.len() as u64).wrapping_mul(M);
    let mut words = bytes.chunks_exact(8);
    for word in words.by_ref() {
        let mut mixed = word.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte)).wrapping_mul(M);
        mixed ^= mixed >> R;
        hash = (hash ^ mixed.wrapping_mul(M)).wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        hash ^= rest.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte));
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> R;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> R
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a HyperLogLog is made from, one run a register.
    fn runs() -> impl Strategy<Value = Vec<(usize, u8)>> {
        let near = (0_usize..30, 1_u8..5);
        let far = (0_usize..REGISTERS, 1_u8..=33);
        prop::collection::vec(prop_oneof![4 => near, 1 => far], 0..120)
    }

    fn registers_of(text: &[u8]) -> Vec<u8> {
        let mut registers = Registers::default();
        registers.merge(text).expect("it is well formed");
        registers.iter().collect()
    }

    /// Every way of reading agrees on whether the bytes behind the header are well formed.
    fn read_or_refuse(bytes: &[u8], element: u64) {
        let mut text = empty();
        text.truncate(HEADER_BYTES);
        text.extend_from_slice(bytes);
        let well_formed = to_dense(&text).is_ok();
        assert_eq!(count(&text).is_ok(), well_formed);
        assert_eq!(Registers::default().merge(&text).is_ok(), well_formed);
        let (register, run) = locate(&element.to_le_bytes());
        let raised = raise(&mut text, register, run, 3000);
        assert!(raised.is_ok() || !well_formed);
        decode(&text);
    }

    /// Half of a two-byte opcode: found as raising a register read past the end.
    #[test]
    fn an_opcode_cut_in_half_is_refused() {
        read_or_refuse(&[64], 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn sparse_and_dense_hold_the_same_registers(runs in runs(), max in prop::sample::select(vec![0, 40, 3000])) {
            let (mut text, mut dense) = (empty(), to_dense(&empty()).expect("well formed"));
            let mut model = vec![0; REGISTERS];
            for (register, run) in runs {
                let lower = model[register] < run;
                prop_assert_eq!(raise(&mut text, register, run, max), Ok(lower));
                prop_assert_eq!(raise_dense(&mut dense, register, run), lower);
                model[register] = run.max(model[register]);
            }
            prop_assert_eq!(&registers_of(&text), &model);
            prop_assert_eq!(&registers_of(&dense), &model);
            for index in [0, 1, 29, 1000, REGISTERS - 1] {
                prop_assert_eq!((register(&text, index), register(&dense, index)), (Ok(model[index]), Ok(model[index])));
            }
            let mut registers = Registers::default();
            registers.merge(&text).expect("well formed");
            let mut written = to_dense(&empty()).expect("well formed");
            registers.write_dense(&mut written);
            prop_assert_eq!(registers_of(&written), model);
            prop_assert_eq!(count(&text), count(&dense));
            prop_assert!(encoding(&text) == Some(Encoding::Dense) || text.len() <= max.max(18));
        }

        #[test]
        fn any_bytes_behind_the_header_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60), element in any::<u64>()) {
            read_or_refuse(&bytes, element);
        }
    }

    #[test]
    fn the_estimate_is_close() {
        let mut text = empty();
        for element in 0..100_000_u64 {
            let (register, run) = locate(&element.to_le_bytes());
            raise(&mut text, register, run, 3000).expect("well formed");
        }
        let error = count(&text).map(|count| count.abs_diff(100_000));
        assert!(error.is_ok_and(|error| error < 3000), "{error:?}");
    }

    #[test]
    fn the_hash_is_that_of_redis() {
        assert_eq!(locate(b"foo"), (7348, 5));
    }
}
