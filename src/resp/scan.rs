//! Finds the arguments of requests as ranges into the read buffer: no copies, no allocation by a number
//! that the client sent, and a partial request is taken up where the last read ended.

use super::inline;
use memchr::memchr;
use std::ops::Index;

/// A line that announces a count or a length, and an inline request, may have this many bytes.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// What a client that has not authenticated may send.
const UNAUTHENTICATED_ARGS_MAX: i64 = 10;
const UNAUTHENTICATED_BULK_MAX: i64 = 16 * 1024;

/// Where an argument is in the buffer, in bytes from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArgRange {
    /// The first byte.
    pub start: u32,
    /// One past the last.
    pub end: u32,
}

/// The arguments of one request; the first is the command's name.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    buffer: &'a [u8],
    ranges: &'a [ArgRange],
}

impl<'a> Args<'a> {
    /// Views `ranges` of `buffer`.
    pub fn new(buffer: &'a [u8], ranges: &'a [ArgRange]) -> Self {
        Args { buffer, ranges }
    }

    /// How many there are, the name included.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether there are none, which no request has.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many bytes they take in the buffer, with what lies between them.
    pub fn bytes(&self) -> usize {
        self.ranges
            .first()
            .zip(self.ranges.last())
            .map_or(0, |(first, last)| (last.end - first.start) as usize)
    }

    /// The argument at `index`, if there is one.
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        self.ranges.get(index).map(|range| &self.buffer[range.start as usize..range.end as usize])
    }

    /// The arguments from `first` on.
    pub fn from(&self, first: usize) -> Args<'a> {
        Args { buffer: self.buffer, ranges: self.ranges.get(first..).unwrap_or(&[]) }
    }

    /// All of them in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &'a [u8]> + ExactSizeIterator + use<'a> {
        let buffer = self.buffer;
        self.ranges.iter().map(move |range| &buffer[range.start as usize..range.end as usize])
    }
}

impl Index<usize> for Args<'_> {
    type Output = [u8];
    fn index(&self, index: usize) -> &[u8] {
        let range = self.ranges[index];
        &self.buffer[range.start as usize..range.end as usize]
    }
}

/// What a client may send.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest argument in bytes (`proto-max-bulk-len`).
    pub bulk_bytes_max: u64,
    /// Whether the client has shown its password where one is needed.
    pub authenticated: bool,
}

/// Why a request cannot be understood; the client is told and the connection closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// An inline request without an end.
    TooBigInline,
    /// Quotes that do not match in an inline request.
    UnbalancedQuotes,
    /// The line of an array's length has no end.
    TooBigCountLine,
    /// The length of an array is no number, or too large.
    InvalidMultibulkLength,
    /// More arguments than a client may send before it authenticates.
    UnauthenticatedMultibulkLength,
    /// The line of an argument's length has no end.
    TooBigBulkLine,
    /// Something else where an argument's length should be.
    ExpectedDollar(u8),
    /// The length of an argument is no number, negative, or too large.
    InvalidBulkLength,
    /// A longer argument than a client may send before it authenticates.
    UnauthenticatedBulkLength,
}

impl ProtocolError {
    /// The text after `-ERR `, as bytes: it may quote what the client sent.
    pub fn text(&self) -> Vec<u8> {
        let text: &[u8] = match self {
            ProtocolError::TooBigInline => b"too big inline request",
            ProtocolError::UnbalancedQuotes => b"unbalanced quotes in request",
            ProtocolError::TooBigCountLine => b"too big mbulk count string",
            ProtocolError::InvalidMultibulkLength => b"invalid multibulk length",
            ProtocolError::UnauthenticatedMultibulkLength => b"unauthenticated multibulk length",
            ProtocolError::TooBigBulkLine => b"too big bulk count string",
            ProtocolError::ExpectedDollar(got) => {
                let shown = if matches!(got, b'\r' | b'\n') { b' ' } else { *got };
                return [b"Protocol error: expected '$', got '".as_slice(), &[shown], b"'"].concat();
            }
            ProtocolError::InvalidBulkLength => b"invalid bulk length",
            ProtocolError::UnauthenticatedBulkLength => b"unauthenticated bulk length",
        };
        [b"Protocol error: ".as_slice(), text].concat()
    }
}

