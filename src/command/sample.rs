//! The counts of HRANDFIELD, SRANDMEMBER and ZRANDMEMBER: how many members, and whether the same one may
//! come twice.

use super::Error;
use super::parse::{int, is};
use crate::resp::Args;
use std::collections::HashSet;
use std::hash::Hash;

/// A reply of more members than this is refused: it would be made only to fill memory.
const REPEATED_MAX: u64 = 1 << 26;

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sample {
    /// All there is.
    All,
    /// So many different members, fewer than there are.
    Distinct(usize),
    /// So many, each drawn from all.
    Repeated(usize),
}

/// Reads a count.
pub fn count(arg: &[u8]) -> Result<i64, Error> {
    let count = int(arg)?;
    if count < -i64::MAX {
        let text = format!("ERR value is out of range, value must between {} and {}", -i64::MAX, i64::MAX);
        return Err(Error::new(text));
    }
    if count < 0 && count.unsigned_abs() > REPEATED_MAX {
        return Err(Error::fixed("ERR value is out of range"));
    }
    Ok(count)
}

/// Reads what HRANDFIELD and ZRANDMEMBER say after the key: a count, and whether the `with` half of each pair is wanted.
pub fn pair_options(args: Args<'_>, with: &str) -> Result<(i64, bool), Error> {
    let count = count(&args[2])?;
    let with_both = args.get(3).is_some_and(|word| is(word, with));
    if args.len() > 4 || (args.len() == 4 && !with_both) {
        return Err(Error::SYNTAX);
    }
    if with_both && !(-i64::MAX / 2..=i64::MAX / 2).contains(&count) {
        return Err(Error::fixed("ERR value is out of range"));
    }
    Ok((count, with_both))
}

impl Sample {
    /// What `count` asks of `len` members.
    pub fn new(count: i64, len: usize) -> Sample {
        match usize::try_from(count) {
            Ok(count) if count >= len => Sample::All,
            Ok(count) => Sample::Distinct(count),
            Err(_) if len == 0 => Sample::All,
            Err(_) => Sample::Repeated(count.unsigned_abs() as usize),
        }
    }

    /// Picks members: `all` gives every one, `one` a random one.
    pub fn pick<T: Eq + Hash + Clone>(
        self,
        len: usize,
        all: impl FnOnce() -> Vec<T>,
        mut one: impl FnMut() -> Option<T>,
        mut random: impl FnMut() -> u64,
    ) -> Vec<T> {
        match self {
            Sample::All => all(),
            Sample::Repeated(count) => (0..count).map_while(|_| one()).collect(),
            // Many of few: strike out the others. Few of many: draw until enough are different.
            Sample::Distinct(count) if count * 3 > len => {
                let mut members = all();
                while members.len() > count {
                    members.swap_remove(random() as usize % members.len());
                }
                members
            }
            Sample::Distinct(count) => {
                let (mut seen, mut picked) = (HashSet::with_capacity(count), Vec::with_capacity(count));
                while picked.len() < count
                    && let Some(member) = one()
                {
                    if seen.insert(member.clone()) {
                        picked.push(member);
                    }
                }
                picked
            }
        }
    }
}
