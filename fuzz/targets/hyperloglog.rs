//! HyperLogLogs from bytes that anybody may have set: corrupted or not, every command on one ends, and those that read
//! it agree whether it is well formed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use strata::value::hyperloglog::{self as hll, Encoding, Registers};

fuzz_target!(|data: &[u8]| {
    judge(data);
    let mut text = hll::empty();
    text.truncate(16);
    text.extend_from_slice(data);
    judge(&text);
});

fn judge(text: &[u8]) {
    let Some(encoding) = hll::encoding(text) else { return };
    let well_formed = hll::to_dense(text).is_ok();
    assert_eq!(hll::count(text).is_ok(), well_formed);
    let mut registers = Registers::default();
    assert_eq!(registers.merge(text).is_ok(), well_formed);
    if well_formed {
        assert_eq!(hll::count(text), Ok(registers.count()));
    }
    if encoding == Encoding::Sparse {
        hll::decode(text);
    }
    let mut edited = text.to_vec();
    for element in text.chunks(5) {
        let (register, run) = hll::locate(element);
        let raised = hll::raise(&mut edited, register, run, 100);
        assert!(raised.is_ok() || !well_formed);
    }
    assert!(hll::encoding(&edited).is_some());
    assert!(!well_formed || hll::count(&edited).is_ok());
}
