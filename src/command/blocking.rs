//! Commands that wait: BLPOP and its like.
//!
//! ```text
//! 1  the handler finds nothing and returns `Step::Block`
//! 2  the engine enters the client in the keyspace's waiting list, while the keys are still locked
//! 3  a write to one of the keys makes it ready; the writer's engine runs the commands that wait for it, in
//!    their turn, before it goes on (`Engine::serve_ready`)
//! 4  the reply goes to the connection, which has waited for it, for its deadline, or for CLIENT UNBLOCK
//! ```
//!
//! Whoever ends the wait claims it first, so it ends once: an element that was taken for a client is not
//! taken back by its deadline. Who finds a wait claimed does not wait for the claimant, which may wait for
//! locks that it holds itself, but leaves a wish: a claimant that comes back with nothing fulfils it before
//! it lets go. So neither a deadline nor another key's element is missed.

use super::engine::{Engine, keys_of};
use super::key::type_name;
use super::table::{Found, lookup};
use super::{Answer, Ctx, Error, Services, Step};
use crate::client::{Client, Queued, State};
use crate::clock;
use crate::keyspace::{Key, Keyspace, Lookup};
use crate::metrics::Sample;
use crate::number::LongDouble;
use crate::resp::{ArgRange, Args, Output, Reply};
use dashmap::DashMap;
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use tokio::sync::oneshot;

/// What must come to a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WaitsFor {
    /// A list.
    List,
    /// A sorted set.
    Zset,
    /// A stream.
    Stream,
    /// A stream, or that it goes.
    StreamOrNone,
}

impl WaitsFor {
    /// Whether a key with a value of this type, or with none, may be what is waited for.
    pub fn allows(self, type_name: Option<&str>) -> bool {
        match (self, type_name) {
            (WaitsFor::List, Some(name)) => name == "list",
            (WaitsFor::Zset, Some(name)) => name == "zset",
            (WaitsFor::Stream, Some(name)) => name == "stream",
            (WaitsFor::StreamOrNone, _) => true,
            (_, None) => false,
        }
    }
}

/// The reply when time is up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimedOut {
    /// No value: no array in the end, but null where it may not wait at all.
    Nothing,
    /// No array.
    NullArray,
}

impl TimedOut {
    fn write(self, reply: &mut Reply<'_>) {
        match self {
            TimedOut::Nothing | TimedOut::NullArray => reply.null_array(),
        }
    }
}

/// A handler's wish to wait.
#[derive(Debug)]
pub struct Block {
    /// The keys that it waits for.
    pub keys: Vec<(usize, Box<[u8]>)>,
    /// What must come to one of them.
    pub waits_for: WaitsFor,
    /// Unix milliseconds; `None` waits for ever.
    pub deadline_ms: Option<i64>,
    /// The reply when time is up.
    pub timed_out: TimedOut,
    /// The command as it is to be run then, where that differs.
    pub rewritten: Option<Queued>,
}

impl Ctx<'_> {
    /// Waits for all keys of the request.
    pub fn block(&mut self, waits_for: WaitsFor, deadline_ms: Option<i64>, timed_out: TimedOut) -> Answer {
        self.block_on(self.keys, waits_for, deadline_ms, timed_out)
    }

    /// Waits for some keys. In a transaction the time is up at once.
    pub fn block_on(
        &mut self,
        keys: &[Key<'_>],
        waits_for: WaitsFor,
        deadline_ms: Option<i64>,
        timed_out: TimedOut,
    ) -> Answer {
        if !self.may_block {
            match timed_out {
                TimedOut::Nothing => self.reply.null(),
                TimedOut::NullArray => self.reply.null_array(),
            }
            return Ok(Step::Done);
        }
        let keys = keys.iter().map(|key| (key.database, key.name.into())).collect();
        Ok(Step::Block(Box::new(Block { keys, waits_for, deadline_ms, timed_out, rewritten: None })))
    }
}

/// The deadline, Unix milliseconds, that argument `at` means in seconds; `None` for 0.
pub fn timeout(ctx: &Ctx<'_>, at: usize) -> Result<Option<i64>, Error> {
    let seconds = ctx.args.get(at).and_then(LongDouble::parse);
    let seconds = seconds.ok_or(Error::fixed("ERR timeout is not a float or out of range"))?;
    let seconds = seconds.to_f64().ok_or(Error::fixed("ERR timeout is out of range"))?;
    let ms = (seconds * 1000.0).ceil();
    if ms >= i64::MAX as f64 {
        return Err(Error::fixed("ERR timeout is out of range"));
    }
    deadline(ctx, ms as i64)
}

