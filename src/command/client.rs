//! CLIENT.

use super::client_filter::{Filter, Kind};
use super::parse::{int, int_or, is};
use super::row::{ArgKind, Category, Flag, Row, arg, container, one_of, row, token};
use super::table::{CommandId, full_name};
use super::{Answer, Ctx, DONE, Error};
use crate::client::{Client, Flags, ReplyMode};
use bytes::Bytes;
use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

/// What a worker reads into, and so the room that a request under way has.
const QUERY_BUFFER_BYTES: usize = 64 * 1024;

/// Refuses names that would break the lines of CLIENT LIST.
pub fn validate_name(name: &[u8]) -> Result<(), Error> {
    if name.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        return Ok(());
    }
    Err(Error::fixed("ERR Client names cannot contain spaces, newlines or special characters."))
}

/// Names the client; an empty name takes its name away.
pub fn set_name(ctx: &Ctx<'_>, name: &[u8]) {
    ctx.client.info.lock().name = Bytes::copy_from_slice(name);
}

/// One line of CLIENT LIST, without its end.
fn describe(client: &Client, asking: &Ctx<'_>, line: &mut Vec<u8>) {
    let now_ms = asking.now_ms();
    let flags = client.flags();
    let mut letters = String::new();
    for (flag, letter) in [
        (Flags::MONITOR, 'O'),
        (Flags::PUBSUB, 'P'),
        (Flags::BLOCKED, 'b'),
        (Flags::CLOSING, 'c'),
        (Flags::UNIX_SOCKET, 'U'),
        (Flags::NO_EVICT, 'e'),
        (Flags::NO_TOUCH, 'T'),
    ] {
        if flag == Flags::BLOCKED && client.queued.load(Relaxed) != u32::MAX {
            // Between MULTI and EXEC.
            letters.push('x');
        }
        if flags.contains(flag) {
            letters.push(letter);
        }
    }
    if letters.is_empty() {
        letters.push('N');
    }
    let info = client.info.lock().clone();
    let seconds = |since: i64| (now_ms - since).max(0) / 1000;
    let [channels, patterns, shard_channels] = &client.subscriptions;
    let (mut input, mut capacity) = (client.input_bytes.load(Relaxed), client.input_capacity.load(Relaxed));
    let mut arguments = 0;
    if client.id == asking.client.id {
        // The request that asks lies in its worker's buffer, as it would in the client's own in Redis.
        arguments = asking.args.iter().map(<[u8]>::len).sum::<usize>();
        let digits = |len: usize| itoa::Buffer::new().format(len).len();
        let request = asking.args.iter().map(|arg| arg.len() + digits(arg.len()) + 5).sum::<usize>();
        input += request + digits(asking.args.len()) + 3;
        capacity += QUERY_BUFFER_BYTES;
    }
    let output = client.output_memory();
    let command = client.last_command.load(Relaxed);
    let command = u16::try_from(command).map_or("NULL", |id| full_name(CommandId(id)));
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        " age={} idle={} flags={letters} db={} sub={} psub={} ssub={} multi={} watch={} qbuf={input} \
         qbuf-free={} argv-mem={arguments} multi-mem=0 rbs=1024 rbp=0 obl=0 oll={} omem={output} tot-mem={} events=r \
         cmd={command} user={} redir=-1 resp={}",
        seconds(client.connected_at_ms),
        seconds(client.active_at_ms.load(Relaxed)),
        client.database.load(Relaxed),
        channels.load(Relaxed),
        patterns.load(Relaxed),
        shard_channels.load(Relaxed),
        client.queued.load(Relaxed) as i32,
        client.watched.load(Relaxed),
        capacity.saturating_sub(input),
        u8::from(output > 0),
        client.memory_bytes(),
        if client.authenticated.load(Relaxed) { "default" } else { "(superuser)" },
        if client.resp3.load(Relaxed) { 3 } else { 2 },
    );
    line.extend_from_slice(
        format!(
            "id={} addr={} laddr={} fd={} name=",
            client.id, client.address, client.local_address, client.fd
        )
        .as_bytes(),
    );
    line.extend_from_slice(&info.name);
    line.extend_from_slice(text.as_bytes());
    line.extend_from_slice(b" lib-name=");
    line.extend_from_slice(&info.library_name);
    line.extend_from_slice(b" lib-ver=");
    line.extend_from_slice(&info.library_version);
}

fn client_id(ctx: &mut Ctx<'_>) -> Answer {
    ctx.reply.int(ctx.client.id as i64);
    DONE
}

