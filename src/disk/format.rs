//! The bytes of a segment. All numbers are little-endian.
//!
//! ```text
//! segment   header, 64 bytes | record | record | ... | zeros up to the end of the file
//! header    0  "STRATAL2"
//!           8  version of the format, u32
//!           12 CRC-32 of the rest, u32
//!           16 sequence number of the segment, u64
//! record    begins at a multiple of 16
//!           0  CRC-32 of the segment's sequence number and of all that follows in the record
//!           4  length with this header, without padding, u32
//!           8  version, u64: of two records of one key the higher is right
//!           16 space, u32: which database it belongs to (see `Kind::Spaces`)
//!           20 length of the key, u32
//!           24 kind, u8
//!           25 flags, u8
//!           26 zero, u16
//!           28 how many bytes of its frame follow after this record and its padding, u32
//!           32 deadline, Unix milliseconds, i64; 0 without one
//!           40 key, then the value
//! ```
//!
//! Records that must come into force together are a frame: they lie one behind the other, and each says how
//! much of the frame follows. A frame with a damaged record counts as never written.

use std::ops::Range;

/// What the header of a segment begins with.
pub const MAGIC: &[u8; 8] = b"STRATAL2";
/// The version of the format that is written and read.
pub const FORMAT: u32 = 2;
/// Where the first record begins.
pub const SEGMENT_HEADER_BYTES: usize = 64;
/// The length of a record without key and value.
pub const RECORD_HEADER_BYTES: usize = 40;
/// Records begin at multiples of this.
pub const ALIGN: usize = 16;

/// What a record is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// The key's value is a string: the bytes as they are.
    String = 1,
    /// The key's value is a collection, as in an RDB file: type, then value.
    Collection = 2,
    /// The key is gone.
    Tombstone = 3,
    /// Which space each database is: the value is a u32 for each. Emptying a database gives it a new space.
    Spaces = 4,
    /// What was done to the key's collection: the version of the record before it, u64, then a journal's notes. Key and
    /// deadline are as in a record of the whole value.
    Delta = 5,
}

/// Flags of a record.
pub mod flag {
    /// There is a deadline.
    pub const EXPIRES: u8 = 1;
    /// Not the first record of its frame.
    pub const CONTINUES: u8 = 2;
    /// The value has the mark of a string that was edited in place.
    pub const EDITED: u8 = 4;
    /// The collection was not packed.
    pub const UNPACKED: u8 = 8;
    /// The string is kept as an integer.
    pub const INTEGER: u8 = 16;
    /// All that are known.
    pub const ALL: u8 = EXPIRES | CONTINUES | EDITED | UNPACKED | INTEGER;
}

/// A record as it stands in a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    /// Of two records of one key the higher is right.
    pub version: u64,
    /// Which database it belongs to.
    pub space: u32,
    /// What it is.
    pub kind: Kind,
    /// See [`flag`].
    pub flags: u8,
    /// Unix milliseconds.
    pub expires_at_ms: Option<i64>,
    /// How many bytes of its frame follow.
    pub frame_left: usize,
    /// The key.
    pub key: &'a [u8],
    /// The value.
    pub value: &'a [u8],
}

/// Why bytes are no record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Damage {
    /// The length is impossible or goes past the end.
    Length,
    /// The sum does not match.
    Checksum,
    /// It is part of a frame that is not whole.
    Frame,
    /// A field says what this version does not know.
    Unknown,
}

/// A length rounded up to where the next record begins.
pub fn padded(len: usize) -> usize {
    len.next_multiple_of(ALIGN)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|eight| eight.try_into().ok()).map_or(0, u64::from_le_bytes)
}

fn checksum(sequence: u64, bytes: &[u8]) -> u32 {
    Seal::new(sequence).of(bytes)
}

/// What the sums of a segment's records begin with. Kept by who writes many: to make one asks what the processor can do.
#[derive(Clone)]
pub struct Seal(crc32fast::Hasher);

impl Seal {
    /// Of the segment of this sequence number.
    pub fn new(sequence: u64) -> Seal {
        Seal(crc32fast::Hasher::new_with_initial(sequence as u32 ^ (sequence >> 32) as u32))
    }

    fn of(&self, bytes: &[u8]) -> u32 {
        let mut sum = self.0.clone();
        sum.update(bytes);
        sum.finalize()
    }

    /// Puts its sum into a record, `bytes` without the padding.
    fn close(&self, bytes: &mut [u8]) {
        let sum = self.of(&bytes[4..]);
        bytes[..4].copy_from_slice(&sum.to_le_bytes());
    }
}