/// The deadline that is so many milliseconds away; `None` for 0.
pub fn deadline(ctx: &Ctx<'_>, ms: i64) -> Result<Option<i64>, Error> {
    match ms {
        0 => Ok(None),
        ms if ms < 0 => Err(Error::fixed("ERR timeout is negative")),
        ms => match ctx.now_ms().checked_add(ms) {
            Some(at) => Ok(Some(at)),
            None => Err(Error::fixed("ERR timeout is out of range")),
        },
    }
}

/// Somebody is about to end the wait.
const CLAIMED: u8 = 1;
/// It has ended.
const ENDED: u8 = 2;
/// Wishes left while it was claimed: to look at the keys again, to end it as if time were up, to end it with an error.
const LOOK_AGAIN: u8 = 4;
const TIME_UP: u8 = 8;
const UNBLOCKED: u8 = 16;

const UNBLOCKED_TEXT: &str = "UNBLOCKED client unblocked via CLIENT UNBLOCK";

/// What a claimant that found nothing has to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Released {
    /// Nothing: the claim is given back.
    Waiting,
    /// Look at all the keys again, still with the claim.
    LookAgain,
    /// Nothing: the wait has been ended as somebody wished meanwhile.
    Ended,
}

/// A client that waits.
pub struct BlockedClient {
    /// The client.
    pub client: Arc<Client>,
    /// The command to run.
    pub command: Queued,
    /// The database that it is in.
    pub database: usize,
    /// Whether it speaks RESP3.
    pub resp3: bool,
    /// What it waits for.
    pub block: Block,
    turn: u64,
    state: AtomicU8,
    reply: Mutex<Option<oneshot::Sender<Output>>>,
}

impl BlockedClient {
    /// Takes the right to end the wait because a key is ready; answers whether nobody else has it.
    pub fn claim(&self) -> bool {
        self.claim_or_wish(LOOK_AGAIN)
    }

    fn claim_or_wish(&self, wish: u8) -> bool {
        let next = |state: u8| match state {
            state if state & ENDED != 0 => None,
            state if state & CLAIMED != 0 => Some(state | wish),
            _ => Some(CLAIMED),
        };
        self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, next) == Ok(0)
    }

    /// Gives the claim back if nobody wishes for anything, else keeps it and answers with the wishes.
    fn release(&self) -> u8 {
        let next = |state: u8| Some(if state == CLAIMED { 0 } else { CLAIMED });
        let before = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        before.unwrap_or_default() & !CLAIMED
    }

    fn send(&self, output: Output) {
        if let Some(reply) = self.reply.lock().take() {
            // A connection that has closed meanwhile does not take it.
            let _ = reply.send(output);
        }
    }
}

/// What the connection of a blocked client holds.
pub struct BlockedWait {
    services: Arc<Services>,
    blocked: Arc<BlockedClient>,
    reply: oneshot::Receiver<Output>,
}

impl std::fmt::Debug for BlockedWait {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("BlockedWait").field("block", &self.blocked.block).finish_non_exhaustive()
    }
}

impl BlockedWait {
    /// Waits; the output is the reply.
    pub async fn reply(mut self) -> Output {
        if let Some(deadline_ms) = self.blocked.block.deadline_ms {
            let left_ms = (deadline_ms - crate::clock::now_ms()).max(0) as u64;
            let sleep = tokio::time::sleep(std::time::Duration::from_millis(left_ms));
            tokio::select! {
                biased;
                reply = &mut self.reply => return reply.unwrap_or_default(),
                () = sleep => {
                    self.services.blocked.end(&self.services, &self.blocked, false);
                }
            }
        }
        // An error means that the server is going down.
        (&mut self.reply).await.unwrap_or_default()
    }
}

impl Drop for BlockedWait {
    fn drop(&mut self) {
        // A client that has gone takes nothing any more.
        self.services.blocked.end(&self.services, &self.blocked, false);
    }
}

