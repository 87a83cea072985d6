//! Strings: how a byte string is kept (as an integer, inline, or shared), and what Redis calls that.

use crate::number;
use bytes::Bytes;
use std::ops::Deref;
use std::sync::Arc;

/// The longest string that is kept inside its entry; longer ones are shared with replies instead of copied.
pub const INLINE_BYTES_MAX: usize = if cfg!(test) { 1024 } else { 16 * 1024 };

/// Redis's limit between the encodings that OBJECT ENCODING names `embstr` and `raw`.
pub const EMBSTR_BYTES_MAX: usize = 44;

/// The bytes of a long string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LongString {
    /// Its own.
    Own(Vec<u8>),
    /// The kernel's: those of a file that is mapped. Only where a value is looked at and let go again.
    Mapped(Bytes),
}

impl Deref for LongString {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            LongString::Own(bytes) => bytes,
            LongString::Mapped(bytes) => bytes,
        }
    }
}

impl LongString {
    /// The memory that it takes of its own, in bytes.
    pub fn own_bytes(&self) -> usize {
        match self {
            LongString::Own(bytes) => bytes.capacity(),
            LongString::Mapped(_) => 0,
        }
    }

    /// Its own bytes, to edit.
    pub fn make_own(&mut self) -> &mut Vec<u8> {
        if let LongString::Mapped(bytes) = self {
            *self = LongString::Own(bytes.to_vec());
        }
        match self {
            LongString::Own(bytes) => bytes,
            LongString::Mapped(_) => unreachable!("it was copied just now"),
        }
    }
}

/// A string on its way into an entry.
#[derive(Clone, Debug)]
pub enum NewString<'a> {
    /// The canonical decimal form of this integer.
    Int(i64),
    /// At most [`INLINE_BYTES_MAX`] bytes, copied into the entry.
    Inline(&'a [u8]),
    /// A longer string; replies hold it while it is being sent.
    Shared(Arc<LongString>),
}

impl<'a> NewString<'a> {
    /// Picks the form for `bytes`, as SET does: an integer where the text is exactly one.
    pub fn encode(bytes: &'a [u8]) -> Self {
        // The first byte settles most texts that are no number.
        if bytes.len() <= 20
            && matches!(bytes.first(), Some(b'0'..=b'9' | b'-'))
            && let Some(int) = number::parse_i64(bytes)
        {
            return NewString::Int(int);
        }
        Self::encode_raw(bytes)
    }

    /// As [`Self::encode`], but never as an integer (what APPEND and SETRANGE leave).
    pub fn encode_raw(bytes: &'a [u8]) -> Self {
        if bytes.len() <= INLINE_BYTES_MAX {
            NewString::Inline(bytes)
        } else {
            NewString::long(bytes.to_vec())
        }
    }

    fn long(bytes: Vec<u8>) -> Self {
        NewString::Shared(Arc::new(LongString::Own(bytes)))
    }

    /// As [`Self::encode_raw`], but takes a long text instead of copying it.
    pub fn own(bytes: &'a mut Vec<u8>) -> Self {
        if bytes.len() <= INLINE_BYTES_MAX {
            NewString::Inline(bytes)
        } else {
            NewString::long(std::mem::take(bytes))
        }
    }
}

/// A string as an entry holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StringRef<'a> {
    /// An integer; its text is its canonical decimal form.
    Int(i64),
    /// Bytes inside the entry.
    Inline(&'a [u8]),
    /// Bytes of their own allocation.
    Shared(&'a Arc<LongString>),
}

impl<'a> StringRef<'a> {
    /// The length of the text in bytes.
    pub fn len(&self) -> usize {
        match self {
            StringRef::Int(int) => itoa::Buffer::new().format(*int).len(),
            StringRef::Inline(bytes) => bytes.len(),
            StringRef::Shared(bytes) => bytes.len(),
        }
    }

    /// Whether it is kept as an integer.
    pub fn is_int(&self) -> bool {
        matches!(self, StringRef::Int(_))
    }

    /// Whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives the text to `read`; an integer is written out on the stack.
    pub fn with<R>(&self, read: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            StringRef::Int(int) => read(itoa::Buffer::new().format(*int).as_bytes()),
            StringRef::Inline(bytes) => read(bytes),
            StringRef::Shared(bytes) => read(bytes),
        }
    }

    /// A copy of the text.
    pub fn to_vec(&self) -> Vec<u8> {
        self.with(<[u8]>::to_vec)
    }

    /// The integer that the text is, by the rules of INCR; `None` where it is none.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            StringRef::Int(int) => Some(*int),
            StringRef::Inline(bytes) => number::parse_i64(bytes),
            StringRef::Shared(_) => None,
        }
    }
}
