//! The data structures and their compact forms; no protocol, no keys of the keyspace, no clock.
//!
//! A string is kept by its entry (see [`string`]); everything else is a [`Collection`]. Small collections
//! are packed into contiguous bytes ([`listpack`], [`intset`]); large ones are a [`table`] of members, a
//! tree beside it for sorted sets ([`zset`]), or a row of packed chunks ([`list`]).

pub mod bits;
pub mod blob;
pub mod geo;
pub mod hash;
pub mod hyperloglog;
pub mod intset;
pub mod journal;
pub mod lcs;
pub mod list;
pub mod listpack;
pub mod prefetch;
pub mod set;
pub mod size_class;
pub mod stream;
pub mod string;
pub mod table;
pub mod zset;

use hash::Hash;
use list::{ChunkLimit, List};
use listpack::Listpack;
use prefetch::{Aim, prefetch_all, prefetch_ends, prefetch_lines};
use set::{Set, SetLimits};
use stream::Stream;
use zset::Zset;

/// Up to where a collection stays packed (`…-max-listpack-entries`, `…-max-listpack-value`).
#[derive(Clone, Copy, Debug)]
pub struct PackLimits {
    /// The most members.
    pub entries: usize,
    /// The longest member in bytes.
    pub value_bytes: usize,
}

/// Up to where collections of all types stay packed.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Hashes.
    pub hash: PackLimits,
    /// Lists.
    pub list: ChunkLimit,
    /// Sets.
    pub set: SetLimits,
    /// Sorted sets.
    pub zset: PackLimits,
}

impl Limits {
    /// Under which all stay as packed as they were written, or nothing but a list stays packed.
    pub fn for_copies(self, packed: bool) -> Limits {
        let most = if packed { usize::MAX } else { 0 };
        let pack = PackLimits { entries: most, value_bytes: most };
        Limits { hash: pack, list: self.list, set: SetLimits { ints: most, pack }, zset: pack }
    }
}

/// A pack longer than this is never added to: its length has 32 bits.
const PACK_BYTES_MAX: usize = 1 << 30;

impl PackLimits {
    /// Whether `member` may be added to `pack` as far as lengths go.
    pub fn fits(&self, pack: &Listpack, member: &[u8]) -> bool {
        member.len() <= self.value_bytes && pack.byte_len() + member.len() <= PACK_BYTES_MAX
    }
}

/// A value that is no string.
#[derive(Clone)]
pub enum Collection {
    /// Fields and values.
    Hash(Hash),
    /// Elements in the order of insertion.
    List(List),
    /// Different members.
    Set(Set),
    /// Different members in the order of their scores.
    Zset(Zset),
    /// Entries in the order of their IDs.
    Stream(Box<Stream>),
}

// An entry has it inline: 16 bytes more a key where this grows.
const _: () = assert!(size_of::<Collection>() <= 32);

/// How many lines of a pack are asked for: those of 16 requests must not push each other out.
const PACK_LINES_MAX: usize = 12;

/// From this many members on a collection that is not packed is freed in the background.
const LARGE_LEN: usize = 1024;

