//! Sets.

use super::parse::{int_or, is};
use super::row::{ArgKind, Category, Flag, Row, arg, key, keys_at, keys_counted, row};
use super::sample::{self, Sample};
use super::scan::{ScanOf, scan_collection};
use super::{Answer, Ctx, DONE, Error};
use crate::config::{NotifyFlags, Settings};
use crate::keyspace::{Expiry, Key, Lookup};
use crate::number;
use crate::value::PackLimits;
use crate::value::listpack::Listpack;
use crate::value::set::{Set, SetLimits};
use std::collections::HashSet;

const SET: NotifyFlags = NotifyFlags::SET;

/// Up to where sets stay compact.
pub(super) fn limits(settings: &Settings) -> SetLimits {
    SetLimits {
        ints: settings.set_max_intset_entries,
        pack: PackLimits {
            entries: settings.set_max_listpack_entries,
            value_bytes: settings.set_max_listpack_value,
        },
    }
}

fn sadd(ctx: &mut Ctx<'_>) -> Answer {
    let (key, args, limits) = (ctx.key(0), ctx.args, limits(ctx.settings));
    let mut set = ctx.access.write_or_create::<Set>(key)?;
    set.expect_members(&args[2], args.len() - 2, &limits);
    let added = args.from(2).iter().filter(|member| set.add(member, &limits)).count();
    if added > 0 {
        ctx.access.edited(key, SET, "sadd");
    }
    ctx.reply.int(added as i64);
    DONE
}

fn srem(ctx: &mut Ctx<'_>) -> Answer {
    let (key, args) = (ctx.key(0), ctx.args);
    let removed = match ctx.access.write::<Set>(key)? {
        Some(mut set) => args.from(2).iter().filter(|member| set.remove(member)).count(),
        None => 0,
    };
    if removed > 0 {
        ctx.access.edited(key, SET, "srem");
        ctx.access.remove_if_empty(key);
    }
    ctx.reply.int(removed as i64);
    DONE
}

fn smove(ctx: &mut Ctx<'_>) -> Answer {
    let (from, to, args, limits) = (ctx.key(0), ctx.key(1), ctx.args, limits(ctx.settings));
    let Some(source) = ctx.access.write::<Set>(from)? else {
        ctx.reply.int(0);
        return DONE;
    };
    let there = source.contains(&args[3]);
    ctx.access.write::<Set>(to)?;
    if from.name == to.name || !there {
        ctx.reply.int(there.into());
        return DONE;
    }
    if let Some(mut source) = ctx.access.write::<Set>(from)? {
        source.remove(&args[3]);
    }
    ctx.access.edited(from, SET, "srem");
    ctx.access.remove_if_empty(from);
    let mut target = ctx.access.write_or_create::<Set>(to)?;
    if target.add(&args[3], &limits) {
        ctx.access.edited(to, SET, "sadd");
    }
    ctx.reply.int(1);
    DONE
}

fn sismember(ctx: &mut Ctx<'_>) -> Answer {
    let key = ctx.key(0);
    let set = ctx.access.read::<Set>(key, Lookup::Read)?;
    ctx.reply.int(set.is_some_and(|set| set.contains(&ctx.args[2])).into());
    DONE
}

fn smismember(ctx: &mut Ctx<'_>) -> Answer {
    let key = ctx.key(0);
    let set = ctx.access.read::<Set>(key, Lookup::Read)?;
    ctx.reply.array(ctx.args.len() - 2);
    for member in ctx.args.from(2).iter() {
        ctx.reply.int(set.is_some_and(|set| set.contains(member)).into());
    }
    DONE
}

fn scard(ctx: &mut Ctx<'_>) -> Answer {
    let key = ctx.key(0);
    let len = ctx.access.read::<Set>(key, Lookup::Read)?.map_or(0, Set::len);
    ctx.reply.int(len as i64);
    DONE
}

fn smembers(ctx: &mut Ctx<'_>) -> Answer {
    let key = ctx.key(0);
    let set = ctx.access.read::<Set>(key, Lookup::Read)?;
    ctx.reply.set(set.map_or(0, Set::len));
    if let Some(set) = set {
        set.for_each(|member| ctx.reply.bulk(member));
    }
    DONE
}

