//! Limits on clients: how many, how idle, how much they may send and leave unread, from where, and over which socket.

use std::time::Duration;

use crate::support::*;

#[test]
fn maxclients_refuses_the_next_and_takes_one_again_when_one_leaves() {
    let server = Server::start(&["--maxclients", "5"]);
    let mut first = server.client();
    eventually("the connection of the start is gone", || {
        (first.run("INFO clients").text().contains("connected_clients:1\r\n")).then_some(())
    });
    let mut clients = vec![first];
    clients.extend((0..4).map(|_| server.client()));
    for client in &mut clients {
        assert_eq!(client.run("PING").text(), "PONG");
    }
    let mut refused = server.client();
    assert_eq!(show(&refused.read_to_end()), "-ERR max number of clients reached");
    assert!(clients[0].run("INFO stats").text().contains("rejected_connections:1\r\n"));
    clients.pop();
    eventually("a place is free", || {
        let mut client = server.client();
        client.send_raw(b"PING\r\n");
        client.read_within(Duration::from_secs(1)).filter(|reply| reply.value.text() == "PONG").map(drop)
    });
}

/// It was set to any number, for which there were no file descriptors.
#[test]
fn maxclients_is_no_more_than_the_system_has_descriptors_for() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let refused = client.run("CONFIG SET maxclients 100000000").text_if_error();
    let text = "ERR CONFIG SET failed (possibly related to argument 'maxclients') - The operating system is not able to \
                handle the specified number of clients, try with ";
    let most: u32 = refused.strip_prefix(text).and_then(|most| most.parse().ok()).expect(&refused);
    client.expect("CONFIG GET maxclients", "*2 $10 maxclients $5 10000");
    client.expect(&format!("CONFIG SET maxclients {most}"), "+OK");
}

#[test]
fn timeout_closes_idle_clients_but_not_subscribers() {
    let server = Server::start(&["--timeout", "1"]);
    let (mut idle, mut subscriber) = (server.client(), server.client());
    idle.expect("PING", "+PONG");
    subscriber.run("SUBSCRIBE a");
    assert!(idle.read_to_end().is_empty());
    assert_eq!(server.client().run("PUBLISH a still"), Value::Integer(1));
    subscriber.expect_next("*3 $7 message $1 a $5 still");
}

#[test]
fn timeout_closes_idle_clients_but_not_those_that_wait() {
    let server = Server::start(&["--timeout", "1"]);
    let (mut waits, mut idle) = (server.client(), server.client());
    waits.send("BLPOP q 0");
    eventually("it waits", || (server.client().info("blocked_clients") == "1").then_some(()));
    // Idle for a shorter time than the other.
    idle.expect("PING", "+PONG");
    assert!(idle.read_to_end().is_empty());
    server.client().expect("RPUSH q a", ":1");
    waits.expect_next("*2 $1 q $1 a");
}

/// What comes while a client waits is kept for later, up to the limit. Who went beyond was cut off, but it was not counted.
#[test]
fn a_waiting_client_that_floods_is_cut_off_at_the_query_buffer_limit() {
    const FLOOD_BYTES_MAX: usize = 64 << 20;
    let server = Server::start(&["--client-query-buffer-limit", "1mb", "--workers", "1"]);
    let (mut c, mut other) = (server.client(), server.client());
    c.send("BLPOP nothing 0");
    eventually("it waits", || (other.info("blocked_clients") == "1").then_some(()));
    let before_kib = server.resident_kib();
    let batch = b"PING\r\n".repeat(10_000);
    let mut sent = 0;
    while sent < FLOOD_BYTES_MAX && c.send_raw(&batch) {
        sent += batch.len();
        other.expect("PING", "+PONG");
    }
    assert!(sent < FLOOD_BYTES_MAX, "never cut off");
    assert!(server.resident_kib() < before_kib + 16 * 1024, "{} KiB", server.resident_kib() - before_kib);
    eventually("it is counted", || {
        (other.info("client_query_buffer_limit_disconnections") == "1").then_some(())
    });
    eventually("it no longer waits", || (other.info("blocked_clients") == "0").then_some(()));
}

#[test]
fn a_subscriber_that_does_not_read_is_cut_off_at_its_limit() {
    let server = Server::start(&["--client-output-buffer-limit", "pubsub 1mb 0 0"]);
    let (mut publisher, mut slow, mut quick) = (server.client(), server.client(), server.client());
    slow.run("SUBSCRIBE a");
    quick.run("SUBSCRIBE a");
    let message = vec![b'm'; 100_000];
    let mut published = 0;
    eventually("the slow one is cut off", || {
        let receivers = publisher.call(&[b"PUBLISH", b"a", &message]).integer();
        assert_eq!(quick.read().value.items()[2], Value::Bulk(message.clone()));
        published += 1;
        (receivers == 1).then_some(())
    });
    let stats = publisher.run("INFO stats").text();
    assert!(stats.contains("client_output_buffer_limit_disconnections:1\r\n"), "{stats}");
    assert!(published < 200, "{published}");
    let got = slow.read_to_end();
    assert!(got.len() < published * message.len());
}

