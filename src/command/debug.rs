//! DEBUG: what test suites ask for.

use super::object::encoding;
use super::parse::{int, is};
use super::row::{Flag, Row, row};
use super::{Answer, Ctx, DONE, Error, Step, Wait};
use crate::config::{Access, NotifyFlags};
use crate::keyspace::{Expiry, Lookup, Scope};
use crate::number;
use crate::value::string::NewString;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// The longest DEBUG SLEEP, in seconds.
const SLEEP_SECONDS_MAX: f64 = 3600.0;

fn allowed(ctx: &Ctx<'_>) -> bool {
    match ctx.settings.enable_debug_command {
        Access::Yes => true,
        Access::No => false,
        Access::Local => crate::client::is_local(ctx.client),
    }
}

fn debug(ctx: &mut Ctx<'_>) -> Answer {
    if !allowed(ctx) {
        return Err(Error::fixed(
            "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can \
             run it from a local connection, otherwise you need to set this option in the configuration \
             file, and then restart the server.",
        ));
    }
    let Some(word) = ctx.args.get(1) else { return Err(Error::arity("debug")) };
    let args = ctx.args.len();
    match word {
        word if is(word, "help") && args == 2 => help(ctx),
        word if is(word, "sleep") && args == 3 => sleep(ctx),
        word if is(word, "object") && args == 3 => object(ctx),
        word if is(word, "set-active-expire") && args == 3 => set_active_expire(ctx),
        word if is(word, "error") && args == 3 => Err(Error::new(&ctx.args[2])),
        word if is(word, "log") && args == 3 => log(ctx),
        word if is(word, "populate") && (3..=5).contains(&args) => populate(ctx),
        word if is(word, "demote") && args == 2 => demote(ctx),
        word if is(word, "protocol") && args == 3 => protocol(ctx),
        word if NO_OPERATION.iter().any(|name| is(word, name)) => {
            ctx.reply.ok();
            DONE
        }
        word => Err(Error::subcommand_syntax(b"debug", word)),
    }
}

/// What turns knobs of Redis that Strata does not have; suites call them before a test.
const NO_OPERATION: [&str; 8] = [
    "jmap",
    "change-repl-id",
    "dict-resizing",
    "pause-cron",
    "quicklist-packed-threshold",
    "replybuffer",
    "set-skip-checksum-validation",
    "stringmatch-test",
];

fn sleep(ctx: &mut Ctx<'_>) -> Answer {
    let seconds = number::parse_f64(&ctx.args[2]).unwrap_or(0.0).clamp(0.0, SLEEP_SECONDS_MAX);
    ctx.reply.ok();
    Ok(Step::Wait(Box::new(Wait::For(Duration::from_secs_f64(seconds)))))
}

fn object(ctx: &mut Ctx<'_>) -> Answer {
    let space = ctx.access.space();
    let (now_ms, mode) = (ctx.now_ms(), space.access_mode());
    let key = space.key(ctx.state.database, &ctx.args[2]);
    let line = ctx.access.with_key(key, |access| {
        access.get(key, Lookup::Silent).map(|entry| {
            format!(
                "Value at:{:p} refcount:1 encoding:{} serializedlength:{} lru:{} lru_seconds_idle:{}",
                entry.key().as_ptr(),
                encoding(&entry),
                entry.string().map_or_else(|| entry.total_bytes(64), |value| value.len() + 1),
                entry.access_bits(),
                mode.idle_seconds(entry.access_bits(), now_ms)
            )
        })
    });
    ctx.reply.simple(&line.ok_or(Error::NO_SUCH_KEY)?);
    DONE
}

fn set_active_expire(ctx: &mut Ctx<'_>) -> Answer {
    let on = ctx.args[2].first() != Some(&b'0');
    ctx.access.space().active_expire_off.store(!on, Relaxed);
    ctx.reply.ok();
    DONE
}

/// Lets every value leave memory for the disk.
fn demote(ctx: &mut Ctx<'_>) -> Answer {
    if !ctx.may_block {
        return Err(Error::fixed("ERR DEBUG DEMOTE is not for transactions"));
    }
    let space = ctx.access.space();
    let left = space.demote_all(ctx.access.scratch());
    ctx.reply.int(left as i64);
    DONE
}

fn log(ctx: &mut Ctx<'_>) -> Answer {
    tracing::warn!("DEBUG LOG: {}", String::from_utf8_lossy(&ctx.args[2]));
    ctx.reply.ok();
    DONE
}

/// After so many new keys values leave memory for disk, where there is a limit: a command makes room before it begins, but
/// this one may bring any number of keys.
const POPULATE_ROOM_EVERY: i64 = 64;

