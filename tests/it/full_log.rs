//! A log that is full, and memory that is: what is refused, what waits, what goes.

use crate::support::{Client, Random, Server, eventually, random, strata_only};

/// Where the tier is full and nothing may go, writes are refused and reads go on; with more room all is well again.
#[test]
fn a_full_tier_refuses_writes_and_heals() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let mut server = Server::start(&["--appendonly", "yes", "--l2-size", "16mb"]);
    let mut client = server.client();
    let value = "v".repeat(10_000);
    let mut written = 0;
    let refused = loop {
        let reply = client.run(&format!("SET key:{written} {value}"));
        if reply.is_error() {
            break reply.text_if_error();
        }
        written += 1;
        assert!(written < 2_000, "more was taken than there is room for");
    };
    assert_eq!(refused, "MISCONF Errors writing to the AOF file: l2-size is reached");
    assert!(written > 500, "only {written} of 1,600");
    client.expect("GET key:0", &format!("$10000 {value}"));
    assert_eq!(client.info("aof_last_write_status"), "err");
    // What frees is taken all the same, and makes room.
    let gone = written / 2;
    for number in 0..gone {
        client.expect(&format!("DEL key:{number}"), ":1");
    }
    eventually("there is room", || (!client.run("SET early v").is_error()).then_some(()));
    client.expect("DEL early", ":1");
    loop {
        if client.run(&format!("SET key:{written} {value}")).is_error() {
            break;
        }
        written += 1;
    }
    let written = written - gone;
    client.expect("CONFIG SET l2-size 64mb", "+OK");
    client.expect("SET more v", "+OK");
    assert_eq!(client.info("aof_last_write_status"), "ok");
    server.crash_and_restart(&["--appendonly", "yes", "--l2-size", "64mb"]);
    server.client().expect("DBSIZE", &format!(":{}", written + 1));
}

/// Both tiers are full, and keys may go: the oldest do, and writes are taken.
#[test]
fn a_full_tier_evicts_where_the_policy_allows() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let server = Server::start(&[
        "--appendonly",
        "yes",
        "--l2-size",
        "32mb",
        "--maxmemory",
        "4mb",
        "--maxmemory-policy",
        "allkeys-lru",
    ]);
    let mut client = server.client();
    let value = "v".repeat(10_000);
    for number in 0..6_000 {
        let reply = eventually("there is room again", || {
            let reply = client.run(&format!("SET key:{number} {value}"));
            (!reply.is_error()).then_some(reply)
        });
        assert_eq!(reply.text(), "OK");
    }
    client.expect("GET key:5999", &format!("$10000 {value}"));
    // What goes with a segment is counted when the segment is gone.
    eventually("every key is there or counted as evicted", || {
        let evicted: i64 = client.info("evicted_keys").parse().expect("a number");
        (evicted + client.run("DBSIZE").integer() == 6_000).then_some(())
    });
    assert!(client.info("l2_allocated_bytes").parse::<u64>().expect("a number") <= 32 << 20);
}

/// Only the log is full: memory has room for all, so what is in memory goes, too, and nobody is refused anything.
#[test]
fn a_full_log_evicts_what_is_in_memory() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let server =
        Server::start(&["--appendonly", "yes", "--l2-size", "16mb", "--maxmemory-policy", "allkeys-lru"]);
    let mut client = server.client();
    let value = "v".repeat(10_000);
    for number in 0..6_000 {
        client.expect(&format!("SET key:{number} {value}"), "+OK");
    }
    client.expect("GET key:5999", &format!("$10000 {value}"));
    client.expect("EXISTS key:0", ":0");
    assert!(client.info("l2_allocated_bytes").parse::<u64>().expect("a number") <= 16 << 20);
}

