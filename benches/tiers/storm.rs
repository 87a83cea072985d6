//! Memory while far more is written than fits.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::load::Load;
use crate::log::CLIENTS;
use crate::options::Options;
use crate::report::Report;
use crate::talk::Talk;
use crate::wire::key;
use crate::{Failure, system};

const VALUE_BYTES: usize = 1024;
const SAMPLE_EVERY: Duration = Duration::from_millis(50);
/// What the process may take that `maxmemory` does not bound, in MiB.
const ALLOWANCE_MB: f64 = 64.0;

/// Ten times `maxmemory`, as fast as it goes.
pub fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let keys = ((options.storm_mb * 10) << 20) / VALUE_BYTES as u64;
    report.section(&format!(
        "storm: {keys} SET of {VALUE_BYTES} bytes through {CLIENTS} clients, maxmemory {} MB",
        options.storm_mb
    ));
    let maxmemory = format!("{}mb", options.storm_mb);
    let settings =
        ["--appendonly", "yes", "--appendfsync", "everysec", "--l2-size", "8gb", "--maxmemory", &maxmemory];
    let server = options.strata.start(1, &[system::SERVER_CORE], &settings)?;
    let mut load = Load::connect(&server, CLIENTS, keys, VALUE_BYTES)?;
    let done = AtomicBool::new(false);
    let began = Instant::now();
    let (refused, samples) = std::thread::scope(|scope| {
        let sampling = scope.spawn(|| samples(server.pid(), &done).map_err(|failure| failure.to_string()));
        let filled = load.try_fill(0..keys, |requests, number, out| requests.write_set(&key(number), out));
        done.store(true, Relaxed);
        let samples = sampling.join().map_err(|_| "the thread that looks at memory panicked")?;
        Ok::<_, Failure>((filled?, samples?))
    })?;
    let seconds = began.elapsed().as_secs_f64();
    let most = samples.iter().copied().fold(0.0, f64::max);
    let [cold, demoted] = Talk::connect(server.address)?.info(["l2_cold_keys", "l2_demoted"])?;
    println!(
        "\n  {:.0} SET/s for {seconds:.1} s; {demoted:.0} values left memory, {cold:.0} keys are on disk only",
        keys as f64 / seconds
    );
    println!("  anonymous memory: at most {most:.1} MiB, {} samples", samples.len());
    if let (_, Some(error)) = &refused {
        println!("  first error: {error}");
    }
    let bound = options.storm_mb as f64 * 1.1 + ALLOWANCE_MB;
    report.at_most("MiB of anonymous memory in a write storm", most, bound);
    report.at_most("refused writes in a write storm", refused.0 as f64, 0.0);
    Ok(())
}

/// Anonymous memory in MiB until `done`.
fn samples(pid: u32, done: &AtomicBool) -> Result<Vec<f64>, Failure> {
    let mut samples = Vec::new();
    while !done.load(Relaxed) {
        samples.push(system::anonymous_bytes(pid)? as f64 / f64::from(1 << 20));
        std::thread::sleep(SAMPLE_EVERY);
    }
    Ok(samples)
}
