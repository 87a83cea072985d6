//! The shards that a command holds.

use crate::memory::{ShardGuard, ShardState};
use std::ops::{Deref, DerefMut};

/// A locked shard, and which it is.
pub(super) struct Lock<'a> {
    pub(super) database: usize,
    pub(super) shard: usize,
    pub(super) guard: ShardGuard<'a>,
}

/// The shards that a command holds, in lock order. Most commands hold one: that is told apart once, and no list of one
/// is looked into each time.
pub(super) enum Locks<'a> {
    One(Lock<'a>),
    Many(Vec<Lock<'a>>),
}

impl<'a> Locks<'a> {
    /// The state of the shard at an index, in lock order.
    #[inline(always)]
    pub(super) fn state(&self, index: usize) -> &ShardState {
        match self {
            Locks::One(lock) => &lock.guard,
            Locks::Many(locks) => &locks[index].guard,
        }
    }

    /// The same, to change.
    #[inline(always)]
    pub(super) fn state_mut(&mut self, index: usize) -> &mut ShardState {
        match self {
            Locks::One(lock) => &mut lock.guard,
            Locks::Many(locks) => &mut locks[index].guard,
        }
    }
}

impl<'a> Deref for Locks<'a> {
    type Target = [Lock<'a>];
    fn deref(&self) -> &[Lock<'a>] {
        match self {
            Locks::One(lock) => std::slice::from_ref(lock),
            Locks::Many(locks) => locks,
        }
    }
}

impl DerefMut for Locks<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        match self {
            Locks::One(lock) => std::slice::from_mut(lock),
            Locks::Many(locks) => locks,
        }
    }
}
