//! The differential test: random commands to Debian's redis-server and to the server under test, replies compared byte by byte
//! in RESP2 and RESP3, keyspace notifications and pub/sub messages included.
//!
//! A run is cut into rounds. Each starts from empty databases and default parameters on fresh connections, and ends at its first
//! mismatch, since after one the two servers need not agree on anything. Mismatches of different kinds are collected, each cut
//! down to the commands it needs, and shown together.

mod collections;
mod compare;
mod generate;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::support::{Client, PATIENCE, Reply, Server, Value, encode, random, show, strata_only};
use compare::{full_name, in_stable_order, same_reply, same_session, without_identity};
use generate::{Generator, PARAMETERS, Request, Step};

const ROUND_STEPS: usize = 1_500;
const BATCH_STEPS: usize = 60;
const MISMATCHES_MAX: usize = 40;

const SHRINKING_MAX: Duration = Duration::from_secs(3);

/// How long the server under test may take to deliver a message that the oracle has delivered.
const DELIVERY_MAX: Duration = Duration::from_millis(500);

#[test]
fn random_commands_are_answered_as_redis_answers_them() {
    run("differential", 200_000, |generator| vec![generator.step()]);
}

#[test]
fn random_commands_on_collections_are_answered_as_redis_answers_them() {
    run("differential of collections", 300_000, Generator::collection_steps);
}

/// The same with every value on disk whenever a command comes.
#[test]
fn random_commands_on_cold_keys_are_answered_as_redis_answers_them() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let tier = ["--appendonly", "yes", "--l2-size", "1gb"];
    run_on("differential of cold strings", 30_000, &tier, |generator| vec![generator.step()]);
    run_on("differential of cold collections", 60_000, &tier, Generator::collection_steps);
}

/// Plays rounds of steps that `draw` makes until there are enough.
fn run(name: &str, commands: usize, draw: impl Fn(&mut Generator) -> Vec<Step>) {
    run_on(name, commands, &[], draw);
}

/// The same on a server with these arguments. Where they name a second tier, all values leave memory again and again.
fn run_on(name: &str, commands: usize, arguments: &[&str], draw: impl Fn(&mut Generator) -> Vec<Step>) {
    let seed = random::seed(name);
    let commands =
        std::env::var("STRATA_TEST_COMMANDS").map_or(commands, |text| text.parse().expect("a number"));
    let servers = Servers {
        oracle: Server::redis(&[]),
        subject: Server::start(arguments),
        demotes: !arguments.is_empty(),
    };
    let mut generator = Generator::new(seed);
    let mut kinds = BTreeSet::new();
    let mut reports = Vec::new();
    let (mut sent, mut round) = (0, 0);
    while sent < commands && reports.len() < MISMATCHES_MAX {
        round += 1;
        let protocol = if round % 2 == 0 { 3 } else { 2 };
        let mut steps = Vec::with_capacity(ROUND_STEPS);
        while steps.len() < ROUND_STEPS {
            steps.extend(draw(&mut generator));
        }
        let (done, mismatch) = servers.play(protocol, &steps);
        sent += steps[..done].iter().map(commands_in).sum::<usize>();
        if let Some(mismatch) = mismatch
            && kinds.insert(mismatch.kind.clone())
        {
            let steps = servers.shrink(protocol, &steps[..done], &mismatch);
            reports.push(report(protocol, &steps, &mismatch));
        }
    }
    println!("{name}: {sent} commands in {round} rounds");
    assert!(reports.is_empty(), "seed {seed}, {} kinds of mismatch:\n{}", reports.len(), reports.join("\n"));
}

/// The two servers of a run.
struct Servers {
    oracle: Server,
    subject: Server,
    demotes: bool,
}

/// The connections to one server.
struct Side {
    main: Client,
    listener: Client,
    port: u16,
}

/// The first difference of a round.
struct Mismatch {
    /// Mismatches of one kind are shown once.
    kind: String,
    what: String,
    oracle: String,
    subject: String,
}