fn client_info(ctx: &mut Ctx<'_>) -> Answer {
    let mut line = Vec::new();
    describe(ctx.client, ctx, &mut line);
    line.push(b'\n');
    ctx.reply.verbatim(&line);
    DONE
}

fn client_list(ctx: &mut Ctx<'_>) -> Answer {
    let mut clients = Vec::new();
    match ctx.args.get(2) {
        None => clients = ctx.services.clients.all(),
        Some(word) if is(word, "type") && ctx.args.len() == 4 => {
            let kind = Kind::parse(&ctx.args[3])?;
            clients = ctx.services.clients.all();
            clients.retain(|client| Kind::of(client) == kind);
        }
        Some(word) if is(word, "id") && ctx.args.len() > 3 => {
            for id in ctx.args.from(3).iter() {
                let id = int_or(id, "ERR Invalid client ID")?;
                clients.extend(u64::try_from(id).ok().and_then(|id| ctx.services.clients.get(id)));
            }
        }
        Some(_) => return Err(Error::SYNTAX),
    }
    let mut lines = Vec::new();
    for client in clients {
        describe(&client, ctx, &mut lines);
        lines.push(b'\n');
    }
    ctx.reply.verbatim(&lines);
    DONE
}

fn client_getname(ctx: &mut Ctx<'_>) -> Answer {
    let name = ctx.client.info.lock().name.clone();
    if name.is_empty() {
        ctx.reply.null()
    } else {
        ctx.reply.bulk(&name)
    }
    DONE
}

fn client_setname(ctx: &mut Ctx<'_>) -> Answer {
    validate_name(&ctx.args[2])?;
    set_name(ctx, &ctx.args[2]);
    ctx.reply.ok();
    DONE
}

fn client_setinfo(ctx: &mut Ctx<'_>) -> Answer {
    let (option, value) = (&ctx.args[2], &ctx.args[3]);
    let name = if is(option, "lib-name") {
        "lib-name"
    } else if is(option, "lib-ver") {
        "lib-ver"
    } else {
        return Err(Error::quoting("ERR Unrecognized option '", option, "'"));
    };
    if !value.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        let after = " cannot contain spaces, newlines or special characters.";
        return Err(Error::quoting("ERR ", option, after));
    }
    let value = Bytes::copy_from_slice(value);
    let mut info = ctx.client.info.lock();
    if name == "lib-name" {
        info.library_name = value
    } else {
        info.library_version = value
    }
    ctx.reply.ok();
    DONE
}

fn client_getredir(ctx: &mut Ctx<'_>) -> Answer {
    ctx.reply.int(-1);
    DONE
}

fn client_trackinginfo(ctx: &mut Ctx<'_>) -> Answer {
    ctx.reply.map(3);
    ctx.reply.bulk(b"flags");
    ctx.reply.set(1);
    ctx.reply.bulk(b"off");
    ctx.reply.bulk(b"redirect");
    ctx.reply.int(-1);
    ctx.reply.bulk(b"prefixes");
    ctx.reply.array(0);
    DONE
}

fn client_reply(ctx: &mut Ctx<'_>) -> Answer {
    let word = &ctx.args[2];
    if is(word, "on") {
        ctx.state.reply_mode = ReplyMode::On;
        ctx.reply.ok();
    } else if is(word, "off") {
        ctx.state.reply_mode = ReplyMode::Off;
    } else if is(word, "skip") {
        if ctx.state.reply_mode != ReplyMode::Off {
            ctx.state.reply_mode = ReplyMode::SkipNext;
        }
    } else {
        return Err(Error::SYNTAX);
    }
    DONE
}

fn on_or_off(word: &[u8]) -> Result<bool, Error> {
    match word {
        word if is(word, "on") => Ok(true),
        word if is(word, "off") => Ok(false),
        _ => Err(Error::SYNTAX),
    }
}

fn client_no_evict(ctx: &mut Ctx<'_>) -> Answer {
    ctx.client.set_flags(Flags::NO_EVICT, on_or_off(&ctx.args[2])?);
    ctx.reply.ok();
    DONE
}

fn client_no_touch(ctx: &mut Ctx<'_>) -> Answer {
    let on = on_or_off(&ctx.args[2])?;
    ctx.state.no_touch = on;
    ctx.client.set_flags(Flags::NO_TOUCH, on);
    ctx.reply.ok();
    DONE
}

