//! SAVE, BGSAVE, save points, and what is loaded at the start: files cross between Strata and redis-server, and a file
//! is one moment, whatever is written meanwhile.

use crate::support::server::{fresh_directory, run_to_exit};
use crate::support::*;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

fn ok() -> Value {
    Value::Simple(b"OK".to_vec())
}

/// The value of a field of INFO persistence.
fn persistence(c: &mut Client, field: &str) -> String {
    let info = c.run("INFO persistence").text();
    let line = info.lines().find_map(|line| line.strip_prefix(&format!("{field}:")));
    line.unwrap_or_else(|| panic!("no {field} in {info}")).to_owned()
}

fn wait_for_save(c: &mut Client) {
    eventually("the save ends", || (persistence(c, "rdb_bgsave_in_progress") == "0").then_some(()));
}

/// Fills some databases with values of every type in every encoding.
pub fn fill(c: &mut Client) {
    let numbered = |command: &str, count: usize, item: &dyn Fn(usize) -> String| {
        let items: Vec<String> = (0..count).map(item).collect();
        format!("{command} {}", items.join(" "))
    };
    let long = "x".repeat(30_000);
    let lines = [
        "SELECT 0".to_owned(),
        "SET embedded hello".into(),
        "SET empty:not 0".into(),
        format!("SET long {long}"),
        "SET int:8 -1".into(),
        "SET int:16 300".into(),
        "SET int:32 -2147483648".into(),
        "SET int:64 9223372036854775807".into(),
        "SET int:no 007".into(),
        "SET 12345 a-key-that-is-a-number".into(),
        "SETRANGE sparse 5000 end".into(),
        "APPEND appended one".into(),
        "RPUSH list:packed a 1 -5 300000 b".into(),
        numbered("RPUSH list:long", 4_000, &|n| format!("element:{n}")),
        format!("RPUSH list:plain a {long} b {long}"),
        "SADD set:ints 1 2 -70000 5000000000".into(),
        "SADD set:packed a b 1".into(),
        numbered("SADD set:large", 700, &|n| format!("m{n}")),
        "ZADD zset:packed 1 a 2.5 b -inf c inf d 0.25 e".into(),
        numbered("ZADD zset:large", 700, &|n| format!("{} m{n}", n as f64 / 4.0)),
        "HSET hash:packed a 1 b two c 3".into(),
        numbered("HSET hash:large", 700, &|n| format!("f{n} {}", "v".repeat(1 + n % 90))),
        "XADD stream 1-1 a 1 b 2".into(),
        "XADD stream 2-1 a 1 b 3".into(),
        "XADD stream 3-1 c 1".into(),
        "XDEL stream 2-1".into(),
        "XGROUP CREATE stream g 0".into(),
        "XREADGROUP GROUP g one COUNT 1 STREAMS stream >".into(),
        "XGROUP CREATECONSUMER stream g two".into(),
        "XADD stream:emptied 5-5 a 1".into(),
        "XDEL stream:emptied 5-5".into(),
        numbered("PFADD loglog", 500, &|n| n.to_string()),
        "PEXPIREAT embedded 4102444800123".into(),
        "PEXPIREAT hash:large 4102444800124".into(),
        "SELECT 9".into(),
        "SET other:database 1".into(),
        "PEXPIREAT other:database 4102444800125".into(),
        "SELECT 0".into(),
    ];
    for line in lines {
        let reply = c.run(&line);
        assert!(!reply.is_error(), "{line:.60}: {reply:?}");
    }
    let binary: Vec<u8> = (0..=255).collect();
    assert_eq!(c.call(&[b"SET", &binary, &binary]), ok());
}

fn sorted(reply: &Value, step: usize) -> Vec<Vec<Value>> {
    let mut items: Vec<Vec<Value>> = reply.items().chunks(step).map(<[Value]>::to_vec).collect();
    items.sort_by_key(|item| format!("{item:?}"));
    items
}

/// All keys of all databases with their types, deadlines and values.
pub fn contents(c: &mut Client) -> BTreeMap<(usize, Vec<u8>), String> {
    contents_of(c, 0..16)
}

