//! Keyspace notifications: each class, each event that these families fire, and the order of a command's events.

use crate::support::*;

/// A server that reports the given classes, a client, and a listener to all events.
fn listening(classes: &str) -> (Server, Client, Client) {
    let server = Server::start(&["--notify-keyspace-events", classes]);
    let (client, mut listener) = (server.client(), server.client());
    listener.run("PSUBSCRIBE __key*");
    (server, client, listener)
}

/// Runs a command, and returns the key events that came of it as `event key` pairs.
fn events(client: &mut Client, listener: &mut Client, command: &str) -> String {
    client.run(command);
    client.run("PUBLISH __key-end end");
    let mut events = Vec::new();
    loop {
        let message = listener.read().value.items();
        match message[2].text().strip_prefix("__keyevent@") {
            Some(rest) => {
                let (database, event) = rest.split_once("__:").expect("an event");
                let database = if database == "0" { String::new() } else { format!("@{database}") };
                events.push(format!("{event}{database} {}", message[3].text()));
            }
            None if message[2].text() == "__key-end" => return events.join(", "),
            None => {}
        }
    }
}

#[test]
fn each_write_fires_redis_own_events() {
    let (_server, mut c, mut l) = listening("KEA");
    for (command, expected) in [
        ("SET k v", "set k"),
        ("SET k v EX 100", "set k, expire k"),
        ("SET k v KEEPTTL", "set k"),
        ("SET k v NX", ""),
        ("GET k", ""),
        ("GETEX k PERSIST", "persist k"),
        ("GETEX k EX 100", "expire k"),
        ("GETSET k w", "set k"),
        ("APPEND k x", "append k"),
        ("SETRANGE k 0 y", "setrange k"),
        ("EXPIRE k 100", "expire k"),
        ("PERSIST k", "persist k"),
        ("PERSIST k", ""),
        ("EXPIRE k -1", "del k"),
        ("MSET a 1 b 2", "set a, set b"),
        ("MSETNX a 1 z 2", ""),
        ("INCR a", "incrby a"),
        ("DECRBY a 3", "incrby a"),
        ("INCRBYFLOAT a 1.5", "incrbyfloat a"),
        ("RENAME a c", "rename_from a, rename_to c"),
        ("COPY c d", "copy_to d"),
        ("MOVE d 3", "move_from d, move_to@3 d"),
        ("SETEX e 100 v", "set e, expire e"),
        ("PSETEX e 100000 v", "set e, expire e"),
        ("SETNX f v", "set f"),
        ("GETDEL f", "del f"),
        ("DEL b none", "del b"),
        ("UNLINK c e", "del c, del e"),
        ("TOUCH c", ""),
        ("FLUSHALL", ""),
    ] {
        assert_eq!(events(&mut c, &mut l, command), expected, "{command}");
    }
}

#[test]
fn both_forms_of_a_message_carry_key_and_event() {
    let (_server, mut c, mut l) = listening("KE$");
    c.run("SELECT 5");
    c.run("SET k v");
    l.expect_next("*4 $8 pmessage $6 __key* $16 __keyspace@5__:k $3 set");
    l.expect_next("*4 $8 pmessage $6 __key* $18 __keyevent@5__:set $1 k");
}

#[test]
fn only_the_chosen_classes_are_reported() {
    let (_server, mut c, mut l) = listening("Eg");
    assert_eq!(events(&mut c, &mut l, "SET k v"), "");
    assert_eq!(events(&mut c, &mut l, "EXPIRE k 100"), "expire k");
    c.expect("CONFIG SET notify-keyspace-events E$", "+OK");
    assert_eq!(events(&mut c, &mut l, "EXPIRE k 100"), "");
    assert_eq!(events(&mut c, &mut l, "SET k v"), "set k");
    c.expect("CONFIG SET notify-keyspace-events $", "+OK");
    assert_eq!(events(&mut c, &mut l, "SET k v"), "");
    c.expect("CONFIG SET notify-keyspace-events Em", "+OK");
    assert_eq!(events(&mut c, &mut l, "GET none"), "keymiss none");
    assert_eq!(events(&mut c, &mut l, "GET k"), "");
    c.expect("CONFIG SET notify-keyspace-events En", "+OK");
    assert_eq!(events(&mut c, &mut l, "SET fresh v"), "new fresh");
    assert_eq!(events(&mut c, &mut l, "SET fresh v"), "");
}

#[test]
fn classes_are_read_back_in_redis_own_form() {
    let (_server, mut c, _l) = listening("");
    for (set, get) in [
        ("KEA", "AKE"),
        ("AKE", "AKE"),
        ("KEg$lshzxet", "g$lshzxetKE"),
        ("Kx", "xK"),
        ("EKmn", "KEmn"),
        ("g", "g"),
        ("KEAmn", "AKEm"),
    ] {
        c.expect(&format!("CONFIG SET notify-keyspace-events {set}"), "+OK");
        let reply = c.run("CONFIG GET notify-keyspace-events").items()[1].text();
        let sort = |text: &str| {
            let mut letters = text.chars().collect::<Vec<_>>();
            letters.sort();
            letters
        };
        assert_eq!(sort(&reply), sort(get), "{set}");
    }
    let error = c.run("CONFIG SET notify-keyspace-events Q").text();
    assert!(
        error.starts_with("ERR CONFIG SET failed (possibly related to argument 'notify-keyspace-events')"),
        "{error}"
    );
}

