//! Runs requests: find the row, check, lock the keys, call the handler, settle, account.
//!
//! ```text
//! prepare_batch   the slots and then the entries of all keys of a batch are asked for (prefetch)
//! run             row -> arity, password, memory, state checks -> keyspace.prepare -> handler -> settle
//! end_batch       one client's requests have run
//! settle          those of a round have: counters are flushed, memory figures published, the log is given to the kernel
//! ```
//!
//! One engine a worker; nothing in it is shared, and no call waits.

use super::blocking::BlockedWait;
use super::migrate::Migration;
use super::parse::c_string;
use super::prefetch;
use super::row::{Begin, Flag, Row};
use super::services::{Paused, Services};
use super::table::{CommandId, Found, full_name, lookup};
use super::transaction::{NotRun, abandon_transaction, runs_in_transaction};
use super::{Ctx, DONE, Error, Step};
use crate::client::{Client, Queued, ReplyMode, State};
use crate::clock;
use crate::config::Settings;
use crate::disk::store::SyncPolicy;
use crate::keyspace::{ColdKeys, Key, Keyspace, Scope, Scratch, Tier, request_bytes};
use crate::memory::{KeyHash, usage};
use crate::metrics::{Sample, WorkerMetrics};
use crate::resp::{ArgRange, Args, Output, Reply};
use smallvec::SmallVec;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::oneshot;

/// So often a request that looks at many keys is put off to read them; what has left the kernel's memory again by then is
/// waited for.
const PUT_OFF_MAX: u8 = 3;

/// How long a write waits at a time for a snapshot's saver that is behind.
const SAVER_WAIT: std::time::Duration = std::time::Duration::from_millis(1);

/// One request of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// The index of its first argument in the batch's list.
    pub first: usize,
    /// How many arguments it has.
    pub len: usize,
    pub(super) found: Found,
    pub(super) hash: Option<KeyHash>,
    /// Whether its first key should have a collection.
    pub(super) of_collection: bool,
}

/// What WAIT and WAITAOF wait for.
#[derive(Debug, Clone, Copy)]
pub struct Durability {
    /// The flush that must be on the disk; `None` for WAIT, which asks nothing of the disk.
    pub flush: Option<u64>,
    /// Whether replicas are waited for, of which there are none.
    pub replicas: bool,
    /// Milliseconds; 0 for as long as it takes.
    pub timeout_ms: u64,
    /// How the reply is written.
    pub resp3: bool,
}

/// For what a connection waits before it goes on.
#[derive(Debug)]
pub enum Wait {
    /// For this long (DEBUG SLEEP).
    For(std::time::Duration),
    /// For memory to be freed (FLUSHALL SYNC).
    Freed(oneshot::Receiver<()>),
    /// For the end of a pause; the request has not run.
    Unpaused,
    /// For this long; the request has not run, and is to be tried again.
    Retry(std::time::Duration),
    /// For something to come to a key; the reply is written then.
    Blocked(BlockedWait),
    /// For values to come from disk; the request has not run.
    Load(ColdKeys),
    /// For what was logged to be on the disk (WAITAOF); the reply is written then.
    Durable(Durability),
    /// For keys to reach another server; the reply is written then.
    Migrated(Box<Migration>),
    /// For a thread that has the reply; none where it has ended without one.
    Answered(oneshot::Receiver<Output>),
}

/// What one worker needs to run requests.
pub struct Engine {
    pub(super) services: Arc<Services>,
    pub(super) settings: Arc<Settings>,
    generation: u64,
    pub(super) worker: usize,
    pub(super) scratch: Scratch,
    pub(super) samples: Vec<Sample>,
    wall: clock::WallClock,
    pub(super) now_ms: i64,
    pub(super) ticks: u64,
    /// When a write last waited for memory in vain.
    pub(super) waited_in_vain: Option<u64>,
    /// The flush that was last told of.
    last_flush: u64,
    /// Whether any command that writes has run.
    wrote: bool,
}

impl Engine {
    /// The engine of worker number `worker`.
    pub fn new(services: Arc<Services>, worker: usize) -> Engine {
        let settings = Arc::clone(&services.config.settings());
        let generation = services.config.generation();
        Engine {
            services,
            settings,
            generation,
            worker,
            scratch: Scratch::default(),
            samples: Vec::new(),
            wall: clock::WallClock::default(),
            now_ms: clock::now_ms(),
            ticks: 0,
            waited_in_vain: None,
            last_flush: 0,
            wrote: false,
        }
    }

