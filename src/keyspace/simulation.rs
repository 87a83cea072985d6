//! The second tier on a file system that fails: writes and syncs go wrong, the disk is full, the process is killed, the
//! power goes and leaves of what was not synced some pieces and not others. After each restart every key must have a
//! value that it may have, and keys that were written together must fit.

use super::{
    CompactRule, Evict, Expiry, Keyspace, Lookup, Progress, RandomSource, Scratch, Tier, request_bytes,
};
use crate::config::NotifyFlags;
use crate::disk::files::{Contents, Files, SegmentFile, WriteCheckpoint};
use crate::disk::store::SyncPolicy;
use crate::disk::{Lane, Store};
use crate::pubsub::PubSub;
use crate::rdb;
use crate::value::PackLimits;
use crate::value::hash::Hash;
use crate::value::list::ChunkLimit;
use crate::value::set::SetLimits;
use crate::value::string::NewString;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::sync::Arc;

const NOW_MS: i64 = 1_700_000_000_000;
const PIECE: usize = 512;
const PACK: PackLimits = PackLimits { entries: 128, value_bytes: 64 };
const KEYS: u64 = 12;
const SIZE: u64 = 4 << 20;

/// One file: what the kernel has, and what the disk is sure to have.
#[derive(Clone, Default)]
struct SimFile {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// Ranges written since.
    unsynced: Vec<(usize, usize)>,
}

#[derive(Default)]
struct SimState {
    files: BTreeMap<u64, SimFile>,
    checkpoint: Option<Vec<u8>>,
    random: u64,
    /// Of 1000 writes and syncs, how many fail.
    failing: u64,
    full: bool,
}

impl SimState {
    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % bound
    }

    fn fails(&mut self) -> bool {
        self.failing > 0 && self.below(1000) < self.failing
    }

    /// The power goes: of what was not synced each piece is there or not.
    fn lose_power(&mut self) {
        let sequences: Vec<u64> = self.files.keys().copied().collect();
        for sequence in sequences {
            let Some(mut file) = self.files.remove(&sequence) else { continue };
            let mut after = file.synced.clone();
            after.resize(file.now.len(), 0);
            for (start, end) in std::mem::take(&mut file.unsynced) {
                let mut at = start;
                while at < end {
                    let to = (at / PIECE * PIECE + PIECE).min(end);
                    if self.below(2) == 0 {
                        after[at..to].copy_from_slice(&file.now[at..to]);
                    }
                    at = to;
                }
            }
            file.now = after.clone();
            file.synced = after;
            self.files.insert(sequence, file);
        }
    }
}

#[derive(Clone, Default)]
struct SimDisk(Arc<Mutex<SimState>>);

struct SimHandle {
    disk: SimDisk,
    sequence: u64,
}

impl SimHandle {
    fn with<R>(&self, use_it: impl FnOnce(&mut SimFile) -> R) -> io::Result<R> {
        let mut state = self.disk.0.lock();
        state.files.get_mut(&self.sequence).map(use_it).ok_or(io::ErrorKind::NotFound.into())
    }
}

impl Files for SimDisk {
    fn list(&self) -> io::Result<Vec<u64>> {
        Ok(self.0.lock().files.keys().copied().collect())
    }

    fn create(&self, sequence: u64, bytes: u64) -> io::Result<Box<dyn SegmentFile>> {
        let mut state = self.0.lock();
        if state.full || state.fails() {
            return Err(io::Error::from_raw_os_error(28));
        }
        let zeros = vec![0; bytes as usize];
        state.files.insert(sequence, SimFile { now: zeros.clone(), synced: zeros, unsynced: Vec::new() });
        Ok(Box::new(SimHandle { disk: self.clone(), sequence }))
    }

