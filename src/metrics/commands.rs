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
    times: Option<Box<Times>>,
}

/// How often a command took how long, by the steps of a [`Histogram`] of two digits: counted for every command, read
/// hardly ever. Such a histogram itself looks at more than its counts with each time that it is given.
#[derive(Clone, Debug)]
struct Times([u32; STEPS]);

/// Up to this many nanoseconds each has a step of its own; then steps double as times do.
const FINEST: u64 = 256;
/// How many steps there are for each doubling.
const STEPS_OF_DOUBLING: usize = 128;
const STEPS: usize = (NANOS_MAX.ilog2() as usize - 5) * STEPS_OF_DOUBLING;

impl Default for Times {
    fn default() -> Times {
        Times([0; STEPS])
    }
}

impl Times {
    #[inline]
    fn note(&mut self, nanos: u64) {
        let nanos = nanos.clamp(1, NANOS_MAX);
        let doublings = (nanos | (FINEST - 1)).ilog2() - (FINEST - 1).ilog2();
        let step = doublings as usize * STEPS_OF_DOUBLING + (nanos >> doublings) as usize;
        self.0[step] = self.0[step].saturating_add(1);
    }

    fn add(&mut self, other: &Times) {
        for (ours, theirs) in self.0.iter_mut().zip(&other.0) {
            *ours = ours.saturating_add(*theirs);
        }
    }

    /// The shortest time of a step.
    fn nanos_of(step: usize) -> u64 {
        let doublings = (step / STEPS_OF_DOUBLING).saturating_sub(1);
        ((step - doublings * STEPS_OF_DOUBLING) as u64) << doublings
    }

    fn histogram(&self) -> Option<Histogram<u32>> {
        // The bounds are constants that the crate accepts; without a histogram only times are missing.
        let mut histogram = Histogram::new_with_bounds(1, NANOS_MAX, 2).ok()?;
        for (step, count) in self.0.iter().enumerate().filter(|(_, count)| **count > 0) {
            histogram.saturating_record_n(Times::nanos_of(step), *count);
        }
        Some(histogram)
    }
}

impl CommandStats {
    /// Adds another's figures.
    pub fn add(&mut self, other: &CommandStats) {
        self.calls += other.calls;
        self.nanos += other.nanos;
        self.rejected += other.rejected;
        self.failed += other.failed;
        if let Some(theirs) = &other.times {
            self.times.get_or_insert_default().add(theirs);
        }
    }

    fn note(&mut self, sample: &Sample, tracking: bool) {
        self.calls += 1;
        self.nanos += u64::from(sample.nanos);
        self.failed += u64::from(sample.failed);
        if tracking {
            self.times.get_or_insert_default().note(sample.nanos.into());
        }
    }

    /// Whether times were recorded.
    pub fn has_times(&self) -> bool {
        self.times.as_ref().is_some_and(|times| times.0.iter().any(|count| *count > 0))
    }

    /// The time in microseconds that `percentile` percent of the calls did not pass.
    pub fn percentile_us(&self, percentile: f64) -> f64 {
        let histogram = self.times.as_ref().and_then(|times| times.histogram());
        histogram.map_or(0.0, |h| h.value_at_percentile(percentile) as f64 / 1000.0)
    }

    /// How many calls took at most a time, for times that double from 1 microsecond up to the longest:
    /// pairs of microseconds and calls, without repeated counts.
    pub fn cumulative_us(&self) -> (u64, Vec<(u64, u64)>) {
        let Some(histogram) = self.times.as_ref().and_then(|times| times.histogram()) else {
            return (0, Vec::new());
        };
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
        // Most batches are of one command.
        for alike in samples.chunk_by(|a, b| a.command == b.command) {
            let stats = self.stats(alike[0].command);
            alike.iter().for_each(|sample| stats.note(sample, tracking));
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
    fn a_time_is_counted_in_the_step_that_begins_before_it() {
        let histogram = Histogram::<u32>::new_with_bounds(1, NANOS_MAX, 2).expect("bounds that it accepts");
        for nanos in (1..5000).chain((1..30).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) * 37 / 32]))
        {
            let mut times = Times::default();
            times.note(nanos);
            let step = times.0.iter().position(|count| *count == 1).expect("it is counted");
            assert_eq!(Times::nanos_of(step), histogram.lowest_equivalent(nanos.min(NANOS_MAX)), "{nanos}");
        }
    }

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
