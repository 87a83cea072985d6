//! The index as a file: a clean stop leaves it behind, so that the next start need not look at every record.
//!
//! ```text
//! 0   "STRATAC1"
//! 8   the seeds of the keyed hash, 4 x u64: slots are in its order
//! 40  the hash of a fixed text, u64: another build may hash otherwise
//! 48  the highest version, u64
//! 56  spaces: version u64, next u32, how many u32, then a u32 for each database
//! ..  segments: how many u32, then for each sequence number, end, live bytes, 3 x u64
//! ..  shards of a database, u32
//! ..  for each database in use its space, u32, and for each of its shards
//!         slots u32, keys with a deadline u32, items of the wheel u32
//!         for each slot a u64: position in hash order, 20 bits, segment by its place above, 17, offset / 16, 26
//!         for each item the deadline, i64, and the position, u32
//! ..  CRC-32 of all that, u32
//! ```
//!
//! All numbers are little-endian. It holds for as long as all its segments are there: they are never written again, and
//! records in other segments are newer. When reclaiming has removed one, every record is looked at as after a crash.

use super::Keyspace;
use super::tier::Spaces;
use crate::disk::segment::Segment;
use crate::disk::{Location, Place};
use crate::memory::ShardState;
use crate::memory::slot::POSITION_BITS;
use crate::memory::table::Held;
use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;

const MAGIC: &[u8; 8] = b"STRATAC1";
/// What is hashed to know the hash again.
const TEXT: &[u8] = b"the same hash";
const LOCATION_BITS: u32 = 43;

/// Writes and sums up.
struct Out<'w> {
    to: &'w mut dyn Write,
    sum: crc32fast::Hasher,
}

impl Out<'_> {
    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.to.write_all(bytes)
    }

    fn u32(&mut self, number: u32) -> io::Result<()> {
        self.bytes(&number.to_le_bytes())
    }

    fn u64(&mut self, number: u64) -> io::Result<()> {
        self.bytes(&number.to_le_bytes())
    }
}

/// Reads, and never past the end.
struct In<'b>(&'b [u8]);

impl In<'_> {
    fn u32(&mut self) -> Option<u32> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*first))
    }

    fn u64(&mut self) -> Option<u64> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*first))
    }

    /// A number of things of so many bytes each, which must all be there.
    fn count(&mut self, bytes_each: usize) -> Option<usize> {
        let count = self.u32()? as usize;
        (count.checked_mul(bytes_each)? <= self.0.len()).then_some(count)
    }
}

/// A segment as the checkpoint knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KnownSegment {
    /// Its sequence number.
    pub sequence: u64,
    /// Where its last record ends.
    pub end: u64,
    /// Bytes of records that count.
    pub live: u64,
}

/// What a checkpoint says before its slots.
pub struct Checkpoint<'b> {
    /// The seeds of the keyed hash.
    pub seeds: [u64; 4],
    text_hash: u64,
    /// The highest version.
    pub version: u64,
    pub(super) spaces: Spaces,
    /// The segments that it knows.
    pub segments: Vec<KnownSegment>,
    shards: u32,
    slots: In<'b>,
}

/// What one shard has.
pub struct ShardIndex {
    /// The space of its database.
    pub space: u32,
    /// Its index.
    pub shard: usize,
    /// How many keys have deadlines.
    pub expires: u32,
    /// For each key its position, its segment by the place in [`Checkpoint::segments`], and the offset in there.
    pub slots: Vec<(u32, usize, u64)>,
    /// When positions come up.
    pub deadlines: Vec<(u32, i64)>,
}

/// The seeds alone, which nothing vouches for yet.
pub fn seeds(bytes: &[u8]) -> Option<[u64; 4]> {
    let mut from = In(bytes.strip_prefix(MAGIC)?);
    Some([from.u64()?, from.u64()?, from.u64()?, from.u64()?])
}

/// Reads a checkpoint; `None` where it is none, or damaged.
pub fn read(bytes: &[u8]) -> Option<Checkpoint<'_>> {
    let (bytes, sum) = bytes.split_last_chunk()?;
    if crc32fast::hash(bytes) != u32::from_le_bytes(*sum) {
        return None;
    }
    let mut from = In(bytes.strip_prefix(MAGIC)?);
    let seeds = [from.u64()?, from.u64()?, from.u64()?, from.u64()?];
    let (text_hash, version) = (from.u64()?, from.u64()?);
    let (spaces_version, next) = (from.u64()?, from.u32()?);
    let databases = from.count(4)?;
    let of = (0..databases).map(|_| from.u32()).collect::<Option<Vec<u32>>>()?;
    let spaces = Spaces { of, next, version: spaces_version };
    let count = from.count(24)?;
    let known =
        |from: &mut In<'_>| Some(KnownSegment { sequence: from.u64()?, end: from.u64()?, live: from.u64()? });
    let segments = (0..count).map(|_| known(&mut from)).collect::<Option<Vec<_>>>()?;
    let shards = from.u32()?;
    Some(Checkpoint { seeds, text_hash, version, spaces, segments, shards, slots: from })
}

