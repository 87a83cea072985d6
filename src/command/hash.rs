//! Hashes: fields and values.

use super::parse::{int, is};
use super::row::{ArgKind, Category, Flag, Row, arg, block, key, keys_at, row, token};
use super::sample::{self, Sample};
use super::scan::{ScanOf, scan_collection};
use super::{Answer, Ctx, DONE, Error};
use crate::config::{NotifyFlags, Settings};
use crate::keyspace::Lookup;
use crate::number::{self, LongDouble};
use crate::value::PackLimits;
use crate::value::hash::Hash;

const HASH: NotifyFlags = NotifyFlags::HASH;

/// Up to where hashes stay packed.
pub(super) fn limits(settings: &Settings) -> PackLimits {
    PackLimits { entries: settings.hash_max_listpack_entries, value_bytes: settings.hash_max_listpack_value }
}

/// Sets all pairs; answers how many fields are new.
fn set_pairs(ctx: &mut Ctx<'_>, name: &str) -> Result<i64, Error> {
    if !ctx.args.len().is_multiple_of(2) {
        return Err(Error::arity(name));
    }
    let (key, args, limits) = (ctx.key(0), ctx.args, limits(ctx.settings));
    let mut hash = ctx.access.write_or_create::<Hash>(key)?;
    let mut new = 0;
    for at in (2..args.len()).step_by(2) {
        new += i64::from(hash.set(&args[at], &args[at + 1], &limits));
    }
    ctx.access.edited(key, HASH, "hset");
    Ok(new)
}

fn hset(ctx: &mut Ctx<'_>) -> Answer {
    let new = set_pairs(ctx, "hset")?;
    ctx.reply.int(new);
    DONE
}

fn hmset(ctx: &mut Ctx<'_>) -> Answer {
    set_pairs(ctx, "hmset")?;
    ctx.reply.ok();
    DONE
}

fn hsetnx(ctx: &mut Ctx<'_>) -> Answer {
    let (key, args, limits, now_ms) = (ctx.key(0), ctx.args, limits(ctx.settings), ctx.now_ms());
    let exists = ctx.access.write::<Hash>(key)?.is_some_and(|hash| hash.get(&args[2], now_ms).is_some());
    if !exists {
        ctx.access.write_or_create::<Hash>(key)?.set(&args[2], &args[3], &limits);
        ctx.access.edited(key, HASH, "hset");
    }
    ctx.reply.int((!exists).into());
    DONE
}

fn hget(ctx: &mut Ctx<'_>) -> Answer {
    let (key, now_ms) = (ctx.key(0), ctx.now_ms());
    let hash = ctx.access.read::<Hash>(key, Lookup::Read)?;
    match hash.and_then(|hash| hash.get(&ctx.args[2], now_ms)) {
        Some(value) => value.with(|text| ctx.reply.bulk(text)),
        None => ctx.reply.null(),
    }
    DONE
}

fn hmget(ctx: &mut Ctx<'_>) -> Answer {
    let (key, now_ms) = (ctx.key(0), ctx.now_ms());
    let hash = ctx.access.read::<Hash>(key, Lookup::Read)?;
    ctx.reply.array(ctx.args.len() - 2);
    for field in ctx.args.from(2).iter() {
        match hash.and_then(|hash| hash.get(field, now_ms)) {
            Some(value) => value.with(|text| ctx.reply.bulk(text)),
            None => ctx.reply.null(),
        }
    }
    DONE
}

fn hexists(ctx: &mut Ctx<'_>) -> Answer {
    let (key, now_ms) = (ctx.key(0), ctx.now_ms());
    let hash = ctx.access.read::<Hash>(key, Lookup::Read)?;
    let exists = hash.is_some_and(|hash| hash.get(&ctx.args[2], now_ms).is_some());
    ctx.reply.int(exists.into());
    DONE
}