fn members(set: &Set) -> Vec<Vec<u8>> {
    let mut members = Vec::with_capacity(set.len());
    set.for_each(|member| members.push(member.to_vec()));
    members
}

fn srandmember(ctx: &mut Ctx<'_>) -> Answer {
    let key = ctx.key(0);
    let mut random = ctx.access.random_source();
    let Some(count) = ctx.args.get(2) else {
        let set = ctx.access.read::<Set>(key, Lookup::Read)?;
        match set.and_then(|set| set.random(|| random.next())) {
            Some(member) => ctx.reply.bulk(&member),
            None => ctx.reply.null(),
        }
        return DONE;
    };
    if ctx.args.len() > 3 {
        return Err(Error::SYNTAX);
    }
    let count = sample::count(count)?;
    let Some(set) = ctx.access.read::<Set>(key, Lookup::Read)? else {
        ctx.reply.array(0);
        return DONE;
    };
    let mut other = random.fork();
    let one = || set.random(|| other.next());
    let picked = Sample::new(count, set.len()).pick(set.len(), || members(set), one, || random.next());
    ctx.reply.bulks(&picked);
    DONE
}

fn spop(ctx: &mut Ctx<'_>) -> Answer {
    let key = ctx.key(0);
    let mut random = ctx.access.random_source();
    if ctx.args.len() > 3 {
        return Err(Error::SYNTAX);
    }
    let count = match ctx.args.get(2) {
        Some(count) => {
            let text = "ERR value is out of range, must be positive";
            Some(usize::try_from(int_or(count, text)?).map_err(|_| Error::fixed(text))?)
        }
        None => None,
    };
    ctx.access.log_room_to_name(key, count.unwrap_or(1))?;
    let Some(mut set) = ctx.access.write::<Set>(key)? else {
        match count {
            Some(_) => ctx.reply.set(0),
            None => ctx.reply.null(),
        }
        return DONE;
    };
    let wanted = count.unwrap_or(1).min(set.len());
    if count.is_some() {
        ctx.reply.set(wanted);
    }
    if wanted == set.len() && wanted > 1 {
        set.for_each(|member| ctx.reply.bulk(member));
        ctx.access.event(key, SET, "spop");
        ctx.access.delete(key, NotifyFlags::GENERIC, "del");
        return DONE;
    }
    for _ in 0..wanted {
        let Some(member) = set.take_random(|| random.next()) else { break };
        ctx.reply.bulk(&member);
    }
    let empty = set.is_empty();
    if wanted > 0 {
        ctx.access.edited(key, SET, "spop");
        if empty {
            ctx.access.remove_if_empty(key);
        }
    }
    DONE
}

/// What SINTER, SUNION and SDIFF have in common.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Intersection,
    Union,
    Difference,
}

/// Checks that every key holds a set or nothing; answers which are there, and how large.
fn sizes(ctx: &mut Ctx<'_>, keys: &[Key<'_>], lookup: Lookup) -> Result<Vec<usize>, Error> {
    keys.iter().map(|key| Ok(ctx.access.read::<Set>(*key, lookup)?.map_or(0, Set::len))).collect()
}

