//! What is to be sent to a client: bytes, and long values that are sent from where they are.

use bytes::Bytes;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;

/// Values from this length on are not copied into the buffer.
pub const SHARE_BYTES_MIN: usize = 16 * 1024;
/// What is kept for a client that does not read grows by pieces of this length, so that no piece is ever moved
/// to a larger place while others wait.
const PIECE_BYTES: usize = 256 * 1024;
/// How many pieces one write takes.
pub const SLICES_MAX: usize = 64;

/// An output buffer. Positions count all bytes, those of shared values included.
#[derive(Default, Debug)]
pub struct Output {
    bytes: Vec<u8>,
    /// Shared values, each with the offset in `bytes` that it comes before.
    shared: VecDeque<(usize, Bytes)>,
    shared_len: usize,
}

/// A place to which the output can be cut back.
#[derive(Clone, Copy)]
pub struct Mark {
    bytes: usize,
    shared: usize,
}

impl Output {
    /// The number of bytes to send.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.shared_len
    }

    /// Whether nothing is to be sent.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The memory that the buffer itself takes, in bytes.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity() + self.shared.capacity() * size_of::<(usize, Bytes)>()
    }

    /// Appends a copy of `bytes`.
    #[inline]
    pub fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The buffer to append to.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Appends a value without copying it where it is long enough to be worth it.
    pub fn share(&mut self, value: Bytes) {
        if value.len() < SHARE_BYTES_MIN {
            self.extend(&value);
            return;
        }
        self.shared_len += value.len();
        self.shared.push_back((self.bytes.len(), value));
    }

    /// The present end.
    pub fn mark(&self) -> Mark {
        Mark { bytes: self.bytes.len(), shared: self.shared.len() }
    }

    /// Drops what came after `mark`.
    pub fn truncate(&mut self, mark: Mark) {
        self.bytes.truncate(mark.bytes);
        self.shared_len -= self.shared.drain(mark.shared..).map(|(_, value)| value.len()).sum::<usize>();
    }

    /// Whether what came after `mark` is less than a long value, and in one piece.
    pub fn is_short_after(&self, mark: Mark) -> bool {
        self.shared.len() == mark.shared && self.bytes.len() - mark.bytes < SHARE_BYTES_MIN
    }

    /// Where in the one piece is what came after `mark`.
    pub fn range_after(&self, mark: Mark) -> Range<usize> {
        mark.bytes..self.bytes.len()
    }

    /// Takes out what came after `mark`.
    pub fn take_after(&mut self, mark: Mark) -> Output {
        let bytes = self.bytes.split_off(mark.bytes);
        let mut shared = self.shared.split_off(mark.shared);
        shared.iter_mut().for_each(|(before, _)| *before -= mark.bytes);
        let shared_len = shared.iter().map(|(_, value)| value.len()).sum();
        self.shared_len -= shared_len;
        Output { bytes, shared, shared_len }
    }

    /// Puts bytes in at `mark`, before what came after it.
    pub fn insert(&mut self, mark: Mark, bytes: &[u8]) {
        self.bytes.splice(mark.bytes..mark.bytes, bytes.iter().copied());
        self.shared.range_mut(mark.shared..).for_each(|(before, _)| *before += bytes.len());
    }

    /// Empties the buffer; its memory stays, up to `keep_bytes`.
    pub fn clear(&mut self, keep_bytes: usize) {
        self.bytes.clear();
        self.bytes.shrink_to(keep_bytes);
        self.shared.clear();
        self.shared_len = 0;
    }

    /// All there is, where it is one piece.
    pub fn single(&self) -> Option<&[u8]> {
        self.shared.is_empty().then_some(self.bytes.as_slice())
    }

    /// The pieces from position `from` on; returns how many of `slices` were filled.
    pub fn slices<'a>(&'a self, from: usize, slices: &mut [IoSlice<'a>; SLICES_MAX]) -> usize {
        let (mut filled, mut skip, mut offset) = (0, from, 0);
        let mut push = |piece: &'a [u8]| {
            if skip >= piece.len() {
                skip -= piece.len();
            } else if filled < SLICES_MAX {
                slices[filled] = IoSlice::new(&piece[skip..]);
                (filled, skip) = (filled + 1, 0);
            }
        };
        for (before, value) in &self.shared {
            push(&self.bytes[offset..*before]);
            push(value);
            offset = *before;
        }
        push(&self.bytes[offset..]);
        filled
    }

    /// Moves what comes at and after position `from` of `other` to the end of this, and empties `other`. Little
    /// is copied to the last piece; what is long becomes pieces as it is.
    pub fn append_from(&mut self, other: &mut Output, from: usize, keep_bytes: usize) {
        if let Some(bytes) = other.single()
            && bytes.len() - from < PIECE_BYTES
        {
            self.bytes.extend_from_slice(&bytes[from..]);
            if self.bytes.len() >= PIECE_BYTES {
                self.seal();
            }
            return other.clear(keep_bytes);
        }
        self.seal();
        other.seal();
        let mut skip = from;
        for (_, mut piece) in other.shared.drain(..) {
            let skipped = piece.split_to(skip.min(piece.len()));
            skip -= skipped.len();
            if !piece.is_empty() {
                self.shared_len += piece.len();
                self.shared.push_back((0, piece));
            }
        }
        other.clear(keep_bytes);
    }

    /// Lets go of pieces within the first `sent` bytes; returns how many of these are still there.
    pub fn release(&mut self, sent: usize) -> usize {
        let mut left = sent;
        while let Some((0, piece)) = self.shared.front()
            && piece.len() <= left
        {
            left -= piece.len();
            self.shared_len -= piece.len();
            self.shared.pop_front();
        }
        left
    }

    /// Makes pieces of all bytes so far.
    fn seal(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.shrink_to_fit();
        self.shared_len += bytes.len();
        let (mut bytes, mut offset) = (Bytes::from(bytes), 0);
        let mut sealed = VecDeque::with_capacity(2 * self.shared.len() + 1);
        for (before, value) in self.shared.drain(..) {
            let piece = bytes.split_to(before - offset);
            offset = before;
            sealed
                .extend([piece, value].into_iter().filter(|piece| !piece.is_empty()).map(|piece| (0, piece)));
        }
        if !bytes.is_empty() {
            sealed.push_back((0, bytes));
        }
        self.shared = sealed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn flat(output: &Output, from: usize) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let count = output.slices(from, &mut slices);
        slices[..count].iter().flat_map(|slice| slice.to_vec()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

        #[test]
        fn nothing_is_lost_or_reordered(pieces in proptest::collection::vec((any::<bool>(), 0usize..40_000), 0..8), from in any::<usize>()) {
            let (mut output, mut model) = (Output::default(), Vec::new());
            let (mut longer, mut mark) = (Output::default(), None);
            longer.extend(b"<");
            for (count, (shared, len)) in pieces.into_iter().enumerate() {
                let bytes: Vec<u8> = (0..len).map(|i| (i * 7 + count) as u8).collect();
                model.extend_from_slice(&bytes);
                mark.get_or_insert_with(|| longer.mark());
                for output in [&mut output, &mut longer] {
                    if shared { output.share(bytes.clone().into()) } else { output.extend(&bytes) }
                }
            }
            prop_assert_eq!(output.len(), model.len());
            let from = from % (model.len() + 1);
            prop_assert_eq!(flat(&output, from), &model[from..]);
            if let Some(mark) = mark {
                longer.insert(mark, b"head");
                prop_assert_eq!(&flat(&longer, 0)[..5], b"<head");
                prop_assert_eq!(&flat(&longer, 5), &model);
            }
            let middle = output.mark();
            output.extend(b"tail");
            output.share(vec![1; 20_000].into());
            output.extend(b"end");
            let after = output.take_after(middle);
            prop_assert_eq!(flat(&after, 0), [b"tail".as_slice(), &[1; 20_000], b"end"].concat());
            prop_assert_eq!((after.len(), flat(&output, from)), (20_007, model[from..].to_vec()));
            let mut rest = Output::default();
            rest.extend(b"ab");
            rest.append_from(&mut output, from, 0);
            prop_assert_eq!(&flat(&rest, 2), &model[from..]);
            prop_assert!(output.is_empty());
            let left = rest.release(2 + (model.len() - from) / 2);
            prop_assert_eq!(&flat(&rest, left), &model[from + (model.len() - from) / 2..]);
        }
    }
}