fn hstrlen(ctx: &mut Ctx<'_>) -> Answer {
    let (key, now_ms) = (ctx.key(0), ctx.now_ms());
    let hash = ctx.access.read::<Hash>(key, Lookup::Read)?;
    let value = hash.and_then(|hash| hash.get(&ctx.args[2], now_ms));
    ctx.reply.int(value.map_or(0, |value| value.with(<[u8]>::len)) as i64);
    DONE
}

fn hlen(ctx: &mut Ctx<'_>) -> Answer {
    let key = ctx.key(0);
    let len = ctx.access.read::<Hash>(key, Lookup::Read)?.map_or(0, Hash::len);
    ctx.reply.int(len as i64);
    DONE
}

fn hdel(ctx: &mut Ctx<'_>) -> Answer {
    let (key, args, now_ms) = (ctx.key(0), ctx.args, ctx.now_ms());
    let removed = match ctx.access.write::<Hash>(key)? {
        Some(mut hash) => args.from(2).iter().filter(|field| hash.remove(field, now_ms)).count(),
        None => 0,
    };
    if removed > 0 {
        ctx.access.edited(key, HASH, "hdel");
        ctx.access.remove_if_empty(key);
    }
    ctx.reply.int(removed as i64);
    DONE
}

fn hgetdel(ctx: &mut Ctx<'_>) -> Answer {
    let fields = named_fields(ctx, 2, 1)?;
    let (key, args, now_ms) = (ctx.key(0), ctx.args, ctx.now_ms());
    let mut hash = ctx.access.write::<Hash>(key)?;
    let mut removed = false;
    ctx.reply.array(fields.len());
    for at in fields {
        match hash.as_ref().and_then(|hash| hash.get(&args[at], now_ms)) {
            Some(value) => value.with(|text| ctx.reply.bulk(text)),
            None => ctx.reply.null(),
        }
        removed |= hash.as_mut().is_some_and(|hash| hash.remove(&args[at], now_ms));
    }
    if removed {
        ctx.access.edited(key, HASH, "hdel");
        ctx.access.remove_if_empty(key);
    }
    DONE
}

/// The arguments after `FIELDS numfields`, which stands at `at`; each field has `step` of them.
pub(super) fn named_fields(ctx: &Ctx<'_>, at: usize, step: usize) -> Result<std::ops::Range<usize>, Error> {
    let args = ctx.args;
    if !args.get(at).is_some_and(|word| is(word, "fields")) {
        let text = "ERR Mandatory argument FIELDS is missing or not at the right position";
        return Err(Error::fixed(text));
    }
    let invalid = Error::fixed("ERR Number of fields must be a positive integer");
    let count = args.get(at + 1).and_then(number::parse_i64).filter(|count| *count > 0).ok_or(invalid)?;
    let first = at + 2;
    if usize::try_from(count).ok().and_then(|count| count.checked_mul(step)) != Some(args.len() - first) {
        return Err(Error::fixed("ERR The `numfields` parameter must match the number of arguments"));
    }
    Ok(first..args.len())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Fields,
    Values,
    Both,
}

fn get_all(ctx: &mut Ctx<'_>, part: Part) -> Answer {
    let (key, now_ms) = (ctx.key(0), ctx.now_ms());
    let hash = ctx.access.read::<Hash>(key, Lookup::Read)?;
    let len = hash.map_or(0, |hash| hash.live_len(now_ms));
    if part == Part::Both {
        ctx.reply.map(len)
    } else {
        ctx.reply.array(len)
    }
    if let Some(hash) = hash {
        hash.for_each(now_ms, |field, value| {
            if part != Part::Values {
                ctx.reply.bulk(field);
            }
            if part != Part::Fields {
                ctx.reply.bulk(value);
            }
        });
    }
    DONE
}

fn hgetall(ctx: &mut Ctx<'_>) -> Answer {
    get_all(ctx, Part::Both)
}

fn hkeys(ctx: &mut Ctx<'_>) -> Answer {
    get_all(ctx, Part::Fields)
}

fn hvals(ctx: &mut Ctx<'_>) -> Answer {
    get_all(ctx, Part::Values)
}

