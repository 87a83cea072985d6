//! Deadlines: EXPIRE and its family, TTL and its family, PERSIST.

use super::parse::{int, is};
use super::row::{ArgKind, Category, Flag, Row, arg, key, keys_at, one_of, row, token};
use super::{Answer, Ctx, DONE, Error};
use crate::config::NotifyFlags;
use crate::keyspace::Lookup;

/// NX, XX, GT, LT.
#[derive(Default)]
struct Condition {
    if_none: bool,
    if_some: bool,
    if_later: bool,
    if_earlier: bool,
}

fn condition(ctx: &Ctx<'_>) -> Result<Condition, Error> {
    let mut condition = Condition::default();
    for word in ctx.args.iter().skip(3) {
        if is(word, "nx") {
            condition.if_none = true;
        } else if is(word, "xx") {
            condition.if_some = true;
        } else if is(word, "gt") {
            condition.if_later = true;
        } else if is(word, "lt") {
            condition.if_earlier = true;
        } else {
            return Err(Error::quoting("ERR Unsupported option ", word, ""));
        }
    }
    if condition.if_none && (condition.if_some || condition.if_later || condition.if_earlier) {
        let text = "ERR NX and XX, GT or LT options at the same time are not compatible";
        return Err(Error::fixed(text));
    }
    if condition.if_later && condition.if_earlier {
        return Err(Error::fixed("ERR GT and LT options at the same time are not compatible"));
    }
    Ok(condition)
}

impl Condition {
    /// Whether a deadline may replace another.
    fn allows(&self, old: Option<i64>, new: i64) -> bool {
        match old {
            Some(old) => !(self.if_none || (self.if_later && new <= old) || (self.if_earlier && new >= old)),
            // No deadline is later than any.
            None => !(self.if_some || self.if_later),
        }
    }
}

fn set_deadline(ctx: &mut Ctx<'_>, seconds: bool, absolute: bool) -> Answer {
    let condition = condition(ctx)?;
    let (key, now_ms) = (ctx.key(0), ctx.now_ms());
    let invalid = || Error::invalid_expire(ctx.row.name);
    let time = int(&ctx.args[2])?;
    let time = if seconds { time.checked_mul(1000).ok_or_else(invalid)? } else { time };
    let at = if absolute { time } else { time.checked_add(now_ms).ok_or_else(invalid)? };
    let Some(entry) = ctx.access.get(key, Lookup::Write) else {
        ctx.reply.int(0);
        return DONE;
    };
    let old = entry.expires_at_ms();
    if !condition.allows(old, at) {
        ctx.reply.int(0);
        return DONE;
    }
    if at <= now_ms {
        ctx.access.delete(key, NotifyFlags::GENERIC, "del");
    } else {
        ctx.access.log_room_to_change(key, 0)?;
        ctx.access.set_expiry(key, Some(at), NotifyFlags::GENERIC, "expire");
    }
    ctx.reply.int(1);
    DONE
}

fn expire(ctx: &mut Ctx<'_>) -> Answer {
    set_deadline(ctx, true, false)
}

fn pexpire(ctx: &mut Ctx<'_>) -> Answer {
    set_deadline(ctx, false, false)
}

fn expireat(ctx: &mut Ctx<'_>) -> Answer {
    set_deadline(ctx, true, true)
}

fn pexpireat(ctx: &mut Ctx<'_>) -> Answer {
    set_deadline(ctx, false, true)
}

fn persist(ctx: &mut Ctx<'_>) -> Answer {
    let key = ctx.key(0);
    let expires = ctx.access.get(key, Lookup::Write).is_some_and(|entry| entry.expires_at_ms().is_some());
    if expires {
        ctx.access.log_room_to_change(key, 0)?;
        ctx.access.set_expiry(key, None, NotifyFlags::GENERIC, "persist");
    }
    ctx.reply.int(expires.into());
    DONE
}

/// Answers -2 without a key, -1 without a deadline, else what `show` makes of it.
fn show_deadline(ctx: &mut Ctx<'_>, show: impl Fn(i64, i64) -> i64) -> Answer {
    let (key, now_ms) = (ctx.key(0), ctx.now_ms());
    let shown = match ctx.access.get(key, Lookup::Quiet).map(|entry| entry.expires_at_ms()) {
        None => -2,
        Some(None) => -1,
        Some(Some(at)) => show(at, now_ms),
    };
    ctx.reply.int(shown);
    DONE
}

fn ttl(ctx: &mut Ctx<'_>) -> Answer {
    show_deadline(ctx, |at, now| ((at - now).max(0) + 500) / 1000)
}

fn pttl(ctx: &mut Ctx<'_>) -> Answer {
    show_deadline(ctx, |at, now| (at - now).max(0))
}