#[test]
fn the_soft_limit_waits_its_seconds() {
    let server = Server::start(&["--client-output-buffer-limit", "pubsub 1gb 100kb 1"]);
    let (mut publisher, mut slow) = (server.client(), server.client());
    slow.run("SUBSCRIBE a");
    let message = vec![b'm'; 100_000];
    for _ in 0..100 {
        assert_eq!(publisher.call(&[b"PUBLISH", b"a", &message]).integer(), 1);
    }
    eventually("it is cut off a second later", || {
        (publisher.call(&[b"PUBLISH", b"a", b"x"]).integer() == 0).then_some(())
    });
}

#[test]
fn a_normal_client_is_limited_too_when_so_configured() {
    let server = Server::start(&["--client-output-buffer-limit", "normal 1mb 0 0"]);
    let (mut c, mut other) = (server.client(), server.client());
    c.call(&[b"SET", b"k", &vec![b'v'; 300_000]]);
    let request = encode(&["GET", "k"]).repeat(200);
    c.send_raw(&request);
    let got = c.read_to_end();
    assert!(got.len() < 200 * 300_000);
    other.expect("PING", "+PONG");
}

#[test]
fn a_request_longer_than_the_query_buffer_limit_ends_the_connection() {
    let server = Server::start(&["--client-query-buffer-limit", "1mb"]);
    let (mut c, mut other) = (server.client(), server.client());
    c.send_raw(b"*2\r\n$4\r\nECHO\r\n$2000000\r\n");
    c.send_raw(&vec![b'x'; 1_500_000]);
    assert!(c.read_to_end().is_empty());
    other.expect("PING", "+PONG");
    let stats = other.run("INFO stats").text();
    assert!(stats.contains("client_query_buffer_limit_disconnections:1\r\n"), "{stats}");
}

#[test]
fn a_unix_socket_serves_beside_the_port() {
    let directory = server::fresh_directory();
    let socket = directory.join("s");
    let path = socket.to_str().expect("a path of text");
    let server = Server::start(&["--unixsocket", path, "--unixsocketperm", "700"]);
    let mut c = Client::connect_unix(&socket);
    c.expect("SET k v", "+OK");
    server.client().expect("GET k", "$1 v");
    let info = c.run("CLIENT INFO").text();
    assert!(info.contains(&format!(" addr={path}:0 ")) && info.contains(" flags=U "), "{info}");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&socket).expect("a socket").permissions().mode() & 0o777, 0o700);
    std::fs::remove_dir_all(&directory).expect("the directory to go");
}

#[test]
fn protected_mode_refuses_strangers_until_there_is_a_password() {
    let Some(address) = own_address() else {
        println!("skipped: this machine has no address but the loopback");
        return;
    };
    let server = Server::start(&["--bind", "0.0.0.0"]);
    let mut stranger = Client::connect_to(&address, server.port);
    let refusal = show(&stranger.read_to_end());
    assert!(refusal.starts_with("-DENIED "), "{refusal}");
    let mut local = server.client();
    local.expect("PING", "+PONG");
    local.expect("CONFIG SET protected-mode no", "+OK");
    Client::connect_to(&address, server.port).expect("PING", "+PONG");
    local.expect("CONFIG SET protected-mode yes requirepass secret", "+OK");
    Client::connect_to(&address, server.port).expect("AUTH secret", "+OK");
}

/// An address of this machine that is not the loopback's. No packet is sent to find it.
fn own_address() -> Option<String> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then(|| address.to_string())
}

#[test]
fn several_addresses_are_bound() {
    let server = Server::start(&["--bind", "127.0.0.1 127.0.0.2"]);
    Client::connect_to("127.0.0.1", server.port).expect("PING", "+PONG");
    Client::connect_to("127.0.0.2", server.port).expect("PING", "+PONG");
}

#[test]
fn a_thousand_idle_clients_cost_little_memory() {
    let server = Server::start(&[]);
    let mut c = server.client();
    let before = server.resident_kib();
    let mut idle = (0..900).map(|_| server.client()).collect::<Vec<_>>();
    for client in &mut idle {
        client.call(&[b"SET", b"k", &vec![b'v'; 20_000]]);
        client.call(&[b"GET", b"k"]);
    }
    // Redis takes its buffers back after two seconds of idleness, one round at a time.
    eventually("the buffers are given back", || {
        c.run("PING");
        (server.resident_kib() < before + 900 * 24).then_some(())
    });
}
