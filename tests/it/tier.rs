//! The second tier: what was acknowledged survives, what left memory is still there.

use crate::support::server::{free_port, run_to_exit};
use crate::support::{Client, Random, Server, Value, encode, eventually, random, strata_only};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

const LOGGED: [&str; 4] = ["--appendonly", "yes", "--l2-size", "256mb"];

/// Commands that make a key of every type and encoding.
const ONE_OF_EACH: [&str; 16] = [
    "SET int 12345",
    "SET text hello EX 1000",
    "APPEND edited 12",
    "SETRANGE long 20000 x",
    "HSET hash f v g w",
    "HSET wide a 1 b 2 c 3 d 4 e 5",
    "RPUSH list a b c",
    "SADD ints 1 2 3",
    "SADD words a b c",
    "ZADD zset 1 a 2 b",
    "XADD stream 1-1 f v",
    "XGROUP CREATE stream g 0",
    "XREADGROUP GROUP g c STREAMS stream >",
    "PFADD hll a b c",
    "GEOADD geo 13.361389 38.115556 Palermo",
    "HPEXPIRE hash 1000000 FIELDS 1 f",
];

/// When a consumer last asked for nothing is no change, and not logged.
fn forget_seen_times(value: &mut Value) {
    if let Value::Array(items) = value {
        for at in 1..items.len() {
            if matches!(&items[at - 1], Value::Bulk(name) if name == b"seen-time") {
                items[at] = Value::Null;
            }
        }
        items.iter_mut().for_each(forget_seen_times);
    }
}

/// Everything that a server holds, in an order of its own.
fn contents(client: &mut Client) -> Vec<(String, String, Value)> {
    let mut keys: Vec<String> = client.run("KEYS *").items().iter().map(Value::text).collect();
    keys.sort();
    let mut all = Vec::new();
    for key in keys {
        let read = match client.run(&format!("TYPE {key}")).text().as_str() {
            "string" => "GET",
            "hash" => "HGETALL",
            "list" => "LRANGE",
            "set" => "SORT",
            "zset" => "ZRANGE",
            _ => "XINFO STREAM",
        };
        let rest = match read {
            "LRANGE" | "ZRANGE" => " 0 -1",
            "SORT" => " ALPHA",
            "XINFO STREAM" => " FULL COUNT 0",
            _ => "",
        };
        let encoding = client.run(&format!("OBJECT ENCODING {key}")).text();
        let mut value = client.run(&format!("{read} {key}{rest}"));
        if read == "HGETALL" {
            let mut items = value.items();
            items.sort_by_key(Value::text);
            value = Value::Array(items);
        }
        forget_seen_times(&mut value);
        all.push((key, encoding, value));
    }
    all
}

#[test]
fn every_type_survives_a_crash_and_a_stop() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let mut server = Server::start(&LOGGED);
    let mut client = server.client();
    for command in ONE_OF_EACH {
        assert!(!client.run(command).is_error(), "{command}");
    }
    client.run("SELECT 3");
    client.run("SET other 3");
    client.run("SELECT 0");
    let before = contents(&mut client);
    assert_eq!(before.len(), 13);
    server.crash_and_restart(&LOGGED);
    let mut client = server.client();
    assert_eq!(contents(&mut client), before);
    assert!(client.run("TTL text").integer() > 900);
    assert!(client.run("HPTTL hash FIELDS 1 f").items()[0].integer() > 900_000);
    server.signal("TERM");
    assert!(server.wait().success());
    server.restart(&LOGGED);
    let mut client = server.client();
    assert_eq!(contents(&mut client), before);
    client.run("SELECT 3");
    client.expect("GET other", "$1 3");
}

/// A collection of every type, so large that the log has what is done to it, and commands that change it.
const LARGE: [(&str, &[&str]); 5] = [
    (
        "hash",
        &[
            "HSET hash f# v#",
            "HSET hash field:# changed",
            "HDEL hash field:#",
            "HINCRBY hash n# 7",
            "HINCRBYFLOAT hash d 0.1",
            "HSETNX hash new# 1",
            "HPEXPIRE hash #000000 FIELDS 1 field:#",
            "HPERSIST hash FIELDS 1 field:#",
            "HGETDEL hash FIELDS 1 f#",
            "PEXPIRE hash #90000000",
            "PERSIST hash",
        ],
    ),
    (
        "list",
        &[
            "RPUSH list a# b#",
            "LPUSH list c#",
            "LPOP list",
            "RPOP list 3",
            "LSET list # set",
            "LINSERT list BEFORE element:# in",
            "LREM list 1 element:#",
            "LTRIM list 1 -2",
            "LMOVE list list LEFT RIGHT",
            "LMOVE list small RIGHT LEFT",
            "EXPIRE list #00000",
        ],
    ),
    (
        "set",
        &["SADD set m# n#", "SREM set member:#", "SPOP set", "SPOP set 2", "SMOVE set small-set member:#"],
    ),
    (
        "zset",
        &[
            "ZADD zset # member:#",
            "ZADD zset GT 100 new#",
            "ZINCRBY zset 1.5 member:#",
            "ZREM zset member:#",
            "ZPOPMIN zset",
            "ZPOPMAX zset 2",
            "ZREMRANGEBYRANK zset 10 11",
            "ZREMRANGEBYSCORE zset 7 7.5",
        ],
    ),
    (
        "stream",
        &[
            "XADD stream * f v#",
            "XADD stream MAXLEN ~ 250 * f v# g w",
            "XTRIM stream MAXLEN 280",
            "XDEL stream 1-#",
            "XGROUP CREATE stream g# 1-5",
            "XREADGROUP GROUP g c# COUNT 2 STREAMS stream >",
            "XREADGROUP GROUP g c# NOACK COUNT 1 STREAMS stream >",
            "XREADGROUP GROUP g c# STREAMS stream 0",
            "XACK stream g 1-#",
            "XCLAIM stream g c# 0 1-#",
            "XAUTOCLAIM stream g c# 0 - COUNT 2",
            "XGROUP CREATECONSUMER stream g d#",
            "XGROUP DELCONSUMER stream g d#",
            "XGROUP SETID stream g 1-#",
            "XGROUP DESTROY stream g#",
        ],
    ),
];

