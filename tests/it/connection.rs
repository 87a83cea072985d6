//! The connection's own commands: PING, ECHO, HELLO, AUTH, SELECT, RESET, QUIT.

use crate::support::*;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn ping_and_echo_answer_what_they_were_given() {
    let server = Server::start(&[]);
    let mut c = server.client();
    c.expect("PING", "+PONG");
    c.expect("PING hello", "$5 hello");
    c.expect("ping a b", "-ERR wrong number of arguments for 'ping' command");
    assert_eq!(c.call(&[b"ECHO", b"\x00\xff\r\n"]), Value::Bulk(b"\x00\xff\r\n".to_vec()));
}

#[test]
fn hello_describes_the_server_and_switches_the_protocol() {
    let server = Server::start(&[]);
    let mut c = server.client();
    let names = ["server", "version", "proto", "id", "mode", "role", "modules"];
    for (request, protocol) in [("HELLO", 2), ("HELLO 3", 3), ("HELLO", 3), ("HELLO 2", 2)] {
        let reply = c.run(request);
        assert_eq!(matches!(reply, Value::Map(_)), protocol == 3, "{request}");
        let items = reply.items();
        assert_eq!(items.iter().step_by(2).map(Value::text).collect::<Vec<_>>(), names);
        assert_eq!(reply.field("proto"), Value::Integer(protocol));
        assert_eq!(reply.field("mode").text(), "standalone");
        assert_eq!(reply.field("role").text(), "master");
        assert_eq!(reply.field("modules"), Value::Array(vec![]));
        assert!(reply.field("version").text().starts_with("7.4."));
    }
}

#[test]
fn hello_refuses_what_it_does_not_know_and_changes_nothing() {
    let server = Server::start(&[]);
    let mut c = server.client();
    c.expect("HELLO 4", "-NOPROTO unsupported protocol version");
    c.expect("HELLO x", "-ERR Protocol version is not an integer or out of range");
    c.expect("HELLO 3 BOGUS", "-ERR Syntax error in HELLO option 'BOGUS'");
    c.expect("HELLO 3 SETNAME", "-ERR Syntax error in HELLO option 'SETNAME'");
    c.expect("GET none", "$-1");
    let name = [&b"HELLO"[..], b"3", b"SETNAME", b"two words"];
    assert_eq!(
        c.call(&name).text(),
        "ERR Client names cannot contain spaces, newlines or special characters."
    );
    c.expect("GET none", "$-1");
    c.run("HELLO 3 SETNAME me");
    c.expect("CLIENT GETNAME", "$2 me");
    c.expect("GET none", "_");
}

#[test]
fn a_password_is_asked_for_and_checked() {
    let server = Server::start(&["--requirepass", "secret"]);
    let mut c = server.client();
    c.expect("GET k", "-NOAUTH Authentication required.");
    c.expect("PING", "-NOAUTH Authentication required.");
    c.expect("NOSUCH", "-ERR unknown command 'NOSUCH', with args beginning with: ");
    c.expect(
        "HELLO 3",
        "-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> \
         <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
    );
    c.expect("AUTH wrong", "-WRONGPASS invalid username-password pair or user is disabled.");
    c.expect("AUTH nobody secret", "-WRONGPASS invalid username-password pair or user is disabled.");
    c.expect("AUTH a b c", "-ERR syntax error");
    c.expect("AUTH secret", "+OK");
    c.expect("GET k", "$-1");
    c.expect("RESET", "+RESET");
    c.expect("GET k", "-NOAUTH Authentication required.");
    assert!(matches!(c.run("HELLO 3 AUTH default secret"), Value::Map(_)));
    c.expect("GET k", "_");
    let mut other = server.client();
    other.expect("AUTH default secret", "+OK");
    other.expect("CONFIG SET requirepass changed", "+OK");
    other.expect("GET k", "$-1");
    server.client().expect("AUTH secret", "-WRONGPASS invalid username-password pair or user is disabled.");
    server.client().expect("AUTH changed", "+OK");
}

#[test]
fn hello_reads_all_its_options_before_it_checks_the_password() {
    let server = Server::start(&[]);
    let mut c = server.client();
    c.expect("HELLO 3 AUTH nobody x BOGUS", "-ERR Syntax error in HELLO option 'BOGUS'");
    assert!(matches!(c.run("HELLO 3 AUTH nobody x AUTH default x"), Value::Map(_)), "the last one counts");
    c.expect("HELLO 3 AUTH nobody x", "-WRONGPASS invalid username-password pair or user is disabled.");
}

#[test]
fn auth_without_a_password_says_so() {
    let server = Server::start(&[]);
    let mut c = server.client();
    c.expect(
        "AUTH x",
        "-ERR AUTH <password> called without any password configured for the default user. Are you sure your \
         configuration is correct?",
    );
    c.expect("AUTH default anything", "+OK");
}

