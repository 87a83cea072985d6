//! Files of any bytes: refused, or records that can be written to a file and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::io::Cursor;
use strata::rdb::file::{Item, Reader, Record, Writer, record};
use strata::rdb::{Decoded, Limits, Value};
use strata::value::PackLimits;
use strata::value::list::ChunkLimit;
use strata::value::set::SetLimits;
use strata::value::string::StringRef;

fuzz_target!(|data: &[u8]| {
    let _ = records(data);
    // With a header and an end put right; a sum of zero is none.
    let file = [b"REDIS0012", data, &[255, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
    let Some(found) = records(&file) else { return };
    let mut writer = Writer::new(Cursor::new(Vec::new()), &[], true).expect("memory takes all");
    for record in &found {
        let mut bytes = Vec::new();
        let value = match &record.value {
            Decoded::String(text) => Value::String(StringRef::Inline(text)),
            Decoded::Collection(collection) => Value::Collection(collection),
        };
        let version = self::record(&mut bytes, &record.key, &value, record.expires_at_ms, record.used);
        writer.records(record.database as usize, &bytes, version).expect("memory takes all");
    }
    let written = writer.finish().expect("memory takes all").into_inner();
    let again = records(&written).expect("what was written is read");
    assert_eq!(found.len(), again.len());
    for (one, other) in found.iter().zip(&again) {
        assert_eq!((one.database, &one.key, one.used), (other.database, &other.key, other.used));
        assert_eq!(one.expires_at_ms, other.expires_at_ms);
        match (&one.value, &other.value) {
            (Decoded::String(one), Decoded::String(other)) => assert_eq!(one, other),
            (Decoded::Collection(one), Decoded::Collection(other)) => {
                assert_eq!((one.len(), one.type_name()), (other.len(), other.type_name()));
            }
            _ => panic!("a value has become one of another kind"),
        }
    }
});

/// The records of a file; `None` where it is refused.
fn records(file: &[u8]) -> Option<Vec<Record>> {
    let mut reader = Reader::new(file).ok()?;
    let mut found = Vec::new();
    while let Some(item) = reader.next(&limits()).ok()? {
        if let Item::Record(record) = item {
            found.push(record);
        }
    }
    Some(found)
}

fn limits() -> Limits {
    let pack = PackLimits { entries: 8, value_bytes: 16 };
    Limits { hash: pack, list: ChunkLimit::new(-1), set: SetLimits { ints: 8, pack }, zset: pack }
}
