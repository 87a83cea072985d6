//! SAVE, BGSAVE, LASTSAVE, save points, and SHUTDOWN with its last save: who may save when, and what is known of it.
//!
//! A save is marked by whoever asks for it and written by a thread of its own ([`crate::keyspace::snapshot`]); there is
//! one at a time. SAVE differs from BGSAVE in that its client waits for the end, and in what a failure means.

use super::parse::is;
use super::row::{Category, Flag, Row, one_of, row, token};
use super::{Answer, Ctx, DONE, Error, Services, Step, Wait};
use super::{hash, info, set, zset};
use crate::clock;
use crate::config::{Policy, Settings};
use crate::keyspace::snapshot::{self, ExportError, Exported, Form, ImportError, Imported, Snapshot};
use crate::memory::capture::{Kept, Usage};
use crate::memory::usage;
use crate::rdb::Limits;
use crate::resp::{Output, Reply};
use crate::value::list::ChunkLimit;
use parking_lot::{Condvar, Mutex};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::oneshot;

/// How long a failed save is not tried again.
const RETRY_SECONDS: i64 = 5;
/// How long clients may be kept from writing for the last save.
const PAUSE_MS: i64 = 24 * 3600 * 1000;

/// Why a save is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// SAVE, or the last one: a failure is told to whoever waits.
    Foreground,
    /// BGSAVE or a save point: a failure may stop writes.
    Background,
}

/// A save that runs.
struct Running {
    kind: Kind,
    started_s: i64,
    /// How many keys there are to save, and how far the saver is; `None` until the moment is marked.
    marked: Option<(u64, Arc<Kept>)>,
    /// Changes before its mark.
    changes: u64,
    cancel: Arc<AtomicBool>,
}

#[derive(Default)]
struct State {
    running: Option<Running>,
    scheduled: bool,
    /// Changes before the mark of the last save that succeeded.
    saved_changes: u64,
    last_save_s: i64,
    last_try_s: i64,
    last_took_s: Option<i64>,
    saves: u64,
    last_changed_bytes: u64,
    loaded: Imported,
}

/// What is known of saves.
#[derive(Default)]
pub struct Saves {
    /// A leaf among locks: INFO reads it while a transaction holds shards.
    state: Mutex<State>,
    /// Tells that no save runs any more.
    ended: Condvar,
    /// Whether the last background save failed.
    failed: AtomicBool,
    /// Whether the last save before the end is being made.
    stopping: AtomicBool,
    /// Whether that save was called off.
    abort: AtomicBool,
    /// What tells those who want the server to stop that it does not. When it does they stay here: who waits for an
    /// answer waits until it is closed.
    refusals: Mutex<Vec<Refusal>>,
}

type Refusal = Box<dyn FnOnce() + Send>;

/// What INFO says of saves.
pub struct Report {
    /// Keys that the present save has saved, and how many there are.
    pub keys: Option<(u64, u64)>,
    /// Bytes that the present save had to keep of changed keys.
    pub changed_bytes: u64,
    /// Changes since the last save.
    pub changes: u64,
    /// For how many seconds a background save has been running.
    pub background_s: Option<i64>,
    /// When the last save ended, Unix seconds.
    pub last_save_s: i64,
    /// Whether the last background save failed.
    pub failed: bool,
    /// How many seconds the last background save took.
    pub last_took_s: Option<i64>,
    /// How many saves there were.
    pub saves: u64,
    /// What the last save had to keep of changed keys.
    pub last_changed_bytes: u64,
    /// What was loaded at the start.
    pub loaded: Imported,
}

/// There is a save already, or no thread for one.
enum Refused {
    Busy,
    System,
}

/// The path of the file.
fn path(settings: &Settings) -> PathBuf {
    Path::new(&settings.dir).join(&settings.dbfilename)
}

fn usage_of(settings: &Settings) -> Usage {
    match settings.maxmemory_policy {
        Policy::AllkeysLru | Policy::VolatileLru => Usage::Idle,
        Policy::AllkeysLfu | Policy::VolatileLfu => Usage::Frequency,
        _ => Usage::None,
    }
}

