//! The hash table of large sets, hashes and sorted sets: many small tables behind a directory.
//!
//! One big table would have to be moved whole when it grows, a second or so for ten million members.
//! Here (extendible hashing, Fagin et al. 1979) a table that is full is split in two by the next bit of
//! the hash; only the directory of four bytes each is ever doubled. The directory is in the order of
//! the hash, so a scan's cursor is a position in hash order and survives every growth.

use super::blob::Blob;
use hashbrown::HashTable;
use std::hash::{BuildHasher, Hasher};
use std::sync::LazyLock;

/// A table is split when it holds so many: what 128 buckets have room for.
const SEGMENT_LEN_MAX: usize = 112;
/// How many bits of the hash a position in the scan's order has.
const POSITION_BITS: u32 = 32;
/// Hashes that agree in so many bits are not worth telling apart.
const DEPTH_MAX: u32 = 28;

/// One key for the process, so that nobody can choose colliding members.
static HASHER: LazyLock<ahash::RandomState> = LazyLock::new(ahash::RandomState::new);

fn hash(key: &[u8]) -> u64 {
    let mut hasher = HASHER.build_hasher();
    hasher.write(key);
    hasher.finish()
}

/// The directory goes by bits that the tables themselves do not use.
fn position(hash: u64) -> u32 {
    (hash >> 24) as u32
}

#[derive(Clone)]
struct Segment {
    /// How many leading bits of the position all members share, and what these are.
    depth: u32,
    prefix: u32,
    members: HashTable<Blob>,
}

impl Default for Segment {
    fn default() -> Segment {
        Segment { depth: 0, prefix: 0, members: HashTable::new() }
    }
}

/// A set of blobs with different keys.
#[derive(Clone)]
pub struct Table {
    segments: Vec<Segment>,
    /// For each value of the first `depth` bits of a position the number of its segment.
    directory: Vec<u32>,
    depth: u32,
    len: usize,
}

impl Default for Table {
    fn default() -> Table {
        Table { segments: vec![Segment::default()], directory: vec![0], depth: 0, len: 0 }
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

    fn segment_index(&self, position: u32) -> usize {
        let index = if self.depth == 0 { 0 } else { position >> (POSITION_BITS - self.depth) };
        self.directory[index as usize] as usize
    }

    /// The member of this key.
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<&Blob> {
        let hash = hash(key);
        let segment = &self.segments[self.segment_index(position(hash))];
        segment.members.find(hash, |blob| blob.key() == key)
    }

    /// The member of this key, to edit; its key must stay.
    #[inline]
    pub fn get_mut(&mut self, key: &[u8]) -> Option<&mut Blob> {
        let hash = hash(key);
        let index = self.segment_index(position(hash));
        self.segments[index].members.find_mut(hash, |blob| blob.key() == key)
    }

    /// Adds a member whose key is not there yet.
    pub fn insert_new(&mut self, blob: Blob) {
        let hash = hash(blob.key());
        let mut index = self.segment_index(position(hash));
        while self.segments[index].members.len() >= SEGMENT_LEN_MAX && self.segments[index].depth < DEPTH_MAX
        {
            self.split(index);
            index = self.segment_index(position(hash));
        }
        self.segments[index].members.insert_unique(hash, blob, |blob| self::hash(blob.key()));
        self.len += 1;
    }

    /// Splits a segment by the next bit.
    fn split(&mut self, index: usize) {
        let depth = self.segments[index].depth + 1;
        if depth > self.depth {
            self.directory = self.directory.iter().flat_map(|number| [*number, *number]).collect();
            self.depth = depth;
        }
        let bit = 1_u32 << (POSITION_BITS - depth);
        let members = &mut self.segments[index].members;
        let upper: Vec<Blob> =
            members.extract_if(|blob| self::position(hash(blob.key())) & bit != 0).collect();
        let mut other = HashTable::with_capacity(upper.len());
        for blob in upper {
            other.insert_unique(hash(blob.key()), blob, |blob| hash(blob.key()));
        }
        members.shrink_to_fit(|blob| hash(blob.key()));
        self.segments[index].depth = depth;
        let prefix = self.segments[index].prefix | bit;
        self.segments.push(Segment { depth, prefix, members: other });
        self.list(self.segments.len() - 1);
    }

    /// Enters a segment in the directory, for every position that begins as it does.
    fn list(&mut self, index: usize) {
        let Segment { depth, prefix, .. } = self.segments[index];
        let width = self.depth - depth;
        let first = if depth == 0 { 0 } else { (prefix >> (POSITION_BITS - depth)) as usize };
        self.directory[first << width..(first + 1) << width].fill(index as u32);
    }

    /// Takes a member out.
    pub fn remove(&mut self, key: &[u8]) -> Option<Blob> {
        let hash = hash(key);
        let index = self.segment_index(position(hash));
        let members = &mut self.segments[index].members;
        let found = members.find_entry(hash, |blob| blob.key() == key).ok()?;
        let (blob, _) = found.remove();
        self.len -= 1;
        if members.capacity() > 16 && members.len() * 4 < members.capacity() {
            members.shrink_to(members.len() * 2, |blob| self::hash(blob.key()));
        }
        if self.segments[index].depth > 0 && self.segments[index].members.len() < SEGMENT_LEN_MAX / 8 {
            self.merge(index);
        }
        Some(blob)
    }

    /// Joins a segment with the other half of what was once split, if both are nearly empty.
    fn merge(&mut self, index: usize) {
        let Segment { depth, prefix, .. } = self.segments[index];
        let bit = 1_u32 << (POSITION_BITS - depth);
        let other = self.segment_index(prefix ^ bit);
        let both = [&self.segments[index], &self.segments[other]].map(|segment| segment.members.len());
        if self.segments[other].depth != depth || both[0] + both[1] > SEGMENT_LEN_MAX / 4 {
            return;
        }
        let (kept, gone) = (index.min(other), index.max(other));
        let removed = self.segments.swap_remove(gone);
        let kept_segment = &mut self.segments[kept];
        for blob in removed.members {
            kept_segment.members.insert_unique(hash(blob.key()), blob, |blob| hash(blob.key()));
        }
        (kept_segment.depth, kept_segment.prefix) = (depth - 1, prefix & !bit);
        if self.segments.len() == 1 {
            (self.directory, self.depth) = (vec![0], 0);
        }
        self.list(kept);
        if gone < self.segments.len() {
            self.list(gone);
        }
    }

    /// All members, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Blob> {
        self.segments.iter().flat_map(|segment| segment.members.iter())
    }

