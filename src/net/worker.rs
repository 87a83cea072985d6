//! A worker: a thread with a runtime of its own, and the buffers that its connections take turns with.

use super::connection::Connection;
use super::held::{Asked, HELD_BYTES_MAX, HeldRequests};
use super::stream::{Accepted, Stream};
use crate::client::{Client, Flags};
use crate::clock;
use crate::command::{Engine, Request, Services};
use crate::resp::{ArgRange, Output};
use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc;

/// Reads of this size make pipelines cheap.
const READ_BYTES: usize = 64 * 1024;
/// After so many polls without a pause the runtime looks for new events. A request takes up to two polls, and
/// an earlier look would find few events for its cost.
const EVENT_INTERVAL: u32 = 256;
/// How often a worker looks for keys that are due.
const TICK: Duration = Duration::from_millis(25);
/// How many keys a worker removes before it serves its clients again.
const EXPIRE_BUDGET: usize = 1024;

thread_local! {
    static LOCAL: RefCell<Option<Local>> = const { RefCell::new(None) };
}

/// What the connections of a worker share; used by one at a time.
pub struct Local {
    /// Runs requests.
    pub engine: Engine,
    /// What is read into, behind the requests that are held.
    pub input: Vec<u8>,
    /// Requests that were read and wait for a turn.
    pub held: HeldRequests,
    /// What replies are written to; empty between connections.
    pub out: Output,
    /// The requests of the present batch.
    pub requests: Vec<Request>,
    /// Their arguments.
    pub args: Vec<ArgRange>,
}

impl Local {
    /// What the output buffer may keep of its memory.
    pub const OUTPUT_BYTES_KEPT: usize = 256 * 1024;

    /// How many arguments the list keeps room for.
    pub const ARGS_KEPT: usize = 64 * 1024;

    /// Where to read to.
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.input[self.held.bytes()..]
    }

    /// Asks for the first of what `next` will touch, and for more of what those before it will.
    pub fn prefetch(&mut self, next: Option<Asked>) {
        let [slot, entry] = self.held.ask(next);
        if let Some((database, request)) = next {
            self.engine.prefetch_shard(database, &request);
        }
        if let Some((database, request)) = slot {
            self.engine.prefetch_slots(database, &[request]);
        }
        if let Some((database, request)) = entry {
            self.engine.prefetch_entries(database, &[request]);
        }
    }

    /// Uses what this thread has.
    ///
    /// # Panics
    /// On a thread that is no worker, or within another use.
    pub fn with<R>(use_it: impl FnOnce(&mut Local) -> R) -> R {
        LOCAL.with_borrow_mut(|local| use_it(local.as_mut().expect("connections live on workers")))
    }
}

/// A socket with what is known of it.
pub struct NewClient {
    /// The socket.
    pub accepted: Accepted,
    /// The peer, as CLIENT LIST shows it.
    pub address: String,
    /// The server's end.
    pub local_address: String,
    /// Its kind.
    pub flags: Flags,
}

/// The way to a worker.
pub struct Worker {
    /// How many connections it has; counted up by whoever sends one.
    pub connections: Arc<AtomicUsize>,
    /// Sends it connections; it stops when this is dropped.
    pub send: mpsc::UnboundedSender<NewClient>,
    /// Its thread.
    pub thread: JoinHandle<()>,
}

impl Worker {
    /// Starts worker number `index`.
    ///
    /// # Errors
    /// When the system gives no thread or no event queue.
    pub fn start(services: Arc<Services>, index: usize) -> io::Result<Worker> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .event_interval(EVENT_INTERVAL)
            .enable_all()
            .build()?;
        let (send, receive) = mpsc::unbounded_channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let (made, is_made) = std::sync::mpsc::channel();
        let run = move || {
            let engine = Engine::new(Arc::clone(&services), index);
            let local = Local {
                engine,
                input: vec![0; HELD_BYTES_MAX + READ_BYTES],
                held: HeldRequests::default(),
                out: Output::default(),
                requests: Vec::new(),
                args: Vec::new(),
            };
            LOCAL.set(Some(local));
            // `start` may have given up already.
            let _ = made.send(());
            runtime.block_on(serve(services, index, receive, count));
            // Connections end here, while what they share is still there.
            drop(runtime);
            LOCAL.set(None);
        };
        let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(run)?;
        // What it allocates for itself belongs to the empty server.
        is_made.recv().map_err(io::Error::other)?;
        Ok(Worker { connections, send, thread })
    }
}

async fn serve(
    services: Arc<Services>,
    index: usize,
    mut receive: mpsc::UnboundedReceiver<NewClient>,
    connections: Arc<AtomicUsize>,
) {
    let workers = services.config.settings().workers;
    tokio::spawn(tick(workers));
    let mut shutdown = services.shutdown.subscribe();
    loop {
        let new = tokio::select! {
            new = receive.recv() => new,
            _ = shutdown.wait_for(|stop| *stop) => None,
        };
        let Some(new) = new else { return };
        let stream = match Stream::adopt(new.accepted) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "a new connection could not be watched");
                connections.fetch_sub(1, Relaxed);
                continue;
            }
        };
        let id = services.clients.next_id();
        let client = Arc::new(Client::new(
            id,
            new.address,
            new.local_address,
            stream.fd(),
            index,
            clock::now_ms(),
            new.flags,
        ));
        services.clients.add(Arc::clone(&client));
        let connection = Connection::new(stream, Arc::clone(&services), client);
        let connections = Arc::clone(&connections);
        tokio::spawn(async move {
            connection.await;
            connections.fetch_sub(1, Relaxed);
        });
    }
}

/// Removes keys that are due, and evicts when no write does; in bounded steps.
async fn tick(workers: usize) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        while Local::with(|local| {
            let more = local.engine.expire_due(workers, EXPIRE_BUDGET);
            local.engine.evict() || more
        }) {
            tokio::task::yield_now().await;
        }
    }
}
