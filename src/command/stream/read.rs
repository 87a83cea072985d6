//! XREAD and XREADGROUP.
//!
//! Both look at each stream twice, as Redis does: once to read what follows which ID, and once all IDs are
//! known to be right, to answer.

use super::{
    find_or_add_consumer, id, is_byte, no_group, note_group_change, write_entries, write_entry, write_id,
};
use crate::client::Queued;
use crate::command::blocking::{TimedOut, WaitsFor, deadline};
use crate::command::parse::{int, int_or, is};
use crate::command::row::Databases;
use crate::command::{Answer, Ctx, DONE, Error, Step};
use crate::keyspace::{Key, Lookup};
use crate::resp::{Args, Reply};
use crate::value::journal::GroupEdit;
use crate::value::stream::{ConsumerId, Id, Log, Pending, Stream};
use smallvec::SmallVec;

/// The options, up to the streams.
#[derive(Default)]
struct Options<'a> {
    /// How long to wait, in milliseconds; 0 without end.
    block_ms: Option<i64>,
    /// 0 for no limit.
    count: usize,
    /// The names of the group and the consumer.
    group: Option<(&'a [u8], &'a [u8])>,
    no_ack: bool,
    /// The index of the first key.
    streams: usize,
}

/// After what a stream is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    /// This ID.
    Id(Id),
    /// What the group was given last.
    Delivered,
}

/// Where the keys are: after STREAMS, unless that is the name of a group or a number.
pub(super) const PLACES: Databases = |args: &Args<'_>, selected| {
    let mut at = 1;
    while let Some(word) = args.get(at) {
        if is(word, "streams") {
            let rest = args.len() - at - 1;
            let count = if rest.is_multiple_of(2) { rest / 2 } else { 0 };
            return (at + 1..at + 1 + count).map(|index| (selected, index)).collect();
        }
        at += match () {
            () if is(word, "block") || is(word, "count") => 2,
            () if is(word, "group") => 3,
            () if is(word, "noack") => 1,
            () => break,
        };
    }
    SmallVec::new()
};

fn options<'a>(ctx: &Ctx<'a>, of_group: bool) -> Result<Options<'a>, Error> {
    let mut options = Options::default();
    let only_of_group = |word: &str| {
        let text = "option is only supported by XREADGROUP. You called XREAD instead.";
        Error::new(format!("ERR The {word} {text}"))
    };
    let mut at = 1;
    while let Some(word) = ctx.args.get(at) {
        let more = ctx.args.len() - at - 1;
        if more >= 1 && is(word, "block") {
            at += 1;
            let ms = int_or(&ctx.args[at], "ERR timeout is not an integer or out of range")?;
            deadline(ctx, ms)?;
            options.block_ms = Some(ms);
        } else if more >= 1 && is(word, "count") {
            at += 1;
            options.count = int(&ctx.args[at])?.max(0) as usize;
        } else if more >= 1 && is(word, "streams") {
            options.streams = at + 1;
            if !more.is_multiple_of(2) {
                let symbol = if of_group { '>' } else { '$' };
                return Err(Error::new(format!(
                    "ERR Unbalanced '{}' list of streams: for each stream key an ID or '{symbol}' must be \
                     specified.",
                    ctx.row.name
                )));
            }
            break;
        } else if more >= 2 && is(word, "group") {
            if !of_group {
                return Err(only_of_group("GROUP"));
            }
            options.group = ctx.args.get(at + 1).zip(ctx.args.get(at + 2));
            at += 2;
        } else if is(word, "noack") {
            if !of_group {
                return Err(only_of_group("NOACK"));
            }
            options.no_ack = true;
        } else {
            return Err(Error::SYNTAX);
        }
        at += 1;
    }
    if options.streams == 0 {
        return Err(Error::SYNTAX);
    }
    if of_group && options.group.is_none() {
        return Err(Error::fixed("ERR Missing GROUP option for XREADGROUP"));
    }
    Ok(options)
}

