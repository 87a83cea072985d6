//! Bytes to and from a server: how each command is written and how replies are counted, for Redis's protocol and
//! memcached's.
//!
//! Replies are counted and skipped, not kept: the load generator must be cheaper than the server it measures.

use std::sync::Arc;

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// RESP2.
    Redis,
    /// memcached's text protocol.
    Memcached,
}

/// A kind of load.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// GET of a random key.
    Get,
    /// SET of a random key.
    Set,
    /// INCR of a random counter.
    Incr,
    /// MGET of ten random keys.
    Mget10,
    /// Nine GET for each SET.
    Mixed,
    /// Any other.
    Of {
        /// Its name in tables.
        name: &'static str,
        /// Writes one request.
        write: fn(&mut Random, &mut Vec<u8>),
    },
}

impl Work {
    /// All of them, with the names of the command line and of tables.
    pub const ALL: [(&'static str, Self); 5] = [
        ("get", Self::Get),
        ("set", Self::Set),
        ("incr", Self::Incr),
        ("mget10", Self::Mget10),
        ("mixed", Self::Mixed),
    ];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Set => "SET",
            Self::Incr => "INCR",
            Self::Mget10 => "MGET of 10",
            Self::Mixed => "GET:SET 90:10",
            Self::Of { name, .. } => name,
        }
    }

    /// Whether a protocol has it.
    pub fn exists_in(self, protocol: Protocol) -> bool {
        protocol == Protocol::Redis || !matches!(self, Self::Incr | Self::Mget10 | Self::Of { .. })
    }
}

/// Random numbers by xorshift: fast, and the same in each run.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Begins a sequence.
    pub fn new(seed: u64) -> Self {
        Self(scramble(seed) | 1)
    }

    /// The next number below `limit`, which must be below 2^32.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 32) * limit) >> 32
    }
}

/// Spreads numbers over 64 bits, one to one (the finalizer of SplitMix64).
pub fn scramble(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Bytes of every key.
pub const KEY_BYTES: usize = 16;

/// The key of this number: 16 hexadecimal digits, in no order.
pub fn key(number: u64) -> [u8; KEY_BYTES] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut mixed = scramble(number);
    let mut key = [0; KEY_BYTES];
    for digit in &mut key {
        *digit = DIGITS[(mixed & 15) as usize];
        mixed >>= 4;
    }
    key
}

/// Counters have numbers from here on, so that no SET makes text of them.
pub const COUNTERS: u64 = 1 << 40;

/// Writes requests of one kind.
#[derive(Clone, Debug)]
pub struct Requests {
    protocol: Protocol,
    keys: u64,
    /// Numbers of keys to choose from, in place of all.
    among: Option<Arc<[u32]>>,
    random: Random,
    set_head: Vec<u8>,
    set_tail: Vec<u8>,
}

impl Requests {
    /// Requests about `keys` different keys, with values of `value_bytes`.
    pub fn new(protocol: Protocol, keys: u64, value_bytes: usize, seed: u64) -> Self {
        let value = vec![b'x'; value_bytes];
        let (head, length) = match protocol {
            Protocol::Redis => ("*3\r\n$3\r\nSET\r\n$16\r\n", format!("\r\n${value_bytes}\r\n")),
            Protocol::Memcached => ("set ", format!(" 0 0 {value_bytes}\r\n")),
        };
        let set_tail = [length.as_bytes(), &value, b"\r\n"].concat();
        let set_head = head.as_bytes().to_vec();
        Self { protocol, keys, among: None, random: Random::new(seed), set_head, set_tail }
    }

    /// GET and SET concern keys of these numbers from now on, each as often as it is there.
    pub fn choose_among(&mut self, numbers: Arc<[u32]>) {
        self.among = Some(numbers);
    }

    /// Appends one request.
    pub fn write(&mut self, work: Work, out: &mut Vec<u8>) {
        match work {
            Work::Get => {
                let key = self.random_key();
                self.write_get(&key, out);
            }
            Work::Set => {
                let key = self.random_key();
                self.write_set(&key, out);
            }
            Work::Incr => {
                out.extend_from_slice(b"*2\r\n$4\r\nINCR\r\n$16\r\n");
                out.extend_from_slice(&key(COUNTERS + self.random.below(self.keys)));
                out.extend_from_slice(b"\r\n");
            }
            Work::Mget10 => {
                out.extend_from_slice(b"*11\r\n$4\r\nMGET\r\n");
                for _ in 0..10 {
                    out.extend_from_slice(b"$16\r\n");
                    out.extend_from_slice(&self.random_key());
                    out.extend_from_slice(b"\r\n");
                }
            }
            Work::Mixed if self.random.below(10) == 0 => self.write(Work::Set, out),
            Work::Mixed => self.write(Work::Get, out),
            Work::Of { write, .. } => write(&mut self.random, out),
        }
    }

