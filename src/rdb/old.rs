//! The packed forms that Redis wrote before version 7: ziplists and zipmaps.

/// Takes `len` bytes from the front.
fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

fn take_array<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    take(bytes, N)?.try_into().ok()
}

/// The elements of a ziplist.
///
/// ```text
/// bytes u32 | tail u32 | count u16 | entry … | 0xFF          little-endian
/// entry: length of the one before, 1 byte or 0xFE and u32 | encoding | text
/// ```
pub fn ziplist(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut rest = bytes;
    let total = u32::from_le_bytes(take_array(&mut rest)?);
    let tail = u32::from_le_bytes(take_array(&mut rest)?) as usize;
    let count = u16::from_le_bytes(take_array(&mut rest)?);
    if total as usize != bytes.len() {
        return None;
    }
    let mut elements = Vec::new();
    let (mut before, mut last) = (0, 10);
    while *rest.first()? != 0xFF {
        let start = rest.len();
        let [previous] = take_array(&mut rest)?;
        let previous =
            if previous < 0xFE { u32::from(previous) } else { u32::from_le_bytes(take_array(&mut rest)?) };
        if previous as usize != before {
            return None;
        }
        last = bytes.len() - start;
        let [encoding] = take_array(&mut rest)?;
        let int = |int: i64| itoa::Buffer::new().format(int).as_bytes().to_vec();
        elements.push(match encoding {
            0x00..=0x3F => take(&mut rest, usize::from(encoding))?.to_vec(),
            0x40..=0x7F => {
                let [low] = take_array(&mut rest)?;
                take(&mut rest, usize::from(encoding & 0x3F) << 8 | usize::from(low))?.to_vec()
            }
            0x80 => {
                let len = u32::from_be_bytes(take_array(&mut rest)?);
                take(&mut rest, len as usize)?.to_vec()
            }
            0xC0 => int(i16::from_le_bytes(take_array(&mut rest)?).into()),
            0xD0 => int(i32::from_le_bytes(take_array(&mut rest)?).into()),
            0xE0 => int(i64::from_le_bytes(take_array(&mut rest)?)),
            0xF0 => {
                let [a, b, c] = take_array(&mut rest)?;
                int((i32::from_le_bytes([0, a, b, c]) >> 8).into())
            }
            0xFE => {
                let [byte] = take_array(&mut rest)?;
                int((byte as i8).into())
            }
            0xF1..=0xFD => int(i64::from(encoding & 0x0F) - 1),
            _ => return None,
        });
        before = start - rest.len();
    }
    let counted = usize::from(count) == elements.len() || count == u16::MAX;
    (rest.len() == 1 && counted && tail == last).then_some(elements)
}

/// The fields and values of a zipmap, one after the other.
///
/// ```text
/// count u8 | field | value … | 0xFF
/// field: length | text         value: length | free u8 | text | free bytes
/// length: 1 byte, or 0xFE and u32 little-endian
/// ```
pub fn zipmap(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut rest = bytes;
    let [count] = take_array(&mut rest)?;
    let mut parts = Vec::new();
    let len = |rest: &mut &[u8]| -> Option<usize> {
        match take_array(rest)? {
            [0xFE] => Some(u32::from_le_bytes(take_array(rest)?) as usize),
            [0xFF] => None,
            [len] => Some(usize::from(len)),
        }
    };
    while *rest.first()? != 0xFF {
        let field = len(&mut rest)?;
        parts.push(take(&mut rest, field)?.to_vec());
        let value = len(&mut rest)?;
        let [free] = take_array(&mut rest)?;
        parts.push(take(&mut rest, value)?.to_vec());
        take(&mut rest, usize::from(free))?;
    }
    let counted = usize::from(count) == parts.len() / 2 || count >= 254;
    (rest.len() == 1 && counted).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ziplist_with_every_encoding_is_read() {
        let mut bytes = vec![0; 10];
        let mut previous = 0_u8;
        let mut tail = 0;
        let entries: [(&[u8], &[u8]); 7] = [
            (&[3, b'a', b'b', b'c'], b"abc"),
            (&[0xC0, 0x39, 0x30], b"12345"),
            (&[0xD0, 0x15, 0xCD, 0x5B, 0x07], b"123456789"),
            (&[0xE0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F], b"9223372036854775807"),
            (&[0xF0, 0x00, 0x00, 0x80], b"-8388608"),
            (&[0xFE, 0x80], b"-128"),
            (&[0xFD], b"12"),
        ];
        for (encoded, _) in entries {
            tail = bytes.len();
            bytes.push(previous);
            bytes.extend_from_slice(encoded);
            previous = encoded.len() as u8 + 1;
        }
        bytes.push(0xFF);
        let total = bytes.len() as u32;
        bytes[..4].copy_from_slice(&total.to_le_bytes());
        bytes[4..8].copy_from_slice(&(tail as u32).to_le_bytes());
        bytes[8] = entries.len() as u8;
        let expected: Vec<Vec<u8>> = entries.iter().map(|(_, text)| text.to_vec()).collect();
        assert_eq!(ziplist(&bytes), Some(expected));
        for at in 0..bytes.len() {
            // Damage is refused or read as other text; it never panics.
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x55;
            let _ = ziplist(&damaged);
            assert_eq!(ziplist(&bytes[..at]), None);
        }
    }

    #[test]
    fn a_zipmap_is_read() {
        let bytes = [1, 1, b'f', 2, 1, b'v', b'w', 0, 0xFF];
        assert_eq!(zipmap(&bytes), Some(vec![b"f".to_vec(), b"vw".to_vec()]));
        assert!((0..bytes.len()).all(|end| zipmap(&bytes[..end]).is_none()));
    }
}
