//! Sets: sorted integers, a packed list, or a table of members.

use super::PackLimits;
use super::blob::Blob;
use super::intset::Intset;
use super::listpack::Listpack;
use super::table::Table;
use crate::number;

/// Up to where sets stay compact.
#[derive(Clone, Copy, Debug)]
pub struct SetLimits {
    /// `set-max-intset-entries`.
    pub ints: usize,
    /// `set-max-listpack-entries` and `set-max-listpack-value`.
    pub pack: PackLimits,
}

/// A set of byte strings.
#[derive(Clone)]
pub enum Set {
    /// All members are integers in canonical form.
    Ints(Intset),
    /// Few and short members, in order of insertion.
    Packed(Listpack),
    /// Anything.
    Table(Box<Table>),
}

impl Default for Set {
    fn default() -> Set {
        Set::Ints(Intset::default())
    }
}

impl Set {
    /// An empty set in the form that suits `len` members, the first of which is `first`.
    pub fn for_members(first: &[u8], len: usize, limits: &SetLimits) -> Set {
        if number::parse_i64(first).is_some() && len <= limits.ints {
            Set::default()
        } else if len <= limits.pack.entries {
            Set::Packed(Listpack::new())
        } else {
            Set::Table(Box::default())
        }
    }

    /// Goes over to a table where `len` more members are too many for the present form, known or not.
    pub fn expect_members(&mut self, len: usize, limits: &SetLimits) {
        match self {
            Set::Ints(_) if len > limits.ints => self.become_table(),
            Set::Packed(_) if len > limits.pack.entries => self.become_table(),
            _ => {}
        }
    }

