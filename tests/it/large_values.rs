//! Large values and many deadlines: what they must not do to other clients, and the events that come of them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::*;

/// A set, hash, list or sorted set of so many members under `key`, by pipelines.
fn fill(client: &mut Client, key: &str, command: &str, count: usize) {
    const EACH: usize = 500;
    for start in (0..count).step_by(EACH) {
        let mut request = vec![command.to_string(), key.to_string()];
        for number in start..(start + EACH).min(count) {
            match command {
                "ZADD" => request.extend([number.to_string(), format!("member-{number}")]),
                "HSET" => request.extend([format!("member-{number}"), "value".to_string()]),
                _ => request.push(format!("member-{number}")),
            }
        }
        client.send_raw(&encode(&request));
    }
    (0..count.div_ceil(EACH)).for_each(|_| drop(client.read()));
}

/// The longest that a PING takes on connections to all workers while `work` is done.
fn longest_ping(server: &Server, work: impl FnOnce()) -> Duration {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let pingers = (0..4)
            .map(|_| {
                let (server, stop) = (server, &stop);
                scope.spawn(move || {
                    let mut client = server.client();
                    let mut longest = Duration::ZERO;
                    while !stop.load(Ordering::Relaxed) {
                        let started = Instant::now();
                        client.expect("PING", "+PONG");
                        longest = longest.max(started.elapsed());
                        // A pace: without it four busy pingers keep the cores from the work that is measured.
                        std::thread::sleep(Duration::from_micros(500));
                    }
                    longest
                })
            })
            .collect::<Vec<_>>();
        work();
        let mut client = server.client();
        eventually("what was removed is freed", || {
            (client.info("lazyfree_pending_objects") == "0").then_some(())
        });
        stop.store(true, Ordering::Relaxed);
        pingers.into_iter().map(|pinger| pinger.join().expect("a pinger")).max().expect("four")
    })
}

/// Freed in the background, a large value takes no time from other clients. The bound is for a busy machine; the figure printed
/// is what counts, and is a few milliseconds on a quiet one.
#[test]
fn freeing_a_large_value_stalls_nobody() {
    if strata_only("DEL frees at once in Redis") {
        return;
    }
    let server = Server::start(&["--workers", "2"]);
    let mut client = server.client();
    for (command, count) in [("SADD", 1_000_000), ("HSET", 200_000), ("ZADD", 200_000), ("RPUSH", 500_000)] {
        for removal in ["DEL big", "SET big small", "RENAME small big", "FLUSHALL"] {
            // The largest once, the others each way.
            let count = if removal == "DEL big" { count } else { count.min(200_000) };
            fill(&mut client, "big", command, count);
            client.run("SET small v");
            let longest = longest_ping(&server, || drop(client.run(removal)));
            println!("{command} of {count}, {removal}: a PING took at most {longest:?}");
            assert!(longest < Duration::from_millis(250), "{longest:?}");
            client.run("DEL big");
        }
    }
}

/// A hundred thousand fields that are due at once go a bounded number at a time.
#[test]
fn many_fields_due_at_once_stall_nobody() {
    if strata_only("Redis 7.0 has no deadlines of fields") {
        return;
    }
    const FIELDS: usize = 100_000;
    let server = Server::start(&["--workers", "2"]);
    let mut client = server.client();
    fill(&mut client, "h", "HSET", FIELDS);
    client.expect("HSET h stays v", ":1");
    let at_ms = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_millis() as u64 + 1_500;
    for start in (0..FIELDS).step_by(500) {
        let mut request: Vec<String> =
            ["HPEXPIREAT", "h", &at_ms.to_string(), "FIELDS", "500"].map(String::from).to_vec();
        request.extend((start..start + 500).map(|number| format!("member-{number}")));
        client.send_raw(&encode(&request));
    }
    (0..FIELDS / 500).for_each(|_| assert_eq!(client.read().value.items().len(), 500));
    let mut left = 0;
    let longest = longest_ping(&server, || {
        let mut other = server.client();
        eventually("all are gone", || {
            left = other.run("HLEN h").integer();
            (left == 1).then_some(())
        });
    });
    println!("{FIELDS} fields due at once: a PING took at most {longest:?}");
    assert!(longest < Duration::from_millis(250), "{longest:?}");
    client.expect("HGETALL h", "*2 $5 stays $1 v");
}

/// `hexpired` when fields go, and `del` when they were the last, on time and without anybody's looking.
#[test]
fn fields_expire_on_time_and_with_events() {
    if strata_only("Redis 7.0 has no deadlines of fields") {
        return;
    }
    let server = Server::start(&["--notify-keyspace-events", "KEA"]);
    let (mut client, mut listener) = (server.client(), server.client());
    listener.run("PSUBSCRIBE __keyevent@0__:*");
    let mut event = || {
        let message = listener.read().value.items();
        let name = message[2].text();
        format!("{} {}", name.rsplit(':').next().expect("an event"), message[3].text())
    };
    client.expect("HSET h a 1 b 2 c 3", ":3");
    let started = Instant::now();
    client.expect("HPEXPIRE h 60 FIELDS 1 a", "*1 :1");
    client.expect("HPEXPIRE h 120 FIELDS 2 b c", "*2 :1 :1");
    assert_eq!([event(), event(), event()], ["hset h", "hexpire h", "hexpire h"]);
    assert_eq!(event(), "hexpired h");
    let (first, bound) = (started.elapsed(), Duration::from_millis(400));
    assert!(first >= Duration::from_millis(58) && first < bound, "{first:?}");
    client.expect("HLEN h", ":2");
    assert_eq!([event(), event()], ["hexpired h", "del h"]);
    let last = started.elapsed();
    assert!(last >= Duration::from_millis(118) && last < bound, "{last:?}");
    println!("fields due after 60 and 120 ms went after {first:?} and {last:?}");
    client.expect("EXISTS h", ":0");
    client.expect("HSET h a 1", ":1");
    client.expect("HPEXPIREAT h 1 FIELDS 1 a", "*1 :2");
    assert_eq!([event(), event(), event()], ["hset h", "hdel h", "del h"]);
}

