//! One client's connection: read, scan, run, write, in batches.
//!
//! In the common case a connection owns no buffer at all: it reads into its worker's, runs the requests
//! where they lie, and writes the replies from its worker's output. Only what is left over is kept: the
//! beginning of a request, or replies that the kernel did not take.

use super::held::REQUEST_BYTES_MAX;
use super::stream::Stream;
use super::unsent::{Unsent, count_write};
use super::wait::{Waiting, all_synced, synced, waiting};
use super::worker::Local;
use crate::client::{Client, Flags, Mail, Mailbox, ReplyMode, State};
use crate::command::{Request, Services, Wait, forget_subscriptions, forget_watched};
use crate::config::ClassLimit;
use crate::resp::{ArgRange, Args, Limits, Output, Reply, Scan, Scanner};
use mio::event::Event;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

/// How many requests are scanned, and their keys prefetched, before they run.
const BATCH_REQUESTS: usize = 64;
/// A client whose replies pile up beyond this is not read from until it takes some.
const UNSENT_BYTES_MAX: usize = 256 << 20;
/// The longest query buffer, whatever `client-query-buffer-limit` says: ranges into it have 32 bits.
const QUERY_BYTES_MAX: u64 = u32::MAX as u64 - (1 << 20);
/// What is read into a connection's own buffer at once, at least and at most.
const INPUT_BYTES_MIN: usize = 32 * 1024;
const INPUT_BYTES_MAX: usize = 256 * 1024;
/// When a connection's requests have been answered with so much, the others have their turn.
const TURN_BYTES: usize = 1 << 20;

/// After so many reads in a row, or a read that brings the requests to so many, the others have their turn, too.
const READS_PER_TURN: u32 = 8;
pub const TURN_REQUESTS: usize = 1024;

/// How a connection's turn has ended.
#[derive(PartialEq, Eq, Debug)]
pub enum Turn {
    /// It waits: for its socket, or to be woken.
    Idle,
    /// It goes on after the others' turn.
    Again,
    /// It has read one small request, which is held until the others were read.
    Held,
    /// It has replies that must not leave before the log is with the kernel: see [`Connection::settled`].
    Unsettled,
    /// It is closed.
    Closed,
}

/// Whether a connection goes on.
enum Flow {
    Continue,
    End(Turn),
}

/// A connection.
pub struct Connection {
    stream: Stream,
    services: Arc<Services>,
    client: Arc<Client>,
    state: State,
    /// The beginning of a request that is not all there, or requests that wait.
    input: Vec<u8>,
    /// The arguments found in `input` so far.
    args: Vec<ArgRange>,
    scanner: Scanner,
    /// Whether `input` may hold whole requests.
    resume: bool,
    unsent: Unsent,
    wait: Option<Waiting>,
    /// Whether `wait` may be long, and nothing is to come of it once the client has gone.
    watched: bool,
    /// Whether what is written must not be sent before `wait` is over.
    hold_replies: bool,
    /// What is waited for after `wait`, with what the two above are then.
    next_wait: Option<(Waiting, bool, bool)>,
    /// Whether `wait` brings the reply of a client that waits for a key.
    blocked: bool,
    /// Whether the reply that `wait` brings is not wanted (CLIENT REPLY SKIP).
    skips_reply: bool,
    /// Whether a request that it has read is held, to be run later in the round.
    held: bool,
    /// Whether what is to be sent waits for the log.
    unsettled: bool,
    /// Whether it has itself written something that is not settled.
    wrote: bool,
    /// Its number among the connections of the worker.
    number: usize,
}

impl Connection {
    /// Takes over a socket whose client has been registered.
    pub fn new(number: usize, stream: Stream, services: Arc<Services>, client: Arc<Client>) -> Connection {
        let authenticated = services.config.settings().requirepass.is_empty();
        client.authenticated.store(authenticated, Relaxed);
        let mut state = State::default();
        state.authenticated = authenticated;
        Connection {
            stream,
            services,
            client,
            state,
            input: Vec::new(),
            args: Vec::new(),
            scanner: Scanner::default(),
            resume: false,
            unsent: Unsent::default(),
            wait: None,
            watched: false,
            hold_replies: false,
            next_wait: None,
            blocked: false,
            skips_reply: false,
            held: false,
            unsettled: false,
            wrote: false,
            number,
        }
    }

