//! Strings.

use super::parse::{int, is};
use super::row::{ArgKind, Category, Flag, Row, arg, block, key, keys_at, one_of, row, token};
use super::string_set::{getex, psetex, set, setex, setnx};
use super::{Answer, Ctx, DONE, Error};
use crate::config::NotifyFlags;
use crate::keyspace::{Expiry, Lookup};
use crate::number::LongDouble;
use crate::value::lcs::{lcs as common_subsequence, table_bytes};
use crate::value::string::{NewString, StringRef};

const STRING: NotifyFlags = NotifyFlags::STRING;

fn get(ctx: &mut Ctx<'_>) -> Answer {
    let key = ctx.key(0);
    match ctx.access.string(key, Lookup::Read)? {
        Some(value) => ctx.reply.string(value),
        None => ctx.reply.null(),
    }
    DONE
}

fn getset(ctx: &mut Ctx<'_>) -> Answer {
    get(ctx)?;
    let key = ctx.key(0);
    ctx.access.put(key, NewString::encode(&ctx.args[2]), Expiry::Clear, STRING, "set");
    DONE
}

fn getdel(ctx: &mut Ctx<'_>) -> Answer {
    get(ctx)?;
    let key = ctx.key(0);
    ctx.access.delete(key, NotifyFlags::GENERIC, "del");
    DONE
}

fn strlen(ctx: &mut Ctx<'_>) -> Answer {
    let key = ctx.key(0);
    let len = ctx.access.string(key, Lookup::Read)?.map_or(0, |value| value.len());
    ctx.reply.int(len as i64);
    DONE
}

fn mget(ctx: &mut Ctx<'_>) -> Answer {
    ctx.reply.array(ctx.keys.len());
    for key in ctx.keys {
        match ctx.access.string(*key, Lookup::Read) {
            Ok(Some(value)) => ctx.reply.string(value),
            Ok(None) | Err(_) => ctx.reply.null(),
        }
    }
    DONE
}

/// Sets every pair; the last of equal keys wins.
fn set_pairs(ctx: &mut Ctx<'_>) {
    for (index, key) in ctx.keys.iter().enumerate() {
        let value = ctx.args.get(index * 2 + 2).unwrap_or_default();
        ctx.access.put(*key, NewString::encode(value), Expiry::Clear, STRING, "set");
    }
}

fn mset(ctx: &mut Ctx<'_>) -> Answer {
    if ctx.args.len().is_multiple_of(2) {
        return Err(Error::arity("mset"));
    }
    set_pairs(ctx);
    ctx.reply.ok();
    DONE
}

fn msetnx(ctx: &mut Ctx<'_>) -> Answer {
    if ctx.args.len().is_multiple_of(2) {
        return Err(Error::arity("msetnx"));
    }
    for key in ctx.keys {
        if ctx.access.get(*key, Lookup::Write).is_some() {
            ctx.reply.int(0);
            return DONE;
        }
    }
    set_pairs(ctx);
    ctx.reply.int(1);
    DONE
}

fn check_len(ctx: &Ctx<'_>, len: usize, more: usize) -> Result<(), Error> {
    match len.checked_add(more) {
        Some(total) if total as u64 <= ctx.settings.proto_max_bulk_len => Ok(()),
        _ => Err(Error::STRING_TOO_LONG),
    }
}

/// Replaces the first key's text, whose deadline stays, by one that was edited.
fn put_edited(ctx: &mut Ctx<'_>, text: &[u8], event: &'static str) {
    let key = ctx.key(0);
    ctx.access.put(key, NewString::encode_raw(text), Expiry::Keep, STRING, event);
    if let Some(mut entry) = ctx.access.edit(key) {
        entry.mark_edited();
    }
}