/// Makes `count` keys `prefix:0`, `prefix:1` … that are not there yet.
fn populate(ctx: &mut Ctx<'_>) -> Answer {
    let count = int(&ctx.args[2])?;
    if count < 0 {
        return Err(Error::fixed("ERR value is out of range, must be positive"));
    }
    let prefix = ctx.args.get(3).unwrap_or(b"key");
    let size = match ctx.args.get(4) {
        Some(size) => usize::try_from(int(size)?).unwrap_or(0).min(ctx.settings.proto_max_bulk_len as usize),
        None => 0,
    };
    let (space, database) = (ctx.access.space(), ctx.state.database);
    for number in 0..count {
        if number % POPULATE_ROOM_EVERY == 0 {
            // What there is no room for anyhow stands above the limit until others make it.
            let _ = ctx.access.make_room(ctx.settings);
        }
        let name = [prefix, format!(":{number}").as_bytes()].concat();
        let mut value = format!("value:{number}").into_bytes();
        if size > 0 {
            value.resize(size, 0);
        }
        ctx.access.log_room(name.len() + value.len())?;
        let key = space.key(database, &name);
        ctx.access.with_key(key, |access| {
            if access.get(key, Lookup::Silent).is_none() {
                let value = NewString::encode_raw(&value);
                access.put(key, value, Expiry::Clear, NotifyFlags::STRING, "set");
            }
        });
    }
    ctx.reply.ok();
    DONE
}

/// A reply of each type.
fn protocol(ctx: &mut Ctx<'_>) -> Answer {
    let resp3 = ctx.reply.is_resp3();
    let word = &ctx.args[2];
    let reply = &mut ctx.reply;
    match word {
        word if is(word, "string") => reply.bulk(b"Hello World"),
        word if is(word, "integer") => reply.int(12345),
        word if is(word, "double") => reply.double(3141.0 / 1000.0),
        word if is(word, "null") => reply.null(),
        word if is(word, "array") || is(word, "set") => {
            if is(word, "set") {
                reply.set(3)
            } else {
                reply.array(3)
            }
            (0..3).for_each(|number| reply.int(number));
        }
        word if is(word, "map") => {
            reply.map(3);
            for number in 0..3 {
                reply.int(number);
                reply.output().extend(match (resp3, number == 1) {
                    (true, true) => b"#t\r\n",
                    (true, false) => b"#f\r\n",
                    (false, true) => b":1\r\n",
                    (false, false) => b":0\r\n",
                });
            }
        }
        word if is(word, "bignum") && resp3 => {
            reply.output().extend(b"(1234567999999999999999999999999999999\r\n");
        }
        word if is(word, "bignum") => reply.bulk(b"1234567999999999999999999999999999999"),
        word if is(word, "verbatim") => reply.verbatim(b"This is a verbatim\nstring"),
        word if is(word, "true") => reply.output().extend(if resp3 { b"#t\r\n" } else { b":1\r\n" }),
        word if is(word, "false") => reply.output().extend(if resp3 { b"#f\r\n" } else { b":0\r\n" }),
        word if is(word, "push") && resp3 => {
            reply.push(2);
            reply.bulk(b"server-cpu-usage");
            reply.int(42);
        }
        word if is(word, "push") => return Err(Error::fixed("ERR RESP2 is not supported by this command")),
        word if is(word, "attrib") && resp3 => {
            reply.output().extend(b"|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n");
            reply.bulk(b"Some real reply following the attribute");
        }
        word if is(word, "attrib") => return Err(Error::fixed("ERR RESP2 is not supported by this command")),
        _ => {
            return Err(Error::fixed(
                "ERR Wrong protocol type name. Please use one of the following: \
                 string|integer|double|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    }
    DONE
}

fn help(ctx: &mut Ctx<'_>) -> Answer {
    ctx.help(&[
        "DEMOTE",
        "    Let every value leave memory for the second tier. Return how many did.",
        "ERROR <string>",
        "    Return a Redis protocol error with <string> as message. Useful for clients",
        "    unit tests to simulate Redis errors.",
        "LOG <message>",
        "    Write <message> to the server log.",
        "OBJECT <key>",
        "    Show low level info about `key` and associated value.",
        "POPULATE <count> [<prefix>] [<size>]",
        "    Create <count> string keys named key:<num>. If <prefix> is specified then",
        "    it is used instead of the 'key' prefix.",
        "PROTOCOL <type>",
        "    Reply with a test value of the specified type. <type> can be: string,",
        "    integer, double, bignum, null, array, set, map, attrib, push, verbatim,",
        "    true, false.",
        "SET-ACTIVE-EXPIRE <0|1>",
        "    Setting it to 0 disables expiring keys (and hash-fields) in background ",
        "    when they are not accessed (otherwise the Redis behavior). Setting it",
        "    to 1 reenables back the default.",
        "SLEEP <seconds>",
        "    Stop this client for <seconds>. Decimals allowed.",
    ])
}

/// The rows of this family.
pub const ROWS: &[Row] = &[row("debug", -2, "server", debug)
    .scope(|_| Scope::Walk)
    .flags(&[Flag::Admin, Flag::NoScript, Flag::Loading, Flag::Stale, Flag::Protected])
    .docs("A container for debugging commands.", "1.0.0")
    .complexity("Depends on subcommand.")
    .doc_flags(&["syscmd"])];
