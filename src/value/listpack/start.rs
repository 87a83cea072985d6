//! A place in a buffer, in 24 bits.

/// Where a listpack begins in its buffer. What its last byte cannot be tells a listpack from whatever else an enum may
/// hold: without that every small collection would take 8 bytes more.
#[derive(Clone, Copy)]
pub(super) struct Start {
    low: u16,
    high: u8,
    _zero: Zero,
}

#[derive(Clone, Copy)]
#[repr(u8)]
enum Zero {
    Zero = 0,
}

impl Start {
    /// The furthest that can be said.
    pub(super) const MAX: usize = (1 << 24) - 1;

    /// At most [`Self::MAX`].
    pub(super) fn new(at: usize) -> Start {
        Start { low: at as u16, high: (at >> 16) as u8, _zero: Zero::Zero }
    }

    /// The place in bytes.
    #[inline]
    pub(super) fn get(self) -> usize {
        usize::from(self.low) | usize::from(self.high) << 16
    }
}