fn client_kill(ctx: &mut Ctx<'_>) -> Answer {
    let old_form = ctx.args.len() == 3;
    let filter = if old_form { Filter::of_address(&ctx.args[2]) } else { Filter::parse(ctx.args.from(2))? };
    let now_ms = ctx.now_ms();
    let mut killed = 0;
    for client in ctx.services.clients.all() {
        if !filter.matches(&client, ctx.client.id, now_ms) {
            continue;
        }
        killed += 1;
        client.set_flags(Flags::CLOSING, true);
        if client.id == ctx.client.id {
            ctx.state.close_after_reply = true;
        } else {
            client.mailbox.close();
        }
    }
    match (old_form, killed) {
        (true, 0) => return Err(Error::fixed("ERR No such client")),
        (true, _) => ctx.reply.ok(),
        (false, _) => ctx.reply.int(killed),
    }
    DONE
}

fn client_unblock(ctx: &mut Ctx<'_>) -> Answer {
    at_most(ctx, 4)?;
    if let Some(reason) = ctx.args.get(3)
        && !is(reason, "timeout")
        && !is(reason, "error")
    {
        return Err(Error::fixed("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"));
    }
    let as_error = ctx.args.get(3).is_some_and(|reason| is(reason, "error"));
    let blocked = u64::try_from(int(&ctx.args[2])?).ok().and_then(|id| ctx.services.blocked.get(id));
    let ended = blocked.is_some_and(|blocked| ctx.services.blocked.end(ctx.services, &blocked, as_error));
    ctx.reply.int(ended.into());
    DONE
}

/// Refuses more arguments than a subcommand with options has.
fn at_most(ctx: &Ctx<'_>, len: usize) -> Result<(), Error> {
    if ctx.args.len() <= len {
        return Ok(());
    }
    Err(Error::subcommand_syntax(&ctx.args[0], &ctx.args[1]))
}

fn client_pause(ctx: &mut Ctx<'_>) -> Answer {
    at_most(ctx, 4)?;
    let all = match ctx.args.get(3) {
        None => true,
        Some(word) if is(word, "all") => true,
        Some(word) if is(word, "write") => false,
        Some(_) => return Err(Error::fixed("ERR CLIENT PAUSE mode must be WRITE or ALL")),
    };
    let now_ms = ctx.now_ms();
    let timeout = int_or(&ctx.args[2], "ERR timeout is not an integer or out of range")?;
    if timeout < 0 {
        return Err(Error::fixed("ERR timeout is negative"));
    }
    let until = timeout.checked_add(now_ms).ok_or(Error::fixed("ERR timeout is out of range"))?;
    ctx.services.pause.begin(until, all, now_ms);
    ctx.access.space().paused.store(true, Relaxed);
    ctx.reply.ok();
    DONE
}

fn client_unpause(ctx: &mut Ctx<'_>) -> Answer {
    ctx.services.pause.end();
    ctx.access.space().paused.store(false, Relaxed);
    ctx.reply.ok();
    DONE
}

fn client_help(ctx: &mut Ctx<'_>) -> Answer {
    ctx.help(&[
        "GETREDIR",
        "    Return the client ID we are redirecting to when tracking is enabled.",
        "GETNAME",
        "    Return the name of the current connection.",
        "ID",
        "    Return the ID of the current connection.",
        "INFO",
        "    Return information about the current client connection.",
        "KILL <ip:port>",
        "    Kill connection made from <ip:port>.",
        "KILL <option> <value> [<option> <value> [...]]",
        "    Kill connections. Options are:",
        "    * ADDR (<ip:port>|<unixsocket>:0)",
        "      Kill connections made from the specified address",
        "    * LADDR (<ip:port>|<unixsocket>:0)",
        "      Kill connections made to specified local address",
        "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
        "      Kill connections by type.",
        "    * USER <username>",
        "      Kill connections authenticated by <username>.",
        "    * SKIPME (YES|NO)",
        "      Skip killing current connection (default: yes).",
        "    * ID <client-id>",
        "      Kill connections by client id.",
        "    * MAXAGE <maxage>",
        "      Kill connections older than the specified age.",
        "LIST [options ...]",
        "    Return information about client connections. Options:",
        "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
        "      Return clients of specified type.",
        "UNPAUSE",
        "    Stop the current client pause, resuming traffic.",
        "PAUSE <timeout> [WRITE|ALL]",
        "    Suspend all, or just write, clients for <timeout> milliseconds.",
        "REPLY (ON|OFF|SKIP)",
        "    Control the replies sent to the current connection.",
        "SETNAME <name>",
        "    Assign the name <name> to the current connection.",
        "SETINFO <option> <value>",
        "    Set client meta attr. Options are:",
        "    * LIB-NAME: the client lib name.",
        "    * LIB-VER: the client lib version.",
        "UNBLOCK <clientid> [TIMEOUT|ERROR]",
        "    Unblock the specified blocked client.",
        "TRACKINGINFO",
        "    Report tracking status for the current connection.",
        "NO-EVICT (ON|OFF)",
        "    Protect current client connection from eviction.",
        "NO-TOUCH (ON|OFF)",
        "    Will not touch LRU/LFU stats when this mode is on.",
    ])
}

