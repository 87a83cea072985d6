//! The hash table of large sets, hashes and sorted sets: many small tables.
//!
//! One big table would have to be moved whole when it grows, a second or so for ten million members.
//! Here (linear hashing, Litwin 1980) the members are spread over segments by the low bits of their hash;
//! there is always one more segment when the last ones have filled up, to which one of the old ones, in
//! turn, gives half of its members. Nothing but the row of segments itself, 32 bytes each, is ever moved.
//!
//! A scan goes in the order of the hash with its bits reversed: what a segment holds is one stretch of that
//! order however often segments are split or joined, so a cursor survives both.

use super::blob::Blob;
use super::prefetch::{Aim, prefetch, prefetch_all};
use hashbrown::HashTable;
use std::hash::{BuildHasher, Hasher};
use std::ops::{Deref, DerefMut};
use std::sync::LazyLock;

/// A part of the members.
#[derive(Clone, Default)]
struct Segment {
    members: HashTable<Blob>,
    /// Where the control bytes of the hash table were when a member was last added; only ever prefetched.
    controls: usize,
}

impl Deref for Segment {
    type Target = HashTable<Blob>;
    fn deref(&self) -> &HashTable<Blob> {
        &self.members
    }
}

impl DerefMut for Segment {
    fn deref_mut(&mut self) -> &mut HashTable<Blob> {
        &mut self.members
    }
}

impl Segment {
    fn with_capacity(capacity: usize) -> Segment {
        Segment { members: HashTable::with_capacity(capacity), controls: 0 }
    }

    /// Adds a member that is not there.
    #[inline]
    fn add(&mut self, hash: u64, blob: Blob) {
        if self.len() == self.capacity() {
            // It will grow, and reads all keys for it, which lie anywhere.
            self.iter().for_each(Blob::prefetch);
        }
        let added = self.members.insert_unique(hash, blob, |blob| self::hash(blob.key()));
        // The buckets lie before the control bytes, the first one last.
        let after = std::ptr::from_ref(added.get()).addr() + (added.bucket_index() + 1) * size_of::<Blob>();
        self.controls = after;
    }

    /// Asks the processor for where a search begins.
    fn prefetch(&self, hash: u64) {
        self.prefetch_bucket(hash as usize & self.members.num_buckets().wrapping_sub(1));
    }

    fn prefetch_bucket(&self, bucket: usize) {
        prefetch((self.controls + bucket) as *const u8);
        prefetch(self.controls.wrapping_sub((bucket + 1) * size_of::<Blob>()) as *const u8);
    }
}

/// Members per segment, on average: segments have 24 to 96, which 64 or 128 buckets have room for.
const SEGMENT_LEN: usize = 48;
/// From how much less on segments are joined.
const SEGMENT_LEN_MIN: usize = SEGMENT_LEN / 4;
/// How many bits of the hash name a segment and a place in a scan.
const PLACE_BITS: u32 = 32;

/// One key for the process, so that nobody can choose colliding members.
static HASHER: LazyLock<ahash::RandomState> = LazyLock::new(ahash::RandomState::new);

/// The hash of a member's key.
#[inline]
pub(super) fn hash(key: &[u8]) -> u64 {
    let mut hasher = HASHER.build_hasher();
    hasher.write(key);
    hasher.finish()
}

/// Which bits name the segment: others than those that the segments themselves use.
fn place(hash: u64) -> u32 {
    (hash >> 24) as u32
}

/// A set of blobs with different keys.
#[derive(Clone)]
pub struct Table {
    /// Never empty.
    segments: Vec<Segment>,
    len: usize,
    /// The most buckets that a segment ever had.
    buckets_max: usize,
    /// What the member that is next taken at random is drawn by, so that it can be asked for before.
    seed: u64,
}

/// Random numbers from one (splitmix64).
struct Draws(u64);

impl Iterator for Draws {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        Some(mixed ^ mixed >> 31)
    }
}

/// How many places are looked at together: a third of the buckets is in use.
const DRAWS_AT_ONCE: usize = 4;

impl Default for Table {
    fn default() -> Table {
        Table { segments: vec![Segment::default()], len: 0, buckets_max: 1, seed: 0 }
    }
}