/// Where two values begin to differ.
fn difference(before: &Value, after: &Value) -> String {
    match (before, after) {
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            let at = before.iter().zip(after).position(|(before, after)| before != after);
            at.map_or_else(String::new, |at| format!("[{at}]{}", difference(&before[at], &after[at])))
        }
        (before, after) => format!(": {before:?}, then {after:?}"),
    }
}

/// Of large collections the log has what was done to them; that must come to the same after any crash, and between
/// clean stops, and cost no more than what was done.
#[test]
fn what_was_done_to_large_collections_survives() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let seed = random::seed("large");
    let mut random = Random::new(seed);
    let mut server = Server::start(&LOGGED);
    let mut client = server.client();
    for number in 0..300 {
        for command in [
            format!("HSET hash field:{number} value:{number}"),
            format!("RPUSH list element:{number}"),
            format!("SADD set member:{number}"),
            format!("ZADD zset {number} member:{number}"),
            format!("XADD stream 1-{} f value:{number}", number + 1),
        ] {
            assert!(!client.run(&command).is_error(), "{command}");
        }
    }
    client.run("XGROUP CREATE stream g 0");
    for round in 0..12 {
        let written: u64 = client.info("l2_written_bytes").parse().expect("a number");
        for _ in 0..150 {
            let (_, commands) = LARGE[random.below(LARGE.len())];
            let number = (1 + random.below(320)).to_string();
            let command = commands[random.below(commands.len())].replace('#', &number);
            let wrapped = random.below(4) == 0;
            if wrapped {
                client.run("MULTI");
                client.run("INCR transactions");
            }
            let reply = client.run(&command);
            assert!(!format!("{reply:?}").contains("syntax"), "{command}: {reply:?}");
            if wrapped {
                client.run("EXEC");
            }
        }
        let written = client.info("l2_written_bytes").parse::<u64>().expect("a number") - written;
        // A whole value is at least 4 KiB; it is written when what was done is as long.
        assert!(written < 150 * 2500, "seed {seed}, round {round}: {written} bytes");
        let before = contents(&mut client);
        if round % 4 == 3 {
            server.signal("TERM");
            assert!(server.wait().success());
            server.restart(&LOGGED);
        } else {
            server.crash_and_restart(&LOGGED);
        }
        client = server.client();
        let after = contents(&mut client);
        for (before, after) in before.iter().zip(&after) {
            assert!(
                before == after,
                "seed {seed}, round {round}: {} {}",
                before.0,
                difference(&before.2, &after.2)
            );
        }
        assert_eq!(before.len(), after.len(), "seed {seed}, round {round}");
        assert_eq!(client.info("l2_damaged_records"), "0", "seed {seed}, round {round}");
    }
}

/// After a crash the workers removed what was due before the deltas of the values were read: a field's deadline in the
/// whole record brought the value into memory as it had been, and what was done to it since was lost.
#[test]
fn what_is_due_at_the_start_waits_for_the_deltas() {
    if strata_only("Redis has no second tier") {
        return;
    }
    const KEYS: usize = 24;
    let mut server = Server::start(&LOGGED);
    let mut client = server.client();
    let fields: Vec<String> = (0..300).map(|field| format!("f{field} {}", "v".repeat(30))).collect();
    for key in 0..KEYS {
        client.run(&format!("HSET from:{key} {}", fields.join(" ")));
        client.run(&format!("HPEXPIRE from:{key} 5 FIELDS 1 f7"));
        client.expect(&format!("COPY from:{key} to:{key}"), ":1");
        client.expect(&format!("HDEL to:{key} f9"), ":1");
        // The same of whole keys.
        client.run(&format!("HSET old:{key} {}", fields.join(" ")));
        client.run(&format!("PEXPIRE old:{key} 300"));
        client.expect(&format!("RENAME old:{key} kept:{key}"), "+OK");
        client.expect(&format!("PERSIST kept:{key}"), ":1");
    }
    client.expect("SET sentinel x PX 400", "+OK");
    eventually("all deadlines have passed", || (client.run("EXISTS sentinel").integer() == 0).then_some(()));
    server.crash_and_restart(&LOGGED);
    let mut client = server.client();
    for key in 0..KEYS {
        client.expect(&format!("HEXISTS to:{key} f9"), ":0");
        client.expect(&format!("HEXISTS to:{key} f7"), ":0");
        client.expect(&format!("HLEN kept:{key}"), ":300");
    }
}