    fn open(&self, sequence: u64) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(SimHandle { disk: self.clone(), sequence }))
    }

    fn remove(&self, sequence: u64) -> io::Result<()> {
        self.0.lock().files.remove(&sequence).map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn note_import(&self, _: bool) -> io::Result<()> {
        Ok(())
    }

    fn checkpoint(&self) -> io::Result<Option<Contents>> {
        Ok(self.0.lock().checkpoint.clone().map(Contents::Owned))
    }

    fn write_checkpoint(&self, write: WriteCheckpoint<'_>) -> io::Result<()> {
        let mut bytes = Vec::new();
        write(&mut bytes)?;
        let mut state = self.0.lock();
        if state.fails() {
            return Err(io::Error::from_raw_os_error(5));
        }
        state.checkpoint = Some(bytes);
        Ok(())
    }
}

impl SegmentFile for SimHandle {
    fn size(&self) -> io::Result<u64> {
        self.with(|file| file.now.len() as u64)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let fails = self.disk.0.lock().fails();
        // A write that fails has written any part.
        let len = if fails { self.disk.0.lock().below(bytes.len() as u64 + 1) as usize } else { bytes.len() };
        self.with(|file| {
            let start = offset as usize;
            file.now[start..start + len].copy_from_slice(&bytes[..len]);
            file.unsynced.push((start, start + len));
        })?;
        if fails { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }

    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|file| {
            let from = (offset as usize).min(file.now.len());
            let len = out.len().min(file.now.len() - from);
            out[..len].copy_from_slice(&file.now[from..from + len]);
            len
        })
    }

    fn read_resident(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        if self.disk.0.lock().below(3) == 0 { Ok(0) } else { self.read_at(out, offset) }
    }

    fn contents(&self, len: u64) -> io::Result<Contents> {
        self.with(|file| Contents::Owned(file.now[..(len as usize).min(file.now.len())].to_vec()))
    }

    fn sync(&self) -> io::Result<()> {
        if self.disk.0.lock().fails() {
            return Err(io::Error::from_raw_os_error(5));
        }
        self.with(|file| {
            file.synced = file.now.clone();
            file.unsynced.clear();
        })
    }
}

fn start(disk: &SimDisk) -> Keyspace {
    let store = Arc::new(Store::open(Box::new(disk.clone()), SIZE).expect("it can be listed"));
    let tier = Arc::new(Tier::new(store, 2));
    let pack = PACK;
    let limits =
        rdb::Limits { hash: pack, list: ChunkLimit::new(-2), set: SetLimits { ints: 512, pack }, zset: pack };
    tier.follow(true, SyncPolicy::EverySecond, 0, SIZE, limits);
    let mut keyspace = Keyspace::new(2, 4, Arc::new(PubSub::default()));
    // The same each time, so that a seed shows the same again.
    (keyspace.hasher, keyspace.seeds) = (super::hasher([1, 2, 3, 4]), [1, 2, 3, 4]);
    let keyspace = keyspace.with_tier(tier);
    keyspace.recover(NOW_MS, &Progress::default()).expect("the log is read");
    keyspace
}

type Value = Option<u64>;

/// What a key may be after a restart.
#[derive(Clone, Debug)]
struct MayBe {
    /// When the process was killed.
    killed: HashSet<Value>,
    /// When the power went.
    powerless: HashSet<Value>,
}

impl MayBe {
    fn only(value: Value) -> MayBe {
        MayBe { killed: HashSet::from([value]), powerless: HashSet::from([value]) }
    }
}

struct Simulation {
    disk: SimDisk,
    random: RandomSource,
    /// By pair: its two keys are always written together.
    pairs: HashMap<u64, MayBe>,
    next: u64,
}

impl Simulation {
    fn below(&mut self, bound: u64) -> u64 {
        (self.random.next() >> 11) % bound
    }