/// All clients that wait, by id.
#[derive(Default)]
pub struct BlockedClients {
    clients: DashMap<u64, Arc<BlockedClient>>,
    len: AtomicUsize,
}

impl BlockedClients {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// For how many keys somebody waits who is to be told when they go.
    pub fn keys_that_may_go(&self) -> usize {
        let waiting = self.clients.iter().filter(|blocked| blocked.block.waits_for == WaitsFor::StreamOrNone);
        let keys: HashSet<_> = waiting.flat_map(|blocked| blocked.block.keys.clone()).collect();
        keys.len()
    }

    /// The client of this id, if it waits.
    pub fn get(&self, id: u64) -> Option<Arc<BlockedClient>> {
        self.clients.get(&id).map(|blocked| Arc::clone(&blocked))
    }

    /// Enters a client; the shards of the keys that it waits for are locked.
    pub fn add(
        &self,
        services: &Arc<Services>,
        client: &Arc<Client>,
        command: Queued,
        (database, resp3): (usize, bool),
        block: Block,
    ) -> BlockedWait {
        let waiting = services.keyspace.waiting();
        let (sender, reply) = oneshot::channel();
        let turn = waiting.next_turn();
        let blocked = Arc::new(BlockedClient {
            client: Arc::clone(client),
            command,
            database,
            resp3,
            block,
            turn,
            state: AtomicU8::new(0),
            reply: Mutex::new(Some(sender)),
        });
        // First the keys: once it is among the clients its wait may be ended, and the keys forgotten.
        for (number, key) in &blocked.block.keys {
            waiting.add(*number, key, turn, client.id);
        }
        self.clients.insert(client.id, Arc::clone(&blocked));
        self.len.fetch_add(1, Ordering::Relaxed);
        BlockedWait { services: Arc::clone(services), blocked, reply }
    }

    /// Ends a wait that nobody else has ended, with an error or as if time were up; answers whether it did.
    /// Where somebody is about to, it ends later if they do not.
    pub fn end(&self, services: &Services, blocked: &BlockedClient, with_error: bool) -> bool {
        let claimed = blocked.claim_or_wish(if with_error { UNBLOCKED } else { TIME_UP });
        if claimed {
            self.end_claimed(services, blocked, with_error);
        }
        claimed
    }

    /// Gives back a claim on a wait that could not be ended.
    pub fn release(&self, services: &Services, blocked: &BlockedClient) -> Released {
        match blocked.release() {
            0 => Released::Waiting,
            LOOK_AGAIN => Released::LookAgain,
            wishes => {
                self.end_claimed(services, blocked, wishes & UNBLOCKED != 0);
                Released::Ended
            }
        }
    }

    fn end_claimed(&self, services: &Services, blocked: &BlockedClient, with_error: bool) {
        let mut output = Output::default();
        let mut reply = Reply::new(&mut output, blocked.resp3);
        if with_error {
            reply.error(UNBLOCKED_TEXT.as_bytes());
        } else {
            blocked.block.timed_out.write(&mut reply);
        }
        self.finish(services, blocked, output, with_error);
    }

    /// Ends a wait that the caller has claimed. Only now does the command count as called (INFO commandstats).
    pub fn finish(&self, services: &Services, blocked: &BlockedClient, output: Output, failed: bool) {
        blocked.state.store(ENDED, Ordering::Release);
        let command = blocked.client.last_command.load(Ordering::Relaxed) as u16;
        services
            .metrics
            .worker(blocked.client.worker)
            .commands
            .lock()
            .note(&[Sample { command, failed, nanos: 0 }], false);
        for (number, key) in &blocked.block.keys {
            services.keyspace.waiting().remove(*number, key, blocked.turn);
        }
        if self.clients.remove_if(&blocked.client.id, |_, other| other.turn == blocked.turn).is_some() {
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
        blocked.send(output);
    }
}

impl Engine {
    /// Runs the commands that wait for keys which the last one has changed, in their turn.
    pub(super) fn serve_ready(&mut self) {
        while let Some((database, key)) = self.scratch.take_ready() {
            let services = Arc::clone(&self.services);
            let space = &services.keyspace;
            let mut there = self.type_of(space, database, &key);
            for id in space.waiting().clients(database, &key) {
                let Some(blocked) = services.blocked.get(id) else { continue };
                if !blocked.block.waits_for.allows(there) || !blocked.claim() {
                    continue;
                }
                while !self.serve(&services, &blocked) {
                    // Another worker may have had an element for it meanwhile, and have left it to this one.
                    if services.blocked.release(&services, &blocked) != Released::LookAgain {
                        break;
                    }
                }
                there = self.type_of(space, database, &key);
            }
        }
    }

