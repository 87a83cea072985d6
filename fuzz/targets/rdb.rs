//! Payloads of RESTORE, with the sum put right: refused, or a value that can be read, written and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use strata::rdb::{self, Decoded, Limits, Value};
use strata::value::PackLimits;
use strata::value::list::ChunkLimit;
use strata::value::set::SetLimits;
use strata::value::string::NewString;

fuzz_target!(|data: &[u8]| {
    // Any bytes at all must not get past the check of the sum, or only by right.
    let _ = rdb::is_sound(data) && rdb::restore(data, &limits()).is_ok();
    let payload = rdb::sealed(data.to_vec(), rdb::VERSION_MAX);
    assert!(rdb::is_sound(&payload));
    match rdb::restore(&payload, &limits()) {
        Ok(Decoded::String(text)) => drop(NewString::encode(&text)),
        Ok(Decoded::Collection(collection)) => {
            let written = rdb::dump(&Value::Collection(&collection));
            let Ok(Decoded::Collection(again)) = rdb::restore(&written, &limits()) else {
                panic!("what was written is not read");
            };
            assert_eq!((again.len(), again.type_name()), (collection.len(), collection.type_name()));
        }
        Err(_) => {}
    }
});

fn limits() -> Limits {
    let pack = PackLimits { entries: 8, value_bytes: 16 };
    Limits { hash: pack, list: ChunkLimit::new(-1), set: SetLimits { ints: 8, pack }, zset: pack }
}