/// A bitmap of some megabytes was logged whole for each bit that was set: half a second for a hundred megabytes.
#[test]
fn a_change_of_a_long_string_is_logged_as_such() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let arguments = ["--appendonly", "yes", "--l2-size", "256mb"];
    let mut server = Server::start(&arguments);
    let mut client = server.client();
    let mut model = vec![0; 8 << 20];
    client.expect("SETBIT bitmap 67108863 0", ":0");
    let written = |client: &mut Client| client.info("l2_written_bytes").parse::<u64>().expect("a number");
    let before = written(&mut client);
    let mut random = Random::new(random::seed("a_change_of_a_long_string_is_logged_as_such"));
    for _ in 0..1000 {
        let bit = random.below(8 * model.len());
        let was = model[bit / 8] >> (7 - bit % 8) & 1;
        client.expect(&format!("SETBIT bitmap {bit} 1"), &format!(":{was}"));
        model[bit / 8] |= 1 << (7 - bit % 8);
    }
    model.extend_from_slice(b"tail");
    client.expect("APPEND bitmap tail", &format!(":{}", model.len()));
    // A field at either end, and one that does not fit and changes nothing.
    client.expect(
        "BITFIELD bitmap OVERFLOW FAIL SET u8 8 201 SET u16 67108864 513 SET u4 0 99",
        &format!("*3 :{} :{} $-1", model[1], u16::from_be_bytes([b't', b'a'])),
    );
    (model[1], model[8 << 20], model[(8 << 20) + 1]) = (201, 2, 1);
    client.expect("EXPIRE bitmap 1000", ":1");
    assert!(written(&mut client) - before < 1 << 20, "the whole was logged again");
    server.crash_and_restart(&arguments);
    let mut client = server.client();
    assert!(client.run("GET bitmap").bulk() == model);
    assert!((990..=1000).contains(&client.run("TTL bitmap").integer()));
}

/// Random edits of long strings, in transactions with what replaces them, on two connections, across crashes, stops, and
/// times when they were on disk only.
#[test]
fn long_strings_survive_whatever_is_done_to_them() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let arguments = ["--appendonly", "yes", "--l2-size", "64mb", "--workers", "2"];
    let mut random = Random::new(random::seed("long_strings_survive_whatever_is_done_to_them"));
    let mut server = Server::start(&arguments);
    let mut models: Vec<Vec<u8>> = (0..3).map(|_| random.bytes(30_000)).collect();
    for (number, model) in models.iter().enumerate() {
        server.client().call(&[b"SET", format!("key:{number}").as_bytes(), model]);
    }
    for round in 0..12 {
        let mut clients = [server.client(), server.client()];
        for _ in 0..60 {
            let client = &mut clients[random.below(2)];
            let (number, other) = (random.below(3), random.below(3));
            let name = format!("key:{number}");
            let in_transaction = random.chance(30);
            if in_transaction {
                client.expect("MULTI", "+OK");
            }
            for _ in 0..1 + random.below(3) * usize::from(in_transaction) {
                let model = &mut models[number];
                let at = random.below(model.len() + 200);
                let len = 1 + random.below(40);
                let text = random.bytes(len);
                let reach = |model: &mut Vec<u8>, end: usize| model.resize(end.max(model.len()), 0);
                match random.below(12) {
                    0..4 => {
                        let (at_text, end) = (at.to_string(), at + text.len());
                        client.call(&[b"SETRANGE", name.as_bytes(), at_text.as_bytes(), &text]);
                        reach(model, end);
                        model[at..end].copy_from_slice(&text);
                    }
                    4..6 => {
                        client.call(&[b"APPEND", name.as_bytes(), &text]);
                        model.extend_from_slice(&text);
                    }
                    6..8 => {
                        client.run(&format!("SETBIT {name} {} 1", at * 8 + 7));
                        reach(model, at + 1);
                        model[at] |= 1;
                    }
                    8 => {
                        client.run(&format!("BITFIELD {name} SET u8 8 200 SET u16 {} 258", at * 8));
                        reach(model, at + 2);
                        model[1] = 200;
                        (model[at], model[at + 1]) = (1, 2);
                    }
                    9 => {
                        let len = 20_000 + random.below(20_000);
                        *model = random.bytes(len);
                        client.call(&[b"SET", name.as_bytes(), model]);
                    }
                    10 => drop(client.run(&format!("EXPIRE {name} {}", 100 + random.below(1000)))),
                    _ => {
                        client.run(&format!("COPY key:{other} {name} REPLACE"));
                        models[number] = models[other].clone();
                    }
                }
            }
            if in_transaction {
                assert!(!client.run("EXEC").is_error());
            }
            if random.chance(3) {
                client.run("DEBUG DEMOTE");
            }
        }
        if round % 3 == 2 {
            server.signal("TERM");
            assert!(server.wait().success());
            server.restart(&arguments);
        } else {
            server.crash_and_restart(&arguments);
        }
        let mut client = server.client();
        for (number, model) in models.iter().enumerate() {
            assert!(client.run(&format!("GET key:{number}")).bulk() == *model, "round {round}, key:{number}");
        }
    }
}