    /// Writes some pairs in one command: all of them, or none.
    fn write(&mut self, keyspace: &Keyspace, scratch: &mut Scratch) {
        if keyspace.log_ready(scratch, false, request_bytes(6, 6 * 6500)).is_err() {
            return;
        }
        let pairs: BTreeSet<u64> = (0..1 + self.below(3)).map(|_| self.below(KEYS)).collect();
        let values: Vec<(u64, Value)> = pairs
            .into_iter()
            .map(|pair| {
                self.next += 1;
                (pair, (self.below(4) > 0).then_some(self.next))
            })
            .collect();
        let len = self.below(3000) as usize;
        let names: Vec<Vec<String>> = values.iter().map(|(pair, _)| names(*pair)).collect();
        let keys: Vec<_> = names.iter().flatten().map(|name| keyspace.key(0, name.as_bytes())).collect();
        let mut access = keyspace.prepare(scratch, &keys, NOW_MS, true);
        // Nothing is logged for a key that was not there: another worker may have deleted it and not have told anybody yet,
        // and who is told so then has only seen what that one did.
        let mut is_logged = vec![true; values.len()];
        // Long strings have deltas, too.
        let edits = self.below(2) == 0;
        let filler = (self.below(8) == 0).then(|| "x".repeat(300 + self.below(3000) as usize));
        for (((pair, value), names), is_logged) in values.iter().zip(&names).zip(&mut is_logged) {
            *is_logged = value.is_some();
            for name in names {
                let key = keyspace.key(0, name.as_bytes());
                match value {
                    Some(value) if is_hash(*pair) => {
                        let mut hash = access.write_or_create::<Hash>(key).expect("a hash");
                        hash.set(b"value", value.to_string().as_bytes(), &PACK);
                        if let Some(filler) = &filler {
                            hash.set(b"filler", filler.as_bytes(), &PACK);
                        }
                        access.edited(key, NotifyFlags::HASH, "hset");
                    }
                    Some(value) if edits && let Ok(Some(mut text)) = access.write_long(key) => {
                        text.write(0, format!("{value:08}:").as_bytes());
                        access.edited(key, NotifyFlags::STRING, "setrange");
                    }
                    Some(value) => {
                        let text = format!("{value:08}:{}", "x".repeat(len));
                        let text = NewString::encode(text.as_bytes());
                        // What is soon to expire has a lane of its own.
                        let expiry =
                            if len.is_multiple_of(3) { Expiry::At(NOW_MS + 1000) } else { Expiry::Clear };
                        access.put(key, text, expiry, NotifyFlags::STRING, "set");
                    }
                    None => *is_logged |= access.delete(key, NotifyFlags::GENERIC, "del"),
                }
            }
        }
        access.settle();
        // Who does not commit is in the middle of a batch.
        let acknowledged = self.below(4) > 0 && scratch.commit().is_ok();
        for ((pair, value), is_logged) in values.into_iter().zip(is_logged) {
            let may_be = self.pairs.get_mut(&pair).expect("every pair has one");
            if acknowledged && is_logged {
                may_be.killed.clear();
            }
            may_be.killed.insert(value);
            may_be.powerless.insert(value);
        }
    }

    fn sync(&mut self, keyspace: &Keyspace) -> bool {
        let synced = keyspace.tier().expect("it has one").store().sync().is_ok();
        if synced {
            self.pairs.values_mut().for_each(|may_be| may_be.powerless = may_be.killed.clone());
        }
        synced
    }

    /// Reads a pair; panics where its halves differ.
    fn read(&self, keyspace: &Keyspace, scratch: &mut Scratch, pair: u64) -> Value {
        let read = |name: String, scratch: &mut Scratch| {
            let key = keyspace.key(0, name.as_bytes());
            let mut access = keyspace.prepare(scratch, &[key], NOW_MS, true);
            let text = if is_hash(pair) {
                let hash = access.read::<Hash>(key, Lookup::Read).expect("a hash");
                hash.map(|hash| hash.get(b"value", NOW_MS).expect("a field").to_vec())
            } else {
                access.string(key, Lookup::Read).expect("a string").map(|text| text.to_vec())
            };
            access.settle();
            text.map(|text| {
                let text = String::from_utf8(text).expect("digits");
                text.split(':').next().and_then(|digits| digits.parse::<u64>().ok()).expect("a number")
            })
        };
        let values: HashSet<Value> = names(pair).into_iter().map(|name| read(name, scratch)).collect();
        assert_eq!(values.len(), 1, "half of a command is in force: pair {pair} is {values:?}");
        values.into_iter().next().flatten()
    }

