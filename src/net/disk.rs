//! The threads of the second tier: one finds the keys at the start, one makes room, one makes the next segment, one
//! syncs, one looks what the kernel has in memory.

use crate::clock;
use crate::command::{Saves, Services, limits};
use crate::config::{AppendFsync, Policy, Settings};
use crate::disk::Lane;
use crate::disk::files::Directory;
use crate::disk::store::{Store, SyncPolicy};
use crate::keyspace::{CompactRule, Evict, Scratch, Tier};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// How often segments are looked at while none is worth emptying.
const COMPACT_EVERY: Duration = Duration::from_millis(50);
/// How often it is looked up which pages of the log are still in memory.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often what was logged is synced with `everysec`.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// Opens the directory of the settings.
///
/// # Errors
/// What stands against it, in words for the user.
pub fn open(settings: &Settings) -> Result<Arc<Store>, String> {
    let path = Path::new(&settings.l2_dir);
    let directory = Directory::lock(path)?;
    directory.drop_half_import().map_err(|error| format!("{}: {error}", path.display()))?;
    let store = Store::open(Box::new(directory), settings.l2_size);
    Ok(Arc::new(store.map_err(|error| format!("{}: {error}", path.display()))?))
}

/// Makes the tier follow the settings.
pub fn follow(tier: &Tier, settings: &Settings) {
    let sync = match settings.appendfsync {
        AppendFsync::Always => SyncPolicy::Always,
        AppendFsync::EverySecond => SyncPolicy::EverySecond,
        AppendFsync::No => SyncPolicy::Never,
    };
    tier.follow(settings.appendonly, sync, settings.maxmemory, settings.l2_size, limits(settings));
}

/// Starts the threads; `has_log` where there are keys to find.
///
/// # Errors
/// When no thread can be had.
pub fn start(services: &Arc<Services>, has_log: bool) -> io::Result<Vec<JoinHandle<()>>> {
    let Some(tier) = services.keyspace.tier() else { return Ok(Vec::new()) };
    let mut threads = Vec::new();
    if has_log {
        let shared = Arc::clone(services);
        threads.push(Builder::new().name("recovery".into()).spawn(move || recover(&shared))?);
    }
    let (shared, store) = (Arc::clone(services), Arc::clone(tier.store()));
    let prepare = move || {
        let mut seen = store.opened();
        while !*shared.shutdown.borrow() {
            let opened = store.wait_for_opened(seen, SYNC_EVERY);
            if opened != seen {
                // Where there is none, who needs it will try, and say why it cannot be had.
                let _ = store.prepare_spare();
                seen = opened;
            }
        }
    };
    let (shared, store) = (Arc::clone(services), Arc::clone(tier.store()));
    let look = move || {
        while !*shared.shutdown.borrow() {
            store.wait_to_look(LOOK_EVERY);
            store.look_at_pages();
        }
    };
    let (shared, tier) = (Arc::clone(services), Arc::clone(tier));
    let sync = move || {
        while !*shared.shutdown.borrow() {
            tier.store().wait_for_want(SYNC_EVERY);
            if tier.sync_policy() != SyncPolicy::Never {
                // The store keeps the error, and writes are refused until it is gone.
                let _ = tier.store().sync();
            }
        }
    };
    let shared = Arc::clone(services);
    threads.push(Builder::new().name("log-reclaim".into()).spawn(move || compact(&shared))?);
    threads.push(Builder::new().name("log-sync".into()).spawn(sync)?);
    threads.push(Builder::new().name("log-segments".into()).spawn(prepare)?);
    threads.push(Builder::new().name("log-pages".into()).spawn(look)?);
    Ok(threads)
}