fn meaningless(symbol: char) -> Error {
    Error::new(format!(
        "ERR The {symbol} ID is meaningless in the context of XREADGROUP: you want to read the history of this \
         consumer by specifying a proper ID, or use the > ID to get new messages. The {symbol} ID would just \
         return an empty result set."
    ))
}

/// After what a stream is to be read; its group, if one is named, must be there.
fn after(ctx: &mut Ctx<'_>, key: Key<'_>, text: &[u8], group: Option<&[u8]>) -> Result<After, Error> {
    let stream = ctx.access.read::<Stream>(key, Lookup::Read)?;
    if let Some(group) = group
        && !stream.is_some_and(|stream| stream.groups.contains_key(group))
    {
        let after = "' in XREADGROUP with GROUP option";
        return Err(no_group("NOGROUP No such key '", key.name, "' or consumer group '", group, after));
    }
    if is_byte(text, b'$') {
        if group.is_some() {
            return Err(meaningless('$'));
        }
        return Ok(After::Id(stream.map_or(Id::MIN, |stream| stream.log.last_id)));
    }
    if is_byte(text, b'+') {
        if group.is_some() {
            return Err(meaningless('+'));
        }
        let Some(stream) = stream else { return Ok(After::Id(Id::MIN)) };
        let before = stream.log.last_id.prev();
        return before.map(After::Id).ok_or(Error::fixed("ERR the stream last element ID is 0-0"));
    }
    if is_byte(text, b'>') {
        if group.is_none() {
            let text = "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> \
                        <consumer> option.";
            return Err(Error::fixed(text));
        }
        return Ok(After::Delivered);
    }
    Ok(match id(text)? {
        Id::MAX if group.is_some() => After::Delivered,
        id => After::Id(id),
    })
}

pub(super) fn xread(ctx: &mut Ctx<'_>) -> Answer {
    let options = options(ctx, false)?;
    read(ctx, &options)
}

pub(super) fn xreadgroup(ctx: &mut Ctx<'_>) -> Answer {
    let options = options(ctx, true)?;
    read(ctx, &options)
}

fn read(ctx: &mut Ctx<'_>, options: &Options<'_>) -> Answer {
    let keys = ctx.keys;
    let mut afters: SmallVec<[After; 4]> = SmallVec::new();
    for (index, key) in keys.iter().enumerate() {
        let text = ctx.args.get(options.streams + keys.len() + index).unwrap_or_default();
        afters.push(after(ctx, *key, text, options.group.map(|(group, _)| group))?);
    }
    let mark = ctx.reply.mark();
    let mut served = 0;
    for (key, after) in keys.iter().zip(afters.iter().copied()) {
        if ctx.access.get(*key, Lookup::Read).is_none() {
            continue;
        }
        let found = match options.group {
            Some((group, consumer)) => read_group(ctx, *key, after, group, consumer, options)?,
            None => read_stream(ctx, *key, after, options)?,
        };
        served += usize::from(found);
    }
    if served > 0 {
        if ctx.reply.is_resp3() {
            ctx.reply.map_at(mark, served);
        } else {
            ctx.reply.array_at(mark, served);
        }
        return DONE;
    }
    let Some(ms) = options.block_ms else {
        ctx.reply.null_array();
        return DONE;
    };
    wait(ctx, options, &afters, ms)
}

/// Waits for entries. The command that is run then has an ID in the place of `$`, as it is now.
fn wait(ctx: &mut Ctx<'_>, options: &Options<'_>, afters: &[After], ms: i64) -> Answer {
    let deadline_ms = deadline(ctx, ms)?;
    let waits_for = if options.group.is_some() { WaitsFor::StreamOrNone } else { WaitsFor::Stream };
    let mut answer = ctx.block(waits_for, deadline_ms, TimedOut::NullArray);
    if let Ok(Step::Block(block)) = &mut answer {
        let words = ctx.args.iter().take(options.streams + ctx.keys.len());
        let texts = ctx.args.iter().skip(options.streams + ctx.keys.len());
        let ids = texts.zip(afters).map(|(text, after)| match after {
            After::Id(id) if is_byte(text, b'$') => id.with_text(<[u8]>::to_vec),
            _ => text.to_vec(),
        });
        let ids: Vec<Vec<u8>> = ids.collect();
        block.rewritten = Some(Queued::new(words.chain(ids.iter().map(Vec::as_slice))));
    }
    answer
}

