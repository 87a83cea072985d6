//! What is noted of random edits is done again on a copy, which is then equal; what is no note is refused.

use super::{Edit, Journal, Malformed, replay, replay_text};
use crate::value::hash::Hash;
use crate::value::list::{ChunkLimit, End, List};
use crate::value::set::{Set, SetLimits};
use crate::value::stream::{Id, NewId, NodeLimits, Pending, Stream, Trim, TrimTo};
use crate::value::zset::Zset;
use crate::value::{Collection, Limits, PackLimits, Typed};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::fmt::Debug;

/// One of a few things to do, with numbers and a text to do it with.
type Step = (u8, u16, u16, Vec<u8>);

fn limits(entries: usize, list: i64) -> Limits {
    let pack = PackLimits { entries, value_bytes: 6 };
    Limits { hash: pack, list: ChunkLimit::new(list), set: SetLimits { ints: entries, pack }, zset: pack }
}

/// Under what commands edit. What they do is done again under others: content knows no limits.
fn live_limits() -> Limits {
    limits(8, 4)
}

fn steps(texts: &'static str, count: usize) -> impl Strategy<Value = Vec<Step>> {
    let text = proptest::string::string_regex(texts).expect("a pattern").prop_map(String::into_bytes);
    proptest::collection::vec((any::<u8>(), any::<u16>(), any::<u16>(), text), 1..count)
}

/// How notes are spoilt: something is put in the place of a byte, or of all from there on.
type Damage = (u16, u8, bool);

fn damages() -> impl Strategy<Value = Vec<Damage>> {
    proptest::collection::vec(any::<Damage>(), 1..8)
}

fn spoilt(notes: &[u8], (at, byte, cut): Damage) -> Vec<u8> {
    let mut notes = notes.to_vec();
    let at = usize::from(at) % (notes.len() + 1);
    if cut {
        notes.truncate(at);
        notes.push(byte);
    } else if let Some(old) = notes.get_mut(at) {
        *old = byte;
    }
    notes
}

/// Does all steps on one collection, and now and then what is noted of them on another; both stay equal.
fn follow<T: Typed, C: PartialEq + Debug>(
    steps: &[Step],
    damages: &[Damage],
    mut edit: impl FnMut(&mut Edit<'_, T>, &Step),
    content: impl Fn(&T) -> C,
) {
    let (mut live, mut copy) = (T::default().wrap(), T::default().wrap());
    let content = |collection: &Collection| content(T::of(collection).expect("it keeps its type"));
    let mut journal = Journal::default();
    for (number, step) in steps.iter().enumerate() {
        let value = T::of_mut(&mut live).expect("it keeps its type");
        edit(&mut Edit::new(value, Some(&mut journal)), step);
        if step.2 % 4 > 0 && number + 1 < steps.len() {
            continue;
        }
        let notes = journal.notes().expect("all is noted");
        for damage in damages {
            let mut victim = copy.clone();
            let _ = replay(&mut victim, &spoilt(notes, *damage), &limits(12, -1));
            content(&victim);
        }
        assert_eq!(replay(&mut copy, notes, &limits(12, -1)), Ok(()), "{notes:?}");
        assert_eq!(content(&copy), content(&live), "{notes:?}");
        journal.clear();
    }
}

fn edit_hash(hash: &mut Edit<'_, Hash>, (action, a, b, text): &Step) {
    let (field, at_ms) = (&text[..text.len().min(2)], i64::from(a % 100));
    let limits = live_limits().hash;
    // A hash becomes one whose fields expire and stays it: not all should.
    let expires = b % 8 == 7;
    match action % 8 {
        0 => drop(hash.remove(field, at_ms)),
        1 => drop(hash.remove(field, 0)),
        2 if expires => drop(hash.set_until(field, text, Some(at_ms), &limits)),
        3 => hash.set_deadline(field, expires.then_some(at_ms)),
        4 => drop(hash.remove_due(at_ms, usize::from(b % 3))),
        _ => drop(hash.set(field, text, &limits)),
    }
}

fn content_of_hash(hash: &Hash) -> Vec<(Vec<u8>, Vec<u8>, Option<i64>)> {
    let mut all = Vec::new();
    hash.for_each(i64::MIN, |field, value| {
        all.push((field.to_vec(), value.to_vec(), hash.deadline(field, i64::MIN).flatten()));
    });
    all.sort();
    assert_eq!(all.len(), hash.len());
    assert_eq!(all.iter().filter_map(|(_, _, at)| *at).min(), hash.next_deadline());
    all
}

fn edit_list(list: &mut Edit<'_, List>, (action, a, b, text): &Step) {
    let limit = live_limits().list;
    let (a, b) = (usize::from(*a) % (list.len() + 2), usize::from(*b) % (list.len() + 2));
    let end = if b % 2 == 0 { End::Front } else { End::Back };
    match action % 12 {
        0..=4 => {
            list.make_room(text.len(), 1, limit);
            list.push(end, text, limit);
        }
        5 | 6 => drop(list.pop(end, |_| ())),
        7 => list.set(a, text, limit),
        8 => list.insert(a, text, limit),
        9 => list.remove_range(a.min(b), a.min(b) + a % 5),
        10 => drop(list.remove_equal(text, if b % 3 == 0 { usize::MAX } else { b % 3 }, end == End::Back)),
        _ => list.shrink(limit),
    }
}

fn content_of_list(list: &List) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    list.visit(0, list.len(), false, |element| {
        all.push(element.to_vec());
        true
    });
    assert_eq!(all.len(), list.len());
    all
}

