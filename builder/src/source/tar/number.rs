//! The numbers of a tar header.

/// A size or an id: octal digits between spaces and ended by spaces or NULs, or a positive base-256 number.
/// A field of spaces and NULs alone is 0.
pub(super) fn unsigned(field: &[u8]) -> Option<u64> {
    match field.first() {
        Some(0x80) => field[1..]
            .iter()
            .try_fold(0, |value: u64, byte| value.checked_mul(256).map(|value| value | u64::from(*byte))),
        // Signed, or with more bits in the first byte than the numbers that fit.
        Some(first) if first & 0x80 != 0 => None,
        _ => octal(field),
    }
}

fn octal(field: &[u8]) -> Option<u64> {
    let start = field.iter().position(|byte| *byte != b' ').unwrap_or(field.len());
    let digits = &field[start..];
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    // Only padding may follow, or one reader would stop where another goes on.
    if rest.iter().any(|byte| *byte != b' ' && *byte != 0) {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 8)?;
        value.checked_mul(8).map(|value| value | u64::from(digit))
    })
}

/// A time; odd ones are none, since times are replaced in the image anyway.
pub(super) fn time(field: &[u8]) -> Option<i64> {
    unsigned(field).and_then(|seconds| i64::try_from(seconds).ok()).filter(|seconds| plausible(*seconds))
}

/// Whether a time lies between 1970 and the end of the year 9999.
pub(super) fn plausible(seconds: i64) -> bool {
    (0..=253_402_300_799).contains(&seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_reading_or_none() {
        for (field, expected) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"644     ", Some(0o644)),
            (b"00000000644", Some(0o644)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"        ", Some(0)),
            (b"-000001\0", None),
            (b"+000001\0", None),
            (b"0000648\0", None),
            (b"12\x0034\0\0\0", None),
            (b"12 34\0\0\0", None),
            (b"0x00012\0", None),
            (b"\x80\0\0\0\0\0\x01\0", Some(256)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", None),
            (b"\x81\0\0\0\0\0\0\0", None),
            (b"\x80\x01\0\0\0\0\0\0\0\0\0\0", None),
            (b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", Some(u64::MAX)),
        ] {
            assert_eq!(unsigned(field), expected, "{}", field.escape_ascii());
        }
    }

    #[test]
    fn an_odd_time_is_none() {
        assert_eq!(time(b"14650000000\0"), Some(0o14_650_000_000));
        assert_eq!(time(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), None);
        assert_eq!(time(b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"), None);
        assert_eq!(time(b"rubbish     "), None);
    }
}