impl Collection {
    /// The name of the type, as TYPE says it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Collection::Hash(_) => "hash",
            Collection::List(_) => "list",
            Collection::Set(_) => "set",
            Collection::Zset(_) => "zset",
            Collection::Stream(_) => "stream",
        }
    }

    /// The name that Redis has for the way it is kept.
    pub fn encoding(&self) -> &'static str {
        match self {
            Collection::Hash(hash) => hash.encoding(),
            Collection::List(list) => list.encoding(),
            Collection::Set(set) => set.encoding(),
            Collection::Zset(zset) => zset.encoding(),
            Collection::Stream(_) => "stream",
        }
    }

    /// The number of members.
    pub fn len(&self) -> usize {
        match self {
            Collection::Hash(hash) => hash.len(),
            Collection::List(list) => list.len(),
            Collection::Set(set) => set.len(),
            Collection::Zset(zset) => zset.len(),
            Collection::Stream(stream) => stream.log.len() as usize,
        }
    }

    /// Whether a key with it must go. (A stream without entries stays.)
    pub fn is_empty(&self) -> bool {
        !matches!(self, Collection::Stream(_)) && self.len() == 0
    }

    /// Whether freeing it takes long.
    pub fn is_large(&self) -> bool {
        self.len() >= LARGE_LEN
    }

    /// The hash of a member, where there is a table of members that it is looked up by.
    #[inline]
    pub fn hash_of(&self, member: &[u8]) -> Option<u64> {
        match self {
            Collection::Hash(Hash::Table(_))
            | Collection::Set(Set::Table(_))
            | Collection::Zset(Zset::Ordered(_)) => Some(table::hash(member)),
            _ => None,
        }
    }

    /// Asks the processor for what a command will touch, one pointer deeper with each step from 0 on: what
    /// an earlier step asked for is read. Answers whether there is more to ask for.
    #[inline]
    pub fn prefetch(&self, step: usize, aim: Aim<'_>) -> bool {
        match self {
            Collection::Hash(Hash::Packed(pack))
            | Collection::Set(Set::Packed(pack))
            | Collection::Zset(Zset::Packed(pack)) => {
                // Half of it is read to find a member, on average, and where the next one is says only the one before.
                prefetch_lines(pack.as_bytes(), PACK_LINES_MAX);
                false
            }
            Collection::List(List::Packed(pack)) => {
                prefetch_ends(pack.as_bytes());
                false
            }
            Collection::Set(Set::Ints(ints)) => {
                prefetch_all(ints.as_bytes());
                false
            }
            Collection::Hash(Hash::Table(table)) | Collection::Set(Set::Table(table)) => {
                prefetch_or(step, &**table, |table, step| table.prefetch(step, aim))
            }
            Collection::Zset(Zset::Ordered(zset)) => {
                prefetch_or(step, &**zset, |zset, step| zset.prefetch(step, aim))
            }
            Collection::List(List::Chunks(chunks)) => {
                prefetch_or(step, &**chunks, |chunks, step| chunks.prefetch(step, aim))
            }
            Collection::Stream(stream) => {
                prefetch_or(step, &**stream, |stream, step| stream.log.prefetch(step))
            }
            Collection::Hash(Hash::Expiring(hash)) => prefetch_or(step, &**hash, |_, _| false),
        }
    }

    /// The bytes that it points to, of a large one an estimate from `samples` members.
    pub fn memory_bytes(&self, samples: usize) -> usize {
        match self {
            Collection::Hash(hash) => hash.memory_bytes(samples),
            Collection::List(list) => list.memory_bytes(samples),
            Collection::Set(set) => set.memory_bytes(samples),
            Collection::Zset(zset) => zset.memory_bytes(samples),
            Collection::Stream(stream) => stream.memory_bytes(samples),
        }
    }
}

/// Asks for something behind a pointer at step 0, and after that for what it points to itself.
#[inline]
fn prefetch_or<T>(step: usize, thing: &T, inside: impl FnOnce(&T, usize) -> bool) -> bool {
    match step.checked_sub(1) {
        Some(step) => inside(thing, step),
        None => {
            prefetch_all(thing);
            true
        }
    }
}

/// One of the types of collections.
pub trait Typed: Default {
    /// The collection, if it is of this type.
    fn of(collection: &Collection) -> Option<&Self>;
    /// The same, to edit.
    fn of_mut(collection: &mut Collection) -> Option<&mut Self>;
    /// As a collection of any type.
    fn wrap(self) -> Collection;
}

macro_rules! typed {
    ($($kind:ident),*) => {$(
        impl Typed for $kind {
            #[inline]
            fn of(collection: &Collection) -> Option<&Self> {
                match collection {
                    Collection::$kind(value) => Some(value),
                    _ => None,
                }
            }
            #[inline]
            fn of_mut(collection: &mut Collection) -> Option<&mut Self> {
                match collection {
                    Collection::$kind(value) => Some(value),
                    _ => None,
                }
            }
            fn wrap(self) -> Collection {
                Collection::$kind(self)
            }
        }
    )*};
}

typed!(Hash, List, Set, Zset);

impl Typed for Stream {
    #[inline]
    fn of(collection: &Collection) -> Option<&Self> {
        match collection {
            Collection::Stream(stream) => Some(stream),
            _ => None,
        }
    }
    #[inline]
    fn of_mut(collection: &mut Collection) -> Option<&mut Self> {
        match collection {
            Collection::Stream(stream) => Some(stream),
            _ => None,
        }
    }
    fn wrap(self) -> Collection {
        Collection::Stream(Box::new(self))
    }
}