/// Values of a third to half of a segment: one or two lie in each, and moving them makes no room. Writers waited for ever, and
/// the log was rewritten all the time.
#[test]
fn values_that_fill_half_a_segment_are_taken_or_refused() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let mut random = Random::new(random::seed("half a segment"));
    let server = Server::start(&["--appendonly", "yes", "--l2-size", "32mb", "--workers", "2"]);
    let mut client = server.client();
    let mut taken = 0;
    for _ in 0..400 {
        let value = "v".repeat(350_000 + random.below(100_000));
        taken += u32::from(!client.run(&format!("SET key:{} {value}", random.below(32))).is_error());
    }
    assert!(taken > 200, "only {taken} of 400");
    let moved = |client: &mut Client| client.info("l2_moved_bytes");
    let (mut before, mut times) = (moved(&mut client), 0);
    eventually("the log is at rest", || {
        let now = moved(&mut client);
        times = if now == before { times + 1 } else { 0 };
        before = now;
        (times == 100).then_some(())
    });
}

/// Once its deltas were as long as a list all of it was logged again, for which a full log has no room: nothing could be
/// taken from a queue any more.
#[test]
fn a_queue_in_a_full_log_can_be_drained() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let arguments = ["--appendonly", "yes", "--l2-size", "16mb"];
    let mut server = Server::start(&arguments);
    let mut client = server.client();
    let element = "e".repeat(1_000);
    for number in 1..=4_000 {
        client.expect(&format!("RPUSH queue {element}"), &format!(":{number}"));
    }
    let value = "v".repeat(10_000);
    let refused = (0..1_000).find(|number| client.run(&format!("SET key:{number} {value}")).is_error());
    assert!(refused.is_some(), "more was taken than there is room for");
    // Each turn makes the deltas longer.
    let (mut left, mut turns) = (4_000, 0);
    while left > 1_000 {
        left += i64::from(!client.run(&format!("RPUSH queue {element}")).is_error());
        client.expect("LPOP queue", &format!("$1000 {element}"));
        left -= 1;
        turns += 1;
        assert!(turns < 20_000, "every element that comes is taken");
    }
    server.crash_and_restart(&arguments);
    let mut client = server.client();
    client.expect("LLEN queue", ":1000");
    for _ in 0..1_000 {
        client.expect("LPOP queue", &format!("$1000 {element}"));
    }
    client.expect("EXISTS queue", ":0");
}

/// Only keys with a deadline may go, and there are none: a full log was moved from segment to segment for ever, and each
/// refusal took five seconds.
#[test]
fn a_full_log_without_keys_that_may_go_is_at_rest() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let server =
        Server::start(&["--appendonly", "yes", "--l2-size", "16mb", "--maxmemory-policy", "volatile-lru"]);
    let mut client = server.client();
    let value = "v".repeat(10_000);
    let fill = |client: &mut Client, from: usize| {
        let refused =
            (from..from + 3_000).find(|number| client.run(&format!("SET key:{number} {value}")).is_error());
        refused.expect("more was taken than there is room for")
    };
    let written = fill(&mut client, 0);
    let rest = |client: &mut Client| {
        let (mut before, mut times) = (client.info("l2_written_bytes"), 0);
        eventually("the log is at rest", || {
            let now = client.info("l2_written_bytes");
            times = if now == before { times + 1 } else { 0 };
            before = now;
            (times == 100).then_some(())
        });
    };
    rest(&mut client);
    let started = std::time::Instant::now();
    assert!(client.run(&format!("SET key:{written} {value}")).is_error());
    assert!(started.elapsed() < std::time::Duration::from_secs(2), "{:?}", started.elapsed());
    // Those that are given one may go.
    for number in 0..100 {
        client.expect(&format!("EXPIRE key:{number} 10000"), ":1");
    }
    eventually("there is room", || (!client.run(&format!("SET more {value}")).is_error()).then_some(()));
    // And all may once the policy says so: nobody is refused any more.
    fill(&mut client, written);
    rest(&mut client);
    client.expect("CONFIG SET maxmemory-policy allkeys-lru", "+OK");
    for number in 0..2_000 {
        client.expect(&format!("SET new:{number} {value}"), "+OK");
    }
}

