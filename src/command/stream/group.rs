//! XGROUP and XACK.

use super::{INVALID_ID, STREAM, id, is_byte, no_group_of_key};
use crate::command::parse::{int, is};
use crate::command::{Answer, Ctx, DONE, Error};
use crate::keyspace::{Key, Lookup};
use crate::value::journal::{Edit, GroupEdit};
use crate::value::stream::{Id, Stream};
use smallvec::SmallVec;

/// Options of CREATE and SETID.
struct Options {
    mkstream: bool,
    entries_read: Option<i64>,
}

fn options(ctx: &Ctx<'_>, creates: bool) -> Result<Options, Error> {
    let mut options = Options { mkstream: false, entries_read: None };
    let mut at = 5;
    while let Some(word) = ctx.args.get(at) {
        if creates && is(word, "mkstream") {
            options.mkstream = true;
        } else if is(word, "entriesread")
            && let Some(number) = ctx.args.get(at + 1)
        {
            options.entries_read = match int(number)? {
                -1 => None,
                number @ 0.. => Some(number),
                _ => return Err(Error::fixed("ERR value for ENTRIESREAD must be positive or -1")),
            };
            at += 1;
        } else {
            return Err(Error::subcommand_syntax(&ctx.args[0], &ctx.args[1]));
        }
        at += 1;
    }
    Ok(options)
}

/// The stream, which must exist.
fn stream<'c>(ctx: &'c mut Ctx<'_>, key: Key<'_>) -> Result<Edit<'c, Stream>, Error> {
    ctx.access.write::<Stream>(key)?.ok_or(Error::fixed(
        "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the \
         MKSTREAM option to create an empty stream automatically.",
    ))
}

/// The group, which must exist.
fn group<'s>(stream: &'s mut Edit<'_, Stream>, name: &'s [u8], key: Key<'_>) -> Result<GroupEdit<'s>, Error> {
    stream.group(name).map(|(_, group)| group).ok_or_else(|| no_group_of_key(name, key.name))
}

pub(super) fn xgroup_create(ctx: &mut Ctx<'_>) -> Answer {
    let options = options(ctx, true)?;
    let (key, name, text) = (ctx.key(0), &ctx.args[3], &ctx.args[4]);
    let last_id = match ctx.access.read::<Stream>(key, Lookup::Write)? {
        Some(stream) => Some(stream.log.last_id),
        None if options.mkstream => None,
        None => return stream(ctx, key).and(DONE),
    };
    if ctx.args.len() > 8 {
        return Err(Error::subcommand_syntax(&ctx.args[0], &ctx.args[1]));
    }
    let id = if is_byte(text, b'$') { last_id.unwrap_or(Id::MIN) } else { id(text)? };
    let new_stream = last_id.is_none();
    let mut stream = ctx.access.write_or_create::<Stream>(key)?;
    if stream.groups.contains_key(name) {
        return Err(Error::fixed("BUSYGROUP Consumer Group name already exists"));
    }
    stream.create_group(name, id, options.entries_read);
    if new_stream {
        ctx.access.edited(key, STREAM, "xgroup-create");
    } else {
        ctx.access.group_edited(key, "xgroup-create");
    }
    ctx.reply.ok();
    DONE
}

pub(super) fn xgroup_setid(ctx: &mut Ctx<'_>) -> Answer {
    let options = options(ctx, false)?;
    let args = ctx.args;
    let (key, name, text) = (ctx.key(0), &args[3], &args[4]);
    let mut stream = stream(ctx, key)?;
    let last_id = stream.log.last_id;
    let mut group = group(&mut stream, name, key)?;
    if !matches!(args.len(), 5 | 7) {
        return Err(Error::subcommand_syntax(&args[0], &args[1]));
    }
    let id = if is_byte(text, b'$') { last_id } else { Id::parse_bound(text, 0).ok_or(INVALID_ID)? };
    group.set_position(id, options.entries_read);
    ctx.access.group_edited(key, "xgroup-setid");
    ctx.reply.ok();
    DONE
}

pub(super) fn xgroup_destroy(ctx: &mut Ctx<'_>) -> Answer {
    let (key, args) = (ctx.key(0), ctx.args);
    let destroyed = stream(ctx, key)?.destroy_group(&args[3]);
    if destroyed {
        ctx.access.group_edited(key, "xgroup-destroy");
    }
    ctx.reply.int(destroyed.into());
    DONE
}

pub(super) fn xgroup_createconsumer(ctx: &mut Ctx<'_>) -> Answer {
    let (key, args, now_ms) = (ctx.key(0), ctx.args, ctx.now_ms());
    let consumer = &args[4];
    let mut stream = stream(ctx, key)?;
    let mut group = group(&mut stream, &args[3], key)?;
    let new = group.find(consumer).is_none();
    if new {
        group.add_consumer(consumer, now_ms);
        ctx.access.group_edited(key, "xgroup-createconsumer");
    }
    ctx.reply.int(new.into());
    DONE
}

pub(super) fn xgroup_delconsumer(ctx: &mut Ctx<'_>) -> Answer {
    let (key, args) = (ctx.key(0), ctx.args);
    let pending = group(&mut stream(ctx, key)?, &args[3], key)?.remove_consumer(&args[4]);
    if pending.is_some() {
        ctx.access.group_edited(key, "xgroup-delconsumer");
    }
    ctx.reply.int(pending.unwrap_or(0) as i64);
    DONE
}

pub(super) fn xgroup_help(ctx: &mut Ctx<'_>) -> Answer {
    ctx.help(&[
        "CREATE <key> <groupname> <id|$> [option]",
        "    Create a new consumer group. Options are:",
        "    * MKSTREAM",
        "      Create the empty stream if it does not exist.",
        "    * ENTRIESREAD entries_read",
        "      Set the group's entries_read counter (internal use).",
        "CREATECONSUMER <key> <groupname> <consumer>",
        "    Create a new consumer in the specified group.",
        "DELCONSUMER <key> <groupname> <consumer>",
        "    Remove the specified consumer.",
        "DESTROY <key> <groupname>",
        "    Remove the specified group.",
        "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
        "    Set the current group ID and entries_read counter.",
    ])
}

pub(super) fn xack(ctx: &mut Ctx<'_>) -> Answer {
    let (key, name) = (ctx.key(0), &ctx.args[2]);
    let there = ctx.access.read::<Stream>(key, Lookup::Read)?;
    if !there.is_some_and(|stream| stream.groups.contains_key(name)) {
        ctx.reply.int(0);
        return DONE;
    }
    let ids = ctx.args.iter().skip(3).map(id).collect::<Result<SmallVec<[Id; 8]>, Error>>()?;
    let mut stream = ctx.access.write::<Stream>(key)?;
    let group = stream.as_mut().and_then(|stream| stream.group(name));
    let acknowledged =
        group.map_or(0, |(_, mut group)| ids.iter().filter(|id| group.acknowledge(**id)).count());
    if acknowledged > 0 {
        ctx.access.group_edited(key, "");
    }
    ctx.reply.int(acknowledged as i64);
    DONE
}
