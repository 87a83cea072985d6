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
