//! Snapshots: all keys as of one moment, to a file, while the server goes on; and such a file back into the keyspace.
//!
//! ```text
//! 1  mark    every shard of every database is locked, is given a capture, and is unlocked
//! 2  save    the saver walks from shard to shard, some entries a hold of a lock, and writes to the file in between;
//!            what others change first they write down themselves, and the saver puts it into the file first
//! 3  end     the file is synced and renamed over the old one, and so is the directory
//! ```
//!
//! No lock is held while the file is written. `memory::capture` has what happens under a shard's lock. There is one
//! snapshot at a time.

use super::{Expiry, Keyspace, Lookup, Scratch};
use crate::config::{NotifyFlags, Settings};
use crate::memory::capture::{Capture, Kept, Records, Usage};
use crate::memory::entry::NewValue;
use crate::memory::{ShardGuard, usage};
use crate::rdb::file::{FileError, Item, Reader, Record, Use, Writer};
use crate::rdb::{Decoded, Limits};
use crate::value::string::NewString;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What is given to the system at once.
const BUFFER_BYTES: usize = 256 * 1024;
/// After so many bytes the file is synced, where that is wanted, so that the last sync is no long one.
const SYNC_BYTES: u64 = 4 << 20;
/// How often a load says how far it is.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// A marked moment. It must be saved or abandoned.
#[must_use = "shards stay marked until it is saved or abandoned"]
pub struct Snapshot {
    kept: Arc<Kept>,
    /// Databases that had keys: number, keys, keys that expire.
    sizes: Vec<(usize, u64, u64)>,
}

/// How a file is written.
#[derive(Clone, Debug)]
pub struct Form {
    /// What is said of the use of keys.
    pub usage: Usage,
    /// Whether the file ends with a sum (`rdbchecksum`).
    pub sum: bool,
    /// Whether it is synced piece by piece (`rdb-save-incremental-fsync`).
    pub sync_pieces: bool,
    /// The auxiliary fields.
    pub fields: Vec<(&'static str, String)>,
}

/// What a file has that was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exported {
    /// Its keys.
    pub keys: u64,
    /// Its bytes.
    pub bytes: u64,
    /// Bytes of keys that were changed before they were saved.
    pub changed_bytes: u64,
}

/// Why a snapshot is not in its file.
#[derive(Debug)]
pub enum ExportError {
    /// There is another one.
    Busy,
    /// It was called off.
    Cancelled,
    /// What was tried, and what the system said.
    Io(&'static str, io::Error),
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExportError::Busy => write!(f, "another snapshot is being taken"),
            ExportError::Cancelled => write!(f, "called off"),
            ExportError::Io(what, error) => write!(f, "{what}: {error}"),
        }
    }
}

impl std::error::Error for ExportError {}

type EveryShard<'a> = Vec<(usize, Vec<ShardGuard<'a>>)>;

impl Keyspace {
    /// Locks all that there is, in lock order.
    fn lock_everything(&self) -> EveryShard<'_> {
        loop {
            let databases = self.databases_in_use();
            let locked: EveryShard<'_> =
                databases.iter().map(|(number, database)| (*number, database.lock_all())).collect();
            // A transaction may have made another database before its other keys were locked here.
            if self.databases_in_use().len() == databases.len() {
                return locked;
            }
        }
    }

    /// Whether writers should wait for the saver: what it has yet to write takes much memory.
    #[inline]
    pub fn is_saver_behind(&self) -> bool {
        self.saver_behind.load(Ordering::Relaxed)
    }

    /// Marks this moment; `None` while there is another snapshot. No lock may be held.
    pub fn snapshot(&self, usage: Usage, now_ms: i64) -> Option<Snapshot> {
        if self.capturing.swap(true, Ordering::AcqRel) {
            return None;
        }
        let mut everything = self.lock_everything();
        let shards = everything.iter().flat_map(|(_, shards)| shards);
        let occupied = shards.filter(|shard| !shard.table.is_empty()).count();
        let behind = Arc::clone(&self.saver_behind);
        let kept = Arc::new(Kept::new(occupied, usage, self.access_mode(), now_ms, behind));
        let mut sizes = Vec::new();
        for (number, shards) in &mut everything {
            let (mut keys, mut expires) = (0, 0);
            for shard in shards.iter_mut().filter(|shard| !shard.table.is_empty()) {
                shard.capture = Some(Box::new(Capture::new(&kept, *number)));
                keys += shard.table.len() as u64;
                expires += u64::from(shard.expires);
            }
            if keys > 0 {
                sizes.push((*number, keys, expires));
            }
        }
        Some(Snapshot { kept, sizes })
    }
}

