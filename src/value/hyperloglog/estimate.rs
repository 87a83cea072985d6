//! The estimate of a count from a histogram of registers, by Otmar Ertl, "New cardinality estimation
//! algorithms for HyperLogLog sketches", arXiv:1702.01284. In the order of Redis's operations, so that the
//! number is the same.

use super::{INDEX_BITS, REGISTERS};

/// 0.5 / ln 2.
const ALPHA: f64 = 0.721_347_520_444_481_7;

/// The count that `histogram` tells of: how many registers have each value.
pub(super) fn estimate(histogram: &[u32; 64]) -> u64 {
    const LONGEST: usize = 64 - INDEX_BITS as usize;
    let m = REGISTERS as f64;
    let mut z = m * tau((m - f64::from(histogram[LONGEST + 1])) / m);
    for value in (1..=LONGEST).rev() {
        z += f64::from(histogram[value]);
        z *= 0.5;
    }
    z += m * sigma(f64::from(histogram[0]) / m);
    (ALPHA * m * m / z).round() as u64
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if before == z {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if before == z {
            return z / 3.0;
        }
    }
}
