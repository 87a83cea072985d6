//! Hashes whose fields expire.

use super::hash::{limits, named_fields};
use super::parse::{int, is};
use super::row::{ArgKind, Category, Flag, Row, arg, block, key, keys_at, one_of, row, token};
use super::{Answer, Ctx, DONE, Error};
use crate::config::NotifyFlags;
use crate::keyspace::Lookup;
use crate::value::hash::Hash;

const HASH: NotifyFlags = NotifyFlags::HASH;
/// The latest deadline of a field, Unix milliseconds.
const DEADLINE_MS_MAX: i64 = (1 << 46) - 1;

const NO_FIELD: i64 = -2;
const NO_DEADLINE: i64 = -1;
const CONDITION_NOT_MET: i64 = 0;
const SET: i64 = 1;
const REMOVED: i64 = 2;

/// How a time is given: in seconds or milliseconds, from now or from 1970.
#[derive(Clone, Copy)]
struct Unit {
    seconds: bool,
    absolute: bool,
}

const EX: Unit = Unit { seconds: true, absolute: false };
const PX: Unit = Unit { seconds: false, absolute: false };
const EXAT: Unit = Unit { seconds: true, absolute: true };
const PXAT: Unit = Unit { seconds: false, absolute: true };

/// The deadline that an argument means, Unix milliseconds.
fn deadline(ctx: &Ctx<'_>, arg: &[u8], unit: Unit) -> Result<i64, Error> {
    let time = int(arg)?;
    if time < 0 {
        return Err(Error::fixed("ERR invalid expire time, must be >= 0"));
    }
    let ms = if unit.seconds { time.checked_mul(1000) } else { Some(time) };
    let ms = if unit.absolute { ms } else { ms.and_then(|ms| ms.checked_add(ctx.now_ms())) };
    ms.filter(|ms| *ms <= DEADLINE_MS_MAX).ok_or_else(|| Error::invalid_expire(ctx.row.name))
}

/// NX, XX, GT or LT, against the present deadline.
fn allows(condition: &[u8], old: Option<i64>, new: i64) -> bool {
    match old {
        _ if is(condition, "nx") => old.is_none(),
        _ if is(condition, "xx") => old.is_some(),
        Some(old) if is(condition, "gt") => new > old,
        None if is(condition, "gt") => false,
        Some(old) if is(condition, "lt") => new < old,
        _ => true,
    }
}

fn expire_fields(ctx: &mut Ctx<'_>, unit: Unit) -> Answer {
    let (key, args, now_ms) = (ctx.key(0), ctx.args, ctx.now_ms());
    ctx.access.write::<Hash>(key)?;
    let at_ms = deadline(ctx, &args[2], unit)?;
    let condition = ["nx", "xx", "gt", "lt"].iter().any(|word| is(&args[3], word)).then_some(&args[3]);
    let first = if condition.is_some() { 4 } else { 3 };
    let fields = named_fields(ctx, first, 1).map_err(|error| {
        let positive = b"ERR Number of fields must be a positive integer";
        if error.text() == positive {
            return Error::fixed("ERR Parameter `numFields` should be greater than 0");
        }
        error
    })?;
    ctx.reply.array(fields.len());
    let Some(mut hash) = ctx.access.write::<Hash>(key)? else {
        fields.for_each(|_| ctx.reply.int(NO_FIELD));
        return DONE;
    };
    let (mut set, mut removed) = (false, false);
    for at in fields {
        let field = &args[at];
        let outcome = match hash.deadline(field, now_ms) {
            None => NO_FIELD,
            Some(old) if condition.is_some_and(|word| !allows(word, old, at_ms)) => CONDITION_NOT_MET,
            Some(_) if at_ms <= now_ms => {
                hash.remove(field, now_ms);
                removed = true;
                REMOVED
            }
            Some(_) => {
                hash.set_deadline(field, Some(at_ms));
                set = true;
                SET
            }
        };
        ctx.reply.int(outcome);
    }
    if removed {
        ctx.access.edited(key, HASH, "hdel");
    }
    if set {
        ctx.access.edited(key, HASH, "hexpire");
        ctx.access.file_member_expiry(key, at_ms);
    }
    if removed {
        ctx.access.remove_if_empty(key);
    }
    DONE
}

