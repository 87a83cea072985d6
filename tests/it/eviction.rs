//! maxmemory: every policy's promise, the bound under a storm of writes, and the error when nothing may be evicted.

use crate::support::*;

const OOM: &str = "-OOM command not allowed when used memory > 'maxmemory'.";

/// Writes keys of about a kilobyte in pipelines; returns how many were refused.
fn fill(c: &mut Client, prefix: &str, count: usize, options: &str) -> usize {
    let value = "v".repeat(1_000);
    let mut refused = 0;
    for start in (0..count).step_by(100) {
        let end = (start + 100).min(count);
        for number in start..end {
            c.send(format!("SET {prefix}{number} {value} {options}").trim_end());
        }
        refused += (start..end).filter(|_| c.read().value.is_error()).count();
    }
    refused
}

/// Sets `maxmemory` to what is used now and `extra` bytes more.
fn limit(c: &mut Client, extra: u64) -> u64 {
    let limit = c.counted_bytes() + extra;
    c.expect(&format!("CONFIG SET maxmemory {limit}"), "+OK");
    limit
}

#[test]
fn noeviction_refuses_writes_that_grow_and_serves_the_rest() {
    let server = Server::start(&["--maxmemory-policy", "noeviction"]);
    let mut c = server.client();
    fill(&mut c, "key:", 3_000, "");
    c.expect("CONFIG SET maxmemory 1mb", "+OK");
    for command in
        ["SET new v", "APPEND key:1 x", "INCR n", "MSET a 1 b 2", "SETRANGE key:1 0 x", "GETSET key:1 v"]
    {
        c.expect(command, OOM);
    }
    c.expect("STRLEN key:1", ":1000");
    c.expect("EXPIRE key:1 100", ":1");
    c.expect("DEL key:1", ":1");
    c.expect("CONFIG SET maxmemory 0", "+OK");
    c.expect("SET new v", "+OK");
    let stats = c.run("INFO stats").text();
    assert!(stats.contains("evicted_keys:0\r\n"), "{stats}");
}

#[test]
fn every_policy_makes_room_and_keeps_the_bound() {
    for policy in [
        "allkeys-lru",
        "allkeys-lfu",
        "allkeys-random",
        "volatile-lru",
        "volatile-lfu",
        "volatile-random",
        "volatile-ttl",
    ] {
        let server = Server::start(&["--maxmemory-policy", policy]);
        let mut c = server.client();
        let limit = limit(&mut c, 5_000_000);
        assert_eq!(fill(&mut c, "key:", 20_000, "EX 10000"), 0, "{policy}");
        let used = c.counted_bytes();
        assert!(used < limit + limit / 20, "{policy}: {used} of {limit}");
        let keys = c.run("DBSIZE").integer();
        assert!((1_000..8_000).contains(&keys), "{policy}: {keys} keys of a kilobyte in 5 MB");
        assert!(!c.run("INFO stats").text().contains("evicted_keys:0\r\n"), "{policy}");
    }
}

#[test]
fn volatile_policies_spare_keys_without_a_ttl_and_then_refuse() {
    for policy in ["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"] {
        let server = Server::start(&["--maxmemory-policy", policy]);
        let mut c = server.client();
        fill(&mut c, "keep:", 1_000, "");
        fill(&mut c, "spare:", 1_000, "EX 10000");
        limit(&mut c, 100_000);
        let refused = fill(&mut c, "more:", 5_000, "");
        assert!(refused > 3_000, "{policy}: {refused} refused");
        for number in 0..1_000 {
            c.expect(&format!("EXISTS keep:{number}"), ":1");
        }
        // One more might fit where a buffer was freed meanwhile; many do not.
        let refused = fill(&mut c, "many more:", 200, "");
        assert!(refused > 100, "{policy}: {refused} of 200 more refused");
    }
}

#[test]
fn volatile_ttl_takes_those_that_end_soonest() {
    let server = Server::start(&["--maxmemory-policy", "volatile-ttl", "--maxmemory-samples", "10"]);
    let mut c = server.client();
    fill(&mut c, "soon:", 2_000, "EX 1000");
    fill(&mut c, "late:", 2_000, "EX 100000");
    limit(&mut c, 0);
    fill(&mut c, "new:", 1_000, "EX 200000");
    let mut left = |prefix: &str| c.run(&format!("KEYS {prefix}*")).items().len();
    let (soon, late) = (left("soon:"), left("late:"));
    assert!(late > 1_800 && soon < 1_600, "{soon} soon, {late} late");
}

