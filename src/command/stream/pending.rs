//! XPENDING.

use super::{end_id, no_key_or_group, start_id, write_id};
use crate::command::parse::{int, is};
use crate::command::{Answer, Ctx, DONE, Error};
use crate::keyspace::Lookup;
use crate::resp::Reply;
use crate::value::stream::{Group, Id, Stream};

/// The long form: which deliveries to show.
struct Filter<'a> {
    idle_min_ms: i64,
    start: Id,
    end: Id,
    count: usize,
    consumer: Option<&'a [u8]>,
}

fn filter<'a>(ctx: &Ctx<'a>) -> Result<Option<Filter<'a>>, Error> {
    let args = ctx.args;
    match args.len() {
        3 => return Ok(None),
        6..=9 => {}
        _ => return Err(Error::SYNTAX),
    }
    let (mut idle_min_ms, mut at) = (0, 3);
    if is(&args[3], "idle") {
        idle_min_ms = int(&args[4])?;
        if args.len() < 8 {
            return Err(Error::SYNTAX);
        }
        at = 5;
    }
    let count = int(&args[at + 2])?.max(0) as usize;
    let (start, end) = (start_id(&args[at])?, end_id(&args[at + 1])?);
    Ok(Some(Filter { idle_min_ms, start, end, count, consumer: args.get(at + 3) }))
}

pub(super) fn xpending(ctx: &mut Ctx<'_>) -> Answer {
    let filter = filter(ctx)?;
    let (key, name, now_ms) = (ctx.key(0), &ctx.args[2], ctx.now_ms());
    let stream = ctx.access.read::<Stream>(key, Lookup::Read)?;
    let group = stream.and_then(|stream| stream.groups.get(name));
    let group = group.ok_or_else(|| no_key_or_group(key.name, name))?;
    match filter {
        Some(filter) => write_deliveries(&mut ctx.reply, group, &filter, now_ms),
        None => write_summary(&mut ctx.reply, group),
    }
    DONE
}

fn write_summary(reply: &mut Reply<'_>, group: &Group) {
    reply.array(4);
    reply.int(group.pending_len() as i64);
    let mut pending = group.pending_from(Id::MIN).map(|(id, _)| id);
    let Some(first) = pending.next() else {
        reply.null();
        reply.null();
        reply.null_array();
        return;
    };
    write_id(reply, first);
    write_id(reply, pending.next_back().unwrap_or(first));
    let busy = || group.consumers().filter(|consumer| consumer.pending_len() > 0);
    reply.array(busy().count());
    for consumer in busy() {
        reply.array(2);
        reply.bulk(&consumer.name);
        reply.bulk(itoa::Buffer::new().format(consumer.pending_len()).as_bytes());
    }
}

fn write_deliveries(reply: &mut Reply<'_>, group: &Group, filter: &Filter<'_>, now_ms: i64) {
    let mark = reply.mark();
    let mut shown = 0;
    let mut show = |id: Id| {
        let Some(pending) = group.pending(id) else { return false };
        let idle_ms = now_ms.saturating_sub(pending.delivered_at_ms);
        if filter.idle_min_ms != 0 && idle_ms < filter.idle_min_ms {
            return false;
        }
        reply.array(4);
        write_id(reply, id);
        reply.bulk(&group.consumer(pending.consumer).name);
        reply.int(idle_ms.max(0));
        reply.int(pending.deliveries as i64);
        shown += 1;
        true
    };
    let within = |id: &Id| *id <= filter.end;
    match filter.consumer.map(|name| group.find(name)) {
        Some(None) => {}
        Some(Some(consumer)) => {
            let ids = group.consumer(consumer).pending_from(filter.start);
            ids.take_while(within).filter(|id| show(*id)).take(filter.count).for_each(drop);
        }
        None => {
            let ids = group.pending_from(filter.start).map(|(id, _)| id);
            ids.take_while(within).filter(|id| show(*id)).take(filter.count).for_each(drop);
        }
    }
    reply.array_at(mark, shown);
}