/// Clients that want the same values from a disk that has to be waited for all get them, and each is read once.
/// Has the kernel forget what it has in memory of the log, which must be synced.
fn drop_pages(server: &Server) {
    for file in std::fs::read_dir(server.directory.join("l2")).expect("a directory") {
        let path = file.expect("a file").path();
        let status = std::process::Command::new("dd")
            .arg(format!("if={}", path.display()))
            .args(["of=/dev/null", "iflag=nocache", "count=0", "status=none"])
            .status();
        assert!(status.expect("dd exists").success());
    }
}

/// SCAN, KEYS, RANDOMKEY, SORT with patterns and EXEC waited for the disk on their worker, with shards locked: everybody else
/// waited with them.
#[test]
fn what_walks_over_keys_on_disk_is_put_off_until_they_are_read() {
    if strata_only("Redis has no second tier") {
        return;
    }
    const KEYS: usize = 1500;
    let server = Server::start(&["--appendonly", "yes", "--l2-size", "256mb", "--workers", "1"]);
    let mut client = server.client();
    for key in 0..KEYS {
        client.expect(&format!("SET weight:{key} {}", KEYS - key), "+OK");
    }
    client.run("RPUSH list 1 2 3 4 5 6 7 8 9");
    let cold = |client: &mut Client| {
        client.run("DEBUG DEMOTE");
        client.run("WAITAOF 1 0 0");
        drop_pages(&server);
        client.info("l2_reads_disk").parse::<usize>().expect("a number")
    };
    let before = cold(&mut client);
    let (mut cursor, mut found) = ("0".to_owned(), Vec::new());
    loop {
        let reply = client.run(&format!("SCAN {cursor} COUNT 400 TYPE string"));
        cursor = reply.items()[0].text();
        found.extend(reply.items()[1].items().iter().map(Value::text));
        if cursor == "0" {
            break;
        }
    }
    found.sort();
    found.dedup();
    assert_eq!(found.len(), KEYS);
    let scanned = cold(&mut client);
    assert!(scanned > before, "nothing was on disk only");
    assert_eq!(client.run("KEYS *").items().len(), KEYS + 1);
    cold(&mut client);
    assert_ne!(client.run("RANDOMKEY"), Value::Null);
    cold(&mut client);
    client.expect("SORT list BY weight:* GET # GET weight:* LIMIT 0 2", "*4 $1 9 $4 1491 $1 8 $4 1492");
    cold(&mut client);
    client.expect("SORT list BY weight:* STORE sorted", ":9");
    cold(&mut client);
    client.expect("LRANGE sorted 0 2", "*3 $1 9 $1 8 $1 7");
    cold(&mut client);
    client.expect("WATCH weight:3", "+OK");
    client.expect("MULTI", "+OK");
    for request in ["INCR weight:1", "GET weight:2", "KEYS list", "GET absent"] {
        client.expect(request, "+QUEUED");
    }
    cold(&mut server.client());
    client.expect("EXEC", "*4 :1500 $4 1498 *1 $4 list $-1");
    client.expect("GET weight:1", "$4 1500");
    client.expect("EXEC", "-ERR EXEC without MULTI");
    // One that is watched may be on disk, too.
    client.expect("WATCH weight:3", "+OK");
    server.client().expect("SET weight:3 0", "+OK");
    cold(&mut server.client());
    client.expect("MULTI", "+OK");
    client.expect("GET weight:4", "+QUEUED");
    client.expect("EXEC", "*-1");
}

#[test]
fn long_strings_are_sent_from_where_they_are_on_disk() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let server = Server::start(&["--appendonly", "yes", "--l2-size", "256mb", "--workers", "2"]);
    let mut client = server.client();
    let value = |key: usize, len: usize| -> Vec<u8> { (0..len).map(|at| (at * 31 + key) as u8).collect() };
    const LENGTHS: [usize; 4] = [60_000, 70_000, 300_001, 900_000];
    let set = |client: &mut Client, key: usize, bytes: &[u8]| {
        let key = format!("key:{key}");
        client.send_raw(
            &[
                format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n", key.len(), bytes.len()).as_bytes(),
                bytes,
                b"\r\n",
            ]
            .concat(),
        );
        client.expect_next("+OK");
    };
    for (round, keys) in [(0, 0..4), (1, 4..8)] {
        for (key, len) in keys.clone().zip(LENGTHS) {
            set(&mut client, key, &value(key, len));
        }
        client.run("DEBUG DEMOTE");
        client.run("WAITAOF 1 0 0");
        if round == 1 {
            drop_pages(&server);
        }
        // Nothing that is read stays in memory.
        client.expect("CONFIG SET maxmemory 1", "+OK");
        for (key, len) in keys.zip(LENGTHS) {
            assert!(client.run(&format!("GET key:{key}")) == Value::Bulk(value(key, len)), "key {key}");
            // It is looked at and let go again.
            client.expect(&format!("OBJECT TIER key:{key}"), "$4 disk");
        }
        client.expect("CONFIG SET maxmemory 0", "+OK");
    }
    // A reply that is under way keeps what it was made of.
    let requests = encode(&["GET", "key:3"]).repeat(40);
    let mut slow = server.client();
    slow.send_raw(&requests);
    set(&mut client, 3, b"other");
    client.expect("APPEND key:2 more", ":300005");
    for _ in 0..40 {
        let reply = slow.read().value;
        assert!(reply == Value::Bulk(value(3, 900_000)) || reply == Value::Bulk(b"other".to_vec()));
    }
    let appended = [value(2, 300_001), b"more".to_vec()].concat();
    assert!(client.run("GET key:2") == Value::Bulk(appended));
}

