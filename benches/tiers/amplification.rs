//! Bytes that the log writes for each byte that it is given, once it is full.

use std::time::{Duration, Instant};

use crate::load::Load;
use crate::options::Options;
use crate::report::Report;
use crate::talk::Talk;
use crate::wire::{KEY_BYTES, Requests, key, scramble};
use crate::{Failure, system};

const VALUE_BYTES: usize = 4096;
const CLIENTS: usize = 8;
/// What counts, as a part of the log's bound.
const LIVE: f64 = 0.8;
/// How much is written once the log is full, in times its bound: overwriting takes longer to become steady.
const TIMES: u64 = 1;
const TIMES_OVERWRITTEN: u64 = 2;
/// What a record has beside its value: head, key, padding.
const HEAD_BYTES: u64 = 72;

/// Requests between two looks at whether some were refused.
const STEP: u64 = 1024;
/// How long those that were refused wait.
const REST: Duration = Duration::from_millis(20);
/// How long they wait before they are given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// What happens to old keys while new values come.
#[derive(Clone, Copy)]
enum Habit {
    /// Each new key has the oldest one deleted.
    Delete,
    /// The server itself lets the oldest go.
    Evict,
    /// Random ones are overwritten.
    Overwrite,
}

/// Each habit on a server of its own.
pub fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    report.section(&format!(
        "load, write amplification: l2-size {} MB, {VALUE_BYTES}-byte values; when it is full {TIMES} time that is written, \
         or {TIMES_OVERWRITTEN} times over what is there",
        options.amplification_mb
    ));
    println!(
        "\n{:<44}{:>12}{:>12}{:>12}{:>10}{:>10}",
        "", "when full", "from start", "live, end", "reclaimed", "refused"
    );
    one(options, report, Habit::Delete, "oldest keys deleted, 80% live", 1.3)?;
    one(options, report, Habit::Evict, "oldest keys evicted", 1.3)?;
    one(options, report, Habit::Overwrite, "random keys overwritten, 80% live", 2.5)
}

/// Fills the log, and goes on.
fn one(options: &Options, report: &mut Report, habit: Habit, name: &str, bound: f64) -> Result<(), Failure> {
    let l2_bytes = options.amplification_mb << 20;
    let l2_size = l2_bytes.to_string();
    let policy = if matches!(habit, Habit::Evict) { "allkeys-lru" } else { "noeviction" };
    let settings = [
        "--appendonly",
        "yes",
        "--appendfsync",
        "everysec",
        "--l2-size",
        &l2_size,
        "--maxmemory",
        "64mb",
        "--maxmemory-policy",
        policy,
    ];
    let server = options.strata.start(1, &[system::LOAD_CORE, system::SERVER_CORE], &settings)?;
    let mut load = Load::connect(&server, CLIENTS, 1, VALUE_BYTES)?;
    let mut talk = Talk::connect(server.address)?;
    let part = if matches!(habit, Habit::Evict) { 1.0 } else { LIVE };
    let keys = (l2_bytes as f64 * part) as u64 / (VALUE_BYTES as u64 + HEAD_BYTES);
    let loaded = persist(&mut load, keys, |requests, number, out| requests.write_set(&key(number), out))?;

    const BYTES: [&str; 2] = ["l2_written_bytes", "l2_moved_bytes"];
    let before = talk.info(BYTES)?;
    let times = if matches!(habit, Habit::Overwrite) { TIMES_OVERWRITTEN } else { TIMES };
    let writes = times * l2_bytes / (VALUE_BYTES as u64 + HEAD_BYTES);
    let overwritten = match habit {
        Habit::Delete => persist(&mut load, writes * 2, |requests, number, out| match number % 2 {
            0 => write_delete(&key(number / 2), out),
            _ => requests.write_set(&key(keys + number / 2), out),
        })?,
        Habit::Evict => persist(&mut load, writes, |requests, number, out| {
            requests.write_set(&key(keys + number), out);
        })?,
        Habit::Overwrite => persist(&mut load, writes, |requests, number, out| {
            requests.write_set(&key(scramble(number) % keys), out);
        })?,
    };
    let after = talk.info(BYTES)?;
    let [written, moved] = [0, 1].map(|index| after[index] - before[index]);
    let [whole, live, reclaimed] =
        talk.info(["l2_write_amplification", "l2_live_bytes", "l2_reclaimed_segments"])?;
    let full =
        if loaded.stuck || overwritten.stuck { f64::INFINITY } else { written / (written - moved).max(1.0) };
    let live = live / l2_bytes as f64;
    let refused = loaded.refused + overwritten.refused;
    println!("  {name:<42}{full:>12.2}{whole:>12.2}{live:>12.2}{reclaimed:>10}{refused:>10}");
    if let Some(error) = loaded.first_error.or(overwritten.first_error) {
        println!("    first error: {error}");
    }
    if loaded.stuck || overwritten.stuck {
        println!("    given up: refused for {} s, again and again", PATIENCE.as_secs());
    }
    report.at_most(format!("write amplification, {name}"), full, bound);
    if matches!(habit, Habit::Evict) {
        report.at_most(format!("refused writes, {name}"), refused as f64, 0.0);
    }
    Ok(())
}

/// How writing went.
#[derive(Default)]
struct Written {
    refused: u64,
    first_error: Option<String>,
    /// It was refused for so long that it was given up.
    stuck: bool,
}

/// Sends requests for all numbers below `end`; a step of which some were refused is sent again after a while.
fn persist(
    load: &mut Load,
    end: u64,
    write: impl Fn(&Requests, u64, &mut Vec<u8>),
) -> Result<Written, Failure> {
    let mut written = Written::default();
    let mut progress = Instant::now();
    let mut next = 0;
    while next < end {
        let until = (next + STEP).min(end);
        let (errors, error) = load.try_fill(next..until, &write)?;
        written.refused += errors;
        written.first_error = written.first_error.or(error);
        if errors == 0 {
            next = until;
            progress = Instant::now();
        } else if progress.elapsed() > PATIENCE {
            written.stuck = true;
            break;
        } else {
            std::thread::sleep(REST);
        }
    }
    Ok(written)
}

fn write_delete(key: &[u8; KEY_BYTES], out: &mut Vec<u8>) {
    out.extend_from_slice(b"*2\r\n$3\r\nDEL\r\n$16\r\n");
    out.extend_from_slice(key);
    out.extend_from_slice(b"\r\n");
}
