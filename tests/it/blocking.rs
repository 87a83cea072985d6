//! The commands that wait: who is served, in which order, when, and by what.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::*;

/// Waits until so many clients are blocked.
fn wait_for_blocked(client: &mut Client, count: usize) {
    let line = format!("blocked_clients:{count}\r\n");
    eventually("the clients are blocked", || client.run("INFO clients").text().contains(&line).then_some(()));
}

/// Clients that have sent a command, one after the other, and wait. Connections go to the workers in turn, so that neighbours
/// are of different ones.
fn waiters(server: &Server, client: &mut Client, commands: &[&str]) -> Vec<Client> {
    let mut waiting = Vec::new();
    for (index, command) in commands.iter().enumerate() {
        let mut waiter = server.client();
        waiter.send(command);
        wait_for_blocked(client, index + 1);
        waiting.push(waiter);
    }
    waiting
}

/// A server whose clients are on four threads, however many cores there are.
fn several_workers() -> Server {
    match std::env::var_os("STRATA_TEST_SERVER") {
        Some(_) => Server::start(&[]),
        None => Server::start(&["--workers", "4"]),
    }
}

#[test]
fn clients_are_served_in_the_order_of_their_arrival() {
    let server = several_workers();
    let mut client = server.client();
    let mut waiting =
        waiters(&server, &mut client, &["BLPOP l 0", "BRPOP l 0", "BLMPOP 0 1 l LEFT COUNT 2", "BLPOP l 0"]);
    client.expect("RPUSH l a b c d e", ":5");
    waiting[0].expect_next("*2 $1 l $1 a");
    waiting[1].expect_next("*2 $1 l $1 e");
    waiting[2].expect_next("*2 $1 l *2 $1 b $1 c");
    waiting[3].expect_next("*2 $1 l $1 d");
    client.expect("EXISTS l", ":0");
    wait_for_blocked(&mut client, 0);
}

#[test]
fn who_was_served_is_in_the_slow_log_then() {
    let server = several_workers();
    let mut client = server.client();
    client.expect("CONFIG SET slowlog-log-slower-than 0", "+OK");
    let names = |client: &mut Client| -> Vec<String> {
        let entries = client.run("SLOWLOG GET").items();
        entries.iter().map(|entry| entry.clone().items()[3].clone().items()[0].text()).collect()
    };
    let mut waiting = waiters(&server, &mut client, &["BLPOP l 0"]);
    client.expect("SLOWLOG RESET", "+OK");
    assert_eq!(names(&mut client), ["SLOWLOG"]);
    client.expect("RPUSH l a", ":1");
    waiting[0].expect_next("*2 $1 l $1 a");
    assert_eq!(names(&mut client)[..2], ["BLPOP", "RPUSH"]);
}

#[test]
fn of_several_keys_the_first_that_is_there_is_taken() {
    let server = several_workers();
    let mut client = server.client();
    let mut waiting = waiters(&server, &mut client, &["BLPOP a b c 0", "BZPOPMIN x y 0"]);
    client.expect("MULTI", "+OK");
    client.expect("RPUSH c 3", "+QUEUED");
    client.expect("RPUSH b 2", "+QUEUED");
    client.expect("ZADD y 5 m 6 n", "+QUEUED");
    client.expect("EXEC", "*3 :1 :1 :2");
    waiting[0].expect_next("*2 $1 b $1 2");
    waiting[1].expect_next("*3 $1 y $1 m $1 5");
    client.expect("LRANGE c 0 -1", "*1 $1 3");
}

#[test]
fn elements_go_along_a_chain_of_moves() {
    let server = several_workers();
    let mut client = server.client();
    let chain = ["BLMOVE c d LEFT RIGHT 0", "BLMOVE b c LEFT RIGHT 0", "BRPOPLPUSH a b 0", "BLPOP d 0"];
    let mut waiting = waiters(&server, &mut client, &chain);
    client.expect("RPUSH a x", ":1");
    for waiter in &mut waiting[..3] {
        waiter.expect_next("$1 x");
    }
    waiting[3].expect_next("*2 $1 d $1 x");
    client.expect("EXISTS a b c d", ":0");
}

