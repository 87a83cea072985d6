//! Keys over the wire: their names, copies and moves, databases, and what is said about them.

use crate::support::*;

fn client() -> (Server, Client) {
    let server = Server::start(&[]);
    let client = server.client();
    (server, client)
}

#[test]
fn del_unlink_exists_and_touch_count_keys() {
    let (_server, mut c) = client();
    c.expect("MSET a 1 b 2 c 3 d 4", "+OK");
    c.expect("EXISTS a a none b", ":3");
    c.expect("TOUCH a none b", ":2");
    c.expect("DEL a a none", ":1");
    c.expect("UNLINK b c none", ":2");
    c.expect("DBSIZE", ":1");
    c.expect("DEL", "-ERR wrong number of arguments for 'del' command");
}

#[test]
fn rename_takes_the_ttl_along_and_overwrites() {
    let (_server, mut c) = client();
    c.expect("SET a 1 EX 100", "+OK");
    c.expect("SET b 2", "+OK");
    c.expect("RENAMENX a b", ":0");
    c.expect("RENAME a b", "+OK");
    c.expect("TTL b", ":100");
    c.expect("GET b", "$1 1");
    c.expect("RENAME a b", "-ERR no such key");
    c.expect("RENAMENX a b", "-ERR no such key");
    c.expect("RENAME b b", "+OK");
    c.expect("RENAMENX b b", ":0");
    c.expect("RENAMENX b c", ":1");
    c.expect("EXISTS b c", ":1");
}

#[test]
fn copy_keeps_the_source_and_needs_replace_to_overwrite() {
    let (_server, mut c) = client();
    c.expect("SET a 1 EX 100", "+OK");
    c.expect("COPY a b", ":1");
    c.expect("TTL b", ":100");
    c.expect("COPY a b", ":0");
    c.expect("SET a 2", "+OK");
    c.expect("COPY a b REPLACE", ":1");
    c.expect("GET b", "$1 2");
    c.expect("TTL b", ":-1");
    c.expect("COPY a a", "-ERR source and destination objects are the same");
    c.expect("COPY a a DB 3", ":1");
    c.expect("COPY none b", ":0");
    c.expect("COPY a b DB 99", "-ERR DB index is out of range");
    c.expect("COPY a b DB x", "-ERR value is not an integer or out of range");
    c.expect("COPY a b BOGUS", "-ERR syntax error");
    c.expect("SELECT 3", "+OK");
    c.expect("GET a", "$1 2");
}

#[test]
fn move_crosses_databases_and_never_overwrites() {
    let (_server, mut c) = client();
    c.expect("SET a 1 EX 100", "+OK");
    c.expect("MOVE a 0", "-ERR source and destination objects are the same");
    c.expect("MOVE a 99", "-ERR DB index is out of range");
    c.expect("MOVE none 1", ":0");
    c.expect("MOVE a 1", ":1");
    c.expect("EXISTS a", ":0");
    c.expect("SET a 2", "+OK");
    c.expect("MOVE a 1", ":0");
    c.expect("SELECT 1", "+OK");
    c.expect("GET a", "$1 1");
    c.expect("TTL a", ":100");
}

#[test]
fn swapdb_exchanges_what_clients_see() {
    let (server, mut c) = client();
    let mut other = server.client();
    other.expect("SELECT 1", "+OK");
    c.expect("SET zero 0", "+OK");
    other.expect("SET one 1", "+OK");
    c.expect("SWAPDB 0 1", "+OK");
    c.expect("GET one", "$1 1");
    other.expect("GET zero", "$1 0");
    c.expect("SWAPDB 0 0", "+OK");
    c.expect("SWAPDB 0 99", "-ERR DB index is out of range");
    c.expect("SWAPDB x 1", "-ERR invalid first DB index");
    c.expect("SWAPDB 1 x", "-ERR invalid second DB index");
}

#[test]
fn databases_are_apart_and_their_number_is_bounded() {
    let (_server, mut c) = client();
    c.expect("SET k 0", "+OK");
    c.expect("SELECT 15", "+OK");
    c.expect("GET k", "$-1");
    c.expect("SELECT 16", "-ERR DB index is out of range");
    c.expect("SELECT -1", "-ERR DB index is out of range");
    c.expect("SELECT x", "-ERR value is not an integer or out of range");
    c.expect("SET k 15", "+OK");
    c.expect("FLUSHDB", "+OK");
    c.expect("SELECT 0", "+OK");
    c.expect("GET k", "$1 0");
}