#[test]
fn what_many_want_from_disk_is_read_once() {
    if strata_only("Redis has no second tier") {
        return;
    }
    const KEYS: usize = 300;
    // Nothing that is read stays in memory.
    let server =
        Server::start(&["--appendonly", "yes", "--l2-size", "256mb", "--maxmemory", "1mb", "--workers", "2"]);
    let mut client = server.client();
    let value = |key: usize| format!("{key}:{}", "v".repeat(3000));
    for key in 0..KEYS {
        client.expect(&format!("SET key:{key} {}", value(key)), "+OK");
    }
    client.run("DEBUG DEMOTE");
    client.run("WAITAOF 1 0 0");
    drop_pages(&server);
    let read = |client: &mut Client| client.info("l2_reads_disk").parse::<usize>().expect("a number");
    let before = read(&mut client);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = server.client();
                let requests: Vec<Vec<u8>> =
                    (0..KEYS).map(|key| encode(&["GET", &format!("key:{key}")])).collect();
                client.send_raw(&requests.concat());
                for key in 0..KEYS {
                    assert!(client.read().value == Value::Bulk(value(key).into_bytes()), "key {key}");
                }
            });
        }
    });
    let waited = read(&mut client) - before;
    // Read by one client, a record may be gone from the kernel's memory when the next comes: not often.
    assert!(waited <= KEYS + KEYS / 10, "{waited} reads of {KEYS} records");
    println!("{waited} of {KEYS} records had to be waited for");
    let usage = client.run("MEMORY USAGE key:7").integer();
    assert!(usage < 100, "{usage} bytes of memory for a key on disk");
}

#[test]
fn what_is_gone_stays_gone() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let mut server = Server::start(&LOGGED);
    let mut client = server.client();
    for command in [
        "SET deleted v",
        "SET expired v",
        "SET renamed v",
        "SET overwritten old",
        "SET moved v",
        "RPUSH emptied a",
        "SET taken v",
        "SELECT 1",
        "SET flushed v",
        "SELECT 2",
        "SET swapped v",
        "SELECT 0",
    ] {
        client.run(command);
    }
    for command in [
        "DEL deleted",
        "PEXPIRE expired 1",
        "RENAME renamed new",
        "SET overwritten new",
        "MOVE moved 5",
        "LPOP emptied",
        "GETDEL taken",
        "SELECT 1",
        "FLUSHDB",
        "SET after v",
        "SWAPDB 2 4",
        "SELECT 0",
    ] {
        client.run(command);
    }
    eventually("the key has expired", || (client.run("EXISTS expired").integer() == 0).then_some(()));
    for _ in 0..2 {
        server.crash_and_restart(&LOGGED);
        client = server.client();
        let mut keys: Vec<String> = client.run("KEYS *").items().iter().map(Value::text).collect();
        keys.sort();
        assert_eq!(keys, ["new", "overwritten"]);
        client.expect("GET overwritten", "$3 new");
        client.run("SELECT 1");
        client.expect("KEYS *", "*1 $5 after");
        client.run("SELECT 4");
        client.expect("KEYS *", "*1 $7 swapped");
        client.run("SELECT 5");
        client.expect("KEYS *", "*1 $5 moved");
    }
    client.run("FLUSHALL");
    server.crash_and_restart(&LOGGED);
    client = server.client();
    client.expect("DBSIZE", ":0");
    client.expect("INFO keyspace", "$12 # Keyspace ");
}

#[test]
fn a_directory_belongs_to_one_server() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let server = Server::start(&LOGGED);
    let directory = server.directory.join("l2").display().to_string();
    let port = free_port().to_string();
    let (status, output) = run_to_exit(&["--port", &port, "--l2-size", "1gb", "--l2-dir", &directory], &[]);
    assert!(!status.success());
    assert!(output.contains("another server is using this directory"), "{output}");
    let (status, output) = run_to_exit(&["--port", &port, "--appendonly", "yes", "--l2-size", "0"], &[]);
    assert!(!status.success());
    assert!(output.contains("appendonly needs a second tier"), "{output}");
}