/// The outcome of a scan.
#[derive(Debug, PartialEq, Eq)]
pub enum Scan {
    /// A whole request; its arguments were appended. It may have none (an empty line, `*0`): skip it.
    Request,
    /// More bytes are needed.
    Incomplete,
    /// Nonsense.
    Error(ProtocolError),
}

/// Where scanning stands in a buffer.
#[derive(Default, Debug)]
pub struct Scanner {
    /// The next byte to look at.
    at: usize,
    /// Arguments of the present request still to come.
    args_left: u32,
    /// The announced length of the argument to come.
    bulk_len: Option<usize>,
    /// How far a search for the end of a line got, so that a long line is searched once.
    searched: usize,
}

impl Scanner {
    /// A scanner for what begins at a position of a buffer.
    pub fn starting_at(at: usize) -> Scanner {
        Scanner { at, ..Scanner::default() }
    }

    /// The bytes before this are done with.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Follows the buffer when its first `bytes` are dropped.
    pub fn rebase(&mut self, bytes: usize) {
        self.at -= bytes;
        self.searched = self.searched.saturating_sub(bytes);
    }

    /// How many bytes the buffer should be able to hold for the argument under way.
    pub fn wanted_len(&self) -> usize {
        self.bulk_len.map_or(0, |len| self.at + len + 2)
    }

    /// Scans on. Arguments are appended to `args`; a request that takes several calls appends to the
    /// same list. An inline request is decoded in place.
    pub fn scan(&mut self, buffer: &mut [u8], args: &mut Vec<ArgRange>, limits: &Limits) -> Scan {
        if self.args_left == 0 {
            match buffer.get(self.at) {
                None => return Scan::Incomplete,
                Some(b'*') => {}
                Some(_) => return self.scan_inline(buffer, args),
            }
            let count = match self.number_line(buffer, ProtocolError::TooBigCountLine) {
                Ok(Some(count)) => count,
                Ok(None) => return Scan::Incomplete,
                Err(error) => return Scan::Error(error),
            };
            match count {
                Some(count) if count > i64::from(i32::MAX) => {
                    return Scan::Error(ProtocolError::InvalidMultibulkLength);
                }
                None => return Scan::Error(ProtocolError::InvalidMultibulkLength),
                Some(count) if count > UNAUTHENTICATED_ARGS_MAX && !limits.authenticated => {
                    return Scan::Error(ProtocolError::UnauthenticatedMultibulkLength);
                }
                Some(count) if count <= 0 => return Scan::Request,
                Some(count) => self.args_left = count as u32,
            }
        }
        if self.bulk_len.is_none() && limits.bulk_bytes_max >= 99 {
            self.scan_short(buffer, args);
        }
        while self.args_left > 0 {
            let len = match self.bulk_len {
                Some(len) => len,
                None => match self.bulk_header(buffer, limits) {
                    Ok(Some(len)) => len,
                    Ok(None) => return Scan::Incomplete,
                    Err(error) => return Scan::Error(error),
                },
            };
            if buffer.len() - self.at < len + 2 {
                self.bulk_len = Some(len);
                return Scan::Incomplete;
            }
            args.push(ArgRange { start: self.at as u32, end: (self.at + len) as u32 });
            self.at += len + 2;
            self.bulk_len = None;
            self.args_left -= 1;
        }
        Scan::Request
    }