fn append(ctx: &mut Ctx<'_>) -> Answer {
    let key = ctx.key(0);
    let more = ctx.args.get(2).unwrap_or_default();
    let Some(value) = ctx.access.string(key, Lookup::Write)? else {
        ctx.access.put(key, NewString::encode(more), Expiry::Clear, STRING, "append");
        ctx.reply.int(more.len() as i64);
        return DONE;
    };
    let len = value.len();
    check_len(ctx, len, more.len())?;
    ctx.access.log_room_to_change(key, 0)?;
    if let Some(mut text) = ctx.access.write_long(key)? {
        text.write(len, more);
        ctx.access.edited(key, STRING, "append");
    } else if let Some(value) = ctx.access.string(key, Lookup::Silent)? {
        let mut text = value.to_vec();
        text.extend_from_slice(more);
        put_edited(ctx, &text, "append");
    }
    ctx.reply.int((len + more.len()) as i64);
    DONE
}

fn setrange(ctx: &mut Ctx<'_>) -> Answer {
    let key = ctx.key(0);
    let offset = int(&ctx.args[2])?;
    let Ok(offset) = usize::try_from(offset) else {
        return Err(Error::fixed("ERR offset is out of range"));
    };
    let patch = ctx.args.get(3).unwrap_or_default();
    let old_len = ctx.access.string(key, Lookup::Write)?.map_or(0, |value| value.len());
    if patch.is_empty() {
        ctx.reply.int(old_len as i64);
        return DONE;
    }
    check_len(ctx, offset, patch.len())?;
    let end = offset + patch.len();
    ctx.access.log_room_to_change(key, end)?;
    if let Some(mut text) = ctx.access.write_long(key)? {
        text.write(offset, patch);
        ctx.access.edited(key, STRING, "setrange");
    } else {
        let value = ctx.access.string(key, Lookup::Silent)?;
        let mut text = value.map(|value| value.to_vec()).unwrap_or_default();
        text.resize(end.max(text.len()), 0);
        text[offset..end].copy_from_slice(patch);
        put_edited(ctx, &text, "setrange");
    }
    ctx.reply.int(old_len.max(end) as i64);
    DONE
}

fn getrange(ctx: &mut Ctx<'_>) -> Answer {
    let key = ctx.key(0);
    let (start, end) = (int(&ctx.args[2])?, int(&ctx.args[3])?);
    let Some(value) = ctx.access.string(key, Lookup::Read)? else {
        ctx.reply.bulk(b"");
        return DONE;
    };
    let reply = &mut ctx.reply;
    value.with(|text| {
        let len = text.len() as i64;
        let from_end = |index: i64| if index < 0 { (len + index).max(0) } else { index };
        let (first, last) = (from_end(start), from_end(end).min(len - 1));
        if (start < 0 && end < 0 && start > end) || first > last || len == 0 {
            reply.bulk(b"");
        } else {
            reply.bulk(&text[first as usize..=last as usize]);
        }
    });
    DONE
}

use self::getrange as substr;

fn add(ctx: &mut Ctx<'_>, by: i64) -> Answer {
    let key = ctx.key(0);
    let old = match ctx.access.string(key, Lookup::Write)? {
        Some(value) => value.as_int().ok_or(Error::NOT_AN_INTEGER)?,
        None => 0,
    };
    let new = old.checked_add(by).ok_or(Error::OVERFLOW)?;
    let counted = match ctx.access.edit(key) {
        Some(mut entry) if matches!(entry.string(), Some(StringRef::Int(_))) => {
            entry.set_int(new);
            true
        }
        _ => false,
    };
    if counted {
        ctx.access.edited(key, STRING, "incrby");
    } else {
        ctx.access.put(key, NewString::Int(new), Expiry::Keep, STRING, "incrby");
    }
    ctx.reply.int(new);
    DONE
}

fn incr(ctx: &mut Ctx<'_>) -> Answer {
    add(ctx, 1)
}

fn decr(ctx: &mut Ctx<'_>) -> Answer {
    add(ctx, -1)
}

fn incrby(ctx: &mut Ctx<'_>) -> Answer {
    let by = int(&ctx.args[2])?;
    add(ctx, by)
}

fn decrby(ctx: &mut Ctx<'_>) -> Answer {
    let by = int(&ctx.args[2])?;
    add(ctx, by.checked_neg().ok_or(Error::fixed("ERR decrement would overflow"))?)
}