pub fn contents_of(c: &mut Client, databases: Range<usize>) -> BTreeMap<(usize, Vec<u8>), String> {
    let mut found = BTreeMap::new();
    for database in databases {
        c.run(&format!("SELECT {database}"));
        for key in c.run("KEYS *").items() {
            let key = key.bulk();
            let kind = c.call(&[b"TYPE", &key]).text();
            let deadline = c.call(&[b"PEXPIRETIME", &key]).integer();
            let value = match kind.as_str() {
                "string" => format!("{:?}", c.call(&[b"GET", &key])),
                "list" => format!("{:?}", c.call(&[b"LRANGE", &key, b"0", b"-1"])),
                "set" => format!("{:?}", sorted(&c.call(&[b"SMEMBERS", &key]), 1)),
                "zset" => format!("{:?}", c.call(&[b"ZRANGE", &key, b"0", b"-1", b"WITHSCORES"])),
                "hash" => format!("{:?}", sorted(&c.call(&[b"HGETALL", &key]), 2)),
                "stream" => {
                    let mut all = format!("{:?}", c.call(&[b"XRANGE", &key, b"-", b"+"]));
                    let groups = c.call(&[b"XINFO", b"GROUPS", &key]);
                    all += &format!("{groups:?}");
                    let stream = c.call(&[b"XINFO", b"STREAM", &key]);
                    for field in ["last-generated-id", "max-deleted-entry-id", "entries-added", "length"] {
                        all += &format!("{:?}", stream.field(field));
                    }
                    for group in groups.items() {
                        let group = group.field("name").bulk();
                        all += &format!("{:?}", c.call(&[b"XPENDING", &key, &group]));
                    }
                    all
                }
                other => panic!("a type {other}"),
            };
            found.insert((database, key), format!("{kind} {deadline} {value}"));
        }
    }
    c.run("SELECT 0");
    found
}

#[track_caller]
pub fn assert_same(one: &BTreeMap<(usize, Vec<u8>), String>, other: &BTreeMap<(usize, Vec<u8>), String>) {
    for (key, value) in one {
        let name = key.1.escape_ascii();
        assert_eq!(other.get(key), Some(value), "{} of database {}", name, key.0);
    }
    assert_eq!(one.len(), other.len());
}

pub fn on(directory: &Path) -> [&str; 2] {
    ["--dir", directory.to_str().expect("a path")]
}

#[test]
fn files_cross_to_redis_and_back() {
    let sources = [
        Server::start(&[]),
        Server::start(&["--maxmemory-policy", "allkeys-lfu", "--rdbchecksum", "no"]),
        Server::redis(&[]),
        Server::redis(&["--maxmemory-policy", "allkeys-lru", "--maxmemory", "1gb"]),
        Server::redis(&["--rdbcompression", "no", "--maxmemory-policy", "allkeys-lfu", "--maxmemory", "1gb"]),
    ];
    for (number, source) in sources.iter().enumerate() {
        let mut c = source.client();
        fill(&mut c);
        c.expect("SAVE", "+OK");
        let expected = contents(&mut c);
        assert_eq!(expected.len(), 26);
        let targets = [Server::start(&on(&source.directory)), Server::redis(&on(&source.directory))];
        for (index, target) in targets.iter().enumerate() {
            println!("from {number} to {index}");
            assert_same(&expected, &contents(&mut target.client()));
        }
        assert_eq!(persistence(&mut targets[0].client(), "rdb_last_load_keys_loaded"), "26");
    }
}

#[test]
fn fields_and_uses_of_keys_are_kept() {
    if strata_only("fields_and_uses_of_keys_are_kept") {
        return;
    }
    let server = Server::start(&["--maxmemory-policy", "allkeys-lru"]);
    let mut c = server.client();
    c.run("HSET h a 1 b 2 c 3");
    c.run("HPEXPIREAT h 4102444800000 FIELDS 1 b");
    c.run("SET idle 1");
    let payload = c.call(&[b"DUMP", b"idle"]).bulk();
    assert_eq!(c.call(&[b"RESTORE", b"idle", b"0", &payload, b"REPLACE", b"IDLETIME", b"1000"]), ok());
    c.expect("SAVE", "+OK");
    let again = Server::start(&[&on(&server.directory)[..], &["--maxmemory-policy", "allkeys-lru"]].concat());
    let mut c = again.client();
    c.expect("HPEXPIRETIME h FIELDS 3 a b c", "*3 :-1 :4102444800000 :-1");
    assert_eq!(c.run("HGET h c").text(), "3");
    assert!((1000..1100).contains(&c.run("OBJECT IDLETIME idle").integer()));
}