/// How files are written under these settings.
pub fn form(settings: &Settings) -> Form {
    let fields = vec![
        ("redis-ver", info::REDIS_VERSION.to_owned()),
        ("redis-bits", usize::BITS.to_string()),
        ("ctime", (clock::now_ms() / 1000).to_string()),
        ("used-mem", usage::allocated_bytes().to_string()),
        ("aof-base", "0".to_owned()),
    ];
    Form {
        usage: usage_of(settings),
        sum: settings.rdbchecksum,
        sync_pieces: settings.rdb_save_incremental_fsync,
        fields,
    }
}

/// Up to where collections that are read stay packed under these settings.
pub fn limits(settings: &Settings) -> Limits {
    Limits {
        hash: hash::limits(settings),
        list: ChunkLimit::new(settings.list_max_listpack_size),
        set: set::limits(settings),
        zset: zset::limits(settings),
    }
}

impl Saves {
    /// None was made; the server starts now.
    pub fn new(now_ms: i64) -> Saves {
        let saves = Saves::default();
        saves.state.lock().last_save_s = now_ms / 1000;
        saves
    }

    /// Whether the last background save failed.
    #[inline]
    pub fn failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Marks this moment and has a thread save it, which calls `done` with whether that succeeded. No lock on keys
    /// may be held.
    fn begin(
        &self,
        services: &Arc<Services>,
        kind: Kind,
        done: impl FnOnce(bool) + Send + 'static,
    ) -> Result<(), Refused> {
        let settings = services.config.snapshot();
        let mut state = self.state.lock();
        if state.running.is_some() {
            return Err(Refused::Busy);
        }
        let now_ms = clock::now_ms();
        let cancel = Arc::new(AtomicBool::new(false));
        let running = Running {
            kind,
            started_s: now_ms / 1000,
            marked: None,
            // Before the mark: a change that is counted twice is saved twice, none is missed.
            changes: services.metrics.changes(),
            cancel: Arc::clone(&cancel),
        };
        state.running = Some(running);
        drop(state);
        let snapshot = services.keyspace.snapshot(usage_of(&settings), now_ms);
        let mut state = self.state.lock();
        let Some(snapshot) = snapshot else {
            state.running = None;
            self.ended.notify_all();
            return Err(Refused::Busy);
        };
        if let Some(running) = &mut state.running {
            running.marked = Some((snapshot.keys(), snapshot.progress()));
        }
        state.saves += 1;
        state.last_try_s = now_ms / 1000;
        drop(state);
        // Where there is no thread, the snapshot must not be lost with what it was to run.
        let handed = Arc::new(Mutex::new(Some(snapshot)));
        let (kept, shared) = (Arc::clone(&handed), Arc::clone(services));
        let run = move || {
            if let Some(snapshot) = handed.lock().take() {
                let saved = run_save(&shared, snapshot, &settings, &cancel);
                done(shared.saves.end(kind, saved));
                // This thread has freed what others allocated.
                usage::publish();
            }
        };
        let thread = std::thread::Builder::new().name("saver".into()).spawn(run);
        thread.map(drop).map_err(|error| {
            if let Some(snapshot) = kept.lock().take() {
                snapshot.abandon(&services.keyspace);
            }
            tracing::warn!(%error, "no thread for a save");
            self.state.lock().running = None;
            self.failed.fetch_or(kind == Kind::Background, Ordering::Relaxed);
            self.ended.notify_all();
            Refused::System
        })
    }

    /// Notes how a save ended; answers whether it succeeded.
    fn end(&self, kind: Kind, saved: Result<Exported, ExportError>) -> bool {
        let mut state = self.state.lock();
        let Some(running) = state.running.take() else { return false };
        let now_s = clock::now_ms() / 1000;
        if kind == Kind::Background {
            state.last_took_s = Some(now_s - running.started_s);
        }
        match &saved {
            Ok(exported) => {
                state.saved_changes = running.changes;
                state.last_save_s = now_s;
                state.last_changed_bytes = exported.changed_bytes;
                self.failed.store(false, Ordering::Relaxed);
                let (keys, bytes) = (exported.keys, exported.bytes);
                tracing::info!(keys, bytes, seconds = now_s - running.started_s, "DB saved on disk");
            }
            Err(ExportError::Cancelled) => tracing::warn!("the save was called off"),
            Err(error) => {
                if kind == Kind::Background {
                    self.failed.store(true, Ordering::Relaxed);
                }
                tracing::warn!(%error, "the save failed");
            }
        }
        drop(state);
        self.ended.notify_all();
        saved.is_ok()
    }

