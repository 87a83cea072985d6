//! Large collections and many deadlines: what they must not do to other clients, and the events that come of them.

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
