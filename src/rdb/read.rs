//! Reads values as RDB files and DUMP payloads hold them, of every version from 9 to 12.
//!
//! Nothing is believed: every length is checked against what is there, every pack is walked, and members
//! that come twice are refused.

use super::lzf;
use super::old::{ziplist, zipmap};
use super::types::*;
use super::{Decoded, Limits, Malformed};
use crate::value::hash::Hash;
use crate::value::intset::Intset;
use crate::value::list::{End, List};
use crate::value::listpack::Listpack;
use crate::value::set::Set;
use crate::value::zset::Zset;
use crate::value::{Collection, PackLimits};

/// The latest deadline of a field, Unix milliseconds.
const FIELD_DEADLINE_MAX: u64 = (1 << 48) - 2;

/// Bytes that are read from the front.
pub struct Reader<'a> {
    rest: &'a [u8],
}

/// A length, or that a string in one of the special forms follows.
enum Length {
    Plain(u64),
    Special(u8),
}

impl<'a> Reader<'a> {
    /// Reads `bytes`.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    /// Whether all is read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `len` bytes.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    /// The next byte.
    pub fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    fn length_or_special(&mut self) -> Result<Length, Malformed> {
        let first = self.byte()?;
        Ok(match first >> 6 {
            0 => Length::Plain(u64::from(first & 0x3F)),
            1 => Length::Plain(u64::from(first & 0x3F) << 8 | u64::from(self.byte()?)),
            3 => Length::Special(first & 0x3F),
            _ if first == 0x80 => Length::Plain(u32::from_be_bytes(self.array()?).into()),
            _ if first == 0x81 => Length::Plain(u64::from_be_bytes(self.array()?)),
            _ => return Err(Malformed),
        })
    }

    /// A length or another number in its variable form.
    pub fn length(&mut self) -> Result<u64, Malformed> {
        match self.length_or_special()? {
            Length::Plain(len) => Ok(len),
            Length::Special(_) => Err(Malformed),
        }
    }

    /// The number of members of a collection, none of which is shorter than `bytes_min`; never 0.
    fn count(&mut self, bytes_min: usize) -> Result<usize, Malformed> {
        let count = usize::try_from(self.length()?).map_err(|_| Malformed)?;
        let bytes = count.checked_mul(bytes_min).ok_or(Malformed)?;
        if count == 0 || bytes > self.rest.len() { Err(Malformed) } else { Ok(count) }
    }

    /// A string.
    pub fn string(&mut self) -> Result<Vec<u8>, Malformed> {
        let int = |int: i64| itoa::Buffer::new().format(int).as_bytes().to_vec();
        Ok(match self.length_or_special()? {
            Length::Plain(len) => self.take(usize::try_from(len).map_err(|_| Malformed)?)?.to_vec(),
            Length::Special(0) => int((self.byte()? as i8).into()),
            Length::Special(1) => int(i16::from_le_bytes(self.array()?).into()),
            Length::Special(2) => int(i32::from_le_bytes(self.array()?).into()),
            Length::Special(3) => {
                let packed_len = usize::try_from(self.length()?).map_err(|_| Malformed)?;
                let len = usize::try_from(self.length()?).map_err(|_| Malformed)?;
                lzf::decompress(self.take(packed_len)?, len).ok_or(Malformed)?
            }
            Length::Special(_) => return Err(Malformed),
        })
    }

    /// A score as text, the form of old sorted sets.
    fn text_double(&mut self) -> Result<f64, Malformed> {
        match self.byte()? {
            255 => Ok(f64::NEG_INFINITY),
            254 => Ok(f64::INFINITY),
            253 => Err(Malformed),
            len => crate::number::parse_f64(self.take(usize::from(len))?).ok_or(Malformed),
        }
    }

    fn pack(&mut self) -> Result<Listpack, Malformed> {
        Listpack::from_bytes(self.string()?).map_err(|_| Malformed)
    }

