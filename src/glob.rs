//! Glob matching with the exact meaning of Redis patterns, for KEYS, SCAN, PSUBSCRIBE and CONFIG GET.
//!
//! The dialect: `*` any run of bytes, `?` one byte, `[a-z]`, `[^a-z]`, `\x` the byte itself. It is defined by what
//! Redis answers, corner cases included: an unterminated class ends with the pattern, a range may be written backwards
//! and compares bytes as signed, escapes in a class ignore case folding, and an empty text matches only an empty
//! pattern. More than 1,000 stars with something behind each never match.
//!
//! The matcher goes back to the last star only. A longer run for an earlier star could never help: it would ask the
//! rest of the pattern to match later in the text, which the last star has already tried. So time is at most
//! pattern x text, never exponential, and nothing recurses.
//!
//! This file must not know what is being matched.

/// Stars that a pattern may go through before it is taken for an attack and refused.
const STARS_MAX: usize = 1000;

/// Whether the whole of `text` matches `pattern`, bytes compared as they are.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    run::<false>(pattern, text)
}

/// Whether the whole of `text` matches `pattern`, ASCII letters compared without case.
#[must_use]
pub fn matches_nocase(pattern: &[u8], text: &[u8]) -> bool {
    run::<true>(pattern, text)
}

fn run<const NOCASE: bool>(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on when the bytes after the last star do not fit: behind that star, one byte of text further.
    let mut star: Option<(usize, usize)> = None;
    let mut stars = 0;
    if text.is_empty() {
        return pattern.is_empty();
    }
    loop {
        let fits = match pattern.get(p) {
            None => false,
            Some(b'*') => {
                p = skip_stars(pattern, p);
                if p == pattern.len() {
                    return true;
                }
                stars += 1;
                if stars > STARS_MAX {
                    return false;
                }
                star = Some((p, t));
                continue;
            }
            Some(b'?') => {
                p += 1;
                true
            }
            Some(b'[') => {
                let (fits, end) = class::<NOCASE>(pattern, p + 1, text[t]);
                p = end;
                fits
            }
            Some(&byte) => {
                let mut byte = byte;
                if byte == b'\\' && p + 1 < pattern.len() {
                    p += 1;
                    byte = pattern[p];
                }
                p += 1;
                same::<NOCASE>(byte, text[t])
            }
        };
        if fits {
            t += 1;
            if t < text.len() {
                continue;
            }
            if skip_stars(pattern, p) == pattern.len() {
                return true;
            }
        }
        match &mut star {
            Some((behind, from)) if *from + 1 < text.len() => {
                *from += 1;
                (p, t) = (*behind, *from);
            }
            _ => return false,
        }
    }
}

fn skip_stars(pattern: &[u8], mut p: usize) -> usize {
    while pattern.get(p) == Some(&b'*') {
        p += 1;
    }
    p
}

fn same<const NOCASE: bool>(a: u8, b: u8) -> bool {
    if NOCASE { a.eq_ignore_ascii_case(&b) } else { a == b }
}

/// Reads the class that starts behind its `[` at `p`; says whether `byte` is in it and where the pattern goes on.
fn class<const NOCASE: bool>(pattern: &[u8], mut p: usize, byte: u8) -> (bool, usize) {
    let negated = pattern.get(p) == Some(&b'^');
    if negated {
        p += 1;
    }
    let mut found = false;
    loop {
        match &pattern[p.min(pattern.len())..] {
            [] => return (found != negated, pattern.len()),
            [b'\\', escaped, ..] => {
                found |= *escaped == byte;
                p += 2;
            }
            [b']', ..] => return (found != negated, p + 1),
            [first, b'-', last, ..] => {
                found |= in_range::<NOCASE>(*first, *last, byte);
                p += 3;
            }
            [one, ..] => {
                found |= same::<NOCASE>(*one, byte);
                p += 1;
            }
        }
    }
}

/// Redis reads pattern and text as `char`, which is signed where it matters: `\xff` sorts before `a`. The ends are
/// swapped before they are folded to lower case.
fn in_range<const NOCASE: bool>(first: u8, last: u8, byte: u8) -> bool {
    let fold = |byte: i8| {
        if NOCASE { byte.to_ascii_lowercase_signed() } else { byte }
    };
    let (first, last) = (first.cast_signed(), last.cast_signed());
    let (low, high) = (first.min(last), first.max(last));
    (fold(low)..=fold(high)).contains(&fold(byte.cast_signed()))
}

trait SignedLowercase {
    fn to_ascii_lowercase_signed(self) -> i8;
}

impl SignedLowercase for i8 {
    fn to_ascii_lowercase_signed(self) -> i8 {
        self.cast_unsigned().to_ascii_lowercase().cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use super::{matches, matches_nocase};

    #[test]
    fn answers_are_those_of_redis() {
        let cases: &[(&[u8], &[u8], bool)] = &[
            (b"", b"", true),
            (b"", b"a", false),
            (b"*", b"", false),
            (b"a*", b"a", true),
            (b"*a", b"a", true),
            (b"**", b"anything", true),
            (b"h?llo", b"hello", true),
            (b"h?llo", b"hllo", false),
            (b"h[ae]llo", b"hallo", true),
            (b"h[^e]llo", b"hello", false),
            (b"h[^e]llo", b"hbllo", true),
            (b"h[a-b]llo", b"hbllo", true),
            (b"h[b-a]llo", b"hallo", true),
            (b"h[a-", b"ha", true),
            (b"h[a-", b"h-", true),
            (b"h[a", b"ha", true),
            (b"h[", b"h", false),
            (b"h[", b"h[", false),
            (b"h[^", b"hx", true),
            (b"h[]", b"h]", false),
            (b"h[]]", b"h]", false),
            (b"h[\\]]", b"h]", true),
            (b"h[\\", b"h\\", true),
            (b"a\\", b"a\\", true),
            (b"a\\*", b"a*", true),
            (b"a\\*", b"ab", false),
            (b"[a-\\]]", b"]", false),
            (b"*ab", b"aab", true),
            (b"*a*b*c", b"xxaxxbxxc", true),
            (b"*a*b*c", b"xxaxxcxxb", false),
            (b"[\xff-a]", b"\x01", true),
            (b"[\xff-a]", b"b", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(
                matches(pattern, text),
                *expected,
                "{:?} on {:?}",
                pattern.escape_ascii().to_string(),
                text.escape_ascii().to_string()
            );
        }
    }

    #[test]
    fn case_is_folded_everywhere_but_behind_an_escape_in_a_class() {
        assert!(matches_nocase(b"MAX*", b"maxmemory"));
        assert!(matches_nocase(b"[A-C]x", b"bX"));
        assert!(matches_nocase(b"\\A", b"a"));
        assert!(!matches_nocase(b"[\\A]", b"a"));
        // `Z-a` is a short range that folding turns into `z-a`, which holds nothing.
        assert!(!matches_nocase(b"[Z-a]", b"z"));
    }

    #[test]
    fn many_stars_cost_no_exponential_time() {
        let text = vec![b'a'; 10_000];
        let mut pattern = b"a*".repeat(500);
        pattern.push(b'b');
        assert!(!matches(&pattern, &text));
        assert!(matches(&b"a*".repeat(500), &text));
    }

    #[test]
    fn more_than_a_thousand_stars_never_match() {
        let text = vec![b'a'; 3000];
        assert!(matches(&b"*a".repeat(1000), &text));
        assert!(!matches(&b"*a".repeat(1001), &text));
    }
}
