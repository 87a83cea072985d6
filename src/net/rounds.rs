//! A worker serves its connections in rounds.
//!
//! ```text
//! 1. who is ready      events of their sockets, wakers, those that have not done yet
//! 2. read              each reads; what is more than one small request runs at once, that is held
//! 3. run               memory is asked for all held requests together, then they run
//! 4. settle            the log is given to the kernel, by one write for all; counters are flushed
//! 5. answer            replies leave
//! ```
//!
//! Replies to what runs in step 2 leave there if the log need not be written for them. The sockets have an event queue of their own, which
//! the worker's runtime watches: it wakes the rounds and not each connection.

use super::connection::{Connection, TURN_REQUESTS, Turn};
use super::queue::EventQueue;
use super::stream::Stream;
use super::worker::{Local, NewClient};
use crate::client::Client;
use crate::clock;
use crate::command::Services;
use crate::resp::Output;
use parking_lot::Mutex;
use slab::Slab;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// After so many rounds in a row the runtime has its turn: what else the worker does.
const ROUNDS_IN_A_ROW: usize = 16;

/// Connections that were woken, and who is to be woken then.
#[derive(Default)]
struct Rung {
    numbers: Vec<usize>,
    rounds: Option<Waker>,
}

/// Wakes one connection: puts it on the list for the next round.
struct Bell {
    number: usize,
    rung: AtomicBool,
    list: Arc<Mutex<Rung>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.rung.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut list = self.list.lock();
        list.numbers.push(self.number);
        let rounds = list.rounds.take();
        drop(list);
        if let Some(rounds) = rounds {
            rounds.wake();
        }
    }
}

/// A connection's place.
struct Seat {
    connection: Connection,
    bell: Arc<Bell>,
    /// The bell, as futures know it.
    waker: Waker,
    /// Whether it is among those who have a turn: one in a round is enough, whatever calls for it.
    has_turn: bool,
}

/// Puts a connection on the list of those who have a turn.
fn give_turn(seats: &mut Slab<Box<Seat>>, turns: &mut Vec<usize>, number: usize) {
    if let Some(seat) = seats.get_mut(number)
        && !std::mem::replace(&mut seat.has_turn, true)
    {
        turns.push(number);
    }
}

/// The connections of a worker.
pub struct Rounds {
    services: Arc<Services>,
    worker: usize,
    /// How many connections there are; counted up by whoever sends one.
    count: Arc<AtomicUsize>,
    seats: Slab<Box<Seat>>,
    queue: EventQueue,
    rung: Arc<Mutex<Rung>>,
    /// Who has a turn in this round.
    turns: Vec<usize>,
    /// Who has one in the next.
    again: Vec<usize>,
    /// Whose replies wait for the log.
    unsettled: Vec<usize>,
    /// Where in the replies those to each connection are whose request was held.
    answers: Vec<(usize, Range<usize>)>,
    replies: Output,
}

impl Rounds {
    /// Without connections; must be called within the worker's runtime.
    ///
    /// # Errors
    /// When the system gives no event queue.
    pub fn new(services: Arc<Services>, worker: usize, count: Arc<AtomicUsize>) -> io::Result<Rounds> {
        Ok(Rounds {
            services,
            worker,
            count,
            seats: Slab::new(),
            queue: EventQueue::new()?,
            rung: Arc::default(),
            turns: Vec::new(),
            again: Vec::new(),
            unsettled: Vec::new(),
            answers: Vec::new(),
            replies: Output::default(),
        })
    }

    /// Takes in a new connection, which has its first turn in the next round.
    ///
    /// # Errors
    /// When the system cannot watch its socket; it is closed then.
    pub fn add(&mut self, new: NewClient) -> io::Result<()> {
        let stream = Stream::new(new.socket);
        let entry = self.seats.vacant_entry();
        let number = entry.key();
        if let Err(error) = stream.watch(self.queue.registry(), number) {
            self.count.fetch_sub(1, Ordering::Relaxed);
            return Err(error);
        }
        let client = Arc::new(Client::new(
            self.services.clients.next_id(),
            new.address,
            new.local_address,
            stream.fd(),
            self.worker,
            clock::now_ms(),
            new.flags,
        ));
        let bell = Arc::new(Bell { number, rung: AtomicBool::new(false), list: Arc::clone(&self.rung) });
        let waker = Waker::from(Arc::clone(&bell));
        client.mailbox.set_waker(&waker);
        self.services.clients.add(Arc::clone(&client));
        let connection = Connection::new(number, stream, Arc::clone(&self.services), client);
        entry.insert(Box::new(Seat { connection, bell, waker, has_turn: false }));
        self.again.push(number);
        Ok(())
    }

