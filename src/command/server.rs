//! The server as a whole: TIME, MONITOR, LOLWUT.

use super::parse::{int, is};
use super::row::{ArgKind, Flag, Row, arg, row};
use super::{Answer, Ctx, DONE};
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
    row("time", 1, "server", time)
        .flags(&[Flag::Loading, Flag::Stale, Flag::Fast])
        .docs("Returns the server time.", "2.6.0")
        .complexity("O(1)")
        .tips(&["nondeterministic_output"]),
];
