//! Keys, whatever their type.

use super::object::{
    object_encoding, object_freq, object_help, object_idletime, object_refcount, object_tier,
};
use super::parse::{database, is};
use super::row::{ArgKind, Category, Databases, Flag, Row, arg, container, key, keys_at, one_of, row, token};
use super::scan::{keys, scan};
use super::{Answer, Ctx, DONE, Error, Step, Wait};
use crate::config::NotifyFlags;
use crate::keyspace::{Key, Lookup, Scope};
use crate::memory::Entry;
use crate::number;
use crate::value::Collection;
use smallvec::smallvec;

const GENERIC: NotifyFlags = NotifyFlags::GENERIC;

fn del(ctx: &mut Ctx<'_>) -> Answer {
    let deleted = ctx.keys.iter().filter(|key| ctx.access.delete(**key, GENERIC, "del")).count();
    ctx.reply.int(deleted as i64);
    DONE
}

/// Large values are freed in the background by either command.
use self::del as unlink;

fn exists(ctx: &mut Ctx<'_>) -> Answer {
    let found = ctx.keys.iter().filter(|key| ctx.access.get(**key, Lookup::Quiet).is_some()).count();
    ctx.reply.int(found as i64);
    DONE
}

fn touch(ctx: &mut Ctx<'_>) -> Answer {
    let found = ctx.keys.iter().filter(|key| ctx.access.touch(**key)).count();
    ctx.reply.int(found as i64);
    DONE
}

fn type_of(ctx: &mut Ctx<'_>) -> Answer {
    let key = ctx.key(0);
    let name = ctx.access.get(key, Lookup::Quiet).map_or("none", |entry| type_name(&entry));
    ctx.reply.simple(name);
    DONE
}

/// The name of an entry's type.
pub(super) fn type_name(entry: &Entry) -> &'static str {
    entry.collection().map_or("string", Collection::type_name)
}

/// Puts the entry of `from` under `to`; the old one of `to` goes unseen.
fn copy_entry(ctx: &mut Ctx<'_>, from: Key<'_>, to: Key<'_>, event: &'static str) -> Result<(), Error> {
    ctx.access.log_room_to_copy(from)?;
    if let Some(mut entry) = ctx.access.copy_of(from, to.name) {
        if entry.string().is_some_and(|value| value.is_int()) {
            // Redis does not share a copied integer, and OBJECT REFCOUNT tells.
            entry.mark_edited();
        }
        ctx.access.delete(to, GENERIC, "");
        ctx.access.put_entry(to, entry, GENERIC, event);
    }
    Ok(())
}

/// Answers whether the key was renamed.
fn rename_key(ctx: &mut Ctx<'_>, only_if_absent: bool) -> Result<bool, Error> {
    let (from, to) = (ctx.key(0), ctx.key(1));
    if ctx.access.get(from, Lookup::Write).is_none() {
        return Err(Error::NO_SUCH_KEY);
    }
    if from.name == to.name {
        return Ok(!only_if_absent);
    }
    if ctx.access.get(to, Lookup::Write).is_some() && only_if_absent {
        return Ok(false);
    }
    ctx.access.log_room_to_copy(from)?;
    ctx.access.delete(to, GENERIC, "");
    move_entry(ctx, from, to, ["rename_from", "rename_to"]);
    Ok(true)
}

/// Takes the entry of `from` to `to`, which has none.
fn move_entry(ctx: &mut Ctx<'_>, from: Key<'_>, to: Key<'_>, events: [&'static str; 2]) {
    if let Some(entry) = ctx.access.take(from, GENERIC, "") {
        ctx.access.put_entry(to, entry.renamed(to.name), GENERIC, "");
        ctx.access.event(from, GENERIC, events[0]);
        ctx.access.event(to, GENERIC, events[1]);
    }
}

fn rename(ctx: &mut Ctx<'_>) -> Answer {
    rename_key(ctx, false)?;
    ctx.reply.ok();
    DONE
}