    /// Appends a GET of any key.
    pub fn write_get(&self, key: &[u8], out: &mut Vec<u8>) {
        match self.protocol {
            Protocol::Redis => {
                out.extend_from_slice(b"*2\r\n$3\r\nGET\r\n$");
                write_length(key.len(), out);
            }
            Protocol::Memcached => out.extend_from_slice(b"get "),
        }
        out.extend_from_slice(key);
        out.extend_from_slice(b"\r\n");
    }

    /// Appends a SET of a key of [`KEY_BYTES`].
    pub fn write_set(&self, key: &[u8; KEY_BYTES], out: &mut Vec<u8>) {
        out.extend_from_slice(&self.set_head);
        out.extend_from_slice(key);
        out.extend_from_slice(&self.set_tail);
    }

    /// Appends the first INCR of a counter.
    pub fn write_counter(&self, number: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(b"*3\r\n$3\r\nSET\r\n$16\r\n");
        out.extend_from_slice(&key(COUNTERS + number));
        out.extend_from_slice(b"\r\n$7\r\n1000000\r\n");
    }

    fn random_key(&mut self) -> [u8; KEY_BYTES] {
        match &self.among {
            None => key(self.random.below(self.keys)),
            Some(numbers) => key(numbers[self.random.below(numbers.len() as u64) as usize].into()),
        }
    }
}

fn write_length(length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Counts replies in a stream of bytes that may be cut anywhere.
#[derive(Clone, Debug)]
pub struct Replies {
    protocol: Protocol,
    /// Bytes of a value still to come.
    skip: usize,
    /// Values of the current reply still to come.
    open: usize,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// Replies that were complete.
    pub count: u64,
    /// Errors among them.
    pub errors: u64,
    /// Values that were there (GET found something).
    pub values: u64,
    /// The text of the first error.
    pub first_error: Option<String>,
}

impl Replies {
    /// Nothing yet.
    pub fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            skip: 0,
            open: 1,
            line: Vec::new(),
            count: 0,
            errors: 0,
            values: 0,
            first_error: None,
        }
    }

    /// Reads on.
    pub fn feed(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(data.len());
                self.skip -= skipped;
                data = &data[skipped..];
                if self.skip == 0 && self.protocol == Protocol::Redis {
                    self.value_done();
                }
                continue;
            }
            let Some(end) = memchr::memchr(b'\n', data) else {
                self.line.extend_from_slice(data);
                return;
            };
            let (line, rest) = data.split_at(end + 1);
            data = rest;
            if self.line.is_empty() {
                self.read_line(line);
            } else {
                let mut whole = std::mem::take(&mut self.line);
                whole.extend_from_slice(line);
                self.read_line(&whole);
            }
        }
    }

    fn read_line(&mut self, line: &[u8]) {
        match self.protocol {
            Protocol::Redis => self.read_redis(line),
            Protocol::Memcached => self.read_memcached(line),
        }
    }

    fn read_redis(&mut self, line: &[u8]) {
        match line.first() {
            Some(b'$') => match number(&line[1..]) {
                Some(length) => {
                    self.values += 1;
                    self.skip = length + 2;
                }
                None => self.value_done(),
            },
            Some(b'*') => {
                self.open += number(&line[1..]).unwrap_or(0);
                self.value_done();
            }
            Some(b'-') => {
                self.error(line);
                self.value_done();
            }
            _ => self.value_done(),
        }
    }

    fn value_done(&mut self) {
        self.open -= 1;
        if self.open == 0 {
            self.open = 1;
            self.count += 1;
        }
    }

    fn read_memcached(&mut self, line: &[u8]) {
        if line.starts_with(b"VALUE ") {
            let length = line.trim_ascii_end().rsplit(|byte| *byte == b' ').next().and_then(number);
            self.skip = length.unwrap_or(0) + 2;
            self.values += 1;
            return;
        }
        if !line.starts_with(b"END") && !line.starts_with(b"STORED") {
            self.error(line);
        }
        self.count += 1;
    }

    fn error(&mut self, line: &[u8]) {
        self.errors += 1;
        if self.first_error.is_none() {
            self.first_error = Some(String::from_utf8_lossy(line).trim_end().to_owned());
        }
    }
}

/// Digits up to the end of the line; `None` for a length of -1.
fn number(digits: &[u8]) -> Option<usize> {
    if digits.first() == Some(&b'-') {
        return None;
    }
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0')))
}
