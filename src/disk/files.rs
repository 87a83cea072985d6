//! What the log asks of a file system. The real one is here; the crash tests bring one that fails.

use memmap2::{Advice, Mmap, MmapOptions};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, IoSliceMut, Write};
use std::ops::Deref;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A directory of segments, each a file named by its sequence number.
pub trait Files: Send + Sync {
    /// The sequence numbers of all segments, ascending.
    ///
    /// # Errors
    /// Those of the file system, as with all methods here.
    fn list(&self) -> io::Result<Vec<u64>>;
    /// Makes a segment of so many bytes, all allocated and zero, whose name survives a power cut.
    ///
    /// # Errors
    /// Where there is no room; nothing is left behind then.
    fn create(&self, sequence: u64, bytes: u64) -> io::Result<Box<dyn SegmentFile>>;
    /// Opens a segment.
    ///
    /// # Errors
    /// See above.
    fn open(&self, sequence: u64) -> io::Result<Box<dyn SegmentFile>>;
    /// Removes a segment.
    ///
    /// # Errors
    /// See above.
    fn remove(&self, sequence: u64) -> io::Result<()>;
    /// Notes that an import begins, or that it is complete: what there is of one that did not end is worth nothing.
    ///
    /// # Errors
    /// See above.
    fn note_import(&self, begins: bool) -> io::Result<()>;
    /// The file that a clean stop has left, if there is one.
    ///
    /// # Errors
    /// See above.
    fn checkpoint(&self) -> io::Result<Option<Contents>>;
    /// Has `write` write that file. The old one is there until the new one has reached the disk.
    ///
    /// # Errors
    /// See above, and those of `write`.
    fn write_checkpoint(&self, write: WriteCheckpoint<'_>) -> io::Result<()>;
}

/// What writes a checkpoint.
pub type WriteCheckpoint<'w> = &'w mut dyn FnMut(&mut dyn Write) -> io::Result<()>;

/// One segment's file.
pub trait SegmentFile: Send + Sync {
    /// Its length in bytes.
    ///
    /// # Errors
    /// Those of the file system, as with all methods here.
    fn size(&self) -> io::Result<u64>;
    /// Writes all of `bytes` at an offset.
    ///
    /// # Errors
    /// See above; any part may have been written then.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Reads up to as many bytes as `out` has; fewer only at the end of the file.
    ///
    /// # Errors
    /// See above.
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Reads what is in memory already, from the front: perhaps nothing.
    ///
    /// # Errors
    /// See above.
    fn read_resident(&self, out: &mut [u8], offset: u64) -> io::Result<usize>;
    /// All of it up to `len`, or up to its end, to be read once from end to end.
    ///
    /// # Errors
    /// See above.
    fn contents(&self, len: u64) -> io::Result<Contents>;
    /// All of it as memory, where the file system has such: what is written later is seen, too.
    ///
    /// # Errors
    /// See above.
    fn map(&self) -> io::Result<Option<Mmap>> {
        Ok(None)
    }
    /// Has all that was written survive a power cut.
    ///
    /// # Errors
    /// See above; what was written since the last success may be lost.
    fn sync(&self) -> io::Result<()>;
}

/// What a segment holds.
pub enum Contents {
    /// Pages of the kernel's.
    Mapped(Mmap),
    /// A copy.
    Owned(Vec<u8>),
}

impl Deref for Contents {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Contents::Mapped(map) => map,
            Contents::Owned(bytes) => bytes,
        }
    }
}

/// The kernel's, where they are smallest; where its pages are larger, some are looked up more than once.
pub(super) const PAGE_BYTES: usize = 4096;

/// Whether the kernel has all of a part of a mapped file in memory.
pub(super) fn is_resident(part: &[u8]) -> bool {
    let before = part.as_ptr().addr() % PAGE_BYTES;
    // SAFETY: a map begins with a page, so that what lies before the part in its first page is of the map, too.
    let whole = unsafe { std::slice::from_raw_parts(part.as_ptr().sub(before), before + part.len()) };
    pages_in_memory(whole).is_some_and(|pages| pages.into_iter().all(|is_there| is_there))
}

/// Which pages of a mapped file the kernel has in memory; `None` if it does not say. `map` begins with a page.
pub(super) fn pages_in_memory(map: &[u8]) -> Option<Vec<bool>> {
    let mut pages = vec![0_u8; map.len().div_ceil(PAGE_BYTES)];
    // SAFETY: the range is that of a slice, all of it mapped; `pages` has a byte for each page.
    let asked = unsafe { libc::mincore(map.as_ptr().cast_mut().cast(), map.len(), pages.as_mut_ptr()) };
    (asked == 0).then(|| pages.into_iter().map(|page| page & 1 == 1).collect())
}