fn edit_set(set: &mut Edit<'_, Set>, (action, a, b, text): &Step) {
    let limits = live_limits().set;
    match action % 8 {
        0 | 1 => drop(set.remove(text)),
        2 => {
            let mut state = u64::from(*a);
            drop(set.take_random(|| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(u64::from(*b) | 1);
                state >> 11
            }));
        }
        3 => set.expect_members(text, usize::from(a % 12), &limits),
        _ => drop(set.add(text, &limits)),
    }
}

fn content_of_set(set: &Set) -> BTreeSet<Vec<u8>> {
    let mut all = BTreeSet::new();
    set.for_each(|member| assert!(all.insert(member.to_vec())));
    assert_eq!(all.len(), set.len());
    all
}

fn edit_zset(zset: &mut Edit<'_, Zset>, (action, a, b, text): &Step) {
    let limits = live_limits().zset;
    let from = usize::from(*a) % (zset.len() + 1);
    match action % 8 {
        0 | 1 => drop(zset.remove(text)),
        2 => zset.remove_ranks(from, from + usize::from(b % 3), |_, _| {}),
        3 => zset.expect_members(text, usize::from(a % 12), &limits),
        _ => {
            let scores =
                [-1.5, -0.0, 0.0, 1.0, 1e300, 0.1, f64::INFINITY, f64::NEG_INFINITY, 1_763_000_000_123.0];
            zset.insert(text, scores[usize::from(*b) % scores.len()], &limits);
        }
    }
}

fn content_of_zset(zset: &Zset) -> Vec<(Vec<u8>, u64)> {
    let mut all = Vec::new();
    zset.visit(0, usize::MAX, false, |name, score| {
        assert_eq!(zset.score(name), Some(score));
        assert_eq!(zset.rank(name), Some((all.len(), score)));
        all.push((name.to_vec(), score.to_bits()));
    });
    assert_eq!(all.len(), zset.len());
    all
}

fn edit_stream(stream: &mut Edit<'_, Stream>, step: &Step) {
    let (action, a, b, text) = step;
    let limits = NodeLimits { bytes: 300, entries: 10 };
    let (last_id, some_id) =
        (stream.log.last_id, Id { ms: u64::from(a % 50), seq: if b % 5 == 0 { 1 } else { 0 } });
    match action % 16 {
        0..=4 => {
            let id = if b % 3 == 0 { NewId::Millisecond(last_id.ms) } else { NewId::Auto };
            let fields: [&[u8]; 4] = [b"name", text, b"n", b"12"];
            let _ =
                stream.add(id, (last_id.ms + 1) as i64, &fields[..if a % 4 == 0 { 2 } else { 4 }], limits);
        }
        5 => {
            let to = if a % 2 == 0 { TrimTo::Id(some_id) } else { TrimTo::Len(u64::from(b % 20)) };
            stream.trim(Trim { to, approximate: a % 3 == 0, limit: 0 });
        }
        6 => drop(stream.delete(&[some_id, Id { ms: last_id.ms, seq: 0 }, some_id])),
        7 => {
            let max_deleted_id = stream.log.max_deleted_id;
            let last_id = Id { ms: last_id.ms + u64::from(a % 2), ..last_id };
            stream.set_ids(last_id, stream.log.entries_added + u64::from(b % 3), max_deleted_id);
        }
        8 if a % 4 > 0 => {
            let name: &[u8] = if b % 2 == 0 { b"first" } else { b"second" };
            if !stream.groups.contains_key(name) {
                stream.create_group(name, some_id, (b % 3 > 0).then_some(i64::from(*a) - 3));
            }
        }
        8 => drop(stream.destroy_group(if b % 2 == 0 { b"first" } else { b"second" })),
        _ => edit_group(stream, step, some_id),
    }
}

