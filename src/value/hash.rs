//! Hashes: a packed list of fields and values, a table, or a table whose fields may expire.

use super::PackLimits;
use super::blob::Blob;
use super::listpack::{Element, Listpack, Position};
use super::table::Table;
use std::collections::BTreeSet;

/// Fields with values.
#[derive(Clone)]
pub enum Hash {
    /// Few and short fields: field, value, field, value.
    Packed(Listpack),
    /// Anything.
    Table(Box<Table>),
    /// Some field expires, or did once.
    Expiring(Box<Expiring>),
}

/// A table whose members may have a deadline, and the deadlines in order.
#[derive(Clone, Default)]
pub struct Expiring {
    table: Table,
    due: BTreeSet<(i64, Box<[u8]>)>,
    /// Whether Redis would keep it packed.
    small: bool,
}

/// A field's value as a hash holds it.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// Packed.
    Element(Element<'a>),
    /// In a table.
    Bytes(&'a [u8]),
}

impl Value<'_> {
    /// Gives the text to `read`.
    pub fn with<R>(&self, read: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Value::Element(element) => element.with(read),
            Value::Bytes(bytes) => read(bytes),
        }
    }

    /// A copy of the text.
    pub fn to_vec(&self) -> Vec<u8> {
        self.with(<[u8]>::to_vec)
    }
}

impl Default for Hash {
    fn default() -> Hash {
        Hash::Packed(Listpack::new())
    }
}

/// The meta of a blob whose field does not expire.
const NEVER: u64 = u64::MAX;

fn deadline(blob: &Blob) -> Option<i64> {
    blob.meta().filter(|at| *at != NEVER).map(|at| at as i64)
}

impl Expiring {
    fn set(&mut self, field: &[u8], value: &[u8], at_ms: Option<i64>) -> bool {
        let old = self.remove(field);
        let meta = at_ms.map_or(NEVER, |at| at as u64);
        self.table.insert_new(Blob::new(field, Some(value), Some(meta)));
        self.due.extend(at_ms.map(|at| (at, field.into())));
        !old
    }

    fn remove(&mut self, field: &[u8]) -> bool {
        let Some(blob) = self.table.remove(field) else { return false };
        if let Some(at) = deadline(&blob) {
            self.due.remove(&(at, field.into()));
        }
        true
    }

    fn get(&self, field: &[u8], now_ms: i64) -> Option<&Blob> {
        self.table.get(field).filter(|blob| deadline(blob).is_none_or(|at| at > now_ms))
    }
}

