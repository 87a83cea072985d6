use crate::support::*;
#[test]
fn smoke() {
    let server = Server::start(&[]);
    let mut client = server.client();
    client.expect("SET a b", "+OK");
    client.expect("GET a", "$1 b");
}
