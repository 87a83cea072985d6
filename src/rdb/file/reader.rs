//! Reads a file.
//!
//! A record is found whole first, by walking over its lengths, and then given to the reader of values. What is
//! walked over is read in pieces: a length that the file claims and does not have costs no memory.

use super::super::read::Reader as ValueReader;
use super::super::types::*;
use super::super::{Decoded, Limits};
use super::{HEADER_BYTES, Use, VERSIONS};
use crc_fast::{CrcAlgorithm, Digest};
use std::fmt;
use std::io::{self, Read};
use std::ops::Range;

/// How much is read at once.
const PIECE_BYTES: usize = 64 * 1024;
/// The one number among those of types that none has.
const NO_TYPE: u8 = 8;
/// A longer buffer is given back once its record is read.
const BUFFER_BYTES_KEPT: usize = 1 << 20;

/// Why a file cannot be read.
#[derive(Debug)]
pub enum FileError {
    /// The system does not give it.
    Io(io::Error),
    /// It does not begin with `REDIS` and a number.
    NoRdb,
    /// It has a version that is not known here.
    Version(u16),
    /// It ends too early, after so many bytes.
    Truncated(u64),
    /// It has an opcode or a type that is not known here, at this byte.
    Opcode(u8, u64),
    /// It needs a module, at this byte.
    Module(u64),
    /// What stands at this byte is not what has to be there; the key it belongs to, where there is one.
    Malformed(u64, Option<Vec<u8>>),
    /// The sum that it ends with, and the sum that it has.
    Checksum(u64, u64),
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileError::Io(error) => write!(f, "{error}"),
            FileError::NoRdb => write!(f, "this is no RDB file: it does not begin with REDIS and a version"),
            FileError::Version(version) => {
                let (low, high) = (VERSIONS.start(), VERSIONS.end());
                write!(f, "RDB version {version} cannot be read, only {low} to {high}")
            }
            FileError::Truncated(at) => write!(f, "truncated at byte {at}"),
            FileError::Opcode(opcode, at) => write!(f, "unknown opcode or type {opcode} at byte {at}"),
            FileError::Module(at) => write!(f, "a value of a module at byte {at}: there are no modules"),
            FileError::Malformed(at, None) => write!(f, "damaged at byte {at}"),
            FileError::Malformed(at, Some(key)) => {
                write!(f, "damaged value of the key '{}' at byte {at}", key.escape_ascii())
            }
            FileError::Checksum(stored, computed) => {
                write!(f, "wrong checksum: the file says {stored:016x} and has {computed:016x}")
            }
        }
    }
}

impl std::error::Error for FileError {}

/// A key with all that the file says of it.
pub struct Record {
    /// The database's number.
    pub database: u64,
    /// The key.
    pub key: Vec<u8>,
    /// The value.
    pub value: Decoded,
    /// When it expires, Unix milliseconds.
    pub expires_at_ms: Option<i64>,
    /// How it was used.
    pub used: Use,
}

/// A part of a file.
pub enum Item {
    /// An auxiliary field, name and value.
    Field(Vec<u8>, Vec<u8>),
    /// How many keys a database has, and how many of them expire; a hint.
    Size(u64, u64),
    /// A library of functions, which is passed over.
    Function,
    /// A key.
    Record(Record),
}

/// A file that is read.
pub struct Reader<R> {
    input: R,
    buffer: Vec<u8>,
    /// Up to where of the buffer items are read, and summed up.
    done: usize,
    /// Up to where the present item is walked over.
    at: usize,
    /// Which byte of the file the buffer begins with.
    offset: u64,
    sum: Digest,
    database: u64,
    ended: bool,
}

impl<R: Read> Reader<R> {
    /// Begins to read.
    ///
    /// # Errors
    /// When it is no file of a version that is known.
    pub fn new(input: R) -> Result<Reader<R>, FileError> {
        let mut reader = Reader {
            input,
            buffer: Vec::new(),
            done: 0,
            at: 0,
            offset: 0,
            sum: Digest::new(CrcAlgorithm::Crc64Redis),
            database: 0,
            ended: false,
        };
        let header = match reader.take(HEADER_BYTES) {
            Ok(range) => reader.buffer[range].to_vec(),
            Err(FileError::Truncated(_)) => return Err(FileError::NoRdb),
            Err(error) => return Err(error),
        };
        let version = header.strip_prefix(b"REDIS").filter(|digits| digits.iter().all(u8::is_ascii_digit));
        let version = version.ok_or(FileError::NoRdb)?;
        let version = version.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
        if !VERSIONS.contains(&version) {
            return Err(FileError::Version(version));
        }
        reader.finish_item();
        Ok(reader)
    }

    /// How many bytes of the file have been read.
    pub fn bytes(&self) -> u64 {
        self.offset + self.done as u64
    }

