//! XCLAIM and XAUTOCLAIM: deliveries change hands.

use super::{find_or_add_consumer, id, no_key_or_group, note_group_change, start_id, write_entry, write_id};
use crate::command::parse::{int_or, is};
use crate::command::{Answer, Ctx, DONE, Error};
use crate::keyspace::Lookup;
use crate::number;
use crate::resp::Reply;
use crate::value::stream::{Id, Log, Pending, Stream};
use smallvec::SmallVec;

/// How many deliveries XAUTOCLAIM looks at for each that it may claim.
const LOOKS_PER_CLAIM: i64 = 10;

/// Options of XCLAIM, after the IDs.
#[derive(Default)]
struct Options {
    delivered_at_ms: Option<i64>,
    deliveries: Option<u64>,
    force: bool,
    just_id: bool,
    last_id: Id,
}

fn options(ctx: &Ctx<'_>, first: usize) -> Result<Options, Error> {
    let now_ms = ctx.now_ms();
    let mut options = Options::default();
    let mut at = first;
    while let Some(word) = ctx.args.get(at) {
        let value = ctx.args.get(at + 1);
        if is(word, "force") {
            options.force = true;
        } else if is(word, "justid") {
            options.just_id = true;
        } else if is(word, "idle")
            && let Some(value) = value
        {
            let idle_ms = int_or(value, "ERR Invalid IDLE option argument for XCLAIM")?;
            options.delivered_at_ms = Some(now_ms.wrapping_sub(idle_ms));
            at += 1;
        } else if is(word, "time")
            && let Some(value) = value
        {
            options.delivered_at_ms = Some(int_or(value, "ERR Invalid TIME option argument for XCLAIM")?);
            at += 1;
        } else if is(word, "retrycount")
            && let Some(value) = value
        {
            let count = int_or(value, "ERR Invalid RETRYCOUNT option argument for XCLAIM")?;
            options.deliveries = u64::try_from(count).ok();
            at += 1;
        } else if is(word, "lastid")
            && let Some(value) = value
        {
            options.last_id = id(value)?;
            at += 1;
        } else {
            return Err(Error::quoting("ERR Unrecognized XCLAIM option '", word, "'"));
        }
        at += 1;
    }
    Ok(options)
}

/// Writes a claimed entry, or its ID alone.
fn write_claimed(reply: &mut Reply<'_>, log: &Log, id: Id, just_id: bool) {
    match log.get(id) {
        Some(entry) if !just_id => write_entry(reply, &entry),
        _ => write_id(reply, id),
    }
}

pub(super) fn xclaim(ctx: &mut Ctx<'_>) -> Answer {
    let (key, name, consumer, now_ms) = (ctx.key(0), &ctx.args[2], &ctx.args[3], ctx.now_ms());
    let there = ctx.access.read::<Stream>(key, Lookup::Read)?;
    if !there.is_some_and(|stream| stream.groups.contains_key(name)) {
        return Err(no_key_or_group(key.name, name));
    }
    let idle_min_ms = int_or(&ctx.args[4], "ERR Invalid min-idle-time argument for XCLAIM")?.max(0);
    let ids: SmallVec<[Id; 8]> = ctx.args.iter().skip(5).map_while(|text| Id::parse(text, 0)).collect();
    let options = options(ctx, 5 + ids.len())?;
    // A time that cannot be is the client's clock, not its mistake.
    let delivered_at_ms = options.delivered_at_ms.filter(|at| (0..=now_ms).contains(at)).unwrap_or(now_ms);

    let Some(mut stream) = ctx.access.write::<Stream>(key)? else { return DONE };
    let Some((log, mut group)) = stream.group(name) else { return DONE };
    let mut changed = options.last_id > group.last_id;
    group.set_position(group.last_id.max(options.last_id), group.entries_read);
    let (consumer, new_consumer) = find_or_add_consumer(&mut group, consumer, now_ms);
    let mark = ctx.reply.mark();
    let mut claimed = 0;
    for id in ids {
        if log.get(id).is_none() {
            changed |= group.acknowledge(id);
            continue;
        }
        let old = group.pending(id).copied();
        let deliveries = match old {
            Some(old) if idle_min_ms > 0 && now_ms.saturating_sub(old.delivered_at_ms) < idle_min_ms => {
                continue;
            }
            Some(old) => old.deliveries,
            None if options.force => 1,
            None => continue,
        };
        let deliveries = options.deliveries.unwrap_or(deliveries + u64::from(!options.just_id));
        group.deliver(id, Pending { consumer, delivered_at_ms, deliveries });
        group.set_active(consumer, now_ms);
        write_claimed(&mut ctx.reply, log, id, options.just_id);
        claimed += 1;
    }
    ctx.reply.array_at(mark, claimed);
    note_group_change(ctx, key, new_consumer, changed || claimed > 0);
    DONE
}