/// Has a mapped file no longer count as memory of this process. What the kernel has of it, it keeps, and who reads the map
/// finds it there. `map` begins with a page.
pub(super) fn let_go(map: &[u8]) {
    // SAFETY: the range is that of a slice, all of it mapped from a file and shared with it: nothing but the way to its
    // pages is given up. Where that fails, they go on to count.
    unsafe { libc::madvise(map.as_ptr().cast_mut().cast(), map.len(), libc::MADV_DONTNEED) };
}

/// The name of the file that a clean stop leaves.
const CHECKPOINT: &str = "checkpoint";

/// The name of the file that is there during an import.
const IMPORTING: &str = "importing";

/// How long another process may still have the directory.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// The name of the file that is locked.
const LOCK: &str = "lock";

/// The name of a segment's file.
pub(super) fn segment_name(sequence: u64) -> String {
    format!("{sequence:016x}.segment")
}

/// The sequence numbers of the segments in a directory, in order.
///
/// # Errors
/// Those of the file system.
pub(super) fn list_segments(path: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let name = entry?.file_name();
        let sequence = name.to_str().and_then(|name| name.strip_suffix(".segment"));
        found.extend(sequence.and_then(|digits| u64::from_str_radix(digits, 16).ok()));
    }
    found.sort_unstable();
    Ok(found)
}

