//! The second tier without a server: `strata export` and `strata import`.

use super::disk;
use crate::clock;
use crate::command::{form, limits};
use crate::config::Settings;
use crate::disk::files::{Footprint, has_log};
use crate::keyspace::snapshot::{self, Imported};
use crate::keyspace::{Keyspace, Progress, Recovered, Scratch, Tier};
use crate::memory::usage;
use crate::pubsub::PubSub;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Opens the directory of the settings and finds its keys.
fn open(settings: &Settings) -> Result<(Keyspace, Arc<Tier>, Recovered), String> {
    if settings.l2_size == 0 {
        return Err("l2-size is 0: there is no second tier".to_owned());
    }
    let databases = settings.databases as usize;
    let tier = Arc::new(Tier::new(disk::open(settings)?, databases));
    disk::follow(&tier, settings);
    usage::note_start();
    let keyspace =
        Keyspace::new(databases, settings.shards, Arc::new(PubSub::default())).with_tier(Arc::clone(&tier));
    let found = keyspace.recover(clock::now_ms(), &Progress::default())?;
    Ok((keyspace, tier, found))
}

/// Writes all keys of the second tier to a dump.rdb file at `path`; returns how many.
///
/// # Errors
/// In words for the user; also where a server uses the directory, and where the file exists.
pub fn export(settings: &Settings, path: &Path) -> Result<u64, String> {
    // Opening would make the directory.
    has_log(Path::new(&settings.l2_dir))?;
    if path.symlink_metadata().is_ok() {
        return Err(format!("{}: there is such a file already", path.display()));
    }
    let (keyspace, ..) = open(settings)?;
    let now_ms = clock::now_ms();
    let written = snapshot::export(&keyspace, path, &form(settings), now_ms, &AtomicBool::new(false));
    written.map(|exported| exported.keys).map_err(|error| format!("{}: {error}", path.display()))
}

/// Fills an empty second tier with the keys of the dump.rdb file at `path`.
///
/// # Errors
/// In words for the user; also where a server uses the directory, or it has keys. The directory is then as it was.
pub fn import(settings: &Settings, path: &Path) -> Result<Imported, String> {
    // Before anything is made.
    File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let before = Footprint::of(Path::new(&settings.l2_dir));
    let (keyspace, tier, found) = open(settings)?;
    if found.keys > 0 {
        let keys = found.keys;
        return Err(format!(
            "{}: there are {keys} keys already; import needs an empty directory",
            settings.l2_dir
        ));
    }
    let imported = fill(settings, path, &keyspace, &tier);
    if imported.is_err() {
        // The directory is still locked.
        before.restore();
    }
    imported
}

fn fill(settings: &Settings, path: &Path, keyspace: &Keyspace, tier: &Tier) -> Result<Imported, String> {
    let imported = snapshot::import(keyspace, path, &limits(settings), settings, clock::now_ms());
    let imported = imported.map_err(|error| format!("{}: {error}", path.display()))?;
    let mut scratch = Scratch::for_writing_out(tier.store());
    let written = keyspace.write_all_out(&mut scratch).and_then(|()| tier.store().sync());
    drop(scratch);
    let left = written.and_then(|()| keyspace.write_checkpoint());
    left.map_err(|error| format!("{}: {error}", settings.l2_dir))?;
    Ok(imported)
}
