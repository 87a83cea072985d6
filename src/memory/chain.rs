//! The records on disk that make up the value of a large collection in memory.

use ahash::RandomState;
use std::collections::HashMap;

/// Chains by the location of the record that has the whole value. A pointer: most shards have none, and a shard is two
/// cache lines.
#[derive(Default)]
#[expect(clippy::box_collection, reason = "a map alone has 64 bytes, with nothing in it")]
pub struct Chains(Option<Box<HashMap<u64, Chain, RandomState>>>);

impl Chains {
    /// The chain of a whole record.
    pub fn get(&self, location: u64) -> Option<&Chain> {
        self.0.as_ref()?.get(&location)
    }

    /// The same, to edit.
    pub fn get_mut(&mut self, location: u64) -> Option<&mut Chain> {
        self.0.as_mut()?.get_mut(&location)
    }

    /// Notes the chain of a whole record.
    pub fn insert(&mut self, location: u64, chain: Chain) {
        self.0.get_or_insert_default().insert(location, chain);
    }

    /// Forgets it.
    pub fn remove(&mut self, location: u64) -> Option<Chain> {
        let chains = self.0.as_mut()?;
        let chain = chains.remove(&location);
        if chains.is_empty() {
            self.0 = None;
        }
        chain
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Chain> {
        self.0.iter().flat_map(|chains| chains.values())
    }
}

/// A record of a whole value, and others that say what was done to it since.
#[derive(Default, Debug)]
pub struct Chain {
    /// The version of the whole value's record; all others have higher ones.
    pub base_version: u64,
    /// The version of the last record.
    pub version: u64,
    /// The place of the last record, as bits, if there is another than that of the whole value.
    pub last: u64,
    /// How long the others are together.
    pub bytes: u64,
    /// The same by segment, each named by the location of its front.
    pub segments: Vec<(u64, u64)>,
    /// Workers take turns at it: each record must reach the kernel before the next one is made.
    pub shared: bool,
    /// A change was not logged: the next record must have the value whole.
    pub broken: bool,
}

impl Chain {
    /// The chain of a value that was just logged whole.
    pub fn new(version: u64, shared: bool) -> Chain {
        Chain { base_version: version, version, shared, ..Chain::default() }
    }

    /// So many bytes more (or less) of it are in the segment that has this location.
    pub fn add(&mut self, segment: u64, bytes: i64) {
        match self.segments.iter_mut().find(|(of, _)| *of == segment) {
            Some((_, sum)) => *sum = sum.saturating_add_signed(bytes),
            None => self.segments.push((segment, bytes.max(0) as u64)),
        }
        self.segments.retain(|(_, sum)| *sum > 0);
    }

    /// Whether a record of this version is one of those that follow the whole value.
    pub fn has(&self, version: u64) -> bool {
        self.base_version < version && version <= self.version
    }
}