/// The result of an operation on the sets of `keys`, at most `limit` members of it.
fn combine(
    ctx: &mut Ctx<'_>,
    keys: &[Key<'_>],
    operation: Operation,
    limit: usize,
) -> Result<Vec<Vec<u8>>, Error> {
    let sizes = sizes(ctx, keys, Lookup::Read)?;
    let contains = |ctx: &mut Ctx<'_>, key: Key<'_>, member: &[u8]| {
        let set = ctx.access.read::<Set>(key, Lookup::Silent);
        set.ok().flatten().is_some_and(|set| set.contains(member))
    };
    let all = |ctx: &mut Ctx<'_>, key: Key<'_>| -> Result<Vec<Vec<u8>>, Error> {
        Ok(ctx.access.read::<Set>(key, Lookup::Silent)?.map(members).unwrap_or_default())
    };
    match operation {
        Operation::Intersection => {
            let mut order: Vec<usize> = (0..keys.len()).collect();
            order.sort_by_key(|index| sizes[*index]);
            let Some((smallest, others)) = order.split_first() else { return Ok(Vec::new()) };
            if sizes[*smallest] == 0 {
                return Ok(Vec::new());
            }
            let mut found = Vec::new();
            for member in all(ctx, keys[*smallest])? {
                if found.len() == limit {
                    break;
                }
                if others.iter().all(|other| contains(ctx, keys[*other], &member)) {
                    found.push(member);
                }
            }
            Ok(found)
        }
        Operation::Union => {
            let (mut seen, mut found) = (HashSet::new(), Vec::new());
            for key in keys {
                for member in all(ctx, *key)? {
                    if !seen.contains(&member) {
                        seen.insert(member.clone());
                        found.push(member);
                    }
                }
            }
            Ok(found)
        }
        Operation::Difference => {
            let Some((first, others)) = keys.split_first() else { return Ok(Vec::new()) };
            if others.iter().any(|other| other.name == first.name) {
                return Ok(Vec::new());
            }
            let mut found = all(ctx, *first)?;
            found.retain(|member| !others.iter().any(|other| contains(ctx, *other, member)));
            Ok(found)
        }
    }
}

fn reply_combined(ctx: &mut Ctx<'_>, operation: Operation) -> Answer {
    let found = combine(ctx, ctx.keys, operation, usize::MAX)?;
    ctx.reply.set(found.len());
    found.iter().for_each(|member| ctx.reply.bulk(member));
    DONE
}

fn store_combined(ctx: &mut Ctx<'_>, operation: Operation, event: &'static str) -> Answer {
    let target = ctx.key(0);
    let found = combine(ctx, &ctx.keys[1..], operation, usize::MAX)?;
    store(ctx, target, &found, event)?;
    ctx.reply.int(found.len() as i64);
    DONE
}

/// Puts a set of different members under a key; an empty one removes it.
pub(super) fn store(
    ctx: &mut Ctx<'_>,
    target: Key<'_>,
    found: &[Vec<u8>],
    event: &'static str,
) -> Result<(), Error> {
    let limits = limits(ctx.settings);
    if found.is_empty() {
        ctx.access.delete(target, NotifyFlags::GENERIC, "del");
        return Ok(());
    }
    // An intersection is made in a pack, and becomes a set of integers only in the end.
    let is_ints =
        || found.len() <= limits.ints && found.iter().all(|member| number::parse_i64(member).is_some());
    let mut set = match event {
        "sinterstore" if !is_ints() => Set::Packed(Listpack::new()),
        _ => Set::default(),
    };
    for member in found {
        set.add(member, &limits);
    }
    let set = crate::value::Collection::Set(set);
    ctx.access.log_room_for(&set)?;
    ctx.access.put(target, set, Expiry::Clear, SET, event);
    Ok(())
}

fn sinter(ctx: &mut Ctx<'_>) -> Answer {
    reply_combined(ctx, Operation::Intersection)
}

fn sunion(ctx: &mut Ctx<'_>) -> Answer {
    reply_combined(ctx, Operation::Union)
}

fn sdiff(ctx: &mut Ctx<'_>) -> Answer {
    reply_combined(ctx, Operation::Difference)
}

fn sinterstore(ctx: &mut Ctx<'_>) -> Answer {
    store_combined(ctx, Operation::Intersection, "sinterstore")
}

fn sunionstore(ctx: &mut Ctx<'_>) -> Answer {
    store_combined(ctx, Operation::Union, "sunionstore")
}

fn sdiffstore(ctx: &mut Ctx<'_>) -> Answer {
    store_combined(ctx, Operation::Difference, "sdiffstore")
}

fn sintercard(ctx: &mut Ctx<'_>) -> Answer {
    let count = int_or(&ctx.args[1], "ERR numkeys should be greater than 0")?;
    if count <= 0 {
        return Err(Error::fixed("ERR numkeys should be greater than 0"));
    }
    if count > ctx.args.len() as i64 - 2 {
        return Err(Error::fixed("ERR Number of keys can't be greater than number of args"));
    }
    let (mut at, mut limit) = (2 + count as usize, 0);
    while let Some(word) = ctx.args.get(at) {
        let Some(number) = ctx.args.get(at + 1).filter(|_| is(word, "limit")) else {
            return Err(Error::SYNTAX);
        };
        limit = int_or(number, "ERR LIMIT can't be negative")?;
        if limit < 0 {
            return Err(Error::fixed("ERR LIMIT can't be negative"));
        }
        at += 2;
    }
    let limit = if limit == 0 { usize::MAX } else { limit as usize };
    let found = combine(ctx, ctx.keys, Operation::Intersection, limit)?;
    ctx.reply.int(found.len() as i64);
    DONE
}

fn sscan(ctx: &mut Ctx<'_>) -> Answer {
    scan_collection(ctx, ScanOf::Set)
}

/// The rows of this family.
pub const ROWS: &[Row] = &[
    row("sadd", -3, "set", sadd)
        .flags(&[Flag::Write, Flag::DenyOom, Flag::Fast])
        .acl(&[Category::Set])
        .keys(&[keys_at(1, 0, 1, &["RW", "insert"])])
        .docs("Adds one or more members to a set. Creates the key if it doesn't exist.", "1.0.0")
        .complexity("O(1) for each element added, so O(N) to add N elements when the command is called with multiple arguments.")
        .history(&[("2.4.0", "Accepts multiple `member` arguments.")])
        .args(&[key("key", 0), arg("member", ArgKind::String).multiple()]),
    row("scard", 2, "set", scard)
        .flags(&[Flag::Readonly, Flag::Fast])
        .acl(&[Category::Set])
        .keys(&[keys_at(1, 0, 1, &["RO"])])
        .docs("Returns the number of members in a set.", "1.0.0")
        .complexity("O(1)")
        .args(&[key("key", 0)]),
    row("sdiff", -2, "set", sdiff)
        .flags(&[Flag::Readonly])
        .acl(&[Category::Set])
        .keys(&[keys_at(1, -1, 1, &["RO", "access"])])
        .docs("Returns the difference of multiple sets.", "1.0.0")
        .complexity("O(N) where N is the total number of elements in all given sets.")
        .tips(&["nondeterministic_output_order"])
        .args(&[key("key", 0).multiple()]),
    row("sdiffstore", -3, "set", sdiffstore)
        .flags(&[Flag::Write, Flag::DenyOom])
        .acl(&[Category::Set])
        .keys(&[keys_at(1, 0, 1, &["OW", "update"]), keys_at(2, -1, 1, &["RO", "access"])])
        .docs("Stores the difference of multiple sets in a key.", "1.0.0")
        .complexity("O(N) where N is the total number of elements in all given sets.")
        .args(&[key("destination", 0), key("key", 1).multiple()]),
    row("sinter", -2, "set", sinter)
        .flags(&[Flag::Readonly])
        .acl(&[Category::Set])
        .keys(&[keys_at(1, -1, 1, &["RO", "access"])])
        .docs("Returns the intersect of multiple sets.", "1.0.0")
        .complexity("O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets.")
        .tips(&["nondeterministic_output_order"])
        .args(&[key("key", 0).multiple()]),
    row("sintercard", -3, "set", sintercard)
        .flags(&[Flag::Readonly])
        .acl(&[Category::Set])
        .keys(&[keys_counted(1, 0, 1, 1, &["RO", "access"])])
        .docs("Returns the number of members of the intersect of multiple sets.", "7.0.0")
        .complexity("O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets.")
        .args(&[
            arg("numkeys", ArgKind::Integer),
            key("key", 0).multiple(),
            arg("limit", ArgKind::Integer).token("LIMIT").optional(),
        ]),
    row("sinterstore", -3, "set", sinterstore)
        .flags(&[Flag::Write, Flag::DenyOom])
        .acl(&[Category::Set])
        .keys(&[keys_at(1, 0, 1, &["OW", "update"]), keys_at(2, -1, 1, &["RO", "access"])])
        .docs("Stores the intersect of multiple sets in a key.", "1.0.0")
        .complexity("O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets.")
        .args(&[key("destination", 0), key("key", 1).multiple()]),
    row("sismember", 3, "set", sismember)
        .flags(&[Flag::Readonly, Flag::Fast])
        .acl(&[Category::Set])
        .keys(&[keys_at(1, 0, 1, &["RO"])])
        .docs("Determines whether a member belongs to a set.", "1.0.0")
        .complexity("O(1)")
        .args(&[key("key", 0), arg("member", ArgKind::String)]),
    row("smembers", 2, "set", smembers)
        .flags(&[Flag::Readonly])
        .acl(&[Category::Set])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns all members of a set.", "1.0.0")
        .complexity("O(N) where N is the set cardinality.")
        .tips(&["nondeterministic_output_order"])
        .args(&[key("key", 0)]),
    row("smismember", -3, "set", smismember)
        .flags(&[Flag::Readonly, Flag::Fast])
        .acl(&[Category::Set])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Determines whether multiple members belong to a set.", "6.2.0")
        .complexity("O(N) where N is the number of elements being checked for membership")
        .args(&[key("key", 0), arg("member", ArgKind::String).multiple()]),
    row("smove", 4, "set", smove)
        .flags(&[Flag::Write, Flag::Fast])
        .acl(&[Category::Set])
        .keys(&[keys_at(1, 0, 1, &["RW", "access", "delete"]), keys_at(2, 0, 1, &["RW", "insert"])])
        .docs("Moves a member from one set to another.", "1.0.0")
        .complexity("O(1)")
        .args(&[key("source", 0), key("destination", 1), arg("member", ArgKind::String)]),
    row("spop", -2, "set", spop)
        .flags(&[Flag::Write, Flag::Fast])
        .acl(&[Category::Set])
        .keys(&[keys_at(1, 0, 1, &["RW", "access", "delete"])])
        .docs("Returns one or more random members from a set after removing them. Deletes the set if the last member was popped.", "1.0.0")
        .complexity("Without the count argument O(1), otherwise O(N) where N is the value of the passed count.")
        .history(&[("3.2.0", "Added the `count` argument.")])
        .tips(&["nondeterministic_output"])
        .args(&[key("key", 0), arg("count", ArgKind::Integer).since("3.2.0").optional()]),
    row("srandmember", -2, "set", srandmember)
        .flags(&[Flag::Readonly])
        .acl(&[Category::Set])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Get one or multiple random members from a set", "1.0.0")
        .complexity("Without the count argument O(1), otherwise O(N) where N is the absolute value of the passed count.")
        .history(&[("2.6.0", "Added the optional `count` argument.")])
        .tips(&["nondeterministic_output"])
        .args(&[key("key", 0), arg("count", ArgKind::Integer).since("2.6.0").optional()]),
    row("srem", -3, "set", srem)
        .flags(&[Flag::Write, Flag::Fast])
        .acl(&[Category::Set])
        .keys(&[keys_at(1, 0, 1, &["RW", "delete"])])
        .docs("Removes one or more members from a set. Deletes the set if the last member was removed.", "1.0.0")
        .complexity("O(N) where N is the number of members to be removed.")
        .history(&[("2.4.0", "Accepts multiple `member` arguments.")])
        .args(&[key("key", 0), arg("member", ArgKind::String).multiple()]),
    row("sscan", -3, "set", sscan)
        .flags(&[Flag::Readonly])
        .acl(&[Category::Set])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Iterates over members of a set.", "2.8.0")
        .complexity("O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to return back to 0. N is the number of elements inside the collection.")
        .tips(&["nondeterministic_output"])
        .args(&[
            key("key", 0),
            arg("cursor", ArgKind::Integer),
            arg("pattern", ArgKind::Pattern).token("MATCH").optional(),
            arg("count", ArgKind::Integer).token("COUNT").optional(),
        ]),
    row("sunion", -2, "set", sunion)
        .flags(&[Flag::Readonly])
        .acl(&[Category::Set])
        .keys(&[keys_at(1, -1, 1, &["RO", "access"])])
        .docs("Returns the union of multiple sets.", "1.0.0")
        .complexity("O(N) where N is the total number of elements in all given sets.")
        .tips(&["nondeterministic_output_order"])
        .args(&[key("key", 0).multiple()]),
    row("sunionstore", -3, "set", sunionstore)
        .flags(&[Flag::Write, Flag::DenyOom])
        .acl(&[Category::Set])
        .keys(&[keys_at(1, 0, 1, &["OW", "update"]), keys_at(2, -1, 1, &["RO", "access"])])
        .docs("Stores the union of multiple sets in a key.", "1.0.0")
        .complexity("O(N) where N is the total number of elements in all given sets.")
        .args(&[key("destination", 0), key("key", 1).multiple()]),
];
