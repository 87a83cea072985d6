//! A small blocking client: sends any bytes, and returns each reply as the exact bytes and as a tree (RESP2 and RESP3).
//!
//! It is deliberately not a Redis library: it must be able to send what no library would.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::PATIENCE;

/// One reply, as it came and as what it means.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    pub bytes: Vec<u8>,
    pub value: Value,
}

impl Reply {
    /// The elements of an aggregate, each as it came; none of anything else.
    pub fn parts(&self) -> Vec<Reply> {
        let count = match &self.value {
            Value::Array(items) | Value::Set(items) | Value::Push(items) => items.len(),
            _ => 0,
        };
        let header = self.bytes.windows(2).position(|pair| pair == b"\r\n").map_or(0, |end| end + 2);
        let mut rest = &self.bytes[header..];
        let mut parts = Vec::with_capacity(count);
        for _ in 0..count {
            let (value, length) = parse(rest).expect("a whole reply");
            parts.push(Reply { bytes: rest[..length].to_vec(), value });
            rest = &rest[length..];
        }
        parts
    }
}

/// A reply's tree. Numbers that only RESP3 has keep their text, since their exact form is what tests compare.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    Simple(Vec<u8>),
    Error(Vec<u8>),
    Integer(i64),
    Bulk(Vec<u8>),
    Null,
    NullArray,
    Array(Vec<Value>),
    Map(Vec<(Value, Value)>),
    Set(Vec<Value>),
    Push(Vec<Value>),
    Double(Vec<u8>),
    Boolean(bool),
    BigNumber(Vec<u8>),
    /// The three-letter format, then the text.
    Verbatim(Vec<u8>, Vec<u8>),
}

impl Value {
    /// The bytes of a bulk string.
    #[track_caller]
    pub fn bulk(self) -> Vec<u8> {
        match self {
            Value::Bulk(bytes) => bytes,
            other => panic!("no bulk string: {other:?}"),
        }
    }

    pub fn is_error(&self) -> bool {
        matches!(self, Value::Error(_))
    }

    /// The elements of an array, set or push; a map's keys and values in turn, as RESP2 would have it.
    pub fn items(&self) -> Vec<Value> {
        match self {
            Value::Array(items) | Value::Set(items) | Value::Push(items) => items.clone(),
            Value::Map(pairs) => pairs.iter().flat_map(|(key, value)| [key.clone(), value.clone()]).collect(),
            other => panic!("not an aggregate: {other:?}"),
        }
    }

    /// The text of a string of any kind, an error's included.
    pub fn text(&self) -> String {
        match self {
            Value::Simple(text) | Value::Error(text) | Value::Bulk(text) | Value::Verbatim(_, text) => {
                String::from_utf8_lossy(text).into_owned()
            }
            Value::Double(text) | Value::BigNumber(text) => String::from_utf8_lossy(text).into_owned(),
            Value::Integer(number) => number.to_string(),
            other => panic!("not a text: {other:?}"),
        }
    }

    /// The text of an error; empty for anything else.
    pub fn text_if_error(&self) -> String {
        if self.is_error() { self.text() } else { String::new() }
    }

    pub fn integer(&self) -> i64 {
        match self {
            Value::Integer(number) => *number,
            other => panic!("not an integer: {other:?}"),
        }
    }

    /// The value that follows `name` in a map, or in an array of names and values.
    pub fn field(&self, name: &str) -> Value {
        let items = self.items();
        let found = items.chunks(2).find(|pair| pair.len() == 2 && pair[0] == Value::Bulk(name.into()));
        found.unwrap_or_else(|| panic!("no field {name} in {self:?}"))[1].clone()
    }
}

trait Stream: Read + Write + Send {
    fn set_timeout(&self, timeout: Duration);
    fn close_write(&self);
}