#[test]
fn values_that_left_memory_are_read_changed_and_expire() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let server = Server::start(&LOGGED);
    let mut client = server.client();
    client.run("CONFIG SET notify-keyspace-events Ex");
    let mut listener = server.client();
    listener.expect("SUBSCRIBE __keyevent@0__:expired", "*3 $9 subscribe $22 __keyevent@0__:expired :1");
    for command in ONE_OF_EACH {
        client.run(command);
    }
    client.run("DEL hash");
    let before = contents(&mut client);
    client.run("DEBUG DEMOTE");
    assert_eq!(client.info("l2_cold_keys"), before.len().to_string());
    client.expect("OBJECT TIER int", "$4 disk");
    client.expect("DBSIZE", &format!(":{}", before.len()));
    assert_eq!(contents(&mut client), before);
    client.run("DEBUG DEMOTE");
    client.expect("INCR int", ":12346");
    client.expect("OBJECT TIER int", "$6 memory");
    client.expect("RPUSH list d", ":4");
    client.expect("EXISTS absent", ":0");
    client.expect("MGET int text absent", "*3 $5 12346 $5 hello _".replace('_', "$-1").as_str());
    client.run("SET soon v PX 100");
    client.run("DEBUG DEMOTE");
    let message = listener.read().value;
    assert_eq!(message.items()[2].text(), "soon");
}

/// Over `maxmemory` values leave for the disk and nothing is lost; memory stays within its bound.
#[test]
fn more_than_memory_holds_stays() {
    if strata_only("Redis has no second tier") {
        return;
    }
    const KEYS: usize = 40_000;
    for log in ["yes", "no"] {
        let server = Server::start(&["--appendonly", log, "--l2-size", "512mb", "--maxmemory", "8mb"]);
        let mut client = server.client();
        let value = |number: usize| format!("{number}-{}", "x".repeat(1000));
        for start in (0..KEYS).step_by(500) {
            let batch = start..start + 500;
            let pipeline: Vec<u8> = batch
                .clone()
                .flat_map(|number| encode(&["SET".to_owned(), format!("key:{number}"), value(number)]))
                .collect();
            client.send_raw(&pipeline);
            batch.for_each(|number| assert_eq!(client.read().value.text(), "OK", "{number}"));
        }
        client.expect("DBSIZE", &format!(":{KEYS}"));
        let cold: usize = client.info("l2_cold_keys").parse().expect("a number");
        assert!(cold > KEYS / 2, "{cold} keys are on disk");
        assert!(client.counted_bytes() < 12 << 20, "{} bytes", client.counted_bytes());
        let mut random = Random::new(random::seed("more than memory"));
        for _ in 0..5_000 {
            let number = random.below(KEYS);
            assert_eq!(client.run(&format!("GET key:{number}")).text(), value(number));
        }
        assert_eq!(client.info("evicted_keys"), "0");
    }
}

/// A snapshot has the values that are on disk, too, and a server whose log is empty begins with it, once.
#[test]
fn snapshots_have_what_left_memory_and_are_taken_in_once() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let mut server = Server::start(&LOGGED);
    let mut client = server.client();
    for command in ONE_OF_EACH {
        client.run(command);
    }
    let before = contents(&mut client);
    client.run("DEBUG DEMOTE");
    client.expect("SAVE", "+OK");
    client.run("FLUSHALL");
    client.run("SET after v");
    // The log is newer than the snapshot.
    server.crash_and_restart(&LOGGED);
    let mut client = server.client();
    client.expect("KEYS *", "*1 $5 after");
    // The file does not say of a string whether it was edited, which its encoding shows.
    let values = |contents: Vec<(String, String, Value)>| -> Vec<(String, Value)> {
        contents.into_iter().map(|(key, _, value)| (key, value)).collect()
    };
    let elsewhere = ["--appendonly", "yes", "--l2-size", "256mb", "--l2-dir", "other"];
    server.crash_and_restart(&elsewhere);
    let mut client = server.client();
    assert_eq!(values(contents(&mut client)), values(before.clone()));
    client.run("DEL int");
    server.crash_and_restart(&elsewhere);
    let mut client = server.client();
    assert_eq!(contents(&mut client).len(), before.len() - 1);
    client.expect("EXISTS int", ":0");
}

/// What was there before logging began is logged too.
#[test]
fn logging_can_begin_at_any_time() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let arguments = ["--appendonly", "no", "--l2-size", "256mb"];
    let mut server = Server::start(&arguments);
    let mut client = server.client();
    client.run("SET early v");
    client.expect("CONFIG SET appendonly yes", "+OK");
    client.run("SET late v");
    eventually("all is logged", || {
        (client.info("l2_live_bytes").parse::<u64>().expect("a number") >= 2 * 48).then_some(())
    });
    server.crash_and_restart(&arguments);
    let mut client = server.client();
    client.expect("EXISTS early late", ":2");
    // Without the log: what left memory is there after a crash, and nothing that was overwritten or deleted since.
    client.expect("CONFIG GET appendonly", "*2 $10 appendonly $2 no");
    client.run("SET early new");
    client.run("DEL late");
    server.crash_and_restart(&arguments);
    let mut client = server.client();
    client.expect("MGET early late", "*2 $-1 $-1");
    client.run("SET kept v");
    // A change of a value that was on disk had the version of the tombstone of the old one when it was written out at
    // the stop, and was lost with it.
    client.run("SET changed 1");
    client.run("DEBUG DEMOTE");
    client.run("APPEND changed 2");
    server.signal("TERM");
    assert!(server.wait().success());
    server.restart(&arguments);
    server.client().expect("MGET kept changed", "*2 $1 v $2 12");
}