fn limit(options: &Options<'_>) -> usize {
    if options.count == 0 { usize::MAX } else { options.count }
}

/// Writes what follows an ID; answers whether that is anything.
fn read_stream(ctx: &mut Ctx<'_>, key: Key<'_>, after: After, options: &Options<'_>) -> Result<bool, Error> {
    let After::Id(after) = after else { return Ok(false) };
    let Some(stream) = ctx.access.read::<Stream>(key, Lookup::Silent)? else { return Ok(false) };
    let Some(start) = after.next() else { return Ok(false) };
    let mut entries = stream.log.range(start, Id::MAX).peekable();
    if entries.peek().is_none() {
        return Ok(false);
    }
    if !ctx.reply.is_resp3() {
        ctx.reply.array(2);
    }
    ctx.reply.bulk(key.name);
    write_entries(&mut ctx.reply, entries.take(limit(options)));
    Ok(true)
}

/// Writes what is new to a group, or what the consumer has yet to acknowledge; answers whether it did.
fn read_group(
    ctx: &mut Ctx<'_>,
    key: Key<'_>,
    after: After,
    group_name: &[u8],
    consumer_name: &[u8],
    options: &Options<'_>,
) -> Result<bool, Error> {
    let now_ms = ctx.now_ms();
    let Some(mut stream) = ctx.access.write::<Stream>(key)? else { return Ok(false) };
    let Some((log, mut group)) = stream.group(group_name) else { return Ok(false) };
    let (consumer, new_consumer) = find_or_add_consumer(&mut group, consumer_name, now_ms);
    let has_new = log.last_entry_id().is_some_and(|last| last > group.last_id);
    let served = after != After::Delivered || has_new;
    if served {
        let reply = &mut ctx.reply;
        if !reply.is_resp3() {
            reply.array(2);
        }
        reply.bulk(key.name);
        match after {
            After::Id(after) => {
                write_history(reply, log, &mut group, consumer, after, now_ms, limit(options));
            }
            After::Delivered => {
                let start = group.last_id.next().unwrap_or(Id::MAX);
                let entries = log.range(start, Id::MAX).take(limit(options)).inspect(|entry| {
                    group.note_read(log, entry.id);
                    if !options.no_ack {
                        group.deliver(entry.id, Pending { consumer, delivered_at_ms: now_ms, deliveries: 1 });
                        group.set_active(consumer, now_ms);
                    }
                });
                write_entries(reply, entries);
            }
        }
    }
    note_group_change(ctx, key, new_consumer, served);
    Ok(served)
}

/// Writes what a consumer has yet to acknowledge, which counts as another delivery.
fn write_history(
    reply: &mut Reply<'_>,
    log: &Log,
    group: &mut GroupEdit<'_>,
    consumer: ConsumerId,
    after: Id,
    now_ms: i64,
    limit: usize,
) {
    let start = after.next().unwrap_or(Id::MAX);
    let ids: Vec<Id> = group.consumer(consumer).pending_from(start).take(limit).collect();
    reply.array(ids.len());
    for id in ids {
        match log.get(id) {
            Some(entry) => {
                write_entry(reply, &entry);
                if let Some(pending) = group.pending(id) {
                    let deliveries = pending.deliveries + 1;
                    group.deliver(id, Pending { consumer, delivered_at_ms: now_ms, deliveries });
                }
            }
            // It has been deleted since.
            None => {
                reply.array(2);
                write_id(reply, id);
                reply.null_array();
            }
        }
    }
}