    fn run(&mut self) {
        for _ in 0..4 {
            let keyspace = start(&self.disk);
            let (mut scratch, mut other) = (Scratch::default(), Scratch::default());
            for pair in 0..KEYS {
                let value = self.read(&keyspace, &mut scratch, pair);
                let may_be = self.pairs.entry(pair).or_insert_with(|| MayBe::only(None));
                assert!(may_be.killed.contains(&value), "pair {pair} is {value:?}, and may be {may_be:?}");
                // What was read is in the log: only the power may still change it.
                may_be.killed = HashSet::from([value]);
                may_be.powerless.insert(value);
            }
            self.live(&keyspace, &mut scratch, &mut other);
            if self.below(3) == 0 {
                self.stop(&keyspace, &mut scratch, &mut other);
            }
            let power = self.below(2) == 0;
            // A lane that is dropped writes what it has: this one is killed.
            std::mem::forget(scratch);
            std::mem::forget(other);
            drop(keyspace);
            let mut disk = self.disk.0.lock();
            (disk.failing, disk.full) = (0, false);
            if power {
                disk.lose_power();
                self.pairs.values_mut().for_each(|may_be| may_be.killed = may_be.powerless.clone());
            }
        }
    }

    /// A clean stop, unless something fails.
    fn stop(&mut self, keyspace: &Keyspace, scratch: &mut Scratch, other: &mut Scratch) {
        let store = keyspace.tier().expect("it has one").store();
        let written = scratch.commit().and_then(|()| other.commit());
        let written = written.and_then(|()| keyspace.write_all_out(&mut Scratch::for_writing_out(store)));
        if written.is_err() {
            return;
        }
        if self.sync(keyspace) {
            // Where it fails, there is the one before, or none.
            let _ = keyspace.write_checkpoint();
        }
    }

    fn live(&mut self, keyspace: &Keyspace, scratch: &mut Scratch, other: &mut Scratch) {
        let store = Arc::clone(keyspace.tier().expect("it has one").store());
        let mut making_room = Scratch::for_reclaiming(&store);
        let mut lane = Lane::for_reclaiming(store);
        let rule = CompactRule { evict: Evict::Nothing, bytes_per_second: 0 };
        for _ in 0..self.below(150) {
            match self.below(100) {
                0..50 => self.write(keyspace, scratch),
                50..70 => self.write(keyspace, other),
                // Where it fails there is none.
                70..72 => drop(keyspace.tier().expect("it has one").store().prepare_spare()),
                72..80 => drop(self.sync(keyspace)),
                80..85 => drop(keyspace.demote_all(scratch)),
                85..93 => {
                    // Where it fails, everything is as it was.
                    let _ = scratch.commit();
                    let _ = keyspace.compact_for_test(&mut making_room, &mut lane, rule, NOW_MS);
                }
                93..96 => self.disk.0.lock().failing = 30,
                96..99 => self.disk.0.lock().failing = 0,
                _ => {
                    let full = self.below(2) == 0;
                    self.disk.0.lock().full = full;
                }
            }
        }
    }
}

/// Some keys have hashes, of which the log has deltas.
fn is_hash(pair: u64) -> bool {
    pair >= KEYS / 2
}

/// Some have no other: what happens to them is no transaction, and may wait in a lane.
fn names(pair: u64) -> Vec<String> {
    match pair % 3 {
        0 => vec![format!("one:{pair}")],
        _ => vec![format!("one:{pair}"), format!("other:{pair}")],
    }
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_deleted_is_back() {
    let seeds = std::env::var("STRATA_TEST_SIMULATIONS").map_or(1000, |text| text.parse().expect("a number"));
    let first: u64 = std::env::var("STRATA_TEST_SEED").map_or(1, |text| text.parse().expect("a number"));
    println!("simulations: STRATA_TEST_SEED={first}");
    std::thread::scope(|scope| {
        for half in 0..2 {
            scope.spawn(move || (first + half..first + seeds).step_by(2).for_each(simulate));
        }
    });
}

fn simulate(seed: u64) {
    let disk = SimDisk::default();
    disk.0.lock().random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let random = RandomSource(seed.wrapping_mul(0xD134_2543_DE82_EF95) | 1);
    let mut simulation = Simulation { disk, random, pairs: HashMap::new(), next: 0 };
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| simulation.run()));
    assert!(outcome.is_ok(), "STRATA_TEST_SEED={seed} STRATA_TEST_SIMULATIONS=1 shows it again");
}

