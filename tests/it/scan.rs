//! SCAN's guarantee: a key that is there from the first call to the last is returned, whatever else happens meanwhile.

use std::collections::BTreeSet;

use crate::support::*;

/// One whole iteration; `between` runs after every call.
fn scan(c: &mut Client, options: &str, mut between: impl FnMut(&mut Client, usize)) -> Vec<String> {
    let mut cursor = "0".to_string();
    let mut found = Vec::new();
    for call in 0.. {
        let reply = c.run(format!("SCAN {cursor} {options}").trim_end()).items();
        cursor = reply[0].text();
        found.extend(reply[1].items().iter().map(Value::text));
        if cursor == "0" {
            break;
        }
        assert!(call < 100_000, "an iteration without end");
        between(c, call);
    }
    found
}

fn fill(c: &mut Client, prefix: &str, count: usize, options: &str) {
    for number in 0..count {
        c.send(format!("SET {prefix}{number} v {options}").trim_end());
    }
    (0..count).for_each(|_| assert_eq!(c.read().value.text(), "OK"));
}

#[track_caller]
fn assert_all_kept(found: &[String], count: usize) {
    let kept = found.iter().filter(|key| key.starts_with("keep:")).collect::<BTreeSet<_>>();
    assert_eq!(kept.len(), count);
}

#[test]
fn a_quiet_scan_returns_every_key_once() {
    let server = Server::start(&[]);
    let mut c = server.client();
    fill(&mut c, "keep:", 5_000, "");
    for count in ["", "COUNT 1", "COUNT 100", "COUNT 100000"] {
        let found = scan(&mut c, count, |_, _| {});
        assert_eq!(found.len(), 5_000, "{count}");
        assert_all_kept(&found, 5_000);
    }
    assert_eq!(scan(&mut c, "MATCH keep:1?", |_, _| {}).len(), 10);
    assert_eq!(scan(&mut c, "MATCH keep:77 TYPE string", |_, _| {}), ["keep:77"]);
    assert_eq!(scan(&mut c, "TYPE hash", |_, _| {}).len(), 0);
}

#[test]
fn growth_during_a_scan_hides_no_key() {
    let server = Server::start(&[]);
    let mut c = server.client();
    fill(&mut c, "keep:", 2_000, "");
    let mut added = 0;
    let found = scan(&mut c, "COUNT 20", |c, call| {
        if added < 50_000 {
            fill(c, &format!("new:{call}:"), 1_000, "");
            added += 1_000;
        }
    });
    assert_all_kept(&found, 2_000);
}

#[test]
fn deletes_during_a_scan_hide_no_key() {
    let server = Server::start(&[]);
    let mut c = server.client();
    fill(&mut c, "keep:", 1_000, "");
    fill(&mut c, "drop:", 30_000, "");
    let mut dropped = 0;
    let found = scan(&mut c, "COUNT 50", |c, _| {
        if dropped < 30_000 {
            (0..1_000).for_each(|number| c.send(&format!("DEL drop:{}", dropped + number)));
            (0..1_000).for_each(|_| drop(c.read()));
            dropped += 1_000;
        }
    });
    assert_all_kept(&found, 1_000);
}

#[test]
fn keys_written_over_and_over_during_a_scan_are_not_hidden() {
    let server = Server::start(&[]);
    let mut c = server.client();
    fill(&mut c, "keep:", 3_000, "");
    let found = scan(&mut c, "COUNT 10", |c, call| {
        c.run(&format!("SET keep:{} a-value-of-another-length", call * 7 % 3_000));
        c.run(&format!("APPEND keep:{} more", call * 13 % 3_000));
    });
    assert_all_kept(&found, 3_000);
}

#[test]
fn expiry_during_a_scan_hides_no_key_and_shows_no_dead_one() {
    let server = Server::start(&[]);
    let mut c = server.client();
    fill(&mut c, "keep:", 1_000, "");
    fill(&mut c, "soon:", 5_000, "PX 30");
    let mut waited = false;
    let found = scan(&mut c, "COUNT 30", |c, _| {
        if !waited {
            waited = true;
            eventually("the short-lived are gone", || {
                (c.run("DBSIZE") == Value::Integer(1_000)).then_some(())
            });
        }
    });
    assert_all_kept(&found, 1_000);
    assert_all_kept(&scan(&mut c, "", |_, _| {}), 1_000);
}

#[test]
fn eviction_during_a_scan_hides_no_key_that_stays() {
    let server = Server::start(&["--maxmemory-policy", "volatile-random"]);
    let mut c = server.client();
    fill(&mut c, "keep:", 1_000, "");
    fill(&mut c, "cheap:", 20_000, "EX 100000");
    let mut done = false;
    let found = scan(&mut c, "COUNT 20", |c, call| {
        if !done && call == 3 {
            done = true;
            let limit = c.counted_bytes() - 500_000;
            c.run(&format!("CONFIG SET maxmemory {limit}"));
            eventually("some are evicted", || {
                c.run("SET keep:0 v");
                (c.run("DBSIZE").integer() < 20_000).then_some(())
            });
            c.expect("CONFIG SET maxmemory 0", "+OK");
        }
    });
    assert!(done);
    assert_all_kept(&found, 1_000);
}

#[test]
fn a_cursor_outlives_the_connection_it_came_from() {
    let server = Server::start(&[]);
    let mut c = server.client();
    fill(&mut c, "keep:", 1_000, "");
    let mut cursor = "0".to_string();
    let mut found = Vec::new();
    loop {
        let reply = server.client().run(&format!("SCAN {cursor} COUNT 100")).items();
        cursor = reply[0].text();
        found.extend(reply[1].items().iter().map(Value::text));
        if cursor == "0" {
            break;
        }
    }
    assert_all_kept(&found, 1_000);
}

#[test]
fn any_number_is_a_cursor_and_anything_else_an_error() {
    let server = Server::start(&[]);
    let mut c = server.client();
    fill(&mut c, "keep:", 100, "");
    for cursor in ["1", "12345", "4294967296", "18446744073709551615"] {
        assert!(matches!(c.run(&format!("SCAN {cursor}")), Value::Array(_)), "{cursor}");
    }
    for cursor in ["x", "-1", "1.5", "18446744073709551616"] {
        c.expect(&format!("SCAN {cursor}"), "-ERR invalid cursor");
    }
    c.expect("SCAN 0 COUNT 0", "-ERR syntax error");
    c.expect("SCAN 0 COUNT x", "-ERR value is not an integer or out of range");
    c.expect("SCAN 0 MATCH", "-ERR syntax error");
    c.expect("SCAN 0 BOGUS 1", "-ERR syntax error");
    c.expect("SCAN", "-ERR wrong number of arguments for 'scan' command");
}