/// Without `appendonly` values are written when they leave memory. Where the log has no room for them they counted as gone
/// all the same: nothing was refused, and memory grew.
#[test]
fn memory_is_bounded_where_nothing_can_leave_it() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let server = Server::start(&["--appendonly", "no", "--l2-size", "16mb", "--maxmemory", "10mb"]);
    let mut client = server.client();
    let value = "v".repeat(40_000);
    let refused = (0..3_000).find_map(|number| {
        let reply = client.run(&format!("SET key:{number} {value}"));
        reply.is_error().then(|| reply.text_if_error())
    });
    assert_eq!(refused.as_deref(), Some("OOM command not allowed when used memory > 'maxmemory'."));
    assert!(client.info("used_memory").parse::<u64>().expect("a number") < 20 << 20);
    client.expect("GET key:0", &format!("$40000 {value}"));
}

/// A large collection that was just changed can only leave memory once the disk has its last delta. Where all were, writes
/// were refused, though the log was nearly empty.
#[test]
fn writes_wait_for_memory_that_the_disk_is_about_to_free() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let mut random = Random::new(random::seed("out of memory"));
    let server = Server::start(&["--appendonly", "yes", "--maxmemory", "5mb", "--l2-size", "1gb"]);
    let mut client = server.client();
    let value = "v".repeat(20_000);
    for number in 0..300 {
        client.expect(&format!("SET key:{number} {value}"), "+OK");
    }
    for turn in 0..3_000 {
        let list = random.below(20);
        let element = "e".repeat(100 + random.below(6_000));
        let reply = client.run(&format!("RPUSH list:{list} {element}"));
        assert!(!reply.is_error(), "turn {turn}: {}", reply.text_if_error());
        if reply.integer() > 100 {
            client.run(&format!("LPOP list:{list}"));
        }
    }
}

/// A string is logged whole, whatever little of it changes, and SETRANGE makes as much of it as a number says. In a small log
/// such a change found no room once it was done: the client was cut off, and a kill brought the old value back. A key that
/// was renamed so and then deleted, which was acknowledged, came back under its old name.
#[test]
fn what_makes_more_than_it_sends_is_refused_before_it_is_done() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let arguments = ["--appendonly", "yes", "--l2-size", "16mb"];
    let mut server = Server::start(&arguments);
    let mut client = server.client();
    client.call(&[b"SET", b"long", &vec![b'v'; 7_000_000]]);
    client.expect("SADD few a b", ":2");
    let no_room = "-MISCONF Errors writing to the AOF file: l2-size is reached";
    client.expect("DEBUG POPULATE 3 copy 9000000", no_room);
    client.call(&[b"SET", b"weight_1", &vec![b'w'; 300_000]]);
    client.expect(&format!("RPUSH list{}", " 1".repeat(30)), ":30");
    client.expect("SORT list BY nosort GET weight_* STORE other", no_room);
    client.expect("DEL weight_1 list", ":2");
    for refused in [
        "SETRANGE hole 20000000 v",
        "SETBIT hole 160000000 1",
        "BITFIELD hole SET u8 160000000 1",
        "RENAME long other",
        "RENAMENX long other",
        "COPY long other",
        "MOVE long 1",
        "BITOP NOT other long",
    ] {
        client.expect(refused, no_room);
    }
    // All of a transaction or nothing.
    client.expect("MULTI", "+OK");
    client.expect("SET little v", "+QUEUED");
    client.expect("COPY long other", "+QUEUED");
    client.expect(
        "EXEC",
        "-EXECABORT Transaction discarded because of: MISCONF Errors writing to the AOF file: l2-size is reached",
    );
    // What has errors of its own has these.
    client.expect("SETBIT hole 4294967296 1", "-ERR bit offset is not an integer or out of range");
    client.expect(
        "SETRANGE hole 536870911 vv",
        "-ERR string exceeds maximum allowed size (proto-max-bulk-len)",
    );
    client.expect("APPEND few v", "-WRONGTYPE Operation against a key holding the wrong kind of value");
    // The others are taken: what is small (of a long string, too), what replaces, what frees.
    client.expect("APPEND long v", ":7000001");
    client.expect("SETRANGE long 0 w", ":7000001");
    client.expect("SETBIT long 1 0", ":1");
    client.expect("EXPIRE long 1000", ":1");
    client.expect("PERSIST long", ":1");
    client.expect("SADD few c", ":1");
    client.expect("RENAME few many", "+OK");
    client.expect("DBSIZE", ":2");
    client.expect("STRLEN long", ":7000001");
    client.expect("TTL long", ":-1");
    client.expect("SET long short", "+OK");
    client.expect("APPEND long er", ":7");
    server.crash_and_restart(&arguments);
    let mut client = server.client();
    client.expect("DBSIZE", ":2");
    client.expect("GET long", "$7 shorter");
    client.expect("SCARD many", ":3");
}