/// A server that had been killed before it could sync was started again, and held what it found for synced: a power cut
/// after its own sync took what the first had acknowledged.
#[test]
fn what_a_killed_server_left_behind_is_synced_by_the_next() {
    let disk = SimDisk::default();
    disk.0.lock().random = 1;
    let write = |keyspace: &Keyspace, name: &[u8]| {
        let mut scratch = Scratch::default();
        let key = keyspace.key(0, name);
        let mut access = keyspace.prepare(&mut scratch, &[key], NOW_MS, true);
        access.put(key, NewString::encode(&[b'x'; 5000]), Expiry::Clear, NotifyFlags::STRING, "set");
        access.settle();
        scratch.commit().expect("it is written");
        std::mem::forget(scratch);
    };
    write(&start(&disk), b"first");
    let keyspace = start(&disk);
    keyspace.tier().expect("it has one").store().sync().expect("it is synced");
    disk.0.lock().lose_power();
    let keyspace = start(&disk);
    let mut scratch = Scratch::default();
    let key = keyspace.key(0, b"first");
    assert!(keyspace.prepare(&mut scratch, &[key], NOW_MS, true).get(key, Lookup::Read).is_some());
}

/// Sets a field of hashes that are long enough for deltas, in one command.
fn set_together(keyspace: &Keyspace, scratch: &mut Scratch, names: &[&[u8]], value: &[u8]) {
    let keys: Vec<_> = names.iter().map(|name| keyspace.key(0, name)).collect();
    let mut access = keyspace.prepare(scratch, &keys, NOW_MS, true);
    for key in keys {
        let mut hash = access.write_or_create::<Hash>(key).expect("a hash");
        if hash.is_empty() {
            hash.set(b"filler", &[b'x'; 1000], &PACK);
        }
        hash.set(b"value", value, &PACK);
        access.edited(key, NotifyFlags::HASH, "hset");
    }
    access.settle();
    scratch.commit().expect("it is written");
}

/// Part of a transaction continued what a power cut had taken. The next start took back all of the transaction, but key by
/// key, and had not synced that when it served: a second power cut left one key taken back and the other not.
#[test]
fn what_is_taken_back_is_taken_back_whole() {
    let disk = SimDisk::default();
    disk.0.lock().random = 1;
    let names: [&[u8]; 2] = [b"one", b"other"];
    let keyspace = start(&disk);
    let (mut worker, mut second) = (Scratch::default(), Scratch::default());
    set_together(&keyspace, &mut worker, &names, b"1");
    keyspace.tier().expect("it has one").store().sync().expect("it is synced");
    set_together(&keyspace, &mut second, &names[..1], b"2");
    set_together(&keyspace, &mut worker, &names, b"3");
    std::mem::forget((worker, second));
    let of_second = *disk.0.lock().files.keys().next_back().expect("each has a segment");
    for (sequence, file) in &mut disk.0.lock().files {
        if *sequence == of_second {
            file.now.clone_from(&file.synced);
        } else {
            file.synced.clone_from(&file.now);
        }
        file.unsynced.clear();
    }
    let values = |keyspace: &Keyspace| {
        names.map(|name| {
            let (mut scratch, key) = (Scratch::default(), keyspace.key(0, name));
            let mut access = keyspace.prepare(&mut scratch, &[key], NOW_MS, true);
            let hash = access.read::<Hash>(key, Lookup::Read).expect("a hash").expect("it is there");
            let value = hash.get(b"value", NOW_MS).expect("a field").to_vec();
            access.settle();
            value
        })
    };
    assert_eq!(values(&start(&disk)), [b"1", b"1"]);
    for seed in 1..50 {
        let files = disk.0.lock().files.clone();
        let again = SimDisk(Arc::new(Mutex::new(SimState { files, random: seed, ..SimState::default() })));
        again.0.lock().lose_power();
        assert_eq!(values(&start(&again)), [b"1", b"1"], "seed {seed}");
    }
}

