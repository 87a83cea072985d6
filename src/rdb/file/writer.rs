//! Writes a file.

use super::super::types::{
    AUX, EOF, EXPIRE_TIME_MS, FREQ, IDLE, RESIZE_DB, SELECT_DB, VERSION_OF_7_0, VERSION_OF_7_4,
};
use super::super::write::{length, string};
use super::super::{Value, write_value};
use super::{HEADER_BYTES, Use};
use crc_fast::{CrcAlgorithm, Digest, checksum_combine};
use std::io::{self, Seek, SeekFrom, Write};

/// Appends a record. Answers the version of the format that has it.
pub fn record(
    out: &mut Vec<u8>,
    key: &[u8],
    value: &Value<'_>,
    expires_at_ms: Option<i64>,
    used: Use,
) -> u16 {
    if let Some(at) = expires_at_ms {
        out.push(EXPIRE_TIME_MS);
        out.extend_from_slice(&at.to_le_bytes());
    }
    match used {
        Use::Unknown => {}
        Use::Idle(seconds) => {
            out.push(IDLE);
            length(out, seconds);
        }
        Use::Frequency(counter) => out.extend_from_slice(&[FREQ, counter]),
    }
    write_value(out, Some(key), value)
}

/// The header of a version.
fn header(version: u16) -> [u8; HEADER_BYTES] {
    let mut header = *b"REDIS0000";
    header[HEADER_BYTES - 2] += (version / 10 % 10) as u8;
    header[HEADER_BYTES - 1] += (version % 10) as u8;
    header
}

/// A file on its way.
pub struct Writer<W> {
    out: W,
    /// Of all behind the header; `None` where the file is to have no sum.
    sum: Option<Digest>,
    /// What is written together.
    part: Vec<u8>,
    version: u16,
    database: Option<usize>,
    bytes: u64,
}

impl<W: Write> Writer<W> {
    /// Begins a file with these auxiliary fields. `with_sum` is `rdbchecksum`.
    ///
    /// # Errors
    /// Those of `out`; so with all others here.
    pub fn new(out: W, fields: &[(&str, String)], with_sum: bool) -> io::Result<Writer<W>> {
        let sum = with_sum.then(|| Digest::new(CrcAlgorithm::Crc64Redis));
        let mut writer =
            Writer { out, sum, part: Vec::new(), version: VERSION_OF_7_0, database: None, bytes: 0 };
        writer.out.write_all(&header(VERSION_OF_7_0))?;
        writer.bytes = HEADER_BYTES as u64;
        for (name, value) in fields {
            writer.part.push(AUX);
            string(&mut writer.part, name.as_bytes());
            string(&mut writer.part, value.as_bytes());
        }
        writer.flush_part()?;
        Ok(writer)
    }

    fn flush_part(&mut self) -> io::Result<()> {
        let part = std::mem::take(&mut self.part);
        let result = self.put(&part);
        self.part = part;
        self.part.clear();
        result
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(sum) = &mut self.sum {
            sum.update(bytes);
        }
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    fn select(&mut self, database: usize) -> io::Result<()> {
        if self.database == Some(database) {
            return Ok(());
        }
        self.database = Some(database);
        self.part.push(SELECT_DB);
        length(&mut self.part, database as u64);
        self.flush_part()
    }

    /// Says how large a database is; a hint to whoever reads.
    ///
    /// # Errors
    /// Those of the output.
    pub fn size(&mut self, database: usize, keys: u64, expires: u64) -> io::Result<()> {
        self.select(database)?;
        self.part.push(RESIZE_DB);
        length(&mut self.part, keys);
        length(&mut self.part, expires);
        self.flush_part()
    }

    /// Adds records of a database, as [`record`] made them, of which `version` is the highest version.
    ///
    /// # Errors
    /// Those of the output.
    pub fn records(&mut self, database: usize, records: &[u8], version: u16) -> io::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        self.version = self.version.max(version);
        self.select(database)?;
        self.put(records)
    }

    /// The bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Ends the file, and gives the output back, with all written to it and not yet flushed.
    ///
    /// # Errors
    /// Those of the output.
    pub fn finish(mut self) -> io::Result<W>
    where
        W: Seek,
    {
        self.put(&[EOF])?;
        let header = header(self.version);
        let sum = self.sum.map_or(0, |sum| {
            let before = super::super::checksum(&header);
            checksum_combine(
                CrcAlgorithm::Crc64Redis,
                before,
                sum.finalize(),
                self.bytes - HEADER_BYTES as u64,
            )
        });
        self.out.write_all(&sum.to_le_bytes())?;
        if self.version >= VERSION_OF_7_4 {
            self.out.seek(SeekFrom::Start(0))?;
            self.out.write_all(&header)?;
            self.out.seek(SeekFrom::End(0))?;
        }
        Ok(self.out)
    }
}
