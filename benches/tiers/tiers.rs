//! Reads of ten times as much data as memory may hold, by where the value is.

use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::load::{Load, Turn, WARM_UP};
use crate::log::CLIENTS;
use crate::options::Options;
use crate::report::{Figures, Report};
use crate::server::Server;
use crate::talk::{Reply, Talk};
use crate::wire::{Random, Work, key};
use crate::{Failure, system};

const VALUE_BYTES: usize = 1024;
/// The exponent of the distribution, as YCSB has it.
const ZIPF: f64 = 0.99;
/// Draws of it, of which clients take random ones.
const DRAWS: usize = 1 << 21;
/// How many times a turn the reads by Zipf's distribution go on before they are measured.
const SETTLE: u32 = 5;
/// Between two PINGs.
const PING_EVERY: Duration = Duration::from_millis(1);
/// Cold reads that are offered where PING is to be quick: no more than a plain disk can do, so that nothing queues.
const COLD_PER_SECOND: u64 = 2000;
/// Requests sent at once where answers are read one by one.
const BATCH: usize = 1000;

/// One kind of reads in its turns.
struct Kind<'a> {
    name: &'static str,
    server: &'a Server,
    load: Load,
    turns: Vec<Turn>,
}

impl<'a> Kind<'a> {
    fn new(name: &'static str, server: &'a Server, numbers: &Arc<[u32]>) -> Result<Self, Failure> {
        let mut load = Load::connect(server, CLIENTS, 1, VALUE_BYTES)?;
        load.choose_among(numbers);
        Ok(Self { name, server, load, turns: Vec::new() })
    }

    fn turn(&mut self, pipeline: usize, round: Duration) -> Result<(), Failure> {
        self.load.closed(self.server, Work::Get, pipeline, WARM_UP)?;
        self.turns.push(self.load.closed(self.server, Work::Get, pipeline, round)?);
        Ok(())
    }

    /// How long its PINGs took, of which there must be some.
    fn pings(&mut self) -> Result<Histogram<u64>, Failure> {
        Ok(self.load.take_pings().ok_or("no PINGs")?)
    }

    /// The median of the turns, which are forgotten.
    fn row(&mut self) -> (String, Figures) {
        let row = (self.name.to_owned(), Figures::of(&self.turns));
        self.turns.clear();
        row
    }
}

/// All of it.
pub fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let keys = options.tiers_mb * 10_000_000 / VALUE_BYTES as u64;
    report.section(&format!(
        "tiers: 1 worker on core {}, {CLIENTS} clients, {keys} keys, {VALUE_BYTES}-byte values, maxmemory {} MB",
        system::SERVER_CORE,
        options.tiers_mb,
    ));
    let maxmemory = format!("{}mb", options.tiers_mb);
    let l2_size = format!("{}mb", options.tiers_mb * 40);
    let tier = [
        "--appendonly",
        "yes",
        "--appendfsync",
        "everysec",
        "--l2-size",
        &l2_size,
        "--maxmemory",
        &maxmemory,
        "--maxmemory-policy",
        "allkeys-lru",
    ];
    let server = options.strata.start(1, &[system::SERVER_CORE], &tier)?;
    fill(&server, &(0..keys as u32).collect::<Vec<_>>())?;
    zipf(options, report, &server, keys)?;

    let all: Vec<u32> = (0..keys as u32).collect();
    let (memory, disk) = classify(&server, &all)?;
    // Looking at all of them brought some back, for which others left.
    let (memory, _) = classify(&server, &memory)?;
    println!("\n  {} keys in memory, {} on disk only", memory.len(), disk.len());
    let limited = ["--maxmemory", &maxmemory, "--maxmemory-policy", "allkeys-lru"];
    let same = options.strata.start(1, &[system::SERVER_CORE], &limited)?;
    fill(&same, &memory)?;
    let whole = options.strata.start(1, &[system::SERVER_CORE], &[])?;
    fill(&whole, &all)?;
    by_place(options, report, [&server, &same, &whole], memory, disk, keys)
}