/// COUNT and JUSTID of XAUTOCLAIM.
fn auto_options(ctx: &Ctx<'_>) -> Result<(i64, bool), Error> {
    let (mut count, mut just_id) = (100, false);
    let mut at = 6;
    while let Some(word) = ctx.args.get(at) {
        if is(word, "count")
            && let Some(value) = ctx.args.get(at + 1)
        {
            let number = number::parse_i64(value).filter(|count| (1..=i64::MAX / 16).contains(count));
            count = number.ok_or(Error::fixed("ERR COUNT must be > 0"))?;
            at += 1;
        } else if is(word, "justid") {
            just_id = true;
        } else {
            return Err(Error::SYNTAX);
        }
        at += 1;
    }
    Ok((count, just_id))
}

pub(super) fn xautoclaim(ctx: &mut Ctx<'_>) -> Answer {
    let (key, name, consumer, now_ms) = (ctx.key(0), &ctx.args[2], &ctx.args[3], ctx.now_ms());
    let there = ctx.access.get(key, Lookup::Read).is_some();
    let idle_min_ms = int_or(&ctx.args[4], "ERR Invalid min-idle-time argument for XAUTOCLAIM")?.max(0);
    let start = start_id(&ctx.args[5])?;
    let (mut count, just_id) = auto_options(ctx)?;
    let missing = || no_key_or_group(key.name, name);
    if !there {
        return Err(missing());
    }
    let mut stream = ctx.access.write::<Stream>(key)?.ok_or_else(missing)?;
    let (log, mut group) = stream.group(name).ok_or_else(missing)?;
    let (consumer, new_consumer) = find_or_add_consumer(&mut group, consumer, now_ms);
    let (mut claimed, mut deleted) = (Vec::new(), Vec::new());
    let mut looks = count.saturating_mul(LOOKS_PER_CLAIM);
    let mut at = Some(start);
    let cursor = loop {
        let Some((id, pending)) = at.and_then(|at| group.pending_from(at).next()) else { break Id::MIN };
        if looks == 0 || count == 0 {
            break id;
        }
        looks -= 1;
        at = id.next();
        let idle_ms = now_ms.saturating_sub(pending.delivered_at_ms);
        let deliveries = pending.deliveries + u64::from(!just_id);
        if log.get(id).is_none() {
            group.acknowledge(id);
            deleted.push(id);
        } else if idle_min_ms > 0 && idle_ms < idle_min_ms {
            continue;
        } else {
            group.deliver(id, Pending { consumer, delivered_at_ms: now_ms, deliveries });
            group.set_active(consumer, now_ms);
            claimed.push(id);
        }
        count -= 1;
    };
    let reply = &mut ctx.reply;
    reply.array(3);
    write_id(reply, cursor);
    reply.array(claimed.len());
    claimed.iter().for_each(|id| write_claimed(reply, log, *id, just_id));
    reply.array(deleted.len());
    deleted.iter().for_each(|id| write_id(reply, *id));
    note_group_change(ctx, key, new_consumer, !claimed.is_empty() || !deleted.is_empty());
    DONE
}