    /// Some member, each as likely as the others. `random` gives random numbers.
    ///
    /// # Panics
    /// When there is none.
    pub fn random(&self, mut random: impl FnMut() -> u64) -> &Blob {
        assert!(!self.is_empty(), "somebody checked that there are members");
        loop {
            let slot = random() as usize % self.directory.len();
            let segment = &self.segments[self.directory[slot] as usize];
            // A segment of lesser depth has more places in the directory: even that out.
            let shift = self.depth - segment.depth;
            if shift > 0 && random() & ((1 << shift) - 1) != 0 {
                continue;
            }
            // Then a place among as many as the fullest segment may have: taken ones count alike.
            let bound = if self.segments.len() == 1 { segment.members.len() } else { SEGMENT_LEN_MAX };
            let place = random() as usize % bound.max(segment.members.len());
            if let Some(blob) = segment.members.iter().nth(place) {
                return blob;
            }
        }
    }

    /// Shows `visit` at least `count` members from `cursor` on, where there are so many, and returns the
    /// next cursor; 0 when it is through. A member that is there throughout a scan is shown.
    pub fn scan<'t>(&'t self, cursor: u64, count: usize, mut visit: impl FnMut(&'t Blob)) -> u64 {
        let mut from = u32::try_from(cursor).unwrap_or(u32::MAX);
        let mut seen = 0;
        loop {
            let segment = &self.segments[self.segment_index(from)];
            let mut members: Vec<(u32, &Blob)> = segment
                .members
                .iter()
                .map(|blob| (position(hash(blob.key())), blob))
                .filter(|(at, _)| *at >= from)
                .collect();
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
            let width = POSITION_BITS - segment.depth;
            let next = (u64::from(from) >> width) + 1;
            if segment.depth == 0 || next >> segment.depth != 0 {
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
        let buckets: usize = self.segments.iter().map(|segment| segment.members.capacity() * 8 / 7 * 9).sum();
        members + buckets + self.segments.capacity() * size_of::<Segment>() + self.directory.capacity() * 4
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
            state >> 33
        };
        let mut counts = BTreeMap::new();
        for _ in 0..100_000 {
            *counts.entry(table.random(&mut random).key().to_vec()).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 1000);
        assert!(counts.values().all(|count| (45..=165).contains(count)), "{:?}", counts.values().max());
    }
}
