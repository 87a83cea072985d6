//! Sets of integers, sorted, all of one width, in Redis's own format to the byte, because DUMP payloads
//! carry it as it is.
//!
//! ```text
//! u32  bytes of an integer: 2, 4 or 8; as many as the largest that was ever in the set needed
//! u32  how many there are
//! ...  the integers, little end first, in ascending order
//! ```

use super::size_class::{grow_to_class, shrink_to_class};

const HEADER_BYTES: usize = 8;

/// Integers in ascending order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Intset {
    /// Valid at all times: `from_bytes` checks, every edit keeps it so.
    bytes: Vec<u8>,
}

/// The bytes are no set of integers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

impl Default for Intset {
    fn default() -> Self {
        Intset::new()
    }
}

impl Intset {
    /// An empty one.
    pub fn new() -> Intset {
        let mut bytes = Vec::new();
        grow_to_class(&mut bytes, HEADER_BYTES);
        bytes.extend_from_slice(&[2, 0, 0, 0, 0, 0, 0, 0]);
        Intset { bytes }
    }

    /// Takes bytes that come from elsewhere, after a check of every one of them.
    ///
    /// # Errors
    /// When they are no set of integers, or an empty one.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Intset, Malformed> {
        if bytes.len() < HEADER_BYTES {
            return Err(Malformed);
        }
        let set = Intset { bytes };
        let body = set.bytes.len() - HEADER_BYTES;
        if !matches!(set.width(), 2 | 4 | 8)
            || set.is_empty()
            || set.len().checked_mul(set.width()) != Some(body)
        {
            return Err(Malformed);
        }
        if set.iter().zip(set.iter().skip(1)).any(|(a, b)| a >= b) {
            return Err(Malformed);
        }
        Ok(set)
    }

    /// The whole of it, as DUMP carries it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The memory it takes, without the struct.
    pub fn allocated_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    fn header(&self, at: usize) -> usize {
        let word = [self.bytes[at], self.bytes[at + 1], self.bytes[at + 2], self.bytes[at + 3]];
        u32::from_le_bytes(word) as usize
    }

    fn set_header(&mut self, at: usize, value: usize) {
        self.bytes[at..at + 4].copy_from_slice(&(value as u32).to_le_bytes());
    }

    /// Bytes of an integer.
    fn width(&self) -> usize {
        self.header(0)
    }

    /// How many integers there are.
    pub fn len(&self) -> usize {
        self.header(4)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.bytes.len() == HEADER_BYTES
    }

    /// The `index`-th smallest.
    #[inline]
    pub fn get(&self, index: usize) -> Option<i64> {
        let width = self.width();
        let start = HEADER_BYTES + index.checked_mul(width)?;
        let digits = self.bytes.get(start..start + width)?;
        Some(match digits {
            [a, b] => i16::from_le_bytes([*a, *b]).into(),
            [a, b, c, d] => i32::from_le_bytes([*a, *b, *c, *d]).into(),
            _ => i64::from_le_bytes(digits.try_into().ok()?),
        })
    }

    /// All of them, in ascending order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = i64> + ExactSizeIterator + '_ {
        let width = self.width();
        self.bytes[HEADER_BYTES..].chunks_exact(width).map(move |digits| match digits {
            [a, b] => i16::from_le_bytes([*a, *b]).into(),
            [a, b, c, d] => i32::from_le_bytes([*a, *b, *c, *d]).into(),
            [a, b, c, d, e, f, g, h] => i64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]),
            _ => 0,
        })
    }

    /// Where an integer is, or where it would be.
    fn search(&self, int: i64) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        // What is added is often the largest yet.
        if high > 0 && self.get(high - 1).is_some_and(|last| last < int) {
            return Err(high);
        }
        while low < high {
            let middle = low + (high - low) / 2;
            match self.get(middle).map(|found| found.cmp(&int)) {
                Some(std::cmp::Ordering::Equal) => return Ok(middle),
                Some(std::cmp::Ordering::Less) => low = middle + 1,
                _ => high = middle,
            }
        }
        Err(low)
    }

    /// Whether an integer is in the set.
    pub fn contains(&self, int: i64) -> bool {
        width_of(int) <= self.width() && self.search(int).is_ok()
    }

    /// Adds an integer; answers whether it is new.
    pub fn insert(&mut self, int: i64) -> bool {
        if width_of(int) > self.width() {
            self.widen(width_of(int));
        }
        let Err(index) = self.search(int) else { return false };
        let (count, width) = (self.len(), self.width());
        let (at, len) = (HEADER_BYTES + index * width, self.bytes.len());
        grow_to_class(&mut self.bytes, len + width);
        self.bytes.resize(len + width, 0);
        self.bytes.copy_within(at..len, at + width);
        self.bytes[at..at + width].copy_from_slice(&int.to_le_bytes()[..width]);
        self.set_header(4, count + 1);
        true
    }

    /// Rewrites all integers with more bytes each.
    fn widen(&mut self, width: usize) {
        let mut bytes = Vec::new();
        grow_to_class(&mut bytes, HEADER_BYTES + (self.len() + 1) * width);
        bytes.extend_from_slice(&self.bytes[..HEADER_BYTES]);
        self.iter().for_each(|int| bytes.extend_from_slice(&int.to_le_bytes()[..width]));
        self.bytes = bytes;
        self.set_header(0, width);
    }

    /// Removes an integer; answers whether it was there. The width stays.
    pub fn remove(&mut self, int: i64) -> bool {
        if width_of(int) > self.width() {
            return false;
        }
        let Ok(index) = self.search(int) else { return false };
        let (count, width) = (self.len(), self.width());
        let at = HEADER_BYTES + index * width;
        self.bytes.drain(at..at + width);
        shrink_to_class(&mut self.bytes);
        self.set_header(4, count - 1);
        true
    }
}

