//! Where records are: what slots and entries keep of them.

use super::format::ALIGN;

const OFFSET_BITS: u32 = 26;
/// How many bits a segment's index has.
pub(super) const INDEX_BITS: u32 = 17;
/// The longest segment, whose records can all be named.
pub(super) const SEGMENT_BYTES_MAX: u64 = (ALIGN as u64) << OFFSET_BITS;

/// Where a record is, in 43 bits: the segment's index, 17, and the offset in units of 16 bytes, 26.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Location(u64);

impl Location {
    /// The bits, for a slot.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Of the bits that a slot has kept.
    pub fn from_bits(bits: u64) -> Location {
        Location(bits)
    }

    /// Of a segment's index and an offset in it.
    pub fn new(index: usize, offset: u64) -> Location {
        Location(((index as u64) << OFFSET_BITS) | (offset / ALIGN as u64))
    }

    /// The front of its segment.
    pub fn front(self) -> Location {
        Location(self.0 >> OFFSET_BITS << OFFSET_BITS)
    }

    /// So many bytes after it in its segment.
    pub fn after(self, bytes: usize) -> Location {
        Location(self.0 + (bytes / ALIGN) as u64)
    }

    /// The index of its segment.
    pub fn index(self) -> usize {
        (self.0 >> OFFSET_BITS) as usize
    }

    /// The offset in its segment, in bytes.
    pub fn offset(self) -> u64 {
        (self.0 & ((1 << OFFSET_BITS) - 1)) * ALIGN as u64
    }
}

/// What a resident entry keeps of its record: location and length, in 63 bits, and in the last whether more than this
/// record is needed for its value. Never 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place(u64);

impl Place {
    /// Set where the length has a larger unit.
    const LARGE: u64 = 1 << 19;
    const LARGE_UNIT: u64 = 2048;
    const PART: u64 = 1 << 63;

    /// Of a record of `len` bytes, padding included; from 8 MiB on the length is rounded up to 2 KiB.
    pub fn new(location: Location, len: usize) -> Place {
        let units = match (len / ALIGN) as u64 {
            small if small < Self::LARGE => small,
            _ => Self::LARGE | (len as u64).div_ceil(Self::LARGE_UNIT).min(Self::LARGE - 1),
        };
        Place(units << (OFFSET_BITS + INDEX_BITS) | location.0)
    }

    /// The bits, for an entry.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Of the bits that an entry has kept; `None` for 0.
    pub fn from_bits(bits: u64) -> Option<Place> {
        (bits != 0).then_some(Place(bits))
    }

    /// Where the record is.
    pub fn location(self) -> Location {
        Location(self.0 & ((1 << (OFFSET_BITS + INDEX_BITS)) - 1))
    }

    /// How many bytes of its segment are alive by it.
    pub fn bytes(self) -> u64 {
        let units = (self.0 & !Self::PART) >> (OFFSET_BITS + INDEX_BITS);
        if units < Self::LARGE { units * ALIGN as u64 } else { (units - Self::LARGE) * Self::LARGE_UNIT }
    }

    /// Marks that the record is not the whole value: it cannot be read in place of the entry.
    pub fn as_part(self) -> Place {
        Place(self.0 | Self::PART)
    }

    /// Whether the record is not the whole value.
    pub fn is_part(self) -> bool {
        self.0 & Self::PART != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of 16 MiB and more counted as 16 MiB: their segments seemed to be mostly garbage, and were moved for ever.
    #[test]
    fn a_place_knows_how_long_its_record_is() {
        let location = Location::new((1 << INDEX_BITS) - 1, SEGMENT_BYTES_MAX - ALIGN as u64);
        for len in [16, 4096, (8 << 20) - 16, 8 << 20, (8 << 20) + 16, 100 << 20, (1 << 30) - 4096] {
            let place = Place::new(location, len);
            assert_eq!(place.location(), location);
            assert!((len as u64..len as u64 + 2048).contains(&place.bytes()), "{len}");
            assert!(len >= 8 << 20 || place.bytes() == len as u64);
            assert_eq!(place.as_part().bytes(), place.bytes());
            assert!(place.as_part().is_part() && !place.is_part());
        }
    }
}
