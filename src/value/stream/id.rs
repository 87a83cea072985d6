//! The ID of an entry: milliseconds and a number within them.

use crate::number;

/// Longest text that is looked at.
const TEXT_MAX: usize = 127;

/// An entry's ID, in the order of IDs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Id {
    /// Unix time in milliseconds, usually.
    pub ms: u64,
    /// The number within the millisecond.
    pub seq: u64,
}

/// An ID for a new entry, as far as the client has chosen it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NewId {
    /// `*`
    Auto,
    /// `ms-*`
    Millisecond(u64),
    /// `ms-seq`, or `ms`
    Exact(Id),
}

impl Id {
    /// Less than the ID of any entry.
    pub const MIN: Id = Id { ms: 0, seq: 0 };
    /// The last possible.
    pub const MAX: Id = Id { ms: u64::MAX, seq: u64::MAX };

    /// The next one, unless this is the last.
    pub fn next(self) -> Option<Id> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(Id { seq, ..self }),
            None => Some(Id { ms: self.ms.checked_add(1)?, seq: 0 }),
        }
    }

    /// The one before, unless this is the first.
    pub fn prev(self) -> Option<Id> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(Id { seq, ..self }),
            None => Some(Id { ms: self.ms.checked_sub(1)?, seq: u64::MAX }),
        }
    }

    /// Whether it is 0-0.
    pub fn is_zero(self) -> bool {
        self == Id::MIN
    }

    /// Reads `ms-seq`, or `ms` with this `seq` where it is missing.
    pub fn parse(text: &[u8], missing_seq: u64) -> Option<Id> {
        match parse(text, missing_seq)? {
            (id, false) => Some(id),
            (_, true) => None,
        }
    }

    /// As [`Self::parse`], and takes `-` for the first and `+` for the last.
    pub fn parse_bound(text: &[u8], missing_seq: u64) -> Option<Id> {
        match up_to_nul(text)? {
            b"-" => Some(Id::MIN),
            b"+" => Some(Id::MAX),
            _ => Id::parse(text, missing_seq),
        }
    }

    /// Gives the text to `read`.
    #[inline]
    pub fn with_text<R>(self, read: impl FnOnce(&[u8]) -> R) -> R {
        let (mut ms, mut seq) = (itoa::Buffer::new(), itoa::Buffer::new());
        let (ms, seq) = (ms.format(self.ms).as_bytes(), seq.format(self.seq).as_bytes());
        let mut text = [0; 41];
        let len = ms.len() + 1 + seq.len();
        text[..ms.len()].copy_from_slice(ms);
        text[ms.len()] = b'-';
        text[ms.len() + 1..len].copy_from_slice(seq);
        read(&text[..len])
    }
}

impl NewId {
    /// Reads an ID, whose number within the millisecond may be `*`.
    pub fn parse(text: &[u8]) -> Option<NewId> {
        Some(match parse(text, 0)? {
            (id, true) => NewId::Millisecond(id.ms),
            (id, false) => NewId::Exact(id),
        })
    }
}

fn up_to_nul(text: &[u8]) -> Option<&[u8]> {
    if text.len() > TEXT_MAX { None } else { text.split(|byte| *byte == 0).next() }
}

/// The ID, and whether its number is `*`.
fn parse(text: &[u8], missing_seq: u64) -> Option<(Id, bool)> {
    let text = up_to_nul(text)?;
    let Some(dash) = text.iter().position(|byte| *byte == b'-') else {
        return Some((Id { ms: number::parse_u64(text)?, seq: missing_seq }, false));
    };
    let (ms, seq) = (number::parse_u64(&text[..dash])?, &text[dash + 1..]);
    if seq == b"*" {
        return Some((Id { ms, seq: 0 }, true));
    }
    Some((Id { ms, seq: number::parse_u64(seq)? }, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_redis_reads_them() {
        let max = u64::MAX.to_string();
        for (text, expected) in [
            ("5-7", Some((5, 7))),
            ("5", Some((5, 99))),
            ("05-7", Some((5, 7))),
            (&format!("{max}-{max}"), Some((u64::MAX, u64::MAX))),
            ("-", None),
            ("+", None),
            ("5-", None),
            ("5-*", None),
            ("-5", None),
            ("5-7-8", None),
            ("x", None),
            ("", None),
            ("18446744073709551616", None),
        ] {
            let expected = expected.map(|(ms, seq)| Id { ms, seq });
            assert_eq!(Id::parse(text.as_bytes(), 99), expected, "{text}");
        }
        assert_eq!(NewId::parse(b"5-*"), Some(NewId::Millisecond(5)));
        assert_eq!(Id::parse_bound(b"+", 0), Some(Id::MAX));
        assert_eq!(Id::parse(&[b'1'; 128], 0), None);
    }

    #[test]
    fn neighbours_carry_over() {
        let last_of_one = Id { ms: 1, seq: u64::MAX };
        assert_eq!(last_of_one.next(), Some(Id { ms: 2, seq: 0 }));
        assert_eq!(Id { ms: 2, seq: 0 }.prev(), Some(last_of_one));
        assert_eq!((Id::MAX.next(), Id::MIN.prev()), (None, None));
        assert_eq!(last_of_one.with_text(<[u8]>::to_vec), b"1-18446744073709551615");
    }
}