fn hexpire(ctx: &mut Ctx<'_>) -> Answer {
    expire_fields(ctx, EX)
}

fn hpexpire(ctx: &mut Ctx<'_>) -> Answer {
    expire_fields(ctx, PX)
}

fn hexpireat(ctx: &mut Ctx<'_>) -> Answer {
    expire_fields(ctx, EXAT)
}

fn hpexpireat(ctx: &mut Ctx<'_>) -> Answer {
    expire_fields(ctx, PXAT)
}

/// Answers each field's deadline as `show` gives it.
fn deadlines(ctx: &mut Ctx<'_>, show: impl Fn(i64) -> i64) -> Answer {
    let (key, args, now_ms) = (ctx.key(0), ctx.args, ctx.now_ms());
    ctx.access.read::<Hash>(key, Lookup::Read)?;
    let fields = named_fields(ctx, 2, 1)?;
    let hash = ctx.access.read::<Hash>(key, Lookup::Silent)?;
    ctx.reply.array(fields.len());
    for at in fields {
        ctx.reply.int(match hash.and_then(|hash| hash.deadline(&args[at], now_ms)) {
            None => NO_FIELD,
            Some(None) => NO_DEADLINE,
            Some(Some(at_ms)) => show(at_ms),
        });
    }
    DONE
}

fn httl(ctx: &mut Ctx<'_>) -> Answer {
    let now_ms = ctx.now_ms();
    deadlines(ctx, |at_ms| (at_ms + 999 - now_ms) / 1000)
}

fn hpttl(ctx: &mut Ctx<'_>) -> Answer {
    let now_ms = ctx.now_ms();
    deadlines(ctx, |at_ms| at_ms - now_ms)
}

fn hexpiretime(ctx: &mut Ctx<'_>) -> Answer {
    deadlines(ctx, |at_ms| (at_ms + 999) / 1000)
}

fn hpexpiretime(ctx: &mut Ctx<'_>) -> Answer {
    deadlines(ctx, |at_ms| at_ms)
}

fn hpersist(ctx: &mut Ctx<'_>) -> Answer {
    let (key, args, now_ms) = (ctx.key(0), ctx.args, ctx.now_ms());
    ctx.access.write::<Hash>(key)?;
    let fields = named_fields(ctx, 2, 1)?;
    let mut hash = ctx.access.write::<Hash>(key)?;
    let mut changed = false;
    ctx.reply.array(fields.len());
    for at in fields {
        let field = &args[at];
        ctx.reply.int(match hash.as_ref().and_then(|hash| hash.deadline(field, now_ms)) {
            None => NO_FIELD,
            Some(None) => NO_DEADLINE,
            Some(Some(_)) => {
                if let Some(hash) = &mut hash {
                    hash.set_deadline(field, None);
                }
                changed = true;
                SET
            }
        });
    }
    if changed {
        ctx.access.edited(key, HASH, "hpersist");
    }
    DONE
}

/// What HGETEX and HSETEX do to deadlines.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deadline {
    Unchanged,
    Removed,
    At(i64),
}

/// The options before FIELDS, and where FIELDS is.
struct Options {
    deadline: Deadline,
    if_absent: bool,
    if_present: bool,
    fields_at: usize,
}

fn options(ctx: &Ctx<'_>) -> Result<Options, Error> {
    let args = ctx.args;
    let sets = ctx.row.name == "hsetex";
    let unchanged = if sets { Deadline::Removed } else { Deadline::Unchanged };
    let mut options = Options { deadline: unchanged, if_absent: false, if_present: false, fields_at: 2 };
    let (mut expire_given, mut condition_given) = (false, false);
    while let Some(word) = args.get(options.fields_at) {
        let at = options.fields_at;
        let unit = [("ex", EX), ("px", PX), ("exat", EXAT), ("pxat", PXAT)];
        if is(word, "fields") {
            break;
        } else if let Some((_, unit)) = unit.iter().find(|(name, _)| is(word, name)) {
            let time = args.get(at + 1).ok_or(Error::SYNTAX)?;
            if expire_given {
                return Err(one_expire_only(sets));
            }
            expire_given = true;
            options.deadline = Deadline::At(deadline(ctx, time, *unit)?);
            options.fields_at += 1;
        } else if (sets && is(word, "keepttl")) || (!sets && is(word, "persist")) {
            if expire_given {
                return Err(one_expire_only(sets));
            }
            expire_given = true;
            options.deadline = if sets { Deadline::Unchanged } else { Deadline::Removed };
        } else if sets && (is(word, "fnx") || is(word, "fxx")) {
            if condition_given {
                return Err(Error::fixed("ERR Only one of FXX or FNX arguments can be specified"));
            }
            condition_given = true;
            options.if_absent = is(word, "fnx");
            options.if_present = !options.if_absent;
        } else {
            return Err(Error::quoting("ERR unknown argument: ", word, ""));
        }
        options.fields_at += 1;
    }
    Ok(options)
}

