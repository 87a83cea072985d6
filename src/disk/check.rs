//! Looking at a directory that no server uses: `strata check`.

use super::files::{Directory, Files, SegmentFile, has_log};
use super::format::{Header, read_header};
use super::scan::{DamagedRange, scan};
use std::io;
use std::path::Path;

/// What is in one segment.
#[derive(Debug)]
pub struct Checked {
    /// Its sequence number.
    pub sequence: u64,
    /// Whether its header is sound.
    pub header: bool,
    /// Sound records.
    pub records: u64,
    /// What is damaged.
    pub damage: Vec<DamagedRange>,
}

/// Looks at all segments of a directory. With `repair` what is damaged is overwritten with zeros, so that only what is
/// sound is left.
///
/// # Errors
/// In words for the user: where a server uses the directory, and those of the file system.
pub fn check(path: &Path, repair: bool, mut tell: impl FnMut(Checked)) -> Result<(), String> {
    has_log(path)?;
    let say = |error: io::Error| format!("{}: {error}", path.display());
    let directory = Directory::lock(path)?;
    for sequence in directory.list().map_err(say)? {
        let file = directory.open(sequence).map_err(say)?;
        let bytes = file.size().and_then(|size| file.contents(size)).map_err(say)?;
        let header = match read_header(&bytes) {
            Header::Sequence(_) => true,
            Header::Format(version) => {
                return Err(format!("segment {sequence:016x}: its format has version {version}"));
            }
            Header::Damaged => bytes.iter().all(|byte| *byte == 0),
        };
        let scanned = scan(&bytes, sequence, |_, _, _| {});
        drop(bytes);
        if repair && (!header || !scanned.damage.is_empty()) {
            directory.remove_checkpoint().map_err(say)?;
            clear(&*file, sequence, header, &scanned.damage).map_err(say)?;
        }
        tell(Checked { sequence, header, records: scanned.records, damage: scanned.damage });
    }
    Ok(())
}

fn clear(file: &dyn SegmentFile, sequence: u64, header: bool, damage: &[DamagedRange]) -> io::Result<()> {
    if !header {
        file.write_at(&super::format::segment_header(sequence), 0)?;
    }
    for range in damage {
        file.write_at(&vec![0; range.len as usize], range.offset)?;
    }
    file.sync()
}
