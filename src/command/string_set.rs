//! SET with all its options, and the commands that are SET with fewer: SETEX, PSETEX, SETNX, GETEX.

use super::parse::{int, is};
use super::{Answer, Ctx, DONE, Error};
use crate::config::NotifyFlags;
use crate::keyspace::{Expiry, Lookup};
use crate::resp::Args;
use crate::value::string::NewString;

/// How a time is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Unit {
    seconds: bool,
    absolute: bool,
}

const EX: Unit = Unit { seconds: true, absolute: false };
const PX: Unit = Unit { seconds: false, absolute: false };
const EXAT: Unit = Unit { seconds: true, absolute: true };
const PXAT: Unit = Unit { seconds: false, absolute: true };

#[derive(Default)]
struct Options<'a> {
    if_absent: bool,
    if_present: bool,
    get: bool,
    keep_ttl: bool,
    persist: bool,
    expire: Option<(Unit, &'a [u8])>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Set,
    GetEx,
}

/// Reads the options; which of them go together is Redis's rule.
fn options<'a>(args: Args<'a>, of: Of) -> Result<Options<'a>, Error> {
    let mut options = Options::default();
    let mut at = 0;
    while let Some(word) = args.get(at) {
        let set = of == Of::Set;
        let unit = if is(word, "ex") {
            Some(EX)
        } else if is(word, "px") {
            Some(PX)
        } else if is(word, "exat") {
            Some(EXAT)
        } else if is(word, "pxat") {
            Some(PXAT)
        } else {
            None
        };
        if set && is(word, "nx") && !options.if_present {
            options.if_absent = true;
        } else if set && is(word, "xx") && !options.if_absent {
            options.if_present = true;
        } else if set && is(word, "get") {
            options.get = true;
        } else if set && is(word, "keepttl") && options.expire.is_none() {
            options.keep_ttl = true;
        } else if !set && is(word, "persist") && options.expire.is_none() {
            options.persist = true;
        } else if let (Some(unit), Some(time)) = (unit, args.get(at + 1))
            && !options.keep_ttl
            && !options.persist
            && options.expire.is_none_or(|(earlier, _)| earlier == unit)
        {
            options.expire = Some((unit, time));
            at += 1;
        } else {
            return Err(Error::SYNTAX);
        }
        at += 1;
    }
    Ok(options)
}

/// The deadline in Unix milliseconds, or the error of the command of this name.
fn deadline(unit: Unit, time: &[u8], now_ms: i64, name: &str) -> Result<i64, Error> {
    let time = int(time)?;
    if time <= 0 {
        return Err(Error::invalid_expire(name));
    }
    let ms = if unit.seconds { time.checked_mul(1000) } else { Some(time) };
    let ms = if unit.absolute { ms } else { ms.and_then(|ms| ms.checked_add(now_ms)) };
    ms.ok_or_else(|| Error::invalid_expire(name))
}

/// Writes the value of the first key, or null.
fn reply_value(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let key = ctx.key(0);
    match ctx.access.string(key, Lookup::Read)? {
        Some(value) => ctx.reply.string(value),
        None => ctx.reply.null(),
    }
    Ok(())
}

/// Sets the first key; `deadline_ms` replaces what `expiry` says.
fn store(ctx: &mut Ctx<'_>, value: &[u8], expiry: Expiry) {
    let key = ctx.key(0);
    ctx.access.put(key, NewString::encode(value), expiry, NotifyFlags::STRING, "set");
    if matches!(expiry, Expiry::At(_)) {
        ctx.access.event(key, NotifyFlags::GENERIC, "expire");
    }
}

pub(super) fn set(ctx: &mut Ctx<'_>) -> Answer {
    let key = ctx.key(0);
    if ctx.args.len() == 3 {
        ctx.access.put(key, NewString::encode(&ctx.args[2]), Expiry::Clear, NotifyFlags::STRING, "set");
        ctx.reply.ok();
        return DONE;
    }
    let options = options(ctx.args.from(3), Of::Set)?;
    let expiry = match options.expire {
        Some((unit, time)) => Expiry::At(deadline(unit, time, ctx.now_ms(), "set")?),
        None if options.keep_ttl => Expiry::Keep,
        None => Expiry::Clear,
    };
    if options.get {
        reply_value(ctx)?;
    }
    if options.if_absent || options.if_present {
        let exists = ctx.access.get(key, Lookup::Write).is_some();
        if (options.if_absent && exists) || (options.if_present && !exists) {
            if !options.get {
                ctx.reply.null();
            }
            return DONE;
        }
    }
    let value = ctx.args.get(2).unwrap_or_default();
    store(ctx, value, expiry);
    if !options.get {
        ctx.reply.ok();
    }
    DONE
}

fn set_with(ctx: &mut Ctx<'_>, unit: Unit, name: &str) -> Answer {
    let at = deadline(unit, &ctx.args[2], ctx.now_ms(), name)?;
    let value = ctx.args.get(3).unwrap_or_default();
    store(ctx, value, Expiry::At(at));
    ctx.reply.ok();
    DONE
}

pub(super) fn setex(ctx: &mut Ctx<'_>) -> Answer {
    set_with(ctx, EX, "setex")
}

pub(super) fn psetex(ctx: &mut Ctx<'_>) -> Answer {
    set_with(ctx, PX, "psetex")
}

pub(super) fn setnx(ctx: &mut Ctx<'_>) -> Answer {
    let key = ctx.key(0);
    let absent = ctx.access.get(key, Lookup::Write).is_none();
    if absent {
        let value = ctx.args.get(2).unwrap_or_default();
        store(ctx, value, Expiry::Clear);
    }
    ctx.reply.int(absent.into());
    DONE
}

pub(super) fn getex(ctx: &mut Ctx<'_>) -> Answer {
    let options = options(ctx.args.from(2), Of::GetEx)?;
    let (key, now_ms) = (ctx.key(0), ctx.now_ms());
    let Some(entry) = ctx.access.get(key, Lookup::Read) else {
        ctx.reply.null();
        return DONE;
    };
    let had_deadline = entry.expires_at_ms().is_some();
    ctx.reply.string(entry.string().ok_or(Error::WRONG_TYPE)?);
    match options.expire {
        Some((unit, time)) => {
            let at = deadline(unit, time, now_ms, "getex")?;
            if at <= now_ms {
                ctx.access.delete(key, NotifyFlags::GENERIC, "del");
            } else {
                ctx.access.log_room_to_change(key, 0)?;
                ctx.access.set_expiry(key, Some(at), NotifyFlags::GENERIC, "expire");
            }
        }
        None if options.persist && had_deadline => {
            ctx.access.log_room_to_change(key, 0)?;
            ctx.access.set_expiry(key, None, NotifyFlags::GENERIC, "persist");
        }
        None => {}
    }
    DONE
}