    /// Calls a running save off and waits for its end. Only for threads that may wait.
    pub fn cancel(&self) {
        let mut state = self.state.lock();
        while let Some(running) = &state.running {
            running.cancel.store(true, Ordering::Relaxed);
            self.ended.wait(&mut state);
        }
    }

    /// What INFO says.
    pub fn report(&self, services: &Services) -> Report {
        let state = self.state.lock();
        let running = state.running.as_ref();
        let marked = running.and_then(|running| running.marked.as_ref());
        let background = running.filter(|running| running.kind == Kind::Background);
        Report {
            keys: marked.map(|(keys, kept)| (kept.keys(), *keys)),
            changed_bytes: marked.map_or(0, |(_, kept)| kept.bytes()),
            changes: services.metrics.changes().saturating_sub(state.saved_changes),
            background_s: background.map(|running| clock::now_ms() / 1000 - running.started_s),
            last_save_s: state.last_save_s,
            failed: self.failed(),
            last_took_s: state.last_took_s,
            saves: state.saves,
            last_changed_bytes: state.last_changed_bytes,
            loaded: state.loaded,
        }
    }

    /// Has a save made soon, after one that runs.
    pub fn schedule(&self) {
        self.state.lock().scheduled = true;
    }

    /// Starts what was scheduled or is due by a save point; called at intervals.
    pub fn tick(&self, services: &Arc<Services>, settings: &Settings, now_ms: i64) {
        let mut state = self.state.lock();
        if state.running.is_some() || self.stopping.load(Ordering::Acquire) {
            return;
        }
        let now_s = now_ms / 1000;
        let may_try = now_s - state.last_try_s > RETRY_SECONDS || !self.failed();
        if !may_try {
            return;
        }
        let changes = services.metrics.changes().saturating_sub(state.saved_changes);
        let since_s = now_s - state.last_save_s;
        let points = settings.save.points();
        let point = points.iter().find(|(seconds, least)| changes >= *least && since_s > *seconds as i64);
        if let Some((seconds, least)) = point {
            tracing::info!("{least} changes in {seconds} seconds. Saving...");
        }
        let scheduled = std::mem::take(&mut state.scheduled);
        drop(state);
        if (point.is_some() || scheduled)
            && let Err(Refused::System) = self.begin(services, Kind::Background, |_| {})
        {
            // The next round tries again.
            self.state.lock().scheduled |= scheduled;
        }
    }

    /// Saves where that is asked for, then orders the server to stop; `refused` is called instead when that failed
    /// and is not forced. Nobody waits: a thread does. While it does, others who want the same only wait for it.
    pub fn stop(services: &Arc<Services>, save: bool, force: bool, refused: impl FnOnce() + Send + 'static) {
        let saves = &services.saves;
        if !save {
            saves.stopping.store(false, Ordering::Release);
            services.shutdown.send_replace(true);
            return;
        }
        let mut refusals = saves.refusals.lock();
        refusals.push(Box::new(refused));
        if saves.stopping.swap(true, Ordering::AcqRel) {
            return;
        }
        drop(refusals);
        saves.abort.store(false, Ordering::Release);
        let shared = Arc::clone(services);
        let run = move || {
            // What is acknowledged from now on would not be in the file.
            let now_ms = clock::now_ms();
            shared.pause.begin(now_ms + PAUSE_MS, false, now_ms);
            shared.keyspace.paused.store(true, Ordering::Relaxed);
            if shared.saves.save_now(&shared) {
                shared.shutdown.send_replace(true);
            } else if force && !shared.saves.abort.load(Ordering::Acquire) {
                tracing::warn!("Error trying to save the DB. Exit anyway.");
                shared.saves.stopping.store(false, Ordering::Release);
                shared.shutdown.send_replace(true);
            } else {
                tracing::warn!("Error trying to save the DB, can't exit.");
                shared.pause.end();
                shared.saves.refuse();
            }
        };
        if let Err(error) = std::thread::Builder::new().name("stopper".into()).spawn(run) {
            tracing::warn!(%error, "no thread for the last save");
            saves.refuse();
        }
    }