/// Replaces a value that was counted up; the field's deadline stays.
fn put_number(ctx: &mut Ctx<'_>, text: &[u8], event: &'static str) -> Result<(), Error> {
    let (key, args, limits, now_ms) = (ctx.key(0), ctx.args, limits(ctx.settings), ctx.now_ms());
    let mut hash = ctx.access.write_or_create::<Hash>(key)?;
    let deadline = hash.deadline(&args[2], now_ms).flatten();
    hash.set_until(&args[2], text, deadline, &limits);
    ctx.access.edited(key, HASH, event);
    Ok(())
}

fn hincrby(ctx: &mut Ctx<'_>) -> Answer {
    let by = int(&ctx.args[3])?;
    let (key, now_ms) = (ctx.key(0), ctx.now_ms());
    let old =
        ctx.access.write::<Hash>(key)?.and_then(|hash| hash.get(&ctx.args[2], now_ms).map(|v| v.to_vec()));
    let old = match old {
        Some(text) => number::parse_i64(&text).ok_or(Error::fixed("ERR hash value is not an integer"))?,
        None => 0,
    };
    let new = old.checked_add(by).ok_or(Error::OVERFLOW)?;
    put_number(ctx, itoa::Buffer::new().format(new).as_bytes(), "hincrby")?;
    ctx.reply.int(new);
    DONE
}

fn hincrbyfloat(ctx: &mut Ctx<'_>) -> Answer {
    let by = LongDouble::parse(&ctx.args[3]).ok_or(Error::NOT_A_FLOAT)?;
    if !by.is_finite() {
        return Err(Error::fixed("ERR value is NaN or Infinity"));
    }
    let (key, now_ms) = (ctx.key(0), ctx.now_ms());
    let hash = ctx.access.write::<Hash>(key)?;
    let old = match hash.and_then(|hash| hash.get(&ctx.args[2], now_ms).map(|value| value.to_vec())) {
        Some(text) => LongDouble::parse(&text).ok_or(Error::fixed("ERR hash value is not a float"))?,
        None => LongDouble::ZERO,
    };
    let sum = Some(old + by).filter(|sum| sum.is_finite());
    let sum = sum.ok_or(Error::fixed("ERR increment would produce NaN or Infinity"))?;
    let mut text = Vec::new();
    sum.write(&mut text);
    put_number(ctx, &text, "hincrbyfloat")?;
    ctx.reply.bulk(&text);
    DONE
}

fn hrandfield(ctx: &mut Ctx<'_>) -> Answer {
    let (key, now_ms) = (ctx.key(0), ctx.now_ms());
    let mut source = ctx.access.random_source();
    let mut random = || source.next();
    if ctx.args.len() == 2 {
        let hash = ctx.access.read::<Hash>(key, Lookup::Read)?;
        match hash.and_then(|hash| hash.random(now_ms, &mut random)) {
            Some((field, _)) => ctx.reply.bulk(&field),
            None => ctx.reply.null(),
        }
        return DONE;
    }
    let (count, with_values) = sample::pair_options(ctx.args, "withvalues")?;
    let Some(hash) = ctx.access.read::<Hash>(key, Lookup::Read)? else {
        ctx.reply.array(0);
        return DONE;
    };
    let len = hash.live_len(now_ms);
    let all = || {
        let mut pairs = Vec::new();
        hash.for_each(now_ms, |field, value| pairs.push((field.to_vec(), value.to_vec())));
        pairs
    };
    let mut other = source.fork();
    let mut source_of_one = other.fork();
    let one = || hash.random(now_ms, || source_of_one.next());
    let picked = Sample::new(count, len).pick(len, all, one, || other.next());
    let nested = with_values && ctx.reply.is_resp3();
    ctx.reply.array(picked.len() * if with_values && !nested { 2 } else { 1 });
    for (field, value) in picked {
        if nested {
            ctx.reply.array(2);
        }
        ctx.reply.bulk(&field);
        if with_values {
            ctx.reply.bulk(&value);
        }
    }
    DONE
}

fn hscan(ctx: &mut Ctx<'_>) -> Answer {
    scan_collection(ctx, ScanOf::Hash)
}

