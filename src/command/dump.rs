//! DUMP and RESTORE: values as bytes.

use super::parse::{int, is};
use super::row::{ArgKind, Category, Flag, Row, arg, key, keys_at, row, token};
use super::save::limits;
use super::{Answer, Ctx, DONE, Error};
use crate::config::NotifyFlags;
use crate::keyspace::{Access, Expiry, Key, Lookup};
use crate::memory::entry::NewValue;
use crate::rdb::{self, Decoded, Value};
use crate::value::string::NewString;

/// The payload of a key's value.
pub(super) fn payload(access: &mut Access<'_>, key: Key<'_>, lookup: Lookup) -> Option<Vec<u8>> {
    let entry = access.get(key, lookup)?;
    let value = match entry.collection() {
        Some(collection) => Value::Collection(collection),
        None => Value::String(entry.string()?),
    };
    Some(rdb::dump(&value))
}

fn dump(ctx: &mut Ctx<'_>) -> Answer {
    let key = ctx.key(0);
    match payload(&mut ctx.access, key, Lookup::Read) {
        Some(payload) => ctx.reply.bulk(&payload),
        None => ctx.reply.null(),
    }
    DONE
}

#[derive(Default)]
struct Options {
    replace: bool,
    absolute: bool,
    idle_seconds: Option<i64>,
    frequency: Option<i64>,
}

fn options(ctx: &Ctx<'_>) -> Result<Options, Error> {
    let mut options = Options::default();
    let mut at = 4;
    while let Some(word) = ctx.args.get(at) {
        let number = ctx.args.get(at + 1);
        if is(word, "replace") {
            options.replace = true;
        } else if is(word, "absttl") {
            options.absolute = true;
        } else if let (Some(number), true) = (number, is(word, "idletime") && options.frequency.is_none()) {
            let seconds = int(number)?;
            if seconds < 0 {
                return Err(Error::fixed("ERR Invalid IDLETIME value, must be >= 0"));
            }
            options.idle_seconds = Some(seconds);
            at += 1;
        } else if let (Some(number), true) = (number, is(word, "freq") && options.idle_seconds.is_none()) {
            let frequency = int(number)?;
            if !(0..=255).contains(&frequency) {
                return Err(Error::fixed("ERR Invalid FREQ value, must be >= 0 and <= 255"));
            }
            options.frequency = Some(frequency);
            at += 1;
        } else {
            return Err(Error::SYNTAX);
        }
        at += 1;
    }
    Ok(options)
}

fn restore(ctx: &mut Ctx<'_>) -> Answer {
    let options = options(ctx)?;
    let (key, payload, now_ms) = (ctx.key(0), ctx.args.get(3).unwrap_or_default(), ctx.now_ms());
    let exists = ctx.access.get(key, Lookup::Write).is_some();
    if exists && !options.replace {
        return Err(Error::fixed("BUSYKEY Target key name already exists."));
    }
    let ttl = int(&ctx.args[2])?;
    if ttl < 0 {
        return Err(Error::fixed("ERR Invalid TTL value, must be >= 0"));
    }
    if !rdb::is_sound(payload) {
        return Err(Error::fixed("ERR DUMP payload version or checksum are wrong"));
    }
    let value =
        rdb::restore(payload, &limits(ctx.settings)).map_err(|_| Error::fixed("ERR Bad data format"))?;
    let deadline = match ttl {
        0 => None,
        ttl if options.absolute => Some(ttl),
        ttl => Some(now_ms.saturating_add(ttl)),
    };
    if deadline.is_some_and(|at| at <= now_ms) {
        ctx.access.delete(key, NotifyFlags::GENERIC, "del");
        ctx.reply.ok();
        return DONE;
    }
    // It may be far longer than the payload.
    match &value {
        Decoded::String(text) => ctx.access.log_room(text.len())?,
        Decoded::Collection(collection) => ctx.access.log_room_for(collection)?,
    }
    if exists {
        // The old value goes unseen, with its uses.
        ctx.access.delete(key, NotifyFlags::GENERIC, "");
    }
    let expiry = deadline.map_or(Expiry::Clear, Expiry::At);
    match value {
        Decoded::String(text) => {
            let text = NewString::encode(&text);
            ctx.access.put(key, text, expiry, NotifyFlags::GENERIC, "restore");
        }
        Decoded::Collection(collection) => {
            let value = NewValue::from(collection);
            ctx.access.put(key, value, expiry, NotifyFlags::GENERIC, "restore");
        }
    }
    let mode = ctx.access.space().access_mode();
    let bits = match (options.idle_seconds, options.frequency) {
        (Some(seconds), _) => Some(mode.idle_for(u32::try_from(seconds).unwrap_or(u32::MAX), now_ms)),
        (_, Some(frequency)) => Some(mode.used_often(frequency as u8, now_ms)),
        _ => None,
    };
    if let Some(bits) = bits
        && let Some(mut entry) = ctx.access.edit(key)
    {
        entry.set_access_bits(bits);
    }
    ctx.reply.ok();
    DONE
}

/// The rows of this family.
pub const ROWS: &[Row] = &[
    row("dump", 2, "generic", dump)
        .flags(&[Flag::Readonly])
        .acl(&[Category::Keyspace])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns a serialized representation of the value stored at a key.", "2.6.0")
        .complexity("O(1) to access the key and additional O(N*M) to serialize it, where N is the number of Redis objects composing the value and M their average size. For small string values the time complexity is thus O(1)+O(1*M) where M is small, so simply O(1).")
        .tips(&["nondeterministic_output"])
        .args(&[key("key", 0)]),
    row("restore", -4, "generic", restore)
        .flags(&[Flag::Write, Flag::DenyOom])
        .acl(&[Category::Keyspace, Category::Dangerous])
        .keys(&[keys_at(1, 0, 1, &["OW", "update"])])
        .docs("Creates a key from the serialized representation of a value.", "2.6.0")
        .complexity("O(1) to create the new key and additional O(N*M) to reconstruct the serialized value, where N is the number of Redis objects composing the value and M their average size. For small string values the time complexity is thus O(1)+O(1*M) where M is small, so simply O(1). However for sorted set values the complexity is O(N*M*log(N)) because inserting values into sorted sets is O(log(N)).")
        .history(&[
            ("3.0.0", "Added the `REPLACE` modifier."),
            ("5.0.0", "Added the `ABSTTL` modifier."),
            ("5.0.0", "Added the `IDLETIME` and `FREQ` options."),
        ])
        .args(&[
            key("key", 0),
            arg("ttl", ArgKind::Integer),
            arg("serialized-value", ArgKind::String),
            token("replace", "REPLACE").since("3.0.0").optional(),
            token("absttl", "ABSTTL").since("5.0.0").optional(),
            arg("seconds", ArgKind::Integer).token("IDLETIME").since("5.0.0").optional(),
            arg("frequency", ArgKind::Integer).token("FREQ").since("5.0.0").optional(),
        ]),
];
