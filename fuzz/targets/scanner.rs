//! The scanner of requests: wherever the bytes are cut, the requests and the final word are the same; and what is
//! written as a request is read as that request. The first byte says where to cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use strata::resp::{ArgRange, Args, Limits, ProtocolError, Scan, Scanner};

type Requests = Vec<Vec<Vec<u8>>>;

/// How a stream ends.
#[derive(Debug, PartialEq)]
enum End {
    Incomplete,
    Error(ProtocolError),
}

fuzz_target!(|data: &[u8]| {
    let Some((&cut, stream)) = data.split_first() else { return };
    for authenticated in [true, false] {
        let limits = Limits { bulk_bytes_max: 1 << 20, authenticated };
        let whole = scan(stream, stream.len().max(1), &limits);
        let pieces = scan(stream, usize::from(cut % 17) + 1, &limits);
        assert_eq!(whole, pieces, "cut every {} bytes", cut % 17 + 1);
    }
    round_trip(stream);
});

/// Scans a stream that arrives `step` bytes at a time, as a connection does: bytes of finished requests are dropped.
fn scan(stream: &[u8], step: usize, limits: &Limits) -> (Requests, End) {
    let mut requests = Requests::new();
    let mut scanner = Scanner::default();
    let mut buffer: Vec<u8> = Vec::new();
    let mut args: Vec<ArgRange> = Vec::new();
    for piece in stream.chunks(step) {
        buffer.extend_from_slice(piece);
        let mut start = 0;
        loop {
            match scanner.scan(&mut buffer, &mut args, limits) {
                Scan::Request => {
                    assert!(scanner.position() > start, "a request takes at least a byte");
                    start = scanner.position();
                    requests.extend((!args.is_empty()).then(|| texts(&buffer, &args)));
                    args.clear();
                }
                Scan::Incomplete => break,
                Scan::Error(error) => return (requests, End::Error(error)),
            }
        }
        assert!(start <= buffer.len(), "the scanner stays in the buffer");
        buffer.drain(..start);
        scanner.rebase(start);
        for arg in &mut args {
            arg.start -= start as u32;
            arg.end -= start as u32;
        }
    }
    (requests, End::Incomplete)
}

fn texts(buffer: &[u8], args: &[ArgRange]) -> Vec<Vec<u8>> {
    Args::new(buffer, args).iter().map(<[u8]>::to_vec).collect()
}

/// Takes the lines of `data` for arguments, writes them as one request and reads it back.
fn round_trip(data: &[u8]) {
    let wanted: Vec<Vec<u8>> = data.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let mut stream = format!("*{}\r\n", wanted.len()).into_bytes();
    for arg in &wanted {
        stream.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        stream.extend_from_slice(arg);
        stream.extend_from_slice(b"\r\n");
    }
    let limits = Limits { bulk_bytes_max: 1 << 20, authenticated: true };
    let read = scan(&stream, stream.len(), &limits);
    assert_eq!(read, (vec![wanted], End::Incomplete));
}