#[test]
fn reset_puts_everything_back() {
    let server = Server::start(&[]);
    let mut c = server.client3();
    c.expect("SELECT 3", "+OK");
    c.expect("CLIENT SETNAME me", "+OK");
    c.expect("SUBSCRIBE a", ">3 $9 subscribe $1 a :1");
    c.expect("CLIENT NO-EVICT ON", "+OK");
    c.expect("RESET", "+RESET");
    c.expect("GET none", "$-1");
    c.expect("CLIENT GETNAME", "$-1");
    let info = c.run("CLIENT INFO").text();
    assert!(info.contains(" db=0 ") && info.contains(" sub=0 ") && info.contains(" flags=N "), "{info}");
}

#[test]
fn quit_answers_what_came_before_and_closes() {
    let server = Server::start(&[]);
    let mut c = server.client();
    c.send_raw(b"PING\r\nQUIT\r\nPING\r\n");
    assert_eq!(show(&c.read_to_end()), "+PONG +OK");
}

#[test]
fn unknown_commands_are_named_with_the_arguments_they_begin_with() {
    let server = Server::start(&[]);
    let mut c = server.client();
    c.expect("NoSuch", "-ERR unknown command 'NoSuch', with args beginning with: ");
    c.expect("nosuch a bb", "-ERR unknown command 'nosuch', with args beginning with: 'a' 'bb' ");
    let long = "x".repeat(300);
    let reply = c.run(&format!("{long} {long} y"));
    assert_eq!(
        reply.text(),
        format!("ERR unknown command '{}', with args beginning with: '{}' ", &long[..128], &long[..128])
    );
    let reply = c.call(&[b"no\r\nsuch", b"a\nb"]);
    assert_eq!(reply.text(), "ERR unknown command 'no  such', with args beginning with: 'a b' ");
}

#[test]
fn commands_that_come_later_are_unknown_today() {
    if strata_only("commands_that_come_later_are_unknown_today") {
        return;
    }
    let server = Server::start(&[]);
    let mut c = server.client();
    for name in ["EVAL", "EVALSHA", "FUNCTION", "ACL", "CLUSTER"] {
        c.expect(
            &format!("{name} a b"),
            &format!("-ERR unknown command '{name}', with args beginning with: 'a' 'b' "),
        );
    }
}

#[test]
fn requests_of_many_clients_that_are_ready_at_once_are_answered_each_to_its_own() {
    // Single requests are held for a turn of the others, in one buffer that they share.
    let server = Server::start(&["--workers", "1"]);
    let mut clients: Vec<Client> = (0..60).map(|_| server.client()).collect();
    let mut admin = server.client();
    for round in 0..5 {
        let long = "v".repeat(3_000);
        server.signal("STOP");
        for (number, c) in clients.iter_mut().enumerate() {
            let key = format!("{round}:{number}");
            let sent = match number % 6 {
                0 => encode(&["SET", &key, "v"]),
                1 => format!("SET {key} v\r\n").into_bytes(),
                2 => encode(&["SET", &key, &long]),
                3 => [encode(&["SET", &key, "v"]), encode(&["GET", &key])].concat(),
                4 => encode(&["SET", &key, "v"])[..12].to_vec(),
                _ => encode(&["MSET", &key, "1", &format!("{key}b"), "2", &format!("{key}c"), "3", "d", "4"]),
            };
            assert!(c.send_raw(&sent));
        }
        server.signal("CONT");
        for (number, c) in clients.iter_mut().enumerate() {
            let key = format!("{round}:{number}");
            if number % 6 == 4 {
                assert!(c.send_raw(&encode(&["SET", &key, "v"])[12..]));
            }
            c.expect_next("+OK");
            if number % 6 == 3 {
                c.expect_next("$1 v");
            }
            let len = if number % 6 == 2 { 3_000 } else { 1 };
            c.expect(&format!("STRLEN {key}"), &format!(":{len}"));
        }
    }
    // One that is closed while its request is held takes nothing with it.
    let id = clients[0].run("CLIENT ID").integer();
    server.signal("STOP");
    admin.send(&format!("CLIENT KILL ID {id}"));
    for c in &mut clients {
        c.send("INCR counter");
    }
    server.signal("CONT");
    assert_eq!(admin.read().value.integer(), 1);
    let mut counts: Vec<i64> = clients[1..].iter_mut().map(|c| c.read().value.integer()).collect();
    counts.sort_unstable();
    counts.dedup();
    assert_eq!(counts.len(), 59);
}

/// After a wait the end of the input was looked for before the replies were sent: a client that had shut its sending side never
/// learnt that its write was on the disk.
#[test]
fn a_client_that_has_half_closed_is_told_what_it_waited_for() {
    if strata_only("it is about the log's waits") {
        return;
    }
    let server = Server::start(&["--appendonly", "yes", "--appendfsync", "always", "--l2-size", "256mb"]);
    for requests in [vec!["SET a 1"], vec!["SET a 1", "SET b 2", "GET a"]] {
        let mut c = server.client();
        requests.iter().for_each(|request| c.send(request));
        c.close_write();
        let replies = c.read_to_end();
        assert!(replies.starts_with(b"+OK\r\n"), "{}", show(&replies));
    }
    // What comes after a write in the pipeline does not hold its reply back.
    let mut c = server.client();
    c.send("SET a 1");
    c.send("BLPOP nothing 0");
    c.expect_next("+OK");
}

