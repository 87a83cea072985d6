//! The connection itself: PING, ECHO, HELLO, AUTH, SELECT, QUIT, RESET.

use super::client::{set_name, validate_name};
use super::parse::{database, int_or, is};
use super::pubsub::forget_subscriptions;
use super::row::{ArgKind, Category, Flag, Row, arg, block, row};
use super::transaction::forget_watched;
use super::{Answer, Ctx, DONE, Error};
use crate::client::{Flags, ReplyMode};
use std::sync::atomic::Ordering::Relaxed;

fn ping(ctx: &mut Ctx<'_>) -> Answer {
    if ctx.args.len() > 2 {
        return Err(Error::arity("ping"));
    }
    let message = ctx.args.get(1);
    if ctx.state.is_subscribed() && !ctx.state.resp3 {
        ctx.reply.array(2);
        ctx.reply.bulk(b"pong");
        ctx.reply.bulk(message.unwrap_or_default());
    } else {
        match message {
            Some(message) => ctx.reply.bulk(message),
            None => ctx.reply.simple("PONG"),
        }
    }
    DONE
}

fn echo(ctx: &mut Ctx<'_>) -> Answer {
    ctx.reply.bulk(&ctx.args[1]);
    DONE
}

fn select(ctx: &mut Ctx<'_>) -> Answer {
    let count = ctx.access.space().database_count();
    let number = database(&ctx.args[1], count, Error::NOT_AN_INTEGER)?;
    ctx.state.database = number;
    ctx.client.database.store(number as u32, Relaxed);
    ctx.reply.ok();
    DONE
}

fn quit(ctx: &mut Ctx<'_>) -> Answer {
    ctx.state.close_after_reply = true;
    ctx.reply.ok();
    DONE
}

/// Whether two texts are equal, in a time that does not tell where they differ.
fn equal_in_constant_time(one: &[u8], other: &[u8]) -> bool {
    let differing =
        one.iter().zip(other).fold(one.len() ^ other.len(), |sum, (a, b)| sum | usize::from(a ^ b));
    std::hint::black_box(differing) == 0
}

/// Authenticates the client as the one user there is.
fn authenticate(ctx: &mut Ctx<'_>, user: &[u8], password: &[u8]) -> Result<(), Error> {
    let wanted = ctx.settings.requirepass.as_bytes();
    if user == b"default" && (wanted.is_empty() || equal_in_constant_time(password, wanted)) {
        ctx.state.authenticated = true;
        ctx.client.authenticated.store(true, Relaxed);
        return Ok(());
    }
    ctx.metrics.counters.auth_refused.add(1);
    Err(Error::fixed("WRONGPASS invalid username-password pair or user is disabled."))
}

fn auth(ctx: &mut Ctx<'_>) -> Answer {
    if ctx.args.len() > 3 {
        return Err(Error::SYNTAX);
    }
    let (user, password) = match ctx.args.get(2) {
        Some(password) => (ctx.args.get(1).unwrap_or_default(), password),
        None if ctx.settings.requirepass.is_empty() => {
            return Err(Error::fixed(
                "ERR AUTH <password> called without any password configured for the default user. Are you \
                 sure your configuration is correct?",
            ));
        }
        None => (b"default".as_slice(), ctx.args.get(1).unwrap_or_default()),
    };
    authenticate(ctx, user, password)?;
    ctx.reply.ok();
    DONE
}

fn hello(ctx: &mut Ctx<'_>) -> Answer {
    let version = match ctx.args.get(1) {
        Some(version) => {
            let version = int_or(version, "ERR Protocol version is not an integer or out of range")?;
            if !(2..=3).contains(&version) {
                return Err(Error::fixed("NOPROTO unsupported protocol version"));
            }
            Some(version)
        }
        None => None,
    };
    let mut name = None;
    let mut login = None;
    let mut at = 2;
    while let Some(option) = ctx.args.get(at) {
        if is(option, "auth")
            && let (Some(user), Some(password)) = (ctx.args.get(at + 1), ctx.args.get(at + 2))
        {
            login = Some((user, password));
            at += 3;
        } else if is(option, "setname")
            && let Some(wanted) = ctx.args.get(at + 1)
        {
            validate_name(wanted)?;
            name = Some(wanted);
            at += 2;
        } else {
            return Err(Error::quoting("ERR Syntax error in HELLO option '", option, "'"));
        }
    }
    if let Some((user, password)) = login {
        authenticate(ctx, user, password)?;
    }
    if !ctx.state.authenticated {
        return Err(Error::fixed(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> \
             AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol \
             version at the same time",
        ));
    }
    if let Some(name) = name {
        set_name(ctx, name);
    }
    if let Some(version) = version {
        ctx.state.resp3 = version == 3;
        ctx.client.resp3.store(version == 3, Relaxed);
        ctx.reply.set_resp3(version == 3);
    }
    ctx.reply.map(7);
    ctx.reply.bulk(b"server");
    ctx.reply.bulk(b"redis");
    ctx.reply.bulk(b"version");
    ctx.reply.bulk(super::info::REDIS_VERSION.as_bytes());
    ctx.reply.bulk(b"proto");
    ctx.reply.int(if ctx.state.resp3 { 3 } else { 2 });
    ctx.reply.bulk(b"id");
    ctx.reply.int(ctx.client.id as i64);
    ctx.reply.bulk(b"mode");
    ctx.reply.bulk(b"standalone");
    ctx.reply.bulk(b"role");
    ctx.reply.bulk(b"master");
    ctx.reply.bulk(b"modules");
    ctx.reply.array(0);
    DONE
}

