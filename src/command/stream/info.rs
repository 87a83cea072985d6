//! XINFO.

use super::{no_group_of_key, write_entries, write_entry, write_id};
use crate::command::parse::{int, is};
use crate::command::{Answer, Ctx, DONE, Error};
use crate::keyspace::Lookup;
use crate::resp::Reply;
use crate::value::stream::{Consumer, Entry, Group, Id, Log, Stream};

/// How much XINFO STREAM FULL shows of each list without COUNT.
const FULL_COUNT: usize = 10;

pub(super) fn xinfo_consumers(ctx: &mut Ctx<'_>) -> Answer {
    let (key, name, now_ms) = (ctx.key(0), &ctx.args[3], ctx.now_ms());
    let stream = ctx.access.read::<Stream>(key, Lookup::Read)?.ok_or(Error::NO_SUCH_KEY)?;
    let group = stream.groups.get(name).ok_or_else(|| no_group_of_key(name, key.name))?;
    let reply = &mut ctx.reply;
    reply.array(group.consumers().len());
    for consumer in group.consumers() {
        reply.map(4);
        reply.bulk(b"name");
        reply.bulk(&consumer.name);
        number(reply, "pending", consumer.pending_len() as i64);
        number(reply, "idle", now_ms.saturating_sub(consumer.seen_at_ms).max(0));
        number(reply, "inactive", consumer.active_at_ms.map_or(-1, |at| now_ms.saturating_sub(at)));
    }
    DONE
}

pub(super) fn xinfo_groups(ctx: &mut Ctx<'_>) -> Answer {
    let key = ctx.key(0);
    let stream = ctx.access.read::<Stream>(key, Lookup::Read)?.ok_or(Error::NO_SUCH_KEY)?;
    let reply = &mut ctx.reply;
    reply.array(stream.groups.len());
    for (name, group) in &stream.groups {
        reply.map(6);
        reply.bulk(b"name");
        reply.bulk(name);
        number(reply, "consumers", group.consumers().len() as i64);
        number(reply, "pending", group.pending_len() as i64);
        write_progress(reply, &stream.log, group);
    }
    DONE
}

/// Writes how far a group is.
fn write_progress(reply: &mut Reply<'_>, log: &Log, group: &Group) {
    named_id(reply, "last-delivered-id", group.last_id);
    number_or_null(reply, "entries-read", group.entries_read);
    number_or_null(reply, "lag", log.lag(group));
}

pub(super) fn xinfo_stream(ctx: &mut Ctx<'_>) -> Answer {
    let key = ctx.key(0);
    let stream = ctx.access.read::<Stream>(key, Lookup::Read)?.ok_or(Error::NO_SUCH_KEY)?;
    let misplaced = || Error::subcommand_syntax(&ctx.args[0], &ctx.args[1]);
    let full = match (ctx.args.get(3), ctx.args.get(4), ctx.args.get(5)) {
        (None, _, _) => None,
        (Some(full), None, _) if is(full, "full") => Some(FULL_COUNT),
        (Some(full), Some(count), Some(number))
            if ctx.args.len() == 6 && is(full, "full") && is(count, "count") =>
        {
            Some(match usize::try_from(int(number)?) {
                Ok(0) => usize::MAX,
                Ok(count) => count,
                Err(_) => FULL_COUNT,
            })
        }
        _ => return Err(misplaced()),
    };
    let (reply, log) = (&mut ctx.reply, &stream.log);
    reply.map(if full.is_some() { 9 } else { 10 });
    number(reply, "length", log.len() as i64);
    number(reply, "radix-tree-keys", log.nodes().len() as i64);
    number(reply, "radix-tree-nodes", log.radix_nodes() as i64);
    named_id(reply, "last-generated-id", log.last_id);
    named_id(reply, "max-deleted-entry-id", log.max_deleted_id);
    number(reply, "entries-added", log.entries_added as i64);
    named_id(reply, "recorded-first-entry-id", log.first_id());
    match full {
        None => {
            number(reply, "groups", stream.groups.len() as i64);
            named_entry(reply, "first-entry", log.range(Id::MIN, Id::MAX).next());
            named_entry(reply, "last-entry", log.range_back(Id::MIN, Id::MAX).next());
        }
        Some(count) => {
            reply.bulk(b"entries");
            write_entries(reply, log.range(Id::MIN, Id::MAX).take(count));
            reply.bulk(b"groups");
            reply.array(stream.groups.len());
            stream.groups.iter().for_each(|(name, group)| write_group(reply, log, name, group, count));
        }
    }
    DONE
}

/// Writes a group with up to `count` deliveries, of it and of each consumer.
fn write_group(reply: &mut Reply<'_>, log: &Log, name: &[u8], group: &Group, count: usize) {
    reply.map(7);
    reply.bulk(b"name");
    reply.bulk(name);
    write_progress(reply, log, group);
    number(reply, "pel-count", group.pending_len() as i64);
    reply.bulk(b"pending");
    reply.array(group.pending_len().min(count));
    for (id, pending) in group.pending_from(Id::MIN).take(count) {
        reply.array(4);
        write_id(reply, id);
        reply.bulk(&group.consumer(pending.consumer).name);
        reply.int(pending.delivered_at_ms);
        reply.int(pending.deliveries as i64);
    }
    reply.bulk(b"consumers");
    reply.array(group.consumers().len());
    group.consumers().for_each(|consumer| write_consumer(reply, group, consumer, count));
}

fn write_consumer(reply: &mut Reply<'_>, group: &Group, consumer: &Consumer, count: usize) {
    reply.map(5);
    reply.bulk(b"name");
    reply.bulk(&consumer.name);
    number(reply, "seen-time", consumer.seen_at_ms);
    number(reply, "active-time", consumer.active_at_ms.unwrap_or(-1));
    number(reply, "pel-count", consumer.pending_len() as i64);
    reply.bulk(b"pending");
    reply.array(consumer.pending_len().min(count));
    for id in consumer.pending_from(Id::MIN).take(count) {
        let pending = group.pending(id);
        reply.array(3);
        write_id(reply, id);
        reply.int(pending.map_or(0, |pending| pending.delivered_at_ms));
        reply.int(pending.map_or(0, |pending| pending.deliveries as i64));
    }
}

fn number(reply: &mut Reply<'_>, name: &str, number: i64) {
    reply.bulk(name.as_bytes());
    reply.int(number);
}

fn number_or_null(reply: &mut Reply<'_>, name: &str, number: Option<i64>) {
    reply.bulk(name.as_bytes());
    match number {
        Some(number) => reply.int(number),
        None => reply.null(),
    }
}

fn named_id(reply: &mut Reply<'_>, name: &str, id: Id) {
    reply.bulk(name.as_bytes());
    write_id(reply, id);
}

fn named_entry(reply: &mut Reply<'_>, name: &str, entry: Option<Entry<'_>>) {
    reply.bulk(name.as_bytes());
    match entry {
        Some(entry) => write_entry(reply, &entry),
        None => reply.null(),
    }
}

pub(super) fn xinfo_help(ctx: &mut Ctx<'_>) -> Answer {
    ctx.help(&[
        "CONSUMERS <key> <groupname>",
        "    Show consumers of <groupname>.",
        "GROUPS <key>",
        "    Show the stream consumer groups.",
        "STREAM <key> [FULL [COUNT <count>]",
        "    Show information about the stream.",
    ])
}
