//! Calls, failures and times of each command, with a histogram of its times.

use hdrhistogram::Histogram;

/// The longest time that is told apart, in nanoseconds.
const NANOS_MAX: u64 = 1_000_000_000;

/// A command that ran, as a worker notes it until the end of its batch.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// The command's place in the table.
    pub command: u16,
    /// Whether it answered with an error.
    pub failed: bool,
    /// How long it took.
    pub nanos: u32,
}

/// What is known of a command's calls.
#[derive(Clone, Debug, Default)]
pub struct CommandStats {
    /// How often it ran.
    pub calls: u64,
    /// The sum of its times in nanoseconds.
    pub nanos: u64,
    /// How often it was refused before it ran.
    pub rejected: u64,
    /// How often it ran into an error.
    pub failed: u64,
    histogram: Option<Box<Histogram<u32>>>,
}

impl CommandStats {
    /// Adds another's figures.
    pub fn add(&mut self, other: &CommandStats) {
        self.calls += other.calls;
        self.nanos += other.nanos;
        self.rejected += other.rejected;
        self.failed += other.failed;
        if let Some(theirs) = &other.histogram {
            match &mut self.histogram {
                // Both have the same bounds, so adding cannot fail.
                Some(ours) => drop(ours.add(&**theirs)),
                None => self.histogram = Some(theirs.clone()),
            }
        }
    }

    fn note(&mut self, sample: &Sample, tracking: bool) {
        self.calls += 1;
        self.nanos += u64::from(sample.nanos);
        self.failed += u64::from(sample.failed);
        if !tracking {
            return;
        }
        if self.histogram.is_none() {
            // The bounds are constants that the crate accepts; without a histogram only times are missing.
            self.histogram = Histogram::new_with_bounds(1, NANOS_MAX, 2).ok().map(Box::new);
        }
        if let Some(histogram) = &mut self.histogram {
            histogram.saturating_record(u64::from(sample.nanos).max(1));
        }
    }

    /// Whether times were recorded.
    pub fn has_times(&self) -> bool {
        self.histogram.as_ref().is_some_and(|histogram| !histogram.is_empty())
    }

    /// The time in microseconds that `percentile` percent of the calls did not pass.
    pub fn percentile_us(&self, percentile: f64) -> f64 {
        self.histogram.as_ref().map_or(0.0, |h| h.value_at_percentile(percentile) as f64 / 1000.0)
    }

    /// How many calls took at most a time, for times that double from 1 microsecond up to the longest:
    /// pairs of microseconds and calls, without repeated counts.
    pub fn cumulative_us(&self) -> (u64, Vec<(u64, u64)>) {
        let Some(histogram) = &self.histogram else { return (0, Vec::new()) };
        let mut steps = Vec::new();
        let (mut bound_ns, mut previous) = (1024_u64, 0);
        loop {
            let bound_equivalent = histogram.highest_equivalent(bound_ns);
            let count = histogram.count_between(0, bound_equivalent);
            if count > previous {
                steps.push((bound_equivalent / 1000, count));
                previous = count;
            }
            if count == histogram.len() || bound_ns > NANOS_MAX {
                return (histogram.len(), steps);
            }
            bound_ns *= 2;
        }
    }
}

/// The statistics of one worker, by command.
#[derive(Default)]
pub struct CommandTable(Vec<Option<Box<CommandStats>>>);

impl CommandTable {
    fn stats(&mut self, command: u16) -> &mut CommandStats {
        let index = usize::from(command);
        if self.0.len() <= index {
            self.0.resize_with(index + 1, || None);
        }
        self.0[index].get_or_insert_default()
    }

    /// Notes calls; with `tracking` their times too.
    pub fn note(&mut self, samples: &[Sample], tracking: bool) {
        for sample in samples {
            self.stats(sample.command).note(sample, tracking);
        }
    }

    /// Notes a call that was refused.
    pub fn note_rejected(&mut self, command: u16) {
        self.stats(command).rejected += 1;
    }

    /// Those commands that were called.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &CommandStats)> {
        self.0.iter().enumerate().filter_map(|(id, stats)| Some((id as u16, stats.as_deref()?)))
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_come_from_the_recorded_times() {
        let mut table = CommandTable::default();
        let samples: Vec<_> =
            (1..=1000).map(|us| Sample { command: 3, failed: us % 10 == 0, nanos: us * 1000 }).collect();
        table.note(&samples, true);
        let (_, stats) = table.iter().next().expect("one command was noted");
        assert_eq!((stats.calls, stats.failed, stats.nanos), (1000, 100, 500_500_000));
        assert!((stats.percentile_us(50.0) - 500.0).abs() < 10.0);
        let (calls, steps) = stats.cumulative_us();
        assert_eq!((calls, steps.last().map(|step| step.1)), (1000, Some(1000)));
        assert!(steps.is_sorted());
    }
}