    /// The type of what a key holds.
    fn type_of(&mut self, space: &Keyspace, database: usize, key: &[u8]) -> Option<&'static str> {
        let key = space.key(database, key);
        let mut access = space.prepare(&mut self.scratch, &[key], self.now_ms, false);
        let there = access.get(key, Lookup::Silent).map(|entry| type_name(&entry));
        access.settle();
        there
    }

    /// Runs the command of a client that waits; answers whether that ended its wait.
    fn serve(&mut self, services: &Arc<Services>, blocked: &BlockedClient) -> bool {
        let ranges: Vec<ArgRange> =
            blocked.command.ranges().map(|(start, end)| ArgRange { start, end }).collect();
        let args = Args::new(blocked.command.bytes(), &ranges);
        let Found::Command(_, row) = lookup(&args[0], args.get(1)) else { return false };
        let keys = keys_of(&services.keyspace, row, args, blocked.database);
        let mut state = State::default();
        (state.database, state.resp3, state.authenticated) = (blocked.database, blocked.resp3, true);
        let mut output = Output::default();
        let access = services.keyspace.prepare(&mut self.scratch, &keys, self.now_ms, true);
        let answer = {
            let mut ctx = Ctx {
                services,
                settings: &self.settings,
                metrics: services.metrics.worker(self.worker),
                client: &blocked.client,
                state: &mut state,
                row,
                args,
                keys: &keys,
                access,
                reply: Reply::new(&mut output, blocked.resp3),
                may_block: true,
            };
            let answer = (row.handler)(&mut ctx);
            ctx.access.settle();
            answer
        };
        self.scratch.take_not_ready();
        let failed = answer.is_err();
        match answer {
            Ok(Step::Block(_)) => return false,
            Ok(_) => {}
            Err(error) => {
                output = Output::default();
                Reply::new(&mut output, blocked.resp3).error(error.text());
                services.metrics.worker(self.worker).count_error(error.code());
            }
        }
        if self.scratch.commit().is_err() {
            // Nobody may be told of what was not logged.
            blocked.client.mailbox.close();
        }
        blocked.client.served_flush.fetch_max(self.scratch.last_flush(), Ordering::Relaxed);
        let now = clock::ticks();
        self.note_if_slow(&blocked.client, row, args, clock::nanos_between(self.ticks, now));
        self.ticks = now;
        services.blocked.finish(services, blocked, output, failed);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Flags;

    /// While a worker looked at a wait in vain, its deadline passed and another of its keys got an element: both found it claimed
    /// and went, and the client waited for ever.
    #[test]
    fn what_comes_during_a_claim_is_not_missed() {
        let address = "127.0.0.1:1".to_owned();
        let blocked = BlockedClient {
            client: Arc::new(Client::new(1, address.clone(), address, -1, 0, 0, Flags::empty())),
            command: Queued::new([&b"BLPOP"[..], b"a", b"b", b"0"].into_iter()),
            database: 0,
            resp3: false,
            block: Block {
                keys: Vec::new(),
                waits_for: WaitsFor::List,
                deadline_ms: None,
                timed_out: TimedOut::NullArray,
                rewritten: None,
            },
            turn: 0,
            state: AtomicU8::new(0),
            reply: Mutex::new(None),
        };
        assert!(blocked.claim());
        assert_eq!(blocked.release(), 0);
        assert!(blocked.claim());
        assert!(!blocked.claim());
        // The claim stays with who is to look again.
        assert_eq!(blocked.release(), LOOK_AGAIN);
        assert!(!blocked.claim_or_wish(TIME_UP) && !blocked.claim());
        assert_eq!(blocked.release(), LOOK_AGAIN | TIME_UP);
        blocked.state.store(ENDED, Ordering::Release);
        assert!(!blocked.claim() && !blocked.claim_or_wish(UNBLOCKED));
        assert_eq!(blocked.state.load(Ordering::Acquire), ENDED);
    }
}