    /// The server's parts.
    pub fn services(&self) -> &Arc<Services> {
        &self.services
    }

    /// The settings as of this batch.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// This worker's counters.
    pub fn metrics(&self) -> &WorkerMetrics {
        self.services.metrics.worker(self.worker)
    }

    /// The time of this batch, Unix milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// Takes the time and the settings for a batch.
    pub fn begin_batch(&mut self) {
        self.ticks = clock::ticks();
        self.now_ms = self.wall.ms_at(self.ticks);
        self.refresh_settings();
    }

    pub(super) fn refresh_settings(&mut self) {
        let generation = self.services.config.generation();
        if generation != self.generation {
            self.settings = Arc::clone(&self.services.config.settings());
            self.generation = generation;
        }
    }

    /// Looks a request's row and first key up.
    #[inline]
    pub fn request(&self, buffer: &[u8], args: &[ArgRange], first: usize) -> Request {
        let request = Args::new(buffer, &args[first..]);
        let found = lookup(&request[0], request.get(1));
        let hash = match found {
            Found::Command(_, row) if row.has_keys() => row
                .keys
                .first()
                .and_then(|spec| match spec.begin {
                    Begin::Index(index) => request.get(index),
                    _ => None,
                })
                .map(|key| self.services.keyspace.hash(key)),
            _ => None,
        };
        let of_collection = matches!(found, Found::Command(_, row) if row.is_of_collections());
        Request { first, len: request.len(), found, hash, of_collection }
    }

    /// Asks the processor for what the requests of a batch will touch.
    pub fn prepare_batch(&self, database: usize, requests: &[Request], buffer: &[u8], args: &[ArgRange]) {
        self.prefetch_slots(database, requests);
        if requests.len() > 1 {
            self.prefetch_entries(database, requests.iter().filter(|request| !request.of_collection));
            let database = self.services.keyspace.database(database);
            for some in requests.chunks(prefetch::REQUESTS_MAX) {
                prefetch::prefetch_collections(database, some, buffer, args);
            }
        }
    }

    /// Adds where on disk the first keys of requests are, if they are.
    pub fn add_cold(&self, database: usize, requests: &[Request], cold: &mut ColdKeys) {
        let database = self.services.keyspace.database(database);
        for hash in requests.iter().filter_map(|request| request.hash) {
            cold.add_at(&database.shard_of(hash).lock(), hash);
        }
    }

    /// Asks the processor for the slots of the requests' first keys.
    pub fn prefetch_slots(&self, database: usize, requests: &[Request]) {
        let database = self.services.keyspace.database(database);
        let hashes = requests.iter().filter_map(|request| request.hash);
        hashes.for_each(|hash| database.shard_of(hash).prefetch_slots(hash));
    }

