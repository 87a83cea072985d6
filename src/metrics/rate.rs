//! A rate per second, averaged over the last readings.

const READINGS: usize = 16;

/// The last readings of a counter.
#[derive(Default, Debug)]
pub struct Rate {
    rates: [u64; READINGS],
    next: usize,
    last: Option<(u64, i64)>,
}

impl Rate {
    /// Takes a reading at a time in Unix milliseconds.
    pub fn sample(&mut self, reading: u64, now_ms: i64) {
        if let Some((value, at_ms)) = self.last {
            let elapsed = u64::try_from(now_ms - at_ms).unwrap_or(0);
            self.rates[self.next] = (reading.saturating_sub(value) * 1000).checked_div(elapsed).unwrap_or(0);
            self.next = (self.next + 1) % READINGS;
        }
        self.last = Some((reading, now_ms));
    }

    /// The rate per second.
    pub fn per_second(&self) -> u64 {
        self.rates.iter().sum::<u64>() / READINGS as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_counter_has_its_rate() {
        let mut rate = Rate::default();
        (0..=20).for_each(|tenth| rate.sample(tenth * 50, tenth as i64 * 100));
        assert_eq!(rate.per_second(), 500);
    }
}