fn renamenx(ctx: &mut Ctx<'_>) -> Answer {
    let renamed = rename_key(ctx, true)?;
    ctx.reply.int(renamed.into());
    DONE
}

/// COPY's option DB, where it can be read; errors are the handler's.
const COPY_DATABASES: Databases = |args, selected| {
    let mut target = selected;
    for index in 3..args.len() {
        if is(&args[index], "db")
            && let Some(number) = args.get(index + 1).and_then(number::parse_i64)
        {
            target = usize::try_from(number).unwrap_or(selected);
        }
    }
    smallvec![(selected, 1), (target, 2)]
};

fn copy(ctx: &mut Ctx<'_>) -> Answer {
    let mut replace = false;
    let mut at = 3;
    while let Some(word) = ctx.args.get(at) {
        if is(word, "replace") {
            replace = true;
        } else if is(word, "db")
            && let Some(number) = ctx.args.get(at + 1)
        {
            database(number, ctx.access.space().database_count(), Error::NOT_AN_INTEGER)?;
            at += 1;
        } else {
            return Err(Error::SYNTAX);
        }
        at += 1;
    }
    let (from, to) = (ctx.key(0), ctx.key(1));
    if from.database == to.database && from.name == to.name {
        return Err(Error::SAME_OBJECT);
    }
    let copied = ctx.access.get(from, Lookup::Read).is_some()
        && (ctx.access.get(to, Lookup::Write).is_none() || replace);
    if copied {
        copy_entry(ctx, from, to, "copy_to")?;
    }
    ctx.reply.int(copied.into());
    DONE
}

/// The key in both databases, where the second can be read; errors are the handler's.
const MOVE_DATABASES: Databases = |args, selected| {
    let target = args.get(2).and_then(number::parse_i64).and_then(|number| usize::try_from(number).ok());
    smallvec![(selected, 1), (target.unwrap_or(selected), 1)]
};

fn move_key(ctx: &mut Ctx<'_>) -> Answer {
    let count = ctx.access.space().database_count();
    let target = database(&ctx.args[2], count, Error::NOT_AN_INTEGER)?;
    if target == ctx.state.database {
        return Err(Error::SAME_OBJECT);
    }
    let (from, to) = (ctx.key(0), ctx.key(1));
    let moved = ctx.access.get(from, Lookup::Write).is_some() && ctx.access.get(to, Lookup::Write).is_none();
    if moved {
        ctx.access.log_room_to_copy(from)?;
        move_entry(ctx, from, to, ["move_from", "move_to"]);
    }
    ctx.reply.int(moved.into());
    DONE
}

fn randomkey(ctx: &mut Ctx<'_>) -> Answer {
    match ctx.access.random_key(ctx.state.database) {
        Some(key) => ctx.reply.bulk(&key),
        None => ctx.reply.null(),
    }
    DONE
}

fn dbsize(ctx: &mut Ctx<'_>) -> Answer {
    let keys = ctx.access.len(ctx.state.database);
    ctx.reply.int(keys as i64);
    DONE
}

/// Empties databases at once. With SYNC the reply waits until their memory is freed.
fn flush(ctx: &mut Ctx<'_>, databases: impl Iterator<Item = usize>) -> Answer {
    let wait = match ctx.args.get(1) {
        None => !ctx.settings.lazyfree_lazy_user_flush,
        Some(word) if is(word, "sync") => true,
        Some(word) if is(word, "async") => false,
        Some(_) => return Err(Error::SYNTAX),
    };
    if ctx.args.len() > 2 {
        return Err(Error::SYNTAX);
    }
    let freed = databases.map(|number| ctx.access.flush(number)).last();
    ctx.reply.ok();
    match freed {
        // The reclaimer frees in order: the last is done when all are.
        Some(freed) if wait => Ok(Step::Wait(Box::new(Wait::Freed(freed)))),
        _ => DONE,
    }
}

fn flushdb(ctx: &mut Ctx<'_>) -> Answer {
    let selected = ctx.state.database;
    flush(ctx, std::iter::once(selected))
}

