//! Glob matching against a reference that tries everything. The input is a pattern and a text, separated by the first
//! newline; both are kept short, because the reference takes exponential time.

#![no_main]

use libfuzzer_sys::fuzz_target;
use strata::glob::{matches, matches_nocase};

const BYTES_MAX: usize = 24;
const STARS_MAX: usize = 5;

fuzz_target!(|data: &[u8]| {
    let at = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (pattern, text) = (&data[..at], data.get(at + 1..).unwrap_or_default());
    // Long inputs only have to end.
    let (exact, nocase) = (matches(pattern, text), matches_nocase(pattern, text));
    let stars = pattern.iter().filter(|byte| **byte == b'*').count();
    if pattern.len() > BYTES_MAX || text.len() > BYTES_MAX || stars > STARS_MAX {
        return;
    }
    assert_eq!(exact, reference(pattern, text, false), "{pattern:?} on {text:?}");
    assert_eq!(nocase, reference(pattern, text, true), "{pattern:?} on {text:?} without case");
});

fn reference(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    // An empty text matches an empty pattern alone; but a text that was used up may leave stars.
    if text.is_empty() { pattern.is_empty() } else { rest(pattern, text, nocase) }
}

fn rest(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    let Some((&byte, after)) = text.split_first() else {
        return pattern.iter().all(|byte| *byte == b'*');
    };
    match pattern {
        [] => false,
        [b'*', then @ ..] => rest(then, text, nocase) || rest(pattern, after, nocase),
        [b'?', then @ ..] => rest(then, after, nocase),
        [b'[', class @ ..] => {
            let (found, then) = in_class(class, byte, nocase);
            found && rest(then, after, nocase)
        }
        [b'\\', escaped, then @ ..] => same(*escaped, byte, nocase) && rest(then, after, nocase),
        [plain, then @ ..] => same(*plain, byte, nocase) && rest(then, after, nocase),
    }
}

fn same(a: u8, b: u8, nocase: bool) -> bool {
    a == b || (nocase && a.eq_ignore_ascii_case(&b))
}

fn in_class(class: &[u8], byte: u8, nocase: bool) -> (bool, &[u8]) {
    let (negated, mut class) = match class {
        [b'^', class @ ..] => (true, class),
        class => (false, class),
    };
    let mut found = false;
    loop {
        class = match class {
            [] => return (found != negated, class),
            [b'\\', escaped, then @ ..] => {
                found |= *escaped == byte;
                then
            }
            [b']', then @ ..] => return (found != negated, then),
            [a, b'-', b, then @ ..] => {
                let fold = |byte: u8| if nocase { byte.to_ascii_lowercase() } else { byte } as i8;
                let (low, high) = if (*a as i8) <= (*b as i8) { (*a, *b) } else { (*b, *a) };
                found |= fold(low) <= fold(byte) && fold(byte) <= fold(high);
                then
            }
            [plain, then @ ..] => {
                found |= same(*plain, byte, nocase);
                then
            }
        };
    }
}
