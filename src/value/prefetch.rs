//! Asking the processor for memory before it is needed.

/// The bytes of a line of the processor's cache.
const LINE_BYTES: usize = 64;

/// Asks for the cache line at `address`, which need not be valid.
#[inline]
pub fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing that the program can see and never faults.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Asks for the first lines of something.
#[inline]
pub fn prefetch_all<T: ?Sized>(thing: &T) {
    prefetch_lines(thing, 4);
}

/// Asks for up to so many lines of something, which may begin and end within a line.
#[inline]
pub fn prefetch_lines<T: ?Sized>(thing: &T, lines_max: usize) {
    let start = std::ptr::from_ref(thing).cast::<u8>();
    let within = start.addr() % LINE_BYTES;
    for line in 0..(within + size_of_val(thing)).div_ceil(LINE_BYTES).min(lines_max) {
        prefetch(start.wrapping_add(line * LINE_BYTES));
    }
}

/// Asks for the first and the last line of bytes, and for the one after, into which what is appended
/// may reach.
#[inline]
pub fn prefetch_ends(bytes: &[u8]) {
    let end = bytes.as_ptr().wrapping_add(bytes.len());
    prefetch(bytes.as_ptr());
    prefetch(end);
    prefetch(end.wrapping_add(64));
}

/// What of a collection a command is going to touch.
#[derive(Clone, Copy, Debug)]
pub struct Aim<'a> {
    /// The member that it names first.
    pub member: &'a [u8],
    /// The hash of the member, where the collection has a table of members.
    pub hash: u64,
    /// The score that it gives the member.
    pub score: Option<f64>,
    /// Whether of a list it uses the front.
    pub front: bool,
}