impl Table {
    /// The number of members.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The segment of a place, and how many low bits of the place name it.
    #[inline]
    fn segment_of(&self, place: u32) -> (usize, u32) {
        let bits = usize::BITS - (self.segments.len() - 1).leading_zeros();
        let index = place as usize & ((1 << bits) - 1);
        if index < self.segments.len() {
            // The halves of a split have all bits; so has everybody when the number is a power of two.
            let is_split = (index | 1 << bits.saturating_sub(1)) < self.segments.len();
            return (index, if is_split || bits == 0 { bits } else { bits - 1 });
        }
        (index & ((1 << (bits - 1)) - 1), bits - 1)
    }

    /// Asks the processor for the member that is named, one pointer deeper with each step from 0 on; answers
    /// whether there is more to ask for.
    #[inline]
    pub fn prefetch(&self, step: usize, aim: Aim<'_>) -> bool {
        if aim.member.is_empty() {
            return self.prefetch_random(step);
        }
        let hash = aim.hash;
        let segment = &self.segments[self.segment_of(place(hash)).0];
        match step {
            0 => prefetch_all(segment),
            1 => segment.prefetch(hash),
            _ => {
                // The first with the same few bits of hash is the one, nearly always.
                if let Some(blob) = segment.find(hash, |_| true) {
                    blob.prefetch();
                }
            }
        }
        step < 2
    }

    /// The member of this key.
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<&Blob> {
        self.get_hashed(hash(key), key)
    }

    /// As [`Self::get`], of a key with this hash.
    #[inline]
    pub(super) fn get_hashed(&self, hash: u64, key: &[u8]) -> Option<&Blob> {
        self.segments[self.segment_of(place(hash)).0].find(hash, |blob| blob.key() == key)
    }

    /// The member of this key, to edit; its key must stay.
    #[inline]
    pub fn get_mut(&mut self, key: &[u8]) -> Option<&mut Blob> {
        let hash = hash(key);
        let (index, _) = self.segment_of(place(hash));
        self.segments[index].find_mut(hash, |blob| blob.key() == key)
    }

    /// Adds a member made by `make` where the key is not there; answers whether it was not.
    #[inline]
    pub fn insert_with(&mut self, key: &[u8], make: impl FnOnce() -> Blob) -> bool {
        self.insert_or_edit(key, make, |_| {})
    }

    /// Adds a member made by `make` where the key is not there, or gives the one that is there to `edit`;
    /// answers whether it was not.
    #[inline]
    pub fn insert_or_edit(
        &mut self,
        key: &[u8],
        make: impl FnOnce() -> Blob,
        edit: impl FnOnce(&mut Blob),
    ) -> bool {
        let hash = hash(key);
        let (index, _) = self.segment_of(place(hash));
        if let Some(blob) = self.segments[index].find_mut(hash, |blob| blob.key() == key) {
            edit(blob);
            return false;
        }
        self.insert_hashed(hash, make());
        true
    }

    /// Adds a member whose key is not there yet.
    pub fn insert_new(&mut self, blob: Blob) {
        self.insert_hashed(hash(blob.key()), blob);
    }

    /// As [`Self::insert_new`], of a member whose key has this hash.
    pub(super) fn insert_hashed(&mut self, hash: u64, blob: Blob) {
        self.len += 1;
        if self.len > self.segments.len() * SEGMENT_LEN {
            self.split();
        }
        let (index, _) = self.segment_of(place(hash));
        let segment = &mut self.segments[index];
        segment.add(hash, blob);
        self.buckets_max = self.buckets_max.max(segment.num_buckets());
    }

    /// Adds a segment, and gives it half of the members of one.
    fn split(&mut self) {
        let new = self.segments.len();
        let bit = 1 << new.ilog2();
        let old = &mut self.segments[new ^ bit];
        let room = old.len() / 2;
        let members = std::mem::replace(old, Segment::with_capacity(room)).members;
        members.iter().for_each(Blob::prefetch);
        let mut fresh = Segment::with_capacity(room);
        for blob in members {
            let hash = hash(blob.key());
            let half = if place(hash) as usize & bit == 0 { &mut *old } else { &mut fresh };
            half.add(hash, blob);
        }
        self.segments.push(fresh);
    }