/// Reads as many users do, some keys far more often than others.
fn zipf(options: &Options, report: &mut Report, server: &Server, keys: u64) -> Result<(), Failure> {
    let mut talk = Talk::connect(server.address)?;
    let mut kind = Kind::new("Zipf 0.99", server, &draws(keys).into())?;
    kind.load.closed(server, Work::Get, 16, options.round * SETTLE)?;
    for pipeline in [1, 16] {
        const READS: [&str; 3] = ["l2_promoted", "l2_reads_disk", "l2_demoted"];
        let before = talk.info(READS)?;
        for _ in 0..options.rounds {
            kind.turn(pipeline, options.round)?;
        }
        let after = talk.info(READS)?;
        let commands: u64 = kind.turns.iter().map(|turn| turn.commands).sum();
        report.table(&format!("GET x{pipeline}, mixed"), &[kind.row()]);
        let [promoted, read, demoted] =
            [0, 1, 2].map(|index| (after[index] - before[index]) * 100.0 / commands as f64);
        println!(
            "  of 100 reads {promoted:.1} from disk, {read:.1} waited for it; {demoted:.1} values left memory"
        );
    }
    Ok(())
}

/// Reads of each kind alone.
fn by_place(
    options: &Options,
    report: &mut Report,
    [server, same, whole]: [&Server; 3],
    mut memory: Vec<u32>,
    disk: Vec<u32>,
    keys: u64,
) -> Result<(), Failure> {
    let missing: Arc<[u32]> = (0..keys as u32).map(|number| u32::MAX - number).collect();
    let disk: Arc<[u32]> = disk.into();
    let chosen: Arc<[u32]> = memory.as_slice().into();
    let mut kinds = [
        Kind::new("in memory", server, &chosen)?,
        Kind::new("  no tier, the same keys", same, &chosen)?,
        Kind::new("  no tier, all keys", whole, &chosen)?,
        Kind::new("missing", server, &missing)?,
        Kind::new("  missing, no tier", same, &missing)?,
        Kind::new("disk, in page cache", server, &disk)?,
    ];
    let mut memory_cpu_us = Vec::new();
    for pipeline in [1, 16] {
        for _ in 0..options.rounds {
            // Those that came from disk in the last turn have replaced some.
            memory = classify(server, &memory)?.0;
            let chosen = memory.as_slice().into();
            kinds.iter_mut().take(3).for_each(|kind| kind.load.choose_among(&chosen));
            for kind in &mut kinds {
                kind.turn(pipeline, options.round)?;
            }
        }
        for kind in &kinds {
            let (commands, values) =
                kind.turns.iter().fold((0, 0), |sum, turn| (sum.0 + turn.commands, sum.1 + turn.values));
            let expected = if kind.name.contains("missing") { 0 } else { commands };
            if values != expected {
                return Err(format!("{}: {values} of {commands} GETs found something", kind.name).into());
            }
        }
        let rows: Vec<(String, Figures)> = kinds.iter_mut().map(Kind::row).collect();
        report.table(&format!("GET x{pipeline}"), &rows);
        let cpu_us = |index: usize| rows[index].1.cpu_us;
        if pipeline == 16 {
            // The first has a smaller table of keys, too.
            let what = "CPU per hit in memory to a server without tier that has these keys alone, x16";
            report.at_most(what, cpu_us(0) / cpu_us(1), 1.05);
            let what = "CPU per hit in memory to a server without tier that has all keys, x16";
            report.at_most(what, cpu_us(0) / cpu_us(2), 1.05);
        }
        let what = format!("CPU per hit on disk in the page cache to one in memory, x{pipeline}");
        report.at_most(what, cpu_us(5) / cpu_us(0), 3.0);
        memory_cpu_us.push((pipeline, rows.into_iter().next().ok_or("no rows")?));
    }
    cold(options, report, server, &disk, memory_cpu_us)
}

