//! Listpacks against a model, against Redis's bytes, and against bytes that are none.

use super::*;
use proptest::prelude::*;

fn element() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<i64>().prop_map(|int| int.to_string().into_bytes()),
        (-9000_i64..9000).prop_map(|int| int.to_string().into_bytes()),
        (0_u32..63).prop_map(|bit| (1_i64 << bit).to_string().into_bytes()),
        (0_u32..63).prop_map(|bit| (-(1_i64 << bit) - 1).to_string().into_bytes()),
        prop::sample::select(vec!["", "-", "-0", "007", "a", "b", "9223372036854775808"])
            .prop_map(|text| text.as_bytes().to_vec()),
        (0_usize..5000).prop_map(|len| vec![b'x'; len]),
        prop::collection::vec(any::<u8>(), 0..70),
    ]
}

#[derive(Clone, Debug)]
enum Edit {
    PushBack(Vec<u8>),
    PushFront(Vec<u8>),
    InsertBefore(usize, Vec<u8>),
    InsertAfter(usize, Vec<u8>),
    Replace(usize, Vec<u8>),
    Remove(usize),
    RemoveRange(isize, usize),
    PopFront,
    PopBack,
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        4 => element().prop_map(Edit::PushBack),
        2 => element().prop_map(Edit::PushFront),
        2 => (any::<usize>(), element()).prop_map(|(at, new)| Edit::InsertBefore(at, new)),
        2 => (any::<usize>(), element()).prop_map(|(at, new)| Edit::InsertAfter(at, new)),
        2 => (any::<usize>(), element()).prop_map(|(at, new)| Edit::Replace(at, new)),
        2 => any::<usize>().prop_map(Edit::Remove),
        1 => (-12_isize..12, 0_usize..4).prop_map(|(at, count)| Edit::RemoveRange(at, count)),
        1 => Just(Edit::PopFront),
        1 => Just(Edit::PopBack),
    ]
}

fn place(pack: &Listpack, model: &[Vec<u8>], at: usize) -> Option<(usize, Position)> {
    let index = at.checked_rem(model.len())?;
    Some((index, pack.at(index as isize).expect("the model has such an element")))
}

fn apply(pack: &mut Listpack, model: &mut Vec<Vec<u8>>, edit: Edit) {
    match edit {
        Edit::PushBack(new) => {
            pack.push_back(&new);
            model.push(new);
        }
        Edit::PushFront(new) => {
            pack.push_front(&new);
            model.insert(0, new);
        }
        Edit::InsertBefore(at, new) => {
            let Some((index, at)) = place(pack, model, at) else { return };
            let at = pack.insert_before(at, &new);
            assert!(pack.get(at) == new[..]);
            model.insert(index, new);
        }
        Edit::InsertAfter(at, new) => {
            let Some((index, at)) = place(pack, model, at) else { return };
            let at = pack.insert_after(at, &new);
            assert!(pack.get(at) == new[..]);
            model.insert(index + 1, new);
        }
        Edit::Replace(at, new) => {
            let Some((index, at)) = place(pack, model, at) else { return };
            let at = pack.replace(at, &new);
            assert!(pack.get(at) == new[..]);
            model[index] = new;
        }
        Edit::Remove(at) => {
            let Some((index, at)) = place(pack, model, at) else { return };
            let next = pack.remove(at).map(|next| pack.get(next).to_vec());
            model.remove(index);
            assert_eq!(next, model.get(index).cloned());
        }
        Edit::PopFront => {
            let wanted = (!model.is_empty()).then(|| model.remove(0));
            assert_eq!(pack.pop_front(|element| element.to_vec()), wanted);
        }
        Edit::PopBack => assert_eq!(pack.pop_back(|element| element.to_vec()), model.pop()),
        Edit::RemoveRange(at, count) => {
            pack.remove_range(at, count);
            let start = if at < 0 { at + model.len() as isize } else { at };
            if let Some(start) = usize::try_from(start).ok().filter(|start| *start < model.len()) {
                model.drain(start..(start + count).min(model.len()));
            }
        }
    }
}

fn agrees(pack: &Listpack, model: &[Vec<u8>]) {
    assert_eq!((pack.len(), pack.is_empty()), (model.len(), model.is_empty()));
    assert!(pack.iter().map(|element| element.to_vec()).eq(model.iter().cloned()));
    assert!(pack.iter().rev().map(|element| element.to_vec()).eq(model.iter().rev().cloned()));
    let texts = 7 + model.iter().map(|element| Listpack::entry_bytes(element)).sum::<usize>();
    assert_eq!(pack.byte_len(), texts);
    let count = model.len() as isize;
    for index in -count - 1..=count {
        let wanted = if index < 0 { index + count } else { index };
        let wanted = usize::try_from(wanted).ok().and_then(|index| model.get(index));
        assert_eq!(pack.at(index).map(|at| pack.get(at).to_vec()).as_ref(), wanted);
    }
    for element in model {
        for skip in 0..3 {
            let wanted = model.iter().step_by(skip + 1).position(|other| other == element);
            let found = pack.find(pack.first().expect("it is not empty"), element, skip);
            assert_eq!(found, wanted.and_then(|index| pack.at((index * (skip + 1)) as isize)));
        }
        let len = pack.iter().find(|found| *found == element[..]).map(|found| found.len());
        assert_eq!(len, Some(element.len()));
    }
    assert_eq!(Listpack::from_bytes(pack.as_bytes().to_vec()).as_ref(), Ok(pack));
    assert!(pack.allocated_bytes() <= crate::value::size_class::size_class(pack.byte_len()));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_listpack_holds_what_a_model_holds(edits in prop::collection::vec(edit(), 0..40)) {
        let (mut pack, mut model) = (Listpack::new(), Vec::new());
        for edit in edits {
            apply(&mut pack, &mut model, edit);
        }
        // Popping leaves the memory.
        pack.shrink();
        agrees(&pack, &model);
    }

    #[test]
    fn damaged_bytes_are_refused_or_still_readable(
        elements in prop::collection::vec(element(), 1..8), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut pack = Listpack::new();
        elements.iter().for_each(|element| pack.push_back(element));
        let mut bytes = pack.as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(pack) = Listpack::from_bytes(bytes) {
            prop_assert_eq!(pack.iter().count(), pack.iter().rev().count());
        }
    }
}

