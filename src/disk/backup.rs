//! Copying the segments of a directory that a server may be using: `strata backup`.

use super::files::{SegmentFile, has_log, list_segments, segment_name};
use super::format::{Header, SEGMENT_HEADER_BYTES, read_header};
use super::scan::scan;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

/// How often a set of segments is looked for that does not change meanwhile.
const LOOKS_MAX: u32 = 100;

/// How often what looks damaged is looked at again, and after how long.
const SCANS_MAX: u32 = 5;
const SCAN_AGAIN_AFTER: Duration = Duration::from_millis(10);

/// What was copied.
#[derive(Clone, Copy, Default, Debug)]
pub struct Copied {
    /// Segments.
    pub segments: usize,
    /// Sound records.
    pub records: u64,
    /// Bytes.
    pub bytes: u64,
    /// Damaged places, which were copied as they are.
    pub damaged: usize,
}

/// Copies all records of the directory `from` into the new directory `to`, which can then be a server's.
///
/// The server goes on meanwhile. Each command is in the copy as a whole or not at all, and everything that was
/// acknowledged before the call is; of what is written during the call some may be in it.
///
/// # Errors
/// In words for the user.
pub fn backup(from: &Path, to: &Path) -> Result<Copied, String> {
    has_log(from)?;
    fs::create_dir_all(to).map_err(say(to))?;
    if fs::read_dir(to).map_err(say(to))?.next().is_some() {
        return Err(format!("{}: the directory is not empty", to.display()));
    }
    let files = open_all(from).map_err(say(from))?;
    let mut copied = Copied::default();
    for (sequence, file) in files {
        copy(sequence, &file, to, &mut copied).map_err(say(to))?;
    }
    File::open(to).and_then(|directory| directory.sync_all()).map_err(say(to))?;
    Ok(copied)
}

/// An error in words for the user.
fn say(path: &Path) -> impl Fn(io::Error) -> String + '_ {
    move |error| format!("{}: {error}", path.display())
}

/// Opens all segments. Reclaiming removes a segment only when what counts of it is in others: a set is whole if there are
/// the same segments before and after they are opened, and one that is open stays readable when its name is gone.
fn open_all(from: &Path) -> io::Result<Vec<(u64, File)>> {
    for _ in 0..LOOKS_MAX {
        let before = list_segments(from)?;
        let files: io::Result<Vec<(u64, File)>> = before
            .iter()
            .map(|sequence| Ok((*sequence, File::open(from.join(segment_name(*sequence)))?)))
            .collect();
        match files {
            Ok(files) if list_segments(from)? == before => return Ok(files),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("segments come and go too fast"))
}

fn copy(sequence: u64, file: &File, to: &Path, copied: &mut Copied) -> io::Result<()> {
    let bytes = file.contents(file.size()?)?;
    if bytes.len() < SEGMENT_HEADER_BYTES {
        return Ok(());
    }
    if let Header::Format(version) = read_header(&bytes) {
        return Err(io::Error::other(format!("segment {sequence:016x}: its format has version {version}")));
    }
    let mut scanned = scan(&bytes, sequence, |_, _, _| {});
    for _ in 0..SCANS_MAX {
        if scanned.damage.is_empty() {
            break;
        }
        // Perhaps it was just being written.
        std::thread::sleep(SCAN_AGAIN_AFTER);
        scanned = scan(&bytes, sequence, |_, _, _| {});
    }
    let end = bytes.len().min((scanned.end as usize).max(SEGMENT_HEADER_BYTES));
    let mut copy = File::create_new(to.join(segment_name(sequence)))?;
    copy.write_all(&bytes[..end])?;
    copy.sync_all()?;
    copied.segments += 1;
    copied.records += scanned.records;
    copied.bytes += end as u64;
    // What lies behind the last sound record is not copied.
    copied.damaged += scanned.damage.iter().filter(|range| range.offset < end as u64).count();
    Ok(())
}