/// Does a few things to a group, as one command may.
fn edit_group(stream: &mut Edit<'_, Stream>, (action, a, b, text): &Step, some_id: Id) {
    let Some((log, mut group)) = stream.group(if b % 2 == 0 { b"first" } else { b"second" }) else { return };
    let now_ms = i64::from(*a);
    let names: [&[u8]; 3] = [b"one", b"two", b"three"];
    let (first, second) = (names[usize::from(*a) % 3], names[text.len() % 3]);
    if b % 16 == 7 {
        group.remove_consumer(first);
    }
    let mut consumer_of = |name: &[u8]| match group.find(name) {
        Some(id) => {
            group.set_seen(id, now_ms);
            id
        }
        None => group.add_consumer(name, now_ms),
    };
    let (consumer, other) = (consumer_of(first), consumer_of(second));
    match action % 16 {
        9 | 10 => {
            let entries = log.range(group.last_id.next().unwrap_or(Id::MAX), Id::MAX);
            for entry in entries.take(1 + text.len()) {
                group.note_read(log, entry.id);
                group.deliver(entry.id, Pending { consumer, delivered_at_ms: now_ms, deliveries: 1 });
                group.set_active(consumer, now_ms);
            }
        }
        11 => group.set_position(some_id, (b % 3 > 0).then_some(now_ms)),
        12 => {
            group.deliver(some_id, Pending { consumer: other, delivered_at_ms: -1, deliveries: u64::MAX });
            group.set_active(other, -5);
        }
        13 => {
            let ids: Vec<Id> = group.pending_from(some_id).take(2).map(|(id, _)| id).collect();
            ids.into_iter().for_each(|id| assert!(group.acknowledge(id)));
        }
        14 => drop(group.acknowledge(some_id)),
        _ => {
            let rows: Vec<(Id, Pending)> =
                group.pending_from(some_id).take(3).map(|(id, row)| (id, *row)).collect();
            for (id, row) in rows {
                group.deliver(id, Pending { consumer: other, deliveries: row.deliveries, ..row });
            }
            group.remove_consumer(first);
            group.add_consumer(first, now_ms + 1);
        }
    }
}

/// All that there is to know of a stream, as text.
fn content_of_stream(stream: &Stream) -> Vec<String> {
    let log = &stream.log;
    let mut all = vec![format!(
        "{} {:?} {:?} {:?} {}",
        log.len(),
        log.first_id(),
        log.last_id,
        log.max_deleted_id,
        log.entries_added
    )];
    for entry in log.range(Id::MIN, Id::MAX) {
        let pairs: Vec<_> = entry.pairs().map(|(field, value)| (field.to_vec(), value.to_vec())).collect();
        all.push(format!("{:?} {pairs:?}", entry.id));
    }
    assert_eq!(all.len() as u64, log.len() + 1);
    for (name, group) in &stream.groups {
        all.push(format!("{name:?} {:?} {:?}", group.last_id, group.entries_read));
        for (id, row) in group.pending_from(Id::MIN) {
            let consumer = &group.consumer(row.consumer).name;
            all.push(format!("{id:?} {consumer:?} {} {}", row.delivered_at_ms, row.deliveries));
        }
        for consumer in group.consumers() {
            let pending: Vec<Id> = consumer.pending_from(Id::MIN).collect();
            let (seen, active) = (consumer.seen_at_ms, consumer.active_at_ms);
            all.push(format!("{:?} {seen} {active:?} {pending:?}", consumer.name));
        }
    }
    all
}