fn incrbyfloat(ctx: &mut Ctx<'_>) -> Answer {
    let key = ctx.key(0);
    let old = match ctx.access.string(key, Lookup::Write)? {
        Some(value) => value.with(LongDouble::parse).ok_or(Error::NOT_A_FLOAT)?,
        None => LongDouble::ZERO,
    };
    let by = LongDouble::parse(&ctx.args[2]).ok_or(Error::NOT_A_FLOAT)?;
    let sum = Some(old + by).filter(|sum| sum.is_finite());
    let sum = sum.ok_or(Error::fixed("ERR increment would produce NaN or Infinity"))?;
    let mut text = Vec::new();
    sum.write(&mut text);
    ctx.access.put(key, NewString::encode_raw(&text), Expiry::Keep, STRING, "incrbyfloat");
    ctx.reply.bulk(&text);
    DONE
}

#[derive(Default)]
struct LcsOptions {
    idx: bool,
    len: bool,
    with_match_len: bool,
    min_match_len: usize,
}

fn lcs_options(ctx: &Ctx<'_>) -> Result<LcsOptions, Error> {
    let mut options = LcsOptions::default();
    let mut at = 3;
    while let Some(word) = ctx.args.get(at) {
        if is(word, "idx") {
            options.idx = true;
        } else if is(word, "len") {
            options.len = true;
        } else if is(word, "withmatchlen") {
            options.with_match_len = true;
        } else if is(word, "minmatchlen")
            && let Some(len) = ctx.args.get(at + 1)
        {
            options.min_match_len = int(len)?.max(0) as usize;
            at += 1;
        } else {
            return Err(Error::SYNTAX);
        }
        at += 1;
    }
    if options.idx && options.len {
        let text = "ERR If you want both the length and indexes, please just use IDX.";
        return Err(Error::fixed(text));
    }
    Ok(options)
}

fn lcs(ctx: &mut Ctx<'_>) -> Answer {
    let mut texts = [Vec::new(), Vec::new()];
    let mut wrong = false;
    for (key, text) in ctx.keys.iter().zip(&mut texts) {
        // Both are looked up before either is judged: the second may be missed, which is an event.
        match ctx.access.string(*key, Lookup::Read) {
            Ok(value) => *text = value.map(|value| value.to_vec()).unwrap_or_default(),
            Err(_) => wrong = true,
        }
    }
    if wrong {
        return Err(Error::LCS_WRONG_TYPE);
    }
    let options = lcs_options(ctx)?;
    let [a, b] = &texts;
    if a.len() >= u32::MAX as usize - 1 || b.len() >= u32::MAX as usize - 1 {
        return Err(Error::fixed("ERR String too long for LCS"));
    }
    if table_bytes(a.len(), b.len()) > u128::from(ctx.settings.proto_max_bulk_len) {
        let text = "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len";
        return Err(Error::fixed(text));
    }
    let found = common_subsequence(a, b, !options.len);
    if options.len {
        ctx.reply.int(found.len as i64);
        return DONE;
    }
    if !options.idx {
        ctx.reply.bulk(&found.bytes);
        return DONE;
    }
    let matches: Vec<_> = found.matches.iter().filter(|run| run.len() >= options.min_match_len).collect();
    ctx.reply.map(2);
    ctx.reply.bulk(b"matches");
    ctx.reply.array(matches.len());
    for run in matches {
        ctx.reply.array(2 + usize::from(options.with_match_len));
        for (first, last) in [run.a, run.b] {
            ctx.reply.array(2);
            ctx.reply.int(first as i64);
            ctx.reply.int(last as i64);
        }
        if options.with_match_len {
            ctx.reply.int(run.len() as i64);
        }
    }
    ctx.reply.bulk(b"len");
    ctx.reply.int(found.len as i64);
    DONE
}