    /// Takes arguments of up to 99 bytes, which nearly all are, until one is longer or not all there.
    #[inline]
    fn scan_short(&mut self, buffer: &[u8], args: &mut Vec<ArgRange>) {
        let (mut at, mut left) = (self.at, self.args_left);
        while left > 0 {
            let Some((len, head)) = short_header(&buffer[at..]) else { break };
            let start = at + head;
            if buffer.len() - start < len + 2 {
                break;
            }
            args.push(ArgRange { start: start as u32, end: (start + len) as u32 });
            at = start + len + 2;
            left -= 1;
        }
        (self.at, self.args_left) = (at, left);
    }

    /// Reads `$<len>\r\n`.
    fn bulk_header(&mut self, buffer: &[u8], limits: &Limits) -> Result<Option<usize>, ProtocolError> {
        let first = buffer.get(self.at).copied();
        let line = self.line_end(buffer, ProtocolError::TooBigBulkLine)?;
        if let (Some(got), Some(_)) = (first, line)
            && got != b'$'
        {
            return Err(ProtocolError::ExpectedDollar(got));
        }
        let Some(number) = self.number_in_line(buffer, line) else { return Ok(None) };
        match number {
            Some(len) if len >= 0 && len as u64 <= limits.bulk_bytes_max => {
                if len > UNAUTHENTICATED_BULK_MAX && !limits.authenticated {
                    return Err(ProtocolError::UnauthenticatedBulkLength);
                }
                Ok(Some(len as usize))
            }
            _ => Err(ProtocolError::InvalidBulkLength),
        }
    }

    /// Reads a byte, a number and CRLF. `None`: incomplete; `Some(None)`: no number.
    fn number_line(
        &mut self,
        buffer: &[u8],
        too_big: ProtocolError,
    ) -> Result<Option<Option<i64>>, ProtocolError> {
        if let Some(&[_, digit @ b'1'..=b'9', b'\r', b'\n']) = buffer.get(self.at..self.at + 4) {
            self.at += 4;
            return Ok(Some(Some(i64::from(digit - b'0'))));
        }
        let line = self.line_end(buffer, too_big)?;
        Ok(self.number_in_line(buffer, line))
    }

    fn number_in_line(&mut self, buffer: &[u8], line: Option<usize>) -> Option<Option<i64>> {
        let end = line?;
        let number = crate::number::parse_i64(&buffer[self.at + 1..end]);
        self.at = end + 2;
        Some(number)
    }

    /// Finds the CR of the line at `at` when its LF is there too.
    fn line_end(&mut self, buffer: &[u8], too_big: ProtocolError) -> Result<Option<usize>, ProtocolError> {
        let from = self.searched.max(self.at);
        match memchr(b'\r', &buffer[from..]) {
            Some(offset) if from + offset + 1 < buffer.len() => {
                self.searched = 0;
                // An empty line has no room for the byte that announces a number.
                Ok(Some((from + offset).max(self.at + 1)))
            }
            Some(offset) => {
                self.searched = from + offset;
                Ok(None)
            }
            None if buffer.len() - self.at > LINE_BYTES_MAX => Err(too_big),
            None => {
                self.searched = buffer.len();
                Ok(None)
            }
        }
    }

    fn scan_inline(&mut self, buffer: &mut [u8], args: &mut Vec<ArgRange>) -> Scan {
        let from = self.searched.max(self.at);
        let Some(offset) = memchr(b'\n', &buffer[from..]) else {
            if buffer.len() - self.at > LINE_BYTES_MAX {
                return Scan::Error(ProtocolError::TooBigInline);
            }
            self.searched = buffer.len();
            return Scan::Incomplete;
        };
        let (start, end) = (self.at, from + offset);
        self.at = end + 1;
        self.searched = 0;
        let line_end = if end > start && buffer[end - 1] == b'\r' { end - 1 } else { end };
        match inline::split(&mut buffer[start..line_end], start as u32, args) {
            Ok(()) => Scan::Request,
            Err(inline::Unbalanced) => Scan::Error(ProtocolError::UnbalancedQuotes),
        }
    }
}