#[test]
fn keys_that_are_due_are_not_loaded() {
    let server = Server::start(&[]);
    let mut c = server.client();
    c.run("DEBUG SET-ACTIVE-EXPIRE 0");
    c.run("SET stays 1");
    c.run("SET goes 1 PX 1");
    c.expect("SAVE", "+OK");
    let again = Server::start(&on(&server.directory));
    let mut c = again.client();
    c.expect("KEYS *", "*1 $5 stays");
    assert_eq!(persistence(&mut c, "rdb_last_load_keys_expired"), "1");
    assert_eq!(persistence(&mut c, "rdb_last_load_keys_loaded"), "1");
}

/// Sends requests in one go and reads all replies.
fn pipeline(c: &mut Client, lines: &[String]) -> Vec<Value> {
    let requests: Vec<u8> =
        lines.iter().flat_map(|line| encode(&line.split(' ').collect::<Vec<_>>())).collect();
    assert!(c.send_raw(&requests));
    lines.iter().map(|_| c.read().value).collect()
}

const PAIRS: usize = 4_000;
const ACCOUNTS: usize = 2_000;
const TOKENS: usize = 1_000;

/// What writers never break: pairs are equal, the sum of the accounts is their number times 1000, and each token has
/// exactly one name.
fn assert_one_moment(c: &mut Client) {
    let mut get = |name: &str, count: usize| {
        let names: Vec<String> = (0..count).map(|n| format!("{name}:{n}")).collect();
        c.run(&format!("MGET {}", names.join(" "))).items()
    };
    let (left, right) = (get("left", PAIRS), get("right", PAIRS));
    assert!(left.iter().all(|value| *value != Value::Null));
    assert!(left == right, "pairs differ");
    let sum: i64 = get("account", ACCOUNTS).iter().map(|value| value.text().parse::<i64>().unwrap()).sum();
    assert_eq!(sum, 1000 * ACCOUNTS as i64);
    let (here, there) = (get("here", TOKENS), get("there", TOKENS));
    for (n, (here, there)) in here.iter().zip(&there).enumerate() {
        assert!((*here == Value::Null) != (*there == Value::Null), "token {n}: {here:?} and {there:?}");
    }
}

