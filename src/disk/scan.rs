//! Reading a whole segment: every sound record, and where the damage is.

use super::format::{ALIGN, Damage, RECORD_HEADER_BYTES, Record, SEGMENT_HEADER_BYTES};
use super::format::{claimed_len, flag, is_blank, padded, read};

/// Bytes between sound frames that are no zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DamagedRange {
    /// Where it begins.
    pub offset: u64,
    /// Up to the next sound frame, or to where zeros begin.
    pub len: u64,
    /// What is wrong at its beginning.
    pub what: Damage,
}

/// What was found besides records.
#[derive(Default, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// Sound records.
    pub records: u64,
    /// What is damaged; records of a frame that is not whole are one.
    pub damage: Vec<DamagedRange>,
    /// Where the last sound record ends, with its padding.
    pub end: u64,
}

/// Shows `visit` every record that counts, with its offset and its length with padding.
pub fn scan(bytes: &[u8], sequence: u64, mut visit: impl FnMut(&Record<'_>, u64, usize)) -> Scanned {
    let mut scanned = Scanned { end: SEGMENT_HEADER_BYTES as u64, ..Scanned::default() };
    let mut at = SEGMENT_HEADER_BYTES;
    let mut in_damage = false;
    while at + RECORD_HEADER_BYTES <= bytes.len() {
        if is_blank(&bytes[at..]) {
            // Perhaps the end, perhaps pages that never reached the disk.
            let zeros = bytes[at..].iter().position(|byte| *byte != 0);
            let Some(zeros) = zeros else { break };
            // 40 bytes are zero at least: this goes on.
            at += zeros / ALIGN * ALIGN;
            continue;
        }
        match frame_at(&bytes[at..], sequence) {
            Ok(len) => {
                let end = at + len;
                while at < end {
                    let len = padded(claimed_len(&bytes[at..]));
                    if let Ok(record) = read(&bytes[at..], sequence) {
                        visit(&record, at as u64, len);
                        scanned.records += 1;
                    }
                    at += len;
                }
                scanned.end = at as u64;
                in_damage = false;
            }
            Err(damage) => {
                if !std::mem::replace(&mut in_damage, true) {
                    scanned.damage.push(DamagedRange { offset: at as u64, len: 0, what: damage });
                }
                at += ALIGN;
                if let Some(range) = scanned.damage.last_mut() {
                    range.len = at.min(bytes.len()) as u64 - range.offset;
                }
            }
        }
    }
    // Too short for a record.
    let rest = bytes.get(at..).unwrap_or_default();
    if rest.iter().any(|byte| *byte != 0) {
        if !in_damage {
            scanned.damage.push(DamagedRange { offset: at as u64, len: 0, what: Damage::Length });
        }
        if let Some(range) = scanned.damage.last_mut() {
            range.len = bytes.len() as u64 - range.offset;
        }
    }
    scanned
}

/// The length of the whole frame that begins here.
fn frame_at(bytes: &[u8], sequence: u64) -> Result<usize, Damage> {
    let first = read(bytes, sequence)?;
    if first.flags & flag::CONTINUES != 0 {
        return Err(Damage::Frame);
    }
    let mut end = padded(claimed_len(bytes));
    let total = end + first.frame_left;
    if total > bytes.len().next_multiple_of(ALIGN) {
        return Err(Damage::Length);
    }
    while end < total {
        let next = read(bytes.get(end..).ok_or(Damage::Length)?, sequence)?;
        let len = padded(claimed_len(&bytes[end..]));
        if next.flags & flag::CONTINUES == 0 || end + len + next.frame_left != total {
            return Err(Damage::Frame);
        }
        end += len;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::super::format::{Frame, Kind, segment_header};
    use super::*;
    use proptest::prelude::*;

    /// A segment with frames of so many records each, and where the frames begin.
    fn segment(frames: &[usize]) -> (Vec<u8>, Vec<usize>) {
        let mut bytes = segment_header(5).to_vec();
        let mut starts = Vec::new();
        for (number, records) in frames.iter().enumerate() {
            starts.push(bytes.len());
            let mut frame = Frame::default();
            for index in 0..*records {
                let key = format!("{number}-{index}");
                let record = Record {
                    version: 1,
                    space: 0,
                    kind: Kind::String,
                    flags: 0,
                    expires_at_ms: None,
                    frame_left: 0,
                    key: key.as_bytes(),
                    value: b"",
                };
                frame.push(&record, |out| out.extend_from_slice(&[b'v'; 50]));
            }
            bytes.extend_from_slice(frame.seal(5));
        }
        bytes.resize(bytes.len() + 500, 0);
        (bytes, starts)
    }

    fn keys(bytes: &[u8]) -> (Vec<String>, Scanned) {
        let mut keys = Vec::new();
        let scanned =
            scan(bytes, 5, |record, _, _| keys.push(String::from_utf8_lossy(record.key).into_owned()));
        (keys, scanned)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn damage_costs_the_frames_that_it_touches_and_no_other(
            frames in prop::collection::vec(1_usize..4, 1..12),
            hit in any::<prop::sample::Index>(),
            len in 1_usize..300,
            zeros: bool,
        ) {
            let (mut bytes, mut starts) = segment(&frames);
            let (all, sound) = keys(&bytes);
            prop_assert_eq!(all.len(), frames.iter().sum::<usize>());
            prop_assert!(sound.damage.is_empty());
            prop_assert_eq!(sound.end as usize, bytes.len() - 500);
            let from = 64 + hit.index(bytes.len() - 500 - 64);
            let to = (from + len).min(bytes.len() - 500);
            bytes[from..to].iter_mut().for_each(|byte| *byte = if zeros { 0 } else { byte.wrapping_add(77) });
            starts.push(bytes.len() - 500);
            let (kept, _) = keys(&bytes);
            for (number, records) in frames.iter().enumerate() {
                let touched = from < starts[number + 1] && to > starts[number];
                let here = kept.iter().filter(|key| key.starts_with(&format!("{number}-"))).count();
                prop_assert!(here == *records || (touched && here == 0), "frame {} has {} of {}", number, here, records);
            }
        }

        #[test]
        fn a_cut_segment_keeps_the_frames_before_the_cut(frames in prop::collection::vec(1_usize..4, 1..8), cut in any::<prop::sample::Index>()) {
            let (bytes, starts) = segment(&frames);
            let bytes = &bytes[..];
            let cut = 64 + cut.index(bytes.len() - 64);
            let (kept, _) = keys(&bytes[..cut]);
            let ends = starts.iter().skip(1).copied().chain([bytes.len() - 500]);
            let expected: usize = frames.iter().zip(ends).filter(|(_, end)| *end <= cut).map(|(records, _)| records).sum();
            prop_assert!(kept.len() >= expected);
        }
    }
}
