//! A connected socket, over TCP or a unix socket alike, and what its worker's event queue has said of it.
//!
//! Events come once, when something changes: a socket is read until a read is not filled, and not again before the next
//! event. Where the other end has sent urgent data (`MSG_OOB`) that would not do: a read ends at the mark, whatever lies
//! behind it. Such a socket is read until the kernel says that there is nothing. The urgent byte itself is passed over, as
//! Redis passes it over.

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::task::Poll;

/// A socket that a worker watches.
pub struct Stream {
    socket: OwnedFd,
    readable: bool,
    writable: bool,
    /// The other end has closed: reads come to an end, of which no other event will tell.
    read_closed: bool,
    /// The other end has sent urgent data: a read that is not filled is not the last.
    urgent: bool,
}

impl Stream {
    /// Takes over a socket, which must not block.
    pub fn new(socket: OwnedFd) -> Stream {
        Stream { socket, readable: false, writable: true, read_closed: false, urgent: false }
    }

    /// The file descriptor.
    pub fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Has the queue of `registry` tell of this socket under a number.
    ///
    /// # Errors
    /// Those of the system.
    pub fn watch(&self, registry: &Registry, number: usize) -> io::Result<()> {
        let interest = Interest::READABLE.add(Interest::WRITABLE).add(Interest::PRIORITY);
        registry.register(&mut SourceFd(&self.fd()), Token(number), interest)
    }

    /// Notes what the queue has told.
    pub fn note(&mut self, event: &Event) {
        let failed = event.is_error();
        self.readable |= event.is_readable() || event.is_read_closed() || failed;
        self.writable |= event.is_writable() || event.is_write_closed() || failed;
        self.read_closed |= event.is_read_closed() || failed;
        self.urgent |= event.is_priority();
    }

    /// Whether a read may bring something.
    pub fn is_readable(&self) -> bool {
        self.readable
    }

    /// Reads into `buffer`; zero bytes are the end.
    pub fn read(&mut self, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let room = buffer.len();
        self.take(room, |socket| {
            let (len, _) = rustix::net::recv(socket, &mut *buffer, RecvFlags::empty())?;
            Ok(len)
        })
    }

    /// Appends to `input` what it has room for, at least `room` bytes; zero bytes are the end.
    pub fn read_more(&mut self, input: &mut Vec<u8>, room: usize) -> Poll<io::Result<usize>> {
        input.reserve(room);
        let room = input.capacity() - input.len();
        self.take(room, |socket| {
            rustix::net::recv(socket, spare_capacity(input), RecvFlags::empty()).map(|(len, _)| len)
        })
    }

    fn take(
        &mut self,
        room: usize,
        mut receive: impl FnMut(&OwnedFd) -> Result<usize, Errno>,
    ) -> Poll<io::Result<usize>> {
        if !self.readable {
            return Poll::Pending;
        }
        loop {
            match receive(&self.socket) {
                Ok(len) => {
                    self.readable = len == room || len == 0 || self.read_closed || self.urgent;
                    return Poll::Ready(Ok(len));
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.readable = false;
                    return Poll::Pending;
                }
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    /// Writes; returns how many bytes the kernel took.
    pub fn write(&mut self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.give(bytes.len(), |socket| rustix::net::send(socket, bytes, SendFlags::NOSIGNAL))
    }

    /// Writes the pieces in order; returns how many bytes the kernel took.
    pub fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let len = slices.iter().map(|slice| slice.len()).sum();
        // Who writes to nobody gets an error: programs in Rust ignore the signal.
        self.give(len, |socket| rustix::io::writev(socket, slices))
    }

    fn give(
        &mut self,
        len: usize,
        send: impl Fn(&OwnedFd) -> Result<usize, Errno>,
    ) -> Poll<io::Result<usize>> {
        if !self.writable {
            return Poll::Pending;
        }
        loop {
            match send(&self.socket) {
                Ok(sent) => {
                    self.writable = sent == len;
                    return Poll::Ready(Ok(sent));
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.writable = false;
                    return Poll::Pending;
                }
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }
}
