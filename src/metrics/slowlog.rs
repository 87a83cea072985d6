//! The slow log: the last commands that took longer than `slowlog-log-slower-than`.

use parking_lot::Mutex;
use std::collections::VecDeque;

/// Of a command's arguments, how many are kept.
const ARGS_MAX: usize = 32;
/// Of an argument, how many bytes are kept.
const ARG_BYTES_MAX: usize = 128;

/// A slow command.
#[derive(Clone, Debug)]
pub struct SlowEntry {
    /// Counts up from the start of the server.
    pub id: u64,
    /// Unix seconds.
    pub at: i64,
    /// How long it took.
    pub micros: i64,
    /// Its arguments, shortened.
    pub args: Vec<Vec<u8>>,
    /// The client's address.
    pub address: String,
    /// The client's name.
    pub name: Vec<u8>,
}

#[derive(Default)]
struct Log {
    entries: VecDeque<SlowEntry>,
    next_id: u64,
}

/// The slow log.
#[derive(Default)]
pub struct SlowLog(Mutex<Log>);

/// Shortens arguments as Redis does: the surplus is counted in the place of the last one kept.
fn shorten<'a>(args: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let count = args.len();
    let kept = if count > ARGS_MAX { ARGS_MAX - 1 } else { count };
    let mut short: Vec<Vec<u8>> = args
        .take(kept)
        .map(|arg| match arg.len().checked_sub(ARG_BYTES_MAX) {
            Some(more @ 1..) => {
                let mut cut = arg[..ARG_BYTES_MAX].to_vec();
                cut.extend(format!("... ({more} more bytes)").bytes());
                cut
            }
            _ => arg.to_vec(),
        })
        .collect();
    if count > ARGS_MAX {
        short.push(format!("... ({} more arguments)", count - kept).into_bytes());
    }
    short
}

impl SlowLog {
    /// Adds a command and drops the oldest beyond `len_max`.
    pub fn add<'a>(
        &self,
        at: i64,
        micros: i64,
        args: impl ExactSizeIterator<Item = &'a [u8]>,
        address: String,
        name: Vec<u8>,
        len_max: usize,
    ) {
        let args = shorten(args);
        let mut log = self.0.lock();
        let id = log.next_id;
        log.next_id += 1;
        log.entries.push_front(SlowEntry { id, at, micros, args, address, name });
        log.entries.truncate(len_max);
    }

    /// The newest entries first, at most this many.
    pub fn newest(&self, count: usize) -> Vec<SlowEntry> {
        self.0.lock().entries.iter().take(count).cloned().collect()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.lock().entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all entries; ids go on.
    pub fn reset(&self) {
        self.0.lock().entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_commands_are_shortened_and_old_ones_dropped() {
        let log = SlowLog::default();
        let args: Vec<Vec<u8>> = (0..40).map(|_| vec![b'x'; 200]).collect();
        for _ in 0..5 {
            log.add(0, 1, args.iter().map(Vec::as_slice), String::new(), vec![], 3);
        }
        let newest = log.newest(10);
        assert_eq!((newest.len(), newest[0].id), (3, 4));
        assert_eq!(newest[0].args.len(), 32);
        assert_eq!(newest[0].args[31], b"... (9 more arguments)");
        assert!(newest[0].args[0].ends_with(b"... (72 more bytes)"));
    }
}