/// A collection of each type, with something in it.
fn examples() -> Vec<Collection> {
    let (mut hash, mut list, mut set, mut zset, mut stream) =
        (Hash::default(), List::default(), Set::default(), Zset::default(), Stream::default());
    for number in 0..20_u16 {
        let text = number.to_string().into_bytes();
        edit_hash(&mut Edit::new(&mut hash, None), &(5 - number as u8 % 4, number, 7, text.clone()));
        edit_list(&mut Edit::new(&mut list, None), &(0, number, number, text.clone()));
        edit_set(&mut Edit::new(&mut set, None), &(7, number, number, text.clone()));
        edit_zset(&mut Edit::new(&mut zset, None), &(7, number, number, text.clone()));
        edit_stream(&mut Edit::new(&mut stream, None), &(0, number, number, text.clone()));
    }
    for action in [8, 9, 9] {
        edit_stream(&mut Edit::new(&mut stream, None), &(action, 1, 0, b"text".to_vec()));
    }
    vec![hash.wrap(), list.wrap(), set.wrap(), zset.wrap(), stream.wrap()]
}

fn look_at(collection: &Collection) {
    match collection {
        Collection::Hash(hash) => drop(content_of_hash(hash)),
        Collection::List(list) => drop(content_of_list(list)),
        Collection::Set(set) => drop(content_of_set(set)),
        Collection::Zset(zset) => drop(content_of_zset(zset)),
        Collection::Stream(stream) => drop(content_of_stream(stream)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_hash_is_what_its_notes_tell(steps in steps("[a-f]{0,2}[0-9]{0,7}", 120), damages in damages()) {
        follow(&steps, &damages, edit_hash, content_of_hash);
    }

    #[test]
    fn a_list_is_what_its_notes_tell(steps in steps("[0-9]{1,3}|[a-b]|x{900}|y{5000}", 120), damages in damages()) {
        follow(&steps, &damages, edit_list, content_of_list);
    }

    #[test]
    fn a_set_is_what_its_notes_tell(steps in steps("[0-9]{1,2}|[a-c]{0,2}|[0-9]{7}", 120), damages in damages()) {
        follow(&steps, &damages, edit_set, content_of_set);
    }

    #[test]
    fn a_set_of_integers_is_what_its_notes_tell(steps in steps("[0-9]{1,2}", 60), damages in damages()) {
        follow(&steps, &damages, edit_set, content_of_set);
    }

    #[test]
    fn a_sorted_set_is_what_its_notes_tell(steps in steps("[a-f]{0,2}|[0-9]{1,7}", 120), damages in damages()) {
        follow(&steps, &damages, edit_zset, content_of_zset);
    }

    #[test]
    fn a_stream_is_what_its_notes_tell(steps in steps("[a-f]{0,4}", 200), damages in damages()) {
        follow(&steps, &damages, edit_stream, content_of_stream);
    }

    #[test]
    fn any_bytes_are_refused_or_done(
        notes in proptest::collection::vec((0_u8..16, proptest::collection::vec(prop_oneof![0_u8..5, any::<u8>()], 0..8)), 0..12),
        bytes in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        for (number, mut collection) in examples().into_iter().enumerate() {
            let mut other = collection.clone();
            let _ = replay(&mut other, &bytes, &live_limits());
            look_at(&other);
            let ops = (number as u8 + 1) << 4;
            let notes: Vec<u8> = notes.iter().flat_map(|(op, rest)| [&[ops | op], &rest[..]].concat()).collect();
            let _ = replay(&mut collection, &notes, &live_limits());
            look_at(&collection);
        }
    }
}

#[test]
fn notes_of_one_type_are_none_of_another() {
    for (number, collection) in examples().into_iter().enumerate() {
        for other in (0..5).filter(|other| *other != number) {
            for op in 0..16 {
                let notes = [(other as u8 + 1) << 4 | op, 0, 0, 0, 0, 0, 0, 0];
                assert_eq!(replay(&mut collection.clone(), &notes, &live_limits()), Err(Malformed));
            }
        }
    }
}

#[test]
fn lengths_are_checked_against_what_is_left() {
    const HUGE: [u8; 10] = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01];
    for collection in examples() {
        for op in 0x10..=0x5F {
            for zeros in 0..4 {
                let notes = [&[op][..], &[0; 3][..zeros], &HUGE, &HUGE, &HUGE].concat();
                let mut collection = collection.clone();
                let _ = replay(&mut collection, &notes, &live_limits());
                look_at(&collection);
            }
        }
    }
}

#[test]
fn what_changes_nothing_has_no_note() {
    let (mut hash, mut list, mut set, mut zset, mut stream) =
        (Hash::default(), List::default(), Set::default(), Zset::default(), Stream::default());
    let limits = live_limits();
    set.add(b"there", &limits.set);
    zset.insert(b"there", 1.0, &limits.zset);
    hash.set(b"there", b"1", &limits.hash);
    Edit::new(&mut stream, None).create_group(b"group", Id::MIN, None);
    let mut journal = Journal::default();
    {
        let mut hash = Edit::new(&mut hash, Some(&mut journal));
        hash.remove(b"field", 0);
        hash.set_deadline(b"field", Some(1));
        hash.set_deadline(b"there", None);
        hash.remove_due(5, 5);
    }
    {
        let mut list = Edit::new(&mut list, Some(&mut journal));
        list.make_room(100_000, 1, limits.list);
        list.pop(End::Back, |_| ());
        list.set(0, b"", limits.list);
        list.remove_range(0, 5);
        list.remove_equal(b"", 5, false);
        list.shrink(limits.list);
    }
    {
        let mut set = Edit::new(&mut set, Some(&mut journal));
        set.expect_members(b"", 1000, &limits.set);
        set.add(b"there", &limits.set);
        set.remove(b"member");
    }
    {
        let mut zset = Edit::new(&mut zset, Some(&mut journal));
        zset.insert(b"there", 1.0, &limits.zset);
        zset.remove(b"member");
        zset.remove_ranks(1, 5, |_, _| {});
    }
    {
        let mut stream = Edit::new(&mut stream, Some(&mut journal));
        stream.trim(Trim { to: TrimTo::Len(0), approximate: false, limit: 0 });
        stream.delete(&[Id::MAX]);
        stream.destroy_group(b"none");
        let (_, mut group) = stream.group(b"group").expect("it was made");
        group.set_position(Id::MIN, None);
        group.acknowledge(Id::MAX);
        group.remove_consumer(b"nobody");
    }
    assert_eq!(journal.notes(), Some(&[][..]));
}

#[test]
fn a_journal_that_tells_not_all_has_no_notes_until_it_begins_anew() {
    let (mut set, mut journal) = (Set::default(), Journal::default());
    Edit::new(&mut set, Some(&mut journal)).add(b"1", &live_limits().set);
    journal.tells_not_all();
    Edit::new(&mut set, Some(&mut journal)).add(b"2", &live_limits().set);
    assert_eq!(journal.notes(), None);
    journal.clear();
    assert_eq!(journal.notes(), Some(&[][..]));
}

/// A group that reads a hundred entries has one position in the notes, not a hundred.
#[test]
fn reading_many_entries_notes_one_position() {
    let mut stream = Stream::default();
    let limits = NodeLimits { bytes: 4096, entries: 100 };
    for ms in 1..=100 {
        let id = NewId::Exact(Id { ms, seq: 0 });
        assert!(stream.log.add(id, 0, &[b"f", b"v"], limits).is_ok());
    }
    Edit::new(&mut stream, None).create_group(b"group", Id::MIN, None);
    let mut journal = Journal::default();
    let mut edit = Edit::new(&mut stream, Some(&mut journal));
    let (log, mut group) = edit.group(b"group").expect("it was made");
    log.range(Id::MIN, Id::MAX).for_each(|entry| group.note_read(log, entry.id));
    assert!(journal.notes().is_some_and(|notes| notes.len() < 64));
}

proptest! {
    #[test]
    fn strings(steps in steps("[a-z]{0,12}", 60), damages in damages()) {
        const MOST: usize = 1 << 20;
        let (mut live, mut copy, mut journal) = (vec![b'-'; 100], vec![b'-'; 100], Journal::default());
        for (action, a, b, text) in &steps {
            let mut edit = Edit::new(&mut live, Some(&mut journal));
            let (a, b) = (usize::from(*a) % 300, usize::from(*b) % 300);
            match action % 2 {
                0 => edit.write(a, text),
                _ => {
                    let ranges = [a..a + 1, b..b + text.len()];
                    let len = ranges.iter().map(|range| range.end).max().unwrap_or(0);
                    edit.change(len, &ranges, |bytes| {
                        bytes[a] ^= 1;
                        bytes[b..b + text.len()].copy_from_slice(text);
                    });
                }
            }
            if b % 4 > 0 {
                continue;
            }
            let notes = journal.notes().expect("all is noted");
            for damage in &damages {
                let mut victim = copy.clone();
                let _ = replay_text(&mut victim, &spoilt(notes, *damage), MOST);
                prop_assert!(victim.len() <= MOST);
            }
            prop_assert_eq!(replay_text(&mut copy, notes, MOST), Ok(()));
            prop_assert_eq!(&copy, &live);
            journal.clear();
        }
    }
}