    /// Asks the processor for the entries of the requests' first keys; waits for their slots.
    pub fn prefetch_entries<'r>(&self, database: usize, requests: impl IntoIterator<Item = &'r Request>) {
        let database = self.services.keyspace.database(database);
        for hash in requests.into_iter().filter_map(|request| request.hash) {
            if let Some(location) = database.shard_of(hash).prefetch_entry(hash) {
                self.services.keyspace.prefetch_cold(location);
            }
        }
    }

    /// Ends the batch of one client; what it counted and logged is flushed by [`Self::settle`].
    pub fn end_batch(&mut self) {
        if self.settings.maxmemory > 0 {
            // The next one is to know how much there is.
            usage::publish();
        }
    }

    /// How many requests have run since the last [`Self::settle`].
    pub fn unsettled_requests(&self) -> usize {
        self.samples.len()
    }

    /// Whether any command that writes has run since the last call.
    pub fn take_wrote(&mut self) -> bool {
        std::mem::take(&mut self.wrote)
    }

    /// Whether all that was logged is with the kernel, and who must wait for the disk was told so.
    pub fn is_settled(&self) -> bool {
        self.scratch.is_committed() && self.scratch.last_flush() == self.last_flush
    }

    /// Flushes what batches counted and logged: no reply to a write may be sent before. With `Some` flush it must
    /// be on the disk first.
    ///
    /// # Errors
    /// When something could not be logged: replies to writes must not be sent.
    pub fn settle(&mut self) -> io::Result<Option<u64>> {
        self.flush_samples();
        usage::publish();
        self.scratch.commit()?;
        let (flushed, seen) = (self.scratch.last_flush(), self.last_flush);
        self.last_flush = flushed;
        let must_sync = |tier: &Arc<Tier>| tier.logs() && tier.sync_policy() == SyncPolicy::Always;
        Ok((flushed != seen && self.services.keyspace.tier().is_some_and(must_sync)).then_some(flushed))
    }

    fn flush_samples(&mut self) {
        let metrics = self.services.metrics.worker(self.worker);
        let counters = &metrics.counters;
        if !self.samples.is_empty() {
            counters.commands.add(self.samples.len() as u64);
            metrics.commands.lock().note(&self.samples, self.settings.latency_tracking);
            self.samples.clear();
        }
        let counts = std::mem::take(&mut self.scratch.counts);
        counters.hits.add(counts.hits);
        counters.misses.add(counts.misses);
        counters.expired.add(counts.expired);
        counters.evicted.add(counts.evicted);
        counters.changes.add(counts.changes);
    }

    /// Removes keys that are due in this worker's part of the keyspace; answers whether there may be more.
    pub fn expire_due(&mut self, of: usize, budget: usize) -> bool {
        if self.services.loading.load(Relaxed) {
            // What is there is not whole yet: a value without its deltas may say that something is due.
            return false;
        }
        self.now_ms = clock::now_ms();
        self.refresh_settings();
        let started = clock::ticks();
        let more = self.services.keyspace.expire_due(&mut self.scratch, self.worker, of, self.now_ms, budget);
        self.note_latency("expire-cycle", started);
        // Nobody is told: what is not logged expires again after a restart.
        let _ = self.settle();
        more
    }

    /// Evicts while memory is over `maxmemory` and no write does; answers whether it still is.
    pub fn evict(&mut self) -> bool {
        let maxmemory = self.settings.maxmemory;
        if maxmemory == 0 || usage::excess_bytes(maxmemory).is_none() || self.services.loading.load(Relaxed) {
            return false;
        }
        let made = self.services.keyspace.make_room(&mut self.scratch, &self.settings, self.now_ms);
        // Nobody is told: what is not logged is only not evicted after a restart.
        let _ = self.settle();
        made.is_ok() && usage::excess_bytes(maxmemory).is_some()
    }

    fn note_latency(&self, event: &'static str, since: u64) {
        let threshold = self.settings.latency_monitor_threshold_ms;
        let elapsed_ms = clock::nanos_between(since, clock::ticks()) / 1_000_000;
        if threshold > 0 && elapsed_ms >= threshold {
            self.services.metrics.latency.add(event, self.now_ms / 1000, elapsed_ms);
        }
    }

    /// Runs one request; its reply is appended to `out`. With `Some(Wait)` the connection waits before it
    /// sends, except for `Wait::Unpaused` and `Wait::Retry`, where the request has not run and must be run again.
    pub fn run(
        &mut self,
        client: &Arc<Client>,
        state: &mut State,
        request: &Request,
        args: Args<'_>,
        out: &mut Output,
    ) -> Option<Wait> {
        let mark = out.mark();
        let (id, row) = match request.found {
            Found::Command(id, row) => (id, row),
            Found::Unknown if is_http(&args[0]) => {
                // A browser was made to send this: what follows may look like commands.
                tracing::warn!(
                    address = client.address,
                    "possible cross-protocol attack: closing a client that speaks HTTP"
                );
                state.close_after_reply = true;
                return None;
            }
            Found::Unknown => return self.refuse(None, unknown_command(args), state, out),
            Found::UnknownSubcommand(row) => {
                return self.refuse(None, unknown_subcommand(row, args), state, out);
            }
        };
        let writes = row.has(Flag::Write)
            || (row.name == "exec" && state.transaction.as_ref().is_some_and(|queued| queued.writes));
        let mut refusal = self.check(id, row, args.len(), state);
        if refusal == Some(Error::OUT_OF_MEMORY)
            && let Some(wait) = self.wait_for_memory(state)
        {
            return Some(wait);
        }
        self.wrote |= writes;
        if writes && refusal.is_none() {
            // As with memory: what cannot grow is not refused for lack of room.
            let transaction = state.transaction.as_ref().filter(|_| row.name == "exec");
            let (frees, (count, bytes)) = match transaction {
                Some(queued) => (!queued.needs_memory, queued.size()),
                None => (!row.has(Flag::DenyOom), (args.len(), args.bytes())),
            };
            let bytes = request_bytes(count, bytes);
            if let Err(why) = self.services.keyspace.log_ready(&mut self.scratch, frees, bytes) {
                match self.without_room(state, why) {
                    Ok(wait) => return Some(wait),
                    Err(error) => refusal = Some(error),
                }
            }
        }
        if let Some(mut refusal) = refusal {
            if row.name == "exec" {
                // An EXEC that cannot run ends the transaction all the same.
                abandon_transaction(&self.services, client, state);
                refusal = refusal.as_abort();
            }
            return self.refuse(Some(id), refusal, state, out);
        }
        match self.services.pause.state(self.now_ms) {
            Paused::No => {}
            Paused::All => return Some(Wait::Unpaused),
            Paused::Writes if writes || row.has(Flag::MayReplicate) => {
                return Some(Wait::Unpaused);
            }
            Paused::Writes => {}
        }
        if self.services.keyspace.is_saver_behind() && (row.has(Flag::Write) || row.name == "exec") {
            return Some(Wait::Retry(SAVER_WAIT));
        }
        if state.reply_mode == ReplyMode::SkipNext {
            state.reply_mode = ReplyMode::Skipping;
        }
        if state.transaction.is_some() && !runs_in_transaction(row) {
            return self.queue(client, id, row, args, state, out);
        }
        let (one, many): ([Key<'_>; 1], SmallVec<[Key<'_>; 2]>);
        let keys: &[Key<'_>] = match (row.keys, request.hash, row.databases) {
            _ if !row.has_keys() => &[],
            ([spec], Some(hash), None) if let Some(index) = spec.single() => {
                one = [Key { database: state.database, name: arg(&args, index), hash }];
                &one
            }
            _ => {
                many = keys_of(&self.services.keyspace, row, args, state.database);
                &many
            }
        };
        if row.flags & (Flag::Admin as u32) != 0 || row.name == "info" {
            // Such commands look at the counters: they must see what this batch did before them.
            self.flush_samples();
        }
        client.last_command.store(u32::from(id.0), Relaxed);
        let services = &self.services;
        let (touch, maps) = (!state.no_touch, !row.has(Flag::Write));
        let whole: &[usize] = match row.scope_of(&args) {
            Scope::Database => &[state.database],
            Scope::Keys | Scope::Walk | Scope::WalkAll => &[],
        };
        let mut access = services.keyspace.lock_keys(&mut self.scratch, keys, whole, self.now_ms, touch);
        if let Some(cold) = access.try_resolve(keys, maps) {
            access.settle();
            return Some(Wait::Load(cold));
        }
        if writes
            && row.has(Flag::ChangesValues)
            && let Err(why) = access.log_ready_for(keys, !row.has(Flag::DenyOom), None)
        {
            access.settle();
            return match self.without_room(state, why) {
                Ok(wait) => Some(wait),
                Err(error) => self.refuse(Some(id), error, state, out),
            };
        }
        if state.put_off >= PUT_OFF_MAX {
            access.wait_for_disk();
        }
        let resp3 = state.resp3;
        let mut blocked = None;
        let answer = {
            let mut ctx = Ctx {
                services,
                settings: &self.settings,
                metrics: services.metrics.worker(self.worker),
                client,
                state,
                row,
                args,
                keys,
                access,
                reply: Reply::new(out, resp3),
                may_block: true,
            };
            let mut answer = (row.handler)(&mut ctx);
            if let Ok(Step::Block(mut block)) = answer {
                // While the keys are locked: nothing that comes to them is missed.
                let command = block.rewritten.take().unwrap_or_else(|| Queued::new(args.iter()));
                let place = (ctx.state.database, resp3);
                blocked = Some(services.blocked.add(services, client, command, place, *block));
                answer = DONE;
            }
            ctx.access.settle();
            answer
        };
        if self.scratch.has_missed() {
            out.truncate(mark);
            state.put_off += 1;
            return Some(Wait::Load(self.scratch.take_missed()));
        }
        state.put_off = 0;
        let answer = match (answer, self.scratch.take_not_ready()) {
            (Err(_), Some(why)) => match self.without_room(state, why) {
                Ok(wait) => {
                    out.truncate(mark);
                    return Some(wait);
                }
                Err(error) => Err(error),
            },
            // Whether a transaction finds room is seen below.
            (answer @ Ok(Step::Exec(_)), _) => answer,
            (answer, _) => {
                state.no_room_since = None;
                answer
            }
        };
        let answer = match answer {
            Ok(Step::Exec(transaction)) => match self.run_transaction(client, state, &transaction, out) {
                Ok(answer) => {
                    state.no_room_since = None;
                    answer
                }
                Err(NotRun::Cold(cold)) => {
                    state.transaction = Some(transaction);
                    return Some(Wait::Load(cold));
                }
                Err(NotRun::OutOfMemory) => match self.wait_for_memory(state) {
                    Some(wait) => {
                        state.transaction = Some(transaction);
                        return Some(wait);
                    }
                    None => {
                        abandon_transaction(&self.services, client, state);
                        return self.refuse(Some(id), Error::OUT_OF_MEMORY.as_abort(), state, out);
                    }
                },
                Err(NotRun::NoRoom(why)) => match self.without_room(state, why) {
                    Ok(wait) => {
                        state.transaction = Some(transaction);
                        return Some(wait);
                    }
                    Err(error) => {
                        abandon_transaction(&self.services, client, state);
                        return self.refuse(Some(id), error.as_abort(), state, out);
                    }
                },
            },
            answer => answer,
        };
        let (step, failed) = match answer {
            Ok(step) => (step, false),
            Err(error) => {
                out.truncate(mark);
                Reply::new(out, state.resp3).error(error.text());
                self.services.metrics.worker(self.worker).count_error(error.code());
                (Step::Done, true)
            }
        };
        let waited = match &step {
            Step::Wait(wait) => match **wait {
                Wait::For(time) => time.as_nanos() as u64,
                _ => 0,
            },
            _ => 0,
        };
        if row.has(Flag::Admin) {
            // CONFIG SET counts for itself already: it may have switched the slow log off.
            self.refresh_settings();
        }
        if blocked.is_none() {
            self.account(client, id, row, args, failed, waited, state);
        } else {
            // It counts as called when the wait ends; MONITOR shows it now.
            self.metrics().counters.commands.add(1);
            self.show_monitors(client, state.database, row, args);
        }
        self.serve_ready();
        match state.reply_mode {
            ReplyMode::On | ReplyMode::SkipNext => {}
            ReplyMode::Off | ReplyMode::Skipping => {
                // What a client is subscribed to it is told whatever it said of replies.
                if !row.name.ends_with("subscribe") {
                    out.truncate(mark);
                }
                if state.reply_mode == ReplyMode::Skipping {
                    state.reply_mode = ReplyMode::On;
                }
            }
        }
        match (step, blocked) {
            (_, Some(blocked)) => Some(Wait::Blocked(blocked)),
            (Step::Wait(wait), _) => Some(*wait),
            _ => None,
        }
    }

    /// What stands against running a command, if anything.
    fn check(&mut self, id: CommandId, row: &'static Row, len: usize, state: &State) -> Option<Error> {
        if !row.accepts(len) {
            return Some(Error::arity(full_name(id)));
        }
        if !state.authenticated && !row.has(Flag::NoAuth) {
            return Some(Error::NO_AUTH);
        }
        let maxmemory = self.settings.maxmemory;
        if maxmemory > 0 {
            let started = self.ticks;
            let room = self.services.keyspace.make_room(&mut self.scratch, &self.settings, self.now_ms);
            if self.scratch.counts.evicted > 0 {
                self.note_latency("eviction-cycle", started);
            }
            if room.is_err() && row.has(Flag::DenyOom) {
                return Some(Error::OUT_OF_MEMORY);
            }
        }
        if self.services.loading.load(Relaxed) && !row.has(Flag::Loading) {
            return Some(Error::LOADING);
        }
        if self.services.saves.failed() && self.writes_are_stopped(row, state) {
            return Some(Error::MISCONFIGURED);
        }
        if !state.resp3 && state.is_subscribed() && !allowed_while_subscribed(row) {
            let text = format!(
                "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are \
                 allowed in this context",
                full_name(id)
            );
            return Some(Error::new(text));
        }
        // In Redis who runs MONITOR counts as a replica.
        if state.monitor
            && [Flag::Readonly, Flag::Write, Flag::MayReplicate].iter().any(|flag| row.has(*flag))
        {
            return Some(Error::fixed("ERR Replica can't interact with the keyspace"));
        }
        None
    }

    /// Whether a command is refused after a failed save (`stop-writes-on-bgsave-error`).
    #[cold]
    fn writes_are_stopped(&self, row: &Row, state: &State) -> bool {
        let queued_writes = || state.transaction.as_ref().is_some_and(|queued| queued.writes);
        self.settings.stop_writes_on_bgsave_error
            && !self.settings.save.points().is_empty()
            && (row.has(Flag::Write) || row.name == "ping" || row.name == "exec" && queued_writes())
    }

    /// Answers with an error instead of running.
    #[cold]
    pub(super) fn refuse(
        &mut self,
        id: Option<CommandId>,
        error: Error,
        state: &mut State,
        out: &mut Output,
    ) -> Option<Wait> {
        state.no_room_since = None;
        if let Some(transaction) = &mut state.transaction {
            transaction.failed = true;
        }
        let metrics = self.services.metrics.worker(self.worker);
        metrics.count_error(error.code());
        if let Some(id) = id {
            metrics.commands.lock().note_rejected(id.0);
        }
        match state.reply_mode {
            ReplyMode::On => Reply::new(out, state.resp3).error(error.text()),
            ReplyMode::SkipNext | ReplyMode::Skipping => state.reply_mode = ReplyMode::On,
            ReplyMode::Off => {}
        }
        None
    }
}

