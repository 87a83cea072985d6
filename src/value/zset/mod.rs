//! Sorted sets: a packed list in order, or a table of members and a tree of their order.

mod tree;

use super::PackLimits;
use super::blob::Blob;
use super::listpack::{Element, Listpack, Position};
use super::prefetch::Aim;
use super::table::{self, Table};
use crate::number;
use std::cmp::Ordering;
use tree::{Item, Tree};

/// Members in the order of their scores, then of their bytes.
#[derive(Clone)]
pub enum Zset {
    /// Few and short members: member, score, member, score, in order.
    Packed(Listpack),
    /// Anything.
    Ordered(Box<Ordered>),
}

/// How many steps [`Table::prefetch`] has.
const TABLE_STEPS: usize = 3;

/// A table of members, whose meta is the score, and their order.
///
/// The tree refers to the blobs of the table: a blob is taken from the tree before it is dropped, and is
/// never replaced.
#[derive(Default)]
pub struct Ordered {
    table: Table,
    tree: Tree,
}

impl Clone for Ordered {
    fn clone(&self) -> Ordered {
        let mut copy = Ordered::default();
        self.tree.visit(0, self.tree.len(), false, |item| copy.push(member(&item), item.score));
        copy
    }
}

fn score_of(blob: &Blob) -> f64 {
    f64::from_bits(blob.meta().unwrap_or_default())
}

/// The member of an item of a tree that is borrowed.
fn member(item: &Item) -> &[u8] {
    // SAFETY: the tree holds only places of blobs that the table beside it owns, see `Ordered`; blobs
    // change only by `set_meta`, under `&mut Ordered`, which no borrowed item outlives.
    unsafe { item.member.key() }
}

fn order(score: f64, name: &[u8], other_score: f64, other: &[u8]) -> Ordering {
    score.partial_cmp(&other_score).unwrap_or(Ordering::Equal).then_with(|| name.cmp(other))
}

impl Ordered {
    fn rank_of(&self, name: &[u8], score: f64) -> usize {
        self.tree.count_while(|item| order(item.score, member(item), score, name).is_lt())
    }

    /// As [`Table::prefetch`], and where a score goes in the order.
    pub(super) fn prefetch(&self, step: usize, aim: Aim<'_>) -> bool {
        let more = step < TABLE_STEPS && self.table.prefetch(step, aim);
        aim.score.is_some_and(|score| self.tree.prefetch(step, |item| item.score < score)) || more
    }

    /// Adds a member that is not there.
    fn add(&mut self, name: &[u8], hash: u64, score: f64) {
        let blob = Blob::new(name, None, Some(score.to_bits()));
        let rank = self.rank_of(name, score);
        self.tree.insert(rank, Item { score, member: blob.pointer() });
        self.table.insert_hashed(hash, blob);
    }

    /// Adds a member that is not there and comes after all others.
    fn push(&mut self, name: &[u8], score: f64) {
        let blob = Blob::new(name, None, Some(score.to_bits()));
        self.tree.insert(self.tree.len(), Item { score, member: blob.pointer() });
        self.table.insert_new(blob);
    }

    fn set_score(&mut self, name: &[u8], old: f64, score: f64) {
        let item = self.tree.remove(self.rank_of(name, old));
        let rank = self.rank_of(name, score);
        self.tree.insert(rank, Item { score, ..item });
        if let Some(blob) = self.table.get_mut(name) {
            blob.set_meta(score.to_bits());
        }
    }
}

impl Default for Zset {
    fn default() -> Zset {
        Zset::Packed(Listpack::new())
    }
}

/// The score that a packed element is.
fn packed_score(element: Element<'_>) -> f64 {
    match element {
        Element::Int(int) => int as f64,
        Element::Bytes(text) => number::parse_f64(text).unwrap_or_default(),
    }
}