    /// The next part; `None` behind the last one, when the sum was found right.
    ///
    /// # Errors
    /// When the file is damaged; there is no going on then.
    pub fn next(&mut self, limits: &Limits) -> Result<Option<Item>, FileError> {
        let (mut expires_at_ms, mut used) = (None, Use::Unknown);
        while !self.ended {
            let start = self.position();
            let item = match self.byte()? {
                EXPIRE_TIME_MS => {
                    expires_at_ms = Some(i64::from_le_bytes(self.array()?));
                    None
                }
                EXPIRE_TIME => {
                    expires_at_ms = Some(i64::from(i32::from_le_bytes(self.array()?)) * 1000);
                    None
                }
                IDLE => {
                    used = Use::Idle(self.length()?);
                    None
                }
                FREQ => {
                    used = Use::Frequency(self.byte()?);
                    None
                }
                SELECT_DB => {
                    self.database = self.length()?;
                    None
                }
                SLOT_INFO => {
                    // The number of a slot of a cluster, its keys, and those of them that expire: hints.
                    (0..3).try_for_each(|_| self.length().map(drop))?;
                    None
                }
                MODULE_AUX => {
                    self.pass_module()?;
                    None
                }
                AUX => Some(Item::Field(self.text()?, self.text()?)),
                RESIZE_DB => Some(Item::Size(self.length()?, self.length()?)),
                FUNCTION_2 => {
                    self.pass_string()?;
                    Some(Item::Function)
                }
                EOF => {
                    self.end()?;
                    None
                }
                MODULE_PRE_GA | MODULE_2 => return Err(FileError::Module(start)),
                // Before a key is looked for: its length could be anything.
                kind if kind == NO_TYPE || kind > HASH_LISTPACK_EX => {
                    return Err(FileError::Opcode(kind, start));
                }
                kind => {
                    let key = self.text()?;
                    let value = self.value(kind, &key, start, limits)?;
                    let database = self.database;
                    Some(Item::Record(Record { database, key, value, expires_at_ms, used }))
                }
            };
            self.finish_item();
            if item.is_some() {
                return Ok(item);
            }
        }
        Ok(None)
    }

    fn position(&self) -> u64 {
        self.offset + self.at as u64
    }

    fn value(&mut self, kind: u8, key: &[u8], start: u64, limits: &Limits) -> Result<Decoded, FileError> {
        let from = self.at;
        self.pass_value(kind, start)?;
        let mut reader = ValueReader::new(&self.buffer[from..self.at]);
        match reader.value(kind, limits) {
            Ok(value) if reader.is_empty() => Ok(value),
            _ => Err(FileError::Malformed(start, Some(key.to_vec()))),
        }
    }

    /// The sum behind the last item.
    fn end(&mut self) -> Result<(), FileError> {
        self.finish_item();
        let computed = self.sum.finalize();
        let stored = u64::from_le_bytes(self.array()?);
        self.ended = true;
        if stored == 0 || stored == computed { Ok(()) } else { Err(FileError::Checksum(stored, computed)) }
    }

    /// Forgets what was walked over.
    fn finish_item(&mut self) {
        self.sum.update(&self.buffer[self.done..self.at]);
        self.done = self.at;
        if self.done == self.buffer.len() || self.done >= PIECE_BYTES {
            self.offset += self.done as u64;
            self.buffer.drain(..self.done);
            (self.done, self.at) = (0, 0);
            if self.buffer.capacity() > BUFFER_BYTES_KEPT {
                self.buffer.shrink_to(BUFFER_BYTES_KEPT);
            }
        }
    }

    /// Walks over the next `len` bytes, which are then at this place in the buffer.
    fn take(&mut self, len: usize) -> Result<Range<usize>, FileError> {
        while self.buffer.len() - self.at < len {
            let end = self.buffer.len();
            self.buffer.resize(end + PIECE_BYTES, 0);
            let read = self.input.read(&mut self.buffer[end..]);
            self.buffer.truncate(end + read.as_ref().map_or(0, |read| *read));
            match read {
                Ok(0) => return Err(FileError::Truncated(self.offset + end as u64)),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(FileError::Io(error)),
            }
        }
        self.at += len;
        Ok(self.at - len..self.at)
    }

