//! The load generator: one thread, non-blocking sockets, three disciplines.
//!
//! - [`Load::closed`]: every client sends a batch, waits for its replies and sends the next, as a benchmark tool does.
//! - [`Load::open`]: requests leave when they are due, answered or not, as users do. Latency counts from the due time, so
//!   a stalled server cannot hide by delaying the requests that would have shown it.
//! - Beside both, [`Load::ping_every`] sends PINGs when they are due, from the same thread: one of its own would wait for
//!   this one, which does not rest, and show how long.
//! - [`Load::bursts`]: all clients send at once, at intervals, and nobody else runs while the server answers: for what a
//!   command costs, undisturbed by the load.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

use super::Failure;
use super::report::Figures;
use super::server::Server;
use super::wire::{Replies, Requests, Work};

/// How long replies may be missing before a server counts as stuck.
const PATIENCE: Duration = Duration::from_secs(30);
/// Connections from one address before the next one is used, to stay clear of the limit of local ports.
const PER_ADDRESS: usize = 5000;

/// Load before each turn that is not counted.
pub const WARM_UP: Duration = Duration::from_millis(50);

/// How servers are compared.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Clients that send at the same time.
    pub clients: usize,
    /// Different keys.
    pub keys: u64,
    /// Bytes of a value.
    pub value_bytes: usize,
    /// How often each server has its turn.
    pub rounds: usize,
    /// How long a turn lasts.
    pub round: Duration,
}

/// All rounds of one measurement: each server has its turn in each round.
pub fn measure(
    servers: &[&Server],
    work: Work,
    pipeline: usize,
    plan: Plan,
) -> Result<Vec<(String, Figures)>, Failure> {
    let mut loads = Vec::new();
    for server in servers {
        loads.push(Load::connect(server, plan.clients, plan.keys, plan.value_bytes)?);
    }
    let mut turns: Vec<Vec<Turn>> = servers.iter().map(|_| Vec::new()).collect();
    for _ in 0..plan.rounds {
        for ((server, load), turns) in servers.iter().zip(&mut loads).zip(&mut turns) {
            load.closed(server, work, pipeline, WARM_UP)?;
            turns.push(load.closed(server, work, pipeline, plan.round)?);
        }
    }
    let rows = servers.iter().zip(&turns);
    Ok(rows.map(|(server, turns)| (server.name.clone(), Figures::of(turns))).collect())
}

/// What one turn of a server showed.
#[derive(Debug)]
pub struct Turn {
    /// Commands that were answered.
    pub commands: u64,
    /// Values that were there.
    pub values: u64,
    /// Error replies, lost connections and requests without an answer.
    pub errors: u64,
    /// The first error, if there was one.
    pub first_error: Option<String>,
    /// Wall-clock time.
    pub elapsed: Duration,
    /// CPU time of the server.
    pub cpu_ns: u64,
    /// Nanoseconds from sending (closed) or being due (open) to the reply.
    pub latency: Histogram<u64>,
}

/// One connection.
#[derive(Debug)]
struct Client {
    stream: TcpStream,
    replies: Replies,
    requests: Requests,
    out: Vec<u8>,
    sent: usize,
    /// Replies to come until the batch is complete.
    waiting: u64,
    began: Instant,
    /// When each unanswered request was due; only used by the open discipline.
    due: VecDeque<Instant>,
    alive: bool,
}

/// PINGs on a connection of their own. Each has its time, whether or not the one before is answered by then.
#[derive(Debug)]
struct Pinger {
    stream: TcpStream,
    every: Duration,
    /// When the one that is asked, or else the next, is due.
    due: Instant,
    asked: bool,
    /// From being due to the reply, nanoseconds.
    latency: Histogram<u64>,
}

impl Pinger {
    /// Begins a turn.
    fn begin(&mut self) {
        self.due = Instant::now();
    }

    /// Waits for the reply that is still to come.
    fn end(&mut self) -> io::Result<()> {
        while self.asked && self.due.elapsed() < PATIENCE {
            self.receive()?;
        }
        Ok(())
    }

