//! What the server says about itself: INFO, COMMAND, SLOWLOG, LATENCY, MONITOR, MEMORY, DEBUG, TIME, LOLWUT, SHUTDOWN.

use std::time::Duration;

use crate::support::*;

/// The value of one field of INFO.
fn info(c: &mut Client, section: &str, field: &str) -> String {
    let text = c.run(&format!("INFO {section}")).text();
    let prefix = format!("{field}:");
    let line = text.lines().find_map(|line| line.strip_prefix(&prefix));
    line.unwrap_or_else(|| panic!("no {field} in:\n{text}")).to_string()
}

/// The fields of Redis 7.4 that tools read, by section.
const FIELDS: &[(&str, &str)] = &[
    (
        "Server",
        "redis_version redis_git_sha1 redis_git_dirty redis_build_id redis_mode os arch_bits monotonic_clock multiplexing_api \
         process_id process_supervised run_id tcp_port server_time_usec uptime_in_seconds uptime_in_days hz configured_hz \
         lru_clock executable config_file io_threads_active",
    ),
    (
        "Clients",
        "connected_clients cluster_connections maxclients client_recent_max_input_buffer client_recent_max_output_buffer \
         blocked_clients tracking_clients pubsub_clients watching_clients clients_in_timeout_table total_watched_keys \
         total_blocking_keys total_blocking_keys_on_nokey",
    ),
    (
        "Memory",
        "used_memory used_memory_human used_memory_rss used_memory_rss_human used_memory_peak used_memory_peak_human \
         used_memory_peak_perc used_memory_overhead used_memory_startup used_memory_dataset used_memory_dataset_perc \
         allocator_allocated allocator_active allocator_resident total_system_memory total_system_memory_human maxmemory \
         maxmemory_human maxmemory_policy allocator_frag_ratio allocator_frag_bytes allocator_rss_ratio allocator_rss_bytes \
         mem_fragmentation_ratio mem_fragmentation_bytes mem_clients_normal mem_allocator lazyfree_pending_objects \
         lazyfreed_objects",
    ),
    (
        "Persistence",
        "loading rdb_changes_since_last_save rdb_bgsave_in_progress rdb_last_save_time aof_enabled",
    ),
    (
        "Stats",
        "total_connections_received total_commands_processed instantaneous_ops_per_sec total_net_input_bytes \
         total_net_output_bytes instantaneous_input_kbps instantaneous_output_kbps rejected_connections expired_keys \
         evicted_keys evicted_clients keyspace_hits keyspace_misses pubsub_channels pubsub_patterns pubsubshard_channels \
         total_error_replies total_reads_processed total_writes_processed client_query_buffer_limit_disconnections \
         client_output_buffer_limit_disconnections acl_access_denied_auth",
    ),
    (
        "Replication",
        "role connected_slaves master_failover_state master_replid master_replid2 master_repl_offset second_repl_offset \
         repl_backlog_active repl_backlog_size repl_backlog_first_byte_offset repl_backlog_histlen",
    ),
    ("CPU", "used_cpu_sys used_cpu_user used_cpu_sys_children used_cpu_user_children"),
    ("Cluster", "cluster_enabled"),
];

#[test]
fn info_has_the_sections_and_fields_that_tools_read() {
    let server = Server::start(&[]);
    let mut c = server.client();
    c.run("SET k v");
    let everything = c.run("INFO everything").text();
    let headers = everything.lines().filter(|line| line.starts_with("# ")).collect::<Vec<_>>();
    for header in
        ["Server", "Clients", "Memory", "Stats", "Replication", "CPU", "Commandstats", "Cluster", "Keyspace"]
    {
        assert!(headers.contains(&format!("# {header}").as_str()), "{header} in {headers:?}");
    }
    let mut missing = Vec::new();
    for (section, fields) in FIELDS {
        let text = c.run(&format!("INFO {section}")).text();
        assert!(text.starts_with(&format!("# {section}\r\n")), "{text}");
        let absent = fields.split(' ').filter(|name| !text.contains(&format!("\r\n{name}:")));
        missing.extend(absent.map(|name| format!("{section}/{name}")));
    }
    assert!(missing.is_empty(), "missing: {missing:?}");
}