/// With `always`, replies wait for the disk, and those of many clients share a sync.
#[test]
fn always_syncs_before_it_answers_and_shares_syncs() {
    if strata_only("Redis counts no syncs") {
        return;
    }
    let server = Server::start(&["--appendonly", "yes", "--l2-size", "256mb", "--appendfsync", "always"]);
    let mut clients: Vec<Client> = (0..20).map(|_| server.client()).collect();
    const ROUNDS: usize = 20;
    for round in 0..ROUNDS {
        for (number, client) in clients.iter_mut().enumerate() {
            client.send(&format!("SET key:{number} {round}"));
        }
        for client in &mut clients {
            assert_eq!(client.read().value.text(), "OK");
        }
    }
    let syncs: usize = clients[0].info("l2_syncs").parse().expect("a number");
    assert!((1..ROUNDS * clients.len() / 2).contains(&syncs), "{syncs} syncs");
    clients[0].expect("WAITAOF 1 0 0", "*2 :1 :0");
}

#[test]
fn waitaof_tells_when_it_is_on_the_disk() {
    let server = Server::start(&[]);
    let mut client = server.client();
    for (request, reply) in [
        ("WAIT 0 100", ":0"),
        ("WAIT 1 20", ":0"),
        ("WAIT x 0", "-ERR value is not an integer or out of range"),
        ("WAIT 1 -1", "-ERR timeout is negative"),
    ] {
        client.expect(request, reply);
    }
    if strata_only("WAITAOF came with Redis 7.2") {
        return;
    }
    for (request, reply) in [
        ("WAITAOF 2 0 0", "-ERR value is out of range, must be between 0 and 1"),
        ("WAITAOF 0 -1 0", "-ERR value is out of range, must be positive"),
        ("WAITAOF 1 0 0", "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."),
        ("WAITAOF 0 0 0", "*2 :0 :0"),
        ("WAITAOF 0 1 20", "*2 :0 :0"),
    ] {
        client.expect(request, reply);
    }
    let server = Server::start(&LOGGED);
    let mut client = server.client();
    client.run("SET k v");
    client.expect("WAITAOF 1 0 0", "*2 :1 :0");
    client.expect("WAITAOF 1 1 20", "*2 :1 :0");
}

/// What another client's write did for one that waited was written by another worker, and is waited for all the same.
#[test]
fn waitaof_knows_of_what_was_served() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let server = Server::start(&["--appendonly", "yes", "--l2-size", "256mb", "--workers", "2"]);
    let mut client = server.client();
    let mut waiting = server.client();
    let syncs = |client: &mut Client| client.info("l2_syncs").parse::<u64>().expect("a number");
    waiting.send("BLMOVE from to LEFT LEFT 0");
    let is_blocked = |client: &mut Client| client.info("blocked_clients") == "1";
    eventually("it waits", || is_blocked(&mut client).then_some(()));
    client.expect("WAITAOF 1 0 0", "*2 :1 :0");
    let before = syncs(&mut client);
    client.expect("RPUSH from element", ":1");
    waiting.expect_next("$7 element");
    waiting.expect("WAITAOF 1 0 0", "*2 :1 :0");
    assert!(syncs(&mut client) > before);
}

/// What is overwritten again and again takes no more than its room, and the log is read anew without loss.
#[test]
fn what_no_longer_counts_is_removed() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let arguments = ["--appendonly", "yes", "--l2-size", "32mb"];
    let mut server = Server::start(&arguments);
    let mut client = server.client();
    let mut random = Random::new(random::seed("reclaim"));
    let mut model: HashMap<usize, Option<String>> = HashMap::new();
    for round in 0..20_000 {
        let key = random.below(500);
        let value = (random.below(10) > 0).then(|| format!("{round}-{}", "v".repeat(random.below(20_000))));
        let request = match &value {
            Some(value) => format!("SET key:{key} {value}"),
            None => format!("DEL key:{key}"),
        };
        eventually("there is room again", || (!client.run(&request).is_error()).then_some(()));
        model.insert(key, value);
    }
    assert!(client.info("l2_reclaimed_segments").parse::<u64>().expect("a number") > 10);
    for _ in 0..2 {
        for (key, value) in &model {
            let expected =
                value.as_ref().map_or(Value::Null, |value| Value::Bulk(value.clone().into_bytes()));
            assert!(client.run(&format!("GET key:{key}")) == expected, "key {key}");
        }
        server.crash_and_restart(&arguments);
        client = server.client();
    }
}

