//! LZF, the compression of strings in RDB files: only reading, as writing is never compressed.
//!
//! A control byte below 32 announces so many literal bytes and one more; any other one copies from what
//! has been written: its upper three bits are the length less two (7: another byte is added), its lower
//! five and the next byte the distance less one.

/// The most that one byte can become.
const EXPANSION_MAX: usize = 264;

/// The text of `len` bytes that `packed` holds; `None` where it does not.
pub fn decompress(packed: &[u8], len: usize) -> Option<Vec<u8>> {
    if len > packed.len().checked_mul(EXPANSION_MAX)? {
        return None;
    }
    let mut text = Vec::with_capacity(len);
    let mut input = packed.iter().copied();
    while let Some(control) = input.next() {
        let control = usize::from(control);
        if control < 32 {
            for _ in 0..=control {
                text.push(input.next()?);
            }
        } else {
            let mut copied = control >> 5;
            if copied == 7 {
                copied += usize::from(input.next()?);
            }
            let distance = ((control & 31) << 8 | usize::from(input.next()?)) + 1;
            let start = text.len().checked_sub(distance)?;
            for at in start..start + copied + 2 {
                text.push(text[at]);
            }
        }
        if text.len() > len {
            return None;
        }
    }
    (text.len() == len).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::decompress;

    #[test]
    fn literals_and_copies_are_read_and_damage_is_refused() {
        // "aaaaaaaaaa": one literal, then nine more from a distance of one.
        assert_eq!(decompress(&[0, b'a', 7 << 5, 0, 0], 10).as_deref(), Some(&b"aaaaaaaaaa"[..]));
        assert_eq!(decompress(&[2, b'a', b'b', b'c', 1 << 5, 2], 6).as_deref(), Some(&b"abcabc"[..]));
        for (damaged, len) in [(&[0, b'a', 1 << 5, 1][..], 4), (&[5, b'a'], 6), (&[0, b'a'], 2), (&[0], 1)] {
            assert_eq!(decompress(damaged, len), None);
        }
        assert_eq!(decompress(&[0, b'a'], usize::MAX), None);
    }
}
