//! What a network can send: requests in pieces, lengths that lie, clients that do not read. Each gets Redis's own error or
//! close, others go on, and memory stays bounded.

use std::time::Duration;

use crate::support::*;

/// Sends bytes, and returns all that comes until the server closes.
fn until_close(server: &Server, bytes: &[u8]) -> String {
    let mut c = server.client();
    c.send_raw(bytes);
    show(&c.read_to_end())
}

#[test]
fn a_pipeline_cut_at_every_byte_is_answered_the_same() {
    let server = Server::start(&[]);
    let requests: &[u8] = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\na\r\nb\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*0\r\n\r\nECHO \"x y\"\r\n\
        *1\r\n$6\r\nnosuch\r\n";
    let expected = "+OK +PONG $4 a b $3 x y -ERR unknown command 'nosuch', with args beginning with: ";
    for cut in 1..requests.len() {
        let mut c = server.client();
        c.send_raw(&requests[..cut]);
        c.send_raw(&requests[cut..]);
        let replies = (0..5).flat_map(|_| c.read().bytes).collect::<Vec<_>>();
        assert_eq!(show(&replies), expected, "cut at {cut}");
    }
}

#[test]
fn a_byte_at_a_time_is_answered_the_same() {
    let server = Server::start(&[]);
    let mut c = server.client();
    for byte in b"*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\nPING\r\n" {
        c.send_raw(&[*byte]);
        std::thread::sleep(Duration::from_millis(1)); // so that each byte is a packet
    }
    c.expect_next("$5 hello");
    c.expect_next("+PONG");
}

#[test]
fn lengths_that_lie_get_redis_own_error_and_a_close() {
    let server = Server::start(&[]);
    for (request, error) in [
        (&b"*1\r\n$-5\r\n"[..], "invalid bulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$536870913\r\n", "invalid bulk length"),
        (b"*1\r\n$99999999999999999999\r\n", "invalid bulk length"),
        (b"*1\r\n$x\r\n", "invalid bulk length"),
        (b"*1\r\n$\r\n", "invalid bulk length"),
        (b"*1\r\n+OK\r\n", "expected '$', got '+'"),
        (b"*1\r\nPING\r\n", "expected '$', got 'P'"),
        (b"*2147483648\r\n", "invalid multibulk length"),
        (b"*x\r\n", "invalid multibulk length"),
        (b"*99999999999999999999\r\n", "invalid multibulk length"),
    ] {
        assert_eq!(
            until_close(&server, request),
            format!("-ERR Protocol error: {error}"),
            "{}",
            show(request)
        );
    }
    server.client().expect("PING", "+PONG");
}

#[test]
fn empty_and_negative_counts_are_passed_over() {
    let server = Server::start(&[]);
    let mut c = server.client();
    c.send_raw(b"*0\r\n*-1\r\n*-100\r\n\r\n\r\n   \r\nPING\r\n");
    c.expect_next("+PONG");
    assert!(c.is_silent_for(Duration::from_millis(50)));
}

#[test]
fn lines_without_an_end_are_cut_off() {
    let server = Server::start(&[]);
    let long = vec![b'a'; 70_000];
    assert_eq!(until_close(&server, &long), "-ERR Protocol error: too big inline request");
    let mut count = b"*".to_vec();
    count.extend(vec![b'1'; 70_000]);
    assert_eq!(until_close(&server, &count), "-ERR Protocol error: too big mbulk count string");
    let mut bulk = b"*1\r\n$".to_vec();
    bulk.extend(vec![b'1'; 70_000]);
    assert_eq!(until_close(&server, &bulk), "-ERR Protocol error: too big bulk count string");
}

#[test]
fn before_the_password_requests_must_be_small() {
    let server = Server::start(&["--requirepass", "secret"]);
    assert_eq!(
        until_close(&server, b"*11\r\n$4\r\n"),
        "-ERR Protocol error: unauthenticated multibulk length"
    );
    assert_eq!(
        until_close(&server, b"*2\r\n$4\r\nAUTH\r\n$16385\r\n"),
        "-ERR Protocol error: unauthenticated bulk length"
    );
}

