//! Sorted sets: taking the least or greatest members, at once or when there are some.

use super::blocking::{TimedOut, WaitsFor, timeout};
use super::parse::{self, int_or, is};
use super::row::{ArgKind, Category, Flag, Row, arg, key, keys_at, keys_counted, one_of, row, token};
use super::zset::reply_members;
use super::{Answer, Ctx, DONE, Error};
use crate::config::NotifyFlags;
use crate::keyspace::Key;
use crate::value::zset::Zset;

/// Which end of a sorted set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extreme {
    Min,
    Max,
}

/// Takes up to `count` members of the sorted set of a key.
fn take(ctx: &mut Ctx<'_>, key: Key<'_>, from: Extreme, count: usize) -> Result<Vec<(Vec<u8>, f64)>, Error> {
    let mut taken = Vec::new();
    let Some(mut zset) = ctx.access.write::<Zset>(key)? else { return Ok(taken) };
    let len = zset.len();
    let (start, end) = match from {
        Extreme::Min => (0, count.min(len)),
        Extreme::Max => (len - count.min(len), len),
    };
    zset.remove_ranks(start, end, |member, score| taken.push((member.to_vec(), score)));
    if from == Extreme::Max {
        taken.reverse();
    }
    if !taken.is_empty() {
        let event = if from == Extreme::Min { "zpopmin" } else { "zpopmax" };
        ctx.access.edited(key, NotifyFlags::ZSET, event);
        ctx.access.remove_if_empty(key);
    }
    Ok(taken)
}

fn pop(ctx: &mut Ctx<'_>, from: Extreme) -> Answer {
    let key = ctx.key(0);
    if ctx.args.len() > 3 {
        return Err(Error::SYNTAX);
    }
    let text = "ERR value is out of range, must be positive";
    let count = match ctx.args.get(2) {
        Some(count) => Some(usize::try_from(int_or(count, text)?).map_err(|_| Error::fixed(text))?),
        None => None,
    };
    let taken = take(ctx, key, from, count.unwrap_or(1))?;
    match (count, taken.first()) {
        (None, Some((member, score))) => {
            ctx.reply.array(2);
            ctx.reply.bulk(member);
            ctx.reply.double(*score);
        }
        (None, None) => ctx.reply.array(0),
        (Some(_), _) => reply_members(ctx, &taken, true),
    }
    DONE
}

fn zpopmin(ctx: &mut Ctx<'_>) -> Answer {
    pop(ctx, Extreme::Min)
}

fn zpopmax(ctx: &mut Ctx<'_>) -> Answer {
    pop(ctx, Extreme::Max)
}

fn blocking_pop(ctx: &mut Ctx<'_>, from: Extreme) -> Answer {
    let deadline = timeout(ctx, ctx.args.len() - 1)?;
    for key in ctx.keys {
        if let Some((member, score)) = take(ctx, *key, from, 1)?.first() {
            ctx.reply.array(3);
            ctx.reply.bulk(key.name);
            ctx.reply.bulk(member);
            ctx.reply.double(*score);
            return DONE;
        }
    }
    ctx.block(WaitsFor::Zset, deadline, TimedOut::NullArray)
}

fn bzpopmin(ctx: &mut Ctx<'_>) -> Answer {
    blocking_pop(ctx, Extreme::Min)
}

fn bzpopmax(ctx: &mut Ctx<'_>) -> Answer {
    blocking_pop(ctx, Extreme::Max)
}

/// The end and count of ZMPOP and BZMPOP, whose number of keys stands at `at`.
fn mpop_options(ctx: &Ctx<'_>, at: usize) -> Result<(Extreme, usize), Error> {
    parse::mpop_options(ctx.args, at, |word| match word {
        word if is(word, "min") => Ok(Extreme::Min),
        word if is(word, "max") => Ok(Extreme::Max),
        _ => Err(Error::SYNTAX),
    })
}

/// Takes from the first key that has members; answers whether one had.
fn mpop(ctx: &mut Ctx<'_>, from: Extreme, count: usize) -> Result<bool, Error> {
    for key in ctx.keys {
        let taken = take(ctx, *key, from, count)?;
        if !taken.is_empty() {
            ctx.reply.array(2);
            ctx.reply.bulk(key.name);
            ctx.reply.array(taken.len());
            for (member, score) in taken {
                ctx.reply.array(2);
                ctx.reply.bulk(&member);
                ctx.reply.double(score);
            }
            return Ok(true);
        }
    }
    Ok(false)
}

fn zmpop(ctx: &mut Ctx<'_>) -> Answer {
    let (from, count) = mpop_options(ctx, 1)?;
    if !mpop(ctx, from, count)? {
        ctx.reply.null_array();
    }
    DONE
}

