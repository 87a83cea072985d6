//! Channels, patterns and shard channels: who gets what, in which form, and what a subscriber may still send.

use std::time::Duration;

use crate::support::*;

const QUIET: Duration = Duration::from_millis(100);

#[test]
fn a_message_reaches_channel_and_pattern_subscribers_alike() {
    let server = Server::start(&[]);
    let (mut publisher, mut subscriber) = (server.client(), server.client());
    subscriber.expect("SUBSCRIBE news", "*3 $9 subscribe $4 news :1");
    subscriber.expect("PSUBSCRIBE n?ws", "*3 $10 psubscribe $4 n?ws :2");
    publisher.expect("PUBLISH news hello", ":2");
    subscriber.expect_next("*3 $7 message $4 news $5 hello");
    subscriber.expect_next("*4 $8 pmessage $4 n?ws $4 news $5 hello");
    publisher.expect("PUBLISH other hello", ":0");
    assert!(subscriber.is_silent_for(QUIET));
}

#[test]
fn subscriptions_are_counted_and_confirmed_one_by_one() {
    let server = Server::start(&[]);
    let mut c = server.client();
    c.expect("SUBSCRIBE a b a", "*3 $9 subscribe $1 a :1");
    c.expect_next("*3 $9 subscribe $1 b :2");
    c.expect_next("*3 $9 subscribe $1 a :2");
    c.expect("PSUBSCRIBE p*", "*3 $10 psubscribe $2 p* :3");
    c.expect("SSUBSCRIBE s", "*3 $10 ssubscribe $1 s :1");
    c.expect("UNSUBSCRIBE none", "*3 $11 unsubscribe $4 none :3");
    c.expect("UNSUBSCRIBE a", "*3 $11 unsubscribe $1 a :2");
    c.expect("UNSUBSCRIBE", "*3 $11 unsubscribe $1 b :1");
    c.expect("UNSUBSCRIBE", "*3 $11 unsubscribe $-1 :1");
    c.expect("PUNSUBSCRIBE", "*3 $12 punsubscribe $2 p* :0");
    c.expect("SUNSUBSCRIBE", "*3 $12 sunsubscribe $1 s :0");
    c.expect("PUNSUBSCRIBE", "*3 $12 punsubscribe $-1 :0");
    c.expect("GET k", "$-1");
}

#[test]
fn a_resp2_subscriber_may_send_only_a_few_commands() {
    let server = Server::start(&[]);
    let mut c = server.client();
    c.expect("SUBSCRIBE a", "*3 $9 subscribe $1 a :1");
    c.expect(
        "GET k",
        "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
    );
    c.expect("PING", "*2 $4 pong $0 ");
    c.expect("PING x", "*2 $4 pong $1 x");
    c.expect("RESET", "+RESET");
    c.expect("GET k", "$-1");
    c.expect("SUBSCRIBE a", "*3 $9 subscribe $1 a :1");
    c.send("QUIT");
    assert_eq!(show(&c.read_to_end()), "+OK");
}

#[test]
fn a_resp3_subscriber_may_send_anything_and_gets_pushes() {
    let server = Server::start(&[]);
    let (mut publisher, mut c) = (server.client(), server.client3());
    c.expect("SUBSCRIBE a", ">3 $9 subscribe $1 a :1");
    c.expect("SET k v", "+OK");
    c.expect("PING", "+PONG");
    publisher.expect("PUBLISH a hello", ":1");
    c.expect_next(">3 $7 message $1 a $5 hello");
    c.expect("UNSUBSCRIBE", ">3 $11 unsubscribe $1 a :0");
    c.expect("UNSUBSCRIBE", ">3 $11 unsubscribe _ :0");
}

#[test]
fn a_resp3_publisher_gets_its_own_message_after_the_reply() {
    let server = Server::start(&[]);
    let mut c = server.client3();
    c.expect("SUBSCRIBE a", ">3 $9 subscribe $1 a :1");
    c.expect("PUBLISH a hello", ":1");
    c.expect_next(">3 $7 message $1 a $5 hello");
}

#[test]
fn shard_channels_are_a_world_of_their_own() {
    let server = Server::start(&[]);
    let (mut publisher, mut c) = (server.client(), server.client());
    c.expect("SSUBSCRIBE a", "*3 $10 ssubscribe $1 a :1");
    publisher.expect("PUBLISH a nobody", ":0");
    publisher.expect("SPUBLISH a hello", ":1");
    c.expect_next("*3 $8 smessage $1 a $5 hello");
    publisher.expect("PUBSUB CHANNELS", "*0");
    publisher.expect("PUBSUB SHARDCHANNELS", "*1 $1 a");
    publisher.expect("PUBSUB SHARDNUMSUB a b", "*4 $1 a :1 $1 b :0");
    publisher.expect("PUBSUB NUMSUB a", "*2 $1 a :0");
}

#[test]
fn pubsub_reports_what_is_subscribed() {
    let server = Server::start(&[]);
    let (mut c, mut one, mut two) = (server.client(), server.client(), server.client());
    one.expect("SUBSCRIBE news.a", "*3 $9 subscribe $6 news.a :1");
    two.expect("SUBSCRIBE news.a", "*3 $9 subscribe $6 news.a :1");
    two.expect("PSUBSCRIBE x*", "*3 $10 psubscribe $2 x* :2");
    one.expect("PSUBSCRIBE x*", "*3 $10 psubscribe $2 x* :2");
    c.expect("PUBSUB CHANNELS", "*1 $6 news.a");
    c.expect("PUBSUB CHANNELS news.*", "*1 $6 news.a");
    c.expect("PUBSUB CHANNELS other.*", "*0");
    c.expect("PUBSUB NUMSUB news.a none", "*4 $6 news.a :2 $4 none :0");
    c.expect("PUBSUB NUMSUB", "*0");
    c.expect("PUBSUB NUMPAT", ":1");
    c.expect("PUBSUB BOGUS", "-ERR unknown subcommand 'BOGUS'. Try PUBSUB HELP.");
    drop((one, two));
    eventually("the subscriptions end with their connections", || {
        (c.run("PUBSUB NUMPAT").integer() == 0 && c.run("PUBSUB CHANNELS").items().is_empty()).then_some(())
    });
}

#[test]
fn every_subscriber_gets_every_message_in_order() {
    let server = Server::start(&[]);
    let mut subscribers = (0..40).map(|_| server.client()).collect::<Vec<_>>();
    for subscriber in &mut subscribers {
        subscriber.expect("SUBSCRIBE feed", "*3 $9 subscribe $4 feed :1");
    }
    let mut publisher = server.client();
    for number in 0..500 {
        publisher.send(&format!("PUBLISH feed {number}"));
    }
    (0..500).for_each(|_| assert_eq!(publisher.read().value, Value::Integer(40)));
    for subscriber in &mut subscribers {
        for number in 0..500 {
            assert_eq!(subscriber.read().value.items()[2].text(), number.to_string());
        }
    }
}

#[test]
fn channels_and_messages_may_be_any_bytes() {
    let server = Server::start(&[]);
    let (mut publisher, mut c) = (server.client(), server.client());
    let message = (0..=255).cycle().take(200_000).collect::<Vec<u8>>();
    c.call(&[b"SUBSCRIBE", b"\x00\xff\r\n"]);
    assert_eq!(publisher.call(&[b"PUBLISH", b"\x00\xff\r\n", &message]), Value::Integer(1));
    assert_eq!(c.read().value.items()[2], Value::Bulk(message));
}