/// The length in `$<len>\r\n` of one or two digits, and the bytes of that. `None` also where fewer than eight
/// bytes are there.
#[inline]
fn short_header(buffer: &[u8]) -> Option<(usize, usize)> {
    let head = u64::from_le_bytes(*buffer.first_chunk()?);
    let digit = |at: u32| (head >> (8 * at) & 0xF) as usize;
    // Read backwards, as the little end comes first: a mask leaves of digits the half that all share.
    if head & 0xFF_FFF0_F0FF == 0x0A_0D30_3024 && (1..10).contains(&digit(1)) && digit(2) < 10 {
        return Some((digit(1) * 10 + digit(2), 5));
    }
    if head & 0xFFFF_F0FF == 0x0A0D_3024 && digit(1) < 10 {
        return Some((digit(1), 4));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OPEN: Limits = Limits { bulk_bytes_max: 512 << 20, authenticated: true };

    /// Feeds `stream` in pieces that end at `cuts`, and returns the requests or the error.
    fn feed(stream: &[u8], cuts: &[usize]) -> (Vec<Vec<Vec<u8>>>, Option<ProtocolError>) {
        let (mut buffer, mut scanner, mut args, mut requests) = (vec![], Scanner::default(), vec![], vec![]);
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
        cuts.push(stream.len());
        cuts.sort_unstable();
        let mut fed = 0;
        for cut in cuts {
            buffer.extend_from_slice(&stream[fed..cut]);
            fed = cut;
            loop {
                match scanner.scan(&mut buffer, &mut args, &OPEN) {
                    Scan::Request => {
                        let request = Args::new(&buffer, &args);
                        requests.push(request.iter().map(<[u8]>::to_vec).collect());
                        args.clear();
                    }
                    Scan::Incomplete => break,
                    Scan::Error(error) => return (requests, Some(error)),
                }
            }
        }
        (requests, None)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn requests_come_out_whole_however_they_are_cut(
            requests in proptest::collection::vec(proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..12), 0..6),
            cuts in proptest::collection::vec(any::<usize>(), 0..40),
        ) {
            let mut stream = Vec::new();
            for request in &requests {
                stream.extend(format!("*{}\r\n", request.len()).bytes());
                for arg in request {
                    stream.extend(format!("${}\r\n", arg.len()).bytes());
                    stream.extend(arg);
                    stream.extend(b"\r\n");
                }
            }
            prop_assert_eq!(feed(&stream, &cuts), (requests, None));
        }

        #[test]
        fn cutting_never_changes_what_nonsense_means(
            stream in proptest::collection::vec(prop_oneof![Just(b'*'), Just(b'$'), Just(b'\r'), Just(b'\n'), Just(b'1'), Just(b'-'), Just(b'"'), any::<u8>()], 0..200),
            cuts in proptest::collection::vec(any::<usize>(), 0..10),
        ) {
            prop_assert_eq!(feed(&stream, &cuts), feed(&stream, &[]));
        }
    }

    #[test]
    fn errors_are_those_of_redis() {
        let cases: [(&[u8], &str); 6] = [
            (b"*1\r\n:1\r\n", "Protocol error: expected '$', got ':'"),
            (b"*x\r\n", "Protocol error: invalid multibulk length"),
            (b"*2147483648\r\n", "Protocol error: invalid multibulk length"),
            (b"*1\r\n$-1\r\n", "Protocol error: invalid bulk length"),
            (b"*1\r\n$536870913\r\n", "Protocol error: invalid bulk length"),
            (b"\"a\r\n", "Protocol error: unbalanced quotes in request"),
        ];
        for (stream, text) in cases {
            let (_, error) = feed(stream, &[]);
            assert_eq!(error.map(|e| e.text()), Some(text.as_bytes().to_vec()), "{text}");
        }
    }
}