fn flushall(ctx: &mut Ctx<'_>) -> Answer {
    let used: Vec<_> = ctx.access.space().databases_in_use().iter().map(|(number, _)| *number).collect();
    let step = flush(ctx, used.into_iter())?;
    if !ctx.settings.save.points().is_empty() {
        // Or a crash would bring all of it back.
        ctx.services.saves.schedule();
    }
    Ok(step)
}

fn swapdb(ctx: &mut Ctx<'_>) -> Answer {
    let space = ctx.access.space();
    let number = |index: usize, text| {
        number::parse_i64(&ctx.args[index])
            .filter(|number| i32::try_from(*number).is_ok())
            .ok_or(Error::fixed(text))
    };
    let one = number(1, "ERR invalid first DB index")?;
    let other = number(2, "ERR invalid second DB index")?;
    let within = |number: i64| usize::try_from(number).ok().filter(|n| *n < space.database_count());
    let (Some(one), Some(other)) = (within(one), within(other)) else { return Err(Error::INVALID_DB) };
    ctx.access.swap(one, other);
    ctx.reply.ok();
    DONE
}

/// The rows of this family.
pub const ROWS: &[Row] = &[
    row("del", -2, "generic", del)
        .flags(&[Flag::Write])
        .acl(&[Category::Keyspace])
        .keys(&[keys_at(1, -1, 1, &["RM", "delete"])])
        .docs("Deletes one or more keys.", "1.0.0")
        .complexity("O(N) where N is the number of keys that will be removed. When a key to remove holds a value other than a string, the individual complexity for this key is O(M) where M is the number of elements in the list, set, sorted set or hash. Removing a single key that holds a string value is O(1).")
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .args(&[key("key", 0).multiple()]),
    row("unlink", -2, "generic", unlink)
        .flags(&[Flag::Write, Flag::Fast])
        .acl(&[Category::Keyspace])
        .keys(&[keys_at(1, -1, 1, &["RM", "delete"])])
        .docs("Asynchronously deletes one or more keys.", "4.0.0")
        .complexity("O(1) for each key removed regardless of its size. Then the command does O(N) work in a different thread in order to reclaim memory, where N is the number of allocations the deleted objects where composed of.")
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .args(&[key("key", 0).multiple()]),
    row("exists", -2, "generic", exists)
        .flags(&[Flag::Readonly, Flag::Fast])
        .acl(&[Category::Keyspace])
        .keys(&[keys_at(1, -1, 1, &["RO"])])
        .docs("Determines whether one or more keys exist.", "1.0.0")
        .complexity("O(N) where N is the number of keys to check.")
        .history(&[("3.0.3", "Accepts multiple `key` arguments.")])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .args(&[key("key", 0).multiple()]),
    row("type", 2, "generic", type_of)
        .flags(&[Flag::Readonly, Flag::Fast])
        .acl(&[Category::Keyspace])
        .keys(&[keys_at(1, 0, 1, &["RO"])])
        .docs("Determines the type of value stored at a key.", "1.0.0")
        .complexity("O(1)")
        .args(&[key("key", 0)]),
    row("rename", 3, "generic", rename)
        .flags(&[Flag::Write])
        .acl(&[Category::Keyspace])
        .keys(&[keys_at(1, 0, 1, &["RW", "access", "delete"]), keys_at(2, 0, 1, &["OW", "update"])])
        .docs("Renames a key and overwrites the destination.", "1.0.0")
        .complexity("O(1)")
        .args(&[key("key", 0), key("newkey", 1)]),
    row("renamenx", 3, "generic", renamenx)
        .flags(&[Flag::Write, Flag::Fast])
        .acl(&[Category::Keyspace])
        .keys(&[keys_at(1, 0, 1, &["RW", "access", "delete"]), keys_at(2, 0, 1, &["OW", "insert"])])
        .docs("Renames a key only when the target key name doesn't exist.", "1.0.0")
        .complexity("O(1)")
        .history(&[
            ("3.2.0", "The command no longer returns an error when source and destination names are the same."),
        ])
        .args(&[key("key", 0), key("newkey", 1)]),
    row("copy", -3, "generic", copy)
        .databases(COPY_DATABASES)
        .flags(&[Flag::Write, Flag::DenyOom])
        .acl(&[Category::Keyspace])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"]), keys_at(2, 0, 1, &["OW", "update"])])
        .docs("Copies the value of a key to a new key.", "6.2.0")
        .complexity("O(N) worst case for collections, where N is the number of nested items. O(1) for string values.")
        .args(&[
            key("source", 0),
            key("destination", 1),
            arg("destination-db", ArgKind::Integer).token("DB").optional(),
            token("replace", "REPLACE").optional(),
        ]),
    row("move", 3, "generic", move_key)
        .databases(MOVE_DATABASES)
        .flags(&[Flag::Write, Flag::Fast])
        .acl(&[Category::Keyspace])
        .keys(&[keys_at(1, 0, 1, &["RW", "access", "update"])])
        .docs("Moves a key to another database.", "1.0.0")
        .complexity("O(1)")
        .args(&[key("key", 0), arg("db", ArgKind::Integer)]),
    row("touch", -2, "generic", touch)
        .flags(&[Flag::Readonly, Flag::Fast])
        .acl(&[Category::Keyspace])
        .keys(&[keys_at(1, -1, 1, &["RO"])])
        .docs("Returns the number of existing keys out of those specified after updating the time they were last accessed.", "3.2.1")
        .complexity("O(N) where N is the number of keys that will be touched.")
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .args(&[key("key", 0).multiple()]),
    row("randomkey", 1, "generic", randomkey)
        .flags(&[Flag::Readonly, Flag::TouchesArbitraryKeys])
        .scope(|_| Scope::Walk)
        .acl(&[Category::Keyspace])
        .docs("Returns a random key name from the database.", "1.0.0")
        .complexity("O(1)")
        .tips(&["request_policy:all_shards", "response_policy:special", "nondeterministic_output"]),
    row("keys", 2, "generic", keys)
        .flags(&[Flag::Readonly])
        .scope(|_| Scope::Walk)
        .acl(&[Category::Keyspace, Category::Dangerous])
        .docs("Returns all key names that match a pattern.", "1.0.0")
        .complexity("O(N) with N being the number of keys in the database, under the assumption that the key names in the database and the given pattern have limited length.")
        .tips(&["request_policy:all_shards", "nondeterministic_output_order"])
        .args(&[arg("pattern", ArgKind::Pattern)]),
    row("scan", -2, "generic", scan)
        .flags(&[Flag::Readonly, Flag::TouchesArbitraryKeys])
        .scope(|_| Scope::Walk)
        .acl(&[Category::Keyspace])
        .docs("Iterates over the key names in the database.", "2.8.0")
        .complexity("O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to return back to 0. N is the number of elements inside the collection.")
        .history(&[("6.0.0", "Added the `TYPE` subcommand.")])
        .tips(&["nondeterministic_output", "request_policy:special", "response_policy:special"])
        .args(&[
            arg("cursor", ArgKind::Integer),
            arg("pattern", ArgKind::Pattern).token("MATCH").optional(),
            arg("count", ArgKind::Integer).token("COUNT").optional(),
            arg("type", ArgKind::String).token("TYPE").since("6.0.0").optional(),
        ]),
    container("object", -2, "generic", &[
        row("encoding", 3, "generic", object_encoding)
            .flags(&[Flag::Readonly])
            .acl(&[Category::Keyspace])
            .keys(&[keys_at(2, 0, 1, &["RO"])])
            .docs("Returns the internal encoding of a Redis object.", "2.2.3")
            .complexity("O(1)")
            .tips(&["nondeterministic_output"])
            .args(&[key("key", 0)]),
        row("freq", 3, "generic", object_freq)
            .flags(&[Flag::Readonly])
            .acl(&[Category::Keyspace])
            .keys(&[keys_at(2, 0, 1, &["RO"])])
            .docs("Returns the logarithmic access frequency counter of a Redis object.", "4.0.0")
            .complexity("O(1)")
            .tips(&["nondeterministic_output"])
            .args(&[key("key", 0)]),
        row("help", 2, "generic", object_help)
            .flags(&[Flag::Loading, Flag::Stale])
            .acl(&[Category::Keyspace])
            .docs("Returns helpful text about the different subcommands.", "6.2.0")
            .complexity("O(1)"),
        row("idletime", 3, "generic", object_idletime)
            .flags(&[Flag::Readonly])
            .acl(&[Category::Keyspace])
            .keys(&[keys_at(2, 0, 1, &["RO"])])
            .docs("Returns the time since the last access to a Redis object.", "2.2.3")
            .complexity("O(1)")
            .tips(&["nondeterministic_output"])
            .args(&[key("key", 0)]),
        row("refcount", 3, "generic", object_refcount)
            .flags(&[Flag::Readonly])
            .acl(&[Category::Keyspace])
            .keys(&[keys_at(2, 0, 1, &["RO"])])
            .docs("Returns the reference count of a value of a key.", "2.2.3")
            .complexity("O(1)")
            .tips(&["nondeterministic_output"])
            .args(&[key("key", 0)]),
        row("tier", 3, "generic", object_tier)
            .flags(&[Flag::Readonly])
            .acl(&[Category::Keyspace])
            .keys(&[keys_at(2, 0, 1, &["RO"])])
            .docs("Returns whether the value of a key is in memory or on disk.", "7.4.0")
            .complexity("O(1)")
            .tips(&["nondeterministic_output"])
            .args(&[key("key", 0)]),
    ])
        .docs("A container for object introspection commands.", "2.2.3")
        .complexity("Depends on subcommand."),
    row("dbsize", 1, "server", dbsize)
        .flags(&[Flag::Readonly, Flag::Fast])
        .scope(|_| Scope::Walk)
        .acl(&[Category::Keyspace])
        .docs("Returns the number of keys in the database.", "1.0.0")
        .complexity("O(1)")
        .tips(&["request_policy:all_shards", "response_policy:agg_sum"]),
    row("flushdb", -1, "server", flushdb)
        .flags(&[Flag::Write])
        .scope(|_| Scope::Walk)
        .acl(&[Category::Keyspace, Category::Dangerous])
        .docs("Remove all keys from the current database.", "1.0.0")
        .complexity("O(N) where N is the number of keys in the selected database")
        .history(&[
            ("4.0.0", "Added the `ASYNC` flushing mode modifier."),
            ("6.2.0", "Added the `SYNC` flushing mode modifier."),
        ])
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .args(&[
            one_of("flush-type", &[token("async", "ASYNC").since("4.0.0"), token("sync", "SYNC").since("6.2.0")]).optional(),
        ]),
    row("flushall", -1, "server", flushall)
        .flags(&[Flag::Write])
        .scope(|_| Scope::WalkAll)
        .acl(&[Category::Keyspace, Category::Dangerous])
        .docs("Removes all keys from all databases.", "1.0.0")
        .complexity("O(N) where N is the total number of keys in all databases")
        .history(&[
            ("4.0.0", "Added the `ASYNC` flushing mode modifier."),
            ("6.2.0", "Added the `SYNC` flushing mode modifier."),
        ])
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .args(&[
            one_of("flush-type", &[token("async", "ASYNC").since("4.0.0"), token("sync", "SYNC").since("6.2.0")]).optional(),
        ]),
    row("swapdb", 3, "server", swapdb)
        .flags(&[Flag::Write, Flag::Fast])
        .scope(|_| Scope::WalkAll)
        .acl(&[Category::Keyspace, Category::Dangerous])
        .docs("Swaps two Redis databases.", "4.0.0")
        .complexity("O(N) where N is the count of clients watching or blocking on keys from both databases.")
        .args(&[arg("index1", ArgKind::Integer), arg("index2", ArgKind::Integer)]),
];