    /// Takes a member out.
    pub fn remove(&mut self, key: &[u8]) -> Option<Blob> {
        let hash = hash(key);
        let (index, _) = self.segment_of(place(hash));
        let found = self.segments[index].find_entry(hash, |blob| blob.key() == key).ok()?;
        let (blob, _) = found.remove();
        self.removed(index);
        Some(blob)
    }

    /// Makes less room after a member of a segment has gone.
    fn removed(&mut self, index: usize) {
        self.len -= 1;
        let segment = &mut self.segments[index];
        if segment.capacity() > 16 && segment.len() * 4 < segment.capacity() {
            let room = segment.len() * 2;
            segment.shrink_to(room, |blob| hash(blob.key()));
        }
        if self.segments.len() > 1
            && self.len < self.segments.len() * SEGMENT_LEN_MIN
            && let Some(last) = self.segments.pop()
        {
            let gone = self.segments.len();
            let joined = &mut self.segments[gone ^ 1 << gone.ilog2()];
            for blob in last.members {
                joined.add(hash(blob.key()), blob);
            }
            self.buckets_max = self.buckets_max.max(joined.num_buckets());
            if self.segments.capacity() > 4 * gone {
                self.segments.shrink_to(2 * gone);
            }
        }
    }

    /// All members, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Blob> {
        self.segments.iter().flat_map(|segment| segment.iter())
    }

    /// As [`Self::prefetch`], of the member that is next taken at random.
    fn prefetch_random(&self, step: usize) -> bool {
        let places = || Draws(self.seed).take(DRAWS_AT_ONCE).map(|number| self.place_drawn(number));
        match step {
            0 => places().for_each(|(segment, _)| prefetch_all(&self.segments[segment])),
            1 => places().for_each(|(segment, bucket)| self.segments[segment].prefetch_bucket(bucket)),
            _ => {
                if let Some(blob) = places().find_map(|(segment, bucket)| self.at(segment, bucket)) {
                    blob.prefetch();
                }
            }
        }
        step < 2
    }

    /// A segment and a bucket, which the segment may not have.
    fn place_drawn(&self, number: u64) -> (usize, usize) {
        let below = |end: usize, number: u64| ((u128::from(number << 32) * end as u128) >> 64) as usize;
        (below(self.segments.len(), number >> 32), below(self.buckets_max, number))
    }

    fn at(&self, segment: usize, bucket: usize) -> Option<&Blob> {
        // Larger segments have more buckets to be hit; taken ones count alike.
        let segment = &self.segments[segment];
        if bucket < segment.num_buckets() { segment.get_bucket(bucket) } else { None }
    }

    /// Where some member is, each as likely as the others.
    fn random_place(&self, seed: u64) -> (usize, usize) {
        assert!(!self.is_empty(), "somebody checked that there are members");
        let mut places = Draws(seed).map(|number| self.place_drawn(number));
        loop {
            // Most are elsewhere in memory, and half of them are empty.
            let some: [(usize, usize); DRAWS_AT_ONCE] =
                std::array::from_fn(|_| places.next().unwrap_or_default());
            some.iter().for_each(|(segment, bucket)| self.segments[*segment].prefetch_bucket(*bucket));
            if let Some(place) =
                some.into_iter().find(|(segment, bucket)| self.at(*segment, *bucket).is_some())
            {
                return place;
            }
        }
    }

    /// Some member, each as likely as the others. `random` gives random numbers.
    ///
    /// # Panics
    /// When there is none.
    pub fn random(&self, mut random: impl FnMut() -> u64) -> &Blob {
        let (segment, bucket) = self.random_place(random());
        self.segments[segment].get_bucket(bucket).expect("a member was found there")
    }

    /// Takes some member out, each as likely as the others.
    ///
    /// # Panics
    /// When there is none.
    pub fn take_random(&mut self, mut random: impl FnMut() -> u64) -> Blob {
        if self.seed == 0 {
            self.seed = random();
        }
        let (segment, bucket) = self.random_place(self.seed);
        self.seed = random();
        let found = self.segments[segment].get_bucket_entry(bucket).ok();
        let (blob, _) = found.expect("a member was found there").remove();
        self.removed(segment);
        blob
    }

    /// Shows `visit` at least `count` members from `cursor` on, where there are so many, and returns the
    /// next cursor; 0 when it is through. A member that is there throughout a scan is shown.
    pub fn scan<'t>(&'t self, cursor: u64, count: usize, mut visit: impl FnMut(&'t Blob)) -> u64 {
        // Cursors and positions are places with their bits reversed.
        let mut from = u32::try_from(cursor).unwrap_or(u32::MAX);
        let position = |blob: &Blob| place(hash(blob.key())).reverse_bits();
        let mut seen = 0;
        loop {
            let (index, bits) = self.segment_of(from.reverse_bits());
            let members = self.segments[index].iter().map(|blob| (position(blob), blob));
            let mut members: Vec<(u32, &Blob)> = members.filter(|(at, _)| *at >= from).collect();
            members.sort_unstable_by_key(|(at, _)| *at);
            let mut last = None;
            for (at, blob) in members {
                if seen >= count && last != Some(at) {
                    // A cursor of 0 would mean the end; only the very first position has it.
                    return u64::from(at);
                }
                last = Some(at);
                seen += 1;
                visit(blob);
            }
            // The segment's stretch ends where the bits that name it, reversed, go one up.
            let width = PLACE_BITS - bits;
            let next = (u64::from(from) >> width) + 1;
            if next >> bits != 0 {
                return 0;
            }
            from = (next << width) as u32;
            if seen >= count {
                return u64::from(from);
            }
        }
    }

    /// An estimate of the bytes that the table and its members take.
    pub fn memory_bytes(&self, samples: usize) -> usize {
        let sampled: usize = self.iter().take(samples).map(Blob::bytes).sum();
        let members = sampled * self.len / samples.min(self.len).max(1);
        let buckets: usize = self.segments.iter().map(|segment| segment.num_buckets() * 9 + 16).sum();
        members + buckets + self.segments.capacity() * size_of::<Segment>()
    }
}