/// The rows of this family.
pub const ROWS: &[Row] = &[
    container("client", -2, "connection", &[
        row("getname", 2, "connection", client_getname)
            .flags(&[Flag::NoScript, Flag::Loading, Flag::Stale])
            .acl(&[Category::Connection])
            .docs("Returns the name of the connection.", "2.6.9")
            .complexity("O(1)"),
        row("getredir", 2, "connection", client_getredir)
            .flags(&[Flag::NoScript, Flag::Loading, Flag::Stale])
            .acl(&[Category::Connection])
            .docs("Returns the client ID to which the connection's tracking notifications are redirected.", "6.0.0")
            .complexity("O(1)"),
        row("help", 2, "connection", client_help)
            .flags(&[Flag::Loading, Flag::Stale])
            .acl(&[Category::Connection])
            .docs("Returns helpful text about the different subcommands.", "5.0.0")
            .complexity("O(1)"),
        row("id", 2, "connection", client_id)
            .flags(&[Flag::NoScript, Flag::Loading, Flag::Stale])
            .acl(&[Category::Connection])
            .docs("Returns the unique client ID of the connection.", "5.0.0")
            .complexity("O(1)"),
        row("info", 2, "connection", client_info)
            .flags(&[Flag::NoScript, Flag::Loading, Flag::Stale])
            .acl(&[Category::Connection])
            .docs("Returns information about the connection.", "6.2.0")
            .complexity("O(1)")
            .tips(&["nondeterministic_output"]),
        row("kill", -3, "connection", client_kill)
            .flags(&[Flag::Admin, Flag::NoScript, Flag::Loading, Flag::Stale])
            .acl(&[Category::Connection])
            .docs("Terminates open connections.", "2.4.0")
            .complexity("O(N) where N is the number of client connections")
            .history(&[
                ("2.8.12", "Added new filter format."),
                ("2.8.12", "`ID` option."),
                ("3.2.0", "Added `master` type in for `TYPE` option."),
                ("5.0.0", "Replaced `slave` `TYPE` with `replica`. `slave` still supported for backward compatibility."),
                ("6.2.0", "`LADDR` option."),
                ("7.4.0", "`MAXAGE` option."),
            ])
            .args(&[
                one_of("filter", &[
                    arg("old-format", ArgKind::String).display("ip:port").deprecated_since("2.8.12"),
                    one_of("new-format", &[
                        arg("client-id", ArgKind::Integer).token("ID").since("2.8.12").optional(),
                        one_of("client-type", &[
                            token("normal", "NORMAL"),
                            token("master", "MASTER").since("3.2.0"),
                            token("slave", "SLAVE"),
                            token("replica", "REPLICA").since("5.0.0"),
                            token("pubsub", "PUBSUB"),
                        ]).token("TYPE").since("2.8.12").optional(),
                        arg("username", ArgKind::String).token("USER").optional(),
                        arg("addr", ArgKind::String).token("ADDR").display("ip:port").optional(),
                        arg("laddr", ArgKind::String).token("LADDR").display("ip:port").since("6.2.0").optional(),
                        one_of("skipme", &[token("yes", "YES"), token("no", "NO")]).token("SKIPME").optional(),
                        arg("maxage", ArgKind::Integer).token("MAXAGE").since("7.4.0").optional(),
                    ]).multiple(),
                ]),
            ]),
        row("list", -2, "connection", client_list)
            .flags(&[Flag::Admin, Flag::NoScript, Flag::Loading, Flag::Stale])
            .acl(&[Category::Connection])
            .docs("Lists open connections.", "2.4.0")
            .complexity("O(N) where N is the number of client connections")
            .history(&[
                ("2.8.12", "Added unique client `id` field."),
                ("5.0.0", "Added optional `TYPE` filter."),
                ("6.0.0", "Added `user` field."),
                ("6.2.0", "Added `argv-mem`, `tot-mem`, `laddr` and `redir` fields and the optional `ID` filter."),
                ("7.0.0", "Added `resp`, `multi-mem`, `rbs` and `rbp` fields."),
                ("7.0.3", "Added `ssub` field."),
            ])
            .tips(&["nondeterministic_output"])
            .args(&[
                one_of("client-type", &[
                    token("normal", "NORMAL"),
                    token("master", "MASTER"),
                    token("replica", "REPLICA"),
                    token("pubsub", "PUBSUB"),
                ]).token("TYPE").since("5.0.0").optional(),
                arg("client-id", ArgKind::Integer).token("ID").since("6.2.0").optional().multiple(),
            ]),
        row("no-evict", 3, "connection", client_no_evict)
            .flags(&[Flag::Admin, Flag::NoScript, Flag::Loading, Flag::Stale])
            .acl(&[Category::Connection])
            .docs("Sets the client eviction mode of the connection.", "7.0.0")
            .complexity("O(1)")
            .args(&[one_of("enabled", &[token("on", "ON"), token("off", "OFF")])]),
        row("no-touch", 3, "connection", client_no_touch)
            .flags(&[Flag::NoScript, Flag::Loading, Flag::Stale])
            .acl(&[Category::Connection])
            .docs("Controls whether commands sent by the client affect the LRU/LFU of accessed keys.", "7.2.0")
            .complexity("O(1)")
            .args(&[one_of("enabled", &[token("on", "ON"), token("off", "OFF")])]),
        row("pause", -3, "connection", client_pause)
            .flags(&[Flag::Admin, Flag::NoScript, Flag::Loading, Flag::Stale])
            .acl(&[Category::Connection])
            .docs("Suspends commands processing.", "3.0.0")
            .complexity("O(1)")
            .history(&[("6.2.0", "`CLIENT PAUSE WRITE` mode added along with the `mode` option.")])
            .args(&[
                arg("timeout", ArgKind::Integer),
                one_of("mode", &[token("write", "WRITE"), token("all", "ALL")]).since("6.2.0").optional(),
            ]),
        row("reply", 3, "connection", client_reply)
            .flags(&[Flag::NoScript, Flag::Loading, Flag::Stale])
            .acl(&[Category::Connection])
            .docs("Instructs the server whether to reply to commands.", "3.2.0")
            .complexity("O(1)")
            .args(&[
                one_of("action", &[token("on", "ON"), token("off", "OFF"), token("skip", "SKIP")]),
            ]),
        row("setinfo", 4, "connection", client_setinfo)
            .flags(&[Flag::NoScript, Flag::Loading, Flag::Stale])
            .acl(&[Category::Connection])
            .docs("Sets information specific to the client or connection.", "7.2.0")
            .complexity("O(1)")
            .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
            .args(&[
                one_of("attr", &[
                    arg("libname", ArgKind::String).token("LIB-NAME"),
                    arg("libver", ArgKind::String).token("LIB-VER"),
                ]),
            ]),
        row("setname", 3, "connection", client_setname)
            .flags(&[Flag::NoScript, Flag::Loading, Flag::Stale])
            .acl(&[Category::Connection])
            .docs("Sets the connection name.", "2.6.9")
            .complexity("O(1)")
            .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
            .args(&[arg("connection-name", ArgKind::String)]),
        row("trackinginfo", 2, "connection", client_trackinginfo)
            .flags(&[Flag::NoScript, Flag::Loading, Flag::Stale])
            .acl(&[Category::Connection])
            .docs("Returns information about server-assisted client-side caching for the connection.", "6.2.0")
            .complexity("O(1)"),
        row("unblock", -3, "connection", client_unblock)
            .flags(&[Flag::Admin, Flag::NoScript, Flag::Loading, Flag::Stale])
            .acl(&[Category::Connection])
            .docs("Unblocks a client blocked by a blocking command from a different connection.", "5.0.0")
            .complexity("O(log N) where N is the number of client connections")
            .args(&[
                arg("client-id", ArgKind::Integer),
                one_of("unblock-type", &[token("timeout", "TIMEOUT"), token("error", "ERROR")]).optional(),
            ]),
        row("unpause", 2, "connection", client_unpause)
            .flags(&[Flag::Admin, Flag::NoScript, Flag::Loading, Flag::Stale])
            .acl(&[Category::Connection])
            .docs("Resumes processing commands from paused clients.", "6.2.0")
            .complexity("O(N) Where N is the number of paused clients"),
    ])
        .docs("A container for client connection commands.", "2.4.0")
        .complexity("Depends on subcommand."),
];
