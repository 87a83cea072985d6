//! Listpacks and sets of integers from bytes that anybody may have made: refused, or whatever is asked of them has an
//! answer.

#![no_main]

use libfuzzer_sys::fuzz_target;
use strata::value::intset::Intset;
use strata::value::listpack::Listpack;

fuzz_target!(|data: &[u8]| {
    if let Ok(pack) = Listpack::from_bytes(data.to_vec()) {
        read(&pack);
        edit(pack);
    }
    // With the lengths put right, more gets past the first check.
    if data.len() >= 7 {
        let mut bytes = data.to_vec();
        bytes[..4].copy_from_slice(&(data.len() as u32).to_le_bytes());
        bytes[4..6].copy_from_slice(&[0xFF, 0xFF]);
        if let Ok(pack) = Listpack::from_bytes(bytes) {
            read(&pack);
        }
    }
    if let Ok(mut set) = Intset::from_bytes(data.to_vec()) {
        let all: Vec<i64> = set.iter().collect();
        assert!(all.iter().all(|int| set.contains(*int)));
        assert!(all.iter().all(|int| set.remove(*int)) && set.is_empty());
    }
});

fn read(pack: &Listpack) {
    let forward: Vec<Vec<u8>> = pack.iter().map(|element| element.to_vec()).collect();
    let mut backward: Vec<Vec<u8>> = pack.iter().rev().map(|element| element.to_vec()).collect();
    backward.reverse();
    assert_eq!(forward, backward);
    assert_eq!(pack.len(), forward.len());
    for (index, text) in forward.iter().enumerate() {
        let at = pack.at(index as isize).expect("as many as there are");
        assert_eq!(pack.at(index as isize - forward.len() as isize), Some(at));
        assert_eq!(pack.get(at).to_vec(), *text);
        assert_eq!(pack.get(at).len(), text.len());
        let found = pack.find(at, text, 0).expect("it is there itself");
        assert!(found == at);
        assert_eq!(pack.next(at), pack.at(index as isize + 1));
        assert_eq!(pack.prev(at).is_none(), index == 0);
    }
    assert_eq!(pack.at(forward.len() as isize), None);
}

fn edit(mut pack: Listpack) {
    let len = pack.len();
    pack.push_back(b"500");
    pack.push_front(b"text");
    if let Some(at) = pack.at(1) {
        pack.replace(at, b"-");
    }
    pack.remove_range(0, 1);
    assert_eq!(pack.len(), len + 1);
    assert_eq!(Listpack::from_bytes(pack.as_bytes().to_vec()), Ok(pack.clone()));
    let mut at = pack.first();
    while let Some(here) = at {
        at = pack.remove(here);
    }
    assert!(pack.is_empty());
}
