//! Streams over the wire: what the differential test cannot show, because it depends on the clock or is new in 7.4.

use crate::support::*;

fn client() -> (Server, Client) {
    let server = Server::start(&[]);
    let client = server.client();
    (server, client)
}

const INVALID_ID: &str = "-ERR Invalid stream ID specified as stream command argument";
const NOT_GREATER: &str = "-ERR The ID specified in XADD is equal or smaller than the target stream top item";

#[test]
fn ids_follow_the_clock() {
    let (_server, mut c) = client();
    let time = c.run("TIME").items()[0].text().parse::<u64>().expect("seconds") * 1000;
    let ids = (0..3).map(|_| c.run("XADD s * f v").text()).collect::<Vec<_>>();
    for id in &ids {
        let ms = id.split('-').next().and_then(|ms| ms.parse::<u64>().ok()).expect("milliseconds");
        assert!((time..time + 60_000).contains(&ms), "{id}");
    }
    assert_eq!(c.run("XLEN s"), Value::Integer(3));
    c.expect("XADD s 5-* f v", NOT_GREATER);
    c.expect("XADD s 99999999999999-* f v", "$16 99999999999999-0");
    c.expect("XADD s * f v", "$16 99999999999999-1");
    c.expect("XADD s 99999999999999-* f v", "$16 99999999999999-2");
}

#[test]
fn xadd_refuses_what_is_no_entry() {
    let (_server, mut c) = client();
    c.expect("XADD s 0-0 f v", "-ERR The ID specified in XADD must be greater than 0-0");
    c.expect("XADD s 1-1 f", "-ERR wrong number of arguments for 'xadd' command");
    c.expect("XADD s 1-1 f v g", "-ERR wrong number of arguments for 'xadd' command");
    c.expect("XADD s NOMKSTREAM 1-1 f v", "$-1");
    c.expect("EXISTS s", ":0");
    c.expect("XADD s 0-* f v", "$3 0-1");
    c.expect("XADD s - f v", INVALID_ID);
    let max = u64::MAX;
    c.expect(&format!("XADD s {max}-{max} f v"), &format!("$41 {max}-{max}"));
    c.expect("XADD s * f v", "-ERR The stream has exhausted the last possible ID, unable to add more items");
    c.expect("SET k v", "+OK");
    c.expect("XADD k * f v", "-WRONGTYPE Operation against a key holding the wrong kind of value");
    c.expect("GET s", "-WRONGTYPE Operation against a key holding the wrong kind of value");
    c.expect("TYPE s", "+stream");
    c.expect("OBJECT ENCODING s", "$6 stream");
}

#[test]
fn a_stream_without_entries_stays() {
    let (_server, mut c) = client();
    c.expect("XADD s 1-1 f v", "$3 1-1");
    c.expect("XDEL s 1-1 9-9", ":1");
    c.expect("XLEN s", ":0");
    c.expect("EXISTS s", ":1");
    c.expect("XADD s 1-1 f v", NOT_GREATER);
    c.expect("XADD s 1-2 f v", "$3 1-2");
    c.expect("XTRIM s MAXLEN 0", ":1");
    c.expect("EXISTS s", ":1");
    c.expect("XRANGE s - +", "*0");
}

#[test]
fn trimming_takes_whole_nodes_or_exactly_what_is_too_much() {
    let (_server, mut c) = client();
    for index in 1..=350 {
        c.expect(&format!("XADD s 1-{index} f v"), &format!("${} 1-{index}", format!("1-{index}").len()));
    }
    c.expect("XTRIM s MAXLEN ~ 120", ":200");
    c.expect("XTRIM s MAXLEN = 120", ":30");
    c.expect("XTRIM s MINID 1-340", ":109");
    c.expect("XRANGE s - + COUNT 1", "*1 *2 $5 1-340 *2 $1 f $1 v");
    c.expect("XADD s MAXLEN ~ 5 LIMIT 1 2-0 f v", "$3 2-0");
    c.expect("XLEN s", ":12");
    c.expect("XADD s MAXLEN 2 3-0 f v", "$3 3-0");
    c.expect("XLEN s", ":2");
    c.expect(
        "XTRIM s MAXLEN 1 LIMIT 5",
        "-ERR syntax error, LIMIT cannot be used without the special ~ option",
    );
    c.expect(
        "XTRIM s LIMIT 5",
        "-ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
    );
    c.expect("XTRIM s LIMIT 0", "-ERR syntax error, XTRIM must be called with a trimming strategy");
}

