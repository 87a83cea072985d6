//! Inline commands: a line of words, quoted as in a configuration file.

use super::scan::ArgRange;

/// A quote that is not closed, or not followed by a space.
#[derive(Debug, PartialEq, Eq)]
pub struct Unbalanced;

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

fn hex_digit(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).map(|digit| digit as u8)
}

/// Splits `line` into words and decodes each in place (a decoded word is never longer). The ranges count
/// from the start of `line` plus `base`. As Redis does, a NUL byte ends the line.
pub fn split(line: &mut [u8], base: u32, words: &mut Vec<ArgRange>) -> Result<(), Unbalanced> {
    let end = line.iter().position(|byte| *byte == 0).unwrap_or(line.len());
    let line = &mut line[..end];
    let mut at = 0;
    loop {
        while at < line.len() && is_space(line[at]) {
            at += 1;
        }
        if at == line.len() {
            return Ok(());
        }
        let start = at;
        let (read, written) = word(line, start)?;
        words.push(ArgRange { start: base + start as u32, end: base + written as u32 });
        at = read;
    }
}

/// Decodes the word at `start`; returns where reading stopped and where writing stopped.
fn word(line: &mut [u8], start: usize) -> Result<(usize, usize), Unbalanced> {
    let (mut read, mut write) = (start, start);
    let mut quote = None;
    while let Some(&byte) = line.get(read) {
        let mut plain = byte;
        match (quote, byte) {
            (Some(open), _) if byte == open => {
                // A closing quote ends the word, and only a space may follow.
                if line.get(read + 1).is_some_and(|next| !is_space(*next)) {
                    return Err(Unbalanced);
                }
                return Ok((read + 1, write));
            }
            (Some(b'"'), b'\\') => {
                let hex = |offset: usize| line.get(read + offset).copied().and_then(hex_digit);
                if line.get(read + 1) == Some(&b'x')
                    && let (Some(high), Some(low)) = (hex(2), hex(3))
                {
                    plain = high << 4 | low;
                    read += 3;
                } else if let Some(&escaped) = line.get(read + 1) {
                    plain = match escaped {
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        b'b' => 8,
                        b'a' => 7,
                        other => other,
                    };
                    read += 1;
                }
            }
            (Some(b'\''), b'\\') if line.get(read + 1) == Some(&b'\'') => {
                plain = b'\'';
                read += 1;
            }
            (None, b' ' | b'\n' | b'\r' | b'\t') => return Ok((read, write)),
            (None, b'"' | b'\'') => {
                quote = Some(byte);
                read += 1;
                continue;
            }
            _ => {}
        }
        line[write] = plain;
        read += 1;
        write += 1;
    }
    if quote.is_some() { Err(Unbalanced) } else { Ok((read, write)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Option<Vec<Vec<u8>>> {
        let mut bytes = line.as_bytes().to_vec();
        let mut ranges = Vec::new();
        split(&mut bytes, 0, &mut ranges).ok()?;
        Some(ranges.iter().map(|r| bytes[r.start as usize..r.end as usize].to_vec()).collect())
    }

    #[test]
    fn words_are_split_and_decoded_as_redis_does() {
        let cases: [(&str, Option<&[&[u8]]>); 9] = [
            ("  set  k v ", Some(&[b"set", b"k", b"v"])),
            ("set k \"a b\\x41\\n\\q\"", Some(&[b"set", b"k", b"a bA\nq"])),
            ("set k 'a\\'b\\n'", Some(&[b"set", b"k", b"a'b\\n"])),
            ("a\"b c\"", Some(&[b"ab c"])),
            ("\"\" ''", Some(&[b"", b""])),
            ("\"a\"b", None),
            ("\"a", None),
            ("'a", None),
            ("", Some(&[])),
        ];
        for (line, want) in cases {
            let want = want.map(|words| words.iter().map(|word| word.to_vec()).collect::<Vec<_>>());
            assert_eq!(words(line), want, "{line:?}");
        }
    }
}
