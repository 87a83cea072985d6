//! Inline requests against a reference that builds each word anew instead of decoding in place.

#![no_main]

use libfuzzer_sys::fuzz_target;
use strata::resp::inline::split;

fuzz_target!(|line: &[u8]| {
    let mut decoded = line.to_vec();
    let mut ranges = Vec::new();
    let words = split(&mut decoded, 0, &mut ranges).ok().map(|()| {
        let text =
            |range: &strata::resp::ArgRange| decoded[range.start as usize..range.end as usize].to_vec();
        ranges.iter().map(text).collect::<Vec<_>>()
    });
    assert_eq!(words, reference(line), "{:?}", line.escape_ascii().to_string());
});

fn is_space(byte: u8) -> bool {
    byte == b' ' || (9..=13).contains(&byte)
}

/// The words of a line up to its first NUL; `None` where quotes do not match.
fn reference(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut bytes =
        line.iter().copied().take_while(|byte| *byte != 0).collect::<std::collections::VecDeque<u8>>();
    let mut words = Vec::new();
    loop {
        while bytes.front().is_some_and(|byte| is_space(*byte)) {
            bytes.pop_front();
        }
        if bytes.is_empty() {
            return Some(words);
        }
        let mut word = Vec::new();
        while let Some(byte) = bytes.pop_front() {
            match byte {
                b'"' | b'\'' => {
                    quoted(&mut bytes, byte, &mut word)?;
                    if bytes.front().is_some_and(|next| !is_space(*next)) {
                        return None;
                    }
                    break;
                }
                // Vertical tab and form feed separate words, but do not end one.
                b' ' | b'\t' | b'\n' | b'\r' => break,
                plain => word.push(plain),
            }
        }
        words.push(word);
    }
}

/// Reads up to the closing quote.
fn quoted(bytes: &mut std::collections::VecDeque<u8>, quote: u8, word: &mut Vec<u8>) -> Option<()> {
    loop {
        let byte = bytes.pop_front()?;
        if byte == quote {
            return Some(());
        }
        if byte != b'\\' {
            word.push(byte);
            continue;
        }
        if quote == b'\'' {
            // Only a quote can be escaped here.
            if bytes.front() == Some(&b'\'') {
                bytes.pop_front();
                word.push(b'\'');
            } else {
                word.push(b'\\');
            }
            continue;
        }
        let hex = |at: usize| bytes.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        if let (Some(b'x'), Some(high), Some(low)) = (bytes.front(), hex(1), hex(2)) {
            bytes.drain(..3);
            word.push((high * 16 + low) as u8);
            continue;
        }
        // A backslash at the very end stands for itself, and the quote stays open.
        word.push(match bytes.pop_front() {
            None => b'\\',
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'b') => 8,
            Some(b'a') => 7,
            Some(other) => other,
        });
    }
}