/// Appends a record and its padding, but for the sum, and as if it were a frame of its own. `write` appends the value;
/// `record.value` and `record.frame_left` are not used. Returns where the record lies.
#[inline]
fn encode(record: &Record<'_>, write: impl FnOnce(&mut Vec<u8>), out: &mut Vec<u8>) -> Range<usize> {
    let start = out.len();
    // For a short value, too.
    out.reserve(RECORD_HEADER_BYTES + record.key.len() + 256);
    let mut header = [0; RECORD_HEADER_BYTES];
    header[8..16].copy_from_slice(&record.version.to_le_bytes());
    header[16..20].copy_from_slice(&record.space.to_le_bytes());
    header[20..24].copy_from_slice(&(record.key.len() as u32).to_le_bytes());
    header[24] = record.kind as u8;
    header[25] = record.flags | if record.expires_at_ms.is_some() { flag::EXPIRES } else { 0 };
    header[32..40].copy_from_slice(&record.expires_at_ms.unwrap_or(0).to_le_bytes());
    out.extend_from_slice(&header);
    out.extend_from_slice(record.key);
    write(out);
    let end = out.len();
    out[start + 4..start + 8].copy_from_slice(&((end - start) as u32).to_le_bytes());
    // More than is needed, of a length that is known, is faster than a few bytes.
    out.extend_from_slice(&[0; ALIGN]);
    out.truncate(start + padded(end - start));
    start..end
}

/// Appends a frame of one record to what is on its way to a segment. `write` appends the value; `record.value` and
/// `record.frame_left` are not used.
pub fn push_single(record: &Record<'_>, seal: &Seal, write: impl FnOnce(&mut Vec<u8>), out: &mut Vec<u8>) {
    let lies = encode(record, write, out);
    seal.close(&mut out[lies]);
}

/// The header of a segment.
pub fn segment_header(sequence: u64) -> [u8; SEGMENT_HEADER_BYTES] {
    let mut header = [0; SEGMENT_HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    header[16..24].copy_from_slice(&sequence.to_le_bytes());
    let sum = header_sum(&header);
    header[12..16].copy_from_slice(&sum.to_le_bytes());
    header
}

fn header_sum(header: &[u8]) -> u32 {
    checksum(u64::from(checksum(0, &header[..12])), &header[16..24])
}

/// What a segment's header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Header {
    /// It is sound.
    Sequence(u64),
    /// It has a format of another version.
    Format(u32),
    /// It is none.
    Damaged,
}

/// Reads the header of a segment.
pub fn read_header(bytes: &[u8]) -> Header {
    let sequence = u64_at(bytes, 16);
    if bytes.len() < SEGMENT_HEADER_BYTES || &bytes[..8] != MAGIC {
        return Header::Damaged;
    }
    // The sum first: a header of which the power left half is no reason to refuse the rest.
    match u32_at(bytes, 8) {
        _ if u32_at(bytes, 12) != header_sum(bytes) => Header::Damaged,
        FORMAT => Header::Sequence(sequence),
        other => Header::Format(other),
    }
}

/// Whether the bytes at the place of a record are zeros: nothing was written here.
pub fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().take(RECORD_HEADER_BYTES).all(|byte| *byte == 0)
}

/// The length of the record that begins here, which nothing vouches for.
pub fn claimed_len(bytes: &[u8]) -> usize {
    u32_at(bytes, 4) as usize
}

/// Reads the record that `bytes` begin with, in the segment of this sequence number.
///
/// # Errors
/// What is wrong with it.
pub fn read(bytes: &[u8], sequence: u64) -> Result<Record<'_>, Damage> {
    let len = claimed_len(bytes);
    let key_len = u32_at(bytes, 20) as usize;
    if len > bytes.len() || len < RECORD_HEADER_BYTES || key_len > len - RECORD_HEADER_BYTES {
        return Err(Damage::Length);
    }
    let bytes = &bytes[..len];
    let flags = bytes[25];
    // Before the sum, whose length may be anything where these are wrong.
    let kind = match bytes[24] {
        1 => Kind::String,
        2 => Kind::Collection,
        3 => Kind::Tombstone,
        4 => Kind::Spaces,
        5 => Kind::Delta,
        _ => return Err(Damage::Unknown),
    };
    if flags & !flag::ALL != 0 || bytes[26..28] != [0, 0] {
        return Err(Damage::Unknown);
    }
    if u32_at(bytes, 0) != checksum(sequence, &bytes[4..]) {
        return Err(Damage::Checksum);
    }
    let (key, value) = bytes[RECORD_HEADER_BYTES..].split_at(key_len);
    Ok(Record {
        version: u64_at(bytes, 8),
        space: u32_at(bytes, 16),
        kind,
        flags,
        expires_at_ms: (flags & flag::EXPIRES != 0).then(|| u64_at(bytes, 32) as i64),
        frame_left: u32_at(bytes, 28) as usize,
        key,
        value,
    })
}