#[test]
fn a_save_is_one_moment_whatever_is_written_meanwhile() {
    let server = Server::start(&[]);
    let mut c = server.client();
    let fill = |name: &str, count: usize, value: &str| {
        let pairs: Vec<String> = (0..count).map(|n| format!("{name}:{n} {value}")).collect();
        format!("MSET {}", pairs.join(" "))
    };
    for (name, count, value) in
        [("left", PAIRS, "0"), ("right", PAIRS, "0"), ("account", ACCOUNTS, "1000"), ("here", TOKENS, "x")]
    {
        assert_eq!(c.run(&fill(name, count, value)), ok());
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..3_u64 {
            let (server, stop) = (&server, &stop);
            scope.spawn(move || {
                let mut c = server.client();
                let mut random = Random::new(writer);
                let mut round = 0;
                while !stop.load(Ordering::Relaxed) {
                    let mut pick = |count: usize| random.below(count);
                    let (pair, from, to, token) = (pick(PAIRS), pick(ACCOUNTS), pick(ACCOUNTS), pick(TOKENS));
                    round += 1;
                    let value = format!("{writer}-{round}");
                    let lines = [
                        "MULTI".to_owned(),
                        format!("SET left:{pair} {value}"),
                        format!("SET right:{pair} {value}"),
                        "EXEC".to_owned(),
                        "MULTI".to_owned(),
                        format!("DECRBY account:{from} 7"),
                        format!("INCRBY account:{to} 7"),
                        "EXEC".to_owned(),
                        format!("RENAMENX here:{token} there:{token}"),
                        format!("RENAMENX there:{token} here:{token}"),
                        format!("RENAMENX here:{token} there:{token}"),
                        format!("SET new:{writer}:{round} 1 PX 20"),
                    ];
                    pipeline(&mut c, &lines);
                }
            });
        }
        for round in 0..4 {
            eventually("writers are at work", || {
                (persistence(&mut c, "rdb_changes_since_last_save").parse::<u64>().unwrap() > 500)
                    .then_some(())
            });
            if round % 2 == 0 {
                c.expect("BGSAVE", "+Background saving started");
                wait_for_save(&mut c);
            } else {
                c.expect("SAVE", "+OK");
            }
            assert_eq!(persistence(&mut c, "rdb_last_bgsave_status"), "ok");
            let again = Server::start(&on(&server.directory));
            assert_one_moment(&mut again.client());
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_one_moment(&mut c);
}

/// After FLUSHALL a crash must not bring back what the last file has.
#[test]
fn flushall_is_saved_where_there_are_save_points() {
    let server = Server::start(&["--save", "10000 1000000"]);
    let mut c = server.client();
    c.run("SET a 1");
    c.expect("SAVE", "+OK");
    let before = std::fs::metadata(server.directory.join("dump.rdb")).unwrap().len();
    c.expect("FLUSHALL", "+OK");
    eventually("the file is without the key", || {
        (std::fs::metadata(server.directory.join("dump.rdb")).unwrap().len() < before).then_some(())
    });
    let again = Server::start(&on(&server.directory));
    again.client().expect("DBSIZE", ":0");
}

#[test]
fn databases_that_are_flushed_and_swapped_during_a_save_are_saved_as_they_were() {
    if strata_only("databases_that_are_flushed_and_swapped_during_a_save_are_saved_as_they_were") {
        return;
    }
    let server = Server::start(&[]);
    let mut c = server.client();
    let fill = |c: &mut Client, database: usize| {
        let pairs: Vec<String> = (0..5_000).map(|n| format!("key:{n} {database}")).collect();
        c.run(&format!("SELECT {database}"));
        assert_eq!(c.run(&format!("MSET {}", pairs.join(" "))), ok());
    };
    let check = |directory: &Path| {
        let again = Server::start(&on(directory));
        let mut c = again.client();
        for database in [0, 1, 5] {
            c.run(&format!("SELECT {database}"));
            c.expect("DBSIZE", ":5000");
            for n in (0..5_000).step_by(7) {
                assert_eq!(c.run(&format!("GET key:{n}")).text(), database.to_string());
            }
        }
        assert_eq!(contents(&mut c).len(), 15_000);
    };
    let orders: [&[&str]; 4] = [
        &["FLUSHALL"],
        &["SWAPDB 0 5", "SWAPDB 1 5", "SWAPDB 0 1"],
        &["SWAPDB 0 5", "FLUSHALL", "SET key:1 after"],
        &["FLUSHDB", "MULTI", "SWAPDB 0 1", "SET key:2 after", "EXEC"],
    ];
    for order in orders {
        c.run("FLUSHALL");
        [0, 1, 5].into_iter().for_each(|database| fill(&mut c, database));
        let mut lines = vec!["BGSAVE".to_owned()];
        lines.extend(order.iter().map(|line| (*line).to_owned()));
        let replies = pipeline(&mut c, &lines);
        assert_eq!(replies[0].text(), "Background saving started");
        wait_for_save(&mut c);
        assert_eq!(persistence(&mut c, "rdb_last_bgsave_status"), "ok");
        check(&server.directory);
    }
}

#[test]
fn collections_that_change_during_a_save_are_saved_as_they_were() {
    let server = Server::start(&[]);
    let mut c = server.client();
    let mut lines = Vec::new();
    for n in 0..400 {
        lines.push(format!("RPUSH list:{n} a b c"));
        lines.push(format!("SADD set:{n} a b c"));
        lines.push(format!("ZADD zset:{n} 1 a 2 b"));
        lines.push(format!("HSET hash:{n} a 1 b 2"));
        lines.push(format!("XADD stream:{n} 1-1 a 1"));
        lines.push(format!("SET string:{n} value"));
        lines.push(format!("SET expires:{n} value PXAT 4102444800000"));
    }
    // What is saved first takes its time.
    c.expect("DEBUG POPULATE 200000", "+OK");
    c.run("SELECT 9");
    pipeline(&mut c, &lines);
    let expected = contents_of(&mut c, 9..10);
    let mut lines = vec!["BGSAVE".to_owned(), "SELECT 9".to_owned()];
    for n in 0..400 {
        lines.push(format!("LPOP list:{n} 3"));
        lines.push(format!("SREM set:{n} a"));
        lines.push(format!("ZINCRBY zset:{n} 5 a"));
        lines.push(format!("HDEL hash:{n} a b"));
        lines.push(format!("XADD stream:{n} 2-1 a 1"));
        lines.push(format!("XGROUP CREATE stream:{n} g 0"));
        lines.push(format!("APPEND string:{n} more"));
        lines.push(format!("PEXPIRE expires:{n} 1"));
        lines.push(format!("SET new:{n} 1"));
        lines.push(format!("RPUSH list:{n} again"));
    }
    pipeline(&mut c, &lines);
    wait_for_save(&mut c);
    let again = Server::start(&on(&server.directory));
    assert_same(&expected, &contents_of(&mut again.client(), 9..10));
    assert!(persistence(&mut c, "rdb_last_cow_size").parse::<u64>().unwrap() > 0);
}

#[test]
fn a_damaged_file_stops_the_start_and_says_why() {
    if strata_only("a_damaged_file_stops_the_start_and_says_why") {
        return;
    }
    let server = Server::start(&[]);
    let mut c = server.client();
    fill(&mut c);
    c.expect("SAVE", "+OK");
    let whole = std::fs::read(server.directory.join("dump.rdb")).unwrap();
    let directory = fresh_directory();
    let start = |bytes: &[u8]| {
        std::fs::write(directory.join("dump.rdb"), bytes).unwrap();
        let path = directory.to_str().unwrap();
        let (status, output) = run_to_exit(&["--port", "0", "--unixsocket", "s", "--dir", path], &[]);
        assert!(!status.success());
        assert!(output.contains("dump.rdb"), "{output}");
        output
    };
    for end in [20, whole.len() / 2, whole.len() - 1] {
        let output = start(&whole[..end]);
        assert!(output.contains(&format!("truncated at byte {end}")), "{output}");
    }
    assert!(start(b"").contains("no RDB file"));
    assert!(start(b"REDIS0099").contains("RDB version 99 cannot be read"));
    for at in (9..whole.len()).step_by(whole.len() / 8) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        start(&damaged);
    }
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(start(&damaged).contains("wrong checksum"));
    let _ = std::fs::remove_dir_all(directory);
}

#[test]
fn save_points_fire_and_saves_are_counted() {
    let server = Server::start(&["--save", "1 2"]);
    let mut c = server.client();
    c.expect("CONFIG GET save", "*2 $4 save $3 1 2");
    let started = c.run("LASTSAVE").integer();
    assert_eq!(persistence(&mut c, "rdb_saves"), "0");
    c.run("SET a 1");
    c.run("SET b 2");
    eventually("the save point fires", || (persistence(&mut c, "rdb_saves") == "1").then_some(()));
    wait_for_save(&mut c);
    assert!(c.run("LASTSAVE").integer() > started);
    assert_eq!(persistence(&mut c, "rdb_changes_since_last_save"), "0");
    assert_ne!(persistence(&mut c, "rdb_last_bgsave_time_sec"), "-1");
    c.expect("MULTI", "+OK");
    c.expect("SAVE", "-ERR Command not allowed inside a transaction");
    c.expect("DISCARD", "+OK");
    c.expect("BGSAVE x", "-ERR syntax error");
    c.expect("BGSAVE SCHEDULE x", "-ERR syntax error");
    let saves: u64 = persistence(&mut c, "rdb_saves").parse().unwrap();
    c.expect("MULTI", "+OK");
    c.expect("BGSAVE", "+QUEUED");
    c.expect("EXEC", "*1 +Background saving scheduled");
    eventually("the scheduled save is made", || {
        (persistence(&mut c, "rdb_saves").parse::<u64>().unwrap() > saves).then_some(())
    });
    wait_for_save(&mut c);
    c.expect(
        "CONFIG SET save 1",
        "-ERR CONFIG SET failed (possibly related to argument 'save') - Invalid save parameters",
    );
    c.expect(
        "CONFIG SET dbfilename a/b",
        "-ERR CONFIG SET failed (possibly related to argument 'dbfilename') - can't set protected config",
    );
}

#[test]
fn a_save_that_fails_stops_writes_until_one_succeeds() {
    let server = Server::start(&["--save", "1000000 1000000"]);
    let mut c = server.client();
    c.run("SET a 1");
    c.expect("SAVE", "+OK");
    let file = server.directory.join("dump.rdb");
    std::fs::remove_file(&file).unwrap();
    // A directory in the place of the file: not even root can rename over it.
    std::fs::create_dir(&file).unwrap();
    c.expect("SAVE", "-ERR");
    // Only a save in the background stops writes.
    c.expect("SET a 2", "+OK");
    c.expect("BGSAVE", "+Background saving started");
    eventually("the save fails", || (persistence(&mut c, "rdb_last_bgsave_status") == "err").then_some(()));
    wait_for_save(&mut c);
    let text = "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. \
                Commands that may modify the data set are disabled, because this instance is configured to report \
                errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check \
                the Redis logs for details about the RDB error.";
    c.expect("SET a 3", &format!("-{text}"));
    c.expect("PING", &format!("-{text}"));
    c.expect("GET a", "$1 2");
    c.expect("MULTI", "+OK");
    c.expect("SET a 4", &format!("-{text}"));
    c.expect("EXEC", "-EXECABORT Transaction discarded because of previous errors.");
    c.expect("CONFIG SET stop-writes-on-bgsave-error no", "+OK");
    c.expect("SET a 5", "+OK");
    c.expect("CONFIG SET stop-writes-on-bgsave-error yes", "+OK");
    c.expect("SHUTDOWN", "-ERR Errors trying to SHUTDOWN. Check logs.");
    let left: Vec<_> =
        std::fs::read_dir(&server.directory).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with("temp-")), "{left:?}");
    std::fs::remove_dir(&file).unwrap();
    c.expect("BGSAVE", "+Background saving started");
    wait_for_save(&mut c);
    assert_eq!(persistence(&mut c, "rdb_last_bgsave_status"), "ok");
    c.expect("SET a 6", "+OK");
    c.expect("PING", "+PONG");
}