/// Ends the snapshot on every way out of saving it.
struct Underway<'a> {
    space: &'a Keyspace,
    kept: Arc<Kept>,
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        if self.kept.left() > 0 {
            // All at once, so that SWAPDB moves none to where this has been.
            let mut left = Vec::new();
            for (_, shards) in &mut self.space.lock_everything() {
                left.extend(shards.iter_mut().filter_map(|shard| shard.capture.take()));
            }
        }
        while let Some(state) = self.kept.take_state() {
            self.space.forget_shard(&state);
        }
        self.space.saver_behind.store(false, Ordering::Relaxed);
        self.space.capturing.store(false, Ordering::Release);
    }
}

impl Snapshot {
    /// How many keys there are to save.
    pub fn keys(&self) -> u64 {
        self.sizes.iter().map(|(_, keys, _)| keys).sum()
    }

    /// What tells how far the saver is.
    pub fn progress(&self) -> Arc<Kept> {
        Arc::clone(&self.kept)
    }

    /// Gives it up.
    pub fn abandon(self, space: &Keyspace) {
        drop(Underway { space, kept: self.kept });
    }

    /// Writes it as a file to `out`, and gives that back with what it holds. Ends early once `cancel` is set.
    ///
    /// # Errors
    /// Those of `out`, and that it was called off; the snapshot is gone then too.
    pub fn write<W: Write + Seek>(
        self,
        space: &Keyspace,
        out: W,
        form: &Form,
        cancel: &AtomicBool,
    ) -> Result<(W, Exported), ExportError> {
        let underway = Underway { space, kept: self.kept };
        let failed = |error| ExportError::Io("writing", error);
        let mut writer = Writer::new(out, &form.fields, form.sum).map_err(failed)?;
        for (database, keys, expires) in &self.sizes {
            writer.size(*database, *keys, *expires).map_err(failed)?;
        }
        let mut walk = Walk { kept: &underway.kept, writer, out: Records::default(), cancel };
        // SWAPDB may move a shard to where the walk has been: it begins anew until none is left.
        while underway.kept.left() > 0 {
            for (_, database) in space.databases_in_use() {
                for shard in database.shards() {
                    while {
                        let cold = shard.lock().cold_ahead();
                        cold.into_iter().for_each(|location| drop(space.read_cold(location)));
                        let more =
                            shard.lock().save_some(&mut walk.out, |location| space.read_cold(location));
                        walk.step()?;
                        more
                    } {}
                }
            }
            while let Some(mut state) = underway.kept.take_state() {
                while {
                    let more = state.save_some(&mut walk.out, |location| space.read_cold(location));
                    walk.step()?;
                    more
                } {}
                space.forget_shard(&state);
            }
        }
        walk.write_kept()?;
        if underway.kept.unreadable() > 0 {
            let error = io::Error::other(format!("{} values on disk", underway.kept.unreadable()));
            return Err(ExportError::Io("reading", error));
        }
        let bytes = walk.writer.bytes() + 1 + 8;
        let (keys, changed_bytes) = (underway.kept.keys(), underway.kept.bytes());
        let out = walk.writer.finish().map_err(failed)?;
        Ok((out, Exported { keys, bytes, changed_bytes }))
    }
}

/// The saver on its way.
struct Walk<'a, W> {
    kept: &'a Kept,
    writer: Writer<W>,
    /// What was saved in the last hold of a lock.
    out: Records,
    cancel: &'a AtomicBool,
}

