//! How long a server with many keys takes until it answers.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::options::Options;
use crate::report::Report;
use crate::server::Server;
use crate::talk::{Reply, Talk};
use crate::{Failure, system};

const VALUE_BYTES: usize = 100;
/// Between two looks at whether it answers.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long it may take before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a start showed.
struct Started {
    listens_s: f64,
    /// A key could be read.
    answers_s: f64,
    /// Nanoseconds of each PING until then.
    pings: Histogram<u64>,
}

/// After `kill -9`, then after a stop.
pub fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let keys = options.populate;
    report
        .section(&format!("start: {keys} keys with values of {VALUE_BYTES} bytes, 2 workers on both cores"));
    let l2_size = (keys.max(1_000_000) * 800).to_string();
    let settings = [
        "--appendonly",
        "yes",
        "--appendfsync",
        "everysec",
        "--enable-debug-command",
        "yes",
        "--l2-size",
        &l2_size,
    ];
    let cores = [system::LOAD_CORE, system::SERVER_CORE];
    let mut server = options.strata.start(2, &cores, &settings)?;
    let began = Instant::now();
    let bytes = VALUE_BYTES.to_string();
    match Talk::connect(server.address)?.ask(&["DEBUG", "POPULATE", &keys.to_string(), "key", &bytes])? {
        Reply::Text(_) => println!("\n  loaded in {:.1} s", began.elapsed().as_secs_f64()),
        other => return Err(format!("DEBUG POPULATE: {other:?}").into()),
    }
    println!(
        "\n{:<26}{:>12}{:>16}{:>12}{:>14}{:>16}",
        "seconds", "listens", "GET answered", "PINGs", "PING p99 ms", "slowest PING ms"
    );
    let mut each = |name: &str, began: Instant, server: &Server, bound: f64| -> Result<(), Failure> {
        let started = wait(server, began, keys)?;
        let [p99_ms, slowest_ms] = [0.99, 1.0].map(|at| started.pings.value_at_quantile(at) as f64 / 1e6);
        println!(
            "  {name:<24}{:>12.3}{:>16.3}{:>12}{p99_ms:>14.3}{slowest_ms:>16.3}",
            started.listens_s,
            started.answers_s,
            started.pings.len(),
        );
        report.at_most(format!("s until a GET is answered, {name}"), started.answers_s, bound);
        report.at_most(format!("s until PING is, {name}"), started.listens_s, 0.2);
        report.at_most(format!("ms of PING meanwhile, {name}, p99"), p99_ms, 20.0);
        Ok(())
    };
    let began = server.restart_after_kill()?;
    each("after kill -9", began, &server, 6.0)?;
    let stopping = Instant::now();
    let began = server.restart_after_stop()?;
    let stopped_s = (began - stopping).as_secs_f64();
    each("after a stop", began, &server, 2.0)?;
    println!("  the stop itself took {stopped_s:.2} s");
    Ok(())
}

/// Sends PING, then GET of one of the keys, until that one is answered.
fn wait(server: &Server, began: Instant, keys: u64) -> Result<Started, Failure> {
    let mut pings = Histogram::new_with_bounds(1, 60_000_000_000, 3)?;
    let mut talk = loop {
        match Talk::connect(server.address) {
            Ok(talk) => break talk,
            Err(failure) if began.elapsed() > PATIENCE => return Err(failure),
            Err(_) => std::thread::sleep(LOOK_EVERY / 5),
        }
    };
    let key = format!("key:{}", keys / 2);
    let mut listens_s = None;
    loop {
        let sent = Instant::now();
        let pong = talk.ask(&["PING"])?;
        pings.saturating_record(sent.elapsed().as_nanos() as u64);
        // As with Redis, the answer is that it is loading.
        if !matches!(&pong, Reply::Text(text) | Reply::Error(text) if text == "PONG" || text.starts_with("LOADING"))
        {
            return Err(format!("PING: {pong:?}").into());
        }
        let listens_s = *listens_s.get_or_insert_with(|| began.elapsed().as_secs_f64());
        match talk.ask(&["GET", &key])? {
            Reply::Text(value) if value.len() == VALUE_BYTES => {
                return Ok(Started { listens_s, answers_s: began.elapsed().as_secs_f64(), pings });
            }
            Reply::Error(error) if error.starts_with("LOADING") && began.elapsed() < PATIENCE => {
                std::thread::sleep(LOOK_EVERY);
            }
            other => return Err(format!("GET {key}: {other:?}").into()),
        }
    }
}
