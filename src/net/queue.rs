//! The event queue of a worker's sockets, itself watched by the worker's runtime: many events are one wake.

use mio::event::Event;
use mio::{Events, Poll as Queue, Registry};
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::unix::AsyncFd;

/// How many events are taken at once.
const EVENTS_MAX: usize = 128;

/// While so many are served others come: that is asked at once, which is then cheaper than to be woken.
const EVENTS_MANY: usize = 16;

/// The queue, and the events that were taken last.
pub struct EventQueue {
    queue: AsyncFd<Queue>,
    events: Events,
}

impl EventQueue {
    /// An empty queue; must be called within the runtime that is to watch it.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn new() -> io::Result<EventQueue> {
        // SAFETY: a queue keeps the same descriptor open until it is dropped, and `AsyncFd` is the only one to have it.
        let queue = unsafe { AsyncFd::register_with_interest(Queue::new()?, tokio::io::Interest::READABLE) }?;
        Ok(EventQueue { queue, events: Events::with_capacity(EVENTS_MAX) })
    }

    /// Where sockets are registered.
    pub fn registry(&self) -> &Registry {
        self.queue.get_ref().registry()
    }

    /// Takes what events there are. Where there are none the task is woken for the next, and the answer is false.
    ///
    /// # Errors
    /// Those of the system.
    pub fn take(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        self.events.clear();
        loop {
            // Where there is no readiness the task is noted, to be woken.
            let Poll::Ready(ready) = self.queue.poll_read_ready_mut(cx) else { return Ok(false) };
            let mut ready = ready?;
            match ready.get_inner_mut().poll(&mut self.events, Some(Duration::ZERO)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            let count = self.events.iter().count();
            if count < EVENTS_MANY {
                ready.clear_ready();
            }
            if count > 0 {
                return Ok(true);
            }
        }
    }

    /// The events that were taken.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.iter()
    }
}