impl Stream for TcpStream {
    fn set_timeout(&self, timeout: Duration) {
        self.set_read_timeout(Some(timeout)).expect("a read timeout");
    }
    fn close_write(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

impl Stream for UnixStream {
    fn set_timeout(&self, timeout: Duration) {
        self.set_read_timeout(Some(timeout)).expect("a read timeout");
    }
    fn close_write(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

/// A connection. Reading waits up to [`PATIENCE`] and then panics; `read_within` and `read_to_end` do not.
pub struct Client {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
    start: usize,
}

impl Client {
    pub fn connect(port: u16) -> Client {
        Client::connect_to("127.0.0.1", port)
    }

    pub fn connect_to(host: &str, port: u16) -> Client {
        let stream = TcpStream::connect((host, port))
            .unwrap_or_else(|error| panic!("connect to port {port}: {error}"));
        stream.set_nodelay(true).expect("nodelay");
        stream.set_write_timeout(Some(PATIENCE)).expect("a write timeout");
        Client::over(Box::new(stream))
    }

    pub fn connect_unix(path: &Path) -> Client {
        Client::over(Box::new(UnixStream::connect(path).expect("connect to the unix socket")))
    }

    fn over(stream: Box<dyn Stream>) -> Client {
        Client { stream, buffer: Vec::new(), start: 0 }
    }

    /// Sends bytes as they are; false when the server has closed.
    pub fn send_raw(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Sends one command, its words parted by spaces.
    pub fn send(&mut self, line: &str) {
        let words = line.split(' ').map(str::as_bytes).collect::<Vec<_>>();
        assert!(self.send_raw(&encode(&words)), "the server closed before {line:?}");
    }

    /// Sends one command and reads its reply.
    pub fn call(&mut self, arguments: &[&[u8]]) -> Value {
        assert!(self.send_raw(&encode(arguments)), "the server closed before {arguments:?}");
        self.read().value
    }

    /// One field of INFO.
    pub fn info(&mut self, field: &str) -> String {
        let name = format!("{field}:");
        let text = self.run("INFO everything").text();
        text.lines().find_map(|line| line.strip_prefix(&name)).expect("a field of INFO").to_owned()
    }

    /// What counts against `maxmemory`: all but what the empty server allocated.
    pub fn counted_bytes(&mut self) -> u64 {
        let mut field = |name: &str| self.info(name).parse::<u64>().expect("a number");
        field("used_memory") - field("used_memory_startup")
    }

    /// Sends one command, its words parted by spaces, and reads its reply.
    pub fn run(&mut self, line: &str) -> Value {
        self.send(line);
        self.read().value
    }

    /// Sends one command and compares the reply's exact bytes, written as [`show`] writes them.
    #[track_caller]
    pub fn expect(&mut self, line: &str, reply: &str) {
        self.send(line);
        let got = show(&self.read().bytes);
        assert_eq!(got, reply, "the reply to {line:?}");
    }

    /// Reads one more message and compares its exact bytes, written as [`show`] writes them.
    #[track_caller]
    pub fn expect_next(&mut self, reply: &str) {
        let got = show(&self.read().bytes);
        assert_eq!(got, reply);
    }

    /// Reads one reply or push message.
    #[track_caller]
    pub fn read(&mut self) -> Reply {
        match self.read_within(PATIENCE) {
            Some(reply) => reply,
            None => panic!("no whole reply: {:?}", show(&self.buffer[self.start..])),
        }
    }

    /// Reads one reply; nothing when the time is up or the server has closed.
    pub fn read_within(&mut self, limit: Duration) -> Option<Reply> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some((value, length)) = parse(&self.buffer[self.start..]) {
                let bytes = self.buffer[self.start..self.start + length].to_vec();
                self.start += length;
                if self.start == self.buffer.len() {
                    self.buffer.clear();
                    self.start = 0;
                }
                return Some(Reply { bytes, value });
            }
            if !self.fill(deadline) {
                return None;
            }
        }
    }

    /// Everything up to the server's close; panics when it does not close.
    #[track_caller]
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let deadline = Instant::now() + PATIENCE;
        while self.fill(deadline) {}
        assert!(Instant::now() < deadline, "not closed: {:?}", show(&self.buffer[self.start..]));
        self.buffer.split_off(std::mem::take(&mut self.start))
    }

    /// True when nothing comes for `limit`.
    pub fn is_silent_for(&mut self, limit: Duration) -> bool {
        self.start == self.buffer.len()
            && !self.fill(Instant::now() + limit)
            && self.start == self.buffer.len()
    }

    /// Closes the writing half only.
    pub fn close_write(&mut self) {
        self.stream.close_write();
    }

    /// Reads some bytes; false at the deadline, or when the server has closed.
    fn fill(&mut self, deadline: Instant) -> bool {
        let mut chunk = [0; 64 * 1024];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            self.stream.set_timeout(left);
            match self.stream.read(&mut chunk) {
                Ok(0) => return false,
                Ok(length) => {
                    self.buffer.extend_from_slice(&chunk[..length]);
                    return true;
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(_) => return false,
            }
        }
    }
}

/// The request for a command.
pub fn encode<A: AsRef<[u8]>>(arguments: &[A]) -> Vec<u8> {
    let mut request = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        let argument = argument.as_ref();
        request.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        request.extend_from_slice(argument);
        request.extend_from_slice(b"\r\n");
    }
    request
}

/// Reply bytes on one line: a line end is a space, what cannot be printed is `\xNN`, the last line end is dropped.
pub fn show(bytes: &[u8]) -> String {
    let bytes = bytes.strip_suffix(b"\r\n").unwrap_or(bytes);
    let mut text = String::new();
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            b'\r' if tail.first() == Some(&b'\n') => {
                text.push(' ');
                rest = &tail[1..];
            }
            b'\n' => text.push_str("\\n"),
            b' '..=b'~' => text.push(first as char),
            other => write!(text, "\\x{other:02x}").expect("a String takes all"),
        }
    }
    text
}

