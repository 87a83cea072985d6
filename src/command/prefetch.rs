//! Asking the processor for the collections of a batch, before its requests run one after the other.
//!
//! A collection is several pointers deep, and each costs as much as the rest of a short command where it is not in the
//! cache. What 16 requests need at the same depth is asked for at once, so that they wait once and not 16 times.

use super::engine::Request;
use super::table::Found;
use crate::memory::{Database, ShardState};
use crate::number;
use crate::resp::{ArgRange, Args};
use crate::value::Collection;
use crate::value::prefetch::{Aim, prefetch_all};
use parking_lot::MutexGuard;

/// How many requests' collections are asked for at once.
pub(super) const REQUESTS_MAX: usize = 16;

/// What one request looks for.
#[derive(Clone, Copy)]
struct Look<'a> {
    /// Whose lock of the shard it is.
    holder: usize,
    position: u32,
    aim: Aim<'a>,
}

/// Asks for the collections of the first keys of up to [`REQUESTS_MAX`] requests and for what of them the requests
/// name, pointer by pointer: each step reads what the one before has asked for.
pub(super) fn prefetch_collections(
    database: &Database,
    requests: &[Request],
    buffer: &[u8],
    args: &[ArgRange],
) {
    // Arrays, not lists: what is pushed to a list is copied once more, and this is done for every command.
    let mut held: [Option<MutexGuard<'_, ShardState>>; REQUESTS_MAX] = [const { None }; REQUESTS_MAX];
    let mut looks: [Option<Look<'_>>; REQUESTS_MAX] = [None; REQUESTS_MAX];
    // 1. The shards are held all the while; those that are not free are passed over.
    for (place, request) in requests.iter().enumerate().take(REQUESTS_MAX) {
        let (Some(hash), Found::Command(_, row)) = (request.hash, request.found) else { continue };
        if !request.of_collection {
            continue;
        }
        let shard = database.shard_index(hash);
        let holder = match database.shards()[shard].try_look() {
            Some(guard) => {
                held[place] = Some(guard);
                place
            }
            None => match holder_of(database, &requests[..place], &held, shard) {
                Some(holder) => holder,
                None => continue,
            },
        };
        let args = Args::new(buffer, &args[request.first..request.first + request.len]);
        let scored = row.name == "zadd";
        let member = args.get(if scored { 3 } else { 2 }).unwrap_or_default();
        let score = if scored { args.get(2).and_then(number::parse_f64) } else { None };
        let aim = Aim { member, hash: 0, score, front: row.name.starts_with('l') };
        looks[place] = Some(Look { holder, position: hash.position(), aim });
    }
    // 2. The entries.
    let mut indices = [0; REQUESTS_MAX];
    for (index, look) in indices.iter_mut().zip(&mut looks) {
        let Some(Look { holder, position, .. }) = *look else { continue };
        match held[holder].as_ref().and_then(|state| state.table.prefetch(position)) {
            Some(found) => *index = found,
            None => *look = None,
        }
    }
    // 3. The collections.
    let mut collections: [Option<&Collection>; REQUESTS_MAX] = [None; REQUESTS_MAX];
    for ((collection, index), look) in collections.iter_mut().zip(indices).zip(&mut looks) {
        let Some(look) = look else { continue };
        *collection = held[look.holder].as_ref().and_then(|state| state.table.collection_at(index));
        if let Some(collection) = collection {
            prefetch_all(*collection);
            look.aim.hash = collection.hash_of(look.aim.member).unwrap_or_default();
        }
    }
    // 4. What they point to.
    let (mut step, mut more) = (0, true);
    while more {
        more = false;
        for (place, look) in collections.iter_mut().zip(&looks) {
            if let (Some(collection), Some(look)) = (*place, look) {
                if collection.prefetch(step, look.aim) {
                    more = true;
                } else {
                    *place = None;
                }
            }
        }
        step += 1;
    }
}

/// Which of the requests before holds a shard.
#[cold]
fn holder_of(
    database: &Database,
    before: &[Request],
    held: &[Option<MutexGuard<'_, ShardState>>; REQUESTS_MAX],
    shard: usize,
) -> Option<usize> {
    let is_it = |request: &Request| request.hash.is_some_and(|hash| database.shard_index(hash) == shard);
    before.iter().zip(held).position(|(request, held)| held.is_some() && is_it(request))
}