/// What expires soon lies in segments of its own, that are empty when it has expired: what stays is not moved for it.
#[test]
fn what_expires_soon_is_not_mixed_with_what_stays() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let arguments = ["--appendonly", "yes", "--l2-size", "64mb", "--workers", "1"];
    let mut server = Server::start(&arguments);
    let mut client = server.client();
    let value = "v".repeat(4000);
    for key in 0..6000 {
        client.expect(&format!("SET brief:{key} {value} PX 2000"), "+OK");
        if key % 10 == 0 {
            client.expect(&format!("SET stays:{key} {value}"), "+OK");
        }
    }
    eventually("what is brief has expired", || (client.run("DBSIZE").integer() == 600).then_some(()));
    eventually("its segments are gone", || {
        let reclaimed: u64 = client.info("l2_reclaimed_segments").parse().expect("a number");
        (reclaimed >= 5).then_some(())
    });
    let moved: u64 = client.info("l2_moved_bytes").parse().expect("a number");
    // Tombstones at most: they lie beside what stays.
    assert!(moved < 600_000, "{moved} bytes were moved");
    server.crash_and_restart(&arguments);
    let mut client = server.client();
    assert_eq!(client.run("DBSIZE").integer(), 600);
    client.expect("EXISTS brief:0 brief:5999 stays:0", ":1");
}

/// Damage costs what it touches, is counted, and is never served.
#[test]
fn damage_costs_what_it_touches_and_is_never_served() {
    if strata_only("Redis has no second tier") {
        return;
    }
    const KEYS: usize = 2_000;
    let seed = random::seed("damage");
    let mut random = Random::new(seed);
    for kind in ["flip", "zero", "cut"] {
        let mut server = Server::start(&LOGGED);
        let mut client = server.client();
        for number in 0..KEYS {
            client.run(&format!("SET key:{number} {number}-{}", "v".repeat(100)));
        }
        server.signal("KILL");
        server.wait();
        let mut segments: Vec<_> = std::fs::read_dir(server.directory.join("l2"))
            .expect("the tier's directory")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "segment"))
            .collect();
        segments.sort();
        let mut bytes = std::fs::read(&segments[0]).expect("a segment");
        let used = bytes.iter().rposition(|byte| *byte != 0).expect("records") + 1;
        match kind {
            "flip" => (0..20).for_each(|_| bytes[64 + random.below(used - 64)] ^= 1 << random.below(8)),
            "zero" => {
                let from = 64 + random.below(used - 5_000);
                bytes[from..from + 4_096].fill(0);
            }
            // Within a record: at its end there would be no damage.
            _ => bytes.truncate(64 + random.below(used - 80) / 16 * 16 + 2),
        }
        std::fs::write(&segments[0], &bytes).expect("a segment to write");
        let directory = server.directory.join("l2").display().to_string();
        let (status, output) = run_to_exit(&["check", &directory], &[]);
        assert!(!status.success() && output.contains("bytes are damaged ("), "seed {seed}: {output}");
        // As it is, or when what is damaged has been cleared.
        let repaired = random.below(2) == 0;
        if repaired {
            let (_, output) = run_to_exit(&["check", &directory, "--repair"], &[]);
            assert!(output.contains("which are cleared now"), "seed {seed}: {output}");
            let (status, output) = run_to_exit(&["check", &directory], &[]);
            assert!(status.success() && output.contains(" 0 damaged places"), "seed {seed}: {output}");
        }
        server.restart(&LOGGED);
        let mut client = server.client();
        let found = client.info("l2_damaged_records") != "0";
        assert_eq!(found, !repaired, "seed {seed}: {kind}");
        let (status, output) = run_to_exit(&["check", &directory], &[]);
        assert!(!status.success() && output.contains("another server is using"), "{output}");
        let mut there = 0;
        for number in 0..KEYS {
            let reply = client.run(&format!("GET key:{number}"));
            if reply != Value::Null {
                assert_eq!(reply.text(), format!("{number}-{}", "v".repeat(100)), "seed {seed}");
                there += 1;
            }
        }
        println!("{kind}: {there} of {KEYS} keys are left");
        assert!(there < KEYS, "seed {seed}: nothing was damaged");
        assert!(kind == "cut" || there > KEYS - 200, "seed {seed}: {kind} cost {} keys", KEYS - there);
        client.expect("SET key:0 new", "+OK");
    }
}