    /// The name that Redis has for the form.
    pub fn encoding(&self) -> &'static str {
        match self {
            Set::Ints(_) => "intset",
            Set::Packed(_) => "listpack",
            Set::Table(_) => "hashtable",
        }
    }

    /// The number of members.
    pub fn len(&self) -> usize {
        match self {
            Set::Ints(ints) => ints.len(),
            Set::Packed(pack) => pack.len(),
            Set::Table(table) => table.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `member` is in it.
    pub fn contains(&self, member: &[u8]) -> bool {
        match self {
            Set::Ints(ints) => number::parse_i64(member).is_some_and(|int| ints.contains(int)),
            Set::Packed(pack) => find(pack, member).is_some(),
            Set::Table(table) => table.get(member).is_some(),
        }
    }

    /// Adds a member; answers whether it is new.
    pub fn add(&mut self, member: &[u8], limits: &SetLimits) -> bool {
        match self {
            Set::Ints(ints) => match number::parse_i64(member) {
                Some(int) => {
                    let new = ints.insert(int);
                    if new && ints.len() > limits.ints.min(1 << 30) {
                        self.become_table();
                    }
                    new
                }
                None => {
                    let text_len_max = [ints.iter().next(), ints.iter().next_back()]
                        .into_iter()
                        .flatten()
                        .map(text_len)
                        .max();
                    let fits = ints.len() < limits.pack.entries
                        && member.len().max(text_len_max.unwrap_or(0)) <= limits.pack.value_bytes;
                    if fits {
                        let mut pack = Listpack::new();
                        ints.iter().for_each(|int| pack.push_int(int));
                        pack.push_back(member);
                        *self = Set::Packed(pack);
                        return true;
                    }
                    self.become_table();
                    self.add(member, limits)
                }
            },
            Set::Packed(pack) => {
                if find(pack, member).is_some() {
                    return false;
                }
                if pack.len() < limits.pack.entries && limits.pack.fits(pack, member) {
                    pack.push_back(member);
                } else {
                    self.become_table();
                    return self.add(member, limits);
                }
                true
            }
            Set::Table(table) => table.insert_with(member, || Blob::new(member, None, None)),
        }
    }

    fn become_table(&mut self) {
        let mut table = Box::<Table>::default();
        self.for_each(|member| table.insert_new(Blob::new(member, None, None)));
        *self = Set::Table(table);
    }

    /// Removes a member; answers whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match self {
            Set::Ints(ints) => number::parse_i64(member).is_some_and(|int| ints.remove(int)),
            Set::Packed(pack) => {
                let found = find(pack, member);
                if let Some(position) = found {
                    pack.remove(position);
                }
                found.is_some()
            }
            Set::Table(table) => table.remove(member).is_some(),
        }
    }

    /// Shows every member to `visit`.
    pub fn for_each(&self, mut visit: impl FnMut(&[u8])) {
        match self {
            Set::Ints(ints) => {
                let mut buffer = itoa::Buffer::new();
                ints.iter().for_each(|int| visit(buffer.format(int).as_bytes()));
            }
            Set::Packed(pack) => pack.iter().for_each(|element| element.with(&mut visit)),
            Set::Table(table) => table.iter().for_each(|blob| visit(blob.key())),
        }
    }

    /// Some member, each as likely as the others; `None` of an empty set.
    pub fn random(&self, mut random: impl FnMut() -> u64) -> Option<Vec<u8>> {
        let len = self.len();
        if len == 0 {
            return None;
        }
        Some(match self {
            Set::Ints(ints) => itoa::Buffer::new().format(ints.get(random() as usize % len)?).into(),
            Set::Packed(pack) => pack.get(pack.at((random() as usize % len) as isize)?).to_vec(),
            Set::Table(table) => table.random(random).key().to_vec(),
        })
    }

    /// Takes some member out, each as likely as the others; `None` of an empty set.
    pub fn take_random(&mut self, random: impl FnMut() -> u64) -> Option<Vec<u8>> {
        if let Set::Table(table) = self {
            return (!table.is_empty()).then(|| table.take_random(random).key().to_vec());
        }
        let member = self.random(random)?;
        self.remove(&member);
        Some(member)
    }

    /// Shows `visit` some members from `cursor` on, as [`Table::scan`]; compact sets are shown whole.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8])) -> u64 {
        if let Set::Table(table) = self {
            return table.scan(cursor, count, |blob| visit(blob.key()));
        }
        self.for_each(visit);
        0
    }

    /// The bytes that it points to.
    pub fn memory_bytes(&self, samples: usize) -> usize {
        match self {
            Set::Ints(ints) => ints.allocated_bytes(),
            Set::Packed(pack) => pack.allocated_bytes(),
            Set::Table(table) => size_of::<Table>() + table.memory_bytes(samples),
        }
    }
}

fn text_len(int: i64) -> usize {
    itoa::Buffer::new().format(int).len()
}

fn find(pack: &Listpack, member: &[u8]) -> Option<super::listpack::Position> {
    pack.find(pack.first()?, member, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const LIMITS: SetLimits = SetLimits { ints: 16, pack: PackLimits { entries: 8, value_bytes: 6 } };

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

        #[test]
        fn behaves_as_a_set(steps in proptest::collection::vec((any::<bool>(), "[0-9]{1,2}|[a-c]{1,2}|[0-9]{7}"), 1..80)) {
            let (mut set, mut model) = (Set::default(), BTreeSet::new());
            for (add, member) in steps {
                let member = member.into_bytes();
                if add {
                    prop_assert_eq!(set.add(&member, &LIMITS), model.insert(member.clone()));
                } else {
                    prop_assert_eq!(set.remove(&member), model.remove(&member));
                }
                prop_assert_eq!((set.len(), set.contains(&member)), (model.len(), model.contains(&member)));
            }
            let mut all = BTreeSet::new();
            set.for_each(|member| { all.insert(member.to_vec()); });
            prop_assert_eq!(&all, &model);
            let mut state = 1_u64;
            let mut random = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state >> 11
            };
            let taken = set.clone().take_random(&mut random);
            prop_assert!(taken.map_or(model.is_empty(), |member| model.contains(&member)));
            let random = set.random(random);
            prop_assert!(random.map_or(model.is_empty(), |member| model.contains(&member)));
        }
    }
}
