//! Differences between two objects: what to copy from the base, and what to insert.

/// Makes an object of its base; none when the difference is malformed or makes more than is allowed.
pub(super) fn apply(base: &[u8], delta: &[u8], limit: u64) -> Option<Vec<u8>> {
    let mut rest = delta;
    let source = length(&mut rest)?;
    let target = length(&mut rest)?;
    if source != base.len() as u64 || target > limit {
        return None;
    }
    let target = usize::try_from(target).ok()?;
    let mut made = Vec::with_capacity(target.min(delta.len() + base.len()));
    while let Some(command) = next(&mut rest) {
        if command & 0x80 == 0 {
            let (inserted, after) = rest.split_at_checked(usize::from(command)).filter(|_| command != 0)?;
            made.extend_from_slice(inserted);
            rest = after;
        } else {
            let from = number(&mut rest, command, 4)?;
            let count = match number(&mut rest, command >> 4, 3)? {
                0 => 0x1_0000,
                count => count,
            };
            made.extend_from_slice(base.get(from..from.checked_add(count)?)?);
        }
        if made.len() > target {
            return None;
        }
    }
    (made.len() == target).then_some(made)
}

fn next(rest: &mut &[u8]) -> Option<u8> {
    let (first, after) = rest.split_first()?;
    *rest = after;
    Some(*first)
}

/// A number of which a bit says of each byte whether it is there, the least significant first.
fn number(rest: &mut &[u8], bits: u8, bytes: u32) -> Option<usize> {
    let mut number = 0;
    for index in (0..bytes).filter(|index| bits >> index & 1 != 0) {
        number |= usize::from(next(rest)?) << (8 * index);
    }
    Some(number)
}

/// A length of seven bits a byte, the least significant first.
fn length(rest: &mut &[u8]) -> Option<u64> {
    let (mut length, mut shift) = (0_u64, 0);
    loop {
        let byte = next(rest)?;
        if shift > 56 {
            return None;
        }
        length |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(length);
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_difference_copies_and_inserts() {
        let delta = [5, 6, 0x91, 1, 3, 3, b'x', b'y', b'z'];
        assert_eq!(apply(b"abcde", &delta, 100).unwrap(), b"bcdxyz");
    }

    #[test]
    fn a_malformed_difference_makes_nothing() {
        let good = [5, 6, 0x91, 1, 3, 3, b'x', b'y', b'z'];
        assert_eq!(apply(b"abcd", &good, 100), None, "another base");
        assert_eq!(apply(b"abcde", &good, 5), None, "over the limit");
        for end in 0..good.len() {
            assert_eq!(apply(b"abcde", &good[..end], 100), None, "cut after {end}");
        }
        assert_eq!(apply(b"abcde", &[5, 3, 0x91, 3, 3], 100), None, "beyond the base");
        assert_eq!(apply(b"abcde", &[5, 0, 0], 100), None, "no such command");
        assert_eq!(apply(b"abcde", &[5, 1, 0x90, 5], 100), None, "longer than it says");
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(base: Vec<u8>, delta: Vec<u8>) {
            let limit = 1 << 16;
            prop_assert!(apply(&base, &delta, limit).is_none_or(|made| made.len() as u64 <= limit));
        }
    }
}