/// The rows of this family.
pub const ROWS: &[Row] = &[
    row("hdel", -3, "hash", hdel)
        .flags(&[Flag::Write, Flag::Fast])
        .acl(&[Category::Hash])
        .keys(&[keys_at(1, 0, 1, &["RW", "delete"])])
        .docs("Deletes one or more fields and their values from a hash. Deletes the hash if no fields remain.", "2.0.0")
        .complexity("O(N) where N is the number of fields to be removed.")
        .history(&[("2.4.0", "Accepts multiple `field` arguments.")])
        .args(&[key("key", 0), arg("field", ArgKind::String).multiple()]),
    row("hexists", 3, "hash", hexists)
        .flags(&[Flag::Readonly, Flag::Fast])
        .acl(&[Category::Hash])
        .keys(&[keys_at(1, 0, 1, &["RO"])])
        .docs("Determines whether a field exists in a hash.", "2.0.0")
        .complexity("O(1)")
        .args(&[key("key", 0), arg("field", ArgKind::String)]),
    row("hget", 3, "hash", hget)
        .flags(&[Flag::Readonly, Flag::Fast])
        .acl(&[Category::Hash])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns the value of a field in a hash.", "2.0.0")
        .complexity("O(1)")
        .args(&[key("key", 0), arg("field", ArgKind::String)]),
    row("hgetall", 2, "hash", hgetall)
        .flags(&[Flag::Readonly])
        .acl(&[Category::Hash])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns all fields and values in a hash.", "2.0.0")
        .complexity("O(N) where N is the size of the hash.")
        .tips(&["nondeterministic_output_order"])
        .args(&[key("key", 0)]),
    row("hincrby", 4, "hash", hincrby)
        .flags(&[Flag::Write, Flag::DenyOom, Flag::Fast])
        .acl(&[Category::Hash])
        .keys(&[keys_at(1, 0, 1, &["RW", "access", "update"])])
        .docs("Increments the integer value of a field in a hash by a number. Uses 0 as initial value if the field doesn't exist.", "2.0.0")
        .complexity("O(1)")
        .args(&[key("key", 0), arg("field", ArgKind::String), arg("increment", ArgKind::Integer)]),
    row("hincrbyfloat", 4, "hash", hincrbyfloat)
        .flags(&[Flag::Write, Flag::DenyOom, Flag::Fast])
        .acl(&[Category::Hash])
        .keys(&[keys_at(1, 0, 1, &["RW", "access", "update"])])
        .docs("Increments the floating point value of a field by a number. Uses 0 as initial value if the field doesn't exist.", "2.6.0")
        .complexity("O(1)")
        .args(&[key("key", 0), arg("field", ArgKind::String), arg("increment", ArgKind::Double)]),
    row("hkeys", 2, "hash", hkeys)
        .flags(&[Flag::Readonly])
        .acl(&[Category::Hash])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns all fields in a hash.", "2.0.0")
        .complexity("O(N) where N is the size of the hash.")
        .tips(&["nondeterministic_output_order"])
        .args(&[key("key", 0)]),
    row("hlen", 2, "hash", hlen)
        .flags(&[Flag::Readonly, Flag::Fast])
        .acl(&[Category::Hash])
        .keys(&[keys_at(1, 0, 1, &["RO"])])
        .docs("Returns the number of fields in a hash.", "2.0.0")
        .complexity("O(1)")
        .args(&[key("key", 0)]),
    row("hmget", -3, "hash", hmget)
        .flags(&[Flag::Readonly, Flag::Fast])
        .acl(&[Category::Hash])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns the values of all fields in a hash.", "2.0.0")
        .complexity("O(N) where N is the number of fields being requested.")
        .args(&[key("key", 0), arg("field", ArgKind::String).multiple()]),
    row("hmset", -4, "hash", hmset)
        .flags(&[Flag::Write, Flag::DenyOom, Flag::Fast])
        .acl(&[Category::Hash])
        .keys(&[keys_at(1, 0, 1, &["RW", "update"])])
        .docs("Sets the values of multiple fields.", "2.0.0")
        .complexity("O(N) where N is the number of fields being set.")
        .doc_flags(&["deprecated"])
        .deprecated("4.0.0", Some("`HSET` with multiple field-value pairs"))
        .args(&[
            key("key", 0),
            block("data", &[arg("field", ArgKind::String), arg("value", ArgKind::String)]).multiple(),
        ]),
    row("hrandfield", -2, "hash", hrandfield)
        .flags(&[Flag::Readonly])
        .acl(&[Category::Hash])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns one or more random fields from a hash.", "6.2.0")
        .complexity("O(N) where N is the number of fields returned")
        .tips(&["nondeterministic_output"])
        .args(&[
            key("key", 0),
            block("options", &[
                arg("count", ArgKind::Integer),
                token("withvalues", "WITHVALUES").optional(),
            ]).optional(),
        ]),
    row("hscan", -3, "hash", hscan)
        .flags(&[Flag::Readonly])
        .acl(&[Category::Hash])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Iterates over fields and values of a hash.", "2.8.0")
        .complexity("O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to return back to 0. N is the number of elements inside the collection.")
        .tips(&["nondeterministic_output"])
        .args(&[
            key("key", 0),
            arg("cursor", ArgKind::Integer),
            arg("pattern", ArgKind::Pattern).token("MATCH").optional(),
            arg("count", ArgKind::Integer).token("COUNT").optional(),
            token("novalues", "NOVALUES").optional(),
        ]),
    row("hset", -4, "hash", hset)
        .flags(&[Flag::Write, Flag::DenyOom, Flag::Fast])
        .acl(&[Category::Hash])
        .keys(&[keys_at(1, 0, 1, &["RW", "update"])])
        .docs("Creates or modifies the value of a field in a hash.", "2.0.0")
        .complexity("O(1) for each field/value pair added, so O(N) to add N field/value pairs when the command is called with multiple field/value pairs.")
        .history(&[("4.0.0", "Accepts multiple `field` and `value` arguments.")])
        .args(&[
            key("key", 0),
            block("data", &[arg("field", ArgKind::String), arg("value", ArgKind::String)]).multiple(),
        ]),
    row("hsetnx", 4, "hash", hsetnx)
        .flags(&[Flag::Write, Flag::DenyOom, Flag::Fast])
        .acl(&[Category::Hash])
        .keys(&[keys_at(1, 0, 1, &["RW", "insert"])])
        .docs("Sets the value of a field in a hash only when the field doesn't exist.", "2.0.0")
        .complexity("O(1)")
        .args(&[key("key", 0), arg("field", ArgKind::String), arg("value", ArgKind::String)]),
    row("hstrlen", 3, "hash", hstrlen)
        .flags(&[Flag::Readonly, Flag::Fast])
        .acl(&[Category::Hash])
        .keys(&[keys_at(1, 0, 1, &["RO"])])
        .docs("Returns the length of the value of a field.", "3.2.0")
        .complexity("O(1)")
        .args(&[key("key", 0), arg("field", ArgKind::String)]),
    row("hvals", 2, "hash", hvals)
        .flags(&[Flag::Readonly])
        .acl(&[Category::Hash])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns all values in a hash.", "2.0.0")
        .complexity("O(N) where N is the size of the hash.")
        .tips(&["nondeterministic_output_order"])
        .args(&[key("key", 0)]),
    row("hgetdel", -5, "hash", hgetdel)
        .flags(&[Flag::Write, Flag::Fast])
        .acl(&[Category::Hash])
        .keys(&[keys_at(1, 0, 1, &["RW", "access", "delete"])])
        .docs("Returns the value of a field and deletes it from the hash.", "8.0.0")
        .complexity("O(N) where N is the number of specified fields")
        .args(&[
            key("key", 0),
            block("fields", &[
                arg("numfields", ArgKind::Integer),
                arg("field", ArgKind::String).multiple(),
            ]).token("FIELDS"),
        ]),
];
