//! A member of a large collection in one allocation behind one pointer: a key, and where there is one a
//! value and eight bytes of meta (a score, a deadline).
//!
//! ```text
//! offset 0    flags, 1 byte: META, VALUE, LONG_KEY, LONG_VALUE
//! then        length of the key, u8 or (LONG_KEY) u32
//! then        length of the value, u8 or (LONG_VALUE) u32      (if VALUE)
//! then        meta, u64                                        (if META)
//! then        the key, the value
//! ```
//!
//! All pointer work is here, behind a safe face; the one exception is [`BlobPtr`], which says itself what
//! its holder must ensure.

use super::prefetch::prefetch;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::{self, NonNull};

/// Up to where the key of most blobs reaches.
const USUAL_KEY_END: usize = 31;

const META: u8 = 1;
const VALUE: u8 = 2;
const LONG_KEY: u8 = 4;
const LONG_VALUE: u8 = 8;

/// An owned member.
pub struct Blob(NonNull<u8>);

// SAFETY: a blob owns its allocation, which holds bytes only.
unsafe impl Send for Blob {}
// SAFETY: `&Blob` only reads; every writer takes `&mut Blob`.
unsafe impl Sync for Blob {}

/// Where the parts of a blob are.
struct Parts {
    meta: usize,
    key: usize,
    key_len: usize,
    value: usize,
    value_len: usize,
}

impl Blob {
    /// A new member.
    ///
    /// # Panics
    /// When a part is longer than 4 GiB, which the limits of the protocol rule out.
    pub fn new(key: &[u8], value: Option<&[u8]>, meta: Option<u64>) -> Blob {
        let mut header = [0_u8; 9];
        let mut flags = if meta.is_some() { META } else { 0 };
        let mut len = 1;
        let mut put_len = |part: &[u8], long: u8| {
            let size = u32::try_from(part.len()).expect("a part is under 4 GiB");
            if let Ok(short) = u8::try_from(size) {
                header[len] = short;
                len += 1;
                return 0;
            }
            header[len..len + 4].copy_from_slice(&size.to_ne_bytes());
            len += 4;
            long
        };
        flags |= put_len(key, LONG_KEY);
        if let Some(value) = value {
            flags |= VALUE | put_len(value, LONG_VALUE);
        }
        header[0] = flags;
        let meta = meta.map(u64::to_ne_bytes);
        let pieces: [&[u8]; 4] =
            [&header[..len], meta.as_ref().map_or(&[], |meta| meta), key, value.unwrap_or_default()];
        let bytes = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        let layout = Blob::layout(bytes);
        // SAFETY: the layout is not of size zero: there are at least two bytes of header.
        let start = NonNull::new(unsafe { alloc(layout) }).unwrap_or_else(|| handle_alloc_error(layout));
        let mut at = 0;
        for piece in pieces {
            // SAFETY: `bytes` is the sum of the pieces' lengths, and the allocation is new.
            unsafe { ptr::copy_nonoverlapping(piece.as_ptr(), start.as_ptr().add(at), piece.len()) };
            at += piece.len();
        }
        Blob(start)
    }

    fn layout(bytes: usize) -> Layout {
        Layout::from_size_align(bytes, 1).expect("a blob's size is in bounds")
    }

    /// Asks the processor for its header and key: how long they are it cannot tell before.
    #[inline]
    pub fn prefetch(&self) {
        prefetch(self.0.as_ptr());
        prefetch(self.0.as_ptr().wrapping_add(USUAL_KEY_END));
    }

    /// Its place, for an index that refers to members of a table.
    pub fn pointer(&self) -> BlobPtr {
        BlobPtr(self.0)
    }

    fn slice(&self, at: usize, len: usize) -> &[u8] {
        // SAFETY: callers pass ranges that the header gave, which `new` wrote and initialised.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().add(at), len) }
    }

    #[inline]
    fn parts(&self) -> Parts {
        let flags = self.slice(0, 1)[0];
        let mut at = 1;
        let mut len = |long: bool| {
            if !long {
                at += 1;
                return usize::from(self.slice(at - 1, 1)[0]);
            }
            at += 4;
            let bytes = self.slice(at - 4, 4);
            u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize
        };
        let key_len = len(flags & LONG_KEY != 0);
        let value_len = if flags & VALUE != 0 { len(flags & LONG_VALUE != 0) } else { 0 };
        let meta = at;
        let key = meta + if flags & META != 0 { 8 } else { 0 };
        Parts { meta, key, key_len, value: key + key_len, value_len }
    }

