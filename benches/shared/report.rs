//! Tables with ratios, and the list of targets that ends the run.

use std::process::ExitCode;

use hdrhistogram::Histogram;

use super::load::Turn;

/// The figures of one server in one measurement: medians over its turns.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Microseconds of CPU per command.
    pub cpu_us: f64,
    /// Commands a second.
    pub per_second: f64,
    /// Microseconds at the 50th, 99th and 99.9th percentile.
    pub latency_us: [f64; 3],
    /// Errors of all turns.
    pub errors: u64,
    /// The first of them.
    pub first_error: Option<String>,
}

/// The median of numbers; zero if there are none.
pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    match numbers.len() {
        0 => 0.0,
        count if count % 2 == 1 => numbers[count / 2],
        count => (numbers[count / 2 - 1] + numbers[count / 2]) / 2.0,
    }
}

impl Figures {
    /// Combines turns.
    pub fn of(turns: &[Turn]) -> Self {
        let each = |figure: &dyn Fn(&Turn) -> f64| median(turns.iter().map(figure).collect());
        let quantile = |at: f64| each(&|turn| nanoseconds(&turn.latency, at) / 1000.0);
        Self {
            cpu_us: each(&|turn| turn.cpu_ns as f64 / 1000.0 / turn.commands.max(1) as f64),
            per_second: each(&|turn| turn.commands as f64 / turn.elapsed.as_secs_f64()),
            latency_us: [0.5, 0.99, 0.999].map(quantile),
            errors: turns.iter().map(|turn| turn.errors).sum(),
            first_error: turns.iter().find_map(|turn| turn.first_error.clone()),
        }
    }
}

fn nanoseconds(latency: &Histogram<u64>, quantile: f64) -> f64 {
    latency.value_at_quantile(quantile) as f64
}

/// One thing that Strata must reach.
#[derive(Debug)]
struct Target {
    what: String,
    figure: f64,
    bound: f64,
    at_most: bool,
}

/// Collects targets while tables are printed.
#[derive(Debug)]
pub struct Report {
    targets: Vec<Target>,
    errors: u64,
}

impl Report {
    /// Nothing measured yet.
    pub fn new() -> Self {
        Self { targets: Vec::new(), errors: 0 }
    }

    /// A figure that must be at most `bound`.
    pub fn at_most(&mut self, what: impl Into<String>, figure: f64, bound: f64) {
        self.target(what.into(), figure, bound, true);
    }

    /// A figure that must be at least `bound`.
    pub fn at_least(&mut self, what: impl Into<String>, figure: f64, bound: f64) {
        self.target(what.into(), figure, bound, false);
    }

    fn target(&mut self, what: String, figure: f64, bound: f64, at_most: bool) {
        self.targets.push(Target { what, figure, bound, at_most });
    }

    /// Begins a part.
    pub fn section(&self, title: &str) {
        println!("\n== {title}");
    }

    /// Prints one measurement of several servers; ratios are to the first.
    pub fn table(&mut self, title: &str, rows: &[(String, Figures)]) {
        println!(
            "\n{title:<28}{:>16}{:>20}{:>16}{:>16}{:>18}",
            "CPU us/command", "commands/s", "p50 us", "p99 us", "p99.9 us"
        );
        let Some((_, base)) = rows.first() else {
            return;
        };
        for (name, figures) in rows {
            let pair = |width: usize, decimals: usize, figure: f64, base: f64| {
                // Not every measurement takes latencies.
                let ratio = if base > 0.0 { format!("{:.2}x", figure / base) } else { "-".to_owned() };
                format!("{figure:>width$.decimals$}{ratio:>8}")
            };
            let errors = match (&figures.first_error, figures.errors) {
                (_, 0) => String::new(),
                (Some(text), count) => format!("  {count} errors: {text}"),
                (None, count) => format!("  {count} errors"),
            };
            println!(
                "  {name:<26}{}{}{}{}{}{errors}",
                pair(8, 3, figures.cpu_us, base.cpu_us),
                pair(12, 0, figures.per_second, base.per_second),
                pair(8, 0, figures.latency_us[0], base.latency_us[0]),
                pair(8, 0, figures.latency_us[1], base.latency_us[1]),
                pair(10, 0, figures.latency_us[2], base.latency_us[2]),
            );
            self.errors += figures.errors;
        }
    }

    /// Prints how the targets were met and gives the exit status.
    pub fn finish(self) -> ExitCode {
        println!("\n== targets");
        let mut missed = 0;
        for target in &self.targets {
            let met = match target.at_most {
                true => target.figure <= target.bound,
                false => target.figure >= target.bound,
            };
            missed += usize::from(!met);
            let (verdict, sign) =
                (if met { "ok    " } else { "MISSED" }, if target.at_most { "<=" } else { ">=" });
            println!("{verdict} {:<66}{:>10.3} {sign} {:.3}", target.what, target.figure, target.bound);
        }
        println!("{} targets, {missed} missed, {} errors", self.targets.len(), self.errors);
        ExitCode::from(u8::from(missed > 0 || self.errors > 0))
    }
}
