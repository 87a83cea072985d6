//! MULTI, EXEC, DISCARD and WATCH.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::*;

/// An EXEC with too many words, or one that may not run, ends the transaction; Strata only said so and went on queueing.
#[test]
fn an_exec_that_cannot_run_ends_the_transaction() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let aborted = "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command";
    client.expect("MULTI", "+OK");
    client.expect("SET k v", "+QUEUED");
    client.expect("EXEC now", aborted);
    client.expect("EXEC", "-ERR EXEC without MULTI");
    client.expect("GET k", "$-1");
    client.expect("EXEC now", aborted);
}

/// A CONFIG SET in a transaction counts for what comes after it in the same transaction; it counted only from the next batch on.
#[test]
fn config_set_counts_within_the_transaction() {
    let server = Server::start(&[]);
    let mut client = server.client();
    client.expect("MULTI", "+OK");
    client.expect("CONFIG SET hash-max-listpack-entries 0", "+QUEUED");
    client.expect("HSET h f v", "+QUEUED");
    client.expect("CONFIG SET hash-max-listpack-entries 128", "+QUEUED");
    client.expect("HSET i f v", "+QUEUED");
    client.expect("EXEC", "*4 +OK :1 +OK :1");
    client.expect("OBJECT ENCODING h", "$9 hashtable");
    client.expect("OBJECT ENCODING i", "$8 listpack");
    client.send_raw(
        b"MULTI\r\nCONFIG SET hash-max-listpack-entries 0\r\nEXEC\r\nHSET j f v\r\nOBJECT ENCODING j\r\n",
    );
    ["+OK", "+QUEUED", "*1 +OK", ":1", "$9 hashtable"].iter().for_each(|reply| client.expect_next(reply));
}

/// A server whose clients are on four threads, however many cores there are.
fn several_workers(arguments: &[&str]) -> Server {
    match std::env::var_os("STRATA_TEST_SERVER") {
        Some(_) => Server::start(arguments),
        None => Server::start(&[arguments, &["--workers", "4"]].concat()),
    }
}

