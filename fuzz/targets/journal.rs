//! Notes of what was done to a collection or a string, from bytes that anybody may have made: refused, or done, in part at most; the
//! collection can be read and edited afterwards.

#![no_main]

use libfuzzer_sys::fuzz_target;
use strata::value::hash::Hash;
use strata::value::journal::{Edit, replay, replay_text};
use strata::value::list::{ChunkLimit, End, List};
use strata::value::set::{Set, SetLimits};
use strata::value::stream::{Id, NewId, NodeLimits, Pending, Stream};
use strata::value::zset::Zset;
use strata::value::{Collection, Limits, PackLimits, Typed};

fuzz_target!(|data: &[u8]| {
    let Some((first, notes)) = data.split_first() else { return };
    let mut collection = example(*first);
    let _ = replay(&mut collection, notes, &limits());
    read(&collection);
    let mut text = vec![b'-'; usize::from(*first)];
    let _ = replay_text(&mut text, notes, 4096);
    assert!(text.len() <= 4096);
});

fn limits() -> Limits {
    let pack = PackLimits { entries: 8, value_bytes: 16 };
    Limits { hash: pack, list: ChunkLimit::new(4), set: SetLimits { ints: 8, pack }, zset: pack }
}

/// A collection of one of the types, empty, small or no longer packed.
fn example(choice: u8) -> Collection {
    let len = [0, 3, 20][usize::from(choice / 5) % 3];
    let texts: Vec<Vec<u8>> = (0..len).map(|number: u8| number.to_string().into_bytes()).collect();
    let limits = limits();
    match choice % 5 {
        0 => {
            let mut hash = Hash::default();
            for (number, text) in texts.iter().enumerate() {
                let at_ms = (choice >= 128 && number % 2 > 0).then_some(number as i64);
                hash.set_until(text, b"value", at_ms, &limits.hash);
            }
            hash.wrap()
        }
        1 => {
            let mut list = List::default();
            for text in &texts {
                list.make_room(text.len(), 1, limits.list);
                list.push(End::Back, text, limits.list);
            }
            list.wrap()
        }
        2 => {
            let mut set = Set::default();
            for text in &texts {
                set.add(text, &limits.set);
            }
            set.wrap()
        }
        3 => {
            let mut zset = Zset::default();
            for text in &texts {
                zset.insert(text, text.len() as f64, &limits.zset);
            }
            zset.wrap()
        }
        _ => {
            let mut stream = Stream::default();
            let mut edit = Edit::new(&mut stream, None);
            for (number, text) in texts.iter().enumerate() {
                let id = NewId::Exact(Id { ms: number as u64 + 1, seq: 0 });
                let limits = NodeLimits { bytes: 4096, entries: 10 };
                edit.add(id, 0, &[b"f", text], limits).expect("the ID is greater than the last");
            }
            edit.create_group(b"g", Id::MIN, Some(0));
            let (_, mut group) = edit.group(b"g").expect("it was made");
            let consumer = group.add_consumer(b"c", 1);
            (1..4).for_each(|ms| {
                group.deliver(Id { ms, seq: 0 }, Pending { consumer, delivered_at_ms: 1, deliveries: 1 });
            });
            stream.wrap()
        }
    }
}

/// Whatever is there can be shown, and is as much as it says.
fn read(collection: &Collection) {
    let mut seen = 0;
    match collection {
        Collection::Hash(hash) => {
            hash.for_each(i64::MIN, |field, _| {
                assert!(hash.deadline(field, i64::MIN).is_some());
                seen += 1;
            });
            let mut rest = hash.clone();
            rest.remove_due(i64::MAX, usize::MAX);
            assert!(rest.next_deadline().is_none());
        }
        Collection::List(list) => list.visit(0, list.len(), true, |_| {
            seen += 1;
            true
        }),
        Collection::Set(set) => set.for_each(|member| {
            assert!(set.contains(member));
            seen += 1;
        }),
        Collection::Zset(zset) => zset.visit(0, usize::MAX, true, |member, score| {
            assert_eq!(zset.score(member), Some(score));
            seen += 1;
        }),
        Collection::Stream(stream) => {
            seen = stream.log.range(Id::MIN, Id::MAX).count();
            for group in stream.groups.values() {
                let of_consumers = group.consumers().map(|consumer| consumer.pending_len());
                assert_eq!(of_consumers.sum::<usize>(), group.pending_len());
            }
        }
    }
    assert_eq!(seen, collection.len());
}