#[test]
fn expired_is_fired_on_access_and_by_itself() {
    let (_server, mut c, mut l) = listening("Ex");
    c.run("SET k v PX 10");
    l.expect_next("*4 $8 pmessage $6 __key* $22 __keyevent@0__:expired $1 k");
    c.run("DEBUG SET-ACTIVE-EXPIRE 0");
    c.run("SET lazy v PX 1");
    eventually("the key is due", || c.run("GET lazy").eq(&Value::Null).then_some(()));
    l.expect_next("*4 $8 pmessage $6 __key* $22 __keyevent@0__:expired $4 lazy");
}

#[test]
fn evicted_is_fired_for_each_victim() {
    let (_server, mut c, mut l) = listening("Ee");
    c.run("CONFIG SET maxmemory-policy allkeys-random");
    for number in 0..5_000 {
        c.run(&format!("SET key:{number} {}", "v".repeat(1_000)));
    }
    let limit = c.counted_bytes() - 1_000_000;
    c.run(&format!("CONFIG SET maxmemory {limit}"));
    c.run("SET one more");
    let message = l.read().value.items();
    assert_eq!(message[2].text(), "__keyevent@0__:evicted");
    assert!(message[3].text().starts_with("key:") || message[3].text() == "one");
}

/// The events of collections: each class under its own letter, and what follows when a collection goes.
#[test]
fn each_write_to_a_collection_fires_redis_own_events() {
    let (_server, mut c, mut l) = listening("KEA");
    for (command, expected) in [
        ("HSET h a 1 b 2", "hset h"),
        ("HSETNX h a 2", ""),
        ("HINCRBY h a 1", "hincrby h"),
        ("HINCRBYFLOAT h a 1", "hincrbyfloat h"),
        ("HDEL h a b", "hdel h, del h"),
        ("RPUSH l a b c", "rpush l"),
        ("LPUSHX none a", ""),
        ("LINSERT l BEFORE b x", "linsert l"),
        ("LSET l 0 y", "lset l"),
        ("LREM l 0 x", "lrem l"),
        ("LTRIM l 0 1", "ltrim l"),
        ("LMOVE l m LEFT RIGHT", "rpush m, lpop l"),
        ("BLPOP l m 0", "lpop l, del l"),
        ("LMPOP 1 m LEFT", "lpop m, del m"),
        ("SADD s a b c", "sadd s"),
        ("SMOVE s t a", "srem s, sadd t"),
        ("SUNIONSTORE u s t", "sunionstore u"),
        ("SINTERSTORE u s none", "del u"),
        ("SDIFFSTORE u s t", "sdiffstore u"),
        ("SREM s b c", "srem s, del s"),
        ("SPOP t", "spop t, del t"),
        ("ZADD z 1 a 2 b 3 c", "zadd z"),
        ("ZADD z 1 a", ""),
        ("ZADD z INCR 1 a", "zincr z"),
        ("ZINCRBY z 1 a", "zincr z"),
        ("ZRANGESTORE y z 0 -1", "zrangestore y"),
        ("ZUNIONSTORE y 1 z", "zunionstore y"),
        ("ZINTERSTORE x 2 z none", ""),
        ("ZDIFFSTORE y 1 z", "zdiffstore y"),
        ("ZPOPMIN y", "zpopmin y"),
        ("BZPOPMAX y 0", "zpopmax y"),
        ("ZMPOP 1 y MIN", "zpopmin y, del y"),
        ("ZREMRANGEBYRANK z 0 0", "zremrangebyrank z"),
        ("ZREMRANGEBYSCORE z 0 0", ""),
        ("ZREM z a b c", "zrem z, del z"),
        ("GEOADD g 13.361389 38.115556 p", "zadd g"),
        ("GEOSEARCHSTORE d g FROMMEMBER p BYRADIUS 1 m", "geosearchstore d"),
        ("GEORADIUS g 13.361389 38.115556 1 m STORE d", "georadiusstore d"),
        ("SORT g BY nosort STORE d", "sortstore d"),
        ("SORT none STORE d", "del d"),
    ] {
        assert_eq!(events(&mut c, &mut l, command), expected, "{command}");
    }
    for (class, command, expected) in [
        ("Eh", "HSET h a 1", "hset h"),
        ("El", "RPUSH l a", "rpush l"),
        ("Es", "SADD s a", "sadd s"),
        ("Ez", "ZADD z 1 a", "zadd z"),
        ("E$", "HSET h b 1", ""),
        ("Eg", "HDEL h a b", "del h"),
    ] {
        c.run(&format!("CONFIG SET notify-keyspace-events {class}"));
        assert_eq!(events(&mut c, &mut l, command), expected, "{command} with {class}");
    }
}