fn bzmpop(ctx: &mut Ctx<'_>) -> Answer {
    let (from, count) = mpop_options(ctx, 2)?;
    let deadline = timeout(ctx, 1)?;
    if mpop(ctx, from, count)? {
        return DONE;
    }
    ctx.block(WaitsFor::Zset, deadline, TimedOut::NullArray)
}

/// The rows of this family.
pub const ROWS: &[Row] = &[
    row("bzmpop", -5, "sorted-set", bzmpop)
        .flags(&[Flag::Write, Flag::Blocking])
        .acl(&[Category::SortedSet])
        .keys(&[keys_counted(2, 0, 1, 1, &["RW", "access", "delete"])])
        .docs("Removes and returns a member by score from one or more sorted sets. Blocks until a member is available otherwise. Deletes the sorted set if the last element was popped.", "7.0.0")
        .complexity("O(K) + O(M*log(N)) where K is the number of provided keys, N being the number of elements in the sorted set, and M being the number of elements popped.")
        .args(&[
            arg("timeout", ArgKind::Double),
            arg("numkeys", ArgKind::Integer),
            key("key", 0).multiple(),
            one_of("where", &[token("min", "MIN"), token("max", "MAX")]),
            arg("count", ArgKind::Integer).token("COUNT").optional(),
        ]),
    row("bzpopmax", -3, "sorted-set", bzpopmax)
        .flags(&[Flag::Write, Flag::Blocking, Flag::Fast])
        .acl(&[Category::SortedSet])
        .keys(&[keys_at(1, -2, 1, &["RW", "access", "delete"])])
        .docs("Removes and returns the member with the highest score from one or more sorted sets. Blocks until a member available otherwise.  Deletes the sorted set if the last element was popped.", "5.0.0")
        .complexity("O(log(N)) with N being the number of elements in the sorted set.")
        .history(&[("6.0.0", "`timeout` is interpreted as a double instead of an integer.")])
        .args(&[key("key", 0).multiple(), arg("timeout", ArgKind::Double)]),
    row("bzpopmin", -3, "sorted-set", bzpopmin)
        .flags(&[Flag::Write, Flag::Blocking, Flag::Fast])
        .acl(&[Category::SortedSet])
        .keys(&[keys_at(1, -2, 1, &["RW", "access", "delete"])])
        .docs("Removes and returns the member with the lowest score from one or more sorted sets. Blocks until a member is available otherwise. Deletes the sorted set if the last element was popped.", "5.0.0")
        .complexity("O(log(N)) with N being the number of elements in the sorted set.")
        .history(&[("6.0.0", "`timeout` is interpreted as a double instead of an integer.")])
        .args(&[key("key", 0).multiple(), arg("timeout", ArgKind::Double)]),
    row("zmpop", -4, "sorted-set", zmpop)
        .flags(&[Flag::Write])
        .acl(&[Category::SortedSet])
        .keys(&[keys_counted(1, 0, 1, 1, &["RW", "access", "delete"])])
        .docs("Returns the highest- or lowest-scoring members from one or more sorted sets after removing them. Deletes the sorted set if the last member was popped.", "7.0.0")
        .complexity("O(K) + O(M*log(N)) where K is the number of provided keys, N being the number of elements in the sorted set, and M being the number of elements popped.")
        .args(&[
            arg("numkeys", ArgKind::Integer),
            key("key", 0).multiple(),
            one_of("where", &[token("min", "MIN"), token("max", "MAX")]),
            arg("count", ArgKind::Integer).token("COUNT").optional(),
        ]),
    row("zpopmax", -2, "sorted-set", zpopmax)
        .flags(&[Flag::Write, Flag::Fast])
        .acl(&[Category::SortedSet])
        .keys(&[keys_at(1, 0, 1, &["RW", "access", "delete"])])
        .docs("Returns the highest-scoring members from a sorted set after removing them. Deletes the sorted set if the last member was popped.", "5.0.0")
        .complexity("O(log(N)*M) with N being the number of elements in the sorted set, and M being the number of elements popped.")
        .args(&[key("key", 0), arg("count", ArgKind::Integer).optional()]),
    row("zpopmin", -2, "sorted-set", zpopmin)
        .flags(&[Flag::Write, Flag::Fast])
        .acl(&[Category::SortedSet])
        .keys(&[keys_at(1, 0, 1, &["RW", "access", "delete"])])
        .docs("Returns the lowest-scoring members from a sorted set after removing them. Deletes the sorted set if the last member was popped.", "5.0.0")
        .complexity("O(log(N)*M) with N being the number of elements in the sorted set, and M being the number of elements popped.")
        .args(&[key("key", 0), arg("count", ArgKind::Integer).optional()]),
];
