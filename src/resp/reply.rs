//! Writes replies in RESP2 or RESP3, whichever the client asked for with HELLO.

use super::output::{Mark, Output, SHARE_BYTES_MIN};
use crate::number;
use crate::value::string::{LongString, StringRef};
use bytes::Bytes;
use std::sync::Arc;

/// A reply under way.
pub struct Reply<'a> {
    out: &'a mut Output,
    resp3: bool,
}

impl<'a> Reply<'a> {
    /// Writes to `out`.
    pub fn new(out: &'a mut Output, resp3: bool) -> Self {
        Reply { out, resp3 }
    }

    /// Whether the client speaks RESP3.
    pub fn is_resp3(&self) -> bool {
        self.resp3
    }

    /// Changes the protocol for what follows.
    pub fn set_resp3(&mut self, resp3: bool) {
        self.resp3 = resp3;
    }

    /// The buffer behind the reply.
    pub fn output(&mut self) -> &mut Output {
        self.out
    }

    #[inline]
    fn header(&mut self, kind: u8, number: i64) {
        let out = self.out.bytes_mut();
        let digit = |place: u32| b'0' + (number as u32 / place % 10) as u8;
        // Most numbers are short: one copy of a known length each.
        match number {
            0..=9 => out.extend_from_slice(&[kind, digit(1), b'\r', b'\n']),
            10..=99 => out.extend_from_slice(&[kind, digit(10), digit(1), b'\r', b'\n']),
            100..=999 => out.extend_from_slice(&[kind, digit(100), digit(10), digit(1), b'\r', b'\n']),
            1000..=9999 => {
                let digits = [digit(1000), digit(100), digit(10), digit(1)];
                out.extend_from_slice(&[kind, digits[0], digits[1], digits[2], digits[3], b'\r', b'\n']);
            }
            _ => {
                out.push(kind);
                number::write_i64(out, number);
                out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// `+OK`.
    #[inline]
    pub fn ok(&mut self) {
        self.out.extend(b"+OK\r\n");
    }

    /// A simple string, which must hold no line break.
    pub fn simple(&mut self, text: &str) {
        self.out.bytes_mut().push(b'+');
        self.out.extend(text.as_bytes());
        self.out.extend(b"\r\n");
    }

    /// An error with its code, such as `ERR syntax error`. Line breaks become spaces.
    pub fn error(&mut self, text: &[u8]) {
        let out = self.out.bytes_mut();
        out.push(b'-');
        out.extend(text.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }));
        out.extend_from_slice(b"\r\n");
    }

    /// An integer.
    #[inline]
    pub fn int(&mut self, number: i64) {
        self.header(b':', number);
    }

    /// A bulk string.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.header(b'$', bytes.len() as i64);
        let out = self.out.bytes_mut();
        out.reserve(bytes.len() + 2);
        out.extend_from_slice(bytes);
        out.extend_from_slice(b"\r\n");
    }

    /// The value of a key, long ones without copying.
    #[inline]
    pub fn string(&mut self, value: StringRef<'_>) {
        match value {
            StringRef::Int(int) => self.bulk(itoa::Buffer::new().format(int).as_bytes()),
            StringRef::Inline(bytes) => self.bulk(bytes),
            StringRef::Shared(bytes) if bytes.len() < SHARE_BYTES_MIN => self.bulk(bytes),
            StringRef::Shared(bytes) => self.bulk_shared(Bytes::from_owner(SharedString(Arc::clone(bytes)))),
        }
    }

    /// A bulk string that is sent from where it is.
    pub fn bulk_shared(&mut self, bytes: Bytes) {
        self.header(b'$', bytes.len() as i64);
        self.out.share(bytes);
        self.out.extend(b"\r\n");
    }

    /// No value.
    #[inline]
    pub fn null(&mut self) {
        self.out.extend(if self.resp3 { b"_\r\n" } else { b"$-1\r\n" });
    }

    /// No array.
    pub fn null_array(&mut self) {
        self.out.extend(if self.resp3 { b"_\r\n" } else { b"*-1\r\n" });
    }

    /// The head of an array of `len` elements.
    pub fn array(&mut self, len: usize) {
        self.header(b'*', len as i64);
    }

    /// A place for a head that is only known when what follows it is written.
    pub fn mark(&self) -> Mark {
        self.out.mark()
    }

    /// The head, at `mark`, of an array of `len` elements that are written already.
    pub fn array_at(&mut self, mark: Mark, len: usize) {
        self.head_at(mark, b'*', len);
    }

    /// The head, at `mark`, of a map of `len` pairs that are written already.
    pub fn map_at(&mut self, mark: Mark, len: usize) {
        if self.resp3 { self.head_at(mark, b'%', len) } else { self.head_at(mark, b'*', len * 2) }
    }

    fn head_at(&mut self, mark: Mark, kind: u8, len: usize) {
        let mut head = Vec::with_capacity(24);
        head.push(kind);
        number::write_i64(&mut head, len as i64);
        head.extend_from_slice(b"\r\n");
        self.out.insert(mark, &head);
    }

    /// The head of a map of `len` pairs.
    pub fn map(&mut self, len: usize) {
        if self.resp3 { self.header(b'%', len as i64) } else { self.header(b'*', len as i64 * 2) }
    }

    /// The head of a set of `len` elements.
    pub fn set(&mut self, len: usize) {
        self.header(if self.resp3 { b'~' } else { b'*' }, len as i64);
    }

    /// The head of a push message of `len` elements.
    pub fn push(&mut self, len: usize) {
        self.header(if self.resp3 { b'>' } else { b'*' }, len as i64);
    }

    /// A floating-point number.
    pub fn double(&mut self, number: f64) {
        let text = number::format_double(number);
        if !self.resp3 {
            return self.bulk(text.as_bytes());
        }
        self.out.bytes_mut().push(b',');
        self.out.extend(text.as_bytes());
        self.out.extend(b"\r\n");
    }

    /// A number with up to 17 digits behind the point, as C's `%.17Lf` without the zeros at its end.
    pub fn decimal(&mut self, number: f64) {
        let text = format!("{number:.17}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        if !self.resp3 {
            return self.bulk(text.as_bytes());
        }
        self.out.bytes_mut().push(b',');
        self.out.extend(text.as_bytes());
        self.out.extend(b"\r\n");
    }

    /// Text for people: `txt` in RESP3.
    pub fn verbatim(&mut self, text: &[u8]) {
        if !self.resp3 {
            return self.bulk(text);
        }
        self.header(b'=', text.len() as i64 + 4);
        self.out.extend(b"txt:");
        self.out.extend(text);
        self.out.extend(b"\r\n");
    }

    /// An array of bulk strings.
    pub fn bulks<T: AsRef<[u8]>>(&mut self, items: &[T]) {
        self.array(items.len());
        items.iter().for_each(|item| self.bulk(item.as_ref()));
    }

    /// An array of simple strings, as a set in RESP3.
    pub fn simple_set(&mut self, items: &[&str]) {
        self.set(items.len());
        items.iter().for_each(|item| self.simple(item));
    }
}

/// Lets a reply hold a value while it is sent.
struct SharedString(Arc<LongString>);

impl AsRef<[u8]> for SharedString {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
