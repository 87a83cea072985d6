//! Nodes of a stream from bytes that anybody may have made: refused, or every entry can be read in both directions,
//! found, deleted and trimmed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use strata::value::listpack::Listpack;
use strata::value::stream::{Entry, Id, Log, Node, Trim, TrimTo};

fuzz_target!(|data: &[u8]| {
    // The elements of a pack are made of lines, so that most inputs get past it.
    let mut pack = Listpack::new();
    data.split(|byte| *byte == b'\n').for_each(|line| pack.push_back(line));
    judge(pack);
    if let Ok(pack) = Listpack::from_bytes(data.to_vec()) {
        judge(pack);
    }
});

type Texts = (Id, Vec<(Vec<u8>, Vec<u8>)>);

fn texts(entry: Entry<'_>) -> Texts {
    let pairs: Vec<_> = entry.pairs().map(|(field, value)| (field.to_vec(), value.to_vec())).collect();
    assert_eq!(pairs.len(), entry.len());
    (entry.id, pairs)
}

fn judge(pack: Listpack) {
    let Ok(node) = Node::from_pack(Id { ms: 5, seq: 0 }, pack) else { return };
    // The node says itself how many entries it has.
    let len = node.pack().iter().next().and_then(|element| element.as_int()).unwrap_or(0) as u64;
    let Some(mut log) = Log::from_nodes(vec![node], len, Id::MAX, Id::MIN, 1000) else { return };
    let forward: Vec<Texts> = log.range(Id::MIN, Id::MAX).map(texts).collect();
    let mut backward: Vec<Texts> = log.range_back(Id::MIN, Id::MAX).map(texts).collect();
    backward.reverse();
    assert_eq!(forward, backward);
    assert_eq!(forward.len() as u64, log.len());
    for (id, _) in &forward {
        assert_eq!(log.get(*id).map(|entry| entry.id), Some(*id));
    }
    let trimmed = log.trim(Trim { to: TrimTo::Len(log.len() / 2), approximate: false, limit: 0 });
    let rest = forward.len() - trimmed as usize;
    assert_eq!(log.range(Id::MIN, Id::MAX).count(), rest);
    let ids: Vec<Id> = forward.iter().map(|(id, _)| *id).collect();
    assert_eq!(log.delete(&ids), rest);
    assert!(log.is_empty());
}