#[test]
fn a_value_comes_by_any_way() {
    let server = several_workers();
    let mut client = server.client();
    for command in ["RENAME from l", "COPY from l", "SORT from STORE l", "LMOVE from l LEFT LEFT"] {
        client.expect("RPUSH from 1", ":1");
        let mut waiting = waiters(&server, &mut client, &["BLPOP l 0"]);
        client.run(command);
        waiting[0].expect_next("*2 $1 l $1 1");
        client.run("DEL from l");
    }
    let mut waiting = waiters(&server, &mut client, &["BLPOP l 0"]);
    client.expect("SELECT 1", "+OK");
    client.expect("RPUSH l moved", ":1");
    client.expect("MOVE l 0", ":1");
    waiting[0].expect_next("*2 $1 l $5 moved");
    let mut waiting = waiters(&server, &mut client, &["BLPOP l 0"]);
    client.expect("RPUSH l swapped", ":1");
    client.expect("SWAPDB 0 1", "+OK");
    waiting[0].expect_next("*2 $1 l $7 swapped");
}

#[test]
fn a_value_of_another_type_wakes_nobody() {
    let server = several_workers();
    let mut client = server.client();
    let mut waiting =
        waiters(&server, &mut client, &["BLPOP k 0", "BZPOPMAX k 0", "BLMOVE k string LEFT LEFT 0"]);
    client.expect("SET k v", "+OK");
    client.expect("DEL k", ":1");
    client.expect("MULTI", "+OK");
    client.expect("RPUSH k gone", "+QUEUED");
    client.expect("DEL k", "+QUEUED");
    client.expect("ZADD k 1 m", "+QUEUED");
    client.expect("EXEC", "*3 :1 :1 :1");
    waiting[1].expect_next("*3 $1 k $1 m $1 1");
    wait_for_blocked(&mut client, 2);
    client.expect("SET string v", "+OK");
    client.expect("RPUSH k a b", ":2");
    waiting[0].expect_next("*2 $1 k $1 a");
    waiting[2].expect_next("-WRONGTYPE Operation against a key holding the wrong kind of value");
    client.expect("LRANGE k 0 -1", "*1 $1 b");
}

#[test]
fn a_client_that_goes_while_it_waits_takes_nothing() {
    let server = several_workers();
    let mut client = server.client();
    for round in 0..50 {
        let gone = waiters(&server, &mut client, &["BLPOP l 0", "BLMOVE l m LEFT LEFT 0"]);
        drop(gone);
        wait_for_blocked(&mut client, 0);
        client.expect(&format!("RPUSH l {round}"), ":1");
        client.expect("LPOP l", &format!("${} {round}", round.to_string().len()));
    }
    client.expect("EXISTS l m", ":0");
}

#[test]
fn client_unblock_ends_a_wait_both_ways() {
    let server = several_workers();
    let mut client = server.client();
    for (kind, reply) in
        [("", "*-1"), (" TIMEOUT", "*-1"), (" ERROR", "-UNBLOCKED client unblocked via CLIENT UNBLOCK")]
    {
        let mut waiter = server.client();
        let id = waiter.run("CLIENT ID").integer();
        client.expect(&format!("CLIENT UNBLOCK {id}{kind}"), ":0");
        waiter.send("BLPOP l 0");
        wait_for_blocked(&mut client, 1);
        client.expect(&format!("CLIENT UNBLOCK {id}{kind}"), ":1");
        waiter.expect_next(reply);
        client.expect(&format!("CLIENT UNBLOCK {id}{kind}"), ":0");
        client.expect("RPUSH l x", ":1");
        client.expect("LPOP l", "$1 x");
        waiter.expect("PING", "+PONG");
    }
}

#[test]
fn a_timeout_is_kept_to_the_millisecond() {
    let server = several_workers();
    let mut client = server.client();
    let mut worst = Duration::ZERO;
    for (command, limit) in [("BLPOP l 0.05", 50), ("BZPOPMIN z 0.001", 1), ("BLMPOP 0.12 1 l LEFT", 120)] {
        let started = Instant::now();
        client.expect(command, "*-1");
        let elapsed = started.elapsed();
        let limit = Duration::from_millis(limit);
        // The deadline is counted from the moment the batch began, in whole milliseconds.
        assert!(elapsed + Duration::from_millis(2) >= limit, "{command} took {elapsed:?}");
        worst = worst.max(elapsed.saturating_sub(limit));
    }
    println!("timeouts were at most {worst:?} late");
    assert!(worst < Duration::from_millis(200), "{worst:?} late");
}

