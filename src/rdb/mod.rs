//! Values as bytes, in Redis's own format: the payloads of DUMP and RESTORE, and whole [`file`]s.
//!
//! ```text
//! payload: type u8 | value | version u16 | CRC-64 of all before it u64        little-endian
//! ```

pub mod file;
mod lzf;
mod old;
mod read;
mod stream;
mod types;
mod write;

pub use crate::value::Limits;

use crate::value::Collection;
use crate::value::set::Set;
use crate::value::string::StringRef;
use read::Reader;

/// The latest version of the format that is read.
pub const VERSION_MAX: u16 = types::VERSION_OF_7_4;

const FOOTER_BYTES: usize = 10;

/// Bytes that are no value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

/// A value that was read.
pub enum Decoded {
    /// A string.
    String(Vec<u8>),
    /// Anything else.
    Collection(Collection),
}

/// A value that is to be written.
pub enum Value<'a> {
    /// A string.
    String(StringRef<'a>),
    /// Anything else.
    Collection(&'a Collection),
}

fn checksum(bytes: &[u8]) -> u64 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Redis, bytes)
}

/// Appends the type and the value, without version and sum, in a form that keeps what is packed packed.
pub fn write_copy(out: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Collection(Collection::Set(Set::Packed(pack))) => {
            out.push(types::SET_LISTPACK);
            write::bytes(out, pack.as_bytes());
        }
        Value::Collection(Collection::Stream(stream)) => stream::write_copy(out, stream),
        value => {
            write_value(out, None, value);
        }
    }
}

/// Reads what [`write_copy`] has written.
///
/// # Errors
/// When the bytes are no value.
pub fn read_copy(bytes: &[u8], limits: &Limits) -> Result<Decoded, Malformed> {
    let mut reader = Reader::new(bytes);
    let kind = reader.byte()?;
    let value = reader.value(kind, limits)?;
    if reader.is_empty() { Ok(value) } else { Err(Malformed) }
}

/// When the first field is due of a hash that [`write_copy`] has written; `None` for all else.
pub fn earliest_member_deadline(bytes: &[u8]) -> Option<i64> {
    let (kind, rest) = bytes.split_first()?;
    let earliest = rest.first_chunk().filter(|_| *kind == types::HASH_METADATA)?;
    i64::try_from(u64::from_le_bytes(*earliest)).ok()
}

/// The payload of a value.
pub fn dump(value: &Value<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let version = write_value(&mut out, None, value);
    sealed(out, version)
}

/// Appends type, key and value; answers the version of the format that has them.
fn write_value(out: &mut Vec<u8>, key: Option<&[u8]>, value: &Value<'_>) -> u16 {
    match value {
        Value::String(string) => {
            write::string_value(out, key, *string);
            types::VERSION_OF_7_0
        }
        Value::Collection(collection) => write::collection(out, key, collection),
    }
}

/// A payload from a type and a value: version and sum are added.
pub fn sealed(mut out: Vec<u8>, version: u16) -> Vec<u8> {
    out.extend_from_slice(&version.to_le_bytes());
    let sum = checksum(&out);
    out.extend_from_slice(&sum.to_le_bytes());
    out
}

/// Whether a payload has a version that is read here and the right sum.
pub fn is_sound(payload: &[u8]) -> bool {
    let Some(end) = payload.len().checked_sub(FOOTER_BYTES) else { return false };
    let version = u16::from_le_bytes([payload[end], payload[end + 1]]);
    let sum = payload[end + 2..].try_into().map(u64::from_le_bytes);
    version <= VERSION_MAX && sum.is_ok_and(|sum| sum == checksum(&payload[..end + 2]))
}

/// The value of a sound payload.
pub fn restore(payload: &[u8], limits: &Limits) -> Result<Decoded, Malformed> {
    let end = payload.len().checked_sub(FOOTER_BYTES).ok_or(Malformed)?;
    read_copy(&payload[..end], limits)
}
