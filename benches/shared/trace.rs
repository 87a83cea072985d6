//! Recorded accesses: reading them, and replaying them to a server.
//!
//! A trace is a gzip of little-endian u32 object numbers in the order of access. It is replayed as a look-aside cache:
//! GET 64 objects at once, then SET those that were missing, 256 bytes each.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;

use super::Failure;
use super::server::Server;
use super::wire::{Protocol, Requests};

/// Bytes of a value.
pub const VALUE_BYTES: usize = 256;
const BATCH: usize = 64;

/// What one replay showed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Replayed {
    /// GETs that found something.
    pub hits: u64,
    /// SETs.
    pub writes: u64,
    /// SETs that were refused.
    pub refused: u64,
}

/// The objects of a file.
pub fn read(path: &Path) -> Result<Vec<u32>, Failure> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(File::open(path)?).read_to_end(&mut bytes)?;
    let (objects, _) = bytes.as_chunks::<4>();
    Ok(objects.iter().map(|object| u32::from_le_bytes(*object)).collect())
}

/// Replays all accesses through one connection.
pub fn replay(server: &Server, objects: &[u32]) -> Result<Replayed, Failure> {
    let requests = Requests::new(Protocol::Redis, 1, VALUE_BYTES, 1);
    let stream = TcpStream::connect(server.address)?;
    stream.set_nodelay(true)?;
    let mut replies = BufReader::with_capacity(1 << 20, stream);
    let mut replayed = Replayed::default();
    let mut out = Vec::new();
    let mut line = Vec::new();
    let mut value = vec![0; VALUE_BYTES + 2];
    for batch in objects.chunks(BATCH) {
        out.clear();
        for object in batch {
            requests.write_get(&name(*object), &mut out);
        }
        replies.get_mut().write_all(&out)?;
        let mut missing = Vec::new();
        for object in batch {
            line.clear();
            replies.read_until(b'\n', &mut line)?;
            match line.as_slice() {
                [b'$', b'-', ..] | [b'_', ..] => missing.push(*object),
                [b'$', ..] => {
                    replies.read_exact(&mut value)?;
                    replayed.hits += 1;
                }
                other => return Err(format!("GET: {}", String::from_utf8_lossy(other)).into()),
            }
        }
        let mut seen = HashSet::new();
        missing.retain(|object| seen.insert(*object));
        out.clear();
        for object in &missing {
            let name = name(*object);
            out.extend_from_slice(b"*3\r\n$3\r\nSET\r\n$8\r\n");
            out.extend_from_slice(&name);
            out.extend_from_slice(format!("\r\n${VALUE_BYTES}\r\n").as_bytes());
            out.resize(out.len() + VALUE_BYTES, b'x');
            out.extend_from_slice(b"\r\n");
        }
        replies.get_mut().write_all(&out)?;
        for _ in &missing {
            line.clear();
            replies.read_until(b'\n', &mut line)?;
            replayed.refused += u64::from(line.first() != Some(&b'+'));
        }
        replayed.writes += missing.len() as u64;
    }
    Ok(replayed)
}

/// The key of an object: eight decimal digits.
fn name(object: u32) -> [u8; 8] {
    let mut name = [b'0'; 8];
    let mut left = object;
    for digit in name.iter_mut().rev() {
        *digit += (left % 10) as u8;
        left /= 10;
    }
    name
}