#[test]
fn a_server_with_save_points_saves_at_its_end() {
    let end = |points: &str, how: &str| -> Vec<u8> {
        let mut server = Server::start(&["--save", points]);
        let mut c = server.client();
        c.run("SET a 1");
        match how {
            "TERM" | "INT" => server.signal(how),
            command => {
                c.send(command);
                assert_eq!(show(&c.read_to_end()), "");
            }
        }
        assert!(server.wait().success());
        let again = Server::start(&on(&server.directory));
        let mut c = again.client();
        c.send("GET a");
        c.read().bytes
    };
    for (points, how, expected) in [
        ("", "TERM", "$-1"),
        ("", "SHUTDOWN", "$-1"),
        ("", "SHUTDOWN SAVE", "$1 1"),
        ("10000 1000", "TERM", "$1 1"),
        ("10000 1000", "INT", "$1 1"),
        ("10000 1000", "SHUTDOWN", "$1 1"),
        ("10000 1000", "SHUTDOWN NOW", "$1 1"),
        ("10000 1000", "SHUTDOWN NOSAVE", "$-1"),
    ] {
        assert_eq!(show(&end(points, how)), expected, "--save '{points}', {how}");
    }
}

#[test]
fn a_shutdown_that_cannot_save_is_refused_unless_forced() {
    let mut server = Server::start(&["--save", "10000 1000"]);
    let mut c = server.client();
    c.run("SET a 1");
    std::fs::create_dir(server.directory.join("dump.rdb")).unwrap();
    c.expect("SHUTDOWN ABORT", "-ERR No shutdown in progress.");
    c.expect("SHUTDOWN SAVE NOSAVE", "-ERR syntax error");
    c.expect("SHUTDOWN ABORT NOW", "-ERR syntax error");
    c.expect("SHUTDOWN", "-ERR Errors trying to SHUTDOWN. Check logs.");
    // All who ask at once are answered.
    let mut others: Vec<Client> = (0..5).map(|_| server.client()).collect();
    others.iter_mut().for_each(|other| other.send("SHUTDOWN"));
    others.iter_mut().for_each(|other| other.expect_next("-ERR Errors trying to SHUTDOWN. Check logs."));
    let refusals = |server: &Server| server.log().matches("Error trying to save the DB, can't exit.").count();
    let before = refusals(&server);
    server.signal("TERM");
    eventually("the signal is refused", || (refusals(&server) > before).then_some(()));
    // Writes go on.
    c.expect("SET a 2", "+OK");
    c.send("SHUTDOWN FORCE");
    assert_eq!(show(&c.read_to_end()), "");
    assert!(server.wait().success());
}

#[test]
fn a_shutdown_that_saves_holds_writes_back_and_can_be_called_off() {
    if strata_only("a_shutdown_that_saves_holds_writes_back_and_can_be_called_off") {
        return;
    }
    let server = Server::start(&["--save", "10000 1000000"]);
    let (mut c, mut writer, mut other) = (server.client(), server.client(), server.client());
    c.expect("DEBUG POPULATE 300000", "+OK");
    c.send("SHUTDOWN");
    eventually("the shutdown has begun", || {
        (persistence(&mut other, "current_save_keys_total") == "300000").then_some(())
    });
    writer.send("SET a 1");
    other.expect("EXISTS a", ":0");
    other.expect("SHUTDOWN ABORT", "+OK");
    c.expect_next("-ERR Errors trying to SHUTDOWN. Check logs.");
    writer.expect_next("+OK");
    other.expect("GET a", "$1 1");
    assert!(!server.directory.join("dump.rdb").exists());
}