fn reset(ctx: &mut Ctx<'_>) -> Answer {
    if ctx.state.monitor {
        ctx.state.monitor = false;
        ctx.services.monitors.remove(ctx.client);
    }
    forget_subscriptions(ctx.services, ctx.client, ctx.state);
    forget_watched(ctx.services, ctx.state);
    ctx.client.watched.store(0, Relaxed);
    ctx.state.transaction = None;
    ctx.client.queued.store(u32::MAX, Relaxed);
    ctx.state.database = 0;
    ctx.client.database.store(0, Relaxed);
    ctx.state.resp3 = false;
    ctx.client.resp3.store(false, Relaxed);
    ctx.reply.set_resp3(false);
    ctx.state.authenticated = ctx.settings.requirepass.is_empty();
    ctx.client.authenticated.store(ctx.state.authenticated, Relaxed);
    ctx.state.no_touch = false;
    // The reply of RESET itself is still skipped where the client asked for that.
    if ctx.state.reply_mode != ReplyMode::Skipping {
        ctx.state.reply_mode = ReplyMode::On;
    }
    ctx.client.set_flags(Flags::NO_TOUCH | Flags::NO_EVICT, false);
    ctx.client.info.lock().name = bytes::Bytes::new();
    ctx.reply.simple("RESET");
    DONE
}

/// The rows of this family.
pub const ROWS: &[Row] = &[
    row("auth", -2, "connection", auth)
        .flags(&[
            Flag::NoScript,
            Flag::Loading,
            Flag::Stale,
            Flag::Fast,
            Flag::NoAuth,
            Flag::AllowBusy,
        ])
        .acl(&[Category::Connection])
        .docs("Authenticates the connection.", "1.0.0")
        .complexity("O(N) where N is the number of passwords defined for the user")
        .history(&[("6.0.0", "Added ACL style (username and password).")])
        .args(&[
            arg("username", ArgKind::String).since("6.0.0").optional(),
            arg("password", ArgKind::String),
        ]),
    row("echo", 2, "connection", echo)
        .flags(&[Flag::Loading, Flag::Stale, Flag::Fast])
        .acl(&[Category::Connection])
        .docs("Returns the given string.", "1.0.0")
        .complexity("O(1)")
        .args(&[arg("message", ArgKind::String)]),
    row("hello", -1, "connection", hello)
        .flags(&[
            Flag::NoScript,
            Flag::Loading,
            Flag::Stale,
            Flag::Fast,
            Flag::NoAuth,
            Flag::AllowBusy,
        ])
        .acl(&[Category::Connection])
        .docs("Handshakes with the Redis server.", "6.0.0")
        .complexity("O(1)")
        .history(&[
            ("6.2.0", "`protover` made optional; when called without arguments the command reports the current connection's context."),
        ])
        .args(&[
            block("arguments", &[
                arg("protover", ArgKind::Integer),
                block("auth", &[arg("username", ArgKind::String), arg("password", ArgKind::String)]).token("AUTH").optional(),
                arg("clientname", ArgKind::String).token("SETNAME").optional(),
            ]).optional(),
        ]),
    row("ping", -1, "connection", ping)
        .flags(&[Flag::Fast])
        .acl(&[Category::Connection])
        .docs("Returns the server's liveliness response.", "1.0.0")
        .complexity("O(1)")
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .args(&[arg("message", ArgKind::String).optional()]),
    row("quit", -1, "connection", quit)
        .flags(&[
            Flag::AllowBusy,
            Flag::NoScript,
            Flag::Loading,
            Flag::Stale,
            Flag::Fast,
            Flag::NoAuth,
        ])
        .acl(&[Category::Connection])
        .docs("Closes the connection.", "1.0.0")
        .complexity("O(1)")
        .doc_flags(&["deprecated"])
        .deprecated("7.2.0", Some("just closing the connection")),
    row("reset", 1, "connection", reset)
        .flags(&[
            Flag::NoScript,
            Flag::Loading,
            Flag::Stale,
            Flag::Fast,
            Flag::NoAuth,
            Flag::AllowBusy,
        ])
        .acl(&[Category::Connection])
        .docs("Resets the connection.", "6.2.0")
        .complexity("O(1)"),
    row("select", 2, "connection", select)
        .flags(&[Flag::Loading, Flag::Stale, Flag::Fast])
        .acl(&[Category::Connection])
        .docs("Changes the selected database.", "1.0.0")
        .complexity("O(1)")
        .args(&[arg("index", ArgKind::Integer)]),
];