/// Shows the pairs of a pack to `visit` with their positions until it answers false.
fn visit_pack(pack: &Listpack, mut visit: impl FnMut(Position, Element<'_>, f64) -> bool) {
    let mut at = pack.first();
    while let Some(position) = at {
        let Some(score_at) = pack.next(position) else { return };
        let (score, next) = pack.get_and_next(score_at);
        if !visit(position, pack.get(position), packed_score(score)) {
            return;
        }
        at = next;
    }
}

impl Zset {
    /// An empty sorted set in the form that suits `len` members of at most `value_bytes` bytes.
    pub fn for_members(len: usize, value_bytes: usize, limits: &PackLimits) -> Zset {
        if len <= limits.entries && value_bytes <= limits.value_bytes {
            Zset::default()
        } else {
            Zset::Ordered(Box::default())
        }
    }

    /// Goes over to the ordered form where `len` more members are too many for a pack, known or not.
    pub fn expect_members(&mut self, len: usize, limits: &PackLimits) {
        if matches!(self, Zset::Packed(_)) && len > limits.entries {
            self.become_ordered();
        }
    }

    /// The name that Redis has for the form.
    pub fn encoding(&self) -> &'static str {
        match self {
            Zset::Packed(_) => "listpack",
            Zset::Ordered(_) => "skiplist",
        }
    }

    /// The number of members.
    pub fn len(&self) -> usize {
        match self {
            Zset::Packed(pack) => pack.len() / 2,
            Zset::Ordered(ordered) => ordered.tree.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The score of a member.
    pub fn score(&self, name: &[u8]) -> Option<f64> {
        match self {
            Zset::Packed(pack) => {
                let position = pack.find(pack.first()?, name, 1)?;
                Some(packed_score(pack.get(pack.next(position)?)))
            }
            Zset::Ordered(ordered) => ordered.table.get(name).map(score_of),
        }
    }

    /// The rank from the least and the score of a member.
    pub fn rank(&self, name: &[u8]) -> Option<(usize, f64)> {
        match self {
            Zset::Packed(pack) => {
                let (mut rank, mut found) = (0, None);
                visit_pack(pack, |_, element, score| {
                    found = (element == *name).then_some(score);
                    rank += usize::from(found.is_none());
                    found.is_none()
                });
                found.map(|score| (rank, score))
            }
            Zset::Ordered(ordered) => {
                let score = score_of(ordered.table.get(name)?);
                Some((ordered.rank_of(name, score), score))
            }
        }
    }

    /// Gives a member a score, which must not be NaN; answers the score that it had.
    pub fn insert(&mut self, name: &[u8], score: f64, limits: &PackLimits) -> Option<f64> {
        match self {
            Zset::Packed(pack) => {
                let found = pack.first().and_then(|first| pack.find(first, name, 1));
                if let Some(position) = found {
                    let old = pack.next(position).map(|at| packed_score(pack.get(at)))?;
                    if old != score {
                        pack.remove_from(position, 2);
                        insert_into_pack(pack, name, score);
                    }
                    return Some(old);
                }
                if pack.len() / 2 < limits.entries && limits.fits(pack, name) {
                    insert_into_pack(pack, name, score);
                } else {
                    self.become_ordered();
                    return self.insert(name, score, limits);
                }
                None
            }
            Zset::Ordered(ordered) => {
                let hash = table::hash(name);
                let old = ordered.table.get_hashed(hash, name).map(score_of);
                match old {
                    Some(old) if old == score => {}
                    Some(old) => ordered.set_score(name, old, score),
                    None => ordered.add(name, hash, score),
                }
                old
            }
        }
    }

    fn become_ordered(&mut self) {
        let mut ordered = Box::<Ordered>::default();
        self.visit(0, self.len(), false, |name, score| ordered.push(name, score));
        *self = Zset::Ordered(ordered);
    }

    /// Goes over to a pack where the limits allow it: what results of operations on sets do.
    pub fn pack_if_small(&mut self, limits: &PackLimits) {
        let Zset::Ordered(ordered) = self else { return };
        if ordered.tree.len() > limits.entries
            || ordered.table.iter().any(|blob| blob.key().len() > limits.value_bytes)
        {
            return;
        }
        let mut pack = Listpack::new();
        self.visit(0, usize::MAX, false, |name, score| {
            pack.push_back(name);
            pack.push_back(packed_text(score).as_bytes());
        });
        *self = Zset::Packed(pack);
    }

    /// Removes a member; answers the score that it had.
    pub fn remove(&mut self, name: &[u8]) -> Option<f64> {
        match self {
            Zset::Packed(pack) => {
                let position = pack.find(pack.first()?, name, 1)?;
                let score = packed_score(pack.get(pack.next(position)?));
                pack.remove_from(position, 2);
                Some(score)
            }
            Zset::Ordered(ordered) => {
                let score = score_of(ordered.table.get(name)?);
                ordered.tree.remove(ordered.rank_of(name, score));
                ordered.table.remove(name);
                Some(score)
            }
        }
    }

    /// Removes the members of ranks `from..to`, showing each to `removed`.
    pub fn remove_ranks(&mut self, from: usize, to: usize, mut removed: impl FnMut(&[u8], f64)) {
        self.visit(from, to, false, &mut removed);
        let count = to.min(self.len()).saturating_sub(from);
        match self {
            Zset::Packed(pack) => pack.remove_range(from as isize * 2, count * 2),
            Zset::Ordered(ordered) => {
                for _ in 0..count {
                    let item = ordered.tree.remove(from);
                    ordered.table.remove(member(&item));
                }
            }
        }
    }

    /// How many members `before` is true of, by their scores: true of the first, false of the rest.
    pub fn count_scores_while(&self, before: impl Fn(f64) -> bool) -> usize {
        match self {
            Zset::Packed(_) => self.count_while(|_, score| before(score)),
            Zset::Ordered(ordered) => ordered.tree.count_while(|item| before(item.score)),
        }
    }

    /// How many members `before` is true of: true of the first, false of the rest.
    pub fn count_while(&self, before: impl Fn(&[u8], f64) -> bool) -> usize {
        match self {
            Zset::Packed(pack) => {
                let mut count = 0;
                visit_pack(pack, |_, element, score| {
                    let here = element.with(|name| before(name, score));
                    count += usize::from(here);
                    here
                });
                count
            }
            Zset::Ordered(ordered) => ordered.tree.count_while(|item| before(member(item), item.score)),
        }
    }

    /// Shows the members of ranks `from..to` and their scores to `visit`, backwards if `reverse`.
    pub fn visit(&self, from: usize, to: usize, reverse: bool, mut visit: impl FnMut(&[u8], f64)) {
        let to = to.min(self.len());
        if from >= to {
            return;
        }
        match self {
            Zset::Packed(pack) => {
                let first = if reverse { to - 1 } else { from };
                let mut at = pack.at(first as isize * 2);
                for _ in from..to {
                    let Some(position) = at else { return };
                    let Some(score_at) = pack.next(position) else { return };
                    let score = packed_score(pack.get(score_at));
                    pack.get(position).with(|name| visit(name, score));
                    at = if reverse {
                        pack.prev(position).and_then(|score| pack.prev(score))
                    } else {
                        pack.next(score_at)
                    };
                }
            }
            Zset::Ordered(ordered) => {
                ordered.tree.visit(from, to, reverse, |item| visit(member(&item), item.score));
            }
        }
    }

    /// Some member and its score, each as likely as the others; `None` of an empty set.
    pub fn random(&self, mut random: impl FnMut() -> u64) -> Option<(Vec<u8>, f64)> {
        let len = self.len();
        let mut found = None;
        if len > 0 {
            let rank = random() as usize % len;
            self.visit(rank, rank + 1, false, |name, score| found = Some((name.to_vec(), score)));
        }
        found
    }

    /// Shows `visit` some members from `cursor` on, as [`Table::scan`]; a packed set is shown whole.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8], f64)) -> u64 {
        match self {
            Zset::Packed(_) => {
                self.visit(0, usize::MAX, false, visit);
                0
            }
            Zset::Ordered(ordered) => {
                ordered.table.scan(cursor, count, |blob| visit(blob.key(), score_of(blob)))
            }
        }
    }

    /// The bytes that it points to.
    pub fn memory_bytes(&self, samples: usize) -> usize {
        match self {
            Zset::Packed(pack) => pack.allocated_bytes(),
            Zset::Ordered(ordered) => {
                size_of::<Ordered>() + ordered.table.memory_bytes(samples) + ordered.tree.memory_bytes()
            }
        }
    }
}

/// A score as a pack holds it: -0 is the integer 0 there.
fn packed_text(score: f64) -> String {
    number::format_double(score + 0.0)
}

fn insert_into_pack(pack: &mut Listpack, name: &[u8], score: f64) {
    let mut before = None;
    visit_pack(pack, |position, element, other_score| {
        let earlier = element.with(|other| order(other_score, other, score, name).is_lt());
        if !earlier {
            before = Some(position);
        }
        earlier
    });
    let text = packed_text(score);
    match before {
        Some(position) => {
            let at = pack.insert_before(position, name);
            pack.insert_after(at, text.as_bytes());
        }
        None => {
            pack.push_back(name);
            pack.push_back(text.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: PackLimits = PackLimits { entries: 8, value_bytes: 6 };

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

        #[test]
        fn behaves_as_a_list_sorted_by_score_and_name(
            steps in proptest::collection::vec((0..5_u8, "[a-f]{1,2}|[0-9]{1,7}", -3_i8..3), 1..120),
        ) {
            let (mut zset, mut model): (Zset, Vec<(f64, Vec<u8>)>) = Default::default();
            for (action, name, score) in steps {
                let (name, score) = (name.into_bytes(), f64::from(score) / 2.0);
                let at = model.iter().position(|(_, other)| *other == name);
                let old = at.map(|at| model[at].0);
                match action {
                    0 => {
                        prop_assert_eq!(zset.remove(&name), old);
                        at.map(|at| model.remove(at));
                    }
                    1 => {
                        let (from, to) = (model.len() / 3, model.len() / 3 + 2);
                        let mut removed = Vec::new();
                        zset.remove_ranks(from, to, |name, score| removed.push((score, name.to_vec())));
                        let expected: Vec<_> = model.drain(from..to.min(model.len())).collect();
                        prop_assert_eq!(removed, expected);
                    }
                    _ => {
                        prop_assert_eq!(zset.insert(&name, score, &LIMITS), old);
                        at.map(|at| model.remove(at));
                        model.push((score, name.clone()));
                        model.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
                    }
                }
                let at = model.iter().position(|(_, other)| *other == name);
                prop_assert_eq!(zset.rank(&name), at.map(|at| (at, model[at].0)));
                prop_assert_eq!((zset.len(), zset.score(&name)), (model.len(), at.map(|at| model[at].0)));
                prop_assert_eq!(zset.count_scores_while(|other| other <= score),
                    model.iter().filter(|(other, _)| *other <= score).count());
                for reverse in [false, true] {
                    let mut seen = Vec::new();
                    zset.visit(1, model.len(), reverse, |name, score| seen.push((score, name.to_vec())));
                    if reverse { seen.reverse(); }
                    prop_assert_eq!(&seen[..], model.get(1..).unwrap_or_default());
                }
                let copy = zset.clone();
                prop_assert_eq!(copy.len(), zset.len());
            }
        }
    }
}
