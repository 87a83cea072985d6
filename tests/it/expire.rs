//! Expiry over the wire: conditions, units, past moments, and that keys go when they are due.

use std::time::{Duration, Instant};

use crate::support::*;

fn client() -> (Server, Client) {
    let server = Server::start(&[]);
    let client = server.client();
    (server, client)
}

#[test]
fn expire_takes_each_condition() {
    let (_server, mut c) = client();
    c.expect("EXPIRE none 100", ":0");
    c.expect("SET k v", "+OK");
    c.expect("EXPIRE k 100 XX", ":0");
    c.expect("EXPIRE k 100 GT", ":0");
    c.expect("EXPIRE k 100 NX", ":1");
    c.expect("EXPIRE k 200 NX", ":0");
    c.expect("EXPIRE k 50 GT", ":0");
    c.expect("EXPIRE k 200 GT", ":1");
    c.expect("EXPIRE k 300 LT", ":0");
    c.expect("EXPIRE k 150 XX LT", ":1");
    c.expect("TTL k", ":150");
    c.expect("PERSIST k", ":1");
    c.expect("PERSIST k", ":0");
    c.expect("EXPIRE k 500 LT", ":1");
    c.expect("EXPIRE k 1 NX XX", "-ERR NX and XX, GT or LT options at the same time are not compatible");
    c.expect("EXPIRE k 1 GT LT", "-ERR GT and LT options at the same time are not compatible");
    c.expect("EXPIRE k 1 BOGUS", "-ERR Unsupported option BOGUS");
}

#[test]
fn the_four_units_agree() {
    let (_server, mut c) = client();
    c.expect("SET k v", "+OK");
    c.expect("EXPIREAT k 4102444800", ":1");
    c.expect("PEXPIRETIME k", ":4102444800000");
    c.expect("PEXPIREAT k 4102444800999", ":1");
    c.expect("EXPIRETIME k", ":4102444801");
    c.expect("PEXPIRE k 100000", ":1");
    c.expect("TTL k", ":100");
    let left = c.run("PTTL k").integer();
    assert!((90_000..=100_000).contains(&left), "{left}");
    for command in ["TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME"] {
        c.expect(&format!("{command} none"), ":-2");
        c.expect("SET forever v", "+OK");
        c.expect(&format!("{command} forever"), ":-1");
    }
}

#[test]
fn a_moment_in_the_past_deletes_the_key() {
    let (_server, mut c) = client();
    for command in ["EXPIRE k -1", "EXPIRE k 0", "PEXPIRE k -5", "EXPIREAT k 1", "PEXPIREAT k 1"] {
        c.expect("SET k v", "+OK");
        c.expect(command, ":1");
        c.expect("EXISTS k", ":0");
    }
}

#[test]
fn a_moment_out_of_range_is_refused() {
    let (_server, mut c) = client();
    c.expect("SET k v", "+OK");
    c.expect("EXPIRE k 9223372036854775807", "-ERR invalid expire time in 'expire' command");
    c.expect("EXPIRE k -9223372036854775808", "-ERR invalid expire time in 'expire' command");
    c.expect("PEXPIRE k 9223372036854775807", "-ERR invalid expire time in 'pexpire' command");
    c.expect("EXPIREAT k 9223372036854775807", "-ERR invalid expire time in 'expireat' command");
    c.expect("PEXPIREAT k 9223372036854775807", ":1");
    c.expect("EXPIRE k x", "-ERR value is not an integer or out of range");
}

#[test]
fn a_due_key_is_gone_for_every_command() {
    let (_server, mut c) = client();
    c.expect("DEBUG SET-ACTIVE-EXPIRE 0", "+OK");
    for (command, reply) in [
        ("GET k", "$-1"),
        ("EXISTS k", ":0"),
        ("TTL k", ":-2"),
        ("TYPE k", "+none"),
        ("STRLEN k", ":0"),
        ("DEL k", ":0"),
        ("PERSIST k", ":0"),
        ("RENAME k j", "-ERR no such key"),
        ("COPY k j", ":0"),
        ("APPEND k x", ":1"),
        ("SETNX k x", ":1"),
        ("INCR k", ":1"),
        ("RANDOMKEY", "$-1"),
        ("KEYS *", "*0"),
        ("SCAN 0", "*2 $1 0 *0"),
    ] {
        c.expect("FLUSHALL", "+OK");
        c.expect("SET k 5 PX 1", "+OK");
        std::thread::sleep(Duration::from_millis(3)); // the time that is the test's subject
        c.expect(command, reply);
    }
}

#[test]
fn keys_leave_memory_without_being_asked_for() {
    let (_server, mut c) = client();
    for number in 0..1_000 {
        c.send(&format!("SET k{number} v PX 50"));
    }
    (0..1_000).for_each(|_| assert_eq!(c.read().value.text(), "OK"));
    eventually("all are gone", || (c.run("DBSIZE") == Value::Integer(0)).then_some(()));
    let stats = c.run("INFO stats").text();
    assert!(stats.contains("expired_keys:1000\r\n"), "{stats}");
}

#[test]
fn active_expiry_can_be_turned_off_for_tests() {
    let (_server, mut c) = client();
    c.expect("DEBUG SET-ACTIVE-EXPIRE 0", "+OK");
    c.expect("SET k v PX 1", "+OK");
    std::thread::sleep(Duration::from_millis(300)); // long enough for several rounds, were there any
    c.expect("DBSIZE", ":1");
    c.expect("DEBUG SET-ACTIVE-EXPIRE 1", "+OK");
    eventually("the round takes it", || (c.run("DBSIZE") == Value::Integer(0)).then_some(()));
}

/// The promise that a cache of sessions needs: `expired` within 100 ms of the due time, however many keys there are.
#[test]
fn expired_events_come_within_100_ms_of_the_due_time_among_100_000_keys() {
    if strata_only("expired_events_come_within_100_ms") {
        return;
    }
    const KEYS: usize = 100_000;
    const DUE: usize = 500;
    let server = Server::start(&["--notify-keyspace-events", "Ex"]);
    let mut c = server.client();
    for batch in 0..KEYS / 1_000 {
        for number in 0..1_000 {
            c.send(&format!("SET filler:{batch}:{number} v EX {}", 1_000 + number));
        }
        (0..1_000).for_each(|_| assert_eq!(c.read().value.text(), "OK"));
    }
    let mut listener = server.client();
    listener.run("SUBSCRIBE __keyevent@0__:expired");
    let started = Instant::now();
    let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_millis() as u64;
    // Spread over a second, some way ahead, so that all are set before the first is due.
    let due = |number: usize| 1_000 + number as u64 * 2;
    for number in 0..DUE {
        c.send(&format!("SET due:{number} v PXAT {}", now + due(number)));
    }
    (0..DUE).for_each(|_| assert_eq!(c.read().value.text(), "OK"));
    let mut worst = 0;
    for _ in 0..DUE {
        let key = listener.read().value.items()[2].text();
        let at = started.elapsed().as_millis() as u64;
        let number = key.strip_prefix("due:").and_then(|text| text.parse().ok()).expect("a key that was due");
        worst = worst.max(at.saturating_sub(due(number)));
    }
    println!("the latest of {DUE} expired events came {worst} ms after it was due");
    assert!(worst <= 100, "{worst} ms");
}