    /// A value of this type.
    pub fn value(&mut self, kind: u8, limits: &Limits) -> Result<Decoded, Malformed> {
        let collection = match kind {
            STRING => return Ok(Decoded::String(self.string()?)),
            LIST => {
                let count = self.count(1)?;
                let mut list = List::default();
                for _ in 0..count {
                    push(&mut list, &self.string()?, limits);
                }
                Collection::List(list)
            }
            LIST_ZIPLIST => Collection::List(list_of(ziplist(&self.string()?).ok_or(Malformed)?, limits)?),
            LIST_QUICKLIST | LIST_QUICKLIST_2 => Collection::List(self.quicklist(kind, limits)?),
            SET => {
                let count = self.count(1)?;
                let mut set = None;
                for _ in 0..count {
                    let member = self.string()?;
                    let set = set.get_or_insert_with(|| Set::for_members(&member, count, &limits.set));
                    if !set.add(&member, &limits.set) {
                        return Err(Malformed);
                    }
                }
                Collection::Set(set.ok_or(Malformed)?)
            }
            SET_INTSET => {
                let ints = Intset::from_bytes(self.string()?).map_err(|_| Malformed)?;
                let mut set = Set::default();
                ints.iter().for_each(|int| {
                    set.add(itoa::Buffer::new().format(int).as_bytes(), &limits.set);
                });
                Collection::Set(set)
            }
            SET_LISTPACK => {
                let mut set = None;
                for member in self.pack()?.iter() {
                    let member = member.to_vec();
                    let set = set.get_or_insert_with(|| Set::Packed(Listpack::new()));
                    if !set.add(&member, &limits.set) {
                        return Err(Malformed);
                    }
                }
                Collection::Set(set.ok_or(Malformed)?)
            }
            ZSET | ZSET_2 => {
                let count = self.count(2)?;
                let mut zset = Zset::default();
                for _ in 0..count {
                    let member = self.string()?;
                    let score = match kind {
                        ZSET => self.text_double()?,
                        _ => f64::from_le_bytes(self.array()?),
                    };
                    add(&mut zset, &member, score, &limits.zset)?;
                }
                Collection::Zset(zset)
            }
            ZSET_ZIPLIST => Collection::Zset(zset_of(ziplist(&self.string()?).ok_or(Malformed)?, limits)?),
            ZSET_LISTPACK => {
                let elements = self.pack()?.iter().map(|element| element.to_vec()).collect();
                Collection::Zset(zset_of(elements, limits)?)
            }
            HASH => {
                let count = self.count(2)?;
                let mut hash = Hash::default();
                for _ in 0..count {
                    let (field, value) = (self.string()?, self.string()?);
                    set(&mut hash, &field, &value, None, &limits.hash)?;
                }
                Collection::Hash(hash)
            }
            HASH_ZIPMAP => Collection::Hash(hash_of(zipmap(&self.string()?).ok_or(Malformed)?, limits)?),
            HASH_ZIPLIST => Collection::Hash(hash_of(ziplist(&self.string()?).ok_or(Malformed)?, limits)?),
            HASH_LISTPACK => {
                let elements = self.pack()?.iter().map(|element| element.to_vec()).collect();
                Collection::Hash(hash_of(elements, limits)?)
            }
            HASH_METADATA | HASH_METADATA_PRE_GA | HASH_LISTPACK_EX | HASH_LISTPACK_EX_PRE_GA => {
                Collection::Hash(self.expiring_hash(kind, limits)?)
            }
            STREAM_LISTPACKS | STREAM_LISTPACKS_2 | STREAM_LISTPACKS_3 => {
                Collection::Stream(Box::new(super::stream::read(self, kind)?))
            }
            _ => return Err(Malformed),
        };
        Ok(Decoded::Collection(collection))
    }

