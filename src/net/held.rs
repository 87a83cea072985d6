//! Single requests that were read and wait, for one turn of the other connections, for memory to arrive.
//!
//! A lookup is two cache misses, and a client that does not pipeline gives a worker nothing to do during
//! them. But where several clients are ready, the others' requests can be read meanwhile:
//!
//! ```text
//! first poll    read, scan; ask for the shard of this request, for the slot of the one before, and for
//!               the entry of the one before that
//! second poll   run, write
//! ```
//!
//! What is held lies at the beginning of the worker's input buffer, and reads go behind it. Where nobody
//! else is ready holding gains nothing and costs one more poll: that is noticed afterwards, and the next
//! requests are not held.

use crate::command::Request;
use crate::resp::ArgRange;
use smallvec::SmallVec;

/// A read of more is no small request.
pub const REQUEST_BYTES_MAX: usize = 1024;
/// What is held at once, in bytes; the worker's input buffer has this room beyond that for a read.
pub const HELD_BYTES_MAX: usize = 32 * 1024;
/// How many requests at most are not held for want of company before it is tried again.
const ALONE_MAX: u32 = 15;

/// One request.
pub struct HeldRequest {
    /// The request; its arguments are the first ones of `args`.
    pub request: Request,
    /// Where its arguments are in what was read.
    pub args: SmallVec<[ArgRange; 6]>,
    /// Where in the worker's input that begins, and how long it is.
    pub start: usize,
    /// Its length.
    pub len: usize,
    poll: u64,
}

/// The number of a database, and the request there.
pub type Asked = (usize, Request);

/// What a connection remembers of its request: the place in the list.
pub type Ticket = usize;

/// The held requests of a worker.
#[derive(Default)]
pub struct HeldRequests {
    list: Vec<Option<HeldRequest>>,
    left: usize,
    bytes: usize,
    /// Polls of connections so far, by which is known whether others had a turn.
    polls: u64,
    /// The last two requests, the latest first, with their databases: of neither the entry was asked for.
    asked: [Option<Asked>; 2],
    /// How many requests are still to be run at once, and how many after the next loneliness.
    skip: u32,
    skip_next: u32,
}

impl HeldRequests {
    /// Notes that a connection is polled.
    pub fn note_poll(&mut self) {
        self.polls += 1;
    }

    /// How much of the input buffer is taken.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a request that a connection just read should be held.
    pub fn wants(&mut self) -> bool {
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        self.bytes + REQUEST_BYTES_MAX <= HELD_BYTES_MAX
    }

    /// Holds a request that was read to [`Self::bytes`].
    pub fn add(&mut self, request: Request, args: &[ArgRange], len: usize) -> Ticket {
        let (args, start, poll) = (SmallVec::from_slice(args), self.bytes, self.polls);
        self.list.push(Some(HeldRequest { request, args, start, len, poll }));
        self.bytes += len;
        self.left += 1;
        self.list.len() - 1
    }

    /// Takes a request out, to run it or to forget it. What it lies in is not written to before the next
    /// read.
    pub fn take(&mut self, ticket: Ticket) -> Option<HeldRequest> {
        let held = self.list.get_mut(ticket)?.take()?;
        self.left -= 1;
        if self.left == 0 {
            self.list.clear();
            self.bytes = 0;
        }
        if self.polls > held.poll + 1 {
            self.skip_next = 0;
        } else {
            self.skip_next = (2 * self.skip_next + 1).min(ALONE_MAX);
            self.skip = self.skip_next;
        }
        Some(held)
    }

    /// Moves on to `next`; returns the request whose slot is to be asked for now, and the one whose entry is.
    pub fn ask(&mut self, next: Option<Asked>) -> [Option<Asked>; 2] {
        let due = self.asked;
        self.asked = [next, due[0]];
        due
    }
}