    /// Tells all who want the server to stop that it does not.
    fn refuse(&self) {
        tracing::warn!("Errors trying to shut down the server. Check the logs for more information.");
        let mut refusals = self.refusals.lock();
        self.stopping.store(false, Ordering::Release);
        refusals.drain(..).for_each(|refused| refused());
    }

    /// Calls off a save that runs, and saves; answers whether that succeeded. Only for threads that may wait.
    fn save_now(&self, services: &Arc<Services>) -> bool {
        tracing::info!("Saving the final RDB snapshot before exiting.");
        loop {
            self.cancel();
            let (done, saved) = std::sync::mpsc::channel();
            let begun = self.begin(services, Kind::Foreground, move |saved| {
                // The receiver waits below.
                let _ = done.send(saved);
            });
            match begun {
                Ok(()) => {
                    if self.abort.load(Ordering::Acquire) {
                        // It came before there was something to call off.
                        self.cancel();
                    }
                    return saved.recv().unwrap_or(false);
                }
                // A client was quicker.
                Err(Refused::Busy) if !self.abort.load(Ordering::Acquire) => {}
                Err(_) => return false,
            }
        }
    }

    /// When all workers have ended: saves once more what was still written while the last save began, and calls off a
    /// save that nobody waits for.
    ///
    /// # Errors
    /// When that save failed.
    pub fn finish(&self, services: &Arc<Services>) -> Result<(), &'static str> {
        self.cancel();
        let stale = self.state.lock().saved_changes != services.metrics.changes();
        let missing = self.stopping.load(Ordering::Acquire) && stale;
        if missing && !self.save_now(services) { Err("the last save failed") } else { Ok(()) }
    }

    /// Calls the last save off; answers whether there was one.
    fn abort_stop(&self) -> bool {
        if !self.stopping.load(Ordering::Acquire) {
            return false;
        }
        self.abort.store(true, Ordering::Release);
        if let Some(running) = &self.state.lock().running {
            running.cancel.store(true, Ordering::Relaxed);
        }
        true
    }

    /// The file that [`Saves::load`] would load, if it is there.
    pub fn waiting_file(settings: &Settings) -> Option<PathBuf> {
        let path = path(settings);
        (!settings.dbfilename.is_empty() && path.exists()).then_some(path)
    }

    /// Loads the file, if there is one.
    ///
    /// # Errors
    /// The file's path and what is wrong with it.
    pub fn load(&self, services: &Services) -> Result<(), (PathBuf, ImportError)> {
        let settings = services.config.snapshot();
        let path = path(&settings);
        if settings.dbfilename.is_empty() {
            return Ok(());
        }
        let started = std::time::Instant::now();
        match snapshot::import(&services.keyspace, &path, &limits(&settings), &settings, clock::now_ms()) {
            Ok(imported) => {
                let Imported { keys, expired, bytes, .. } = imported;
                let ms = started.elapsed().as_millis();
                tracing::info!(keys, expired, bytes, ms, "DB loaded from disk");
                self.state.lock().loaded = imported;
                Ok(())
            }
            Err(ImportError::Open(error)) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err((path, error)),
        }
    }
}

fn run_save(
    services: &Services,
    snapshot: Snapshot,
    settings: &Settings,
    cancel: &AtomicBool,
) -> Result<Exported, ExportError> {
    snapshot::save(&services.keyspace, snapshot, &path(settings), &form(settings), cancel)
}

const BUSY: Error = Error::fixed("ERR Background save already in progress");
const FAILED: Error = Error::fixed("ERR");

fn save(ctx: &mut Ctx<'_>) -> Answer {
    let (reply, waited) = oneshot::channel();
    let resp3 = ctx.reply.is_resp3();
    let begun = ctx.services.saves.begin(ctx.services, Kind::Foreground, move |saved| {
        // The client may be gone.
        let _ = reply.send(answer(resp3, if saved { Ok(()) } else { Err(FAILED) }));
    });
    match begun {
        Ok(()) => Ok(Step::Wait(Box::new(Wait::Answered(waited)))),
        Err(Refused::Busy) => Err(BUSY),
        Err(Refused::System) => Err(FAILED),
    }
}