fn expiretime(ctx: &mut Ctx<'_>) -> Answer {
    show_deadline(ctx, |at, _| at.saturating_add(500) / 1000)
}

fn pexpiretime(ctx: &mut Ctx<'_>) -> Answer {
    show_deadline(ctx, |at, _| at)
}

/// The rows of this family.
pub const ROWS: &[Row] = &[
    row("expire", -3, "generic", expire)
        .flags(&[Flag::Write, Flag::Fast])
        .acl(&[Category::Keyspace])
        .keys(&[keys_at(1, 0, 1, &["RW", "update"])])
        .docs("Sets the expiration time of a key in seconds.", "1.0.0")
        .complexity("O(1)")
        .history(&[("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`.")])
        .args(&[
            key("key", 0),
            arg("seconds", ArgKind::Integer),
            one_of(
                "condition",
                &[token("nx", "NX"), token("xx", "XX"), token("gt", "GT"), token("lt", "LT")],
            )
            .since("7.0.0")
            .optional(),
        ]),
    row("expireat", -3, "generic", expireat)
        .flags(&[Flag::Write, Flag::Fast])
        .acl(&[Category::Keyspace])
        .keys(&[keys_at(1, 0, 1, &["RW", "update"])])
        .docs("Sets the expiration time of a key to a Unix timestamp.", "1.2.0")
        .complexity("O(1)")
        .history(&[("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`.")])
        .args(&[
            key("key", 0),
            arg("unix-time-seconds", ArgKind::UnixTime),
            one_of(
                "condition",
                &[token("nx", "NX"), token("xx", "XX"), token("gt", "GT"), token("lt", "LT")],
            )
            .since("7.0.0")
            .optional(),
        ]),
    row("expiretime", 2, "generic", expiretime)
        .flags(&[Flag::Readonly, Flag::Fast])
        .acl(&[Category::Keyspace])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns the expiration time of a key as a Unix timestamp.", "7.0.0")
        .complexity("O(1)")
        .args(&[key("key", 0)]),
    row("pexpire", -3, "generic", pexpire)
        .flags(&[Flag::Write, Flag::Fast])
        .acl(&[Category::Keyspace])
        .keys(&[keys_at(1, 0, 1, &["RW", "update"])])
        .docs("Sets the expiration time of a key in milliseconds.", "2.6.0")
        .complexity("O(1)")
        .history(&[("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`.")])
        .args(&[
            key("key", 0),
            arg("milliseconds", ArgKind::Integer),
            one_of(
                "condition",
                &[token("nx", "NX"), token("xx", "XX"), token("gt", "GT"), token("lt", "LT")],
            )
            .since("7.0.0")
            .optional(),
        ]),
    row("pexpireat", -3, "generic", pexpireat)
        .flags(&[Flag::Write, Flag::Fast])
        .acl(&[Category::Keyspace])
        .keys(&[keys_at(1, 0, 1, &["RW", "update"])])
        .docs("Sets the expiration time of a key to a Unix milliseconds timestamp.", "2.6.0")
        .complexity("O(1)")
        .history(&[("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`.")])
        .args(&[
            key("key", 0),
            arg("unix-time-milliseconds", ArgKind::UnixTime),
            one_of(
                "condition",
                &[token("nx", "NX"), token("xx", "XX"), token("gt", "GT"), token("lt", "LT")],
            )
            .since("7.0.0")
            .optional(),
        ]),
    row("pexpiretime", 2, "generic", pexpiretime)
        .flags(&[Flag::Readonly, Flag::Fast])
        .acl(&[Category::Keyspace])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns the expiration time of a key as a Unix milliseconds timestamp.", "7.0.0")
        .complexity("O(1)")
        .args(&[key("key", 0)]),
    row("persist", 2, "generic", persist)
        .flags(&[Flag::Write, Flag::Fast])
        .acl(&[Category::Keyspace])
        .keys(&[keys_at(1, 0, 1, &["RW", "update"])])
        .docs("Removes the expiration time of a key.", "2.2.0")
        .complexity("O(1)")
        .args(&[key("key", 0)]),
    row("ttl", 2, "generic", ttl)
        .flags(&[Flag::Readonly, Flag::Fast])
        .acl(&[Category::Keyspace])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns the expiration time in seconds of a key.", "1.0.0")
        .complexity("O(1)")
        .history(&[("2.8.0", "Added the -2 reply.")])
        .tips(&["nondeterministic_output"])
        .args(&[key("key", 0)]),
    row("pttl", 2, "generic", pttl)
        .flags(&[Flag::Readonly, Flag::Fast])
        .acl(&[Category::Keyspace])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns the expiration time in milliseconds of a key.", "2.6.0")
        .complexity("O(1)")
        .history(&[("2.8.0", "Added the -2 reply.")])
        .tips(&["nondeterministic_output"])
        .args(&[key("key", 0)]),
];