/// Records that come into force together, on their way to a segment.
#[derive(Default)]
pub struct Frame {
    bytes: Vec<u8>,
    /// Where the records lie.
    records: Vec<Range<usize>>,
}

impl Frame {
    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The bytes with all padding.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Where the records lie in the frame.
    pub fn records(&self) -> &[Range<usize>] {
        &self.records
    }

    /// Empties it; the room for a large one is given back.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(64 * 1024);
        self.records.clear();
        self.records.shrink_to(1024);
    }

    /// Adds a record, whose value `write` appends; `record.value` and `record.frame_left` are not used.
    pub fn push(&mut self, record: &Record<'_>, write: impl FnOnce(&mut Vec<u8>)) {
        let lies = encode(record, write, &mut self.bytes);
        self.records.push(lies);
    }

    /// The bytes for the segment of this sequence number.
    pub fn seal(&mut self, sequence: u64) -> &[u8] {
        self.seal_as(sequence, true)
    }

    /// As [`Self::seal`], but of records that have nothing to do with each other.
    pub fn seal_singly(&mut self, sequence: u64) -> &[u8] {
        self.seal_as(sequence, false)
    }

    fn seal_as(&mut self, sequence: u64, together: bool) -> &[u8] {
        let total = self.bytes.len();
        let seal = Seal::new(sequence);
        for (index, Range { start, end }) in self.records.iter().cloned().enumerate() {
            if index > 0 && together {
                self.bytes[start + 25] |= flag::CONTINUES;
            }
            let left = if together { (total - padded(end)) as u32 } else { 0 };
            self.bytes[start + 28..start + 32].copy_from_slice(&left.to_le_bytes());
            seal.close(&mut self.bytes[start..end]);
        }
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record<'a>(key: &'a [u8], value: &'a [u8], version: u64, expires_at_ms: Option<i64>) -> Record<'a> {
        Record { version, space: 7, kind: Kind::String, flags: 0, expires_at_ms, frame_left: 0, key, value }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn a_frame_reads_back_and_no_changed_byte_goes_unnoticed(
            records in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), prop::collection::vec(any::<u8>(), 0..200), any::<u64>(), any::<Option<i64>>()), 1..5),
            sequence: u64,
            change in any::<(usize, u8)>(),
        ) {
            let mut frame = Frame::default();
            for (key, value, version, expires) in &records {
                frame.push(&record(key, value, *version, *expires), |out| out.extend_from_slice(value));
            }
            let mut bytes = frame.seal(sequence).to_vec();
            let mut at = 0;
            for (index, (key, value, version, expires)) in records.iter().enumerate() {
                let read = read(&bytes[at..], sequence).expect("sound");
                prop_assert_eq!((read.key, read.value, read.version, read.expires_at_ms), (&key[..], &value[..], *version, *expires));
                prop_assert_eq!(read.flags & flag::CONTINUES != 0, index > 0);
                at += padded(claimed_len(&bytes[at..]));
                prop_assert_eq!(read.frame_left, bytes.len() - at);
            }
            prop_assert_eq!(at, bytes.len());
            let len = claimed_len(&bytes);
            let (place, with) = (change.0 % len, change.1.max(1));
            bytes[place] ^= with;
            prop_assert!(read(&bytes, sequence).is_err());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), sequence: u64) {
            let _ = read(&bytes, sequence);
            let _ = read_header(&bytes);
            let _ = is_blank(&bytes);
        }
    }

    #[test]
    fn a_record_of_another_segment_is_refused() {
        let mut frame = Frame::default();
        frame.push(&record(b"k", b"v", 1, None), |out| out.push(b'v'));
        assert_eq!(read(frame.seal(3), 4), Err(Damage::Checksum));
        assert_eq!(read_header(&segment_header(9)), Header::Sequence(9));
    }

    /// The power went while a header was written, and left the magic but not the version: the server refused to start
    /// because of "version 0".
    #[test]
    fn half_a_header_is_damage_and_no_other_version() {
        let mut header = segment_header(7);
        header[8..12].fill(0);
        assert_eq!(read_header(&header), Header::Damaged);
        header[8..12].copy_from_slice(&(FORMAT + 1).to_le_bytes());
        let sum = header_sum(&header);
        header[12..16].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(read_header(&header), Header::Format(FORMAT + 1));
    }
}