/// Segments were emptied by the number that a record's database had when the record was looked at. With SWAPDB in between
/// a key was looked for in the other database, not found there, and its record was gone with the segment.
#[test]
fn what_is_moved_while_databases_are_swapped_stays() {
    const NAMES: usize = 300;
    let disk = SimDisk::default();
    disk.0.lock().random = 1;
    let keyspace = start(&disk);
    let store = Arc::clone(keyspace.tier().expect("it has one").store());
    let mut scratch = Scratch::default();
    let mut values: HashMap<usize, u64> = HashMap::new();
    let mut database = 0;
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut making_room = Scratch::for_reclaiming(&store);
            let mut lane = Lane::for_reclaiming(Arc::clone(&store));
            let rule = CompactRule { evict: Evict::Nothing, bytes_per_second: 0 };
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                // Without a sealed segment there is nothing to do.
                let _ = keyspace.compact_for_test(&mut making_room, &mut lane, rule, NOW_MS);
            }
        });
        for value in 0..20_000 {
            // Half of them stay as they are, and are moved again and again.
            let number =
                if value < NAMES as u64 { value as usize } else { NAMES / 2 + value as usize % (NAMES / 2) };
            while keyspace.log_ready(&mut scratch, false, request_bytes(3, 1000)).is_err() {
                // The other thread is making some.
                std::thread::yield_now();
            }
            let name = number.to_string();
            let key = keyspace.key(database, name.as_bytes());
            let mut access = keyspace.prepare(&mut scratch, &[key], NOW_MS, true);
            let text = format!("{value}:{}", "x".repeat(500));
            access.put(key, NewString::encode(text.as_bytes()), Expiry::Clear, NotifyFlags::STRING, "set");
            access.settle();
            values.insert(number, value);
            let mut access = keyspace.prepare(&mut scratch, &[], NOW_MS, true);
            access.swap(0, 1);
            access.settle();
            database = 1 - database;
            scratch.commit().expect("it is written");
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    std::mem::forget(scratch);
    drop(keyspace);
    let (keyspace, mut scratch) = (start(&disk), Scratch::default());
    for (number, value) in values {
        let name = number.to_string();
        let key = keyspace.key(database, name.as_bytes());
        let mut access = keyspace.prepare(&mut scratch, &[key], NOW_MS, true);
        let text = access.string(key, Lookup::Read).expect("a string").map(|text| text.to_vec());
        access.settle();
        let text = String::from_utf8(text.unwrap_or_default()).expect("a text");
        assert!(text.starts_with(&format!("{value}:")), "{number} has {:.9}, and not {value}", text);
    }
}

/// Each worker kept the buffer of the longest value that it had read from disk. Several workers with some megabytes were
/// all of a small `maxmemory`: every write was refused, and FLUSHALL did not help.
#[test]
fn a_long_value_leaves_no_buffer_behind() {
    let disk = SimDisk::default();
    disk.0.lock().random = 1;
    let keyspace = start(&disk);
    let mut scratch = Scratch::default();
    let key = keyspace.key(0, b"long");
    let mut access = keyspace.prepare(&mut scratch, &[key], NOW_MS, true);
    access.put(key, NewString::encode(&[b'x'; 1 << 20]), Expiry::Clear, NotifyFlags::STRING, "set");
    access.settle();
    scratch.commit().expect("it is written");
    assert_eq!(keyspace.demote_all(&mut scratch), 1);
    let mut access = keyspace.prepare(&mut scratch, &[key], NOW_MS, true);
    let len = access.string(key, Lookup::Read).expect("a string").map(|text| text.len());
    access.settle();
    assert_eq!(len, Some(1 << 20));
    assert!(scratch.tier.buffer.capacity() <= 256 * 1024, "{}", scratch.tier.buffer.capacity());
}