#[test]
fn flushall_empties_every_database_at_once() {
    let (server, mut c) = client();
    for mode in ["FLUSHALL", "FLUSHALL ASYNC", "FLUSHALL SYNC", "flushall async"] {
        for database in [0, 3, 15] {
            c.run(&format!("SELECT {database}"));
            c.expect("SET k v", "+OK");
        }
        c.expect(mode, "+OK");
        for database in [0, 3, 15] {
            c.run(&format!("SELECT {database}"));
            c.expect("DBSIZE", ":0");
        }
    }
    c.expect("FLUSHALL BOGUS", "-ERR syntax error");
    c.expect("FLUSHDB SYNC ASYNC", "-ERR syntax error");
    drop(server);
}

#[test]
fn flushall_async_does_not_stall_others() {
    let (server, mut c) = client();
    let mut pipeline = Vec::new();
    for number in 0..200_000 {
        pipeline.extend(encode(&["SET", &format!("key:{number}"), "value"]));
    }
    pipeline.extend(encode(&["DBSIZE"]));
    let reader = std::thread::spawn({
        let mut writer = server.client();
        move || {
            writer.send_raw(&pipeline);
            (0..200_000).for_each(|_| assert_eq!(writer.read().value.text(), "OK"));
            writer.read().value.integer()
        }
    });
    assert_eq!(reader.join().expect("the writer"), 200_000);
    c.expect("FLUSHALL ASYNC", "+OK");
    c.expect("DBSIZE", ":0");
    let started = std::time::Instant::now();
    c.expect("SET k v", "+OK");
    assert!(started.elapsed() < std::time::Duration::from_millis(500));
}

#[test]
fn keys_matches_globs_on_binary_names() {
    let (_server, mut c) = client();
    c.expect("MSET hello 1 hallo 2 hxllo 3 h*llo 4 other 5", "+OK");
    c.call(&[b"SET", b"\xff\x00x", b"6"]);
    let mut keys = |pattern: &[u8]| {
        let mut names = c.call(&[b"KEYS", pattern]).items();
        names.sort();
        names.iter().map(Value::text).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(keys(b"h?llo"), "h*llo hallo hello hxllo");
    assert_eq!(keys(b"h[ae]llo"), "hallo hello");
    assert_eq!(keys(b"h[^e]llo"), "h*llo hallo hxllo");
    assert_eq!(keys(b"h[a-e]llo"), "hallo hello");
    assert_eq!(keys(b"h\\*llo"), "h*llo");
    assert_eq!(keys(b"nothing*"), "");
    assert_eq!(keys(b"\xff*").len(), "\u{fffd}\0x".len());
}

#[test]
fn type_and_object_describe_a_key() {
    let (_server, mut c) = client();
    c.expect("SET k v", "+OK");
    c.expect("TYPE k", "+string");
    c.expect("TYPE none", "+none");
    c.expect("OBJECT ENCODING none", "$-1");
    c.expect("OBJECT REFCOUNT k", ":1");
    c.expect("OBJECT IDLETIME k", ":0");
    c.expect(
        "OBJECT FREQ k",
        "-ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching \
         between policies at runtime LRU and LFU data will take some time to adjust.",
    );
    c.expect("CONFIG SET maxmemory-policy allkeys-lfu", "+OK");
    assert!(c.run("OBJECT FREQ k").integer() >= 0);
    c.expect(
        "OBJECT IDLETIME k",
        "-ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between \
         policies at runtime LRU and LFU data will take some time to adjust.",
    );
    c.expect("OBJECT BOGUS k", "-ERR unknown subcommand 'BOGUS'. Try OBJECT HELP.");
    c.expect("OBJECT", "-ERR wrong number of arguments for 'object' command");
}

#[test]
fn idle_time_grows_and_touch_ends_it() {
    let (_server, mut c) = client();
    c.expect("SET k v", "+OK");
    eventually("the key has been idle for a second", || {
        (c.run("OBJECT IDLETIME k").integer() >= 1).then_some(())
    });
    c.expect("TOUCH k", ":1");
    c.expect("OBJECT IDLETIME k", ":0");
    c.expect("CLIENT NO-TOUCH ON", "+OK");
    eventually("reads under NO-TOUCH leave it idle", || {
        c.run("GET k");
        (c.run("OBJECT IDLETIME k").integer() >= 1).then_some(())
    });
}

#[test]
fn randomkey_returns_any_key_that_is_there() {
    let (_server, mut c) = client();
    c.expect("RANDOMKEY", "$-1");
    c.expect("MSET a 1 b 2 c 3", "+OK");
    let mut seen = std::collections::BTreeSet::new();
    eventually("each key has come up", || {
        seen.insert(c.run("RANDOMKEY").text());
        (seen.len() == 3).then_some(())
    });
}