impl Hash {
    /// The name that Redis has for the form.
    pub fn encoding(&self) -> &'static str {
        match self {
            Hash::Packed(_) => "listpack",
            Hash::Expiring(expiring) if expiring.small => "listpackex",
            Hash::Table(_) | Hash::Expiring(_) => "hashtable",
        }
    }

    /// The number of fields, those included that are due and not yet removed.
    pub fn len(&self) -> usize {
        match self {
            Hash::Packed(pack) => pack.len() / 2,
            Hash::Table(table) => table.len(),
            Hash::Expiring(expiring) => expiring.table.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a field that is not due.
    #[inline]
    pub fn get(&self, field: &[u8], now_ms: i64) -> Option<Value<'_>> {
        match self {
            Hash::Packed(pack) => {
                let value = pack.next(find(pack, field)?)?;
                Some(Value::Element(pack.get(value)))
            }
            Hash::Table(table) => table.get(field).map(|blob| Value::Bytes(blob.value())),
            Hash::Expiring(expiring) => expiring.get(field, now_ms).map(|blob| Value::Bytes(blob.value())),
        }
    }

    /// Sets a field, which loses its deadline; answers whether it is new.
    pub fn set(&mut self, field: &[u8], value: &[u8], limits: &PackLimits) -> bool {
        self.set_until(field, value, None, limits)
    }

    /// Sets a field with a deadline.
    pub fn set_until(&mut self, field: &[u8], value: &[u8], at_ms: Option<i64>, limits: &PackLimits) -> bool {
        if at_ms.is_some() {
            self.become_expiring();
        }
        match self {
            Hash::Packed(pack) => {
                if !limits.fits(pack, field) || !limits.fits(pack, value) {
                    self.become_table();
                    return self.set(field, value, limits);
                }
                if let Some(value_at) = find(pack, field).and_then(|position| pack.next(position)) {
                    pack.replace(value_at, value);
                    return false;
                }
                pack.push_back(field);
                pack.push_back(value);
                if pack.len() / 2 > limits.entries {
                    self.become_table();
                }
                true
            }
            Hash::Table(table) => table.insert_or_edit(
                field,
                || Blob::new(field, Some(value), None),
                |blob| {
                    if !blob.overwrite_value(value) {
                        *blob = Blob::new(field, Some(value), None);
                    }
                },
            ),
            Hash::Expiring(expiring) => {
                let new = expiring.set(field, value, at_ms);
                expiring.small &= expiring.table.len() <= limits.entries
                    && field.len().max(value.len()) <= limits.value_bytes;
                new
            }
        }
    }

    fn become_table(&mut self) {
        let mut table = Box::<Table>::default();
        self.for_each(0, |field, value| table.insert_new(Blob::new(field, Some(value), None)));
        *self = Hash::Table(table);
    }

    fn become_expiring(&mut self) {
        if !matches!(self, Hash::Expiring(_)) {
            let mut expiring =
                Box::new(Expiring { small: matches!(self, Hash::Packed(_)), ..Expiring::default() });
            self.for_each(0, |field, value| {
                expiring.table.insert_new(Blob::new(field, Some(value), Some(NEVER)));
            });
            *self = Hash::Expiring(expiring);
        }
    }

    /// Removes a field; answers whether it was there and not due.
    pub fn remove(&mut self, field: &[u8], now_ms: i64) -> bool {
        match self {
            Hash::Packed(pack) => {
                let found = find(pack, field);
                if let Some(position) = found
                    && let Some(value) = pack.remove(position)
                {
                    pack.remove(value);
                }
                found.is_some()
            }
            Hash::Table(table) => table.remove(field).is_some(),
            Hash::Expiring(expiring) => expiring.get(field, now_ms).is_some() && expiring.remove(field),
        }
    }

    /// When a field expires, Unix milliseconds. The outer `None`: there is no such field.
    pub fn deadline(&self, field: &[u8], now_ms: i64) -> Option<Option<i64>> {
        match self {
            Hash::Expiring(expiring) => expiring.get(field, now_ms).map(deadline),
            _ => self.get(field, now_ms).map(|_| None),
        }
    }

    /// Sets or removes the deadline of a field that is there.
    pub fn set_deadline(&mut self, field: &[u8], at_ms: Option<i64>) {
        if at_ms.is_some() {
            self.become_expiring();
        }
        if let Hash::Expiring(expiring) = self
            && let Some(blob) = expiring.table.get_mut(field)
        {
            if let Some(old) = deadline(blob) {
                expiring.due.remove(&(old, field.into()));
            }
            blob.set_meta(at_ms.map_or(NEVER, |at| at as u64));
            expiring.due.extend(at_ms.map(|at| (at, field.into())));
        }
    }

    /// The earliest deadline of a field, Unix milliseconds.
    pub fn next_deadline(&self) -> Option<i64> {
        match self {
            Hash::Expiring(expiring) => expiring.due.first().map(|(at, _)| *at),
            _ => None,
        }
    }

    /// Removes up to `most` fields that are due; returns how many.
    pub fn remove_due(&mut self, now_ms: i64, most: usize) -> usize {
        let Hash::Expiring(expiring) = self else { return 0 };
        let mut removed = 0;
        while removed < most
            && let Some((at, _)) = expiring.due.first()
            && *at <= now_ms
            && let Some((_, field)) = expiring.due.pop_first()
        {
            expiring.table.remove(&field);
            removed += 1;
        }
        removed
    }

    /// Shows every field that is not due, and its value, to `visit`.
    pub fn for_each(&self, now_ms: i64, mut visit: impl FnMut(&[u8], &[u8])) {
        match self {
            Hash::Packed(pack) => {
                let mut elements = pack.iter();
                while let (Some(field), Some(value)) = (elements.next(), elements.next()) {
                    field.with(|field| value.with(|value| visit(field, value)));
                }
            }
            Hash::Table(table) => table.iter().for_each(|blob| visit(blob.key(), blob.value())),
            Hash::Expiring(expiring) => {
                let live = |blob: &&Blob| deadline(blob).is_none_or(|at| at > now_ms);
                expiring.table.iter().filter(live).for_each(|blob| visit(blob.key(), blob.value()));
            }
        }
    }

    /// The number of fields that are not due.
    pub fn live_len(&self, now_ms: i64) -> usize {
        match self {
            Hash::Expiring(expiring) => {
                let due = expiring.due.iter().take_while(|(at, _)| *at <= now_ms).count();
                expiring.table.len() - due
            }
            _ => self.len(),
        }
    }

    /// Some field and its value, each as likely as the others. `None` where there is none that is not due.
    pub fn random(&self, now_ms: i64, mut random: impl FnMut() -> u64) -> Option<(Vec<u8>, Vec<u8>)> {
        let pair = |blob: &Blob| (blob.key().to_vec(), blob.value().to_vec());
        match self {
            _ if self.live_len(now_ms) == 0 => None,
            Hash::Packed(pack) => {
                let index = random() as usize % self.len() * 2;
                let field = pack.at(index as isize)?;
                Some((pack.get(field).to_vec(), pack.get(pack.next(field)?).to_vec()))
            }
            Hash::Table(table) => Some(pair(table.random(random))),
            Hash::Expiring(expiring) => loop {
                let blob = expiring.table.random(&mut random);
                if deadline(blob).is_none_or(|at| at > now_ms) {
                    return Some(pair(blob));
                }
            },
        }
    }

    /// Shows `visit` some fields from `cursor` on, as [`Table::scan`]; a small hash is shown whole.
    pub fn scan(&self, cursor: u64, count: usize, now_ms: i64, mut visit: impl FnMut(&[u8], &[u8])) -> u64 {
        match self {
            Hash::Table(table) => table.scan(cursor, count, |blob| visit(blob.key(), blob.value())),
            Hash::Expiring(expiring) if !expiring.small => expiring.table.scan(cursor, count, |blob| {
                if deadline(blob).is_none_or(|at| at > now_ms) {
                    visit(blob.key(), blob.value());
                }
            }),
            _ => {
                self.for_each(now_ms, visit);
                0
            }
        }
    }

    /// The bytes that it points to.
    pub fn memory_bytes(&self, samples: usize) -> usize {
        match self {
            Hash::Packed(pack) => pack.allocated_bytes(),
            Hash::Table(table) => size_of::<Table>() + table.memory_bytes(samples),
            Hash::Expiring(expiring) => {
                let due: usize = expiring.due.iter().take(samples).map(|(_, field)| field.len() + 32).sum();
                let all_due = due * expiring.due.len() / samples.min(expiring.due.len()).max(1);
                size_of::<Expiring>() + expiring.table.memory_bytes(samples) + all_due
            }
        }
    }
}

