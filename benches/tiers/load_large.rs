//! How fast a large load goes, against what the disk can do.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use crate::load::Load;
use crate::options::Options;
use crate::report::Report;
use crate::talk::Talk;
use crate::wire::key;
use crate::{Failure, system};

const VALUE_BYTES: usize = 16 << 10;
const CLIENTS: usize = 8;
const PIECE_BYTES: usize = 1 << 20;

/// Keys in order, until all is on the disk.
pub fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let bytes = options.gigabytes << 30;
    let keys = bytes / VALUE_BYTES as u64;
    report.section(&format!(
        "load: {} GiB in order, {VALUE_BYTES}-byte values, {CLIENTS} clients, 1 worker, maxmemory 256 MB",
        options.gigabytes
    ));
    let l2_size = format!("{}gb", options.gigabytes + options.gigabytes.div_ceil(2));
    let settings =
        ["--appendonly", "yes", "--appendfsync", "everysec", "--l2-size", &l2_size, "--maxmemory", "256mb"];
    let cores = [system::LOAD_CORE, system::SERVER_CORE];
    let server = options.strata.start(1, &cores, &settings)?;
    let megabytes = |seconds: f64| bytes as f64 / 1e6 / seconds;
    let before = megabytes(write_file(&server.directory.join("file"), bytes)?);

    let mut load = Load::connect(&server, CLIENTS, keys, VALUE_BYTES)?;
    let began = Instant::now();
    let (refused, error) =
        load.try_fill(0..keys, |requests, number, out| requests.write_set(&key(number), out))?;
    let answered = began.elapsed().as_secs_f64();
    system::sync_files(&server.directory.join("l2"))?;
    let synced = began.elapsed().as_secs_f64();
    let [written] = Talk::connect(server.address)?.info(["l2_written_bytes"])?;
    drop(server);
    println!("\n  disk, 1 MiB pieces and fdatasync      {before:>8.0} MB/s");
    println!("  load, answered                        {:>8.0} MB/s", megabytes(answered));
    println!("  load, on the disk                     {:>8.0} MB/s", megabytes(synced));
    println!("  bytes written for each of a value     {:>8.3}", written / bytes as f64);
    if let Some(error) = error {
        println!("  first error: {error}");
    }
    report.at_least("MB/s of a large load to the disk's", megabytes(synced) / before, 0.5);
    report.at_most("refused writes of a large load", refused as f64, 0.0);
    Ok(())
}

/// The seconds that it takes to write a file.
fn write_file(path: &Path, bytes: u64) -> Result<f64, Failure> {
    let piece = vec![b'x'; PIECE_BYTES];
    let began = Instant::now();
    let mut file = File::create(path)?;
    for _ in 0..bytes / PIECE_BYTES as u64 {
        file.write_all(&piece)?;
    }
    file.sync_data()?;
    let seconds = began.elapsed().as_secs_f64();
    drop(file);
    std::fs::remove_file(path)?;
    Ok(seconds)
}
