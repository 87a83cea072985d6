//! A worker: a thread with a runtime of its own, and the buffers that its connections take turns with.

use super::held::{HELD_BYTES_MAX, HeldRequests};
use super::rounds::Rounds;
use crate::client::Flags;
use crate::command::{Engine, Request, Services};
use crate::resp::{ArgRange, Output};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc;

/// Reads of this size make pipelines cheap.
const READ_BYTES: usize = 64 * 1024;
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
    /// The socket, which does not block.
    pub socket: OwnedFd,
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
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (send, receive) = mpsc::unbounded_channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let (made, is_made) = std::sync::mpsc::channel();
        let run = move || {
            let rounds = {
                let _entered = runtime.enter();
                Rounds::new(Arc::clone(&services), index, count)
            };
            let engine = Engine::new(Arc::clone(&services), index);
            LOCAL.set(Some(Local {
                engine,
                input: vec![0; HELD_BYTES_MAX + READ_BYTES],
                held: HeldRequests::default(),
                out: Output::default(),
                requests: Vec::new(),
                args: Vec::new(),
            }));
            let (rounds, outcome) = match rounds {
                Ok(rounds) => (Some(rounds), Ok(())),
                Err(error) => (None, Err(error)),
            };
            // `start` may have given up already.
            let _ = made.send(outcome);
            if let Some(rounds) = rounds {
                runtime.block_on(serve(services, rounds, receive));
            }
            // What connections share is there until they have ended.
            drop(runtime);
            LOCAL.set(None);
        };
        let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(run)?;
        // What it allocates for itself belongs to the empty server.
        is_made.recv().map_err(io::Error::other)??;
        Ok(Worker { connections, send, thread })
    }
}

async fn serve(services: Arc<Services>, mut rounds: Rounds, mut receive: mpsc::UnboundedReceiver<NewClient>) {
    let workers = services.config.settings().workers;
    tokio::spawn(tick(workers));
    let mut shutdown = services.shutdown.subscribe();
    loop {
        // A round is short by itself, and counts nothing against what the runtime lets one task do in a row.
        let new = tokio::select! {
            never = tokio::task::unconstrained(poll_fn(|cx| rounds.poll(cx))) => match never {},
            new = receive.recv() => new,
            _ = shutdown.wait_for(|stop| *stop) => None,
        };
        let Some(new) = new else { return };
        if let Err(error) = rounds.add(new) {
            tracing::warn!(%error, "a new connection could not be watched");
        }
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