    /// The key.
    #[inline]
    pub fn key(&self) -> &[u8] {
        let parts = self.parts();
        self.slice(parts.key, parts.key_len)
    }

    /// The value; empty where there is none.
    #[inline]
    pub fn value(&self) -> &[u8] {
        let parts = self.parts();
        self.slice(parts.value, parts.value_len)
    }

    /// The meta bytes.
    #[inline]
    pub fn meta(&self) -> Option<u64> {
        let parts = self.parts();
        let bytes = self.slice(parts.meta, parts.key - parts.meta);
        bytes.try_into().ok().map(u64::from_ne_bytes)
    }

    /// Replaces the meta bytes.
    ///
    /// # Panics
    /// When the blob was made without.
    pub fn set_meta(&mut self, meta: u64) {
        let parts = self.parts();
        assert!(parts.key - parts.meta == 8, "the blob has room for meta");
        // SAFETY: the eight bytes at `meta` belong to the blob, and `&mut self` excludes readers.
        unsafe { ptr::copy_nonoverlapping(meta.to_ne_bytes().as_ptr(), self.0.as_ptr().add(parts.meta), 8) };
    }

    /// Overwrites the value where the new one is as long; answers whether it did.
    pub fn overwrite_value(&mut self, value: &[u8]) -> bool {
        let parts = self.parts();
        if parts.value_len != value.len() {
            return false;
        }
        // SAFETY: the range is the old value's, as long as the new one; `&mut self` excludes readers.
        unsafe {
            ptr::copy_nonoverlapping(value.as_ptr(), self.0.as_ptr().add(parts.value), value.len());
        }
        true
    }

    /// The bytes of the allocation.
    pub fn bytes(&self) -> usize {
        let parts = self.parts();
        parts.value + parts.value_len
    }
}

impl Clone for Blob {
    fn clone(&self) -> Blob {
        let has_value = self.slice(0, 1)[0] & VALUE != 0;
        Blob::new(self.key(), has_value.then(|| self.value()), self.meta())
    }
}

impl Drop for Blob {
    fn drop(&mut self) {
        let layout = Blob::layout(self.bytes());
        // SAFETY: allocated by `new` with this layout: no edit changes a length.
        unsafe { dealloc(self.0.as_ptr(), layout) };
    }
}

/// The place of a blob that somebody else owns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlobPtr(NonNull<u8>);

// SAFETY: a place is a number; reading through it is `key`'s affair.
unsafe impl Send for BlobPtr {}
// SAFETY: as above.
unsafe impl Sync for BlobPtr {}

impl BlobPtr {
    /// The key of the blob.
    ///
    /// # Safety
    /// The blob must live, and not be written to, for `'a`.
    pub unsafe fn key<'a>(self) -> &'a [u8] {
        let blob = std::mem::ManuallyDrop::new(Blob(self.0));
        let key = blob.key();
        // SAFETY: the bytes belong to the blob, which outlives 'a by the caller's promise.
        unsafe { std::slice::from_raw_parts(key.as_ptr(), key.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_reads_back_what_was_written() {
        for key_len in [0, 1, 255, 256, 70_000] {
            for value_len in [None, Some(0), Some(255), Some(256), Some(70_000)] {
                for meta in [None, Some(0xDEAD_BEEF_u64)] {
                    let key = vec![b'k'; key_len];
                    let value = value_len.map(|len| vec![b'v'; len]);
                    let mut blob = Blob::new(&key, value.as_deref(), meta);
                    assert_eq!((blob.key(), blob.meta()), (&key[..], meta));
                    assert_eq!(blob.value(), value.as_deref().unwrap_or_default());
                    if meta.is_some() {
                        blob.set_meta(7);
                    }
                    let same_len = vec![b'w'; value_len.unwrap_or(0)];
                    assert!(blob.overwrite_value(&same_len) && !blob.overwrite_value(&[0; 9]));
                    let copy = blob.clone();
                    drop(blob);
                    assert_eq!((copy.key(), copy.value()), (&key[..], &same_len[..]));
                    assert_eq!(copy.meta(), meta.map(|_| 7));
                    // SAFETY: the copy lives until the end of the block.
                    assert_eq!(unsafe { copy.pointer().key() }, &key[..]);
                }
            }
        }
    }
}