/// The rows of this family.
pub const ROWS: &[Row] = &[
    row("append", 3, "string", append)
        .flags(&[Flag::Write, Flag::DenyOom, Flag::Fast])
        .acl(&[Category::String])
        .keys(&[keys_at(1, 0, 1, &["RW", "insert"])])
        .docs("Appends a string to the value of a key. Creates the key if it doesn't exist.", "2.0.0")
        .complexity("O(1). The amortized time complexity is O(1) assuming the appended value is small and the already present value is of any size, since the dynamic string library used by Redis will double the free space available on every reallocation.")
        .args(&[key("key", 0), arg("value", ArgKind::String)]),
    row("decr", 2, "string", decr)
        .flags(&[Flag::Write, Flag::DenyOom, Flag::Fast])
        .acl(&[Category::String])
        .keys(&[keys_at(1, 0, 1, &["RW", "access", "update"])])
        .docs("Decrements the integer value of a key by one. Uses 0 as initial value if the key doesn't exist.", "1.0.0")
        .complexity("O(1)")
        .args(&[key("key", 0)]),
    row("decrby", 3, "string", decrby)
        .flags(&[Flag::Write, Flag::DenyOom, Flag::Fast])
        .acl(&[Category::String])
        .keys(&[keys_at(1, 0, 1, &["RW", "access", "update"])])
        .docs("Decrements a number from the integer value of a key. Uses 0 as initial value if the key doesn't exist.", "1.0.0")
        .complexity("O(1)")
        .args(&[key("key", 0), arg("decrement", ArgKind::Integer)]),
    row("get", 2, "string", get)
        .flags(&[Flag::Readonly, Flag::Fast])
        .acl(&[Category::String])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns the string value of a key.", "1.0.0")
        .complexity("O(1)")
        .args(&[key("key", 0)]),
    row("getdel", 2, "string", getdel)
        .flags(&[Flag::Write, Flag::Fast])
        .acl(&[Category::String])
        .keys(&[keys_at(1, 0, 1, &["RW", "access", "delete"])])
        .docs("Returns the string value of a key after deleting the key.", "6.2.0")
        .complexity("O(1)")
        .args(&[key("key", 0)]),
    row("getex", -2, "string", getex)
        .flags(&[Flag::Write, Flag::Fast])
        .acl(&[Category::String])
        .keys(&[
            keys_at(1, 0, 1, &["RW", "access", "update"]).notes("RW and UPDATE because it changes the TTL"),
        ])
        .docs("Returns the string value of a key after setting its expiration time.", "6.2.0")
        .complexity("O(1)")
        .args(&[
            key("key", 0),
            one_of("expiration", &[
                arg("seconds", ArgKind::Integer).token("EX"),
                arg("milliseconds", ArgKind::Integer).token("PX"),
                arg("unix-time-seconds", ArgKind::UnixTime).token("EXAT"),
                arg("unix-time-milliseconds", ArgKind::UnixTime).token("PXAT"),
                token("persist", "PERSIST"),
            ]).optional(),
        ]),
    row("getrange", 4, "string", getrange)
        .flags(&[Flag::Readonly])
        .acl(&[Category::String])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns a substring of the string stored at a key.", "2.4.0")
        .complexity("O(N) where N is the length of the returned string. The complexity is ultimately determined by the returned length, but because creating a substring from an existing string is very cheap, it can be considered O(1) for small strings.")
        .args(&[key("key", 0), arg("start", ArgKind::Integer), arg("end", ArgKind::Integer)]),
    row("getset", 3, "string", getset)
        .flags(&[Flag::Write, Flag::DenyOom, Flag::Fast])
        .acl(&[Category::String])
        .keys(&[keys_at(1, 0, 1, &["RW", "access", "update"])])
        .docs("Returns the previous string value of a key after setting it to a new value.", "1.0.0")
        .complexity("O(1)")
        .doc_flags(&["deprecated"])
        .deprecated("6.2.0", Some("`SET` with the `!GET` argument"))
        .args(&[key("key", 0), arg("value", ArgKind::String)]),
    row("incr", 2, "string", incr)
        .flags(&[Flag::Write, Flag::DenyOom, Flag::Fast])
        .acl(&[Category::String])
        .keys(&[keys_at(1, 0, 1, &["RW", "access", "update"])])
        .docs("Increments the integer value of a key by one. Uses 0 as initial value if the key doesn't exist.", "1.0.0")
        .complexity("O(1)")
        .args(&[key("key", 0)]),
    row("incrby", 3, "string", incrby)
        .flags(&[Flag::Write, Flag::DenyOom, Flag::Fast])
        .acl(&[Category::String])
        .keys(&[keys_at(1, 0, 1, &["RW", "access", "update"])])
        .docs("Increments the integer value of a key by a number. Uses 0 as initial value if the key doesn't exist.", "1.0.0")
        .complexity("O(1)")
        .args(&[key("key", 0), arg("increment", ArgKind::Integer)]),
    row("incrbyfloat", 3, "string", incrbyfloat)
        .flags(&[Flag::Write, Flag::DenyOom, Flag::Fast])
        .acl(&[Category::String])
        .keys(&[keys_at(1, 0, 1, &["RW", "access", "update"])])
        .docs("Increment the floating point value of a key by a number. Uses 0 as initial value if the key doesn't exist.", "2.6.0")
        .complexity("O(1)")
        .args(&[key("key", 0), arg("increment", ArgKind::Double)]),
    row("lcs", -3, "string", lcs)
        .flags(&[Flag::Readonly])
        .acl(&[Category::String])
        .keys(&[keys_at(1, 1, 1, &["RO", "access"])])
        .docs("Finds the longest common substring.", "7.0.0")
        .complexity("O(N*M) where N and M are the lengths of s1 and s2, respectively")
        .args(&[
            key("key1", 0),
            key("key2", 0),
            token("len", "LEN").optional(),
            token("idx", "IDX").optional(),
            arg("min-match-len", ArgKind::Integer).token("MINMATCHLEN").optional(),
            token("withmatchlen", "WITHMATCHLEN").optional(),
        ]),
    row("mget", -2, "string", mget)
        .flags(&[Flag::Readonly, Flag::Fast])
        .acl(&[Category::String])
        .keys(&[keys_at(1, -1, 1, &["RO", "access"])])
        .docs("Atomically returns the string values of one or more keys.", "1.0.0")
        .complexity("O(N) where N is the number of keys to retrieve.")
        .tips(&["request_policy:multi_shard"])
        .args(&[key("key", 0).multiple()]),
    row("mset", -3, "string", mset)
        .flags(&[Flag::Write, Flag::DenyOom])
        .acl(&[Category::String])
        .keys(&[keys_at(1, -1, 2, &["OW", "update"])])
        .docs("Atomically creates or modifies the string values of one or more keys.", "1.0.1")
        .complexity("O(N) where N is the number of keys to set.")
        .tips(&["request_policy:multi_shard", "response_policy:all_succeeded"])
        .args(&[block("data", &[key("key", 0), arg("value", ArgKind::String)]).multiple()]),
    row("msetnx", -3, "string", msetnx)
        .flags(&[Flag::Write, Flag::DenyOom])
        .acl(&[Category::String])
        .keys(&[keys_at(1, -1, 2, &["OW", "insert"])])
        .docs("Atomically modifies the string values of one or more keys only when all keys don't exist.", "1.0.1")
        .complexity("O(N) where N is the number of keys to set.")
        .args(&[block("data", &[key("key", 0), arg("value", ArgKind::String)]).multiple()]),
    row("psetex", 4, "string", psetex)
        .flags(&[Flag::Write, Flag::DenyOom])
        .acl(&[Category::String])
        .keys(&[keys_at(1, 0, 1, &["OW", "update"])])
        .docs("Sets both string value and expiration time in milliseconds of a key. The key is created if it doesn't exist.", "2.6.0")
        .complexity("O(1)")
        .doc_flags(&["deprecated"])
        .deprecated("2.6.12", Some("`SET` with the `PX` argument"))
        .args(&[key("key", 0), arg("milliseconds", ArgKind::Integer), arg("value", ArgKind::String)]),
    row("set", -3, "string", set)
        .flags(&[Flag::Write, Flag::DenyOom])
        .acl(&[Category::String])
        .keys(&[
            keys_at(1, 0, 1, &["RW", "access", "update", "variable_flags"]).notes("RW and ACCESS due to the optional `GET` argument"),
        ])
        .docs("Sets the string value of a key, ignoring its type. The key is created if it doesn't exist.", "1.0.0")
        .complexity("O(1)")
        .history(&[
            ("2.6.12", "Added the `EX`, `PX`, `NX` and `XX` options."),
            ("6.0.0", "Added the `KEEPTTL` option."),
            ("6.2.0", "Added the `GET`, `EXAT` and `PXAT` option."),
            ("7.0.0", "Allowed the `NX` and `GET` options to be used together."),
        ])
        .args(&[
            key("key", 0),
            arg("value", ArgKind::String),
            one_of("condition", &[token("nx", "NX"), token("xx", "XX")]).since("2.6.12").optional(),
            token("get", "GET").since("6.2.0").optional(),
            one_of("expiration", &[
                arg("seconds", ArgKind::Integer).token("EX").since("2.6.12"),
                arg("milliseconds", ArgKind::Integer).token("PX").since("2.6.12"),
                arg("unix-time-seconds", ArgKind::UnixTime).token("EXAT").since("6.2.0"),
                arg("unix-time-milliseconds", ArgKind::UnixTime).token("PXAT").since("6.2.0"),
                token("keepttl", "KEEPTTL").since("6.0.0"),
            ]).optional(),
        ]),
    row("setex", 4, "string", setex)
        .flags(&[Flag::Write, Flag::DenyOom])
        .acl(&[Category::String])
        .keys(&[keys_at(1, 0, 1, &["OW", "update"])])
        .docs("Sets the string value and expiration time of a key. Creates the key if it doesn't exist.", "2.0.0")
        .complexity("O(1)")
        .doc_flags(&["deprecated"])
        .deprecated("2.6.12", Some("`SET` with the `EX` argument"))
        .args(&[key("key", 0), arg("seconds", ArgKind::Integer), arg("value", ArgKind::String)]),
    row("setnx", 3, "string", setnx)
        .flags(&[Flag::Write, Flag::DenyOom, Flag::Fast])
        .acl(&[Category::String])
        .keys(&[keys_at(1, 0, 1, &["OW", "insert"])])
        .docs("Set the string value of a key only when the key doesn't exist.", "1.0.0")
        .complexity("O(1)")
        .doc_flags(&["deprecated"])
        .deprecated("2.6.12", Some("`SET` with the `NX` argument"))
        .args(&[key("key", 0), arg("value", ArgKind::String)]),
    row("setrange", 4, "string", setrange)
        .flags(&[Flag::Write, Flag::DenyOom])
        .acl(&[Category::String])
        .keys(&[keys_at(1, 0, 1, &["RW", "update"])])
        .docs("Overwrites a part of a string value with another by an offset. Creates the key if it doesn't exist.", "2.2.0")
        .complexity("O(1), not counting the time taken to copy the new string in place. Usually, this string is very small so the amortized complexity is O(1). Otherwise, complexity is O(M) with M being the length of the value argument.")
        .args(&[key("key", 0), arg("offset", ArgKind::Integer), arg("value", ArgKind::String)]),
    row("strlen", 2, "string", strlen)
        .flags(&[Flag::Readonly, Flag::Fast])
        .acl(&[Category::String])
        .keys(&[keys_at(1, 0, 1, &["RO"])])
        .docs("Returns the length of a string value.", "2.2.0")
        .complexity("O(1)")
        .args(&[key("key", 0)]),
    row("substr", 4, "string", substr)
        .flags(&[Flag::Readonly])
        .acl(&[Category::String])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns a substring from a string value.", "1.0.0")
        .complexity("O(N) where N is the length of the returned string. The complexity is ultimately determined by the returned length, but because creating a substring from an existing string is very cheap, it can be considered O(1) for small strings.")
        .doc_flags(&["deprecated"])
        .deprecated("2.0.0", Some("`GETRANGE`"))
        .args(&[key("key", 0), arg("start", ArgKind::Integer), arg("end", ArgKind::Integer)]),
];
