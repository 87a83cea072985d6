//! Lists: the commands that wait for an element.

use super::blocking::{TimedOut, WaitsFor, timeout};
use super::list::{end, move_one, mpop, mpop_options, pop_one};
use super::row::{ArgKind, Category, Flag, Row, arg, key, keys_at, keys_counted, one_of, row, token};
use super::{Answer, Ctx, DONE};
use crate::value::list::{End, List};

fn pop(ctx: &mut Ctx<'_>, end: End) -> Answer {
    let deadline = timeout(ctx, ctx.args.len() - 1)?;
    for key in ctx.keys {
        if ctx.access.write::<List>(*key)?.is_some() {
            ctx.reply.array(2);
            ctx.reply.bulk(key.name);
            pop_one(ctx, *key, end)?;
            return DONE;
        }
    }
    ctx.block(WaitsFor::List, deadline, TimedOut::NullArray)
}

fn blpop(ctx: &mut Ctx<'_>) -> Answer {
    pop(ctx, End::Front)
}

fn brpop(ctx: &mut Ctx<'_>) -> Answer {
    pop(ctx, End::Back)
}

fn blmove(ctx: &mut Ctx<'_>) -> Answer {
    let (from_end, to_end) = (end(&ctx.args[3])?, end(&ctx.args[4])?);
    let deadline = timeout(ctx, 5)?;
    if move_one(ctx, from_end, to_end)? {
        return DONE;
    }
    ctx.block_on(&ctx.keys[..1], WaitsFor::List, deadline, TimedOut::Nothing)
}

fn brpoplpush(ctx: &mut Ctx<'_>) -> Answer {
    let deadline = timeout(ctx, 3)?;
    if move_one(ctx, End::Back, End::Front)? {
        return DONE;
    }
    ctx.block_on(&ctx.keys[..1], WaitsFor::List, deadline, TimedOut::Nothing)
}

fn blmpop(ctx: &mut Ctx<'_>) -> Answer {
    let (end, count) = mpop_options(ctx, 2)?;
    let deadline = timeout(ctx, 1)?;
    if mpop(ctx, end, count)? {
        return DONE;
    }
    ctx.block(WaitsFor::List, deadline, TimedOut::NullArray)
}

/// The rows of this family.
pub const ROWS: &[Row] = &[
    row("blmove", 6, "list", blmove)
        .flags(&[Flag::Write, Flag::DenyOom, Flag::Blocking])
        .acl(&[Category::List])
        .keys(&[keys_at(1, 0, 1, &["RW", "access", "delete"]), keys_at(2, 0, 1, &["RW", "insert"])])
        .docs("Pops an element from a list, pushes it to another list and returns it. Blocks until an element is available otherwise. Deletes the list if the last element was moved.", "6.2.0")
        .complexity("O(1)")
        .args(&[
            key("source", 0),
            key("destination", 1),
            one_of("wherefrom", &[token("left", "LEFT"), token("right", "RIGHT")]),
            one_of("whereto", &[token("left", "LEFT"), token("right", "RIGHT")]),
            arg("timeout", ArgKind::Double),
        ]),
    row("blmpop", -5, "list", blmpop)
        .flags(&[Flag::Write, Flag::Blocking])
        .acl(&[Category::List])
        .keys(&[keys_counted(2, 0, 1, 1, &["RW", "access", "delete"])])
        .docs("Pops the first element from one of multiple lists. Blocks until an element is available otherwise. Deletes the list if the last element was popped.", "7.0.0")
        .complexity("O(N+M) where N is the number of provided keys and M is the number of elements returned.")
        .args(&[
            arg("timeout", ArgKind::Double),
            arg("numkeys", ArgKind::Integer),
            key("key", 0).multiple(),
            one_of("where", &[token("left", "LEFT"), token("right", "RIGHT")]),
            arg("count", ArgKind::Integer).token("COUNT").optional(),
        ]),
    row("blpop", -3, "list", blpop)
        .flags(&[Flag::Write, Flag::Blocking])
        .acl(&[Category::List])
        .keys(&[keys_at(1, -2, 1, &["RW", "access", "delete"])])
        .docs("Removes and returns the first element in a list. Blocks until an element is available otherwise. Deletes the list if the last element was popped.", "2.0.0")
        .complexity("O(N) where N is the number of provided keys.")
        .history(&[("6.0.0", "`timeout` is interpreted as a double instead of an integer.")])
        .args(&[key("key", 0).multiple(), arg("timeout", ArgKind::Double)]),
    row("brpop", -3, "list", brpop)
        .flags(&[Flag::Write, Flag::Blocking])
        .acl(&[Category::List])
        .keys(&[keys_at(1, -2, 1, &["RW", "access", "delete"])])
        .docs("Removes and returns the last element in a list. Blocks until an element is available otherwise. Deletes the list if the last element was popped.", "2.0.0")
        .complexity("O(N) where N is the number of provided keys.")
        .history(&[("6.0.0", "`timeout` is interpreted as a double instead of an integer.")])
        .args(&[key("key", 0).multiple(), arg("timeout", ArgKind::Double)]),
    row("brpoplpush", 4, "list", brpoplpush)
        .flags(&[Flag::Write, Flag::DenyOom, Flag::Blocking])
        .acl(&[Category::List])
        .keys(&[keys_at(1, 0, 1, &["RW", "access", "delete"]), keys_at(2, 0, 1, &["RW", "insert"])])
        .docs("Pops an element from a list, pushes it to another list and returns it. Block until an element is available otherwise. Deletes the list if the last element was popped.", "2.2.0")
        .complexity("O(1)")
        .doc_flags(&["deprecated"])
        .deprecated("6.2.0", Some("`BLMOVE` with the `RIGHT` and `LEFT` arguments"))
        .history(&[("6.0.0", "`timeout` is interpreted as a double instead of an integer.")])
        .args(&[key("source", 0), key("destination", 1), arg("timeout", ArgKind::Double)]),
];
