//! Configuration: CONFIG GET's globs, CONFIG SET of several, REWRITE, RESETSTAT, and starts that must fail.

use crate::support::*;

#[test]
fn get_takes_globs_any_case_and_several_names() {
    let server = Server::start(&["--maxmemory", "100mb"]);
    let mut c = server.client();
    c.expect("CONFIG GET maxmemory", "*2 $9 maxmemory $9 104857600");
    c.expect("CONFIG GET MAXMEMORY", "*2 $9 MAXMEMORY $9 104857600");
    c.expect("CONFIG GET nosuch", "*0");
    c.expect("CONFIG GET nosuch maxmemory maxm?mory", "*2 $9 maxmemory $9 104857600");
    let names = c.run("CONFIG GET maxmemory* timeout").items();
    let names = names.iter().step_by(2).map(Value::text).collect::<Vec<_>>();
    for name in ["maxmemory", "maxmemory-policy", "maxmemory-samples", "timeout"] {
        assert!(names.contains(&name.to_string()), "{names:?}");
    }
    assert!(c.run("CONFIG GET *").items().len() > 60);
    c.run("HELLO 3");
    c.expect("CONFIG GET maxmemory", "%1 $9 maxmemory $9 104857600");
}

#[test]
fn what_clients_ask_for_at_their_start_is_answered() {
    let server = Server::start(&[]);
    let mut c = server.client();
    c.expect("CONFIG GET save", "*2 $4 save $0 ");
    c.expect("CONFIG GET appendonly", "*2 $10 appendonly $2 no");
    c.expect("CONFIG GET databases", "*2 $9 databases $2 16");
    c.expect("CONFIG GET timeout", "*2 $7 timeout $1 0");
}

#[test]
fn set_applies_all_pairs_or_none() {
    let server = Server::start(&[]);
    let mut c = server.client();
    c.expect("CONFIG SET timeout 100 maxmemory 1gb", "+OK");
    c.expect("CONFIG GET timeout", "*2 $7 timeout $3 100");
    c.expect("CONFIG GET maxmemory", "*2 $9 maxmemory $10 1073741824");
    c.expect(
        "CONFIG SET timeout 200 maxmemory x",
        "-ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value",
    );
    c.expect(
        "CONFIG SET timeout 200 nosuch 1",
        "-ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'",
    );
    c.expect(
        "CONFIG SET timeout 200 timeout 300",
        "-ERR CONFIG SET failed (possibly related to argument 'timeout') - duplicate parameter",
    );
    c.expect(
        "CONFIG SET timeout 200 databases 4",
        "-ERR CONFIG SET failed (possibly related to argument 'databases') - can't set immutable config",
    );
    c.expect("CONFIG GET timeout", "*2 $7 timeout $3 100");
    c.expect("CONFIG SET timeout", "-ERR wrong number of arguments for 'config|set' command");
}

#[test]
fn sizes_take_units_and_are_read_back_in_bytes() {
    let server = Server::start(&[]);
    let mut c = server.client();
    for (given, bytes) in
        [("1k", "1000"), ("1kb", "1024"), ("2MB", "2097152"), ("1g", "1000000000"), ("100", "100")]
    {
        // Small limits are only read back: eviction starts with the next write.
        c.expect(&format!("CONFIG SET maxmemory {given}"), "+OK");
        assert_eq!(c.run("CONFIG GET maxmemory").items()[1].text(), bytes, "{given}");
    }
    assert_eq!(
        c.call(&[b"CONFIG", b"SET", b"client-output-buffer-limit", b"pubsub 32mb 8mb 60"]).text(),
        "OK"
    );
    assert!(
        c.run("CONFIG GET client-output-buffer-limit").items()[1]
            .text()
            .contains("pubsub 33554432 8388608 60")
    );
}

