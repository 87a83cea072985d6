//! Everything between a socket's bytes and its replies: scanner, table, engine, handlers, keyspace, reply writer. Two
//! clients share a fresh server; the input is what they send, in turns separated by a byte of 0xff. Nothing may panic,
//! and what each client gets must be whole, well-formed replies.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use strata::client::{Client, Flags, Mail, Registry, State};
use strata::command::{BlockedClients, Engine, Monitors, Pause, Saves, Services, Wait, forget_subscriptions};
use strata::config::{Config, Settings};
use strata::keyspace::Keyspace;
use strata::metrics::Metrics;
use strata::pubsub::PubSub;
use strata::resp::output::SLICES_MAX;
use strata::resp::{ArgRange, Args, Limits, Output, Reply, Scan, Scanner};

/// Requests one input may make: more would only be slow.
const REQUESTS_MAX: usize = 256;

fuzz_target!(|data: &[u8]| {
    let services = services();
    let mut engine = Engine::new(Arc::clone(&services), 0);
    let mut peers = [Peer::new(&services), Peer::new(&services)];
    let mut budget = REQUESTS_MAX;
    for (turn, bytes) in data.split(|byte| *byte == 0xff).enumerate() {
        peers[turn % 2].send(&mut engine, bytes, &mut budget);
        peers.iter_mut().for_each(Peer::take_mail);
    }
    for peer in &mut peers {
        assert_well_formed(&peer.replies());
        forget_subscriptions(&services, &peer.client, &mut peer.state);
    }
});

fn services() -> Arc<Services> {
    let settings = Settings {
        workers: 1,
        shards: 4,
        databases: 4,
        proto_max_bulk_len: 1 << 20,
        // Saves fail: an input leaves no files.
        dir: "/nowhere".into(),
        ..Settings::default()
    };
    let pubsub = Arc::new(PubSub::default());
    Arc::new(Services {
        keyspace: Keyspace::new(settings.databases as usize, settings.shards, Arc::clone(&pubsub)),
        pubsub,
        clients: Registry::default(),
        metrics: Metrics::new(settings.workers),
        monitors: Monitors::default(),
        pause: Pause::default(),
        blocked: BlockedClients::default(),
        loading: false.into(),
        progress: strata::keyspace::Progress::default(),
        saves: Saves::new(strata::clock::now_ms()),
        shutdown: tokio::sync::watch::Sender::new(false),
        started_at_ms: strata::clock::now_ms(),
        run_id: "0".repeat(40),
        config: Arc::new(Config::new(settings)),
    })
}

/// A client, and what a connection keeps for it.
struct Peer {
    client: Arc<Client>,
    state: State,
    scanner: Scanner,
    buffer: Vec<u8>,
    args: Vec<ArgRange>,
    out: Output,
    closed: bool,
}

impl Peer {
    fn new(services: &Services) -> Self {
        let id = services.clients.next_id();
        let address = "127.0.0.1:1".to_owned();
        let client =
            Client::new(id, address.clone(), address, -1, 0, strata::clock::now_ms(), Flags::empty());
        client.authenticated.store(true, Relaxed);
        let client = Arc::new(client);
        services.clients.add(Arc::clone(&client));
        let mut state = State::default();
        state.authenticated = true;
        Self {
            client,
            state,
            scanner: Scanner::default(),
            buffer: Vec::new(),
            args: Vec::new(),
            out: Output::default(),
            closed: false,
        }
    }

    /// Scans and runs what has come, as a connection does.
    fn send(&mut self, engine: &mut Engine, bytes: &[u8], budget: &mut usize) {
        self.buffer.extend_from_slice(bytes);
        engine.begin_batch();
        let mut start = 0;
        while !self.closed {
            let limits = Limits {
                bulk_bytes_max: engine.settings().proto_max_bulk_len,
                authenticated: self.state.authenticated,
            };
            match self.scanner.scan(&mut self.buffer, &mut self.args, &limits) {
                Scan::Incomplete => break,
                Scan::Error(error) => {
                    let text = [b"ERR ".as_slice(), &error.text()].concat();
                    Reply::new(&mut self.out, self.state.resp3).error(&text);
                    self.closed = true;
                }
                Scan::Request => {
                    start = self.scanner.position();
                    if !self.args.is_empty() && !self.run(engine, budget) {
                        self.closed = true;
                    }
                    self.args.clear();
                }
            }
        }
        engine.end_batch();
        engine.settle().expect("there is no log to fail");
        self.buffer.drain(..start);
        self.scanner.rebase(start);
        for arg in &mut self.args {
            arg.start -= start as u32;
            arg.end -= start as u32;
        }
    }

    /// Runs the request in `args`; whether the client may go on.
    fn run(&mut self, engine: &mut Engine, budget: &mut usize) -> bool {
        let args = Args::new(&self.buffer, &self.args);
        // Larger values are allowed, but would only make the machine slow.
        if args.iter().any(|arg| arg.eq_ignore_ascii_case(b"proto-max-bulk-len")) || *budget == 0 {
            return false;
        }
        *budget -= 1;
        let request = engine.request(&self.buffer, &self.args, 0);
        engine.prepare_batch(self.state.database, &[request, request], &self.buffer, &self.args);
        let wait = engine.run(&self.client, &mut self.state, &request, args, &mut self.out);
        !self.state.close_after_reply && !matches!(wait, Some(Wait::Unpaused | Wait::Retry(_)))
    }

    fn take_mail(&mut self) {
        for mail in self.client.mailbox.take() {
            match mail {
                Mail::Push { elements, body } => {
                    Reply::new(&mut self.out, self.state.resp3).push(elements.into());
                    self.out.share(body);
                }
                Mail::Raw(bytes) => self.out.share(bytes),
            }
        }
    }

    fn replies(&self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.out.len());
        while all.len() < self.out.len() {
            let mut slices = [std::io::IoSlice::new(&[]); SLICES_MAX];
            let count = self.out.slices(all.len(), &mut slices);
            assert!(count > 0, "the output has fewer bytes than it says");
            slices[..count].iter().for_each(|slice| all.extend_from_slice(slice));
        }
        all
    }
}

/// Reads replies to the last byte.
fn assert_well_formed(mut bytes: &[u8]) {
    let all = bytes;
    while !bytes.is_empty() {
        bytes = reply(bytes, 0).unwrap_or_else(|| panic!("torn replies: {}", all.escape_ascii()));
    }
}

/// What follows the first reply; `None` if it is none.
fn reply(bytes: &[u8], depth: usize) -> Option<&[u8]> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let (line, rest) = (&bytes[..end], &bytes[end + 2..]);
    let (kind, text) = line.split_first()?;
    let number = || std::str::from_utf8(text).ok()?.parse::<i64>().ok();
    let aggregate = |count: i64| {
        (0..count.max(0)).try_fold(rest, |rest, _| if depth < 16 { reply(rest, depth + 1) } else { None })
    };
    match kind {
        b'+' | b'-' | b',' | b'(' => (!text.contains(&b'\n') && !text.contains(&b'\r')).then_some(rest),
        b':' => number().map(|_| rest),
        b'#' => matches!(text, b"t" | b"f").then_some(rest),
        b'_' => text.is_empty().then_some(rest),
        b'$' | b'=' if text == b"-1" => Some(rest),
        b'$' | b'=' => {
            let len = usize::try_from(number()?).ok()?;
            (rest.get(len..len + 2)? == b"\r\n").then(|| &rest[len + 2..])
        }
        b'*' | b'~' | b'>' => aggregate(number()?),
        b'%' => aggregate(number()?.checked_mul(2)?),
        _ => None,
    }
}
