//! Single requests that were read and wait until the other connections of the round were read, too.
//!
//! A lookup is up to three cache misses, and a client that does not pipeline gives a worker nothing to do during them.
//! But where several clients are ready, their requests make a batch as good as one client's: memory is asked for all of
//! them together, and then they run.
//!
//! What is held lies at the beginning of the worker's input buffer, and reads go behind it.

use crate::command::{Engine, Request};
use crate::resp::ArgRange;
use std::ops::Range;

/// A read of more is no small request.
pub const REQUEST_BYTES_MAX: usize = 1024;
/// What is held at once, in bytes; the worker's input buffer has this room beyond that for a read.
pub const HELD_BYTES_MAX: usize = 64 * 1024;

/// Whose request it is, and where it lies.
struct Holder {
    connection: usize,
    database: usize,
    bytes: Range<usize>,
}

/// The held requests of a worker, in the order in which they were read.
#[derive(Default)]
pub struct HeldRequests {
    /// Each names its arguments among `args`.
    requests: Vec<Request>,
    /// Ranges of the worker's input buffer.
    args: Vec<ArgRange>,
    holders: Vec<Holder>,
    bytes: usize,
}

impl HeldRequests {
    /// How much of the input buffer is taken.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether another one has room.
    pub fn has_room(&self) -> bool {
        self.bytes + REQUEST_BYTES_MAX <= HELD_BYTES_MAX
    }

    /// The arguments of all of them, and behind those what has been put there since.
    pub fn args(&self) -> &[ArgRange] {
        &self.args
    }

    /// Where the arguments of the next request are to be put: behind those of the others.
    pub fn args_mut(&mut self) -> &mut Vec<ArgRange> {
        &mut self.args
    }

    /// How many arguments all of them have.
    pub fn args_used(&self) -> usize {
        self.requests.last().map_or(0, |last| last.first + last.len)
    }

    /// Forgets arguments that were put there in vain.
    pub fn drop_args(&mut self) {
        self.args.truncate(self.args_used());
    }

    /// Holds a request whose `len` bytes were read to [`Self::bytes`], and whose arguments are the last ones.
    pub fn add(&mut self, request: Request, connection: usize, database: usize, len: usize) {
        let bytes = self.bytes..self.bytes + len;
        self.bytes = bytes.end;
        self.requests.push(request);
        self.holders.push(Holder { connection, database, bytes });
    }

    /// Asks the processor for what all of them will touch.
    pub fn prefetch(&self, engine: &Engine, input: &[u8]) {
        if self.requests.len() < 2 {
            // It would be waited for at once.
            return;
        }
        let mut first = 0;
        for of_one in self.holders.chunk_by(|a, b| a.database == b.database) {
            let requests = &self.requests[first..first + of_one.len()];
            engine.prepare_batch(of_one[0].database, requests, input, &self.args);
            first += of_one.len();
        }
    }

    /// The connection that a request came from.
    pub fn holder(&self, index: usize) -> usize {
        self.holders[index].connection
    }

    /// A request, with its arguments in `args`, and where its bytes are in the input.
    pub fn take_to(&self, index: usize, args: &mut Vec<ArgRange>) -> (Request, Range<usize>) {
        let mut request = self.requests[index];
        args.clear();
        args.extend_from_slice(&self.args[request.first..request.first + request.len]);
        request.first = 0;
        (request, self.holders[index].bytes.clone())
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.requests.clear();
        self.args.clear();
        self.holders.clear();
        self.bytes = 0;
    }
}