    /// Serves who is ready. It is never done.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Infallible> {
        for _ in 0..ROUNDS_IN_A_ROW {
            let any = self.queue.take(cx).unwrap_or_else(|error| {
                tracing::error!(%error, "the event queue of a worker does not answer");
                false
            });
            for number in self.again.drain(..) {
                give_turn(&mut self.seats, &mut self.turns, number);
            }
            for event in self.queue.events() {
                let number = event.token().0;
                if let Some(seat) = self.seats.get_mut(number) {
                    seat.connection.note(event);
                    give_turn(&mut self.seats, &mut self.turns, number);
                }
            }
            self.take_rung(cx);
            if self.turns.is_empty() {
                return Poll::Pending;
            }
            Local::with(|local| self.round(local));
            if !any && !self.again.is_empty() {
                break;
            }
        }
        // The first poll is the one that waits: for the runtime to have looked for events and timers.
        let _ = pin!(tokio::task::yield_now()).poll(cx);
        Poll::Pending
    }

    /// Gives a turn to who was woken, and has the next who is wake the rounds.
    fn take_rung(&mut self, cx: &Context<'_>) {
        let mut rung = self.rung.lock();
        if !rung.rounds.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            rung.rounds = Some(cx.waker().clone());
        }
        for number in rung.numbers.drain(..) {
            // What was done before the bell was rung is seen from here on; what comes later rings it anew.
            if let Some(seat) = self.seats.get(number)
                && seat.bell.rung.swap(false, Ordering::AcqRel)
            {
                give_turn(&mut self.seats, &mut self.turns, number);
            }
        }
    }

    fn round(&mut self, local: &mut Local) {
        let mut turns = std::mem::take(&mut self.turns);
        for number in turns.drain(..) {
            if let Some(seat) = self.seats.get_mut(number) {
                seat.has_turn = false;
            }
            self.drive(local, number);
            if local.engine.unsettled_requests() >= TURN_REQUESTS {
                let outcome = local.engine.settle();
                self.settle(local, &outcome);
            }
        }
        self.turns = turns;
        self.run_held(local);
        let outcome = local.engine.settle();
        self.settle(local, &outcome);
        self.answer(local, &outcome);
        if !self.unsettled.is_empty() {
            // Who went on has written more.
            let outcome = local.engine.settle();
            self.settle(local, &outcome);
        }
    }

    /// Runs what is held; replies are put together, and the worker's output is left empty.
    fn run_held(&mut self, local: &mut Local) {
        if local.held.len() == 0 {
            return;
        }
        debug_assert!(local.out.is_empty(), "who has had its turn has taken its replies");
        local.held.prefetch(&local.engine, &local.input);
        local.engine.begin_batch();
        for index in 0..local.held.len() {
            let number = local.held.holder(index);
            let Some(seat) = self.seats.get_mut(number) else { continue };
            let mark = local.out.mark();
            seat.connection.run_held(local, index);
            if !local.out.is_short_after(mark) {
                seat.connection.keep_replies(local.out.take_after(mark));
            }
            self.answers.push((number, local.out.range_after(mark)));
        }
        local.held.clear();
        std::mem::swap(&mut local.out, &mut self.replies);
    }

    /// Sends replies to what was held, where nothing stands against it; such connections may go on.
    fn answer(&mut self, local: &mut Local, outcome: &io::Result<Option<u64>>) {
        if self.answers.is_empty() {
            return;
        }
        let mut answers = std::mem::take(&mut self.answers);
        for (number, range) in answers.drain(..) {
            let Some(seat) = self.seats.get_mut(number) else { continue };
            let replies = &self.replies.single().unwrap_or_default()[range];
            match seat.connection.answer(local, outcome, replies) {
                Turn::Again => self.drive(local, number),
                turn => self.end_turn(number, turn),
            }
        }
        self.answers = answers;
        self.replies.clear(Local::OUTPUT_BYTES_KEPT);
        if local.held.len() > 0 {
            // Those have their turn in the next round.
            self.again.extend((0..local.held.len()).map(|index| local.held.holder(index)));
        }
    }

    /// Gives a connection its turn.
    fn drive(&mut self, local: &mut Local, number: usize) {
        let Some(seat) = self.seats.get_mut(number) else { return };
        let turn = seat.connection.drive(&mut Context::from_waker(&seat.waker), local);
        self.end_turn(number, turn);
    }

    fn end_turn(&mut self, number: usize, turn: Turn) {
        match turn {
            Turn::Idle | Turn::Held => {}
            Turn::Again => self.again.push(number),
            Turn::Unsettled => self.unsettled.push(number),
            Turn::Closed => {
                self.seats.remove(number);
                self.count.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// The log was given to the kernel: replies that waited for that leave.
    fn settle(&mut self, local: &mut Local, outcome: &io::Result<Option<u64>>) {
        let mut unsettled = std::mem::take(&mut self.unsettled);
        for number in unsettled.drain(..) {
            let Some(seat) = self.seats.get_mut(number) else { continue };
            let turn = seat.connection.settled(outcome, local);
            self.end_turn(number, turn);
        }
        // Whoever came to the list meanwhile waits for the next time.
        unsettled.append(&mut self.unsettled);
        self.unsettled = unsettled;
    }
}