/// One who never stops sending gets its replies, and takes the turns of nobody else.
#[test]
fn a_client_that_pipelines_without_end_does_not_starve_another() {
    const BATCH_BYTES: usize = 64 * 1024;
    const OTHERS: usize = 200;
    let server = Server::start(&["--workers", "1"]);
    let flood = TcpStream::connect(("127.0.0.1", server.port)).expect("a connection");
    let stop = AtomicBool::new(false);
    let (sent, answered) = std::thread::scope(|scope| {
        let request = encode(&["INCR", "n"]);
        let (stop, mut writes, reads) = (&stop, &flood, &flood);
        let writer = scope.spawn(move || {
            let each = BATCH_BYTES.div_ceil(request.len());
            let batch = request.repeat(each);
            let mut sent = 0;
            while !stop.load(Ordering::Relaxed) {
                writes.write_all(&batch).expect("the server reads on");
                sent += each;
            }
            writes.shutdown(Shutdown::Write).expect("an open socket");
            sent
        });
        let reader = scope.spawn(move || {
            let mut answered = 0;
            for line in BufReader::new(reads).lines() {
                answered += 1;
                assert_eq!(line.expect("a reply"), format!(":{answered}"));
            }
            answered
        });
        // Also where the test fails.
        let _stop = StopAtEnd(stop);
        let mut other = server.client();
        eventually("the flood runs", || other.run("EXISTS n").integer().eq(&1).then_some(()));
        let before = other.run("GET n").text().parse::<usize>().expect("a number");
        // Each is waited for as long as any reply of any test.
        (0..OTHERS).for_each(|_| other.expect("PING", "+PONG"));
        let after = other.run("GET n").text().parse::<usize>().expect("a number");
        assert!(after > before + OTHERS, "the flood stood still: {before} to {after}");
        stop.store(true, Ordering::Relaxed);
        (writer.join().expect("the writer"), reader.join().expect("the reader"))
    });
    assert_eq!(answered, sent);
}

/// A read ends at the mark of urgent data. That was taken for the end of what was there: what lay behind it was not looked at
/// before more came.
#[test]
fn what_follows_urgent_data_is_read_too() {
    let server = Server::start(&[]);
    for round in 0..20 {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        stream.set_nodelay(true).expect("nodelay");
        // All of it is there before the first read; or each part comes by itself.
        let at_once = round % 2 == 0;
        if at_once {
            server.signal("STOP");
        }
        stream.write_all(&encode(&["ECHO", "before"])).expect("an open socket");
        socket2::SockRef::from(&stream).send_out_of_band(b"!").expect("an open socket");
        stream.write_all(&encode(&["ECHO", "behind"])).expect("an open socket");
        if at_once {
            server.signal("CONT");
        }
        // The urgent byte is no part of the stream.
        let expected = b"$6\r\nbefore\r\n$6\r\nbehind\r\n";
        let mut replies = vec![0; expected.len()];
        stream.read_exact(&mut replies).expect("both replies");
        assert_eq!(show(&replies), show(expected));
    }
}

/// WAIT and a pause did not notice that their client had gone: its connection stayed for good.
#[test]
fn clients_that_leave_while_they_wait_are_gone() {
    let server = Server::start(&[]);
    let mut admin = server.client();
    for _ in 0..20 {
        let mut c = server.client();
        c.send("WAIT 1 0");
        let mut c = server.client();
        c.send("BLPOP nothing 0");
    }
    eventually("they are gone", || (admin.info("connected_clients") == "1").then_some(()));
    admin.expect("CLIENT PAUSE 100000 WRITE", "+OK");
    let mut waiting: Vec<_> = (0..20).map(|_| server.client()).collect();
    // Each is known to the server once it has answered.
    waiting.iter_mut().for_each(|c| c.expect("PING", "+PONG"));
    waiting.iter_mut().for_each(|c| c.send("SET paused 1"));
    drop(waiting);
    eventually("they are gone", || (admin.info("connected_clients") == "1").then_some(()));
    admin.expect("CLIENT UNPAUSE", "+OK");
    admin.expect("EXISTS paused", ":0");
}

/// The reply of a command that waited was sent although CLIENT REPLY SKIP had asked for none.
#[test]
fn a_reply_that_is_skipped_is_skipped_after_a_wait() {
    let server = Server::start(&[]);
    let mut c = server.client();
    for waits in ["BLPOP nothing 0.05", "WAIT 1 50"] {
        c.send("CLIENT REPLY SKIP");
        c.send(waits);
        c.expect("ECHO after", "$5 after");
    }
}