/// Makes room on disk for as long as the server runs.
fn compact(services: &Services) {
    let Some(tier) = services.keyspace.tier() else { return };
    let mut lane = Lane::for_reclaiming(Arc::clone(tier.store()));
    let mut scratch = Scratch::for_reclaiming(tier.store());
    let mut writing_out = Scratch::for_writing_out(tier.store());
    let mut seen = 0;
    while !*services.shutdown.borrow() {
        let settings = services.config.settings();
        if !services.loading.load(Relaxed)
            && tier.behind.swap(false, Relaxed)
            && let Err(error) = services.keyspace.write_all_out(&mut writing_out)
        {
            tracing::warn!(%error, "what was there before appendonly is not all logged yet");
            tier.behind.store(true, Relaxed);
        }
        let rule = CompactRule {
            evict: match settings.maxmemory_policy {
                Policy::NoEviction => Evict::Nothing,
                Policy::AllkeysLru | Policy::AllkeysLfu | Policy::AllkeysRandom => Evict::All,
                _ => Evict::Volatile,
            },
            bytes_per_second: settings.l2_reclaim_mb_per_second << 20,
        };
        let done = !services.loading.load(Relaxed)
            && services.keyspace.compact(&mut scratch, &mut lane, rule, clock::now_ms()).unwrap_or_else(
                |error| {
                    tracing::warn!(%error, "a segment could not be reclaimed");
                    false
                },
            );
        let counts = std::mem::take(&mut scratch.counts);
        tier.store().counters.evicted.fetch_add(counts.evicted, Relaxed);
        if !done {
            seen = tier.store().wait_for_opened(seen, COMPACT_EVERY);
        }
    }
}

fn recover(services: &Services) {
    let started = Instant::now();
    match services.keyspace.recover(clock::now_ms(), &services.progress) {
        Ok(found) => {
            tracing::info!(
                keys = found.keys,
                records = found.records,
                segments = found.segments,
                damaged = found.damaged,
                seconds = started.elapsed().as_secs_f64(),
                "all keys of the log on disk are known"
            );
            tell_of_snapshot(&services.config.snapshot(), found.keys);
            services.loading.store(false, Relaxed);
        }
        Err(error) => {
            tracing::error!(error, "the log on disk cannot be read: stopping");
            services.shutdown.send_replace(true);
        }
    }
}

/// Says that a snapshot was passed over. It may be older than the log, even than one without keys: after FLUSHALL it has
/// what was given up. But who has just put it there, to move in, has to be told that it counts for nothing.
fn tell_of_snapshot(settings: &Settings, keys: usize) {
    let Some(path) = Saves::waiting_file(settings) else { return };
    let (file, log) = (path.display(), &settings.l2_dir);
    if keys > 0 {
        tracing::info!("{file} is not loaded: the log in {log} is newer than any snapshot");
    } else {
        tracing::warn!(
            "{file} is not loaded, although the server has no keys: a log in {log}, which has none, counts as newer. \
             To have the keys of the file, stop the server, and run `strata import {file}` with its options"
        );
    }
}

/// Ends the threads; the workers have ended.
///
/// # Errors
/// When not everything is on the disk that should be.
pub fn stop(services: &Services, threads: Vec<JoinHandle<()>>) -> Result<(), &'static str> {
    let Some(tier) = services.keyspace.tier() else { return Ok(()) };
    let mut stopped = Ok(());
    tier.store().want_sync();
    tier.store().wake();
    for thread in threads {
        // A panic there was logged when it happened.
        let _ = thread.join();
    }
    if let Err(error) = tier.store().remove_spare() {
        tracing::warn!(%error, "an empty segment stays");
    }
    if !services.loading.load(Relaxed)
        && let Err(error) = services.keyspace.write_all_out(&mut Scratch::for_writing_out(tier.store()))
    {
        if tier.logs() {
            tracing::warn!(%error, "some values are in the log in parts only: the next start has to read all of it");
        } else {
            tracing::error!(%error, "not everything in memory could be written to disk");
            stopped = Err("not everything in memory could be written to disk");
        }
    }
    if let Err(error) = tier.store().sync() {
        tracing::error!(%error, "the last writes could not be synced");
        stopped = Err("the last writes could not be synced");
    } else if !services.loading.load(Relaxed)
        && let Err(error) = services.keyspace.write_checkpoint()
    {
        tracing::warn!(%error, "no checkpoint: the next start reads the whole log");
    }
    stopped
}
