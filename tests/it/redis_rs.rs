//! redis-rs, the Rust client, as an application uses it, in RESP2 and RESP3.

use std::time::Duration;

use redis::{Commands, Connection, RedisResult, SetExpiry, SetOptions};

use crate::support::*;

/// Runs a claim on a fresh server in each protocol.
fn in_both_protocols(claim: impl Fn(&mut Connection)) {
    for protocol in ["resp2", "resp3"] {
        let server = Server::start(&[]);
        let url = format!("redis://127.0.0.1:{}/?protocol={protocol}", server.port);
        let client = redis::Client::open(url).expect("a url");
        claim(&mut client.get_connection().expect("a connection"));
    }
}

#[test]
fn strings_have_their_redis_meaning() {
    in_both_protocols(|c| {
        let () = c.set("k", "v").unwrap();
        assert_eq!(c.get::<_, String>("k").unwrap(), "v");
        assert_eq!(c.get::<_, Option<String>>("none").unwrap(), None);
        let options = SetOptions::default().with_expiration(SetExpiry::EX(100)).get(true);
        assert_eq!(c.set_options::<_, _, String>("k", "w", options).unwrap(), "v");
        assert!((99..=100).contains(&c.ttl::<_, i64>("k").unwrap()));
        assert_eq!(c.incr::<_, _, i64>("n", 5).unwrap(), 5);
        assert_eq!(c.incr::<_, _, f64>("f", 0.5).unwrap(), 0.5);
        let () = c.mset(&[("a", 1), ("b", 2)]).unwrap();
        assert_eq!(c.mget::<_, Vec<Option<i64>>>(&["a", "none", "b"]).unwrap(), [Some(1), None, Some(2)]);
        assert_eq!(c.get_del::<_, String>("k").unwrap(), "w");
        let error = c.incr::<_, _, i64>("f", 1).unwrap_err();
        assert!(error.to_string().contains("not an integer or out of range"), "{error}");
    });
}

#[test]
fn expiry_takes_its_conditions() {
    in_both_protocols(|c| {
        let () = c.set("k", "v").unwrap();
        let expire = |c: &mut Connection, seconds: i64, option: &str| -> i64 {
            redis::cmd("EXPIRE").arg("k").arg(seconds).arg(option).query(c).unwrap()
        };
        assert_eq!(expire(c, 100, "NX"), 1);
        assert_eq!(expire(c, 50, "GT"), 0);
        assert!(c.persist::<_, bool>("k").unwrap());
        assert_eq!(c.ttl::<_, i64>("k").unwrap(), -1);
    });
}

#[test]
fn pipelines_and_scans_return_everything() {
    in_both_protocols(|c| {
        let mut pipeline = redis::pipe();
        for number in 0..2_000 {
            pipeline.set(format!("user:{number}"), number).ignore();
        }
        let () = pipeline.query(c).unwrap();
        let keys: std::collections::HashSet<String> =
            c.scan_match::<_, String>("user:*").unwrap().collect::<RedisResult<_>>().unwrap();
        assert_eq!(keys.len(), 2_000);
        assert_eq!(c.del::<_, i64>(keys.into_iter().collect::<Vec<_>>()).unwrap(), 2_000);
    });
}

#[test]
fn pubsub_delivers_to_channels_and_patterns() {
    let server = Server::start(&[]);
    let client = redis::Client::open(format!("redis://127.0.0.1:{}", server.port)).expect("a url");
    let mut connection = client.get_connection().unwrap();
    let mut pubsub = connection.as_pubsub();
    pubsub.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    pubsub.subscribe("news").unwrap();
    pubsub.psubscribe("n*").unwrap();
    let mut publisher = client.get_connection().unwrap();
    assert_eq!(publisher.publish::<_, _, i64>("news", "hello").unwrap(), 2);
    let message = pubsub.get_message().unwrap();
    assert_eq!(
        (message.get_channel_name(), message.get_payload::<String>().unwrap()),
        ("news", "hello".into())
    );
    let message = pubsub.get_message().unwrap();
    assert_eq!(message.get_pattern::<String>().unwrap(), "n*");
}