#[test]
fn inline_requests_take_quotes_and_escapes() {
    let server = Server::start(&[]);
    let mut c = server.client();
    for (line, reply) in [
        (&br#"ECHO "a b""#[..], "$3 a b"),
        (br#"ECHO "\x00\xff\n\t\"\\""#, "$6 \\x00\\xff\\n\\x09\"\\"),
        (br#"ECHO 'it\'s'"#, "$4 it's"),
        (br#"ECHO '\x00'"#, "$4 \\x00"),
        (br#"ECHO """#, "$0 "),
        (b"  ECHO    x  ", "$1 x"),
        (b"echo\ta", "$1 a"),
    ] {
        c.send_raw(line);
        c.send_raw(b"\r\n");
        assert_eq!(show(&c.read().bytes), reply, "{}", show(line));
    }
    c.send_raw(b"PING\n");
    c.expect_next("+PONG");
    for line in [&br#"ECHO "open"#[..], br#"ECHO "a"b"#, b"ECHO 'open", br#"ECHO 'a'b"#] {
        let mut request = line.to_vec();
        request.extend(b"\r\n");
        assert_eq!(until_close(&server, &request), "-ERR Protocol error: unbalanced quotes in request");
    }
}

#[test]
fn a_million_arguments_are_served() {
    let server = Server::start(&[]);
    let (mut c, mut other) = (server.client(), server.client());
    let mut request = b"*1000001\r\n$6\r\nEXISTS\r\n".to_vec();
    request.extend(b"$1\r\nk\r\n".repeat(1_000_000));
    c.expect("SET k v", "+OK");
    assert!(c.send_raw(&request));
    c.expect_next(":1000000");
    other.expect("PING", "+PONG");
    c.send_raw(b"*1000001\r\n$6\r\nNOSUCH\r\n");
    c.send_raw(&b"$1\r\nk\r\n".repeat(1_000_000));
    assert!(c.read().value.text().starts_with("ERR unknown command 'NOSUCH'"));
}

#[test]
fn a_count_alone_reserves_no_memory() {
    let server = Server::start(&[]);
    let before = server.resident_kib();
    let mut liars = (0..50).map(|_| server.client()).collect::<Vec<_>>();
    for (number, liar) in liars.iter_mut().enumerate() {
        let request: &[u8] =
            if number % 2 == 0 { b"*2147483647\r\n" } else { b"*2\r\n$3\r\nGET\r\n$536870912\r\nabc" };
        liar.send_raw(request);
    }
    server.client().expect("PING", "+PONG");
    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB for requests of a few bytes");
}

#[test]
fn a_pipeline_of_errors_is_answered_in_full() {
    let server = Server::start(&[]);
    let mut c = server.client();
    c.expect("SET k word", "+OK");
    let errors = ["INCR k", "NOSUCH", "GET", "SETEX k 0 v", "SELECT 99", "EXPIRE k x"];
    let pipeline =
        (0..6_000).flat_map(|at| encode(&errors[at % 6].split(' ').collect::<Vec<_>>())).collect::<Vec<_>>();
    let mut writer = server.client();
    let sender = std::thread::spawn(move || {
        writer.send_raw(&pipeline);
        for at in 0..6_000 {
            assert!(writer.read().value.is_error(), "{at}");
        }
        writer.expect("PING", "+PONG");
    });
    sender.join().expect("the sender");
    c.expect("GET k", "$4 word");
}

#[test]
fn one_that_never_reads_stops_nobody_and_is_answered_in_the_end() {
    let server = Server::start(&[]);
    let (mut slow, mut other) = (server.client(), server.client());
    slow.call(&[b"SET", b"k", &vec![b'v'; 100_000]]);
    slow.send_raw(&encode(&["GET", "k"]).repeat(300));
    for _ in 0..200 {
        other.expect("PING", "+PONG");
    }
    for _ in 0..300 {
        assert_eq!(slow.read().value.text().len(), 100_000);
    }
}

#[test]
fn one_that_sends_without_reading_is_held_back_not_fed() {
    let server = Server::start(&["--client-output-buffer-limit", "normal 8mb 0 0"]);
    let mut other = server.client();
    other.call(&[b"SET", b"k", &vec![b'v'; 10_000]]);
    let before = server.resident_kib();
    let mut flood = server.client();
    let pipeline = encode(&["GET", "k"]).repeat(10_000);
    flood.send_raw(&pipeline);
    other.expect("PING", "+PONG");
    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB");
}

#[test]
fn those_who_come_and_go_leave_nothing_behind() {
    let server = Server::start(&[]);
    for number in 0..500 {
        let mut c = server.client();
        match number % 4 {
            0 => {}
            1 => drop(c.send_raw(b"*2\r\n$3\r\nGE")),
            2 => drop(c.send_raw(b"SUBSCRIBE a\r\n")),
            _ => drop(c.send_raw(&encode(&["GET", "k"]).repeat(50))),
        }
    }
    let mut c = server.client();
    eventually("only this one is left", || {
        c.run("INFO clients").text().contains("connected_clients:1\r\n").then_some(())
    });
    c.expect("PUBSUB NUMSUB a", "*2 $1 a :0");
}

#[test]
fn a_half_closed_connection_is_answered_and_then_closed() {
    let server = Server::start(&[]);
    let mut c = server.client();
    c.send_raw(b"SET k v\r\nGET k\r\n");
    c.expect_next("+OK");
    c.expect_next("$1 v");
    c.close_write();
    assert!(c.read_to_end().is_empty());
    let mut cut = server.client();
    cut.send_raw(b"*2\r\n$3\r\nGET\r\n$1");
    cut.close_write();
    assert!(cut.read_to_end().is_empty());
}

#[test]
fn nonsense_harms_nobody() {
    let seed = random::seed("nonsense_harms_nobody");
    let mut random = Random::new(seed);
    let server = Server::start(&[]);
    let mut other = server.client();
    let pieces: [&[u8]; 14] = [
        b"*",
        b"$",
        b"\r\n",
        b"1",
        b"-1",
        b"3",
        b"GET",
        b"\0",
        b"\xff",
        b" ",
        b"\"",
        b"'",
        b"PING\r\n",
        b"*1\r\n$4\r\nPING\r\n",
    ];
    for round in 0..300 {
        let mut c = server.client();
        let bytes = (0..random.below(200)).flat_map(|_| random.pick(&pieces).to_vec()).collect::<Vec<_>>();
        c.send_raw(&bytes);
        other.call(&[b"SET", b"k", round.to_string().as_bytes()]);
        assert_eq!(other.run("GET k").text(), round.to_string());
    }
}
