//! MULTI, EXEC, DISCARD, WATCH and UNWATCH. What is queued runs with the locks of all its keys held.

use super::engine::{Engine, Wait, keys_of};
use super::row::{Category, Flag, Row, key, keys_at, row};
use super::table::{CommandId, Found, lookup};
use super::{Answer, Ctx, DONE, Error, Services, Step};
use crate::client::{Client, Queued, ReplyMode, State, Transaction};
use crate::clock;
use crate::config::Settings;
use crate::keyspace::{ColdKeys, Key, Lookup, NotReady, Scope};
use crate::number;
use crate::resp::{ArgRange, Args, Output, Reply};
use smallvec::SmallVec;
use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

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

/// A queued request with what is known of it.
struct TransactionStep<'a> {
    id: CommandId,
    row: &'static Row,
    args: Args<'a>,
    keys: SmallVec<[Key<'a>; 2]>,
}

/// Why a transaction has not run yet.
pub(super) enum NotRun {
    /// This has to be read from disk first.
    Cold(ColdKeys),
    /// The log has no room for what it does.
    NoRoom(NotReady),
    /// Memory is short.
    OutOfMemory,
}

/// Whether a command runs at once between MULTI and EXEC.
pub(super) fn runs_in_transaction(row: &Row) -> bool {
    matches!(row.name, "exec" | "discard" | "multi" | "watch" | "quit" | "reset")
}

impl Engine {
    /// Keeps a request for EXEC.
    pub(super) fn queue(
        &mut self,
        client: &Client,
        id: CommandId,
        row: &'static Row,
        args: Args<'_>,
        state: &mut State,
        out: &mut Output,
    ) -> Option<Wait> {
        if row.has(Flag::NoMulti) {
            let error = Error::fixed("ERR Command not allowed inside a transaction");
            return self.refuse(Some(id), error, state, out);
        }
        state.no_room_since = None;
        if let Some(transaction) = &mut state.transaction {
            transaction.requests.push(Queued::new(args.iter()));
            transaction.writes |= row.has(Flag::Write) || row.has(Flag::MayReplicate);
            transaction.needs_memory |= row.has(Flag::DenyOom);
            client.queued.store(transaction.requests.len() as u32, Relaxed);
        }
        match state.reply_mode {
            ReplyMode::On | ReplyMode::SkipNext => Reply::new(out, state.resp3).simple("QUEUED"),
            ReplyMode::Off => {}
            ReplyMode::Skipping => state.reply_mode = ReplyMode::On,
        }
        None
    }