#[test]
fn info_takes_several_sections_any_case_and_ignores_unknown_ones() {
    let server = Server::start(&[]);
    let mut c = server.client();
    let text = c.run("INFO server KEYSPACE").text();
    assert!(text.contains("# Server\r\n") && text.contains("# Keyspace\r\n") && !text.contains("# Memory"));
    assert_eq!(c.run("INFO nosuch").text(), "");
    assert!(c.run("INFO").text().contains("# Memory") && !c.run("INFO").text().contains("# Commandstats"));
    assert!(c.run("INFO all").text().contains("# Commandstats"));
    c.run("HELLO 3");
    assert!(matches!(c.run("INFO server"), Value::Verbatim(format, _) if format == b"txt"));
    assert!(info(&mut c, "server", "redis_version").starts_with("7.4."));
}

#[test]
fn info_counts_what_happens() {
    let server = Server::start(&[]);
    let mut c = server.client();
    c.run("SET k v EX 1000");
    c.run("SET j v");
    c.run("GET k");
    c.run("GET none");
    c.run("NOSUCH");
    c.run("INCR k");
    assert_eq!(info(&mut c, "stats", "keyspace_hits"), "1");
    assert_eq!(info(&mut c, "stats", "keyspace_misses"), "1");
    assert_eq!(info(&mut c, "stats", "total_error_replies"), "2");
    assert_eq!(info(&mut c, "errorstats", "errorstat_ERR"), "count=2");
    let database = info(&mut c, "keyspace", "db0");
    assert!(database.starts_with("keys=2,expires=1,avg_ttl="), "{database}");
    let set = info(&mut c, "commandstats", "cmdstat_set");
    assert!(set.starts_with("calls=2,usec=") && set.ends_with(",rejected_calls=0,failed_calls=0"), "{set}");
    let incr = info(&mut c, "commandstats", "cmdstat_incr");
    assert!(incr.ends_with("failed_calls=1"), "{incr}");
    assert!(info(&mut c, "latencystats", "latency_percentiles_usec_set").starts_with("p50="));
    assert_eq!(info(&mut c, "clients", "connected_clients"), "1");
    c.expect("CONFIG RESETSTAT", "+OK");
    assert_eq!(info(&mut c, "stats", "keyspace_hits"), "0");
    assert!(!c.run("INFO commandstats").text().contains("cmdstat_set"));
}

#[test]
fn command_describes_the_table() {
    let server = Server::start(&[]);
    let mut c = server.client();
    let count = c.run("COMMAND COUNT").integer();
    assert_eq!(c.run("COMMAND").items().len() as i64, count);
    assert!(c.run("COMMAND LIST").items().len() as i64 > count, "subcommands are listed too");
    let get = c.run("COMMAND INFO get nosuch").items();
    let fields = get[0].items();
    assert_eq!((fields[0].text(), fields[1].integer()), ("get".into(), 2));
    assert_eq!((fields[3].integer(), fields[4].integer(), fields[5].integer()), (1, 1, 1));
    assert_eq!(get[1], Value::Null);
    c.expect("COMMAND GETKEYS MSET a 1 b 2", "*2 $1 a $1 b");
    c.expect("COMMAND GETKEYSANDFLAGS SET k v", "*1 *2 $1 k *2 +OW +update");
    c.expect("COMMAND GETKEYS PING", "-ERR The command has no key arguments");
    c.expect("COMMAND GETKEYS GET", "-ERR Invalid number of arguments specified for command");
    c.expect("COMMAND GETKEYS NOSUCH", "-ERR Invalid command specified");
    c.expect("COMMAND DOCS nosuch", "*0");
    assert_eq!(c.run("COMMAND DOCS get").items()[1].field("group").text(), "string");
    c.expect("COMMAND LIST FILTERBY PATTERN getr*", "*1 $8 getrange");
    c.expect("COMMAND LIST FILTERBY BOGUS x", "-ERR syntax error");
    c.expect("COMMAND BOGUS", "-ERR unknown subcommand 'BOGUS'. Try COMMAND HELP.");
}