    fn mailbox(&self) -> &Mailbox {
        &self.client.mailbox
    }

    /// Notes what the event queue has told.
    pub fn note(&mut self, event: &Event) {
        self.stream.note(event);
    }

    /// Goes on until there is nothing to do but wait, or the others should have their turn.
    pub fn drive(&mut self, cx: &mut Context<'_>, local: &mut Local) -> Turn {
        let turn = self.go_on(cx, local);
        if turn == Turn::Closed {
            // Replies that are not sent must not be left to the next one.
            local.out.clear(Local::OUTPUT_BYTES_KEPT);
        }
        turn
    }

    fn go_on(&mut self, cx: &mut Context<'_>, local: &mut Local) -> Turn {
        let mut reads = 0;
        loop {
            if self.held || self.unsettled {
                // It has its turn later in the round.
                return Turn::Idle;
            }
            if self.mailbox().is_closing() {
                if self.wait.is_some() && self.hold_replies {
                    return Turn::Closed;
                }
                // What came before the order to close is not lost with it.
                deliver_mail(self.mailbox(), &self.state, &mut local.out);
                return match self.flush(local) {
                    Flow::End(Turn::Unsettled) => Turn::Unsettled,
                    Flow::Continue | Flow::End(_) => Turn::Closed,
                };
            }
            if let Some(wait) = &mut self.wait {
                let Poll::Ready(reply) = wait.as_mut().poll(cx) else {
                    return match self.watch(local) {
                        Flow::End(turn) => turn,
                        Flow::Continue => self.hold(local),
                    };
                };
                self.wait = None;
                if let Some((next, watched, hold_replies)) = self.next_wait.take() {
                    self.wait = Some(next);
                    (self.watched, self.hold_replies) = (watched, hold_replies);
                    if !hold_replies && let Flow::End(turn) = self.flush(local) {
                        return turn;
                    }
                    continue;
                }
                let blocked = std::mem::take(&mut self.blocked);
                let skips = std::mem::take(&mut self.skips_reply);
                if let Some(mut reply) = reply
                    && !skips
                    && self.state.reply_mode == ReplyMode::On
                {
                    local.out.append_from(&mut reply, 0, 0);
                }
                // Another client's write has served it, which may not be on the disk.
                if blocked && let Some(synced) = all_synced(&self.services) {
                    self.wait = Some(synced);
                    (self.watched, self.hold_replies) = (false, true);
                    continue;
                }
                self.client.set_flags(Flags::BLOCKED, false);
                // What a client held back does not run when the client has gone meanwhile.
                if std::mem::take(&mut self.watched)
                    && let Flow::End(turn) = self.take_input(local)
                {
                    return turn;
                }
            }
            if self.mailbox().is_waiting() {
                deliver_mail(self.mailbox(), &self.state, &mut local.out);
            }
            if let Flow::End(turn) = self.flush(local) {
                return turn;
            }
            if self.state.close_after_reply {
                return if self.unsent.is_empty() { Turn::Closed } else { Turn::Idle };
            }
            if self.unsent.len() > UNSENT_BYTES_MAX {
                return Turn::Idle;
            }
            if self.resume {
                self.resume = false;
                let mut input = std::mem::take(&mut self.input);
                let kept = self.run_requests(local, &mut input);
                self.keep(input, kept);
                if self.unsettled {
                    return Turn::Unsettled;
                }
                if self.resume && self.wait.is_none() {
                    // There is more to answer: after the others' turn.
                    return match self.flush(local) {
                        Flow::Continue => Turn::Again,
                        Flow::End(turn) => turn,
                    };
                }
                continue;
            }
            if !self.stream.is_readable() {
                return Turn::Idle;
            }
            if reads == READS_PER_TURN || (reads > 0 && local.engine.unsettled_requests() >= TURN_REQUESTS) {
                return Turn::Again;
            }
            reads += 1;
            match self.read(local) {
                Poll::Ready(Flow::End(turn)) => return turn,
                Poll::Ready(Flow::Continue) if self.unsettled => return Turn::Unsettled,
                Poll::Ready(Flow::Continue) => {}
                Poll::Pending if self.mailbox().is_waiting() => {}
                Poll::Pending => return Turn::Idle,
            }
        }
    }