impl Servers {
    /// Plays steps on both servers from a clean start; returns how many were played and the first mismatch.
    fn play(&self, protocol: u8, steps: &[Step]) -> (usize, Option<Mismatch>) {
        let (mut oracle, mut subject) =
            (Side::open(&self.oracle, protocol), Side::open(&self.subject, protocol));
        let mut start = 0;
        let mut queued = Vec::new();
        let mut demoter = self.subject.client();
        while start < steps.len() {
            if self.demotes {
                demoter.run("DEBUG DEMOTE");
            }
            let more = steps[start..]
                .iter()
                .take(BATCH_STEPS)
                .take_while(|step| matches!(step, Step::Main(_)))
                .count();
            let end = start + more.max(1);
            let result = match &steps[start] {
                Step::Main(_) => play_main(&mut oracle, &mut subject, &mut queued, &steps[start..end]),
                Step::Listener(request) => play_listener(&mut oracle, &mut subject, request),
                Step::Session(requests) => play_session(&oracle, &subject, requests),
            };
            let result = result.or_else(|| {
                let (at, mismatch) = compare_messages(&mut oracle, &mut subject)?;
                Some((more.max(at), mismatch))
            });
            if let Some((at, mismatch)) = result {
                return ((start + at + 1).min(end), Some(mismatch));
            }
            start = end;
        }
        (steps.len(), None)
    }

    /// The fewest steps found in a few seconds that still give a mismatch of the same kind: the last ones that do, then without
    /// each piece that is not needed.
    fn shrink(&self, protocol: u8, steps: &[Step], mismatch: &Mismatch) -> Vec<Step> {
        let mismatches = |steps: &[Step]| {
            let (_, found) = self.play(protocol, steps);
            found.is_some_and(|found| found.kind == mismatch.kind)
        };
        let mut kept = steps.to_vec();
        let mut length = 1;
        while length < kept.len() {
            let tail = kept[kept.len() - length..].to_vec();
            if mismatches(&tail) {
                kept = tail;
            }
            length *= 2;
        }
        let mut piece = kept.len() / 2;
        let deadline = Instant::now() + SHRINKING_MAX;
        while piece > 0 {
            let mut at = 0;
            while at + piece <= kept.len() && Instant::now() < deadline {
                let mut fewer = kept.clone();
                fewer.drain(at..at + piece);
                if mismatches(&fewer) { kept = fewer } else { at += piece }
            }
            piece /= 2;
        }
        kept
    }
}

impl Side {
    fn open(server: &Server, protocol: u8) -> Side {
        let mut main = server.client();
        main.run(&format!("HELLO {protocol}"));
        let parameters = PARAMETERS.iter().map(|(name, default, _)| (name, default));
        let limits = collections::LIMITS.iter().map(|(name, default)| (name, default));
        for (name, default) in parameters.chain(limits).filter(|(_, default)| !default.is_empty()) {
            let reply = main.call(&[b"CONFIG", b"SET", name.as_bytes(), default.as_bytes()]);
            // Redis 7.0 has no listpacks of sets.
            let unknown = name.starts_with("set-max-listpack") && reply.is_error();
            assert!(unknown || reply.text() == "OK", "CONFIG SET {name}: {reply:?}");
        }
        main.expect("CONFIG SET slowlog-log-slower-than -1", "+OK");
        main.expect("DEBUG SET-ACTIVE-EXPIRE 0", "+OK");
        main.expect("FLUSHALL", "+OK");
        let mut listener = server.client();
        listener.run(&format!("HELLO {protocol}"));
        listener.run("PSUBSCRIBE __key*");
        Side { main, listener, port: server.port }
    }
}