#[test]
fn a_group_shares_entries_and_remembers_what_is_pending() {
    let (_server, mut c) = client();
    for index in 1..=4 {
        c.run(&format!("XADD s {index}-0 f {index}"));
    }
    c.expect("XGROUP CREATE s g 0", "+OK");
    c.expect("XGROUP CREATE s g 0", "-BUSYGROUP Consumer Group name already exists");
    c.expect(
        "XREADGROUP GROUP g a COUNT 2 STREAMS s >",
        "*1 *2 $1 s *2 *2 $3 1-0 *2 $1 f $1 1 *2 $3 2-0 *2 $1 f $1 2",
    );
    c.expect("XREADGROUP GROUP g b COUNT 1 STREAMS s >", "*1 *2 $1 s *1 *2 $3 3-0 *2 $1 f $1 3");
    c.expect("XPENDING s g", "*4 :3 $3 1-0 $3 3-0 *2 *2 $1 a $1 2 *2 $1 b $1 1");
    c.expect("XDEL s 2-0", ":1");
    c.expect("XREADGROUP GROUP g a STREAMS s 0", "*1 *2 $1 s *2 *2 $3 1-0 *2 $1 f $1 1 *2 $3 2-0 *-1");
    c.expect("XACK s g 1-0 1-0 9-9", ":1");
    c.expect("XCLAIM s g b 0 2-0 3-0 4-0 JUSTID", "*1 $3 3-0");
    c.expect("XCLAIM s g c 0 4-0 FORCE", "*1 *2 $3 4-0 *2 $1 f $1 4");
    c.expect("XAUTOCLAIM s g d 0 - COUNT 1", "*3 $3 4-0 *1 *2 $3 3-0 *2 $1 f $1 3 *0");
    c.expect("XDEL s 3-0", ":1");
    c.expect("XAUTOCLAIM s g d 0 - JUSTID", "*3 $3 0-0 *1 $3 4-0 *1 $3 3-0");
    c.expect("XGROUP DELCONSUMER s g d", ":1");
    c.expect("XGROUP DESTROY s g", ":1");
    let missing = "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option";
    c.expect("XREADGROUP GROUP g a STREAMS s >", missing);
}

#[test]
fn the_lag_is_known_until_something_ahead_was_deleted() {
    let (_server, mut c) = client();
    for index in 1..=5 {
        c.run(&format!("XADD s {index}-0 f v"));
    }
    c.run("XGROUP CREATE s g 0");
    c.run("XREADGROUP GROUP g a COUNT 2 STREAMS s >");
    let group = |read: &str, lag: &str| {
        format!(
            "*1 *12 $4 name $1 g $9 consumers :1 $7 pending :2 $17 last-delivered-id $3 2-0 $12 entries-read {read} \
             $3 lag {lag}"
        )
    };
    c.expect("XINFO GROUPS s", &group(":2", ":3"));
    c.expect("XDEL s 4-0", ":1");
    c.expect("XINFO GROUPS s", &group(":2", "$-1"));
    c.expect("XTRIM s MINID 5-0", ":3");
    c.expect("XINFO GROUPS s", &group(":2", ":3"));
}

#[test]
fn xread_with_a_plus_returns_the_last_entry() {
    let (_server, mut c) = client();
    c.expect("XREAD STREAMS s +", "*-1");
    c.run("XADD s 1-0 f a");
    c.run("XADD s 2-0 f b");
    c.expect("XREAD STREAMS s +", "*1 *2 $1 s *1 *2 $3 2-0 *2 $1 f $1 b");
    c.expect("XREAD STREAMS s $", "*-1");
    c.run("XGROUP CREATE t g $ MKSTREAM");
    c.expect("XREAD STREAMS t +", "-ERR the stream last element ID is 0-0");
    c.run("HELLO 3");
    c.expect("XREAD COUNT 1 STREAMS s t 0 0", "%1 $1 s *1 *2 $3 1-0 *2 $1 f $1 a");
}

