//! MULTI, EXEC, DISCARD, WATCH and UNWATCH. What is queued runs in `Engine::run_transaction`.

use super::row::{Category, Flag, Row, key, keys_at, row};
use super::{Answer, Ctx, DONE, Error, Services, Step};
use crate::client::{Client, State, Transaction};
use crate::keyspace::Lookup;
use std::sync::atomic::Ordering::Relaxed;

fn multi(ctx: &mut Ctx<'_>) -> Answer {
    if ctx.state.transaction.is_some() {
        return Err(Error::fixed("ERR MULTI calls can not be nested"));
    }
    ctx.state.transaction = Some(Box::new(Transaction::default()));
    ctx.client.queued.store(0, Relaxed);
    ctx.reply.ok();
    DONE
}

fn exec(ctx: &mut Ctx<'_>) -> Answer {
    match ctx.state.transaction.take() {
        Some(transaction) => Ok(Step::Exec(transaction)),
        None => Err(Error::fixed("ERR EXEC without MULTI")),
    }
}

fn discard(ctx: &mut Ctx<'_>) -> Answer {
    if ctx.state.transaction.is_none() {
        return Err(Error::fixed("ERR DISCARD without MULTI"));
    }
    abandon_transaction(ctx.services, ctx.client, ctx.state);
    ctx.reply.ok();
    DONE
}

/// Forgets what is queued and what is watched.
pub fn abandon_transaction(services: &Services, client: &Client, state: &mut State) {
    state.transaction = None;
    forget_watched(services, state);
    client.queued.store(u32::MAX, Relaxed);
    client.watched.store(0, Relaxed);
}

fn watch(ctx: &mut Ctx<'_>) -> Answer {
    if ctx.state.transaction.is_some() {
        return Err(Error::fixed("ERR WATCH inside MULTI is not allowed"));
    }
    let watching = ctx.state.watching.get_or_insert_default();
    for key in ctx.keys {
        // One that is due goes now, and is not news later.
        ctx.access.get(*key, Lookup::Silent);
        let name = (key.database, Box::<[u8]>::from(key.name));
        if !watching.keys.contains(&name) {
            ctx.access.space().watchers().watch(key.database, key.name, &watching.changed);
            watching.keys.push(name);
        }
    }
    ctx.client.watched.store(watching.keys.len() as u32, Relaxed);
    ctx.reply.ok();
    DONE
}

fn unwatch(ctx: &mut Ctx<'_>) -> Answer {
    forget_watched(ctx.services, ctx.state);
    ctx.client.watched.store(0, Relaxed);
    ctx.reply.ok();
    DONE
}

/// Gives up all that a client watches.
pub fn forget_watched(services: &Services, state: &mut State) {
    if let Some(watching) = state.watching.take() {
        for (database, key) in &watching.keys {
            services.keyspace.watchers().unwatch(*database, key, &watching.changed);
        }
    }
}

/// The rows of this family.
pub const ROWS: &[Row] = &[
    row("discard", 1, "transactions", discard)
        .flags(&[Flag::NoScript, Flag::Loading, Flag::Stale, Flag::Fast, Flag::AllowBusy])
        .acl(&[Category::Transaction])
        .docs("Discards a transaction.", "2.0.0")
        .complexity("O(N), when N is the number of queued commands"),
    row("exec", 1, "transactions", exec)
        .flags(&[Flag::NoScript, Flag::Loading, Flag::Stale, Flag::SkipSlowlog])
        .acl(&[Category::Transaction])
        .docs("Executes all commands in a transaction.", "1.2.0")
        .complexity("Depends on commands in the transaction"),
    row("multi", 1, "transactions", multi)
        .flags(&[Flag::NoScript, Flag::Loading, Flag::Stale, Flag::Fast, Flag::AllowBusy])
        .acl(&[Category::Transaction])
        .docs("Starts a transaction.", "1.2.0")
        .complexity("O(1)"),
    row("unwatch", 1, "transactions", unwatch)
        .flags(&[Flag::NoScript, Flag::Loading, Flag::Stale, Flag::Fast, Flag::AllowBusy])
        .acl(&[Category::Transaction])
        .docs("Forgets about watched keys of a transaction.", "2.2.0")
        .complexity("O(1)"),
    row("watch", -2, "transactions", watch)
        .flags(&[Flag::NoScript, Flag::Loading, Flag::Stale, Flag::Fast, Flag::AllowBusy])
        .acl(&[Category::Transaction])
        .keys(&[keys_at(1, -1, 1, &["RO"])])
        .docs("Monitors changes to keys to determine the execution of a transaction.", "2.2.0")
        .complexity("O(1) for every key.")
        .args(&[key("key", 0).multiple()]),
];
