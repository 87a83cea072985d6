//! Replies that the kernel has not taken.

use super::stream::Stream;
use super::worker::Local;
use crate::clock;
use crate::config::ClassLimit;
use crate::resp::Output;
use crate::resp::output::SLICES_MAX;
use std::io::{self, IoSlice};
use std::task::Poll;

/// What of a connection's replies is left over, oldest first.
#[derive(Default)]
pub struct Unsent {
    output: Output,
    /// So many bytes of it are gone.
    sent: usize,
    over_soft_limit_since_ms: Option<i64>,
}

impl Unsent {
    /// Whether all was sent.
    pub fn is_empty(&self) -> bool {
        self.output.is_empty()
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.output.len() - self.sent
    }

    /// Adds a copy.
    pub fn extend(&mut self, replies: &[u8]) {
        self.output.extend(replies);
    }

    /// Adds what `out` has, which is empty then.
    pub fn keep(&mut self, out: &mut Output) {
        self.output.append_from(out, 0, Local::OUTPUT_BYTES_KEPT);
    }

    /// Sends what there is and then what the worker's output has; keeps what the kernel does not take.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn send(&mut self, stream: &mut Stream, local: &mut Local) -> io::Result<()> {
        if self.output.is_empty() {
            let (sent, result) = write_all(stream, &local.out, 0);
            count_write(local, sent);
            if sent < local.out.len() {
                self.output.append_from(&mut local.out, sent, Local::OUTPUT_BYTES_KEPT);
            } else {
                local.out.clear(Local::OUTPUT_BYTES_KEPT);
            }
            return result;
        }
        if !local.out.is_empty() {
            self.keep(&mut local.out);
        }
        let (sent, result) = write_all(stream, &self.output, self.sent);
        count_write(local, sent);
        self.sent = self.output.release(self.sent + sent);
        if self.sent == self.output.len() {
            (self.output, self.sent) = (Output::default(), 0);
        }
        result
    }

    /// Whether it is more than a client may leave (`client-output-buffer-limit`), or has been for too long.
    pub fn is_beyond(&mut self, limit: ClassLimit) -> bool {
        let ClassLimit { hard_bytes, soft_bytes, soft_seconds } = limit;
        let unsent = self.len() as u64;
        let now_ms = clock::now_ms();
        let over_soft = soft_bytes > 0 && unsent > soft_bytes;
        let since = over_soft.then(|| *self.over_soft_limit_since_ms.get_or_insert(now_ms));
        self.over_soft_limit_since_ms = since;
        let too_long = since.is_some_and(|since| now_ms - since > soft_seconds as i64 * 1000);
        (hard_bytes > 0 && unsent > hard_bytes) || too_long
    }
}

/// Counts a write to a socket.
pub fn count_write(local: &Local, sent: usize) {
    if sent > 0 {
        let counters = &local.engine.metrics().counters;
        counters.writes.add(1);
        counters.output_bytes.add(sent as u64);
    }
}

/// Writes from position `from` on until the kernel takes no more; returns how many bytes it took.
fn write_all(stream: &mut Stream, output: &Output, from: usize) -> (usize, io::Result<()>) {
    let mut sent = 0;
    while from + sent < output.len() {
        let written = match output.single() {
            Some(bytes) => stream.write(&bytes[from + sent..]),
            None => {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let count = output.slices(from + sent, &mut slices);
                stream.write_vectored(&slices[..count])
            }
        };
        match written {
            Poll::Ready(Ok(0)) => return (sent, Err(io::ErrorKind::WriteZero.into())),
            Poll::Ready(Ok(len)) => sent += len,
            Poll::Ready(Err(error)) => return (sent, Err(error)),
            Poll::Pending => break,
        }
    }
    (sent, Ok(()))
}