#[test]
fn nothing_waits_in_a_transaction() {
    let server = several_workers();
    let mut client = server.client();
    client.expect("MULTI", "+OK");
    for command in ["BLPOP l 0", "BRPOPLPUSH l m 0", "BLMPOP 0 1 l LEFT", "BZPOPMIN z 0", "BZMPOP 0 1 z MIN"]
    {
        client.expect(command, "+QUEUED");
    }
    client.expect("RPUSH l a", "+QUEUED");
    client.expect("BLPOP l 0", "+QUEUED");
    client.expect("EXEC", "*7 *-1 $-1 *-1 *-1 *-1 :1 *2 $1 l $1 a");
}

/// What a client sends while it waits runs when it is served, not before.
#[test]
fn requests_behind_a_wait_run_after_it() {
    let server = several_workers();
    let (mut client, mut waiter) = (server.client(), server.client());
    waiter.send_raw(b"BLPOP l 0\r\nINCR after\r\nBLPOP l 0\r\nINCR after\r\n");
    wait_for_blocked(&mut client, 1);
    client.expect("EXISTS after", ":0");
    client.expect("RPUSH l a", ":1");
    waiter.expect_next("*2 $1 l $1 a");
    waiter.expect_next(":1");
    wait_for_blocked(&mut client, 1);
    client.expect("RPUSH l b", ":1");
    waiter.expect_next("*2 $1 l $1 b");
    waiter.expect_next(":2");
}

/// Each element is popped once, whoever pushes and pops, and however waits end meanwhile.
#[test]
fn nothing_is_lost_between_many_pushers_and_waiters() {
    const PUSHES: usize = 3_000;
    let server = several_workers();
    let stop = AtomicBool::new(false);
    let (popped, left) = std::thread::scope(|scope| {
        let waiters = (0..8)
            .map(|number| {
                let (server, stop) = (&server, &stop);
                scope.spawn(move || {
                    let mut client = server.client();
                    let commands =
                        ["BLPOP a b 0.002", "BRPOP b a 0.05", "BLMPOP 0.01 2 a b LEFT COUNT 3", "LPOP a 2"];
                    let mut popped = 0;
                    let mut turn = number;
                    while !stop.load(Ordering::Relaxed) {
                        turn += 1;
                        match client.run(commands[turn % commands.len()]) {
                            Value::Array(items) => match &items[..] {
                                [Value::Bulk(_), Value::Array(elements)] => popped += elements.len(),
                                [Value::Bulk(name), Value::Bulk(_)] if name.len() == 1 => popped += 1,
                                elements => popped += elements.len(),
                            },
                            Value::NullArray | Value::Null => {}
                            other => panic!("{other:?}"),
                        }
                    }
                    popped
                })
            })
            .collect::<Vec<_>>();
        let pushers = (0..2)
            .map(|number| {
                let server = &server;
                scope.spawn(move || {
                    let mut client = server.client();
                    let key = if number == 0 { "a" } else { "b" };
                    (0..PUSHES).for_each(|index| drop(client.run(&format!("RPUSH {key} element-{index}"))));
                })
            })
            .collect::<Vec<_>>();
        pushers.into_iter().for_each(|pusher| pusher.join().expect("a pusher"));
        let mut client = server.client();
        eventually("all is popped", || (client.run("EXISTS a b").integer() == 0).then_some(()));
        stop.store(true, Ordering::Relaxed);
        let popped = waiters.into_iter().map(|waiter| waiter.join().expect("a waiter")).sum::<usize>();
        (popped, client.run("EXISTS a b").integer())
    });
    assert_eq!((popped, left), (2 * PUSHES, 0));
    let mut client = server.client();
    wait_for_blocked(&mut client, 0);
}