fn pack(elements: &[&[u8]]) -> Listpack {
    let mut pack = Listpack::new();
    elements.iter().for_each(|element| pack.push_back(element));
    pack
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).expect("hex")).collect()
}

/// The payload of a hash from DUMP of a redis-server, without its type, length, version and checksum.
#[test]
fn bytes_are_those_of_redis() {
    let long = [b'x'; 64];
    let hash: &[&[u8]] = &[
        b"name",
        b"strata",
        b"count",
        b"127",
        b"neg",
        b"-5",
        b"n13",
        b"4095",
        b"n16",
        b"-30000",
        b"n24",
        b"8388607",
        b"n32",
        b"-2147483648",
        b"n64",
        b"9223372036854775807",
        b"long",
        &long,
        b"zero",
        b"007",
    ];
    let dumped = hex(HASH);
    assert_eq!(pack(hash).as_bytes(), dumped);
    let read = Listpack::from_bytes(dumped).expect("Redis's own bytes");
    assert!(read.iter().map(|element| element.to_vec()).eq(hash.iter().map(|element| element.to_vec())));
}

const HASH: &str = "\
    af0000001400846e616d6505867374726174610785636f756e74067f01836e656704dffb02836e313304cfff02836e313604\
    f1d08a03836e323404f2ffff7f04836e333204f30000008005836e363404f4ffffffffffffff7f09846c6f6e6705e0407878\
    7878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878\
    78787878787878787878787842847a65726f058330303704ff";

#[test]
fn texts_that_look_like_numbers_stay_what_they_were() {
    let hash: &[&[u8]] = &[b"bin\x00\xff", b"", b"-", b"-0", b"m", b"-4097", b"aaa", b"9223372036854775808"];
    let dumped = "\
        3800000008008562696e00ff068001812d02822d3003816d02f1ffef03836161610493393232333337323033363835343737\
        3538303814ff";
    assert_eq!(pack(hash).as_bytes(), hex(dumped));
}

#[test]
fn what_comes_and_goes_at_the_front_moves_no_other_element() {
    let mut pack = Listpack::with_capacity_in_front(4096);
    pack.push_front(b"last");
    let end = pack.as_bytes().as_ptr_range().end;
    for round in 0..100 {
        pack.push_front(b"an element of twenty-five");
        pack.push_front(b"another");
        assert_eq!(pack.pop_front(|element| element.to_vec()), Some(b"another".to_vec()));
        assert_eq!((pack.len(), pack.as_bytes().as_ptr_range().end), (round + 2, end));
    }
}

#[test]
fn elements_beyond_65534_are_counted_by_walking() {
    let mut pack = Listpack::new();
    (0..70_000).for_each(|int| pack.push_int(int));
    assert_eq!((pack.len(), pack.header_count()), (70_000, UNCOUNTED));
    assert_eq!(pack.at(-1).map(|at| pack.get(at)), Some(Element::Int(69_999)));
    assert_eq!(pack.at(69_999).map(|at| pack.get(at)), Some(Element::Int(69_999)));
    assert_eq!(Listpack::from_bytes(pack.as_bytes().to_vec()), Ok(pack));
}

#[test]
fn malformed_packs_are_refused() {
    let good = pack(&[b"a", b"500"]).as_bytes().to_vec();
    assert!(Listpack::from_bytes(good.clone()).is_ok());
    for cut in 0..good.len() {
        assert_eq!(Listpack::from_bytes(good[..cut].to_vec()), Err(Malformed));
    }
    for (at, byte) in [(0, 99), (4, 3), (6, 0x8F), (6, 0xF0), (6, 0xFF), (8, 1), (8, 0x82), (12, 0)] {
        let mut bad = good.clone();
        bad[at] = byte;
        assert_eq!(Listpack::from_bytes(bad), Err(Malformed), "{at} {byte}");
    }
}

/// Where a listpack begins has 24 bits: what is longer moves its back where its front would go too far.
#[test]
fn a_huge_listpack_is_edited_at_both_ends() {
    let element = |number: u8| vec![number; 1 << 20];
    let mut pack = Listpack::with_capacity_in_front(40 << 20);
    (0..30).for_each(|number| pack.push_back(&element(number)));
    for number in 0..20 {
        let first = pack.pop_front(|element| element.to_vec());
        assert!(first == Some(element(number)), "element {number}");
    }
    (0..20).rev().for_each(|number| pack.push_front(&element(number)));
    assert_eq!(pack.len(), 30);
    for (number, found) in pack.iter().enumerate() {
        assert!(found.to_vec() == element(number as u8), "element {number}");
    }
    assert!(Listpack::from_bytes(pack.as_bytes().to_vec()).is_ok());
}