#[test]
fn slowlog_keeps_the_newest_first_and_cuts_what_is_long() {
    let server = Server::start(&["--slowlog-log-slower-than", "0", "--slowlog-max-len", "5"]);
    let mut c = server.client();
    c.run("CLIENT SETNAME me");
    c.expect("SLOWLOG RESET", "+OK");
    for number in 0..10 {
        c.run(&format!("SET k{number} v"));
    }
    c.expect("CONFIG SET slowlog-log-slower-than -1", "+OK");
    c.expect("SLOWLOG LEN", ":5");
    let entries = c.run("SLOWLOG GET").items();
    let words =
        |entry: &Value| entry.items()[3].items().iter().map(Value::text).collect::<Vec<_>>().join(" ");
    assert_eq!(words(&entries[0]), "SET k9 v");
    let newest = entries[0].items();
    assert_eq!(newest.len(), 6);
    assert_eq!(newest[5].text(), "me");
    assert!(newest[4].text().starts_with("127.0.0.1:"));
    assert!(newest[0].integer() > entries[1].items()[0].integer());
    assert_eq!(c.run("SLOWLOG GET 2").items().len(), 2);
    assert_eq!(c.run("SLOWLOG GET -1").items().len(), 5);
    c.expect("SLOWLOG GET -2", "-ERR count should be greater than or equal to -1");
    c.expect("SLOWLOG RESET", "+OK");
    c.expect("SLOWLOG LEN", ":0");
    c.expect("CONFIG SET slowlog-log-slower-than 0", "+OK");
    let many = (0..40).map(|number| format!("k{number}")).collect::<Vec<_>>().join(" ");
    c.run(&format!("DEL {many}"));
    c.run(&format!("ECHO {}", "x".repeat(300)));
    let entries = c.run("SLOWLOG GET 2").items();
    assert_eq!(words(&entries[0]), format!("ECHO {}... (172 more bytes)", "x".repeat(128)));
    assert_eq!(entries[1].items()[3].items().len(), 32);
    assert_eq!(entries[1].items()[3].items()[31].text(), "... (10 more arguments)");
}

#[test]
fn latency_reports_events_and_histograms() {
    let server = Server::start(&["--latency-monitor-threshold", "5"]);
    let mut c = server.client();
    c.expect("DEBUG SLEEP 0.02", "+OK");
    let latest = c.run("LATENCY LATEST").items();
    let fields = latest[0].items();
    assert_eq!(fields[0].text(), "command");
    assert!(fields[2].integer() >= 20 && fields[3].integer() >= 20, "{fields:?}");
    assert_eq!(c.run("LATENCY HISTORY command").items()[0].items()[1], fields[2]);
    assert!(c.run("LATENCY GRAPH command").text().contains("command - high"));
    c.expect("LATENCY GRAPH none", "-ERR No samples available for event 'none'");
    assert!(c.run("LATENCY DOCTOR").text().contains("Dave"));
    c.expect("LATENCY RESET", ":1");
    c.expect("LATENCY LATEST", "*0");
    (0..100).for_each(|_| drop(c.run("GET k")));
    c.run("HELLO 3");
    let histogram = c.run("LATENCY HISTOGRAM get nosuch");
    let get = histogram.field("get");
    assert_eq!(get.field("calls"), Value::Integer(100));
    let buckets = get.field("histogram_usec").items();
    assert_eq!(buckets.last(), Some(&Value::Integer(100)), "the last bucket counts all calls");
    assert_eq!(histogram.items().len(), 2);
}

