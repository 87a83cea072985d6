//! A checkpoint of any bytes, with a right sum: it is refused, or every number in it is in its bounds.

#![no_main]

use libfuzzer_sys::fuzz_target;
use strata::keyspace::checkpoint;

fuzz_target!(|data: &[u8]| {
    let _ = checkpoint::read(data);
    let mut bytes = b"STRATAC1".to_vec();
    bytes.extend_from_slice(data);
    let sum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    let _ = checkpoint::seeds(&bytes);
    let Some(checkpoint) = checkpoint::read(&bytes) else { return };
    let segments = checkpoint.segments.len();
    let _ = checkpoint.visit(|shard| {
        for (position, segment, _) in shard.slots {
            assert!(position < 1 << 20 && segment < segments);
        }
        assert!(shard.deadlines.iter().all(|(position, _)| *position < 1 << 20));
    });
});