/// The keys of a request.
pub(super) fn keys_of<'a>(
    space: &Keyspace,
    row: &Row,
    args: Args<'a>,
    selected: usize,
) -> SmallVec<[Key<'a>; 2]> {
    let places = row.key_places(&args, selected).into_iter();
    let keys = places.map(|(database, index)| {
        // A number that no database has is an error of the handler's to report.
        let database = if database < space.database_count() { database } else { selected };
        space.key(database, arg(&args, index))
    });
    keys.collect()
}

/// An argument whose index a row's key specification gave for these very arguments.
#[inline(always)]
fn arg<'a>(args: &Args<'a>, index: usize) -> &'a [u8] {
    args.get(index).unwrap_or_default()
}

fn allowed_while_subscribed(row: &Row) -> bool {
    const NAMES: [&str; 9] = [
        "ping",
        "subscribe",
        "ssubscribe",
        "unsubscribe",
        "sunsubscribe",
        "psubscribe",
        "punsubscribe",
        "quit",
        "reset",
    ];
    NAMES.contains(&row.name)
}

/// As C prints a string of at most so many bytes.
fn c_text(bytes: &[u8], most: usize) -> &[u8] {
    let text = c_string(bytes);
    &text[..text.len().min(most)]
}

/// Whether a request is the first line of an HTTP request with a body, or its header Host.
fn is_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

#[cold]
fn unknown_command(args: Args<'_>) -> Error {
    let mut shown: Vec<u8> = Vec::new();
    for arg in args.iter().skip(1) {
        if shown.len() >= 128 {
            break;
        }
        let room = 128 - shown.len();
        shown.push(b'\'');
        shown.extend_from_slice(c_text(arg, room));
        shown.extend_from_slice(b"' ");
    }
    let mut text = b"ERR unknown command '".to_vec();
    text.extend_from_slice(c_text(&args[0], 128));
    text.extend_from_slice(b"', with args beginning with: ");
    text.extend_from_slice(&shown);
    Error::new(text)
}

#[cold]
fn unknown_subcommand(row: &Row, args: Args<'_>) -> Error {
    let mut text = b"ERR unknown subcommand '".to_vec();
    text.extend_from_slice(c_text(args.get(1).unwrap_or_default(), 128));
    text.extend_from_slice(format!("'. Try {} HELP.", row.name.to_ascii_uppercase()).as_bytes());
    Error::new(text)
}