    /// Reads what has come, and sends what is due.
    fn turn(&mut self) -> io::Result<()> {
        self.receive()?;
        if !self.asked && Instant::now() >= self.due {
            self.stream.write_all(b"PING\r\n")?;
            self.asked = true;
        }
        Ok(())
    }

    fn receive(&mut self) -> io::Result<()> {
        if self.asked {
            match self.stream.read(&mut [0; 64]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {
                    self.latency.saturating_record(self.due.elapsed().as_nanos() as u64);
                    self.due += self.every;
                    self.asked = false;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Connections to one server and what drives them.
#[derive(Debug)]
pub struct Load {
    poll: Poll,
    clients: Vec<Client>,
    buffer: Vec<u8>,
    pinger: Option<Pinger>,
}

impl Load {
    /// Connects `count` clients.
    pub fn connect(server: &Server, count: usize, keys: u64, value_bytes: usize) -> Result<Self, Failure> {
        let poll = Poll::new()?;
        let mut clients = Vec::with_capacity(count);
        for number in 0..count {
            let mut stream = connect(server.address, number / PER_ADDRESS)
                .map_err(|error| format!("client {number} of {}: {error}", server.name))?;
            poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
            clients.push(Client {
                stream,
                replies: Replies::new(server.protocol),
                requests: Requests::new(server.protocol, keys, value_bytes, number as u64 + 1),
                out: Vec::new(),
                sent: 0,
                waiting: 0,
                began: Instant::now(),
                due: VecDeque::new(),
                alive: true,
            });
        }
        Ok(Self { poll, clients, buffer: vec![0; 256 * 1024], pinger: None })
    }

    /// From now on sends PINGs beside the load, one each `every`.
    pub fn ping_every(&mut self, server: &Server, every: Duration) -> Result<(), Failure> {
        let mut stream = connect(server.address, 0)?;
        self.poll.registry().register(&mut stream, Token(self.clients.len()), Interest::READABLE)?;
        let latency = Histogram::new_with_bounds(1, 60_000_000_000, 3)?;
        self.pinger = Some(Pinger { stream, every, due: Instant::now(), asked: false, latency });
        Ok(())
    }

    /// How long the PINGs took that were answered since the last call, in nanoseconds.
    pub fn take_pings(&mut self) -> Option<Histogram<u64>> {
        let latency = &mut self.pinger.as_mut()?.latency;
        let taken = latency.clone();
        latency.reset();
        Some(taken)
    }

    /// All clients choose among keys of these numbers from now on.
    pub fn choose_among(&mut self, numbers: &Arc<[u32]>) {
        for client in &mut self.clients {
            client.requests.choose_among(Arc::clone(numbers));
        }
    }

    /// Batches of `pipeline` requests, one after another, for `duration` and until the last reply.
    pub fn closed(
        &mut self,
        server: &Server,
        work: Work,
        pipeline: usize,
        duration: Duration,
    ) -> Result<Turn, Failure> {
        let mut turn = self.begin(server)?;
        let started = Instant::now();
        let end = started + duration;
        for client in &mut self.clients {
            client.began = Instant::now();
            client.fill(work, pipeline);
            client.flush()?;
        }
        let mut active = self.clients.len();
        let mut events = Events::with_capacity(1024);
        let mut progress = started;
        while active > 0 {
            self.ping()?;
            let wait = self.pinger.as_ref().map_or(PATIENCE, |pinger| pinger.every);
            self.poll.poll(&mut events, Some(wait))?;
            if progress.elapsed() > PATIENCE {
                return Err(format!("{} does not answer {}", server.name, work.name()).into());
            }
            for event in &events {
                let Some(client) = self.clients.get_mut(event.token().0) else { continue };
                client.flush()?;
                let answered = client.receive(&mut self.buffer)?;
                turn.commands += answered;
                progress = Instant::now();
                if answered == 0 || client.waiting > 0 {
                    continue;
                }
                let now = Instant::now();
                turn.latency.saturating_record((now - client.began).as_nanos() as u64);
                if now < end {
                    client.began = now;
                    client.fill(work, pipeline);
                    client.flush()?;
                } else {
                    active -= 1;
                }
            }
        }
        turn.elapsed = started.elapsed();
        self.end(server, turn)
    }

    /// `rate` requests a second for `duration`, from each client in turn, and a second more for late replies. A client
    /// that is lost counts its requests as errors.
    pub fn open(
        &mut self,
        server: &Server,
        work: Work,
        rate: u64,
        duration: Duration,
    ) -> Result<Turn, Failure> {
        let mut turn = self.begin(server)?;
        let started = Instant::now();
        let total = rate * duration.as_millis() as u64 / 1000;
        let mut offered = 0;
        let mut events = Events::with_capacity(4096);
        // Without any load there are PINGs alone.
        let goes_on = |turn: &Turn| match total {
            0 => started.elapsed() < duration,
            _ => turn.commands + turn.errors < total && started.elapsed() < duration + Duration::from_secs(1),
        };
        while goes_on(&turn) {
            self.ping()?;
            let due = (started.elapsed().as_nanos() as u64 * rate / 1_000_000_000).min(total);
            while offered < due {
                let count = self.clients.len() as u64;
                let client = &mut self.clients[(offered % count) as usize];
                let at = started + Duration::from_nanos(offered * 1_000_000_000 / rate);
                offered += 1;
                client.due.push_back(at);
                client.fill(work, 1);
                turn.errors += client.flush_or_lose();
            }
            self.poll.poll(&mut events, Some(Duration::ZERO))?;
            for event in &events {
                let Some(client) = self.clients.get_mut(event.token().0) else { continue };
                turn.errors += client.flush_or_lose();
                let Ok(answered) = client.receive(&mut self.buffer) else {
                    turn.errors += client.lose();
                    continue;
                };
                let now = Instant::now();
                for at in client.due.drain(..(answered as usize).min(client.due.len())) {
                    turn.latency.saturating_record(now.saturating_duration_since(at).as_nanos() as u64);
                    turn.commands += 1;
                }
            }
        }
        turn.errors += total.saturating_sub(turn.commands + turn.errors);
        turn.elapsed = started.elapsed();
        self.end(server, turn)
    }

    /// Every client sends a batch of `pipeline` requests, all at once, every `interval`; replies are read just before the
    /// next batch, so that this thread sleeps while the server works. Latency says nothing then.
    pub fn bursts(
        &mut self,
        server: &Server,
        work: Work,
        pipeline: usize,
        interval: Duration,
        duration: Duration,
    ) -> Result<Turn, Failure> {
        let mut turn = self.begin(server)?;
        let started = Instant::now();
        let mut events = Events::with_capacity(1024);
        while started.elapsed() < duration {
            let next = Instant::now() + interval;
            for client in &mut self.clients {
                client.fill(work, pipeline);
                client.flush()?;
            }
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            while self.clients.iter().any(|client| client.waiting > 0) {
                self.poll.poll(&mut events, Some(PATIENCE))?;
                if events.is_empty() {
                    return Err(format!("{} does not answer {}", server.name, work.name()).into());
                }
                for event in &events {
                    let client = &mut self.clients[event.token().0];
                    client.flush()?;
                    turn.commands += client.receive(&mut self.buffer)?;
                }
            }
        }
        turn.elapsed = started.elapsed();
        self.end(server, turn)
    }

    /// Sends requests made by `write` for numbers of `range`, in batches over all clients, until all are answered.
    pub fn fill(
        &mut self,
        range: Range<u64>,
        write: impl Fn(&Requests, u64, &mut Vec<u8>),
    ) -> Result<(), Failure> {
        match self.try_fill(range, write)? {
            (_, Some(error)) => Err(format!("filling was refused: {error}").into()),
            (_, None) => Ok(()),
        }
    }

    /// As [`Self::fill`]; gives the number of errors, and the first.
    pub fn try_fill(
        &mut self,
        range: Range<u64>,
        write: impl Fn(&Requests, u64, &mut Vec<u8>),
    ) -> Result<(u64, Option<String>), Failure> {
        const BATCH: u64 = 128;
        let mut next = range.start;
        let mut events = Events::with_capacity(1024);
        let mut give = |client: &mut Client| -> Result<bool, Failure> {
            let until = (next + BATCH).min(range.end);
            client.prepare();
            for number in next..until {
                write(&client.requests, number, &mut client.out);
            }
            client.waiting = until - next;
            next = until;
            client.flush()?;
            Ok(client.waiting > 0)
        };
        let mut active = 0;
        for client in &mut self.clients {
            active += usize::from(give(client)?);
        }
        while active > 0 {
            self.poll.poll(&mut events, Some(PATIENCE))?;
            if events.is_empty() {
                return Err("the server stopped answering while it was filled".into());
            }
            for event in &events {
                let client = &mut self.clients[event.token().0];
                client.flush()?;
                if client.receive(&mut self.buffer)? > 0 && client.waiting == 0 && !give(client)? {
                    active -= 1;
                }
            }
        }
        let all = self.clients.iter_mut().map(|client| &mut client.replies);
        Ok(all.fold((0, None), |(errors, first), replies| {
            (errors + std::mem::take(&mut replies.errors), first.or(replies.first_error.take()))
        }))
    }

    fn ping(&mut self) -> io::Result<()> {
        self.pinger.as_mut().map_or(Ok(()), Pinger::turn)
    }

    fn begin(&mut self, server: &Server) -> Result<Turn, Failure> {
        self.pinger.iter_mut().for_each(Pinger::begin);
        self.clients.iter_mut().for_each(|client| client.replies.values = 0);
        Ok(Turn {
            commands: 0,
            values: 0,
            errors: 0,
            first_error: None,
            elapsed: Duration::ZERO,
            cpu_ns: server.cpu_ns()?,
            latency: Histogram::new_with_bounds(1, 60_000_000_000, 3)?,
        })
    }

    fn end(&mut self, server: &Server, mut turn: Turn) -> Result<Turn, Failure> {
        self.pinger.as_mut().map_or(Ok(()), Pinger::end)?;
        turn.cpu_ns = server.cpu_ns()? - turn.cpu_ns;
        for client in &mut self.clients {
            turn.values += client.replies.values;
            turn.errors += std::mem::take(&mut client.replies.errors);
            turn.first_error = turn.first_error.take().or(client.replies.first_error.take());
        }
        Ok(turn)
    }
}

impl Client {
    /// Forgets what was sent, to write the next batch.
    fn prepare(&mut self) {
        if self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
        }
    }

    fn fill(&mut self, work: Work, pipeline: usize) {
        self.prepare();
        for _ in 0..pipeline {
            self.requests.write(work, &mut self.out);
        }
        self.waiting += pipeline as u64;
    }

    /// Sends what the socket takes; the rest goes when it can be read from next, at the latest.
    fn flush(&mut self) -> io::Result<()> {
        while self.sent < self.out.len() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(written) => self.sent += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads all there is and returns how many replies that completed.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<u64> {
        let before = self.replies.count;
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    self.replies.feed(&buffer[..read]);
                    if read < buffer.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let answered = self.replies.count - before;
        self.waiting = self.waiting.saturating_sub(answered);
        Ok(answered)
    }

    fn flush_or_lose(&mut self) -> u64 {
        if self.alive && self.flush().is_ok() { 0 } else { self.lose() }
    }

    /// Gives up on the connection; returns the requests that will never be answered.
    fn lose(&mut self) -> u64 {
        self.alive = false;
        self.due.drain(..).count() as u64
    }
}

/// Connects from the `address`-th loopback address.
fn connect(to: SocketAddr, address: usize) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let from = Ipv4Addr::new(127, 0, 0, 1 + address as u8);
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect(&to.into())?;
    socket.set_tcp_nodelay(true)?;
    // Closing must not leave ports in TIME_WAIT: tens of thousands of connections come and go.
    socket.set_linger(Some(Duration::ZERO))?;
    socket.set_nonblocking(true)?;
    Ok(TcpStream::from_std(socket.into()))
}