/// A thousand clients wait for one key and a thousand for others, while pushes go on: each element goes to one of them, and other
/// clients are served meanwhile.
#[test]
fn two_thousand_clients_wait() {
    const EACH: usize = 1_000;
    let server = several_workers();
    let mut client = server.client();
    let mut crowd = Vec::new();
    for number in 0..2 * EACH {
        let mut waiter = server.client();
        match number < EACH {
            true => waiter.send("BLPOP crowd 0"),
            false => waiter.send(&format!("BLPOP alone-{number} other-{number} 0")),
        }
        crowd.push(waiter);
    }
    wait_for_blocked(&mut client, 2 * EACH);
    let started = Instant::now();
    for number in 0..EACH {
        client.expect(&format!("RPUSH crowd {number}"), ":1");
        let alone = EACH + number;
        client.expect(&format!("RPUSH other-{alone} {number}"), ":1");
    }
    println!("{} pushes to clients that wait took {:?}", 2 * EACH, started.elapsed());
    let mut seen = Vec::new();
    for (number, waiter) in crowd.iter_mut().enumerate() {
        let reply = waiter.read().value.items();
        match number < EACH {
            true => seen.push(reply[1].text().parse::<usize>().expect("a number")),
            false => assert_eq!(reply[0].text(), format!("other-{number}")),
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..EACH).collect::<Vec<_>>());
    wait_for_blocked(&mut client, 0);
    client.expect("DBSIZE", ":0");
}

#[test]
fn a_blocked_client_that_is_killed_takes_nothing() {
    let server = several_workers();
    let (mut client, mut waiter) = (server.client(), server.client());
    let id = waiter.run("CLIENT ID").integer();
    waiter.send("BLMOVE l m LEFT LEFT 0");
    wait_for_blocked(&mut client, 1);
    client.expect(&format!("CLIENT KILL ID {id}"), ":1");
    assert_eq!(waiter.read_to_end(), b"");
    wait_for_blocked(&mut client, 0);
    client.expect("RPUSH l a", ":1");
    client.expect("EXISTS l m", ":1");
}

#[test]
fn a_pause_keeps_pushes_from_those_who_wait() {
    let server = several_workers();
    let (mut client, mut pusher, mut timed) = (server.client(), server.client(), server.client());
    let mut waiting = waiters(&server, &mut client, &["BLPOP l 0"]);
    timed.send("BLPOP l 0.05");
    wait_for_blocked(&mut client, 2);
    let started = Instant::now();
    client.expect("CLIENT PAUSE 300 WRITE", "+OK");
    pusher.send("RPUSH l a");
    waiting[0].expect_next("*2 $1 l $1 a");
    assert!(started.elapsed() >= Duration::from_millis(290), "{:?}", started.elapsed());
    pusher.expect_next(":1");
    timed.expect_next("*-1");
}

#[test]
fn a_shutdown_does_not_wait_for_those_who_wait() {
    let mut server = several_workers();
    let mut client = server.client();
    let mut waiting = waiters(&server, &mut client, &["BLPOP l 0", "BLPOP l 100", "BZPOPMIN z 0"]);
    client.send("SHUTDOWN NOSAVE");
    assert!(server.wait().success());
    for waiter in &mut waiting {
        assert_eq!(waiter.read_to_end(), b"");
    }
}

/// What a waiting client was given is gone for good, as anything that was acknowledged, and nothing else is.
#[test]
fn what_a_waiter_was_given_is_not_back_after_a_crash() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let arguments =
        ["--appendonly", "yes", "--appendfsync", "always", "--l2-size", "256mb", "--workers", "2"];
    let mut server = Server::start(&arguments);
    for round in 0..10 {
        let (mut client, mut waiter, mut mover) = (server.client(), server.client(), server.client());
        waiter.send(&format!("BLPOP l{round} s{round} 0"));
        mover.send(&format!("BLMOVE m{round} n{round} LEFT LEFT 0"));
        wait_for_blocked(&mut client, 2);
        // One push that leaves something, or one that leaves nothing.
        let pushed = if round % 2 == 0 { "a b" } else { "a" };
        client.send(&format!("RPUSH l{round} {pushed}"));
        waiter.expect_next(&format!("*2 $2 l{round} $1 a"));
        client.send(&format!("RPUSH m{round} a"));
        mover.expect_next("$1 a");
        server.crash_and_restart(&arguments);
        let mut client = server.client();
        let left = if round % 2 == 0 { "*1 $1 b" } else { "*0" };
        client.expect(&format!("LRANGE l{round} 0 -1"), left);
        client.expect(&format!("EXISTS m{round}"), ":0");
        client.expect(&format!("LRANGE n{round} 0 -1"), "*1 $1 a");
    }
}