/// Reads that have to wait for the disk, and what others notice of them.
fn cold(
    options: &Options,
    report: &mut Report,
    server: &Server,
    disk: &Arc<[u32]>,
    memory: Vec<(usize, (String, Figures))>,
) -> Result<(), Failure> {
    let directory = server.directory.join("l2");
    let mut talk = Talk::connect(server.address)?;
    let mut kind = Kind::new("disk, cold", server, disk)?;
    kind.load.ping_every(server, PING_EVERY)?;
    kind.load.open(server, Work::Get, 0, options.round * options.rounds as u32)?;
    let idle = kind.pings()?;
    let mut busy = Vec::new();
    for (pipeline, row) in memory {
        const READS: [&str; 2] = ["l2_reads_resident", "l2_reads_disk"];
        let mut reads = [0.0; 2];
        for _ in 0..options.rounds {
            system::wait_for_unmapped(server.pid())?;
            system::drop_pages(&directory)?;
            let before = talk.info(READS)?;
            kind.turn(pipeline, options.round)?;
            let after = talk.info(READS)?;
            reads = [0, 1].map(|index| reads[index] + after[index] - before[index]);
        }
        report.table(&format!("GET x{pipeline}"), &[row, kind.row()]);
        // One that has waited finds its pages then.
        println!(
            "  {:.0} reads waited for the disk, {:.0} need not",
            reads[1],
            (reads[0] - reads[1]).max(0.0)
        );
        busy.push((format!("cold reads at full speed, x{pipeline}"), kind.pings()?));
    }
    for _ in 0..options.rounds {
        system::wait_for_unmapped(server.pid())?;
        system::drop_pages(&directory)?;
        kind.turns.push(kind.load.open(server, Work::Get, COLD_PER_SECOND, options.round)?);
    }
    let pinged = kind.pings()?;
    report.table(&format!("GET, {COLD_PER_SECOND}/s offered"), &[kind.row()]);

    let p999_ms = |pings: &Histogram<u64>| pings.value_at_quantile(0.999) as f64 / 1e6;
    report.at_most(
        format!("ms of PING during {COLD_PER_SECOND} cold reads a second, p99.9"),
        p999_ms(&pinged),
        1.0,
    );
    busy.push((format!("{COLD_PER_SECOND} cold reads a second"), pinged));
    println!("\n{:<38}{:>10}{:>10}{:>10}{:>10}{:>10}", "PING, ms", "count", "p50", "p99", "p99.9", "slowest");
    for (name, pings) in [("nothing else".to_owned(), idle)].iter().chain(&busy) {
        let [p50, p99, p999, most] =
            [0.5, 0.99, 0.999, 1.0].map(|at| pings.value_at_quantile(at) as f64 / 1e6);
        println!("  {name:<36}{:>10}{p50:>10.3}{p99:>10.3}{p999:>10.3}{most:>10.3}", pings.len());
    }
    Ok(())
}

fn fill(server: &Server, numbers: &[u32]) -> Result<(), Failure> {
    let mut load = Load::connect(server, 8, 1, VALUE_BYTES)?;
    load.fill(0..numbers.len() as u64, |requests, index, out| {
        requests.write_set(&key(numbers[index as usize].into()), out);
    })
}

/// Which of these keys are in memory, and which on disk only.
fn classify(server: &Server, numbers: &[u32]) -> Result<(Vec<u32>, Vec<u32>), Failure> {
    let mut talk = Talk::connect(server.address)?;
    let (mut memory, mut disk) = (Vec::new(), Vec::new());
    let mut out = Vec::new();
    for batch in numbers.chunks(BATCH) {
        out.clear();
        for number in batch {
            out.extend_from_slice(b"*3\r\n$6\r\nOBJECT\r\n$4\r\nTIER\r\n$16\r\n");
            out.extend_from_slice(&key((*number).into()));
            out.extend_from_slice(b"\r\n");
        }
        talk.send(&out)?;
        for number in batch {
            match talk.reply()? {
                Reply::Text(tier) if tier == "memory" => memory.push(*number),
                Reply::Text(_) => disk.push(*number),
                other => return Err(format!("OBJECT TIER of key {number}: {other:?}").into()),
            }
        }
    }
    Ok((memory, disk))
}

/// Numbers below `keys`, the first ones most often.
fn draws(keys: u64) -> Vec<u32> {
    let mut sum = 0.0;
    let sums: Vec<f64> = (1..=keys)
        .map(|rank| {
            sum += (rank as f64).powf(-ZIPF);
            sum
        })
        .collect();
    let mut random = Random::new(1);
    let steps = 1_u64 << 31;
    let mut draw = || sum * random.below(steps) as f64 / steps as f64;
    (0..DRAWS)
        .map(|_| {
            let drawn = draw();
            sums.partition_point(|sum| *sum <= drawn) as u32
        })
        .collect()
}