/// Whether a directory has a log.
///
/// # Errors
/// That it has none, in words for the user.
pub fn has_log(path: &Path) -> Result<(), String> {
    if !path.is_dir() {
        return Err(format!("{}: there is no such directory", path.display()));
    }
    match list_segments(path) {
        Ok(segments) if segments.is_empty() => {
            Err(format!("{}: there is no log in this directory", path.display()))
        }
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// What there was of a directory before it was written to.
pub struct Footprint {
    path: PathBuf,
    /// Those of the directory and of what it lies in that were not there, the innermost first.
    missing: Vec<PathBuf>,
    names: HashSet<OsString>,
}

impl Footprint {
    /// Looks at a directory, which may be missing.
    pub fn of(path: &Path) -> Footprint {
        let named = |path: &&Path| !path.as_os_str().is_empty();
        let missing = path.ancestors().take_while(named).take_while(|path| !path.exists());
        let names = std::fs::read_dir(path).into_iter().flatten().flatten();
        Footprint {
            path: path.to_owned(),
            missing: missing.map(Path::to_owned).collect(),
            names: names.map(|entry| entry.file_name()).collect(),
        }
    }

    /// Removes what has come since of a log, and the directory if it was not there. Only its process may be using it, and
    /// must not use it any more. What cannot be removed stays, as an import that did not end.
    pub fn restore(self) {
        let ours = |name: &str| name.ends_with(".segment") || [LOCK, CHECKPOINT, IMPORTING].contains(&name);
        let mut new: Vec<OsString> = std::fs::read_dir(&self.path)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name())
            .filter(|name| !self.names.contains(name) && name.to_str().is_some_and(ours))
            .collect();
        // Until the segments are gone, the note has to say what they are worth.
        new.sort_by_key(|name| name == IMPORTING);
        let removed = new.iter().try_for_each(|name| std::fs::remove_file(self.path.join(name)));
        if removed.is_ok() {
            // One that has something else in it by now stays.
            let _ = self.missing.iter().try_for_each(std::fs::remove_dir);
        }
    }
}

/// A directory of the system, locked by its process.
pub struct Directory {
    path: PathBuf,
    /// Holds the lock for as long as it is open.
    _lock: File,
}

impl Directory {
    /// Makes the directory where there is none, and locks it.
    ///
    /// # Errors
    /// What stands against it, in words for the user; another process that has it, too.
    pub fn lock(path: &Path) -> Result<Directory, String> {
        let say = |error: io::Error| format!("{}: {error}", path.display());
        std::fs::create_dir_all(path).map_err(say)?;
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(path.join(LOCK));
        let lock = lock.map_err(say)?;
        let started = Instant::now();
        let locked = loop {
            match lock.try_lock() {
                // One that is stopping has said goodbye to its clients before.
                Err(TryLockError::WouldBlock) if started.elapsed() < LOCK_WAIT => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                locked => break locked,
            }
        };
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let path = path.display();
                return Err(format!("{path}: another server is using this directory; give each its own"));
            }
            Err(TryLockError::Error(error)) => return Err(say(error)),
        }
        Ok(Directory { path: path.to_owned(), _lock: lock })
    }

    /// Removes all segments if they come of an import that did not end.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn drop_half_import(&self) -> io::Result<()> {
        if !self.path.join(IMPORTING).exists() {
            return Ok(());
        }
        tracing::warn!(directory = %self.path.display(), "an import did not end: what it left is removed");
        list_segments(&self.path)?.into_iter().try_for_each(|sequence| self.remove(sequence))?;
        self.note_import(false)
    }

    /// Removes the checkpoint: the segments are no longer what it says.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn remove_checkpoint(&self) -> io::Result<()> {
        match std::fs::remove_file(self.path.join(CHECKPOINT)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    fn name(&self, sequence: u64) -> PathBuf {
        self.path.join(segment_name(sequence))
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

impl Files for Directory {
    fn list(&self) -> io::Result<Vec<u64>> {
        list_segments(&self.path)
    }

    fn create(&self, sequence: u64, bytes: u64) -> io::Result<Box<dyn SegmentFile>> {
        let name = self.name(sequence);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&name)?;
        let made = match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
            // A file system without it: a length at least, though not the room.
            Err(Errno::OPNOTSUPP) => file.set_len(bytes),
            made => made.map_err(io::Error::from),
        };
        if let Err(error) = made.and_then(|()| self.sync_names()) {
            // It holds nothing; where even this fails, an empty segment stays.
            let _ = std::fs::remove_file(&name);
            return Err(error);
        }
        Ok(Box::new(file))
    }

    fn open(&self, sequence: u64) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).open(self.name(sequence))?))
    }

    fn remove(&self, sequence: u64) -> io::Result<()> {
        std::fs::remove_file(self.name(sequence))
    }

    fn note_import(&self, begins: bool) -> io::Result<()> {
        let note = self.path.join(IMPORTING);
        if begins {
            File::create(note)?.sync_all()?;
        } else {
            std::fs::remove_file(note)?;
        }
        self.sync_names()
    }

    fn checkpoint(&self) -> io::Result<Option<Contents>> {
        match File::open(self.path.join(CHECKPOINT)) {
            Ok(file) => file.contents(file.size()?).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write_checkpoint(&self, write: WriteCheckpoint<'_>) -> io::Result<()> {
        let new = self.path.join(format!("{CHECKPOINT}.new"));
        // It has the seeds of the hash, which nobody else should know.
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        let mut out = BufWriter::with_capacity(1 << 20, file);
        let written = write(&mut out).and_then(|()| out.into_inner()?.sync_all());
        if let Err(error) = written {
            // What is left of it is written over by the next.
            let _ = std::fs::remove_file(&new);
            return Err(error);
        }
        std::fs::rename(&new, self.path.join(CHECKPOINT))?;
        self.sync_names()
    }
}

impl SegmentFile for File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < out.len() {
            match FileExt::read_at(self, &mut out[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(len) => done += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn read_resident(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        match preadv2(self, &mut [IoSliceMut::new(out)], offset, ReadWriteFlags::NOWAIT) {
            Ok(len) => Ok(len),
            Err(Errno::AGAIN) => Ok(0),
            // A file system that cannot say what is in memory: all of it is, as far as anybody knows.
            Err(Errno::OPNOTSUPP) => SegmentFile::read_at(self, out, offset),
            Err(error) => Err(error.into()),
        }
    }

    fn contents(&self, len: u64) -> io::Result<Contents> {
        let len = len.min(self.size()?);
        if len == 0 {
            return Ok(Contents::Owned(Vec::new()));
        }
        // SAFETY: nobody makes a segment shorter: the directory is locked, and this process only removes whole
        // segments, which a map outlives. Bytes that a lane writes meanwhile lie behind those that are looked at;
        // a record is believed only when its sum is right.
        let map = unsafe { MmapOptions::new().len(len as usize).map(self)? };
        // Only a hint.
        let _ = map.advise(Advice::Sequential);
        Ok(Contents::Mapped(map))
    }

    fn map(&self) -> io::Result<Option<Mmap>> {
        // SAFETY: as above.
        unsafe { MmapOptions::new().map(self) }.map(Some)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