/// Writers keep two keys, of different shards, the same; no reader on any worker ever sees them differ.
#[test]
fn nobody_sees_half_a_transaction() {
    let server = several_workers(&[]);
    let stop = AtomicBool::new(false);
    let looks = std::thread::scope(|scope| {
        for number in 0..3 {
            let (server, stop) = (&server, &stop);
            scope.spawn(move || {
                let mut client = server.client();
                for index in 0.. {
                    let transaction = format!(
                        "MULTI\r\nSET a {number}-{index}\r\nLPUSH list {index}\r\nHSET hash f {number}-{index}\r\nLPOP list\r\nSET b {number}-{index}\r\nEXEC\r\n"
                    );
                    client.send_raw(transaction.as_bytes());
                    (0..7).for_each(|_| drop(client.read()));
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
        let readers = (0..3)
            .map(|_| {
                let server = &server;
                scope.spawn(move || {
                    let mut client = server.client();
                    let deadline = Instant::now() + Duration::from_millis(700);
                    let mut looks = 0;
                    while Instant::now() < deadline {
                        let values = client.run("MGET a b").items();
                        assert_eq!(values[0], values[1]);
                        client.send_raw(b"MULTI\r\nGET a\r\nHGET hash f\r\nEXISTS list\r\nEXEC\r\n");
                        let seen = (0..5).map(|_| client.read().value).last().expect("five replies").items();
                        assert_eq!((&seen[0], &seen[2]), (&seen[1], &Value::Integer(0)));
                        looks += 1;
                    }
                    looks
                })
            })
            .collect::<Vec<_>>();
        let looks = readers.into_iter().map(|reader| reader.join().expect("a reader")).sum::<usize>();
        stop.store(true, Ordering::Relaxed);
        looks
    });
    println!("{looks} looks");
    assert!(looks > 0);
}

/// Increments by GET and SET under WATCH from several workers: none is lost.
#[test]
fn watch_makes_increments_of_many_clients_add_up() {
    const EACH: i64 = 150;
    let server = several_workers(&[]);
    let conflicts = std::thread::scope(|scope| {
        let clients = (0..4)
            .map(|_| {
                let server = &server;
                scope.spawn(move || {
                    let mut client = server.client();
                    let (mut done, mut conflicts) = (0, 0);
                    while done < EACH {
                        client.expect("WATCH n", "+OK");
                        let now = match client.run("GET n") {
                            Value::Null => 0,
                            value => value.text().parse::<i64>().expect("a number"),
                        };
                        client.expect("MULTI", "+OK");
                        client.expect(&format!("SET n {}", now + 1), "+QUEUED");
                        match client.run("EXEC") {
                            Value::NullArray => conflicts += 1,
                            _ => done += 1,
                        }
                    }
                    conflicts
                })
            })
            .collect::<Vec<_>>();
        clients.into_iter().map(|client| client.join().expect("a client")).sum::<usize>()
    });
    println!("{conflicts} conflicts");
    server.client().expect("GET n", &format!("$3 {}", 4 * EACH));
}

/// What spoils an EXEC, and what does not, by another client in between.
#[test]
fn watch_notices_each_way_to_change_a_key() {
    let server = several_workers(&[]);
    let (mut client, mut other) = (server.client(), server.client());
    let spoils = [
        "SET k 2",
        "DEL k",
        "APPEND k x",
        "EXPIRE k 100",
        "PERSIST t",
        "RENAME k l",
        "RENAME t k",
        "COPY t k REPLACE",
        "MOVE k 3",
        "FLUSHDB",
        "FLUSHALL",
        "FLUSHALL ASYNC",
        "SWAPDB 0 1",
        "HSET h f w",
        "HDEL h f",
        "LPOP q",
        "SADD s b",
        "ZINCRBY z 1 m",
        "BLPOP q 0",
        "SORT q ALPHA STORE k",
        "BITOP NOT k k",
        "GETDEL k",
        "HPEXPIRE h 100000 FIELDS 1 f",
        "SPOP s",
        "SETRANGE k 0 x",
    ];
    let harmless = [
        "GET k",
        "TOUCH k",
        "EXISTS k",
        "SET other 2",
        "SETNX k 2",
        "DEL other",
        "PERSIST k",
        "HSETNX h f w",
        "LPUSHX other a",
        "SADD s a",
        "ZADD z NX 2 m",
        "ZADD z 1 m",
        "SREM s none",
        "SWAPDB 4 5",
        "SCAN 0",
        "OBJECT ENCODING k",
    ];
    let skips_new = std::env::var_os("STRATA_TEST_SERVER").is_some();
    for (commands, spoilt) in [(&spoils[..], true), (&harmless[..], false)] {
        for command in commands {
            if command.contains("HPEXPIRE") && skips_new {
                continue;
            }
            client.run("FLUSHALL");
            client.expect("SET t 1 EX 100", "+OK");
            client.expect("SET k 1", "+OK");
            client.expect("HSET h f v", ":1");
            client.expect("RPUSH q a b", ":2");
            client.expect("SADD s a", ":1");
            client.expect("ZADD z 1 m", ":1");
            client.expect("WATCH k t h q s z", "+OK");
            other.run(command);
            client.expect("MULTI", "+OK");
            client.expect("PING", "+QUEUED");
            client.send("EXEC");
            let got = show(&client.read().bytes);
            assert_eq!(got, if spoilt { "*-1" } else { "*1 +PONG" }, "after {command:?}");
            // The watch is over in any case.
            other.run("SET k 3");
            client.expect("MULTI", "+OK");
            client.expect("EXEC", "*0");
        }
    }
}

/// Waits until the server's clock has passed the deadline of `key`, without looking at its value.
fn wait_until_due(client: &mut Client, key: &str) {
    let due_ms = client.run(&format!("PEXPIRETIME {key}")).integer();
    eventually("the deadline has passed", || {
        let time = client.run("TIME");
        let [seconds, micros] = [0, 1].map(|at| time.items()[at].text().parse::<i64>().expect("a number"));
        (seconds * 1000 + micros / 1000 > due_ms).then_some(())
    });
}

/// A watched key that expires, by itself or as somebody looks, counts as changed; one that was due when it was watched does not.
#[test]
fn watch_notices_that_a_key_expires() {
    let server = several_workers(&[]);
    let (mut client, mut other) = (server.client(), server.client());
    for (active, look) in [("1", false), ("0", false), ("0", true)] {
        other.expect(&format!("DEBUG SET-ACTIVE-EXPIRE {active}"), "+OK");
        client.expect("SET k v PX 20", "+OK");
        client.expect("WATCH k", "+OK");
        wait_until_due(&mut other, "k");
        if look {
            other.expect("GET k", "$-1");
        }
        if active == "1" {
            eventually("the key is gone by itself", || (other.run("DBSIZE").integer() == 0).then_some(()));
        }
        client.expect("MULTI", "+OK");
        client.expect("PING", "+QUEUED");
        client.expect("EXEC", "*-1");
    }
    client.expect("SET k v PX 20", "+OK");
    wait_until_due(&mut other, "k");
    client.expect("WATCH k", "+OK");
    other.expect("GET k", "$-1");
    client.expect("MULTI", "+OK");
    client.expect("EXEC", "*0");
}

/// Transactions with commands on whole databases, while other clients write on all workers and run such transactions too: all end.
#[test]
fn whole_databases_in_transactions_do_not_lock_each_other_out() {
    let server = several_workers(&["--databases", "4"]);
    let whole = [
        "KEYS *",
        "DBSIZE",
        "FLUSHALL",
        "SWAPDB 0 1",
        "INFO keyspace",
        "SELECT 1",
        "SELECT 0",
        "FLUSHDB",
        "RANDOMKEY",
        "SCAN 0 COUNT 100",
        "SWAPDB 1 0",
        "SORT q BY w_* GET v_*",
        "MOVE k1 1",
        "COPY k1 k2 DB 1",
        "FLUSHALL ASYNC",
        "SWAPDB 2 0",
        "MEMORY USAGE k1",
    ];
    std::thread::scope(|scope| {
        for number in 0..4_u64 {
            let server = &server;
            let whole = &whole;
            scope.spawn(move || {
                let mut random = Random::new(number);
                let mut client = server.client();
                let deadline = Instant::now() + Duration::from_millis(900);
                while Instant::now() < deadline {
                    let length = 1 + random.below(6);
                    let mut lines = vec!["MULTI".to_string()];
                    for _ in 0..length {
                        lines.push(match random.below(3) {
                            0 => random.pick(whole).to_string(),
                            1 => format!("SET k{} {number}", random.below(100)),
                            _ => format!("RPUSH q {}", random.below(100)),
                        });
                    }
                    lines.push("EXEC".to_string());
                    client.send_raw((lines.join("\r\n") + "\r\n").as_bytes());
                    let replies = lines.iter().map(|_| client.read().value).collect::<Vec<_>>();
                    assert_eq!(
                        replies.last().expect("EXEC's").items().len(),
                        length,
                        "{lines:?}: {replies:?}"
                    );
                }
            });
            scope.spawn(move || {
                let mut random = Random::new(100 + number);
                let mut client = server.client();
                let deadline = Instant::now() + Duration::from_millis(900);
                while Instant::now() < deadline {
                    client.run(&format!("SELECT {}", random.below(2)));
                    client.run(&format!(
                        "MSET k{} 1 k{} 2 w_{} 3",
                        random.below(100),
                        random.below(100),
                        random.below(9)
                    ));
                    client.run(&format!("RENAME k{} k{}", random.below(100), random.below(100)));
                    client.run(random.pick(whole));
                }
            });
        }
    });
    server.client().expect("PING", "+PONG");
}

#[test]
fn reset_and_quit_end_a_transaction() {
    let server = several_workers(&[]);
    let (mut client, mut other) = (server.client(), server.client());
    client.expect("WATCH k", "+OK");
    client.expect("MULTI", "+OK");
    client.expect("SET k v", "+QUEUED");
    client.expect("RESET", "+RESET");
    client.expect("EXEC", "-ERR EXEC without MULTI");
    client.expect("SUBSCRIBE news", "*3 $9 subscribe $4 news :1");
    client.expect("RESET", "+RESET");
    client.expect("GET k", "$-1");
    // The watch went with the reset.
    other.expect("SET k v", "+OK");
    client.expect("MULTI", "+OK");
    client.expect("PING", "+QUEUED");
    client.expect("EXEC", "*1 +PONG");
    client.expect("MULTI", "+OK");
    client.expect("SET k w", "+QUEUED");
    client.expect("SUBSCRIBE news", "+QUEUED");
    client.expect("QUIT", "+OK");
    assert_eq!(client.read_to_end(), b"");
    other.expect("GET k", "$1 v");
    other.expect("PUBSUB NUMSUB news", "*2 $4 news :0");
}

#[test]
fn a_watching_client_that_is_killed_leaves_nothing_behind() {
    let server = several_workers(&[]);
    let (mut client, mut watcher) = (server.client(), server.client());
    let id = watcher.run("CLIENT ID").integer();
    watcher.expect("WATCH a b c", "+OK");
    watcher.expect("MULTI", "+OK");
    watcher.expect("SET a 1", "+QUEUED");
    client.expect(&format!("CLIENT KILL ID {id}"), ":1");
    assert_eq!(watcher.read_to_end(), b"");
    client.expect("SET a 2", "+OK");
    client.expect("GET a", "$1 2");
    let watched = || (!client.run("INFO clients").text().contains("watching_clients:1")).then_some(());
    eventually("nobody watches", watched);
}

/// Collections grow past `maxmemory`: their keys are evicted, or with no policy the writes refused, one by one and in an EXEC; what
/// was queued before memory ran out does not run by half.
#[test]
fn collections_are_evicted_or_refused() {
    let server = several_workers(&["--maxmemory", "8mb"]);
    let mut client = server.client();
    let grow = |client: &mut Client, from: usize| {
        let mut refused = 0;
        for number in from..from + 3_000 {
            let member = format!("{number:-<1000}");
            for command in ["RPUSH l", "SADD s", "ZADD z 1", "HSET h f"] {
                let spread = number % 50;
                let (name, rest) = command.split_once(' ').expect("two words");
                let (key, score) = rest.split_once(' ').unwrap_or((rest, ""));
                let member = if name == "HSET" { format!("{number} {member}") } else { member.clone() };
                let line = format!("{name} {key}{spread} {} {member}", score.trim_start_matches('f'))
                    .replace("  ", " ");
                refused += usize::from(client.run(&line).text_if_error().starts_with("OOM"));
            }
        }
        refused
    };
    client.expect("CONFIG SET maxmemory-policy allkeys-lru", "+OK");
    assert_eq!(grow(&mut client, 0), 0);
    assert!(
        client
            .run("INFO stats")
            .text()
            .lines()
            .any(|line| line.starts_with("evicted_keys:") && !line.ends_with(":0"))
    );
    client.expect("MULTI", "+OK");
    client.expect("RPUSH before a", "+QUEUED");
    client.expect("CONFIG SET maxmemory-policy noeviction", "+QUEUED");
    client.expect("CONFIG SET maxmemory 1mb", "+QUEUED");
    client.expect("EXEC", "*3 :1 +OK +OK");
    client.expect("MULTI", "+OK");
    let oom = "OOM command not allowed when used memory > 'maxmemory'.";
    client.expect("RPUSH l a", &format!("-{oom}"));
    client.expect("GET k", "+QUEUED");
    client.expect("EXEC", "-EXECABORT Transaction discarded because of previous errors.");
    client.expect("BLMOVE l m LEFT LEFT 0", &format!("-{oom}"));
    client.expect("EXISTS l", ":0");
    client.expect("CONFIG SET maxmemory 0", "+OK");
    client.expect("MULTI", "+OK");
    client.expect("RPUSH l a", "+QUEUED");
    server.client().expect("CONFIG SET maxmemory 1mb", "+OK");
    client.expect("EXEC", &format!("-EXECABORT Transaction discarded because of: {oom}"));
    client.expect("EXISTS l", ":0");
    client.expect("MULTI", "+OK");
    client.expect("DEL l0 s0", "+QUEUED");
    assert_eq!(client.run("EXEC").items().len(), 1);
}