/// A reply that is sent later.
fn answer(resp3: bool, result: Result<(), Error>) -> Output {
    let mut output = Output::default();
    let mut reply = Reply::new(&mut output, resp3);
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error.text()),
    }
    output
}

fn bgsave(ctx: &mut Ctx<'_>) -> Answer {
    if ctx.args.len() > 2 || ctx.args.get(1).is_some_and(|word| !is(word, "schedule")) {
        return Err(Error::SYNTAX);
    }
    let saves = &ctx.services.saves;
    if !ctx.may_block {
        // A transaction holds locks; the save comes soon after it.
        let mut state = saves.state.lock();
        if state.running.is_some() {
            return Err(BUSY);
        }
        state.scheduled = true;
        ctx.reply.simple("Background saving scheduled");
        return DONE;
    }
    match saves.begin(ctx.services, Kind::Background, |_| {}) {
        Ok(()) => {
            ctx.reply.simple("Background saving started");
            DONE
        }
        Err(Refused::Busy) => Err(BUSY),
        Err(Refused::System) => Err(FAILED),
    }
}

fn lastsave(ctx: &mut Ctx<'_>) -> Answer {
    let last_save_s = ctx.services.saves.state.lock().last_save_s;
    ctx.reply.int(last_save_s);
    DONE
}

fn shutdown(ctx: &mut Ctx<'_>) -> Answer {
    let (mut abort, mut no_save, mut save, mut now, mut force) = (false, false, false, false, false);
    for word in ctx.args.iter().skip(1) {
        match word {
            word if is(word, "nosave") => no_save = true,
            word if is(word, "save") => save = true,
            // There is no replica to wait for.
            word if is(word, "now") => now = true,
            word if is(word, "force") => force = true,
            word if is(word, "abort") => abort = true,
            _ => return Err(Error::SYNTAX),
        }
    }
    if (abort && (no_save || save || now || force)) || (no_save && save) {
        return Err(Error::SYNTAX);
    }
    if abort {
        if !ctx.services.saves.abort_stop() {
            return Err(Error::fixed("ERR No shutdown in progress."));
        }
        ctx.reply.ok();
        return DONE;
    }
    tracing::warn!("user requested shutdown");
    if !save && (no_save || ctx.settings.save.points().is_empty()) {
        // Everybody, this client included, is closed without a reply, as by Redis.
        ctx.state.close_after_reply = true;
        Saves::stop(ctx.services, false, force, || {});
        return DONE;
    }
    let (reply, waited) = oneshot::channel();
    let resp3 = ctx.reply.is_resp3();
    // When it succeeds there is no reply: everybody is closed.
    Saves::stop(ctx.services, true, force, move || {
        let failed = Error::fixed("ERR Errors trying to SHUTDOWN. Check logs.");
        // The client may be gone.
        let _ = reply.send(answer(resp3, Err(failed)));
    });
    Ok(Step::Wait(Box::new(Wait::Answered(waited))))
}

/// The rows of this family.
pub const ROWS: &[Row] = &[
    row("bgsave", -1, "server", bgsave)
        .flags(&[Flag::Admin, Flag::NoScript, Flag::NoAsyncLoading])
        .docs("Asynchronously saves the database(s) to disk.", "1.0.0")
        .complexity("O(1)")
        .history(&[("3.2.2", "Added the `SCHEDULE` option.")])
        .args(&[token("schedule", "SCHEDULE").since("3.2.2").optional()]),
    row("lastsave", 1, "server", lastsave)
        .flags(&[Flag::Loading, Flag::Stale, Flag::Fast])
        .acl(&[Category::Admin, Category::Dangerous])
        .docs("Returns the Unix timestamp of the last successful save to disk.", "1.0.0")
        .complexity("O(1)")
        .tips(&["nondeterministic_output"]),
    row("save", 1, "server", save)
        .flags(&[Flag::Admin, Flag::NoScript, Flag::NoAsyncLoading, Flag::NoMulti])
        .docs("Synchronously saves the database(s) to disk.", "1.0.0")
        .complexity("O(N) where N is the total number of keys in all databases"),
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
];
