//! DUMP, RESTORE and MIGRATE: values cross between Strata and redis-server in both directions.

use crate::support::server::free_port;
use crate::support::*;

/// Requests that make a value under `k`, by name, and those that read it back.
fn values() -> Vec<(&'static str, Vec<String>, Vec<&'static str>)> {
    let numbered = |command: &str, count: usize, item: &dyn Fn(usize) -> String| {
        let items: Vec<String> = (0..count).map(item).collect();
        vec![format!("{command} {}", items.join(" "))]
    };
    let long = "x".repeat(30_000);
    vec![
        ("string", vec!["SET k hello".into()], vec!["GET k"]),
        ("long string", vec![format!("SET k {long}")], vec!["GET k"]),
        ("small integer", vec!["SET k -1".into()], vec!["GET k"]),
        ("integer of 16 bits", vec!["SET k 300".into()], vec!["GET k"]),
        ("integer of 32 bits", vec!["SET k -2147483648".into()], vec!["GET k"]),
        ("integer of 64 bits", vec!["SET k 9223372036854775807".into()], vec!["GET k"]),
        ("no integer", vec!["SET k 007".into()], vec!["GET k"]),
        ("packed list", vec!["RPUSH k a 1 -5 300000 b".into()], vec!["LRANGE k 0 -1"]),
        ("long list", numbered("RPUSH k", 4_000, &|n| format!("element:{n}")), vec!["LRANGE k 0 -1"]),
        ("list of long elements", vec![format!("RPUSH k a {long} b {long}")], vec!["LRANGE k 0 -1"]),
        ("set of integers", vec!["SADD k 1 2 -70000 5000000000".into()], vec!["SMEMBERS k"]),
        ("packed set", vec!["SADD k a b 1".into()], vec!["SMEMBERS k"]),
        ("large set", numbered("SADD k", 700, &|n| format!("m{n}")), vec!["SMEMBERS k"]),
        (
            "packed sorted set",
            vec!["ZADD k 1 a 2.5 b -inf c inf d 0.25 e".into()],
            vec!["ZRANGE k 0 -1 WITHSCORES"],
        ),
        (
            "large sorted set",
            numbered("ZADD k", 700, &|n| format!("{} m{n}", n as f64 / 4.0)),
            vec!["ZRANGE k 0 -1 WITHSCORES"],
        ),
        ("packed hash", vec!["HSET k a 1 b two c 3.3".into()], vec!["HGETALL k"]),
        (
            "large hash",
            numbered("HSET k", 700, &|n| format!("f{n} {}", "v".repeat(n % 90))),
            vec!["HGETALL k"],
        ),
        (
            "stream",
            vec![
                "XADD k 1-1 a 1 b 2".into(),
                "XADD k 2-1 a 1 b 3".into(),
                "XADD k 3-1 c 1".into(),
                "XDEL k 2-1".into(),
                "XGROUP CREATE k g 0".into(),
                "XREADGROUP GROUP g one COUNT 1 STREAMS k >".into(),
                "XGROUP CREATECONSUMER k g two".into(),
            ],
            vec!["XRANGE k - +", "XPENDING k g", "XREADGROUP GROUP g one STREAMS k 0", "XLEN k"],
        ),
        ("HyperLogLog", numbered("PFADD k", 500, &|n| n.to_string()), vec!["PFCOUNT k", "GET k"]),
    ]
}

/// A reply without the order of sets and hashes.
fn unordered(request: &str, reply: &Value) -> Vec<Vec<Value>> {
    let step = match request {
        "SMEMBERS k" => 1,
        "HGETALL k" => 2,
        _ => return vec![vec![reply.clone()]],
    };
    let mut items: Vec<Vec<Value>> = reply.items().chunks(step).map(<[Value]>::to_vec).collect();
    items.sort_by_key(|item| format!("{item:?}"));
    items
}

#[test]
fn every_type_crosses_to_redis_and_back() {
    let (strata, redis) = (Server::start(&[]), Server::redis(&[]));
    for (from, to) in [(&strata, &redis), (&redis, &strata)] {
        let (mut from, mut to) = (from.client(), to.client());
        for (name, writes, reads) in values() {
            from.run("DEL k");
            to.run("DEL k");
            for write in &writes {
                let reply = from.run(write);
                assert!(!reply.is_error(), "{name}: {reply:?}");
            }
            let payload = from.call(&[b"DUMP", b"k"]).bulk();
            let reply = to.call(&[b"RESTORE", b"k", b"0", &payload]);
            assert_eq!(reply, Value::Simple(b"OK".to_vec()), "{name}");
            for read in reads {
                let (one, other) = (from.run(read), to.run(read));
                assert_eq!(unordered(read, &one), unordered(read, &other), "{name}: {read}");
            }
        }
    }
}

