//! The floor: the least a server on this kernel can cost. An epoll loop that answers each request with the same bytes,
//! the reply to GET of a 64-byte value, knowing no more than where a request begins.
//!
//! It runs as a child process of the comparison, so that its CPU time is counted like a server's.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::Failure;
use crate::server::Template;
use crate::wire::Protocol;

/// The argument that makes a process of this program the floor.
pub const FLAG: &str = "--floor";

/// Starts it.
pub fn template() -> Result<Template, Failure> {
    let this = std::env::current_exe()?.to_string_lossy().into_owned();
    Ok(Template::new("floor", Protocol::Redis, vec![this, FLAG.to_owned(), "{port}".to_owned()]))
}

const LISTENER: Token = Token(usize::MAX);
const READ_BYTES: usize = 64 * 1024;
/// No request of the comparison is shorter.
const REQUEST_BYTES_MIN: usize = 24;

/// Serves on this port until it is killed.
pub fn serve(port: &str) -> ExitCode {
    match port.parse().map_err(io::Error::other).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("floor: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(port: u16) -> io::Result<()> {
    let reply = [b"$64\r\n".as_slice(), &[b'x'; 64], b"\r\n"].concat();
    let replies = reply.repeat(READ_BYTES / REQUEST_BYTES_MIN);
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut clients: Vec<Option<TcpStream>> = Vec::new();
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut client, _)) = listener.accept() {
                    client.set_nodelay(true)?;
                    poll.registry().register(&mut client, Token(clients.len()), Interest::READABLE)?;
                    clients.push(Some(client));
                }
                continue;
            }
            let slot = &mut clients[event.token().0];
            let Some(client) = slot else { continue };
            if !answer(client, &mut buffer, &replies, reply.len()) {
                *slot = None;
            }
        }
    }
}

/// Answers what has come; `false` when the client has gone.
fn answer(client: &mut TcpStream, buffer: &mut [u8], replies: &[u8], reply_bytes: usize) -> bool {
    loop {
        let read = match client.read(buffer) {
            Ok(0) => return false,
            Ok(read) => read,
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        };
        // Every request begins with a star, and has no other: keys are hexadecimal.
        let requests = memchr::memchr_iter(b'*', &buffer[..read]).count();
        let mut unsent = &replies[..(requests * reply_bytes).min(replies.len())];
        while !unsent.is_empty() {
            match client.write(unsent) {
                Ok(written) => unsent = &unsent[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(_) => return false,
            }
        }
        if read < buffer.len() {
            return true;
        }
    }
}
