//! Whatever is done to the keys while a snapshot is written, the file has what there was at the mark.

use super::*;
use crate::keyspace::{Key, RandomSource};
use crate::memory::ShardState;
use crate::memory::eviction::{Order, Rule};
use crate::pubsub::PubSub;
use crate::value::PackLimits;
use crate::value::hash::Hash;
use crate::value::set::{Set, SetLimits};
use std::collections::BTreeMap;
use std::io::Cursor;

const DATABASES: usize = 3;
const NOW_MS: i64 = 1_000_000;
const FORM: Form = Form { usage: Usage::None, sum: true, sync_pieces: false, fields: Vec::new() };

fn pack() -> PackLimits {
    PackLimits { entries: 8, value_bytes: 16 }
}

fn set_limits() -> SetLimits {
    SetLimits { ints: 8, pack: pack() }
}

fn limits() -> Limits {
    let pack = pack();
    Limits { hash: pack, list: crate::value::list::ChunkLimit::new(-2), set: set_limits(), zset: pack }
}

fn keyspace() -> Keyspace {
    Keyspace::new(DATABASES, 4, Arc::new(PubSub::default()))
}

type Model = BTreeMap<(usize, Vec<u8>), String>;

/// All keys, with values and deadlines in short.
fn model(space: &Keyspace) -> Model {
    let mut found = Model::new();
    for (number, database) in space.databases_in_use() {
        for shard in database.shards() {
            for (_, entry) in shard.lock().table.iter_from(0) {
                let value = match (entry.string(), entry.collection()) {
                    (Some(text), _) => text.with(|text| text.escape_ascii().to_string()),
                    (_, Some(collection)) => format!("{} of {}", collection.type_name(), collection.len()),
                    _ => String::new(),
                };
                let shown = format!("{value} {:?}", entry.expires_at_ms());
                found.insert((number, entry.key().to_vec()), shown);
            }
        }
    }
    found
}

/// Does something at random.
fn meddle(space: &Keyspace, scratch: &mut Scratch, random: &mut RandomSource) {
    // Other threads free what this one allocates: the sum must not go below zero for other tests.
    usage::publish();
    let class = NotifyFlags::GENERIC;
    let number = random.next() as usize % DATABASES;
    let name = (random.next() % 300).to_string().into_bytes();
    let key: Key<'_> = space.key(number, &name);
    let mut access = space.prepare(scratch, &[key], NOW_MS, true);
    match random.next() % 100 {
        0..=29 => {
            let text = random.next().to_string();
            access.put(key, NewString::encode(text.as_bytes()), Expiry::Clear, class, "set");
        }
        30..=49 => {
            access.delete(key, class, "del");
        }
        50..=53 => access.set_expiry(key, Some(NOW_MS + (random.next() % 1000) as i64), class, "expire"),
        54..=59 => {
            let at_ms = NOW_MS + (random.next() % 1000) as i64;
            if let Ok(mut hash) = access.write_or_create::<Hash>(key) {
                hash.set_until(random.next().to_string().as_bytes(), b"v", Some(at_ms), &pack());
                access.file_member_expiry(key, at_ms);
                access.edited(key, class, "hpexpire");
            }
        }
        60..=69 => {
            if let Ok(Some(mut set)) = access.write::<Set>(key) {
                set.add(random.next().to_string().as_bytes(), &set_limits());
                access.edited(key, class, "sadd");
            }
        }
        70..=84 => {
            // Of another type it stays as it is.
            if let Ok(mut set) = access.write_or_create::<Set>(key) {
                set.add(random.next().to_string().as_bytes(), &set_limits());
                access.edited(key, class, "sadd");
            }
        }
        85..=90 => {
            access.settle();
            let order = [Order::Clock, Order::Frequency, Order::Random, Order::Soonest];
            let order = order[random.next() as usize % order.len()];
            let rule = Rule { order, volatile_only: false, mode: space.access_mode(), window: 3 };
            let databases = space.databases_in_use();
            let take = |_: &mut RandomSource, _, state: &mut ShardState, index| Some(state.take_out(index));
            drop(space.hand.lock().evict(&databases, rule, NOW_MS, random, |random| random.next(), take));
            return;
        }
        91..=96 => {
            if let Some(entry) = access.take(key, class, "rename_from") {
                let to = [b"to:", &name[..]].concat();
                let renamed = entry.copied(&to, entry.expires_at_ms());
                access.settle();
                let to = space.key(number, &to);
                let mut access = space.prepare(scratch, &[to], NOW_MS, true);
                access.delete(to, class, "");
                access.put_entry(to, renamed, class, "rename_to");
                access.settle();
                return;
            }
        }
        97 => {
            access.settle();
            let mut access = space.prepare(scratch, &[], NOW_MS, true);
            drop(access.flush(number));
            access.settle();
            return;
        }
        98 => {
            access.settle();
            let mut access = space.prepare(scratch, &[], NOW_MS, true);
            access.swap(number, (number + 1) % DATABASES);
            access.settle();
            return;
        }
        _ => {
            access.settle();
            // Everything that has a deadline up to then goes.
            space.expire_due(scratch, 0, 1, NOW_MS + (random.next() % 300) as i64, 20);
            return;
        }
    }
    access.settle();
}

