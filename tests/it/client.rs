//! The CLIENT family: identity, LIST and its filters, KILL, PAUSE, UNBLOCK, REPLY.

use std::time::{Duration, Instant};

use crate::support::*;

/// The fields of one line of CLIENT LIST or INFO, in order.
fn fields(line: &str) -> Vec<(String, String)> {
    let pairs = line.trim_end().split(' ').map(|pair| pair.split_once('=').expect("name=value"));
    pairs.map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn field(line: &str, name: &str) -> String {
    let found = fields(line).into_iter().find(|(known, _)| known == name);
    found.unwrap_or_else(|| panic!("no {name} in {line}")).1
}

#[test]
fn info_has_the_fields_of_redis_7_4_in_their_order() {
    let server = Server::start(&[]);
    let mut c = server.client();
    let reply = c.run("CLIENT INFO").text();
    let names = fields(&reply).into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(" ");
    assert_eq!(
        names,
        "id addr laddr fd name age idle flags db sub psub ssub multi watch qbuf qbuf-free argv-mem multi-mem rbs rbp obl oll \
         omem tot-mem events cmd user redir resp lib-name lib-ver"
    );
    assert!(reply.ends_with('\n'));
    for (name, value) in [
        ("laddr", format!("127.0.0.1:{}", server.port).as_str()),
        ("name", ""),
        ("flags", "N"),
        ("db", "0"),
        ("multi", "-1"),
        ("cmd", "client|info"),
        ("user", "default"),
        ("redir", "-1"),
        ("resp", "2"),
    ] {
        assert_eq!(field(&reply, name), value, "{name}");
    }
    c.run("HELLO 3");
    assert_eq!(field(&c.run("CLIENT INFO").text(), "resp"), "3");
}

#[test]
fn a_client_is_known_by_id_name_and_library() {
    let server = Server::start(&[]);
    let mut c = server.client();
    let id = c.run("CLIENT ID").integer();
    assert!(server.client().run("CLIENT ID").integer() > id);
    c.expect("CLIENT GETNAME", "$-1");
    c.expect("CLIENT SETNAME me", "+OK");
    c.expect("CLIENT GETNAME", "$2 me");
    c.expect("CLIENT SETINFO LIB-NAME redis-x", "+OK");
    c.expect("CLIENT SETINFO lib-ver 1.2.3", "+OK");
    c.expect("CLIENT SETINFO BOGUS x", "-ERR Unrecognized option 'BOGUS'");
    let spaced = c.call(&[b"CLIENT", b"SETINFO", b"LIB-NAME", b"a b"]).text();
    assert_eq!(spaced, "ERR LIB-NAME cannot contain spaces, newlines or special characters.");
    let info = c.run("CLIENT INFO").text();
    assert_eq!((field(&info, "lib-name"), field(&info, "lib-ver")), ("redis-x".into(), "1.2.3".into()));
    assert_eq!(field(&info, "id"), id.to_string());
    assert_eq!(c.call(&[b"CLIENT", b"SETNAME", b""]).text(), "OK");
    c.expect("CLIENT GETNAME", "$-1");
    c.expect("CLIENT BOGUS", "-ERR unknown subcommand 'BOGUS'. Try CLIENT HELP.");
}

#[test]
fn list_filters_by_type_and_id() {
    let server = Server::start(&[]);
    let (mut c, mut subscriber) = (server.client(), server.client());
    let id = subscriber.run("CLIENT ID").integer();
    subscriber.run("SUBSCRIBE a");
    let lines = |text: &str| text.lines().count();
    assert_eq!(lines(&c.run("CLIENT LIST").text()), 2);
    let pubsub = c.run("CLIENT LIST TYPE pubsub").text();
    assert_eq!((lines(&pubsub), field(&pubsub, "id")), (1, id.to_string()));
    assert_eq!((field(&pubsub, "flags"), field(&pubsub, "sub")), ("P".into(), "1".into()));
    assert_eq!(lines(&c.run("CLIENT LIST TYPE normal").text()), 1);
    assert_eq!(lines(&c.run("CLIENT LIST TYPE replica").text()), 0);
    assert_eq!(lines(&c.run(&format!("CLIENT LIST ID {id} 99999")).text()), 1);
    c.expect("CLIENT LIST TYPE bogus", "-ERR Unknown client type 'bogus'");
    c.expect("CLIENT LIST ID x", "-ERR Invalid client ID");
    c.expect("CLIENT LIST BOGUS", "-ERR syntax error");
}

#[test]
fn kill_ends_those_the_filters_choose_and_counts_them() {
    let server = Server::start(&[]);
    let mut c = server.client();
    let mut victim = server.client();
    let id = victim.run("CLIENT ID").integer();
    c.expect(&format!("CLIENT KILL ID {id}"), ":1");
    assert!(victim.read_to_end().is_empty());
    c.expect(&format!("CLIENT KILL ID {id}"), ":0");

    let mut victim = server.client();
    let address = field(&victim.run("CLIENT INFO").text(), "addr");
    c.expect(&format!("CLIENT KILL {address}"), "+OK");
    assert!(victim.read_to_end().is_empty());
    c.expect(&format!("CLIENT KILL {address}"), "-ERR No such client");

    let mut subscriber = server.client();
    subscriber.run("SUBSCRIBE a");
    c.expect("CLIENT KILL TYPE pubsub", ":1");
    assert!(subscriber.read_to_end().is_empty());

    let mut others = (0..3).map(|_| server.client()).collect::<Vec<_>>();
    others.iter_mut().for_each(|other| other.expect("PING", "+PONG"));
    c.expect(&format!("CLIENT KILL LADDR 127.0.0.1:{}", server.port), ":3");
    others.iter_mut().for_each(|other| assert!(other.read_to_end().is_empty()));
    c.expect("CLIENT KILL MAXAGE 1000", ":0");
    c.expect("CLIENT KILL USER nobody", "-ERR No such user 'nobody'");
    c.expect("CLIENT KILL ID 0", "-ERR client-id should be greater than 0");
    c.expect("CLIENT KILL TYPE bogus", "-ERR Unknown client type 'bogus'");
    c.expect("CLIENT KILL ID 1 SKIPME maybe", "-ERR syntax error");
    c.expect("CLIENT KILL USER default SKIPME no", ":1");
    assert!(c.read_to_end().is_empty());
}

#[test]
fn pause_holds_writes_or_everything_and_unpause_releases() {
    let server = Server::start(&[]);
    let (mut admin, mut c) = (server.client(), server.client());
    admin.expect("CLIENT PAUSE 100000 WRITE", "+OK");
    c.expect("GET k", "$-1");
    c.send("SET k v");
    assert!(c.is_silent_for(Duration::from_millis(100)));
    admin.expect("CLIENT UNPAUSE", "+OK");
    c.expect_next("+OK");
    admin.expect("CLIENT PAUSE 150", "+OK");
    let started = Instant::now();
    c.expect("GET k", "$1 v");
    assert!(started.elapsed() >= Duration::from_millis(100), "{:?}", started.elapsed());
    admin.expect("CLIENT PAUSE x", "-ERR timeout is not an integer or out of range");
    admin.expect("CLIENT PAUSE -1", "-ERR timeout is negative");
    admin.expect("CLIENT PAUSE 1 BOGUS", "-ERR CLIENT PAUSE mode must be WRITE or ALL");
}

#[test]
fn reply_off_and_skip_silence_what_they_say() {
    let server = Server::start(&[]);
    let mut c = server.client();
    c.send_raw(b"CLIENT REPLY SKIP\r\nSET k 1\r\nINCR k\r\n");
    c.expect_next(":2");
    c.send_raw(b"CLIENT REPLY OFF\r\nINCR k\r\nNOSUCH\r\nINCR k\r\nCLIENT REPLY ON\r\nGET k\r\n");
    c.expect_next("+OK");
    c.expect_next("$1 4");
    c.expect("CLIENT REPLY BOGUS", "-ERR syntax error");
}

#[test]
fn flags_follow_no_evict_and_no_touch() {
    let server = Server::start(&[]);
    let mut c = server.client();
    for (command, flags) in [
        ("CLIENT NO-EVICT ON", "e"),
        ("CLIENT NO-TOUCH ON", "eT"),
        ("CLIENT NO-EVICT OFF", "T"),
        ("CLIENT NO-TOUCH OFF", "N"),
    ] {
        c.expect(command, "+OK");
        assert_eq!(field(&c.run("CLIENT INFO").text(), "flags"), flags, "{command}");
    }
    c.expect("CLIENT NO-EVICT maybe", "-ERR syntax error");
    c.expect("CLIENT UNBLOCK 12345", ":0");
    c.expect("CLIENT UNBLOCK x", "-ERR value is not an integer or out of range");
    c.expect("CLIENT UNBLOCK 1 BOGUS", "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
    c.expect("CLIENT GETREDIR", ":-1");
    c.expect("CLIENT TRACKINGINFO", "*6 $5 flags *1 $3 off $8 redirect :-1 $8 prefixes *0");
}

#[test]
fn idle_and_age_are_seconds() {
    let server = Server::start(&[]);
    let (mut c, mut idle) = (server.client(), server.client());
    let id = idle.run("CLIENT ID").integer();
    eventually("a second has passed", || {
        let line = c.run(&format!("CLIENT LIST ID {id}")).text();
        let number = |name| field(&line, name).parse::<u64>().expect("seconds");
        (number("idle") >= 1 && number("age") >= 1).then_some(())
    });
}