    /// The log is with the kernel, or could not be given to it: replies leave, or the connection is to close. With the
    /// number of a flush replies to writes leave when that is on the disk.
    pub fn settled(&mut self, outcome: &io::Result<Option<u64>>, local: &mut Local) -> Turn {
        self.unsettled = false;
        if self.wrote && !self.may_tell(outcome) {
            return Turn::Closed;
        }
        if self.wait.is_some() {
            return Turn::Again;
        }
        let more = self.has_more();
        match self.send(local) {
            Flow::End(turn) => turn,
            Flow::Continue if more => Turn::Again,
            Flow::Continue => Turn::Idle,
        }
    }

    /// While the connection waits: replies written before a pause are sent, those that are themselves
    /// waited for are kept.
    fn hold(&mut self, local: &mut Local) -> Turn {
        if self.hold_replies {
            self.unsent.keep(&mut local.out);
            return Turn::Idle;
        }
        match self.flush(local) {
            Flow::Continue => Turn::Idle,
            Flow::End(turn) => turn,
        }
    }

    /// A client that waits for a key must not be given anything once it has gone: looks for its end, and
    /// keeps what it sends for later.
    fn watch(&mut self, local: &mut Local) -> Flow {
        if !self.watched {
            return Flow::Continue;
        }
        if self.mailbox().is_waiting() && !self.hold_replies {
            deliver_mail(self.mailbox(), &self.state, &mut local.out);
        }
        self.take_input(local)
    }

    /// Reads what there is, to run it later.
    fn take_input(&mut self, local: &mut Local) -> Flow {
        for _ in 0..READS_PER_TURN {
            match self.stream.read(local.room()) {
                Poll::Ready(Ok(0) | Err(_)) => return Flow::End(Turn::Closed),
                Poll::Ready(Ok(len)) => {
                    self.input.extend_from_slice(&local.room()[..len]);
                    self.resume = true;
                }
                Poll::Pending => return Flow::Continue,
            }
            if self.keeps_too_much(local) {
                return Flow::End(Turn::Closed);
            }
        }
        if self.wait.is_none() {
            return Flow::Continue;
        }
        match self.hold(local) {
            Turn::Idle => Flow::End(Turn::Again),
            turn => Flow::End(turn),
        }
    }

    /// Whether more input waits to be run than a client may have; says so where it does, for the client is closed then.
    fn keeps_too_much(&self, local: &Local) -> bool {
        let limit = local.engine.settings().client_query_buffer_limit;
        let limit = if limit == 0 { QUERY_BYTES_MAX } else { limit.min(QUERY_BYTES_MAX) };
        let too_much = self.input.len() as u64 > limit;
        if too_much {
            tracing::warn!(client = self.client.id, "closing client that reached max query buffer length");
            local.engine.metrics().counters.query_buffer_disconnects.add(1);
        }
        too_much
    }