/// The fewest bytes that hold an integer.
fn width_of(int: i64) -> usize {
    if i16::try_from(int).is_ok() {
        2
    } else if i32::try_from(int).is_ok() {
        4
    } else {
        8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn ints() -> impl Strategy<Value = i64> {
        prop_oneof![-20_i64..20, -40_000_i64..40_000, any::<i32>().prop_map(i64::from), any::<i64>()]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn a_set_holds_what_a_model_holds(edits in prop::collection::vec((any::<bool>(), ints()), 0..200)) {
            let (mut set, mut model) = (Intset::new(), BTreeSet::new());
            for (insert, int) in edits {
                if insert {
                    prop_assert_eq!(set.insert(int), model.insert(int));
                } else {
                    prop_assert_eq!(set.remove(int), model.remove(&int));
                }
                prop_assert_eq!(set.contains(int), model.contains(&int));
                prop_assert_eq!(set.len(), model.len());
            }
            prop_assert!(set.iter().eq(model.iter().copied()));
            prop_assert!(set.iter().rev().eq(model.iter().rev().copied()));
            for index in 0..=model.len() {
                prop_assert_eq!(set.get(index), model.iter().nth(index).copied());
            }
            let read = Intset::from_bytes(set.as_bytes().to_vec());
            prop_assert_eq!(read, if model.is_empty() { Err(Malformed) } else { Ok(set) });
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(0_u8..10, 0..40)) {
            if let Ok(mut set) = Intset::from_bytes(bytes) {
                let all = set.iter().collect::<Vec<_>>();
                assert!(all.into_iter().all(|int| set.remove(int)));
            }
        }
    }

    #[test]
    fn bytes_are_those_of_redis() {
        let mut set = Intset::new();
        [3, -1, 70_000].into_iter().for_each(|int| assert!(set.insert(int)));
        let expected = [4, 0, 0, 0, 3, 0, 0, 0, 255, 255, 255, 255, 3, 0, 0, 0, 0x70, 0x11, 1, 0];
        assert_eq!(set.as_bytes(), expected);
    }

    #[test]
    fn malformed_sets_are_refused() {
        for bytes in [
            &[][..],
            &[2, 0, 0, 0, 0, 0, 0],
            &[2, 0, 0, 0, 0, 0, 0, 0],
            &[3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0],
            &[2, 0, 0, 0, 2, 0, 0, 0, 1, 0],
            &[2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 1, 0],
            &[2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 1, 0],
            &[2, 0, 0, 0, 255, 255, 255, 255, 2, 0, 1, 0],
        ] {
            assert_eq!(Intset::from_bytes(bytes.to_vec()), Err(Malformed), "{bytes:?}");
        }
    }
}
