//! WAIT and WAITAOF: until what a client wrote is safe.

use super::engine::Durability;
use super::parse::{int, int_or};
use super::row::{ArgKind, Category, Flag, Row, arg, row};
use super::{Answer, Ctx, DONE, Error, Step, Wait};
use std::sync::atomic::Ordering::Relaxed;

/// There are no replicas: WAIT for some lasts until its time is up.
fn wait(ctx: &mut Ctx<'_>) -> Answer {
    let replicas = int(&ctx.args[1])?;
    let timeout_ms = timeout_ms(&ctx.args[2])?;
    if replicas <= 0 || !ctx.may_block {
        ctx.reply.int(0);
        return DONE;
    }
    let resp3 = ctx.reply.is_resp3();
    Ok(Step::Wait(Box::new(Wait::Durable(Durability { flush: None, replicas: true, timeout_ms, resp3 }))))
}

fn waitaof(ctx: &mut Ctx<'_>) -> Answer {
    let local = int(&ctx.args[1])?;
    if !(0..=1).contains(&local) {
        return Err(Error::fixed("ERR value is out of range, must be between 0 and 1"));
    }
    let replicas = int_or(&ctx.args[2], "ERR value is out of range, must be positive")?;
    if replicas < 0 {
        return Err(Error::fixed("ERR value is out of range, must be positive"));
    }
    let timeout_ms = timeout_ms(&ctx.args[3])?;
    let space = ctx.access.space();
    let tier = space.tier().filter(|tier| tier.logs());
    if local > 0 && tier.is_none() {
        return Err(Error::fixed(
            "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
        ));
    }
    // What came before in the same batch is part of it. Where it fails, the batch is not answered.
    ctx.access.scratch().commit_early();
    let flush = ctx.access.scratch().last_flush().max(ctx.client.served_flush.load(Relaxed));
    let synced = tier.is_some_and(|tier| *tier.store().synced().borrow() >= flush);
    if (replicas == 0 && (local == 0 || synced)) || !ctx.may_block {
        ctx.reply.array(2);
        ctx.reply.int(i64::from(synced));
        ctx.reply.int(0);
        return DONE;
    }
    let resp3 = ctx.reply.is_resp3();
    Ok(Step::Wait(Box::new(Wait::Durable(Durability {
        flush: Some(flush),
        replicas: replicas > 0,
        timeout_ms,
        resp3,
    }))))
}

fn timeout_ms(arg: &[u8]) -> Result<u64, Error> {
    let timeout = int_or(arg, "ERR timeout is not an integer or out of range")?;
    u64::try_from(timeout).map_err(|_| Error::fixed("ERR timeout is negative"))
}

/// The rows of this family.
pub const ROWS: &[Row] = &[
    row("wait", 3, "generic", wait)
        .flags(&[Flag::Blocking])
        .acl(&[Category::Connection])
        .docs("Blocks until the asynchronous replication of all preceding write commands sent by the connection is completed.", "3.0.0")
        .complexity("O(1)")
        .tips(&["request_policy:all_shards", "response_policy:agg_min"])
        .args(&[arg("numreplicas", ArgKind::Integer), arg("timeout", ArgKind::Integer)]),
    row("waitaof", 4, "generic", waitaof)
        .flags(&[Flag::Blocking])
        .acl(&[Category::Connection])
        .docs("Blocks until all of the preceding write commands sent by the connection are written to the append-only file of the master and/or replicas.", "7.2.0")
        .complexity("O(1)")
        .tips(&["request_policy:all_shards", "response_policy:agg_min"])
        .args(&[
            arg("numlocal", ArgKind::Integer),
            arg("numreplicas", ArgKind::Integer),
            arg("timeout", ArgKind::Integer),
        ]),
];