impl Checkpoint<'_> {
    /// Its segments, in its order, if all are there and its slots are those of this keyspace.
    pub(super) fn segments_of(
        &self,
        keyspace: &Keyspace,
        segments: &[Arc<Segment>],
    ) -> Option<Vec<Arc<Segment>>> {
        if self.text_hash != keyspace.hash(TEXT).0 || self.shards as usize != keyspace.shards {
            return None;
        }
        let there: HashMap<u64, &Arc<Segment>> =
            segments.iter().map(|segment| (segment.sequence, segment)).collect();
        let of =
            |known: &KnownSegment| there.get(&known.sequence).filter(|segment| segment.capacity >= known.end);
        self.segments.iter().map(|known| of(known).map(|segment| Arc::clone(segment))).collect()
    }

    /// Shows all shards to `see`. `None` where something is wrong; part of them was shown then.
    pub fn visit(mut self, mut see: impl FnMut(ShardIndex)) -> Option<()> {
        while !self.slots.0.is_empty() {
            let space = self.slots.u32()?;
            for shard in 0..self.shards as usize {
                see(read_shard(&mut self.slots, self.segments.len(), space, shard)?);
            }
        }
        Some(())
    }
}

fn read_shard(from: &mut In<'_>, segments: usize, space: u32, shard: usize) -> Option<ShardIndex> {
    let (slots, expires, items) = (from.u32()?, from.u32()?, from.u32()?);
    if u64::from(slots) * 8 + u64::from(items) * 12 > from.0.len() as u64 {
        return None;
    }
    let is_position = |position: &u32| *position >> POSITION_BITS == 0;
    let mut slot = || {
        let bits = from.u64()?;
        let position = u32::try_from(bits >> LOCATION_BITS).ok().filter(is_position)?;
        let location = Location::from_bits(bits & ((1 << LOCATION_BITS) - 1));
        let segment = Some(location.index()).filter(|segment| *segment < segments)?;
        Some((position, segment, location.offset()))
    };
    let slots = (0..slots).map(|_| slot()).collect::<Option<Vec<_>>>()?;
    let mut deadline = || {
        let at_ms = from.u64()? as i64;
        Some((from.u32().filter(is_position)?, at_ms))
    };
    let deadlines = (0..items).map(|_| deadline()).collect::<Option<Vec<_>>>()?;
    Some(ShardIndex { space, shard, expires, slots, deadlines })
}

impl Keyspace {
    /// Leaves the index behind for the next start. Every value must have been written out, and nothing else may use the
    /// keyspace. Answers whether it could: not where a value has no record.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write_checkpoint(&self) -> io::Result<bool> {
        let Some(tier) = self.tier() else { return Ok(false) };
        let mut complete = true;
        let segments = tier.store().segments();
        tier.store()
            .write_checkpoint(&mut |to| {
                let mut out = Out { to, sum: crc32fast::Hasher::new() };
                complete = self.write_index(&mut out, &segments, &tier.spaces_now())?;
                let sum = out.sum.finalize();
                if !complete {
                    return Err(io::Error::other("a value is not on disk"));
                }
                to.write_all(&sum.to_le_bytes())
            })
            .map(|()| true)
            .or_else(|error| if complete { Err(error) } else { Ok(false) })
    }

    fn write_index(&self, out: &mut Out<'_>, segments: &[Arc<Segment>], spaces: &Spaces) -> io::Result<bool> {
        let databases = self.databases_in_use();
        let shards = databases.iter().flat_map(|(_, database)| database.shards());
        let version = shards.map(|shard| shard.lock().version).max().unwrap_or(0).max(spaces.version);
        out.bytes(MAGIC)?;
        self.seeds.iter().try_for_each(|seed| out.u64(*seed))?;
        out.u64(self.hash(TEXT).0)?;
        out.u64(version)?;
        out.u64(spaces.version)?;
        out.u32(spaces.next)?;
        out.u32(spaces.of.len() as u32)?;
        spaces.of.iter().try_for_each(|space| out.u32(*space))?;
        out.u32(segments.len() as u32)?;
        for segment in segments {
            out.u64(segment.sequence)?;
            out.u64(segment.written())?;
            out.u64(segment.live_bytes())?;
        }
        out.u32(self.shards as u32)?;
        let ordinals: HashMap<Location, usize> =
            segments.iter().enumerate().map(|(ordinal, segment)| (segment.location(0), ordinal)).collect();
        for (number, database) in databases {
            out.u32(spaces.of[number])?;
            for shard in database.shards() {
                if !write_shard(out, &mut shard.lock(), &ordinals)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// Writes what a shard has; answers whether all its values are on disk.
fn write_shard(
    out: &mut Out<'_>,
    state: &mut ShardState,
    ordinals: &HashMap<Location, usize>,
) -> io::Result<bool> {
    let items =
        state.wheel_mut().map_or(0, |wheel| wheel.items().map(|(_, positions)| positions.len()).sum());
    out.u32(state.table.len() as u32)?;
    out.u32(state.expires)?;
    out.u32(items as u32)?;
    for (position, held) in state.table.held_from(0) {
        let location = match held {
            Held::Cold(bits) => Location::from_bits(bits),
            Held::Resident(entry) => {
                let place = Place::from_bits(entry.place()).filter(|place| !place.is_part());
                let Some(place) = place else { return Ok(false) };
                place.location()
            }
        };
        let Some(ordinal) = ordinals.get(&location.front()) else { return Ok(false) };
        let location = Location::new(*ordinal, location.offset());
        out.u64(u64::from(position) << LOCATION_BITS | location.bits())?;
    }
    if let Some(wheel) = state.wheel_mut() {
        for (at_ms, positions) in wheel.items() {
            for position in positions {
                out.u64(at_ms as u64)?;
                out.u32(*position)?;
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut all = MAGIC.to_vec();
            all.extend(&bytes);
            let sum = crc32fast::hash(&all);
            all.extend(sum.to_le_bytes());
            let _ = seeds(&all);
            if let Some(checkpoint) = read(&all) {
                let _ = checkpoint.visit(drop);
            }
        }
    }
}
