//! The latency monitor: spikes above `latency-monitor-threshold`, by event.

use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};

/// How many spikes of an event are kept.
const SPIKES_MAX: usize = 160;

/// The spikes of one event.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Unix seconds and milliseconds of latency; one a second, the worst of it.
    pub spikes: VecDeque<(i64, u64)>,
    /// The worst ever, in milliseconds.
    pub worst_ms: u64,
}

/// Spikes by event.
#[derive(Default)]
pub struct LatencyMonitor(Mutex<BTreeMap<&'static str, Series>>);

impl LatencyMonitor {
    /// Notes a spike.
    pub fn add(&self, event: &'static str, at: i64, latency_ms: u64) {
        let mut events = self.0.lock();
        let series = events.entry(event).or_default();
        series.worst_ms = series.worst_ms.max(latency_ms);
        match series.spikes.back_mut() {
            Some((last, worst)) if *last == at => *worst = latency_ms.max(*worst),
            _ => {
                series.spikes.push_back((at, latency_ms));
                if series.spikes.len() > SPIKES_MAX {
                    series.spikes.pop_front();
                }
            }
        }
    }

    /// All events that had spikes.
    pub fn all(&self) -> Vec<(&'static str, Series)> {
        self.0.lock().iter().map(|(event, series)| (*event, series.clone())).collect()
    }

    /// The spikes of one event.
    pub fn get(&self, event: &[u8]) -> Option<(&'static str, Series)> {
        let events = self.0.lock();
        let (event, series) = events.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(event))?;
        Some((event, series.clone()))
    }

    /// Forgets an event; answers whether it had spikes.
    pub fn forget(&self, event: &[u8]) -> bool {
        let mut events = self.0.lock();
        let name = events.keys().find(|name| name.as_bytes().eq_ignore_ascii_case(event)).copied();
        name.is_some_and(|name| events.remove(name).is_some())
    }

    /// Forgets all; answers how many events there were.
    pub fn clear(&self) -> usize {
        std::mem::take(&mut *self.0.lock()).len()
    }
}