#[test]
fn a_changed_setting_is_in_force_at_once() {
    let server = Server::start(&[]);
    let mut c = server.client();
    c.expect("CONFIG SET proto-max-bulk-len 1mb", "+OK");
    c.expect("SET k v", "+OK");
    c.expect("SETRANGE k 1048576 x", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    c.send_raw(b"*2\r\n$4\r\nECHO\r\n$1048577\r\n");
    assert_eq!(show(&c.read_to_end()), "-ERR Protocol error: invalid bulk length");
}

#[test]
fn rewrite_without_a_file_says_so() {
    let server = Server::start(&[]);
    server.client().expect("CONFIG REWRITE", "-ERR The server is running without a config file");
}

#[test]
fn rewrite_keeps_what_was_set_for_the_next_start() {
    if strata_only("rewrite_keeps_what_was_set_for_the_next_start") {
        return;
    }
    let directory = server::fresh_directory();
    let file = directory.join("strata.toml");
    std::fs::write(&file, "# mine\nmaxmemory = \"10mb\"\n").expect("a file");
    let path = file.to_str().expect("a path of text");
    let server = Server::start(&["--config", path]);
    let mut c = server.client();
    c.expect("CONFIG GET maxmemory", "*2 $9 maxmemory $8 10485760");
    c.expect("CONFIG SET maxmemory 20mb maxmemory-policy allkeys-lfu", "+OK");
    c.expect("CONFIG REWRITE", "+OK");
    let text = std::fs::read_to_string(&file).expect("the file");
    assert!(text.contains("# mine"), "comments stay: {text}");
    drop(server);
    let server = Server::start(&["--config", path]);
    let mut c = server.client();
    c.expect("CONFIG GET maxmemory", "*2 $9 maxmemory $8 20971520");
    c.expect("CONFIG GET maxmemory-policy", "*2 $16 maxmemory-policy $11 allkeys-lfu");
    std::fs::remove_dir_all(&directory).expect("the directory to go");
}

#[test]
fn a_start_with_a_bad_setting_names_setting_value_and_what_is_allowed() {
    if strata_only("a_start_with_a_bad_setting_names_setting_value_and_what_is_allowed") {
        return;
    }
    for (arguments, environment, words) in [
        (&["--maxmemory", "lots"][..], &[][..], &["maxmemory", "lots"][..]),
        (&["--maxmemory-policy", "sometimes"], &[], &["maxmemory-policy", "sometimes", "allkeys-lru"]),
        (&["--port", "70000"], &[], &["port", "70000", "65535"]),
        (&["--nosuchsetting", "1"], &[], &["nosuchsetting"]),
        (&["--timeout", "-1"], &[], &["timeout", "-1"]),
        (&[], &[("STRATA_PORT", "many")], &["STRATA_PORT", "many", "65535"]),
        (&[], &[("STRATA_NOSUCH", "1")], &["STRATA_NOSUCH"]),
        (&["--config", "/nosuch/strata.toml"], &[], &["/nosuch/strata.toml"]),
    ] {
        let (status, output) = server::run_to_exit(arguments, environment);
        assert!(!status.success(), "{arguments:?}");
        for word in words {
            assert!(output.contains(word), "{arguments:?} {environment:?} does not name {word}: {output}");
        }
    }
}

#[test]
fn a_port_in_use_stops_the_start_with_its_name() {
    let server = Server::start(&[]);
    let port = server.port.to_string();
    let (status, output) = server::run_to_exit(&["--port", &port, "--bind", "127.0.0.1", "--save", ""], &[]);
    assert!(!status.success());
    assert!(output.contains(&port), "{output}");
}

#[test]
fn resetstat_zeroes_the_counters() {
    let server = Server::start(&[]);
    let mut c = server.client();
    (0..10).for_each(|_| drop(c.run("GET none")));
    c.expect("CONFIG RESETSTAT", "+OK");
    let stats = c.run("INFO stats").text();
    assert!(stats.contains("keyspace_misses:0\r\n"), "{stats}");
    c.expect("CONFIG BOGUS", "-ERR unknown subcommand 'BOGUS'. Try CONFIG HELP.");
}

#[test]
fn bind_is_widened_and_narrowed_on_the_same_port() {
    // A server's own listener on 127.0.0.1 stood in the way of one on all addresses, and the reverse.
    if strata_only("bind_is_widened_and_narrowed_on_the_same_port") {
        return;
    }
    let server = Server::start(&[]);
    let mut c = server.client();
    let reaches = |address: &str| std::net::TcpStream::connect((address, server.port)).is_ok();
    assert!(!reaches("127.0.0.2"));
    for (bind, wide) in [("*", true), ("127.0.0.1", false), ("0.0.0.0", true), ("127.0.0.1", false)] {
        assert_eq!(c.call(&[b"CONFIG", b"SET", b"bind", bind.as_bytes()]).text(), "OK", "{bind}");
        assert!(reaches("127.0.0.1"), "{bind}");
        assert_eq!(reaches("127.0.0.2"), wide, "{bind}");
        let mut fresh = server.client();
        fresh.expect("PING", "+PONG");
    }
    // In vain: the port is taken on another address, and the old listeners are there again.
    let other = std::net::TcpListener::bind(("127.0.0.2", server.port)).expect("the address is free");
    c.expect(
        "CONFIG SET bind *",
        "-ERR CONFIG SET failed (possibly related to argument 'bind') - Failed to bind to specified addresses.",
    );
    drop(other);
    server.client().expect("PING", "+PONG");
    c.expect("CONFIG GET bind", "*2 $4 bind $9 127.0.0.1");
}

/// Now and then the closing of the old socket came to the log as a failure to accept.
#[test]
fn a_port_that_is_left_is_left_without_a_warning() {
    if strata_only("it reads the log") {
        return;
    }
    let server = Server::start(&[]);
    let mut c = server.client();
    let first = server.port.to_string();
    for _ in 0..50 {
        let other = server::free_port();
        c.expect(&format!("CONFIG SET port {other}"), "+OK");
        c.expect(&format!("CONFIG SET port {first}"), "+OK");
    }
    server.client().expect("PING", "+PONG");
    assert!(!server.log().contains("accepting a connection failed"), "{}", server.log());
}

#[test]
fn a_file_of_redis_server_is_named_as_what_it_is() {
    let directory = server::fresh_directory();
    let path = directory.join("redis.conf");
    std::fs::write(&path, "# Redis configuration\n\nbind 127.0.0.1 -::1\nrequirepass hush\n")
        .expect("a file");
    let (status, output) = server::run_to_exit(&[&path.display().to_string()], &[]);
    assert!(!status.success());
    assert!(output.contains("this is a file of redis-server ('bind ...')"), "{output}");
    let _ = std::fs::remove_dir_all(&directory);
}