/// A value may be larger than what is kept free: as much goes as it needs.
#[test]
fn a_full_log_evicts_as_much_as_a_large_value_needs() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let server =
        Server::start(&["--appendonly", "yes", "--l2-size", "64mb", "--maxmemory-policy", "allkeys-lru"]);
    let mut client = server.client();
    let value = "v".repeat(9_000_000);
    for number in 0..30 {
        client.expect(&format!("SET key:{number} {value}"), "+OK");
        client.expect(&format!("SET small:{number} v"), "+OK");
    }
    client.expect("EXISTS key:0 key:29", ":1");
    // The old value of the same key counts until the new one is there, and is not moved to make room for it.
    for _ in 0..5 {
        client.expect(&format!("SET key:29 {value}"), "+OK");
    }
}

/// `l2-size` is made less than what there is: where that counts, writes are refused and not kept waiting; once it can go it
/// does, until the log has the size that was asked for.
#[test]
fn a_log_is_made_smaller() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let mut server = Server::start(&["--appendonly", "yes", "--l2-size", "64mb"]);
    let mut client = server.client();
    let value = "v".repeat(10_000);
    for number in 0..4_000 {
        client.expect(&format!("SET key:{number} {value}"), "+OK");
    }
    client.expect("CONFIG SET l2-size 16mb", "+OK");
    eventually("writes are refused", || {
        let reply = client.run(&format!("SET more {value}"));
        (reply.text_if_error() == "MISCONF Errors writing to the AOF file: l2-size is reached").then_some(())
    });
    for number in 500..4_000 {
        client.expect(&format!("DEL key:{number}"), ":1");
    }
    eventually("there is room", || (!client.run(&format!("SET more {value}")).is_error()).then_some(()));
    eventually("it is smaller", || {
        let allocated: u64 = client.info("l2_allocated_bytes").parse().expect("a number");
        (allocated <= 16 << 20).then_some(())
    });
    server.crash_and_restart(&["--appendonly", "yes", "--l2-size", "16mb"]);
    let mut client = server.client();
    client.expect("DBSIZE", ":501");
    client.expect("GET key:499", &format!("$10000 {value}"));
}

/// Each step of a transaction asked for room as if the others had none: EXEC was half done, and the rest refused with
/// MISCONF, in a log that was mostly garbage.
#[test]
fn a_transaction_is_not_refused_by_halves() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let server = Server::start(&["--l2-size", "64mb", "--workers", "2"]);
    let mut client = server.client();
    let mut random = Random::new(random::seed("a_transaction_is_not_refused_by_halves"));
    for round in 0..600 {
        client.expect("MULTI", "+OK");
        let keys: Vec<String> = (0..4).map(|_| format!("k{}", random.below(8))).collect();
        let value = "z".repeat(*[50_000, 300_000, 1_000_000].get(random.below(3)).expect("one of three"));
        if round < 500 {
            keys.iter().for_each(|key| drop(client.run(&format!("APPEND {key} {}", "x".repeat(5000)))));
        } else if keys[0] != keys[1] {
            client.run(&format!("SET {} {value}", keys[0]));
            client.run(&format!("RENAME {} {}", keys[0], keys[1]));
        }
        if random.chance(30) {
            client.run(&format!("SET {} {value}", keys[0]));
        }
        let replies = client.run("EXEC").items();
        assert!(replies.iter().all(|reply| !reply.is_error()), "{replies:?}");
    }
}

