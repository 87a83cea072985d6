//! HyperLogLogs over the wire: byte for byte those of redis-server.

use crate::support::*;

fn client() -> (Server, Client) {
    let server = Server::start(&[]);
    let client = server.client();
    (server, client)
}

#[test]
fn pfadd_answers_whether_the_estimate_may_have_changed() {
    let (_server, mut c) = client();
    c.expect("PFADD h", ":1");
    c.expect("PFADD h", ":0");
    c.expect("PFADD h a b c", ":1");
    c.expect("PFADD h c b a", ":0");
    c.expect("PFCOUNT h", ":3");
    c.expect("PFCOUNT h none", ":3");
    c.expect("PFCOUNT none", ":0");
    c.expect("TYPE h", "+string");
    c.expect("PFADD other c d", ":1");
    c.expect("PFMERGE all h other", "+OK");
    c.expect("PFCOUNT all", ":4");
    c.expect("EXPIRE h 100", ":1");
    c.expect("PFADD h x", ":1");
    c.expect("TTL h", ":100");
}

#[test]
fn what_is_no_hyperloglog_is_refused() {
    let (_server, mut c) = client();
    let refused = "-WRONGTYPE Key is not a valid HyperLogLog string value.";
    c.expect("SET k HYLL", "+OK");
    for command in ["PFADD k a", "PFCOUNT k", "PFMERGE other k", "PFCOUNT none k", "PFDEBUG ENCODING k"] {
        c.expect(command, refused);
    }
    let corrupted = "-INVALIDOBJ Corrupted HLL object detected";
    let text = b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80\x7f\xf0";
    assert_eq!(c.call(&[b"SET", b"k", text]).text(), "OK");
    for command in ["PFCOUNT k", "PFMERGE other k", "PFCOUNT none k", "PFDEBUG TODENSE k"] {
        c.expect(command, corrupted);
    }
    c.expect("PFDEBUG DECODE k", "$7 Z:16369");
    c.expect("EXISTS other", ":0");
}

/// The same elements on both servers: the texts are equal at every size, from sparse to dense.
#[test]
fn every_byte_is_that_of_redis() {
    let (oracle, server) = (Server::redis(&[]), Server::start(&[]));
    let (mut oracle, mut subject) = (oracle.client(), server.client());
    let mut added = 0;
    for step in [1, 1, 3, 10, 50, 100, 300, 700, 2000, 10_000, 50_000] {
        let elements = (added..added + step).map(|number| number.to_string()).collect::<Vec<_>>();
        for chunk in elements.chunks(1000) {
            let command = [&["PFADD".to_string(), "h".to_string()], chunk].concat();
            let words = command.iter().map(String::as_bytes).collect::<Vec<_>>();
            assert_eq!(subject.call(&words), oracle.call(&words));
        }
        added += step;
        for command in ["PFDEBUG ENCODING h", "GET h", "PFCOUNT h", "GET h", "PFMERGE copy h", "GET copy"] {
            assert_eq!(subject.run(command), oracle.run(command), "{command} after {added} elements");
        }
    }
}

#[test]
fn the_self_test_passes() {
    let (_server, mut c) = client();
    c.expect("PFSELFTEST", "+OK");
}