    fn quicklist(&mut self, kind: u8, limits: &Limits) -> Result<List, Malformed> {
        const PLAIN: u64 = 1;
        const PACKED: u64 = 2;
        let mut list = List::default();
        for _ in 0..self.count(1)? {
            match if kind == LIST_QUICKLIST { None } else { Some(self.length()?) } {
                None => {
                    for element in ziplist(&self.string()?).ok_or(Malformed)? {
                        push(&mut list, &element, limits);
                    }
                }
                Some(PLAIN) => push(&mut list, &self.string()?, limits),
                Some(PACKED) => {
                    for element in self.pack()?.iter() {
                        element.with(|text| push(&mut list, text, limits));
                    }
                }
                Some(_) => return Err(Malformed),
            }
        }
        if list.is_empty() { Err(Malformed) } else { Ok(list) }
    }

    fn expiring_hash(&mut self, kind: u8, limits: &Limits) -> Result<Hash, Malformed> {
        let mut hash = Hash::default();
        let released = matches!(kind, HASH_METADATA | HASH_LISTPACK_EX);
        let earliest = if released { u64::from_le_bytes(self.array()?) } else { 0 };
        let deadline = |at: u64| match at {
            0 => Ok(None),
            at if at <= FIELD_DEADLINE_MAX => Ok(Some(at as i64)),
            _ => Err(Malformed),
        };
        if matches!(kind, HASH_LISTPACK_EX | HASH_LISTPACK_EX_PRE_GA) {
            let pack = self.pack()?;
            let mut elements = pack.iter();
            while let Some(field) = elements.next() {
                let (Some(value), Some(at)) = (elements.next(), elements.next()) else {
                    return Err(Malformed);
                };
                let at = at.as_int().and_then(|at| u64::try_from(at).ok()).ok_or(Malformed)?;
                set(&mut hash, &field.to_vec(), &value.to_vec(), deadline(at)?, &limits.hash)?;
            }
        } else {
            for _ in 0..self.count(3)? {
                let at = self.length()?;
                let at = match at {
                    0 => 0,
                    at if released => at.checked_add(earliest).ok_or(Malformed)? - 1,
                    at => at,
                };
                let (field, value) = (self.string()?, self.string()?);
                set(&mut hash, &field, &value, deadline(at)?, &limits.hash)?;
            }
        }
        if hash.is_empty() { Err(Malformed) } else { Ok(hash) }
    }
}

fn push(list: &mut List, element: &[u8], limits: &Limits) {
    list.make_room(element.len(), 1, limits.list);
    list.push(End::Back, element, limits.list);
}

fn list_of(elements: Vec<Vec<u8>>, limits: &Limits) -> Result<List, Malformed> {
    let mut list = List::default();
    elements.iter().for_each(|element| push(&mut list, element, limits));
    if list.is_empty() { Err(Malformed) } else { Ok(list) }
}

fn set(
    hash: &mut Hash,
    field: &[u8],
    value: &[u8],
    at_ms: Option<i64>,
    limits: &PackLimits,
) -> Result<(), Malformed> {
    if hash.set_until(field, value, at_ms, limits) { Ok(()) } else { Err(Malformed) }
}

fn hash_of(elements: Vec<Vec<u8>>, limits: &Limits) -> Result<Hash, Malformed> {
    let mut hash = Hash::default();
    if elements.is_empty() || !elements.len().is_multiple_of(2) {
        return Err(Malformed);
    }
    for pair in elements.chunks(2) {
        set(&mut hash, &pair[0], &pair[1], None, &limits.hash)?;
    }
    Ok(hash)
}

fn add(zset: &mut Zset, member: &[u8], score: f64, limits: &PackLimits) -> Result<(), Malformed> {
    let new = !score.is_nan() && zset.insert(member, score, limits).is_none();
    if new { Ok(()) } else { Err(Malformed) }
}

fn zset_of(elements: Vec<Vec<u8>>, limits: &Limits) -> Result<Zset, Malformed> {
    let mut zset = Zset::default();
    if elements.is_empty() || !elements.len().is_multiple_of(2) {
        return Err(Malformed);
    }
    for pair in elements.chunks(2) {
        let score = crate::number::parse_f64(&pair[1]).ok_or(Malformed)?;
        add(&mut zset, &pair[0], score, &limits.zset)?;
    }
    Ok(zset)
}