fn one_expire_only(sets: bool) -> Error {
    Error::fixed(if sets {
        "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified"
    } else {
        "ERR Only one of EX, PX, EXAT, PXAT or PERSIST arguments can be specified"
    })
}

fn hgetex(ctx: &mut Ctx<'_>) -> Answer {
    let options = options(ctx)?;
    let fields = named_fields(ctx, options.fields_at, 1)?;
    let (key, args, now_ms) = (ctx.key(0), ctx.args, ctx.now_ms());
    let mut hash = ctx.access.write::<Hash>(key)?;
    let (mut set, mut removed, mut persisted) = (false, false, false);
    ctx.reply.array(fields.len());
    for at in fields {
        let field = &args[at];
        let Some(hash) = &mut hash else {
            ctx.reply.null();
            continue;
        };
        let Some(value) = hash.get(field, now_ms) else {
            ctx.reply.null();
            continue;
        };
        value.with(|text| ctx.reply.bulk(text));
        match options.deadline {
            Deadline::Unchanged => {}
            Deadline::At(at_ms) if at_ms <= now_ms => removed |= hash.remove(field, now_ms),
            Deadline::At(at_ms) => {
                hash.set_deadline(field, Some(at_ms));
                set = true;
            }
            Deadline::Removed => {
                persisted |= hash.deadline(field, now_ms).flatten().is_some();
                hash.set_deadline(field, None);
            }
        }
    }
    if set && let Deadline::At(at_ms) = options.deadline {
        ctx.access.edited(key, HASH, "hexpire");
        ctx.access.file_member_expiry(key, at_ms);
    }
    if persisted {
        ctx.access.edited(key, HASH, "hpersist");
    }
    if removed {
        ctx.access.edited(key, HASH, "hdel");
        ctx.access.remove_if_empty(key);
    }
    DONE
}

fn hsetex(ctx: &mut Ctx<'_>) -> Answer {
    let options = options(ctx)?;
    let fields = named_fields(ctx, options.fields_at, 2)?;
    let (key, args, now_ms, limits) = (ctx.key(0), ctx.args, ctx.now_ms(), limits(ctx.settings));
    let old = ctx.access.write::<Hash>(key)?;
    let there = |at: usize| old.as_ref().is_some_and(|hash| hash.get(&args[at], now_ms).is_some());
    let refused = (options.if_absent && fields.clone().step_by(2).any(there))
        || (options.if_present && !fields.clone().step_by(2).all(there));
    if refused {
        ctx.reply.int(0);
        return DONE;
    }
    let mut hash = ctx.access.write_or_create::<Hash>(key)?;
    let mut removed = false;
    for at in fields.step_by(2) {
        let (field, value) = (&args[at], &args[at + 1]);
        match options.deadline {
            Deadline::At(at_ms) if at_ms <= now_ms => removed |= hash.remove(field, now_ms),
            Deadline::At(at_ms) => {
                hash.set_until(field, value, Some(at_ms), &limits);
            }
            Deadline::Unchanged => {
                let kept = hash.deadline(field, now_ms).flatten();
                hash.set_until(field, value, kept, &limits);
            }
            Deadline::Removed => {
                hash.set(field, value, &limits);
            }
        }
    }
    match options.deadline {
        Deadline::At(at_ms) if at_ms <= now_ms => {}
        Deadline::At(at_ms) => {
            ctx.access.edited(key, HASH, "hset");
            ctx.access.edited(key, HASH, "hexpire");
            ctx.access.file_member_expiry(key, at_ms);
        }
        Deadline::Removed | Deadline::Unchanged => ctx.access.edited(key, HASH, "hset"),
    }
    if removed {
        ctx.access.edited(key, HASH, "hdel");
    }
    ctx.access.remove_if_empty(key);
    ctx.reply.int(1);
    DONE
}