impl IntoIterator for Table {
    type Item = Blob;
    type IntoIter = Box<dyn Iterator<Item = Blob>>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new(self.segments.into_iter().flat_map(|segment| segment.members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn name(number: u32) -> Vec<u8> {
        number.to_string().into_bytes()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

        #[test]
        fn behaves_as_a_map(steps in proptest::collection::vec((any::<bool>(), 0_u32..4000), 1..6000)) {
            let (mut table, mut model) = (Table::default(), BTreeMap::new());
            for (add, number) in steps {
                let key = name(number);
                if !add {
                    prop_assert_eq!(table.remove(&key).is_some(), model.remove(&key).is_some());
                } else if !model.contains_key(&key) {
                    table.insert_new(Blob::new(&key, Some(b"v"), None));
                    model.insert(key.clone(), ());
                }
                prop_assert_eq!(table.get(&key).is_some(), model.contains_key(&key));
                prop_assert_eq!(table.len(), model.len());
            }
            let all: BTreeSet<Vec<u8>> = table.iter().map(|blob| blob.key().to_vec()).collect();
            prop_assert_eq!(all.len(), table.len());
            prop_assert!(all.iter().eq(model.keys()));
        }
    }

    #[test]
    fn a_scan_returns_what_is_there_throughout_whatever_comes_and_goes() {
        let mut table = Table::default();
        (0..2000).for_each(|n| table.insert_new(Blob::new(&name(n), None, None)));
        let (mut cursor, mut seen, mut fresh) = (0, BTreeSet::new(), 10_000);
        loop {
            cursor = table.scan(cursor, 10, |blob| {
                seen.insert(blob.key().to_vec());
            });
            if cursor == 0 {
                break;
            }
            for _ in 0..20 {
                table.insert_new(Blob::new(&name(fresh), None, None));
                fresh += 1;
            }
            table.remove(&name(2000 - (fresh / 20) % 500));
        }
        assert!((0..1400).all(|n| seen.contains(&name(n))));
    }

    #[test]
    fn random_members_are_spread_evenly() {
        let mut table = Table::default();
        (0..1000).for_each(|n| table.insert_new(Blob::new(&name(n), None, None)));
        let mut state = 7_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state ^ state >> 29
        };
        let mut counts = BTreeMap::new();
        for _ in 0..100_000 {
            *counts.entry(table.random(&mut random).key().to_vec()).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 1000);
        assert!(counts.values().all(|count| (45..=165).contains(count)), "{:?}", counts.values().max());
    }
}