fn find(pack: &Listpack, field: &[u8]) -> Option<Position> {
    pack.find(pack.first()?, field, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const LIMITS: PackLimits = PackLimits { entries: 8, value_bytes: 6 };

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

        #[test]
        fn behaves_as_a_map_with_deadlines(
            steps in proptest::collection::vec((0..5_u8, "[a-f]{1,2}", "[0-9]{0,7}", 0_i64..100), 1..80),
            expiring in any::<bool>(),
        ) {
            let mut hash = Hash::default();
            let mut model: BTreeMap<Vec<u8>, (Vec<u8>, Option<i64>)> = BTreeMap::new();
            let mut now = 0;
            for (action, field, value, at) in steps {
                let (field, value) = (field.into_bytes(), value.into_bytes());
                now += 1;
                if expiring {
                    let before = model.len();
                    model.retain(|_, (_, deadline)| deadline.is_none_or(|at| at > now));
                    prop_assert_eq!(hash.live_len(now), model.len());
                    prop_assert_eq!(hash.remove_due(now, usize::MAX), before - model.len());
                }
                match action {
                    0 => prop_assert_eq!(hash.remove(&field, now), model.remove(&field).is_some()),
                    1 if expiring && model.contains_key(&field) => {
                        let deadline = (at % 3 > 0).then_some(now + at);
                        hash.set_deadline(&field, deadline);
                        model.entry(field.clone()).and_modify(|entry| entry.1 = deadline);
                        if let Some((_, Some(at))) = model.get(&field) && *at <= now {
                            model.remove(&field);
                            prop_assert_eq!(hash.remove_due(now, 1), 1);
                        }
                    }
                    _ => prop_assert_eq!(
                        hash.set(&field, &value, &LIMITS),
                        model.insert(field.clone(), (value, None)).is_none()
                    ),
                }
                prop_assert_eq!(hash.len(), model.len());
                prop_assert_eq!(hash.get(&field, now).map(|v| v.to_vec()), model.get(&field).map(|(v, _)| v.clone()));
                prop_assert_eq!(hash.next_deadline(), model.values().filter_map(|(_, at)| *at).min());
            }
            let mut all = BTreeMap::new();
            hash.for_each(now, |field, value| { all.insert(field.to_vec(), value.to_vec()); });
            prop_assert!(all.iter().eq(model.iter().map(|(field, (value, _))| (field, value))));
        }
    }
}