/// A file during each write of which somebody changes keys.
struct Meddled<'a> {
    space: &'a Keyspace,
    scratch: Scratch,
    random: RandomSource,
    file: Cursor<Vec<u8>>,
    writes_left: usize,
}

impl Write for Meddled<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.writes_left == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.writes_left -= 1;
        for _ in 0..40 {
            meddle(self.space, &mut self.scratch, &mut self.random);
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Meddled<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

fn meddled(space: &Keyspace, seed: u64, writes_left: usize) -> Meddled<'_> {
    let (scratch, random) = (Scratch::default(), RandomSource(seed * 2 + 1));
    let mut meddled = Meddled { space, scratch, random, file: Cursor::default(), writes_left };
    for _ in 0..1500 {
        meddle(space, &mut meddled.scratch, &mut meddled.random);
    }
    meddled
}

/// What a file has, loaded into another keyspace.
fn loaded(file: &[u8]) -> Model {
    let space = keyspace();
    let path = std::env::temp_dir().join(format!(
        "strata-snapshot-{}-{:?}.rdb",
        std::process::id(),
        std::thread::current().id()
    ));
    fs::write(&path, file).unwrap();
    // At a time when nothing is due.
    let imported = import(&space, &path, &limits(), &Settings::default(), 0).unwrap();
    fs::remove_file(&path).unwrap();
    let model = model(&space);
    assert_eq!((imported.keys, imported.expired), (model.len() as u64, 0));
    model
}

fn no_capture_is_left(space: &Keyspace) -> bool {
    let every = space.lock_everything();
    every.iter().flat_map(|(_, shards)| shards).all(|shard| shard.capture.is_none())
}

#[test]
fn a_file_has_what_there_was_at_the_mark() {
    for seed in 0..150 {
        let space = keyspace();
        let out = meddled(&space, seed, usize::MAX);
        let expected = model(&space);
        let snapshot = space.snapshot(Usage::None, NOW_MS).unwrap();
        assert!(space.snapshot(Usage::None, NOW_MS).is_none(), "there is one at a time");
        assert_eq!(snapshot.keys(), expected.len() as u64);
        let (out, exported) = snapshot.write(&space, out, &FORM, &AtomicBool::new(false)).unwrap();
        let file = out.file.into_inner();
        assert_eq!(
            (exported.keys, exported.bytes),
            (expected.len() as u64, file.len() as u64),
            "seed {seed}"
        );
        let loaded = loaded(&file);
        for (key, value) in &expected {
            assert_eq!(
                loaded.get(key),
                Some(value),
                "seed {seed}, key {:?}",
                key.1.escape_ascii().to_string()
            );
        }
        assert_eq!(loaded.len(), expected.len());
        assert!(no_capture_is_left(&space));
    }
}

#[test]
fn a_snapshot_that_fails_leaves_nothing_behind() {
    for seed in 0..40 {
        let space = keyspace();
        let out = meddled(&space, seed, seed as usize);
        let snapshot = space.snapshot(Usage::None, NOW_MS).unwrap();
        let result = snapshot.write(&space, out, &FORM, &AtomicBool::new(false));
        if let Err(error) = result {
            assert!(error.to_string().starts_with("writing: "), "{error}");
        } else {
            assert!(seed > 5, "the file takes more writes");
        }
        assert!(no_capture_is_left(&space));
        space.snapshot(Usage::None, NOW_MS).unwrap().abandon(&space);
        assert!(no_capture_is_left(&space));
    }
}

#[test]
fn a_snapshot_can_be_called_off_and_the_old_file_stays() {
    let space = keyspace();
    let _ = meddled(&space, 1, 0);
    let path = std::env::temp_dir().join(format!("strata-cancel-{}.rdb", std::process::id()));
    fs::write(&path, b"old").unwrap();
    let result = export(&space, &path, &FORM, NOW_MS, &AtomicBool::new(true));
    assert!(matches!(result, Err(ExportError::Cancelled)));
    assert_eq!(fs::read(&path).unwrap(), b"old");
    let exported = export(&space, &path, &FORM, NOW_MS, &AtomicBool::new(false)).unwrap();
    assert_eq!(exported.keys, model(&space).len() as u64);
    assert_eq!(fs::metadata(&path).unwrap().len(), exported.bytes);
    let again = import(&space, &path, &limits(), &Settings::default(), 0);
    assert!(matches!(again, Err(ImportError::Duplicate(_))), "keys that are there are not replaced");
    fs::remove_file(&path).unwrap();
    assert!(!temporary_path(&path).exists());
}