#[test]
fn fields_keep_their_deadlines() {
    let server = Server::start(&[]);
    let mut c = server.client();
    c.run("HSET h a 1 b 2 c 3");
    c.run("HPEXPIREAT h 4102444800000 FIELDS 1 b");
    let payload = c.call(&[b"DUMP", b"h"]).bulk();
    assert_eq!(c.call(&[b"RESTORE", b"copy", b"0", &payload]), Value::Simple(b"OK".to_vec()));
    c.expect("HPEXPIRETIME copy FIELDS 3 a b c", "*3 :-1 :4102444800000 :-1");
    assert_eq!(c.run("HGET copy c").text(), "3");
}

#[test]
fn restore_refuses_what_redis_refuses() {
    let server = Server::start(&[]);
    let mut c = server.client();
    c.run("SET k value");
    let payload = c.call(&[b"DUMP", b"k"]).bulk();
    let error = |reply: Value| match reply {
        Value::Error(text) => String::from_utf8_lossy(&text).into_owned(),
        reply => panic!("no error: {reply:?}"),
    };
    let busy = error(c.call(&[b"RESTORE", b"k", b"0", &payload]));
    assert_eq!(busy, "BUSYKEY Target key name already exists.");
    let ttl = error(c.call(&[b"RESTORE", b"new", b"-1", &payload]));
    assert_eq!(ttl, "ERR Invalid TTL value, must be >= 0");
    let mut damaged = payload.clone();
    damaged[2] ^= 1;
    let damaged = error(c.call(&[b"RESTORE", b"new", b"0", &damaged]));
    assert_eq!(damaged, "ERR DUMP payload version or checksum are wrong");
    let idle = error(c.call(&[b"RESTORE", b"new", b"0", &payload, b"IDLETIME", b"-1"]));
    assert_eq!(idle, "ERR Invalid IDLETIME value, must be >= 0");
    let ok = Value::Simple(b"OK".to_vec());
    assert_eq!(c.call(&[b"RESTORE", b"k", b"5000", &payload, b"REPLACE", b"IDLETIME", b"1000"]), ok);
    assert!((1..=5000).contains(&c.run("PTTL k").integer()));
    assert!(c.run("OBJECT IDLETIME k").integer() >= 1000);
    assert_eq!(c.call(&[b"RESTORE", b"k", b"1", &payload, b"REPLACE", b"ABSTTL"]), ok);
    c.expect("EXISTS k", ":0");
}

#[test]
fn migrate_moves_keys_and_keeps_what_is_refused() {
    let (server, target) = (Server::start(&[]), Server::redis(&[]));
    let (mut c, mut other) = (server.client(), target.client());
    let port = target.port;
    c.run("SET s text");
    c.run("RPUSH l 1 2 3");
    c.run("ZADD z 1 a");
    c.run("PEXPIRE l 100000");
    c.expect(&format!("MIGRATE 127.0.0.1 {port} nothing 0 1000"), "+NOKEY");
    c.expect(&format!("MIGRATE 127.0.0.1 {port} s 3 1000"), "+OK");
    c.expect("EXISTS s", ":0");
    other.run("SELECT 3");
    assert_eq!(other.run("GET s").text(), "text");
    let arguments: Vec<&[u8]> = vec![b"MIGRATE", b"127.0.0.1"];
    let port_text = port.to_string();
    let rest: [&[u8]; 8] = [port_text.as_bytes(), b"", b"3", b"1000", b"COPY", b"KEYS", b"l", b"z"];
    assert_eq!(c.call(&[&arguments[..], &rest].concat()), Value::Simple(b"OK".to_vec()));
    c.expect("EXISTS l z", ":2");
    assert!((1..=100_000).contains(&other.run("PTTL l").integer()));
    let refused = c.run(&format!("MIGRATE 127.0.0.1 {port} z 3 1000")).text();
    assert_eq!(refused, "ERR Target instance replied with error: BUSYKEY Target key name already exists.");
    c.expect(&format!("MIGRATE 127.0.0.1 {port} z 3 1000 REPLACE"), "+OK");
    c.expect("EXISTS z", ":0");
    let closed = free_port();
    c.expect(
        &format!("MIGRATE 127.0.0.1 {closed} l 0 1000"),
        "-IOERR error or timeout connecting to the client",
    );
}