#[test]
fn keys_are_found_even_where_a_group_is_called_streams() {
    let (_server, mut c) = client();
    c.run("XADD s 1-0 f a");
    c.run("XGROUP CREATE s STREAMS 0");
    c.expect("XREADGROUP GROUP STREAMS STREAMS STREAMS s >", "*1 *2 $1 s *1 *2 $3 1-0 *2 $1 f $1 a");
    c.expect("XREADGROUP NOACK GROUP STREAMS STREAMS STREAMS s >", "*-1");
    c.expect("XREAD STREAMS STREAMS STREAMS", INVALID_ID);
}

#[test]
fn copies_share_nothing() {
    let (_server, mut c) = client();
    c.run("XADD s 1-0 f a");
    c.run("XGROUP CREATE s g 0");
    c.expect("COPY s t", ":1");
    c.run("XREADGROUP GROUP g a STREAMS t >");
    c.run("XDEL s 1-0");
    c.expect("XLEN t", ":1");
    c.expect("XPENDING s g", "*4 :0 $-1 $-1 *-1");
    c.expect("XPENDING t g", "*4 :1 $3 1-0 $3 1-0 *1 *2 $1 a $1 1");
}

#[test]
fn xread_waits_for_what_comes_after_it_was_called() {
    let (server, mut c) = client();
    let mut waiting = server.client();
    c.run("XADD s 1-0 f a");
    waiting.expect("XREAD BLOCK 10 STREAMS s $", "*-1");
    waiting.expect("XREAD BLOCK 0 STREAMS s 0", "*1 *2 $1 s *1 *2 $3 1-0 *2 $1 f $1 a");
    waiting.expect("XREAD BLOCK -1 STREAMS s $", "-ERR timeout is negative");
    waiting.expect("XREAD BLOCK x STREAMS s $", "-ERR timeout is not an integer or out of range");
    waiting.send("XREAD BLOCK 10000 STREAMS none s $ $");
    eventually("it waits", || c.run("INFO clients").text().contains("blocked_clients:1").then_some(()));
    c.run("XADD s 2-0 f b");
    assert_eq!(show(&waiting.read().bytes), "*1 *2 $1 s *1 *2 $3 2-0 *2 $1 f $1 b");
}

#[test]
fn a_consumer_waits_until_its_group_is_gone() {
    let (server, mut c) = client();
    let mut waiting = server.client();
    let wait = |c: &mut Client| {
        eventually("it waits", || c.run("INFO clients").text().contains("blocked_clients:1").then_some(()));
    };
    c.run("XGROUP CREATE s g $ MKSTREAM");
    waiting.send("XREADGROUP GROUP g a BLOCK 0 STREAMS s >");
    wait(&mut c);
    c.run("XADD s 1-0 f v");
    assert_eq!(show(&waiting.read().bytes), "*1 *2 $1 s *1 *2 $3 1-0 *2 $1 f $1 v");
    c.expect("XPENDING s g", "*4 :1 $3 1-0 $3 1-0 *1 *2 $1 a $1 1");
    for end in ["XGROUP DESTROY s g", "DEL s"] {
        waiting.send("XREADGROUP GROUP g a BLOCK 0 STREAMS s >");
        wait(&mut c);
        c.expect(end, ":1");
        let missing = "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option";
        assert_eq!(show(&waiting.read().bytes), missing);
        c.run("XGROUP CREATE s g $ MKSTREAM");
    }
}

#[test]
fn what_a_group_does_is_no_change_to_those_who_watch() {
    let (_server, mut c) = client();
    c.run("XADD s 1-0 f v");
    c.run("XGROUP CREATE s g 0");
    c.expect("WATCH s", "+OK");
    c.run("XREADGROUP GROUP g a STREAMS s >");
    c.run("XACK s g 1-0");
    c.run("XGROUP SETID s g 0");
    c.run("MULTI");
    c.run("XLEN s");
    c.expect("EXEC", "*1 :1");
    c.run("WATCH s");
    c.run("XDEL s 1-0");
    c.run("MULTI");
    c.expect("EXEC", "*-1");
}
