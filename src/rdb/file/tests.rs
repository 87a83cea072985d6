//! What is written is read; what is damaged is refused.

use super::super::{Decoded, Limits, Value};
use super::*;
use crate::value::Collection;
use crate::value::PackLimits;
use crate::value::hash::Hash;
use crate::value::list::ChunkLimit;
use crate::value::listpack::Listpack;
use crate::value::set::{Set, SetLimits};
use crate::value::string::StringRef;
use std::io::{Cursor, Read};

fn limits() -> Limits {
    let pack = PackLimits { entries: 8, value_bytes: 16 };
    Limits { hash: pack, list: ChunkLimit::new(-2), set: SetLimits { ints: 8, pack }, zset: pack }
}

/// A file with a string that expires, a set and, if asked for, a hash with a field that expires.
fn file(with_deadline: bool) -> Vec<u8> {
    let mut writer = Writer::new(Cursor::new(Vec::new()), &[("redis-ver", "7.4.0".into())], true).unwrap();
    writer.size(0, 2, 1).unwrap();
    let mut records = Vec::new();
    let text = Value::String(StringRef::Inline(b"value"));
    let version = record(&mut records, b"key", &text, Some(4_102_444_800_000), Use::Idle(7));
    writer.records(0, &records, version).unwrap();
    records.clear();
    let mut set = Set::for_members(b"a", 2, &limits().set);
    set.add(b"a", &limits().set);
    set.add(b"b", &limits().set);
    let version =
        record(&mut records, b"12", &Value::Collection(&Collection::Set(set)), None, Use::Frequency(9));
    writer.records(3, &records, version).unwrap();
    if with_deadline {
        records.clear();
        let mut hash = Hash::default();
        hash.set_until(b"f", b"v", Some(4_102_444_800_000), &limits().hash);
        let version =
            record(&mut records, b"h", &Value::Collection(&Collection::Hash(hash)), None, Use::Unknown);
        writer.records(0, &records, version).unwrap();
    }
    let bytes = writer.bytes() as usize;
    let file = writer.finish().unwrap().into_inner();
    assert_eq!(file.len(), bytes + 1 + 8);
    file
}

/// Each record in short; the error as text.
fn read(input: impl Read) -> Result<Vec<String>, String> {
    let mut shown = Vec::new();
    let mut reader = Reader::new(input).map_err(|error| error.to_string())?;
    while let Some(item) = reader.next(&limits()).map_err(|error| error.to_string())? {
        shown.push(match item {
            Item::Field(name, value) => format!("{}={}", name.escape_ascii(), value.escape_ascii()),
            Item::Size(keys, expires) => format!("{keys} keys, {expires} expire"),
            Item::Function => "function".to_owned(),
            Item::Record(Record { database, key, value, expires_at_ms, used }) => {
                let value = match value {
                    Decoded::String(text) => text.escape_ascii().to_string(),
                    Decoded::Collection(collection) => {
                        format!("{} of {}", collection.type_name(), collection.len())
                    }
                };
                format!("{database} {} {value} {expires_at_ms:?} {used:?}", key.escape_ascii())
            }
        });
    }
    Ok(shown)
}

/// Gives a byte at a time.
struct Slow<'a>(&'a [u8]);

impl Read for Slow<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let len = self.0.len().min(1);
        self.0.read(&mut out[..len])
    }
}

#[test]
fn what_is_written_is_read() {
    let mut expected = vec![
        "redis-ver=7.4.0",
        "2 keys, 1 expire",
        "0 key value Some(4102444800000) Idle(7)",
        "3 12 set of 2 None Frequency(9)",
    ];
    let plain = file(false);
    assert_eq!(&plain[..9], b"REDIS0010", "redis-server 7.0 takes no later one");
    assert_eq!(read(&plain[..]).unwrap(), expected);
    assert_eq!(read(Slow(&plain)).unwrap(), expected);
    let with_deadline = file(true);
    assert_eq!(&with_deadline[..9], b"REDIS0012");
    expected.push("0 h hash of 1 None Unknown");
    assert_eq!(read(&with_deadline[..]).unwrap(), expected);
}

#[test]
fn a_file_that_ends_early_is_refused_wherever_it_does() {
    let file = file(true);
    for end in 0..file.len() {
        let error = read(&file[..end]).unwrap_err();
        let expected =
            if end < 9 { "this is no RDB file".to_owned() } else { format!("truncated at byte {end}") };
        assert!(error.starts_with(&expected), "{end}: {error}");
    }
}

#[test]
fn a_changed_bit_is_never_overlooked() {
    let file = file(true);
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut damaged = file.clone();
            damaged[at] ^= 1 << bit;
            assert!(read(&damaged[..]).is_err(), "bit {bit} of byte {at}");
        }
    }
    let mut damaged = file.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(read(&damaged[..]).unwrap_err().starts_with("wrong checksum"));
    // A sum of zero is none.
    let end = damaged.len() - 8;
    damaged[end..].fill(0);
    assert!(read(&damaged[..]).is_ok());
}