/// The first reply in `bytes` and its length, or nothing when it is not whole yet. Panics on what is not RESP.
pub fn parse(bytes: &[u8]) -> Option<(Value, usize)> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let line = &bytes[1..end];
    let after = end + 2;
    let number = || {
        let text = std::str::from_utf8(line).unwrap_or_default();
        text.parse::<i64>()
            .unwrap_or_else(|_| panic!("no number: {:?}", show(&bytes[..bytes.len().min(200)])))
    };
    let value = match bytes[0] {
        b'+' => Value::Simple(line.to_vec()),
        b'-' => Value::Error(line.to_vec()),
        b':' => Value::Integer(number()),
        b',' => Value::Double(line.to_vec()),
        b'(' => Value::BigNumber(line.to_vec()),
        b'#' => Value::Boolean(line == b"t"),
        b'_' => Value::Null,
        b'$' | b'=' if number() < 0 => Value::Null,
        b'$' | b'=' => {
            let length = number() as usize;
            let text = bytes.get(after..after + length + 2)?;
            assert_eq!(&text[length..], b"\r\n", "a bulk's end: {:?}", show(text));
            let text = text[..length].to_vec();
            let value = match bytes[0] {
                b'$' => Value::Bulk(text),
                _ => Value::Verbatim(text[..3].to_vec(), text[4..].to_vec()),
            };
            return Some((value, after + length + 2));
        }
        b'*' if number() < 0 => Value::NullArray,
        b'*' | b'~' | b'>' | b'%' => {
            let count = number() as usize * if bytes[0] == b'%' { 2 } else { 1 };
            let mut items = Vec::new();
            let mut length = after;
            for _ in 0..count {
                let (item, used) = parse(&bytes[length..])?;
                items.push(item);
                length += used;
            }
            let value = match bytes[0] {
                b'*' => Value::Array(items),
                b'~' => Value::Set(items),
                b'>' => Value::Push(items),
                _ => Value::Map(items.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()),
            };
            return Some((value, length));
        }
        _ => panic!("not RESP: {:?}", show(&bytes[..bytes.len().min(200)])),
    };
    Some((value, after))
}
