//! Writes values as RDB files and DUMP payloads hold them, in forms that Redis 7.0 and later read; only a
//! hash whose fields expire takes the form of 7.4.

use super::types::*;
use crate::number;
use crate::value::Collection;
use crate::value::hash::Hash;
use crate::value::set::Set;
use crate::value::string::StringRef;
use crate::value::zset::Zset;

/// Appends a length or another number in its variable form.
pub fn length(out: &mut Vec<u8>, len: u64) {
    match len {
        0..0x40 => out.push(len as u8),
        0x40..0x4000 => out.extend_from_slice(&(len as u16 | 0x4000).to_be_bytes()),
        _ if u32::try_from(len).is_ok() => {
            out.push(0x80);
            out.extend_from_slice(&(len as u32).to_be_bytes());
        }
        _ => {
            out.push(0x81);
            out.extend_from_slice(&len.to_be_bytes());
        }
    }
}

/// Appends a string, an integer of up to 32 bits in its short form.
pub fn string(out: &mut Vec<u8>, text: &[u8]) {
    if text.len() <= 11
        && let Some(int) = number::parse_i64(text)
    {
        if let Ok(int) = i8::try_from(int) {
            return out.extend_from_slice(&[0xC0, int as u8]);
        } else if let Ok(int) = i16::try_from(int) {
            out.push(0xC1);
            return out.extend_from_slice(&int.to_le_bytes());
        } else if let Ok(int) = i32::try_from(int) {
            out.push(0xC2);
            return out.extend_from_slice(&int.to_le_bytes());
        }
    }
    bytes(out, text);
}

/// Appends a string as it is.
pub fn bytes(out: &mut Vec<u8>, text: &[u8]) {
    length(out, text.len() as u64);
    out.extend_from_slice(text);
}

/// Appends a type and, in a file, the key, which stands between it and the value.
pub fn begin(out: &mut Vec<u8>, kind: u8, key: Option<&[u8]>) {
    out.push(kind);
    if let Some(key) = key {
        string(out, key);
    }
}

/// Appends the type and the value of a string.
pub fn string_value(out: &mut Vec<u8>, key: Option<&[u8]>, value: StringRef<'_>) {
    begin(out, STRING, key);
    value.with(|text| string(out, text));
}

/// Appends the type and the value of a collection. Answers the version of the format that has them.
pub fn collection(out: &mut Vec<u8>, key: Option<&[u8]>, collection: &Collection) -> u16 {
    match collection {
        Collection::List(list) => {
            begin(out, LIST_QUICKLIST_2, key);
            length(out, list.packs().count() as u64);
            for pack in list.packs() {
                length(out, 2);
                bytes(out, pack.as_bytes());
            }
        }
        Collection::Set(Set::Ints(ints)) => {
            begin(out, SET_INTSET, key);
            bytes(out, ints.as_bytes());
        }
        Collection::Set(set) => {
            begin(out, SET, key);
            length(out, set.len() as u64);
            set.for_each(|member| string(out, member));
        }
        Collection::Zset(Zset::Packed(pack)) => {
            begin(out, ZSET_LISTPACK, key);
            bytes(out, pack.as_bytes());
        }
        Collection::Zset(zset) => {
            begin(out, ZSET_2, key);
            length(out, zset.len() as u64);
            // Backwards, as Redis does: each is then the first one when it is read.
            zset.visit(0, usize::MAX, true, |member, score| {
                string(out, member);
                out.extend_from_slice(&score.to_le_bytes());
            });
        }
        Collection::Hash(Hash::Packed(pack)) => {
            begin(out, HASH_LISTPACK, key);
            bytes(out, pack.as_bytes());
        }
        Collection::Hash(hash) => return self::hash(out, key, hash),
        Collection::Stream(stream) => super::stream::write(out, key, stream),
    }
    VERSION_OF_7_0
}

fn hash(out: &mut Vec<u8>, key: Option<&[u8]>, hash: &Hash) -> u16 {
    let Some(earliest) = hash.next_deadline() else {
        begin(out, HASH, key);
        length(out, hash.len() as u64);
        hash.for_each(i64::MIN, |field, value| {
            string(out, field);
            string(out, value);
        });
        return VERSION_OF_7_0;
    };
    begin(out, HASH_METADATA, key);
    out.extend_from_slice(&earliest.to_le_bytes());
    length(out, hash.len() as u64);
    hash.for_each(i64::MIN, |field, value| {
        let at = hash.deadline(field, i64::MIN).flatten();
        length(out, at.map_or(0, |at| (at - earliest + 1) as u64));
        string(out, field);
        string(out, value);
    });
    VERSION_OF_7_4
}