/// Clients write without rest, the server is killed at a random moment, and afterwards every client finds what it
/// was told: its last acknowledged value, or one that it had sent after that.
#[test]
fn every_acknowledged_write_survives_kills_at_random_moments() {
    if strata_only("Redis has no second tier") {
        return;
    }
    const CLIENTS: u64 = 4;
    let rounds = std::env::var("STRATA_TEST_KILLS").map_or(30, |text| text.parse().expect("a number"));
    let seed = random::seed("kills");
    let mut random = Random::new(seed);
    let arguments = ["--appendonly", "yes", "--l2-size", "64mb", "--maxmemory", "3mb", "--workers", "2"];
    let mut server = Server::start(&arguments);
    // For each client what each of its keys may be: the values sent since the last that was acknowledged, and that.
    let mut models: Vec<HashMap<u64, Vec<Option<u64>>>> = (0..CLIENTS).map(|_| HashMap::new()).collect();
    let mut acknowledged = 0;
    for round in 0..rounds {
        let stop = AtomicBool::new(false);
        let after = std::time::Duration::from_micros(20_000 + random.below(150_000) as u64);
        std::thread::scope(|scope| {
            let writers: Vec<_> = models
                .iter_mut()
                .enumerate()
                .map(|(client, model)| {
                    let (stop, seed) = (&stop, random.next());
                    // Here: a thread may begin after the kill.
                    let connection = server.client();
                    scope.spawn(move || write_until(connection, client as u64, model, seed, stop, round))
                })
                .collect();
            std::thread::sleep(after); // the moment of the kill is the test's subject
            server.signal("KILL");
            stop.store(true, Ordering::Relaxed);
            for writer in writers {
                acknowledged += writer.join().expect("a writer");
            }
        });
        server.wait();
        server.restart(&arguments);
        let mut client = server.client();
        for (number, model) in models.iter_mut().enumerate() {
            for (key, may_be) in model.iter_mut() {
                let one = value_of(&client.run(&format!("GET {number}:a:{key}")));
                let other = value_of(&client.run(&format!("GET {number}:b:{key}")));
                let len = client.run(&format!("LLEN {number}:list:{key}")).integer() as u64;
                assert_eq!(
                    one, other,
                    "seed {seed}, round {round}: half of a transaction, key {number}:{key}"
                );
                assert!(
                    may_be.contains(&one),
                    "seed {seed}, round {round}: key {number}:{key} is {one:?}, not one of {may_be:?}"
                );
                assert_eq!(
                    len,
                    one.map_or(0, |value| value % 7),
                    "seed {seed}, round {round}: the list of {number}:{key}"
                );
                *may_be = vec![one];
            }
        }
    }
    println!("{acknowledged} transactions were acknowledged in {rounds} rounds");
    assert!(acknowledged > 100, "only {acknowledged}");
}

fn value_of(reply: &Value) -> Option<u64> {
    if *reply == Value::Null {
        return None;
    }
    reply.text().split('-').next().and_then(|number| number.parse().ok())
}

/// Sends transactions, each of which sets a pair of keys and a list to one number or removes them, until the server
/// is gone. Returns how many were acknowledged.
fn write_until(
    mut client: Client,
    number: u64,
    model: &mut HashMap<u64, Vec<Option<u64>>>,
    seed: u64,
    stop: &AtomicBool,
    round: u64,
) -> u64 {
    let mut random = Random::new(seed);
    let mut acknowledged = 0;
    while !stop.load(Ordering::Relaxed) {
        let key = random.below(50) as u64;
        let value = (random.below(5) > 0).then(|| round * 1_000_000 + acknowledged);
        let mut request = encode(&["MULTI"]);
        let mut replies = 4;
        match value {
            Some(value) => {
                let text = format!("{value}-{}", "x".repeat(random.below(3000)));
                for half in ["a", "b"] {
                    request.extend(encode(&["SET", &format!("{number}:{half}:{key}"), &text]));
                }
                request.extend(encode(&["DEL", &format!("{number}:list:{key}")]));
                replies += 1;
                for element in 0..value % 7 {
                    request.extend(encode(&["RPUSH", &format!("{number}:list:{key}"), &element.to_string()]));
                    replies += 1;
                }
            }
            None => {
                let names = ["a", "b", "list"].map(|half| format!("{number}:{half}:{key}"));
                request.extend(encode(&["DEL", &names[0], &names[1]]));
                request.extend(encode(&["UNLINK", &names[2]]));
            }
        }
        request.extend(encode(&["EXEC"]));
        let may_be = model.entry(key).or_insert_with(|| vec![None]);
        may_be.push(value);
        if !client.send_raw(&request) {
            break;
        }
        let mut last = None;
        let done = (0..replies).all(|_| {
            last = client.read_within(crate::support::PATIENCE);
            last.is_some()
        });
        if !done {
            break;
        }
        assert!(last.is_some_and(|last| !last.value.is_error()), "a transaction is refused");
        *may_be = vec![value];
        acknowledged += 1;
    }
    acknowledged
}

/// While values that had not been logged were written, SWAPDB gave their database another number: they were logged as keys
/// of the other database, or not at all.
#[test]
fn databases_that_are_swapped_while_logging_begins_are_logged_as_they_are() {
    if strata_only("Redis has no second tier") {
        return;
    }
    const KEYS: usize = 2000;
    let mut server = Server::start(&["--appendonly", "no", "--l2-size", "512mb", "--workers", "2"]);
    let mut client = server.client();
    for number in 0..KEYS {
        client.expect(&format!("SET key:{number} {number}.{}", "v".repeat(20_000)), "+OK");
    }
    client.expect("CONFIG SET appendonly yes", "+OK");
    let live = |client: &mut Client| client.info("l2_live_bytes").parse::<usize>().expect("a number");
    for _ in 0..5 {
        client.expect("SWAPDB 0 1", "+OK");
        let before = live(&mut client);
        eventually("some more are logged", || {
            let live = live(&mut client);
            (live > before || live > KEYS * 20_000).then_some(())
        });
    }
    eventually("all is logged", || (live(&mut client) > KEYS * 20_000).then_some(()));
    server.crash_and_restart(&["--l2-size", "512mb", "--workers", "2"]);
    let mut client = server.client();
    client.expect("DBSIZE", ":0");
    client.expect("SELECT 1", "+OK");
    for number in 0..KEYS {
        let value = client.run(&format!("GETRANGE key:{number} 0 4")).text();
        assert!(value.starts_with(&format!("{number}.")), "key:{number} has {value:?}");
    }
}
