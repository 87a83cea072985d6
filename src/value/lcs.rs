//! The longest common subsequence of two strings, and the ranges in which they match.

/// A run of bytes that both strings have: inclusive ranges of indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// First and last index in the first string.
    pub a: (usize, usize),
    /// First and last index in the second string.
    pub b: (usize, usize),
}

impl Match {
    /// The bytes that match.
    pub fn len(&self) -> usize {
        self.a.1 - self.a.0 + 1
    }

    /// Never: a match has at least one byte.
    pub fn is_empty(&self) -> bool {
        false
    }
}

/// The outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lcs {
    /// The length of the subsequence.
    pub len: usize,
    /// The subsequence; empty where it was not asked for.
    pub bytes: Vec<u8>,
    /// The matches from the end of the strings to their beginning.
    pub matches: Vec<Match>,
}

/// The bytes of memory that [`lcs`] takes for strings of these lengths.
pub fn table_bytes(a: usize, b: usize) -> u128 {
    (a as u128 + 1) * (b as u128 + 1) * 4
}

/// Computes it by dynamic programming; without `trace` only the length.
pub fn lcs(a: &[u8], b: &[u8], trace: bool) -> Lcs {
    let width = b.len() + 1;
    let mut table = vec![0_u32; (a.len() + 1) * width];
    for i in 1..=a.len() {
        let (above, row) = table[(i - 1) * width..(i + 1) * width].split_at_mut(width);
        for j in 1..=b.len() {
            row[j] = if a[i - 1] == b[j - 1] { above[j - 1] + 1 } else { above[j].max(row[j - 1]) };
        }
    }
    let len = table[a.len() * width + b.len()] as usize;
    let mut found = Lcs { len, ..Lcs::default() };
    if !trace {
        return found;
    }
    let (mut i, mut j) = (a.len(), b.len());
    let mut open: Option<Match> = None;
    while i > 0 && j > 0 {
        if a[i - 1] == b[j - 1] {
            found.bytes.push(a[i - 1]);
            (i, j) = (i - 1, j - 1);
            // Between two matched bytes that do not touch there was a step without a match, which closed the run.
            let run = open.get_or_insert(Match { a: (i, i), b: (j, j) });
            (run.a.0, run.b.0) = (i, j);
        } else {
            found.matches.extend(open.take());
            // Redis's rule for ties: go back in the second string.
            if table[(i - 1) * width + j] > table[i * width + j - 1] { i -= 1 } else { j -= 1 }
        }
    }
    found.matches.extend(open);
    found.bytes.reverse();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_documentation() {
        let found = lcs(b"ohmytext", b"mynewtext", true);
        assert_eq!((found.len, found.bytes.as_slice()), (6, b"mytext".as_slice()));
        assert_eq!(found.matches, [Match { a: (4, 7), b: (5, 8) }, Match { a: (2, 3), b: (0, 1) }]);
        assert_eq!(lcs(b"", b"abc", true), Lcs::default());
    }
}
