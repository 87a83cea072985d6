//! Streams against a model, and nodes against Redis's bytes.

use super::*;
use crate::value::listpack::Listpack;
use proptest::prelude::*;

const LIMITS: NodeLimits = NodeLimits { bytes: 300, entries: 10 };

type Fields = Vec<Vec<u8>>;

#[derive(Clone, Debug)]
enum Edit {
    Add { ms: u64, seq: u64, fields: Fields },
    Delete(usize),
    Trim(Trim),
}

fn fields() -> impl Strategy<Value = Fields> {
    let word = || prop::sample::select(vec!["", "a", "name", "12", "-5000", "a longer value than others"]);
    let same = Just(vec!["name", "12"]).prop_flat_map(|names| {
        let values = prop::collection::vec(any::<i32>().prop_map(|int| int.to_string().into_bytes()), 2);
        values.prop_map(move |values| {
            names.iter().zip(values).flat_map(|(name, value)| [name.as_bytes().to_vec(), value]).collect()
        })
    });
    let any = prop::collection::vec((word(), word()), 1..4).prop_map(|pairs| {
        pairs.into_iter().flat_map(|(field, value)| [field.into(), value.into()]).collect()
    });
    prop_oneof![3 => same, 1 => any]
}

fn edit() -> impl Strategy<Value = Edit> {
    let to = prop_oneof![
        (0_u64..60).prop_map(TrimTo::Len),
        (0_u64..80, 0_u64..3).prop_map(|(ms, seq)| TrimTo::Id(Id { ms, seq })),
    ];
    let trim =
        (to, any::<bool>(), prop::sample::select(vec![0, 0, 1, 15])).prop_map(|(to, approximate, limit)| {
            Edit::Trim(Trim { to, approximate, limit: if approximate { limit } else { 0 } })
        });
    prop_oneof![
        12 => (0_u64..2, 0_u64..3, fields()).prop_map(|(ms, seq, fields)| Edit::Add { ms, seq, fields }),
        4 => any::<usize>().prop_map(Edit::Delete),
        1 => trim,
    ]
}

fn texts(entry: Entry<'_>) -> (Id, Fields) {
    (entry.id, entry.pairs().flat_map(|(field, value)| [field.to_vec(), value.to_vec()]).collect())
}

fn agrees(log: &Log, model: &[(Id, Fields)]) {
    assert_eq!(log.len(), model.len() as u64);
    assert_eq!(log.first_id(), model.first().map_or(Id::MIN, |(id, _)| *id));
    assert_eq!(log.last_entry_id(), model.last().map(|(id, _)| *id));
    let bounds = [Id::MIN, Id { ms: 3, seq: 1 }, Id { ms: 20, seq: 0 }, log.last_id, Id::MAX];
    for start in bounds {
        for end in bounds {
            let within = model.iter().filter(|(id, _)| (start..=end).contains(id)).cloned();
            assert!(log.range(start, end).map(texts).eq(within.clone()), "{start:?} {end:?}");
            assert!(log.range_back(start, end).map(texts).eq(within.rev()));
        }
    }
    for (id, fields) in model.iter().rev().take(12) {
        assert_eq!(log.get(*id).map(texts), Some((*id, fields.clone())));
        let rest = model.iter().filter(|(other, _)| other >= id).count();
        assert_eq!(log.range(*id, Id::MAX).count(), rest);
    }
    let nodes = log.nodes().map(|node| {
        let pack = Listpack::from_bytes(node.pack().as_bytes().to_vec()).expect("its own bytes are a pack");
        Node::from_pack(node.id(), pack).expect("its own bytes are a node")
    });
    let read =
        Log::from_nodes(nodes.collect(), log.len(), log.last_id, log.max_deleted_id, log.entries_added);
    let read = read.expect("its own nodes are a log");
    assert_eq!((read.len(), read.first_id()), (log.len(), log.first_id()));
    assert!(read.range(Id::MIN, Id::MAX).map(texts).eq(model.iter().cloned()));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_stream_holds_what_a_model_holds(edits in prop::collection::vec(edit(), 0..120)) {
        let (mut log, mut model): (Log, Vec<(Id, Fields)>) = (Log::default(), Vec::new());
        let mut added = 0;
        for edit in edits {
            match edit {
                Edit::Add { ms, seq, fields } => {
                    let id = Id { ms: log.last_id.ms + ms, seq: if ms == 0 { log.last_id.seq + seq } else { seq } };
                    let elements: Vec<&[u8]> = fields.iter().map(Vec::as_slice).collect();
                    let result = log.add(NewId::Exact(id), 0, &elements, LIMITS);
                    if id > model.last().map_or(Id::MIN, |(last, _)| *last).max(log.last_id) || result.is_ok() {
                        prop_assert_eq!(result, Ok(id));
                        model.push((id, fields));
                        added += 1;
                    } else {
                        prop_assert_eq!(result, Err(Refused::NotGreater));
                    }
                }
                Edit::Delete(index) => {
                    let id = index.checked_rem(model.len()).map_or(Id { ms: 9, seq: 9 }, |index| model[index].0);
                    let there = model.iter().position(|(other, _)| *other == id);
                    prop_assert_eq!(log.delete(&[id]), usize::from(there.is_some()));
                    there.map(|index| model.remove(index));
                }
                Edit::Trim(trim) => {
                    let removed = log.trim(trim) as usize;
                    let wanted = match trim.to {
                        TrimTo::Len(len) => model.len().saturating_sub(len as usize),
                        TrimTo::Id(id) => model.iter().filter(|(other, _)| *other < id).count(),
                    };
                    prop_assert!(removed <= wanted && (trim.approximate || removed == wanted));
                    model.drain(..removed);
                }
            }
            prop_assert_eq!(log.len(), model.len() as u64);
        }
        prop_assert_eq!(log.entries_added, added);
        agrees(&log, &model);
    }

    #[test]
    fn a_pack_that_is_no_node_is_refused_or_readable(ints in prop::collection::vec(-2_i64..6, 0..24)) {
        let mut pack = Listpack::new();
        ints.into_iter().for_each(|int| pack.push_int(int));
        if let Ok(node) = Node::from_pack(Id::MIN, pack) {
            let nodes = VecDeque::from([node]);
            let forward: Vec<_> = Range::forward(&nodes, Id::MIN, Id::MAX).map(texts).collect();
            let mut backward: Vec<_> = Range::backward(&nodes, Id::MIN, Id::MAX).map(texts).collect();
            backward.reverse();
            prop_assert_eq!(forward, backward);
        }
    }
}