impl<W: Write> Walk<'_, W> {
    /// Writes what others have written down: first, since it takes memory.
    fn write_kept(&mut self) -> Result<(), ExportError> {
        for Records { database, bytes, version } in self.kept.take_records() {
            let written = self.writer.records(database, &bytes, version);
            written.map_err(|error| ExportError::Io("writing", error))?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), ExportError> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(ExportError::Cancelled);
        }
        usage::publish();
        self.write_kept()?;
        let Records { database, bytes, version } = &self.out;
        let written = self.writer.records(*database, bytes, *version);
        written.map_err(|error| ExportError::Io("writing", error))
    }
}

/// A file that is synced piece by piece.
struct Pieces {
    file: File,
    unsynced: u64,
    sync: bool,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.unsynced += written as u64;
        if self.sync && self.unsynced >= SYNC_BYTES {
            self.unsynced = 0;
            self.file.sync_data()?;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Pieces {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// The file that becomes the one at `path`.
fn temporary_path(path: &Path) -> PathBuf {
    path.with_file_name(format!("temp-{}.rdb", std::process::id()))
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Saves a snapshot as the file at `path`: the old file stays as it is until the new one has reached the disk.
///
/// # Errors
/// What stands against it; the snapshot and what was written are gone then.
pub fn save(
    space: &Keyspace,
    snapshot: Snapshot,
    path: &Path,
    form: &Form,
    cancel: &AtomicBool,
) -> Result<Exported, ExportError> {
    let temporary = temporary_path(path);
    let result = save_to(space, snapshot, path, &temporary, form, cancel);
    if result.is_err() {
        // Where there is none, nothing was written.
        let _ = fs::remove_file(&temporary);
    }
    result
}

fn save_to(
    space: &Keyspace,
    snapshot: Snapshot,
    path: &Path,
    temporary: &Path,
    form: &Form,
    cancel: &AtomicBool,
) -> Result<Exported, ExportError> {
    let file = match File::create(temporary) {
        Ok(file) => file,
        Err(error) => {
            snapshot.abandon(space);
            return Err(ExportError::Io("opening the temporary file", error));
        }
    };
    let out = BufWriter::with_capacity(BUFFER_BYTES, Pieces { file, unsynced: 0, sync: form.sync_pieces });
    let (out, exported) = snapshot.write(space, out, form, cancel)?;
    let failed = |what| move |error| ExportError::Io(what, error);
    let pieces = out.into_inner().map_err(|error| ExportError::Io("writing", error.into_error()))?;
    pieces.file.sync_all().map_err(failed("syncing"))?;
    fs::rename(temporary, path).map_err(failed("renaming the temporary file"))?;
    let directory = File::open(directory_of(path)).and_then(|directory| directory.sync_all());
    directory.map_err(failed("syncing the directory"))?;
    Ok(exported)
}

/// Marks this moment and saves it as the file at `path`. No lock may be held.
///
/// # Errors
/// See [`save`]; also when another snapshot is being taken.
pub fn export(
    space: &Keyspace,
    path: &Path,
    form: &Form,
    now_ms: i64,
    cancel: &AtomicBool,
) -> Result<Exported, ExportError> {
    let snapshot = space.snapshot(form.usage, now_ms).ok_or(ExportError::Busy)?;
    save(space, snapshot, path, form, cancel)
}

/// What was read from a file.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Imported {
    /// Keys that were added.
    pub keys: u64,
    /// Keys that were due already, and were left out.
    pub expired: u64,
    /// Libraries of functions, which were left out.
    pub functions: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Why a file is not in the keyspace. Keys before the fault are.
#[derive(Debug)]
pub enum ImportError {
    /// The file cannot be opened.
    Open(io::Error),
    /// It is damaged, or of a kind that is not known.
    File(FileError),
    /// It has a database of this number, which is more than there are.
    Database(u64),
    /// It has a key that is there already.
    Duplicate(Vec<u8>),
    /// The log on disk cannot be written.
    Log(io::Error),
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImportError::Open(error) => write!(f, "cannot open it: {error}"),
            ImportError::File(error) => write!(f, "{error}"),
            ImportError::Database(number) => {
                write!(f, "it has keys of database {number}: `databases` is too low")
            }
            ImportError::Log(error) => write!(f, "the log on disk cannot be written: {error}"),
            ImportError::Duplicate(key) => write!(f, "the key '{}' comes twice", key.escape_ascii()),
        }
    }
}

impl std::error::Error for ImportError {}

/// Adds all keys of the file at `path` that are not due at `now_ms`; says every second how far it is. With a second tier
/// values leave memory meanwhile as the settings say.
///
/// # Errors
/// What is wrong with the file; the keys before the fault are in the keyspace then.
pub fn import(
    space: &Keyspace,
    path: &Path,
    limits: &Limits,
    settings: &Settings,
    now_ms: i64,
) -> Result<Imported, ImportError> {
    let file = File::open(path).map_err(ImportError::Open)?;
    let store = space.tier().map(|tier| tier.store());
    // Should it not come to its end, nobody must take what is logged by then for all.
    store.map_or(Ok(()), |store| store.note_import(true)).map_err(ImportError::Log)?;
    let total = file.metadata().map_or(0, |metadata| metadata.len());
    let mut reader = Reader::new(file).map_err(ImportError::File)?;
    let mut imported = Imported::default();
    let mut scratch = Scratch::default();
    let mut reported = Instant::now();
    while let Some(item) = reader.next(limits).map_err(ImportError::File)? {
        match item {
            Item::Field(..) | Item::Size(..) => {}
            Item::Function => imported.functions += 1,
            Item::Record(record) if record.expires_at_ms.is_some_and(|at| at <= now_ms) => {
                imported.expired += 1;
            }
            Item::Record(record) => {
                add(space, &mut scratch, record, now_ms)?;
                imported.keys += 1;
                if space.tier().is_some() && settings.maxmemory > 0 {
                    // Where nothing can leave, the file is read all the same.
                    let _ = space.make_room(&mut scratch, settings, now_ms);
                }
                scratch.commit().map_err(ImportError::Log)?;
            }
        }
        if reported.elapsed() >= REPORT_EVERY {
            reported = Instant::now();
            usage::publish();
            let percent = reader.bytes() * 100 / total.max(1);
            tracing::info!(keys = imported.keys, percent, "loading");
        }
    }
    usage::publish();
    store.map_or(Ok(()), |store| store.note_import(false)).map_err(ImportError::Log)?;
    imported.bytes = reader.bytes();
    if imported.functions > 0 {
        tracing::warn!(libraries = imported.functions, "functions are not supported, and were left out");
    }
    Ok(imported)
}

fn add(space: &Keyspace, scratch: &mut Scratch, record: Record, now_ms: i64) -> Result<(), ImportError> {
    let Record { database: number, key: name, value, expires_at_ms, used } = record;
    let database = usize::try_from(number).ok().filter(|number| *number < space.database_count());
    let key = space.key(database.ok_or(ImportError::Database(number))?, &name);
    let mut access = space.prepare(scratch, &[key], now_ms, false);
    let is_new = access.get(key, Lookup::Silent).is_none();
    if is_new {
        let expiry = expires_at_ms.map_or(Expiry::Clear, Expiry::At);
        let text;
        let value = match value {
            Decoded::String(string) => {
                text = string;
                NewValue::from(NewString::encode(&text))
            }
            Decoded::Collection(collection) => NewValue::from(collection),
        };
        access.put(key, value, expiry, NotifyFlags::GENERIC, "");
    }
    let mode = space.access_mode();
    let bits = match used {
        Use::Unknown => None,
        Use::Idle(seconds) => Some(mode.idle_for(u32::try_from(seconds).unwrap_or(u32::MAX), now_ms)),
        Use::Frequency(counter) => Some(mode.used_often(counter, now_ms)),
    };
    if let (true, Some(bits), Some(mut entry)) = (is_new, bits, access.edit(key)) {
        entry.set_access_bits(bits);
    }
    access.settle();
    if is_new { Ok(()) } else { Err(ImportError::Duplicate(name)) }
}

#[cfg(test)]
mod tests;
