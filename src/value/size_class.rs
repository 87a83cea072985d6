//! The sizes in which the allocator hands memory out, so that what grows can grow to the end of its piece.

/// The smallest class, and the distance of the small ones.
pub const QUANTUM_BYTES: usize = 16;

/// Rounds a request up to the size class that jemalloc would use: multiples of 16 up to 128, then four
/// classes in each doubling.
pub fn size_class(bytes: usize) -> usize {
    if bytes <= 128 {
        return bytes.max(1).next_multiple_of(QUANTUM_BYTES);
    }
    let step = 1 << ((bytes - 1).ilog2() - 2);
    bytes.next_multiple_of(step)
}

/// Makes room for `len` bytes in all, up to the end of their size class.
pub fn grow_to_class(bytes: &mut Vec<u8>, len: usize) {
    if len > bytes.capacity() {
        bytes.reserve_exact(size_class(len) - bytes.len());
    }
}

/// Gives memory back where the content would fit a smaller class.
pub fn shrink_to_class(bytes: &mut Vec<u8>) {
    let class = size_class(bytes.len());
    if class < bytes.capacity() {
        bytes.shrink_to(class);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_classes_are_those_of_jemalloc() {
        for (bytes, class) in [(1, 16), (16, 16), (17, 32), (129, 160), (160, 160), (257, 320), (4097, 5120)]
        {
            assert_eq!(size_class(bytes), class, "{bytes}");
        }
    }

    #[test]
    fn a_buffer_fills_its_class_and_leaves_it_when_it_can() {
        let mut bytes = Vec::new();
        grow_to_class(&mut bytes, 130);
        assert_eq!(bytes.capacity(), 160);
        bytes.resize(129, 0);
        shrink_to_class(&mut bytes);
        assert_eq!(bytes.capacity(), 160);
        bytes.truncate(20);
        shrink_to_class(&mut bytes);
        assert_eq!(bytes.capacity(), 32);
    }
}