/// Plays a pipeline on the main connections; returns the step and the mismatch, if any.
/// `queued` is what MULTI has queued so far.
fn play_main(
    oracle: &mut Side,
    subject: &mut Side,
    queued: &mut Vec<Request>,
    steps: &[Step],
) -> Option<(usize, Mismatch)> {
    let requests = steps.iter().map(|step| match step {
        Step::Main(request) => request,
        _ => unreachable!("only steps of the main connection are pipelined"),
    });
    let pipeline = requests.clone().flat_map(|request| encode(request)).collect::<Vec<_>>();
    oracle.main.send_raw(&pipeline);
    subject.main.send_raw(&pipeline);
    for (at, request) in requests.enumerate() {
        let Some(expected) = oracle.main.read_within(PATIENCE) else {
            panic!("the oracle does not answer {}", show_request(request));
        };
        let got = subject.main.read_within(DELIVERY_MAX * 5);
        let is_queued = expected.bytes == b"+QUEUED\r\n";
        let different = match &got {
            Some(got) if full_name(request) == "EXEC" => first_different(queued, request, &expected, got),
            Some(got) if same_reply(request, &expected, got) => None,
            _ => Some((request.clone(), kind_of(Some(&expected)), kind_of(got.as_ref()))),
        };
        match full_name(request).as_str() {
            _ if is_queued => queued.push(request.clone()),
            "EXEC" | "DISCARD" | "MULTI" if !expected.value.is_error() => queued.clear(),
            "EXEC" => queued.clear(),
            _ => {}
        }
        if let Some((request, expected_kind, got_kind)) = different {
            let kind = format!("{} {expected_kind} {got_kind}", full_name(&request));
            let mismatch = Mismatch {
                kind,
                what: show_request(&request),
                oracle: show(&expected.bytes),
                subject: got.map_or("no reply".to_string(), |got| show(&got.bytes)),
            };
            return Some((at, mismatch));
        }
    }
    None
}

/// The first of the queued requests whose answers in two replies to EXEC are not the same, with the kinds of the answers; the
/// EXEC itself where it is not the answers that differ.
fn first_different(
    queued: &[Request],
    exec: &Request,
    expected: &Reply,
    got: &Reply,
) -> Option<(Request, String, String)> {
    if same_reply(exec, expected, got) {
        return None;
    }
    let (ours, theirs) = (got.parts(), expected.parts());
    if ours.len() != queued.len() || theirs.len() != queued.len() {
        return Some((exec.clone(), kind_of(Some(expected)), kind_of(Some(got))));
    }
    let mut answers = queued.iter().zip(theirs.iter().zip(&ours));
    let (request, (expected, got)) =
        answers.find(|(request, (expected, got))| !same_reply(request, expected, got))?;
    Some((request.clone(), kind_of(Some(expected)), kind_of(Some(got))))
}

/// Sends one command on the listening connections; [`compare_messages`] sees what comes of it.
fn play_listener(oracle: &mut Side, subject: &mut Side, request: &Request) -> Option<(usize, Mismatch)> {
    let bytes = encode(request);
    oracle.listener.send_raw(&bytes);
    subject.listener.send_raw(&bytes);
    None
}

/// Compares all that the listening connections have been sent up to now.
fn compare_messages(oracle: &mut Side, subject: &mut Side) -> Option<(usize, Mismatch)> {
    let expected = messages(&mut oracle.listener, 0);
    let got = messages(&mut subject.listener, expected.len());
    let (expected, got) = (in_stable_order(expected), in_stable_order(got));
    if same_session(&expected, &got) {
        return None;
    }
    let at = (0..expected.len().max(got.len())).find(|&index| expected.get(index) != got.get(index))?;
    let kind_of = |value: Option<&Value>| match value {
        Some(Value::Array(items) | Value::Push(items)) => {
            let event = items
                .get(2)
                .map_or("", |_| if format!("{items:?}").contains("__key") { "event" } else { "" });
            format!("{event}{}", items.first().map(|first| format!("{first:?}")).unwrap_or_default())
        }
        other => format!("{other:?}").chars().take(40).collect(),
    };
    let mismatch = Mismatch {
        kind: format!("message {} {}", kind_of(expected.get(at)), kind_of(got.get(at))),
        what: format!("message {at} of {} to the listener", expected.len()),
        oracle: expected.get(at).map_or("none".to_string(), show_value),
        subject: got.get(at).map_or("none".to_string(), show_value),
    };
    Some((0, mismatch))
}