#[test]
fn a_node_is_that_of_redis() {
    let mut log = Log::default();
    let limits = NodeLimits { bytes: 4096, entries: 100 };
    for (id, fields) in [
        ((1, 1), vec![&b"name"[..], b"strata", b"n", b"1"]),
        ((1, 2), vec![b"name", b"other", b"n", b"70000"]),
        ((5, 0), vec![b"different", b"x"]),
    ] {
        let id = NewId::Exact(Id { ms: id.0, seq: id.1 });
        assert!(log.add(id, 0, &fields, limits).is_ok());
    }
    assert_eq!(log.delete(&[Id { ms: 1, seq: 2 }]), 1);
    let hex: String = log.nodes[0].pack().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        hex,
        "\
        570000001900020101010201846e616d6505816e020001020100010001867374726174610701010501030100010101856f74\
         68657206f270110104050100010401dfff02010189646966666572656e740a8178020601ff"
    );
}

#[test]
fn ids_follow_the_clock_but_never_go_back() {
    let mut log = Log::default();
    let mut add = |id, now_ms| log.add(id, now_ms, &[b"f", b"v"], LIMITS);
    let id = |ms, seq| Id { ms, seq };
    assert_eq!(add(NewId::Auto, 5), Ok(id(5, 0)));
    assert_eq!(add(NewId::Auto, 5), Ok(id(5, 1)));
    assert_eq!(add(NewId::Auto, 3), Ok(id(5, 2)));
    assert_eq!(add(NewId::Millisecond(4), 9), Err(Refused::NotGreater));
    assert_eq!(add(NewId::Millisecond(5), 9), Ok(id(5, 3)));
    assert_eq!(add(NewId::Millisecond(6), 9), Ok(id(6, 0)));
    assert_eq!(add(NewId::Exact(id(6, u64::MAX)), 9), Ok(id(6, u64::MAX)));
    assert_eq!(add(NewId::Millisecond(6), 9), Err(Refused::NotGreater));
    assert_eq!(add(NewId::Auto, 0), Ok(id(7, 0)));
    assert_eq!(add(NewId::Exact(Id::MAX), 0), Ok(Id::MAX));
    assert_eq!(add(NewId::Auto, 0), Err(Refused::Exhausted));
}

#[test]
fn a_consumer_takes_what_it_has_not_acknowledged_along() {
    let mut group = Group::new(Id::MIN, None);
    let (a, b) = (group.add_consumer(b"a", 1), group.add_consumer(b"b", 1));
    let id = |ms| Id { ms, seq: 0 };
    let to = |consumer| Pending { consumer, delivered_at_ms: 1, deliveries: 1 };
    (1..=3).for_each(|ms| group.deliver(id(ms), to(a)));
    group.deliver(id(2), to(b));
    assert_eq!((group.consumer(a).pending_len(), group.consumer(b).pending_len()), (2, 1));
    assert!(group.acknowledge(id(1)) && !group.acknowledge(id(1)));
    assert_eq!(group.remove_consumer(b"b"), Some(1));
    assert_eq!(group.pending_from(Id::MIN).map(|(id, _)| id).collect::<Vec<_>>(), [id(3)]);
    assert_eq!(group.add_consumer(b"c", 1), b);
}
