//! Segments of any bytes: every record that is shown has a right sum, and scanning ends.

#![no_main]

use libfuzzer_sys::fuzz_target;
use strata::disk::Frame;
use strata::disk::format::{Kind, Record, padded, read, read_header, segment_header};
use strata::disk::scan::scan;

fuzz_target!(|data: &[u8]| {
    let _ = read_header(data);
    let Some((sequence, rest)) = data.split_first_chunk::<8>() else { return };
    let sequence = u64::from_le_bytes(*sequence);
    let _ = read(rest, sequence);
    // Sound records, with the input as damage among them.
    let mut bytes = segment_header(sequence).to_vec();
    let mut frame = Frame::default();
    let sound = |key| Record {
        version: 1,
        space: 0,
        kind: Kind::String,
        flags: 0,
        expires_at_ms: None,
        frame_left: 0,
        key,
        value: b"",
    };
    frame.push(&sound(b"first"), |value| value.extend_from_slice(rest));
    bytes.extend_from_slice(frame.seal(sequence));
    bytes.extend_from_slice(rest);
    bytes.resize(padded(bytes.len()), 0);
    let mut frame = Frame::default();
    frame.push(&sound(b"last"), |_| {});
    bytes.extend_from_slice(frame.seal(sequence));
    let mut keys = Vec::new();
    let scanned = scan(&bytes, sequence, |record, offset, len| {
        assert!(offset as usize + len <= bytes.len());
        keys.push(record.key.to_vec());
    });
    assert_eq!(scanned.records as usize, keys.len());
    assert_eq!(keys.first().map(Vec::as_slice), Some(&b"first"[..]));
});