/// What a listener is sent before the answer to a PING, and after it until `count` messages are there: another thread may
/// deliver a message a moment after the publisher has its reply.
fn messages(listener: &mut Client, count: usize) -> Vec<Value> {
    listener.send("PING sync");
    let mut messages = Vec::new();
    let mut synced = false;
    while !synced || messages.len() < count {
        let limit = if synced { DELIVERY_MAX } else { DELIVERY_MAX * 10 };
        match listener.read_within(limit) {
            Some(reply) if !synced && is_sync(&reply.value) => synced = true,
            Some(reply) => messages.push(reply.value),
            None => break,
        }
    }
    messages
}

fn is_sync(value: &Value) -> bool {
    let sync = Value::Bulk(b"sync".to_vec());
    *value == sync || *value == Value::Array(vec![Value::Bulk(b"pong".to_vec()), sync])
}

/// Plays a connection's whole life, and compares everything it is sent.
fn play_session(oracle: &Side, subject: &Side, requests: &[Request]) -> Option<(usize, Mismatch)> {
    let mut bytes = requests.iter().flat_map(|request| encode(request)).collect::<Vec<_>>();
    bytes.extend(encode(&["QUIT"]));
    let [expected, got] = [oracle.port, subject.port].map(|port| {
        let mut client = Client::connect(port);
        client.send_raw(&bytes);
        let mut values = Vec::new();
        while let Some(reply) = client.read_within(DELIVERY_MAX * 5) {
            values.push(without_identity(reply.value));
        }
        in_stable_order(values)
    });
    if same_session(&expected, &got) {
        return None;
    }
    let at = (0..expected.len().max(got.len())).find(|&index| expected.get(index) != got.get(index))?;
    let [oracle, subject] =
        [&expected, &got].map(|values| values.get(at).map_or("end".to_string(), show_value));
    let mismatch = Mismatch {
        kind: format!("session {:.30} {:.30}", oracle, subject),
        what: format!("reply {at} of a session"),
        oracle,
        subject,
    };
    Some((0, mismatch))
}

fn commands_in(step: &Step) -> usize {
    match step {
        Step::Main(_) | Step::Listener(_) => 1,
        Step::Session(requests) => requests.len(),
    }
}

/// The kind of a reply: its type, and the first words of an error.
fn kind_of(reply: Option<&Reply>) -> String {
    let Some(reply) = reply else {
        return "nothing".to_string();
    };
    match &reply.value {
        Value::Error(text) => String::from_utf8_lossy(&text[..text.len().min(24)]).into_owned(),
        _ => (reply.bytes[0] as char).to_string(),
    }
}

fn report(protocol: u8, steps: &[Step], mismatch: &Mismatch) -> String {
    let mut text =
        format!("--- RESP{protocol}, the fewest steps found (the last {} of them):\n", steps.len().min(20));
    for step in steps.iter().skip(steps.len().saturating_sub(20)) {
        text += &match step {
            Step::Main(request) => format!("    {}\n", show_request(request)),
            Step::Listener(request) => format!("    listener: {}\n", show_request(request)),
            Step::Session(requests) => {
                let lines = requests.iter().map(show_request).collect::<Vec<_>>();
                format!("    session: {}\n", lines.join("; "))
            }
        };
    }
    text += &format!("  {}\n", mismatch.what);
    text += &format!("    redis:   {:.2000}\n    subject: {:.2000}\n", mismatch.oracle, mismatch.subject);
    text
}

fn show_request(request: &Request) -> String {
    let quoted = |word: &Vec<u8>| match word.iter().all(|byte| byte.is_ascii_graphic()) && !word.is_empty() {
        true => String::from_utf8_lossy(word).into_owned(),
        false => format!("\"{}\"", word.escape_ascii()),
    };
    request.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

fn show_value(value: &Value) -> String {
    match value {
        Value::Bulk(text) => format!("\"{}\"", text.escape_ascii()),
        Value::Simple(text) => format!("+{}", text.escape_ascii()),
        Value::Error(text) => format!("-{}", text.escape_ascii()),
        Value::Array(items) => format!("[{}]", items.iter().map(show_value).collect::<Vec<_>>().join(", ")),
        Value::Push(items) => format!(">[{}]", items.iter().map(show_value).collect::<Vec<_>>().join(", ")),
        other => format!("{other:?}"),
    }
}
