//! Resident memory per key. A table that doubles makes the figure a saw-tooth, so it is taken at several numbers of keys
//! that fall on different places of the tooth, and both the average and the worst count.

use crate::load::Load;
use crate::options::Options;
use crate::report::Report;
use crate::server::Template;
use crate::wire::{KEY_BYTES, key};
use crate::{Failure, system};

/// Targets in bytes: on average, and never above.
const AVERAGE_MAX: f64 = 44.0;
const MAX: f64 = 50.0;

/// All servers, one after the other: together they would not fit.
pub fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    report.section(&format!(
        "memory: overhead per key in bytes = growth of resident memory / keys - {KEY_BYTES} (key) - value"
    ));
    print!("\n{:<20}{:>8}", "", "value");
    for keys in &options.memory_keys {
        print!("{:>10}", format!("{:.1}M", *keys as f64 / 1e6));
    }
    println!();
    for template in &options.servers {
        let mut all = Vec::new();
        for value_bytes in &options.memory_values {
            let overheads = overheads(template, *value_bytes, &options.memory_keys)?;
            print!("  {:<18}{value_bytes:>8}", template.name);
            for overhead in &overheads {
                print!("{overhead:>10.1}");
            }
            println!();
            all.extend(overheads);
        }
        let average = all.iter().sum::<f64>() / all.len().max(1) as f64;
        let worst = all.iter().copied().fold(f64::MIN, f64::max);
        println!("  {:<26}average {average:.1}, worst {worst:.1}", template.name);
        if template.name == "strata" {
            report.at_most("bytes of overhead per key, average", average, AVERAGE_MAX);
            report.at_most("bytes of overhead per key, worst", worst, MAX);
        }
    }
    Ok(())
}

/// The overhead at each number of keys, growing one server from the smallest to the largest.
fn overheads(template: &Template, value_bytes: usize, counts: &[u64]) -> Result<Vec<f64>, Failure> {
    let server = template.start(1, &[system::SERVER_CORE], &[])?;
    let mut load = Load::connect(&server, 8, 1, value_bytes)?;
    let before = server.settled_rss_bytes()?;
    let mut present = 0;
    let mut overheads = Vec::new();
    for count in counts {
        load.fill(present..*count, |requests, number, out| requests.write_set(&key(number), out))?;
        present = *count;
        let grown = server.settled_rss_bytes()?.saturating_sub(before);
        overheads.push(grown as f64 / present as f64 - (KEY_BYTES + value_bytes) as f64);
    }
    Ok(overheads)
}