#[test]
fn what_is_not_for_this_server_is_passed_over_or_named() {
    let with = |bytes: &[u8]| [b"REDIS0011", bytes, &[255, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
    let ok = |bytes: &[u8]| read(&with(bytes)[..]).unwrap();
    let wrong = |bytes: &[u8]| read(&with(bytes)[..]).unwrap_err();
    assert_eq!(ok(&[245, 2, b'f', b'n']), ["function"]);
    assert!(ok(&[244, 1, 2, 3]).is_empty());
    // Of a module: its number, when, then an integer, a float, a double and a string.
    let module =
        [&[247, 0x81, 0, 0, 0, 0, 0, 0, 0, 1, 2, 1, 2, 5, 3][..], &[0; 4], &[4], &[0; 8], &[5, 1, b'x', 0]];
    assert!(ok(&module.concat()).is_empty());
    // A deadline in seconds, before 1970.
    assert_eq!(ok(&[253, 0xFF, 0xFF, 0xFF, 0xFF, 0, 1, b'k', 1, b'v']), ["0 k v Some(-1000) Unknown"]);
    assert_eq!(wrong(&[8]), "unknown opcode or type 8 at byte 9");
    assert_eq!(wrong(&[200]), "unknown opcode or type 200 at byte 9");
    assert_eq!(wrong(&[7, 1, b'k']), "a value of a module at byte 9: there are no modules");
    assert_eq!(wrong(&[2, 1, b'k', 0]), "damaged value of the key 'k' at byte 9");
    for (header, expected) in [
        ("REDIS0008", "RDB version 8 cannot be read, only 9 to 12"),
        ("REDIS0013", "RDB version 13 cannot be read, only 9 to 12"),
        ("REDIS00x0", "this is no RDB file"),
        ("SIREN0011", "this is no RDB file"),
    ] {
        assert!(read(header.as_bytes()).unwrap_err().starts_with(expected), "{header}");
    }
}

/// A length that the file only claims to have costs nothing.
#[test]
fn lengths_are_not_believed() {
    for claim in [[0x81, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], [0x81; 9]] {
        for kind in [0, 1, 2, 3, 4, 5, 14, 18, 19, 22, 24] {
            let start =
                [&b"REDIS0012"[..], &[kind, 1, b'k'], &[0; 8][..if kind == 24 { 8 } else { 0 }], &claim];
            let bytes = start.concat();
            let error = read(&bytes[..]).unwrap_err();
            assert_eq!(error, format!("truncated at byte {}", bytes.len()), "type {kind}");
        }
    }
}

/// Types that are not written here: those of Redis 7.2 and 7.4.
#[test]
fn newer_types_are_read() {
    let pack = |elements: &[&str]| {
        let mut pack = Listpack::new();
        elements.iter().for_each(|element| pack.push_back(element.as_bytes()));
        [&[pack.as_bytes().len() as u8], pack.as_bytes()].concat()
    };
    let deadline = 4_102_444_800_000_u64;
    let with_deadline = pack(&["f", "v", "4102444800000"]);
    let absolute = [&[1, 0x81][..], &deadline.to_be_bytes(), &[1, b'f', 1, b'v']].concat();
    let relative = [&deadline.to_le_bytes()[..], &[2, 1, 1, b'f', 1, b'v', 0, 1, b'g', 1, b'v']].concat();
    // No nodes; counters; a group with a consumer that was seen and was active.
    let stream = [&[0; 9][..], &[1, 1, b'g', 0, 0, 0, 0, 1, 1, b'c'], &[0; 8], &[0; 8], &[0]].concat();
    for (kind, value, expected) in [
        (20, pack(&["a", "7"]), "set of 2"),
        (25, [&deadline.to_le_bytes()[..], &with_deadline].concat(), "hash of 1"),
        (23, with_deadline.clone(), "hash of 1"),
        (24, relative, "hash of 2"),
        (22, absolute, "hash of 1"),
        (21, stream, "stream of 0"),
    ] {
        let file = [&b"REDIS0012"[..], &[kind, 1, b'k'], &value, &[255, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
        assert_eq!(read(&file[..]).unwrap(), [format!("0 k {expected} None Unknown")], "type {kind}");
    }
}

/// The seeds of the fuzzer, files of redis-server, with bytes changed at random and no sum that tells: refused or
/// read as something else, and nothing worse.
#[test]
fn damage_that_no_sum_tells_does_no_harm() {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds/rdb_file");
    let mut files = vec![file(true)];
    for seed in std::fs::read_dir(seeds).unwrap() {
        let seed = std::fs::read(seed.unwrap().path()).unwrap();
        assert!(read(&seed[..]).is_ok());
        files.push(seed);
    }
    assert!(files.len() > 4);
    let mut random = 1_u64;
    let mut next = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize
    };
    for file in &mut files {
        let end = file.len() - 8;
        file[end..].fill(0);
        for _ in 0..2_000 {
            let mut damaged = file.clone();
            for _ in 0..1 + next() % 3 {
                damaged[9 + next() % (end - 9)] = next() as u8;
            }
            let _ = read(&damaged[..]);
        }
    }
}