    /// Reads once and runs what is there.
    fn read(&mut self, local: &mut Local) -> Poll<Flow> {
        let read = if self.input.is_empty() {
            self.stream.read(local.room())
        } else {
            // Grows with what has arrived, never by what was announced.
            let wanted = self.scanner.wanted_len().saturating_sub(self.input.len());
            let room = wanted.clamp(INPUT_BYTES_MIN, INPUT_BYTES_MAX);
            if wanted < 3 * self.input.len() {
                // A quarter is there: doubling would move a large value twice more, and copy all of it.
                self.input.reserve_exact(wanted + INPUT_BYTES_MIN);
            }
            self.stream.read_more(&mut self.input, room)
        };
        let len = match read {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Flow::End(Turn::Closed)),
            Poll::Ready(Ok(len)) => len,
        };
        let counters = &local.engine.metrics().counters;
        counters.reads.add(1);
        counters.input_bytes.add(len as u64);
        if self.input.is_empty() {
            if self.hold_request(local, len) {
                return Poll::Ready(Flow::End(Turn::Held));
            }
            let start = local.held.bytes();
            let mut buffer = std::mem::take(&mut local.input);
            let read = &mut buffer[start..start + len];
            let kept = self.run_requests(local, read);
            if self.input.is_empty() && kept < len {
                self.input = read[kept..].to_vec();
            }
            local.input = buffer;
        } else {
            let mut input = std::mem::take(&mut self.input);
            let kept = self.run_requests(local, &mut input);
            self.keep(input, kept);
        }
        if self.keeps_too_much(local) {
            return Poll::Ready(Flow::End(Turn::Closed));
        }
        self.client.input_bytes.store(self.input.len(), Relaxed);
        self.client.input_capacity.store(self.input.capacity(), Relaxed);
        Poll::Ready(Flow::Continue)
    }

    /// Holds what was read until the others had their turn, where it is one small request.
    fn hold_request(&mut self, local: &mut Local, len: usize) -> bool {
        let start = local.held.bytes();
        // An inline request is decoded in place: it can be scanned only once.
        if len > REQUEST_BYTES_MAX
            || local.input[start] != b'*'
            || !self.state.authenticated
            || !self.unsent.is_empty()
            || !local.held.has_room()
        {
            return false;
        }
        let limits = Limits {
            bulk_bytes_max: local.engine.settings().proto_max_bulk_len,
            authenticated: self.state.authenticated,
        };
        let mut scanner = Scanner::starting_at(start);
        let read = &mut local.input[..start + len];
        let first = local.held.args_used();
        let scan = scanner.scan(read, local.held.args_mut(), &limits);
        if scan != Scan::Request || scanner.position() != start + len || local.held.args().len() == first {
            local.held.drop_args();
            return false;
        }
        let request = local.engine.request(read, local.held.args(), first);
        local.held.add(request, self.number, self.state.database, len);
        self.held = true;
        true
    }

    /// Runs the request that was held as this number, in the engine's present batch; replies are left in the worker's
    /// output. [`Self::answer`] must follow.
    pub fn run_held(&mut self, local: &mut Local, index: usize) {
        self.held = false;
        if self.mailbox().is_closing() {
            return;
        }
        let (request, bytes) = local.held.take_to(index, &mut local.args);
        self.client.active_at_ms.store(local.engine.now_ms(), Relaxed);
        local.requests.clear();
        local.requests.push(request);
        let buffer = std::mem::take(&mut local.input);
        let read = &buffer[..bytes.end];
        if let Some(next) = self.run_batch(local, read) {
            self.put_aside(local, read, next, bytes.end);
        }
        local.input = buffer;
        local.engine.end_batch();
        self.wrote = local.engine.take_wrote();
    }

    /// Keeps replies to be sent later.
    pub fn keep_replies(&mut self, mut replies: Output) {
        self.unsent.keep(&mut replies);
    }

    /// Sends `replies` to what was held, after the log was given to the kernel.
    pub fn answer(&mut self, local: &mut Local, outcome: &io::Result<Option<u64>>, replies: &[u8]) -> Turn {
        if self.wrote && !self.may_tell(outcome) {
            return Turn::Closed;
        }
        if self.wait.is_some() || !self.unsent.is_empty() || self.mailbox().is_closing() {
            self.unsent.extend(replies);
            return Turn::Again;
        }
        if !replies.is_empty() {
            let sent = match self.stream.write(replies) {
                Poll::Ready(Ok(sent)) => sent,
                Poll::Ready(Err(_)) => return Turn::Closed,
                Poll::Pending => 0,
            };
            count_write(local, sent);
            self.unsent.extend(&replies[sent..]);
        }
        if self.has_more() || !self.unsent.is_empty() { Turn::Again } else { Turn::Idle }
    }

    /// Whether a client that wrote may be told: not if the log could not be given to the kernel; with the number of a
    /// flush when that is on the disk.
    fn may_tell(&mut self, outcome: &io::Result<Option<u64>>) -> bool {
        self.wrote = false;
        match outcome {
            Err(error) => {
                tracing::error!(client = self.client.id, %error, "closing a client whose writes may be lost");
                return false;
            }
            Ok(Some(flush)) => {
                if let Some(synced) = synced(&self.services, *flush) {
                    let before = self.wait.replace(synced);
                    self.next_wait = before.map(|before| (before, self.watched, self.hold_replies));
                    (self.watched, self.hold_replies) = (false, true);
                }
            }
            Ok(None) => {}
        }
        true
    }

    /// Whether there is something to do at once.
    fn has_more(&self) -> bool {
        self.resume
            || self.state.close_after_reply
            || self.stream.is_readable()
            || self.mailbox().is_waiting()
            || self.mailbox().is_closing()
    }

    /// Keeps the replies of a batch that has written until the log is with the kernel.
    fn end_batch(&mut self, local: &mut Local) {
        local.engine.end_batch();
        if local.engine.take_wrote() && !local.engine.is_settled() {
            self.unsent.keep(&mut local.out);
            self.wrote = true;
            self.unsettled = true;
        }
    }

    /// Keeps what `input` has from `kept` on, unless requests were put aside meanwhile.
    fn keep(&mut self, mut input: Vec<u8>, kept: usize) {
        if !self.input.is_empty() {
            return;
        }
        if kept == input.len() {
            // An idle connection has no buffer.
            return;
        }
        input.drain(..kept);
        if input.capacity() > 4 * input.len() + INPUT_BYTES_MIN {
            input.shrink_to(2 * input.len());
        }
        self.input = input;
    }

    /// Runs all whole requests of `buffer`; returns from where its bytes must be kept.
    fn run_requests(&mut self, local: &mut Local, buffer: &mut [u8]) -> usize {
        local.engine.begin_batch();
        self.client.active_at_ms.store(local.engine.now_ms(), Relaxed);
        let mut scanner = std::mem::take(&mut self.scanner);
        local.args.clear();
        if !self.args.is_empty() {
            std::mem::swap(&mut local.args, &mut self.args);
        }
        let mut start = 0;
        let kept = loop {
            // What a client may send depends on whether it has authenticated: look at one request at a time.
            let most = if self.state.authenticated { BATCH_REQUESTS } else { 1 };
            let limits = Limits {
                bulk_bytes_max: local.engine.settings().proto_max_bulk_len,
                authenticated: self.state.authenticated,
            };
            local.requests.clear();
            let mut first = 0;
            let scan = loop {
                if local.requests.len() == most {
                    break Scan::Request;
                }
                match scanner.scan(buffer, &mut local.args, &limits) {
                    Scan::Request => {
                        if local.args.len() > first {
                            local.requests.push(local.engine.request(buffer, &local.args, first));
                            first = local.args.len();
                        }
                        start = scanner.position();
                    }
                    end => break end,
                }
            };
            local.engine.prepare_batch(self.state.database, &local.requests, buffer, &local.args);
            if let Some(rest) = self.run_batch(local, buffer) {
                self.put_aside(local, buffer, rest, start);
                break buffer.len();
            }
            if self.state.close_after_reply {
                local.args.clear();
                break buffer.len();
            }
            local.args.drain(..first);
            match scan {
                Scan::Request if local.out.len() > TURN_BYTES => {
                    local.requests.clear();
                    self.put_aside(local, buffer, 0, start);
                    break buffer.len();
                }
                Scan::Request => {}
                Scan::Incomplete => {
                    scanner.rebase(start);
                    self.scanner = scanner;
                    if !local.args.is_empty() {
                        std::mem::swap(&mut local.args, &mut self.args);
                    }
                    if start > 0 {
                        for arg in &mut self.args {
                            arg.start -= start as u32;
                            arg.end -= start as u32;
                        }
                    }
                    break start;
                }
                Scan::Error(error) => {
                    Reply::new(&mut local.out, self.state.resp3)
                        .error(&[b"ERR ".as_slice(), &error.text()].concat());
                    local.engine.metrics().count_error(b"ERR");
                    self.state.close_after_reply = true;
                    break buffer.len();
                }
            }
        };
        self.end_batch(local);
        // The room of a request with very many arguments goes back.
        local.args.clear();
        local.args.shrink_to(Local::ARGS_KEPT);
        kept
    }

    /// Runs the requests of a batch. `Some`: the connection must wait, or let others have their turn; the
    /// index says which request is to run next.
    fn run_batch(&mut self, local: &mut Local, buffer: &[u8]) -> Option<usize> {
        for index in 0..local.requests.len() {
            let request: Request = local.requests[index];
            let args = Args::new(buffer, &local.args[request.first..request.first + request.len]);
            let skips = matches!(self.state.reply_mode, ReplyMode::SkipNext | ReplyMode::Skipping);
            let wait = local.engine.run(&self.client, &mut self.state, &request, args, &mut local.out);
            if self.mailbox().is_waiting() {
                deliver_mail(self.mailbox(), &self.state, &mut local.out);
            }
            if self.state.close_after_reply {
                return None;
            }
            self.hold_replies = matches!(wait, None | Some(Wait::For(_) | Wait::Freed(_)));
            if wait.is_some() {
                self.client.set_flags(Flags::BLOCKED, true);
            }
            match wait {
                None if local.out.len() > TURN_BYTES && index + 1 < local.requests.len() => {
                    return Some(index + 1);
                }
                None => {}
                Some(mut wait) => {
                    // Either it has not run, or its reply is part of the wait.
                    let next = match &mut wait {
                        Wait::Load(cold) => {
                            // What the others of the batch will need is read with it.
                            let others = &local.requests[index + 1..];
                            local.engine.add_cold(self.state.database, others, cold);
                            index
                        }
                        Wait::Unpaused | Wait::Retry(_) => index,
                        _ => index + 1,
                    };
                    self.blocked = matches!(wait, Wait::Blocked(_));
                    self.watched = matches!(wait, Wait::Blocked(_) | Wait::Durable(_) | Wait::Unpaused);
                    self.skips_reply = skips;
                    self.wait = Some(waiting(&self.services, wait));
                    return Some(next);
                }
            }
        }
        None
    }

    /// Keeps the requests of the batch from `next` on, and the bytes of `buffer` from `rest` on, for
    /// later. They are encoded anew: inline requests have been decoded in place.
    fn put_aside(&mut self, local: &mut Local, buffer: &[u8], next: usize, rest: usize) {
        let mut input = Vec::new();
        for request in &local.requests[next..] {
            let args = Args::new(buffer, &local.args[request.first..request.first + request.len]);
            input.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
            for arg in args.iter() {
                input.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
                input.extend_from_slice(arg);
                input.extend_from_slice(b"\r\n");
            }
        }
        input.extend_from_slice(&buffer[rest..]);
        self.input = input;
        self.args.clear();
        self.scanner = Scanner::default();
        self.resume = true;
        local.args.clear();
    }

    /// Writes what there is, oldest first. What the kernel does not take is kept.
    fn flush(&mut self, local: &mut Local) -> Flow {
        if self.unsent.is_empty() && local.out.is_empty() {
            return Flow::Continue;
        }
        if !local.engine.is_settled() {
            // Nobody is told what a crash could take back.
            self.unsent.keep(&mut local.out);
            self.unsettled = true;
            return Flow::End(Turn::Unsettled);
        }
        self.send(local)
    }

    fn send(&mut self, local: &mut Local) -> Flow {
        if self.unsent.send(&mut self.stream, local).is_err() {
            return Flow::End(Turn::Closed);
        }
        let unsent = self.unsent.len();
        self.client.output_bytes.store(unsent, Relaxed);
        if unsent > 0 && self.unsent.is_beyond(self.class_limit(local)) {
            tracing::warn!(
                client = self.client.id,
                unsent,
                "closing client for overcoming of output buffer limits"
            );
            local.engine.metrics().counters.output_buffer_disconnects.add(1);
            return Flow::End(Turn::Closed);
        }
        Flow::Continue
    }

    fn class_limit(&self, local: &Local) -> ClassLimit {
        let limits = &local.engine.settings().client_output_buffer_limit;
        if self.state.monitor {
            limits.replica
        } else if self.client.flags().contains(Flags::PUBSUB) {
            limits.pubsub
        } else {
            limits.normal
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        forget_subscriptions(&self.services, &self.client, &mut self.state);
        forget_watched(&self.services, &mut self.state);
        if self.state.monitor {
            self.services.monitors.remove(&self.client);
        }
        self.services.clients.remove(self.client.id);
    }
}

fn deliver_mail(mailbox: &Mailbox, state: &State, out: &mut Output) {
    for mail in mailbox.take() {
        match mail {
            Mail::Push { elements, body } => {
                Reply::new(out, state.resp3).push(elements.into());
                out.share(body);
            }
            Mail::Raw(bytes) => out.share(bytes),
        }
    }
}
