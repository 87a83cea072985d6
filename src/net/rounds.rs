//! A worker serves its connections in rounds.
//!
//! ```text
//! 1. who is ready      events of their sockets, wakers, those that have not done yet
//! 2. read              each reads; what is more than one small request runs at once, that is held
//! 3. run               memory is asked for all held requests together, then they run
//! 4. settle            the log is given to the kernel, by one write for all; counters are flushed
//! 5. send              replies that waited for the log leave
//! ```
//!
//! Replies for which the log need not be written leave in steps 2 and 3. The sockets have an event queue of their own, which
//! the worker's runtime watches: it wakes the rounds and not each connection.

use super::connection::{Connection, Turn};
use super::queue::EventQueue;
use super::stream::Stream;
use super::worker::{Local, NewClient};
use crate::client::Client;
use crate::clock;
use crate::command::Services;
use parking_lot::Mutex;
use slab::Slab;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// After so many requests the log is written and replies leave, even where the round goes on.
const ROUND_REQUESTS: usize = 1024;
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
        entry.insert(Box::new(Seat { connection, bell, waker }));
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
            self.turns.append(&mut self.again);
            for event in self.queue.events() {
                if let Some(seat) = self.seats.get_mut(event.token().0) {
                    seat.connection.note(event);
                    self.turns.push(event.token().0);
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
                self.turns.push(number);
            }
        }
    }

    fn round(&mut self, local: &mut Local) {
        let mut turns = std::mem::take(&mut self.turns);
        for number in turns.drain(..) {
            self.drive(local, number);
            self.settle_many(local);
        }
        self.turns = turns;
        local.held.prefetch(&local.engine, &local.input);
        let mut index = 0;
        // One that was run may read, and hold, another.
        while index < local.held.len() {
            let number = local.held.holder(index);
            if let Some(seat) = self.seats.get_mut(number) {
                if seat.connection.run_held(local, index) {
                    self.drive(local, number);
                } else {
                    self.unsettled.push(number);
                }
                self.settle_many(local);
            }
            index += 1;
        }
        local.held.clear();
        self.settle(local);
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

    fn settle_many(&mut self, local: &mut Local) {
        if local.engine.unsettled_requests() >= ROUND_REQUESTS {
            self.settle(local);
        }
    }

    /// Gives the log to the kernel; then replies that waited for that leave.
    fn settle(&mut self, local: &mut Local) {
        let outcome = local.engine.settle();
        let mut unsettled = std::mem::take(&mut self.unsettled);
        for number in unsettled.drain(..) {
            let Some(seat) = self.seats.get_mut(number) else { continue };
            let turn = seat.connection.settled(&outcome, local);
            self.end_turn(number, turn);
        }
        // Whoever came to the list meanwhile waits for the next time.
        unsettled.append(&mut self.unsettled);
        self.unsettled = unsettled;
    }
}