/// The rows of this family.
pub const ROWS: &[Row] = &[
    row("hexpire", -6, "hash", hexpire)
        .flags(&[Flag::Write, Flag::DenyOom, Flag::Fast])
        .acl(&[Category::Hash])
        .keys(&[keys_at(1, 0, 1, &["RW", "update"])])
        .docs("Set expiry for hash field using relative time to expire (seconds)", "7.4.0")
        .complexity("O(N) where N is the number of specified fields")
        .args(&[
            key("key", 0),
            arg("seconds", ArgKind::Integer),
            one_of(
                "condition",
                &[token("nx", "NX"), token("xx", "XX"), token("gt", "GT"), token("lt", "LT")],
            )
            .optional(),
            block("fields", &[arg("numfields", ArgKind::Integer), arg("field", ArgKind::String).multiple()])
                .token("FIELDS"),
        ]),
    row("hpexpire", -6, "hash", hpexpire)
        .flags(&[Flag::Write, Flag::DenyOom, Flag::Fast])
        .acl(&[Category::Hash])
        .keys(&[keys_at(1, 0, 1, &["RW", "update"])])
        .docs("Set expiry for hash field using relative time to expire (milliseconds)", "7.4.0")
        .complexity("O(N) where N is the number of specified fields")
        .args(&[
            key("key", 0),
            arg("milliseconds", ArgKind::Integer),
            one_of(
                "condition",
                &[token("nx", "NX"), token("xx", "XX"), token("gt", "GT"), token("lt", "LT")],
            )
            .optional(),
            block("fields", &[arg("numfields", ArgKind::Integer), arg("field", ArgKind::String).multiple()])
                .token("FIELDS"),
        ]),
    row("hexpireat", -6, "hash", hexpireat)
        .flags(&[Flag::Write, Flag::DenyOom, Flag::Fast])
        .acl(&[Category::Hash])
        .keys(&[keys_at(1, 0, 1, &["RW", "update"])])
        .docs("Set expiry for hash field using an absolute Unix timestamp (seconds)", "7.4.0")
        .complexity("O(N) where N is the number of specified fields")
        .args(&[
            key("key", 0),
            arg("unix-time-seconds", ArgKind::UnixTime),
            one_of(
                "condition",
                &[token("nx", "NX"), token("xx", "XX"), token("gt", "GT"), token("lt", "LT")],
            )
            .optional(),
            block("fields", &[arg("numfields", ArgKind::Integer), arg("field", ArgKind::String).multiple()])
                .token("FIELDS"),
        ]),
    row("hpexpireat", -6, "hash", hpexpireat)
        .flags(&[Flag::Write, Flag::DenyOom, Flag::Fast])
        .acl(&[Category::Hash])
        .keys(&[keys_at(1, 0, 1, &["RW", "update"])])
        .docs("Set expiry for hash field using an absolute Unix timestamp (milliseconds)", "7.4.0")
        .complexity("O(N) where N is the number of specified fields")
        .args(&[
            key("key", 0),
            arg("unix-time-milliseconds", ArgKind::UnixTime),
            one_of(
                "condition",
                &[token("nx", "NX"), token("xx", "XX"), token("gt", "GT"), token("lt", "LT")],
            )
            .optional(),
            block("fields", &[arg("numfields", ArgKind::Integer), arg("field", ArgKind::String).multiple()])
                .token("FIELDS"),
        ]),
    row("httl", -5, "hash", httl)
        .flags(&[Flag::Readonly, Flag::Fast])
        .acl(&[Category::Hash])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns the TTL in seconds of a hash field.", "7.4.0")
        .complexity("O(N) where N is the number of specified fields")
        .args(&[
            key("key", 0),
            block("fields", &[arg("numfields", ArgKind::Integer), arg("field", ArgKind::String).multiple()])
                .token("FIELDS"),
        ]),
    row("hpttl", -5, "hash", hpttl)
        .flags(&[Flag::Readonly, Flag::Fast])
        .acl(&[Category::Hash])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns the TTL in milliseconds of a hash field.", "7.4.0")
        .complexity("O(N) where N is the number of specified fields")
        .args(&[
            key("key", 0),
            block("fields", &[arg("numfields", ArgKind::Integer), arg("field", ArgKind::String).multiple()])
                .token("FIELDS"),
        ]),
    row("hexpiretime", -5, "hash", hexpiretime)
        .flags(&[Flag::Readonly, Flag::Fast])
        .acl(&[Category::Hash])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns the expiration time of a hash field as a Unix timestamp, in seconds.", "7.4.0")
        .complexity("O(N) where N is the number of specified fields")
        .args(&[
            key("key", 0),
            block("fields", &[arg("numfields", ArgKind::Integer), arg("field", ArgKind::String).multiple()])
                .token("FIELDS"),
        ]),
    row("hpexpiretime", -5, "hash", hpexpiretime)
        .flags(&[Flag::Readonly, Flag::Fast])
        .acl(&[Category::Hash])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns the expiration time of a hash field as a Unix timestamp, in msec.", "7.4.0")
        .complexity("O(N) where N is the number of specified fields")
        .args(&[
            key("key", 0),
            block("fields", &[arg("numfields", ArgKind::Integer), arg("field", ArgKind::String).multiple()])
                .token("FIELDS"),
        ]),
    row("hpersist", -5, "hash", hpersist)
        .flags(&[Flag::Write, Flag::Fast])
        .acl(&[Category::Hash])
        .keys(&[keys_at(1, 0, 1, &["RW", "update"])])
        .docs("Removes the expiration time for each specified field", "7.4.0")
        .complexity("O(N) where N is the number of specified fields")
        .args(&[
            key("key", 0),
            block("fields", &[arg("numfields", ArgKind::Integer), arg("field", ArgKind::String).multiple()])
                .token("FIELDS"),
        ]),
    row("hgetex", -5, "hash", hgetex)
        .flags(&[Flag::Write, Flag::Fast])
        .acl(&[Category::Hash])
        .keys(&[keys_at(1, 0, 1, &["RW", "update"]).notes("RW and UPDATE because it changes the TTL")])
        .docs(
            "Get the value of one or more fields of a given hash key, and optionally set their expiration.",
            "8.0.0",
        )
        .complexity("O(N) where N is the number of specified fields")
        .args(&[
            key("key", 0),
            one_of(
                "expiration",
                &[
                    arg("seconds", ArgKind::Integer).token("EX"),
                    arg("milliseconds", ArgKind::Integer).token("PX"),
                    arg("unix-time-seconds", ArgKind::UnixTime).token("EXAT"),
                    arg("unix-time-milliseconds", ArgKind::UnixTime).token("PXAT"),
                    token("persist", "PERSIST"),
                ],
            )
            .optional(),
            block("fields", &[arg("numfields", ArgKind::Integer), arg("field", ArgKind::String).multiple()])
                .token("FIELDS"),
        ]),
    row("hsetex", -6, "hash", hsetex)
        .flags(&[Flag::Write, Flag::DenyOom, Flag::Fast])
        .acl(&[Category::Hash])
        .keys(&[keys_at(1, 0, 1, &["RW", "update"])])
        .docs(
            "Set the value of one or more fields of a given hash key, and optionally set their expiration.",
            "8.0.0",
        )
        .complexity("O(N) where N is the number of fields being set.")
        .args(&[
            key("key", 0),
            one_of("condition", &[token("fnx", "FNX"), token("fxx", "FXX")]).optional(),
            one_of(
                "expiration",
                &[
                    arg("seconds", ArgKind::Integer).token("EX"),
                    arg("milliseconds", ArgKind::Integer).token("PX"),
                    arg("unix-time-seconds", ArgKind::UnixTime).token("EXAT"),
                    arg("unix-time-milliseconds", ArgKind::UnixTime).token("PXAT"),
                    token("keepttl", "KEEPTTL"),
                ],
            )
            .optional(),
            block(
                "fields",
                &[
                    arg("numfields", ArgKind::Integer),
                    block("data", &[arg("field", ArgKind::String), arg("value", ArgKind::String)]).multiple(),
                ],
            )
            .token("FIELDS"),
        ]),
];