    /// Walks over so many bytes as the file says.
    fn pass(&mut self, len: u64) -> Result<(), FileError> {
        let start = self.position();
        self.take(usize::try_from(len).map_err(|_| FileError::Malformed(start, None))?).map(drop)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FileError> {
        let range = self.take(N)?;
        let mut array = [0; N];
        array.copy_from_slice(&self.buffer[range]);
        Ok(array)
    }

    fn byte(&mut self) -> Result<u8, FileError> {
        Ok(self.array::<1>()?[0])
    }

    /// A length, or the number of one of the special forms of a string.
    fn length_or_special(&mut self) -> Result<Result<u64, u8>, FileError> {
        let start = self.position();
        let first = self.byte()?;
        Ok(match first >> 6 {
            0 => Ok(u64::from(first & 0x3F)),
            1 => Ok(u64::from(first & 0x3F) << 8 | u64::from(self.byte()?)),
            3 => Err(first & 0x3F),
            _ if first == 0x80 => Ok(u32::from_be_bytes(self.array()?).into()),
            _ if first == 0x81 => Ok(u64::from_be_bytes(self.array()?)),
            _ => return Err(FileError::Malformed(start, None)),
        })
    }

    fn length(&mut self) -> Result<u64, FileError> {
        let start = self.position();
        self.length_or_special()?.map_err(|_| FileError::Malformed(start, None))
    }

    fn pass_string(&mut self) -> Result<(), FileError> {
        let start = self.position();
        match self.length_or_special()? {
            Ok(len) => self.pass(len),
            Err(form @ 0..=2) => self.pass(1 << form),
            Err(3) => {
                let packed = self.length()?;
                self.length()?;
                self.pass(packed)
            }
            Err(_) => Err(FileError::Malformed(start, None)),
        }
    }

    fn text(&mut self) -> Result<Vec<u8>, FileError> {
        let (start, from) = (self.position(), self.at);
        self.pass_string()?;
        let text = ValueReader::new(&self.buffer[from..self.at]).string();
        text.map_err(|_| FileError::Malformed(start, None))
    }

    fn pass_strings(&mut self, each: u64) -> Result<(), FileError> {
        for _ in 0..self.length()? {
            (0..each).try_for_each(|_| self.pass_string())?;
        }
        Ok(())
    }

    /// Walks over a value.
    fn pass_value(&mut self, kind: u8, start: u64) -> Result<(), FileError> {
        match kind {
            STRING
            | HASH_ZIPMAP
            | LIST_ZIPLIST
            | SET_INTSET
            | ZSET_ZIPLIST
            | HASH_ZIPLIST
            | HASH_LISTPACK
            | ZSET_LISTPACK
            | SET_LISTPACK
            | HASH_LISTPACK_EX_PRE_GA => self.pass_string(),
            LIST | SET | LIST_QUICKLIST => self.pass_strings(1),
            HASH => self.pass_strings(2),
            ZSET => {
                for _ in 0..self.length()? {
                    self.pass_string()?;
                    if let len @ 0..=252 = self.byte()? {
                        self.pass(len.into())?;
                    }
                }
                Ok(())
            }
            ZSET_2 => {
                for _ in 0..self.length()? {
                    self.pass_string()?;
                    self.pass(8)?;
                }
                Ok(())
            }
            LIST_QUICKLIST_2 => {
                for _ in 0..self.length()? {
                    self.length()?;
                    self.pass_string()?;
                }
                Ok(())
            }
            HASH_LISTPACK_EX => {
                self.pass(8)?;
                self.pass_string()
            }
            HASH_METADATA | HASH_METADATA_PRE_GA => {
                if kind == HASH_METADATA {
                    self.pass(8)?;
                }
                for _ in 0..self.length()? {
                    self.length()?;
                    self.pass_string()?;
                    self.pass_string()?;
                }
                Ok(())
            }
            STREAM_LISTPACKS | STREAM_LISTPACKS_2 | STREAM_LISTPACKS_3 => self.pass_stream(kind),
            _ => Err(FileError::Opcode(kind, start)),
        }
    }

    fn pass_lengths(&mut self, count: usize) -> Result<(), FileError> {
        (0..count).try_for_each(|_| self.length().map(drop))
    }

    fn pass_stream(&mut self, kind: u8) -> Result<(), FileError> {
        let old = kind == STREAM_LISTPACKS;
        // Nodes; then the number of entries, the last ID, and what version 7.0 added.
        self.pass_strings(2)?;
        self.pass_lengths(if old { 3 } else { 8 })?;
        for _ in 0..self.length()? {
            self.pass_string()?;
            self.pass_lengths(if old { 2 } else { 3 })?;
            for _ in 0..self.length()? {
                // ID and time of delivery.
                self.pass(16 + 8)?;
                self.length()?;
            }
            for _ in 0..self.length()? {
                self.pass_string()?;
                self.pass(if kind == STREAM_LISTPACKS_3 { 16 } else { 8 })?;
                for _ in 0..self.length()? {
                    self.pass(16)?;
                }
            }
        }
        Ok(())
    }

    /// Walks over what a module has beside the keys: three lengths, then values, each with what it is.
    fn pass_module(&mut self) -> Result<(), FileError> {
        let start = self.position();
        self.pass_lengths(3)?;
        loop {
            match self.length()? {
                0 => return Ok(()),
                1 | 2 => drop(self.length()?),
                3 => self.pass(4)?,
                4 => self.pass(8)?,
                5 => self.pass_string()?,
                _ => return Err(FileError::Malformed(start, None)),
            }
        }
    }
}
