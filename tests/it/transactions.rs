//! MULTI, EXEC, DISCARD and WATCH.

use crate::support::Server;

/// An EXEC with too many words, or one that may not run, ends the transaction; Strata only said so and went on queueing.
#[test]
fn an_exec_that_cannot_run_ends_the_transaction() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let aborted = "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command";
    client.expect("MULTI", "+OK");
    client.expect("SET k v", "+QUEUED");
    client.expect("EXEC now", aborted);
    client.expect("EXEC", "-ERR EXEC without MULTI");
    client.expect("GET k", "$-1");
    client.expect("EXEC now", aborted);
}

/// A CONFIG SET in a transaction counts for what comes after it in the same transaction; it counted only from the next batch on.
#[test]
fn config_set_counts_within_the_transaction() {
    let server = Server::start(&[]);
    let mut client = server.client();
    client.expect("MULTI", "+OK");
    client.expect("CONFIG SET hash-max-listpack-entries 0", "+QUEUED");
    client.expect("HSET h f v", "+QUEUED");
    client.expect("CONFIG SET hash-max-listpack-entries 128", "+QUEUED");
    client.expect("HSET i f v", "+QUEUED");
    client.expect("EXEC", "*4 +OK :1 +OK :1");
    client.expect("OBJECT ENCODING h", "$9 hashtable");
    client.expect("OBJECT ENCODING i", "$8 listpack");
    client.send_raw(
        b"MULTI\r\nCONFIG SET hash-max-listpack-entries 0\r\nEXEC\r\nHSET j f v\r\nOBJECT ENCODING j\r\n",
    );
    ["+OK", "+QUEUED", "*1 +OK", ":1", "$9 hashtable"].iter().for_each(|reply| client.expect_next(reply));
}