    /// Runs what MULTI has queued, with the locks of all its keys held: nobody sees half of it.
    ///
    /// # Errors
    /// What it has to wait for; nothing has run then, and what is watched is still watched.
    pub(super) fn run_transaction(
        &mut self,
        client: &Arc<Client>,
        state: &mut State,
        transaction: &Transaction,
        out: &mut Output,
    ) -> Result<Answer, NotRun> {
        let services = Arc::clone(&self.services);
        let space = &services.keyspace;
        if transaction.failed {
            self.end_transaction(client, state);
            return Ok(Err(Error::fixed("EXECABORT Transaction discarded because of previous errors.")));
        }
        if self.settings.maxmemory > 0
            && space.make_room(&mut self.scratch, &self.settings, self.now_ms).is_err()
            && transaction.needs_memory
        {
            return Err(NotRun::OutOfMemory);
        }
        let buffers: Vec<(&[u8], Vec<ArgRange>)> = transaction
            .requests
            .iter()
            .map(|queued| {
                (queued.bytes(), queued.ranges().map(|(start, end)| ArgRange { start, end }).collect())
            })
            .collect();
        let watching = state.watching.take();
        let mut whole: Vec<usize> = Vec::new();
        let mut steps: Vec<TransactionStep<'_>> = Vec::with_capacity(buffers.len());
        // The databases that the commands will be in, once SELECT among them has run.
        let mut database = state.database;
        for (buffer, ranges) in &buffers {
            let args = Args::new(buffer, ranges);
            let Found::Command(id, row) = lookup(&args[0], args.get(1)) else { continue };
            let keys = if row.has_keys() { keys_of(space, row, args, database) } else { SmallVec::new() };
            match row.scope_of(&args) {
                Scope::Keys => {}
                Scope::Walk | Scope::Database => whole.push(database),
                Scope::WalkAll => whole.extend(0..space.database_count()),
            }
            if row.name == "select"
                && let Some(number) = number::parse_i64(&args[1])
            {
                database =
                    usize::try_from(number).ok().filter(|n| *n < space.database_count()).unwrap_or(database);
            }
            steps.push(TransactionStep { id, row, args, keys });
        }
        whole.sort_unstable();
        whole.dedup();
        let watched: Vec<Key<'_>> = watching
            .iter()
            .flat_map(|watching| watching.keys.iter().map(|(database, key)| space.key(*database, key)))
            .collect();
        let mut keys: Vec<Key<'_>> = steps.iter().flat_map(|step| step.keys.iter().copied()).collect();
        keys.extend(&watched);
        // Each CONFIG SET counts for what comes after it.
        let changes = if steps.iter().any(|step| step.row.has(Flag::Admin)) { steps.len() } else { 0 };
        let fresh: Vec<OnceCell<Arc<Settings>>> = (0..changes).map(|_| OnceCell::new()).collect();
        let touch = !state.no_touch;
        let mut access = space.lock_keys(&mut self.scratch, &keys, &whole, self.now_ms, touch);
        if let Some(cold) = access.try_resolve(&keys, false) {
            access.settle();
            state.watching = watching;
            return Err(NotRun::Cold(cold));
        }
        let changed =
            steps.iter().filter(|step| step.row.has(Flag::Write) && step.row.has(Flag::ChangesValues));
        let changed: Vec<Key<'_>> = changed.flat_map(|step| step.keys.iter().copied()).collect();
        let copying =
            steps.iter().filter(|step| matches!(step.row.name, "rename" | "renamenx" | "copy" | "move"));
        let copied: Vec<Key<'_>> = copying.filter_map(|step| step.keys.first().copied()).collect();
        if let Err(why) = access.log_ready_for(&changed, !transaction.needs_memory, Some(&copied)) {
            access.settle();
            state.watching = watching;
            return Err(NotRun::NoRoom(why));
        }
        // What it meets beyond its keys (SORT's patterns, SCAN) is waited for: half of it has run by then.
        access.wait_for_disk();
        client.queued.store(u32::MAX, Relaxed);
        client.watched.store(0, Relaxed);
        for key in &watched {
            // One that is due goes now, which counts as a change.
            access.get(*key, Lookup::Silent);
        }
        let changed = watching.as_ref().is_some_and(|watching| watching.changed.load(Acquire));
        if let Some(watching) = watching {
            for (database, key) in &watching.keys {
                space.watchers().unwatch(*database, key, &watching.changed);
            }
        }
        if changed {
            access.settle();
            Reply::new(out, state.resp3).null_array();
            return Ok(DONE);
        }
        let Some(first) = steps.first() else {
            access.settle();
            Reply::new(out, state.resp3).array(0);
            return Ok(DONE);
        };
        let resp3 = state.resp3;
        let mut last = DONE;
        let mut notes: Vec<(bool, u64)> = Vec::with_capacity(steps.len());
        {
            let mut ctx = Ctx {
                services: &services,
                settings: &self.settings,
                metrics: services.metrics.worker(self.worker),
                client,
                state: &mut *state,
                row: first.row,
                args: first.args,
                keys: &first.keys,
                access,
                reply: Reply::new(out, resp3),
                may_block: false,
            };
            ctx.reply.array(steps.len());
            for (index, step) in steps.iter().enumerate() {
                (ctx.row, ctx.args, ctx.keys) = (step.row, step.args, &step.keys);
                let mark = ctx.reply.output().mark();
                let answer = (step.row.handler)(&mut ctx);
                notes.push((answer.is_err(), clock::ticks()));
                if step.row.has(Flag::Admin) {
                    ctx.settings = fresh[index].get_or_init(|| Arc::clone(&services.config.settings()));
                }
                match answer {
                    Ok(Step::Wait(wait)) => last = Ok(Step::Wait(wait)),
                    Ok(_) => {}
                    Err(error) => {
                        ctx.reply.output().truncate(mark);
                        ctx.reply.error(error.text());
                        ctx.metrics.count_error(error.code());
                    }
                }
            }
            ctx.access.settle();
        }
        // The step that had no room has said so.
        self.scratch.take_not_ready();
        if changes > 0 {
            self.refresh_settings();
        }
        for (step, (failed, ticks)) in steps.iter().zip(notes) {
            self.account_until(client, step.id, step.row, step.args, failed, 0, state, ticks);
        }
        Ok(last)
    }

    /// The client is in no transaction any more, and watches nothing.
    fn end_transaction(&self, client: &Client, state: &mut State) {
        client.queued.store(u32::MAX, Relaxed);
        client.watched.store(0, Relaxed);
        forget_watched(&self.services, state);
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
