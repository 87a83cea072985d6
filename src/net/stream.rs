//! A connected socket of either kind.

use bytes::BufMut;
use std::future::Future;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, RawFd};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A socket on its way from the listener to its worker.
pub enum Accepted {
    /// Over TCP.
    Tcp(std::net::TcpStream),
    /// Over the unix socket.
    Unix(std::os::unix::net::UnixStream),
}

/// A socket that a worker's runtime watches.
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over the unix socket.
    Unix(UnixStream),
}

impl Stream {
    /// Gives the socket to the runtime of the calling thread.
    pub fn adopt(accepted: Accepted) -> io::Result<Stream> {
        match accepted {
            Accepted::Tcp(stream) => TcpStream::from_std(stream).map(Stream::Tcp),
            Accepted::Unix(stream) => UnixStream::from_std(stream).map(Stream::Unix),
        }
    }

    /// The file descriptor.
    pub fn fd(&self) -> RawFd {
        match self {
            Stream::Tcp(stream) => stream.as_raw_fd(),
            Stream::Unix(stream) => stream.as_raw_fd(),
        }
    }

    /// Reads into `buffer`; zero bytes are the end.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        let read = match self {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
        };
        read.map_ok(|()| buffer.filled().len())
    }

    /// Appends at most `most` bytes to `input`; zero bytes are the end.
    pub fn poll_read_more(
        &mut self,
        cx: &mut Context<'_>,
        input: &mut Vec<u8>,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        input.reserve(most);
        let mut room = input.limit(most);
        // Such a future keeps nothing between polls: it may be dropped after each.
        match self {
            Stream::Tcp(stream) => pin!(stream.read_buf(&mut room)).poll(cx),
            Stream::Unix(stream) => pin!(stream.read_buf(&mut room)).poll(cx),
        }
    }

    /// Writes; returns how many bytes the kernel took.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    /// Writes the pieces in order; returns how many bytes the kernel took.
    pub fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Stream::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Stream::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }
}