#[test]
fn what_is_read_often_stays() {
    // Redis's LRU clock ticks once a second: what happens within one is all the same age to it.
    let policies: &[&str] = if strata_only("recency within a second") {
        &["allkeys-lfu"]
    } else {
        &["allkeys-lru", "allkeys-lfu"]
    };
    for policy in policies {
        let server = Server::start(&["--maxmemory-policy", policy, "--maxmemory-samples", "10"]);
        let mut c = server.client();
        fill(&mut c, "hot:", 500, "");
        fill(&mut c, "cold:", 4_500, "");
        limit(&mut c, 0);
        for round in 0..20 {
            for number in 0..500 {
                c.send(&format!("GET hot:{number}"));
            }
            (0..500).for_each(|_| drop(c.read()));
            fill(&mut c, &format!("new:{round}:"), 200, "");
        }
        let hot =
            (0..500).filter(|number| c.run(&format!("EXISTS hot:{number}")) == Value::Integer(1)).count();
        assert!(hot >= 450, "{policy}: {hot} of 500 hot keys are left");
    }
}

#[test]
fn a_storm_of_writers_stays_within_the_bound() {
    let server = Server::start(&["--maxmemory-policy", "allkeys-lru"]);
    let mut c = server.client();
    let limit = limit(&mut c, 20_000_000);
    let before = server.resident_kib();
    let writers = (0..4).map(|writer| {
        let mut client = server.client();
        std::thread::spawn(move || fill(&mut client, &format!("key:{writer}:"), 20_000, ""))
    });
    let writers = writers.collect::<Vec<_>>();
    let refused = writers.into_iter().map(|writer| writer.join().expect("a writer")).sum::<usize>();
    assert_eq!(refused, 0);
    let used = c.counted_bytes();
    assert!(used < limit + limit / 20, "{used} of {limit}");
    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown < 40_000, "{grown} KiB resident for 20 MB");
}

#[test]
fn lowering_maxmemory_evicts_down_to_it() {
    let server = Server::start(&["--maxmemory-policy", "allkeys-random"]);
    let mut c = server.client();
    fill(&mut c, "key:", 10_000, "");
    let target = c.counted_bytes() - 5_000_000;
    c.expect(&format!("CONFIG SET maxmemory {target}"), "+OK");
    eventually("it is evicted down", || {
        c.run("SET one v");
        (c.counted_bytes() < target + target / 20).then_some(())
    });
}

#[test]
fn a_limit_of_a_megabyte_takes_writes_and_evicts() {
    // What the empty server allocates is more than that: every write was refused.
    let server = Server::start(&["--maxmemory", "1mb", "--maxmemory-policy", "allkeys-lru"]);
    let mut c = server.client();
    assert_eq!(fill(&mut c, "key:", 5_000, ""), 0);
    c.expect("SET last v", "+OK");
    c.expect("GET last", "$1 v");
    let stats = c.run("INFO stats").text();
    let evicted = stats.lines().find_map(|line| line.strip_prefix("evicted_keys:")).expect("evicted_keys");
    assert!(evicted.parse::<u64>().is_ok_and(|evicted| evicted > 3_000), "{evicted}");
    c.expect("CONFIG SET maxmemory 2000000", "+OK");
    c.expect("CONFIG SET maxmemory 1000000", "+OK");
    assert!(server.log().contains("smaller than the current memory usage"), "{}", server.log());
}

/// DEBUG POPULATE filled memory to several times its limit before anything could leave, and what it had taken counted twice
/// for a tenth of a second after it: all went to disk, and writes were refused.
#[test]
fn populate_makes_room_as_it_goes() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let server = Server::start(&["--maxmemory", "8mb", "--appendonly", "yes", "--l2-size", "256mb"]);
    let mut c = server.client();
    c.expect("DEBUG POPULATE 80000 key 200", "+OK");
    let counted = c.counted_bytes();
    assert!(counted < 9 << 20, "{counted} bytes");
    (0..100).for_each(|number| c.expect(&format!("SET new:{number} v"), "+OK"));
    c.expect("STRLEN key:79999", ":200");
    c.expect("DBSIZE", ":80100");
}
