//! The server as a whole: TIME, MONITOR, SHUTDOWN, LOLWUT.

use super::parse::{int, is};
use super::row::{ArgKind, Flag, Row, arg, one_of, row, token};
use super::{Answer, Ctx, DONE, Error};
use crate::clock;

fn time(ctx: &mut Ctx<'_>) -> Answer {
    let now_us = clock::now_us();
    ctx.reply.array(2);
    ctx.reply.bulk((now_us / 1_000_000).to_string().as_bytes());
    ctx.reply.bulk((now_us % 1_000_000).to_string().as_bytes());
    DONE
}

fn monitor(ctx: &mut Ctx<'_>) -> Answer {
    if !ctx.state.monitor {
        ctx.state.monitor = true;
        ctx.services.monitors.add(ctx.client);
    }
    ctx.reply.ok();
    DONE
}

fn shutdown(ctx: &mut Ctx<'_>) -> Answer {
    let (mut abort, mut no_save, mut save, mut other) = (false, false, false, false);
    for word in ctx.args.iter().skip(1) {
        match word {
            word if is(word, "nosave") => no_save = true,
            word if is(word, "save") => save = true,
            word if is(word, "now") || is(word, "force") => other = true,
            word if is(word, "abort") => abort = true,
            _ => return Err(Error::SYNTAX),
        }
    }
    if (abort && (no_save || save || other)) || (no_save && save) {
        return Err(Error::SYNTAX);
    }
    if abort {
        return Err(Error::fixed("ERR No shutdown in progress."));
    }
    if save {
        return Err(Error::fixed("ERR Errors trying to SHUTDOWN. Check logs."));
    }
    tracing::warn!("user requested shutdown");
    // Everybody, this client included, is closed without a reply, as by Redis.
    ctx.state.close_after_reply = true;
    ctx.services.shutdown.send_replace(true);
    DONE
}

fn lolwut(ctx: &mut Ctx<'_>) -> Answer {
    if let (Some(word), Some(version)) = (ctx.args.get(1), ctx.args.get(2))
        && is(word, "version")
        // The drawings of versions 5 and 6 take numbers for their sizes.
        && (int(version)? == 5 || int(version)? == 6)
    {
        ctx.args.iter().skip(3).take(3).try_for_each(|size| int(size).map(drop))?;
    }
    ctx.reply.verbatim(format!("Redis ver. {}\n", super::info::REDIS_VERSION).as_bytes());
    DONE
}

/// The rows of this family.
pub const ROWS: &[Row] = &[
    row("lolwut", -1, "server", lolwut)
        .flags(&[Flag::Readonly, Flag::Fast])
        .docs("Displays computer art and the Redis version", "5.0.0")
        .args(&[arg("version", ArgKind::Integer).token("VERSION").optional()]),
    row("monitor", 1, "server", monitor)
        .flags(&[Flag::Admin, Flag::NoScript, Flag::Loading, Flag::Stale])
        .docs("Listens for all requests received by the server in real-time.", "1.0.0"),
    row("shutdown", -1, "server", shutdown)
        .flags(&[
            Flag::Admin,
            Flag::NoScript,
            Flag::Loading,
            Flag::Stale,
            Flag::NoMulti,
            Flag::AllowBusy,
        ])
        .docs("Synchronously saves the database(s) to disk and shuts down the Redis server.", "1.0.0")
        .complexity("O(N) when saving, where N is the total number of keys in all databases when saving data, otherwise O(1)")
        .history(&[("7.0.0", "Added the `NOW`, `FORCE` and `ABORT` modifiers.")])
        .args(&[
            one_of("save-selector", &[token("nosave", "NOSAVE"), token("save", "SAVE")]).optional(),
            token("now", "NOW").since("7.0.0").optional(),
            token("force", "FORCE").since("7.0.0").optional(),
            token("abort", "ABORT").since("7.0.0").optional(),
        ]),
    row("time", 1, "server", time)
        .flags(&[Flag::Loading, Flag::Stale, Flag::Fast])
        .docs("Returns the server time.", "2.6.0")
        .complexity("O(1)")
        .tips(&["nondeterministic_output"]),
];