/// After a crash every value that was logged in parts was written whole, with the room that is kept for emptying segments:
/// a small log that was mostly garbage refused all writes then, for good.
#[test]
fn a_small_log_takes_writes_after_crashes() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let arguments = ["--l2-size", "32mb", "--workers", "2"];
    let mut server = Server::start(&arguments);
    let mut random = Random::new(random::seed("a_small_log_takes_writes_after_crashes"));
    for _ in 0..8 {
        let mut clients = [server.client(), server.client(), server.client()];
        for _ in 0..300 {
            let client = &mut clients[random.below(3)];
            let key = format!("k{}", random.below(10));
            let line = match random.below(10) {
                0..3 => {
                    let len =
                        *[17_000, 600_000, 900_000, 1_400_000].get(random.below(4)).expect("one of four");
                    format!("SET {key} {}", "v".repeat(len))
                }
                3..7 => format!("APPEND {key} {}", "a".repeat(1 + random.below(60_000))),
                _ => format!(
                    "SETRANGE {key} {} {}",
                    random.below(300_000),
                    "r".repeat(1 + random.below(30_000))
                ),
            };
            let reply = client.run(&line);
            assert!(!reply.is_error(), "{}", reply.text_if_error());
        }
        server.crash_and_restart(&arguments);
    }
}

/// EXEC that found no memory began to wait anew each time that it looked, and was never answered.
#[test]
fn a_transaction_without_memory_is_answered() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let server = Server::start(&["--l2-size", "256mb", "--workers", "2"]);
    let mut client = server.client();
    let mut random = Random::new(random::seed("a_transaction_without_memory_is_answered"));
    for number in 0..24 {
        client.run(&format!("SET k{number} {}", "v".repeat(random.below(2_000_000))));
    }
    client.expect("CONFIG SET maxmemory 4mb", "+OK");
    for _ in 0..60 {
        client.expect("MULTI", "+OK");
        for _ in 0..1 + random.below(5) {
            let (key, at) = (random.below(24), random.below(300_000));
            let line = match random.below(4) {
                0 => format!("APPEND k{key} {}", "a".repeat(1000)),
                1 => format!("SETRANGE k{key} {at} {}", "r".repeat(100)),
                2 => format!("SETBIT k{key} {at} 1"),
                _ => format!("SET k{key} {}", "s".repeat(random.below(2_000_000))),
            };
            client.run(&line);
        }
        // Whatever the answer: reading has a limit of its own, which is above the five seconds that a write may wait.
        client.run("EXEC");
    }
}

/// A stop filled the log with what was in memory, up to the room that is kept for what frees: the next start closed the
/// connection of who sent FLUSHALL, and after a crash the keys were back. And what it could not write was lost with exit
/// status 0.
#[test]
fn a_stop_that_fills_the_log_says_so_and_leaves_room_for_what_frees() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let arguments = ["--appendonly", "no", "--l2-size", "16mb"];
    let mut server = Server::start(&arguments);
    let value = "v".repeat(100_000);
    for number in 0..300 {
        server.client().expect(&format!("SET key:{number} {value}"), "+OK");
    }
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(1));
    server.restart(&arguments);
    let kept = server.client().run("DBSIZE").integer();
    assert!((50..300).contains(&kept), "{kept}");
    server.client().expect("FLUSHALL", "+OK");
    server.crash_and_restart(&arguments);
    server.client().expect("DBSIZE", ":0");
}

/// Every write that was refused for lack of memory had waited for a fifth of a second, one after the other.
#[test]
fn refusals_for_lack_of_memory_are_quick_where_waiting_was_in_vain() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let server = Server::start(&["--appendonly", "no", "--l2-size", "16mb", "--maxmemory", "8mb"]);
    let mut client = server.client();
    let value = "v".repeat(10_000);
    let mut number = 0;
    eventually("both tiers are full", || {
        number += 1;
        client.run(&format!("SET key:{number} {value}")).is_error().then_some(())
    });
    let started = std::time::Instant::now();
    let refused = (0..50).filter(|_| client.run(&format!("SET more {value}")).is_error()).count();
    assert!(refused > 40, "{refused}");
    assert!(started.elapsed() < std::time::Duration::from_secs(5), "{:?}", started.elapsed());
}