#[test]
fn monitor_shows_every_command_of_every_client() {
    let server = Server::start(&[]);
    let (mut monitor, mut c) = (server.client(), server.client());
    monitor.expect("MONITOR", "+OK");
    c.run("SELECT 3");
    c.call(&[b"SET", b"k", b"a\x00\"\xff\r\n"]);
    c.run("AUTH default secret");
    c.run("PING");
    let line = |monitor: &mut Client| monitor.read().value.text();
    assert!(line(&mut monitor).ends_with(r#""SELECT" "3""#));
    let set = line(&mut monitor);
    let (stamp, rest) = set.split_once(' ').expect("a time stamp");
    assert!(stamp.parse::<f64>().is_ok_and(|seconds| seconds > 1e9), "{set}");
    assert!(rest.starts_with("[3 127.0.0.1:"), "{set}");
    assert!(rest.ends_with(r#"] "SET" "k" "a\x00\"\xff\r\n""#), "{set}");
    let next = line(&mut monitor);
    assert!(!next.contains("secret"), "{next}");
}

#[test]
fn memory_measures_keys_and_the_whole() {
    let server = Server::start(&[]);
    let mut c = server.client();
    c.expect("MEMORY USAGE none", "$-1");
    c.run("SET small v");
    c.run(&format!("SET large {}", "v".repeat(10_000)));
    let (small, large) = (c.run("MEMORY USAGE small").integer(), c.run("MEMORY USAGE large").integer());
    assert!((10..150).contains(&small) && (10_000..21_000).contains(&large), "{small} {large}");
    c.expect("MEMORY USAGE small SAMPLES 5", &format!(":{small}"));
    c.expect("MEMORY USAGE small SAMPLES x", "-ERR value is not an integer or out of range");
    c.expect("MEMORY PURGE", "+OK");
    assert!(c.run("MEMORY DOCTOR").text().contains("Sam"));
    let stats = c.run("MEMORY STATS");
    for name in ["peak.allocated", "total.allocated", "startup.allocated", "keys.count", "dataset.bytes"] {
        assert!(stats.field(name).integer() > 0, "{name}");
    }
    assert_eq!(stats.field("keys.count"), Value::Integer(2));
}

#[test]
fn debug_has_what_test_suites_call() {
    let server = Server::start(&[]);
    let mut c = server.client();
    c.run("SET k v");
    assert!(c.run("DEBUG OBJECT k").text().contains("encoding:embstr"));
    c.expect("DEBUG OBJECT none", "-ERR no such key");
    c.expect("DEBUG SLEEP 0", "+OK");
    c.expect("DEBUG SET-ACTIVE-EXPIRE 1", "+OK");
    let reply = c.run("DEBUG BOGUS").text();
    assert_eq!(reply, "ERR unknown subcommand or wrong number of arguments for 'BOGUS'. Try DEBUG HELP.");
}

#[test]
fn time_and_lolwut_answer() {
    let server = Server::start(&[]);
    let mut c = server.client();
    let time = c.run("TIME").items();
    let seconds = time[0].text().parse::<u64>().expect("seconds");
    let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
    assert!(seconds.abs_diff(now) <= 2 && time[1].text().parse::<u64>().expect("microseconds") < 1_000_000);
    assert!(c.run("LOLWUT").text().contains("ver. 7.4."));
}

#[test]
fn shutdown_and_signals_end_the_process_cleanly() {
    for ending in ["SHUTDOWN NOSAVE", "SHUTDOWN", "TERM", "INT"] {
        let mut server = Server::start(&[]);
        let (mut c, mut other) = (server.client(), server.client());
        other.expect("PING", "+PONG");
        match ending.starts_with("SHUTDOWN") {
            true => c.send(ending),
            false => server.signal(ending),
        }
        assert!(c.read_to_end().is_empty(), "{ending}");
        assert!(other.read_to_end().is_empty(), "{ending}");
        let status = server.wait();
        assert!(status.success(), "{ending}: {status}");
    }
    let server = Server::start(&[]);
    let mut c = server.client();
    // The terminal that it was started from is closed.
    server.signal("HUP");
    c.expect("SHUTDOWN BOGUS", "-ERR syntax error");
    c.expect("SHUTDOWN SAVE NOSAVE", "-ERR syntax error");
    c.expect("SHUTDOWN ABORT", "-ERR No shutdown in progress.");
    assert!(c.is_silent_for(Duration::from_millis(20)));
}

/// Who runs MONITOR counts as a replica, and is no client of the keyspace.
#[test]
fn who_monitors_has_no_keys() {
    let server = Server::start(&[]);
    let mut monitor = server.client();
    monitor.expect("MONITOR", "+OK");
    for line in ["GET a", "SET a 1", "KEYS *", "DBSIZE", "PUBLISH a b", "FLUSHALL"] {
        monitor.expect(line, "-ERR Replica can't interact with the keyspace");
    }
    monitor
        .expect("CONFIG GET port", &format!("*2 $4 port ${} {}", server.port.to_string().len(), server.port));
    monitor.expect("RESET", "+RESET");
    monitor.expect("GET a", "$-1");
}
