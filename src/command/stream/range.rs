//! XRANGE, XREVRANGE, XLEN.

use super::{end_id, start_id, write_entries};
use crate::command::parse::{int, is};
use crate::command::{Answer, Ctx, DONE, Error};
use crate::keyspace::Lookup;
use crate::value::stream::Stream;

pub(super) fn xlen(ctx: &mut Ctx<'_>) -> Answer {
    let key = ctx.key(0);
    let len = ctx.access.read::<Stream>(key, Lookup::Read)?.map_or(0, |stream| stream.log.len());
    ctx.reply.int(len as i64);
    DONE
}

fn range(ctx: &mut Ctx<'_>, back: bool) -> Answer {
    let (start, end) = if back { (3, 2) } else { (2, 3) };
    let (start, end) = (start_id(&ctx.args[start])?, end_id(&ctx.args[end])?);
    let mut count = None;
    let mut at = 4;
    while let Some(word) = ctx.args.get(at) {
        match ctx.args.get(at + 1) {
            Some(number) if is(word, "count") => count = Some(int(number)?.max(0) as usize),
            _ => return Err(Error::SYNTAX),
        }
        at += 2;
    }
    let key = ctx.key(0);
    let Some(stream) = ctx.access.read::<Stream>(key, Lookup::Read)? else {
        ctx.reply.array(0);
        return DONE;
    };
    if count == Some(0) {
        ctx.reply.null_array();
        return DONE;
    }
    let count = count.unwrap_or(usize::MAX);
    let entries = if back { stream.log.range_back(start, end) } else { stream.log.range(start, end) };
    write_entries(&mut ctx.reply, entries.take(count));
    DONE
}

pub(super) fn xrange(ctx: &mut Ctx<'_>) -> Answer {
    range(ctx, false)
}

pub(super) fn xrevrange(ctx: &mut Ctx<'_>) -> Answer {
    range(ctx, true)
}
