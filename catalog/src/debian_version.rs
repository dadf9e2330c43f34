//! The order of Debian's versions (deb-version(7)).

use std::cmp::Ordering;

/// Compares two versions: epoch, upstream version, revision.
#[must_use]
pub fn compare(one: &str, other: &str) -> Ordering {
    let (one, other) = (parts(one), parts(other));
    one.0.cmp(&other.0).then_with(|| text(one.1, other.1)).then_with(|| text(one.2, other.2))
}

fn parts(version: &str) -> (u64, &str, &str) {
    let (epoch, rest) =
        version.split_once(':').map_or((0, version), |(e, rest)| (e.parse().unwrap_or(0), rest));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch, upstream, revision)
}

/// Alternating runs of other characters and of digits.
fn text(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one.as_bytes(), other.as_bytes());
    while !one.is_empty() || !other.is_empty() {
        let order =
            letters(take(&mut one, |b| !b.is_ascii_digit()), take(&mut other, |b| !b.is_ascii_digit()))
                .then_with(|| {
                    number(take(&mut one, u8::is_ascii_digit), take(&mut other, u8::is_ascii_digit))
                });
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

fn take<'a>(rest: &mut &'a [u8], wanted: impl Fn(&u8) -> bool) -> &'a [u8] {
    let len = rest.iter().position(|byte| !wanted(byte)).unwrap_or(rest.len());
    let (taken, left) = rest.split_at(len);
    *rest = left;
    taken
}

/// Letters sort before all else but the end, and `~` before even that.
fn letters(one: &[u8], other: &[u8]) -> Ordering {
    let weight = |byte: Option<&u8>| match byte {
        Some(b'~') => -1,
        None => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
    };
    (0..one.len().max(other.len()))
        .map(|at| weight(one.get(at)).cmp(&weight(other.get(at))))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

fn number(one: &[u8], other: &[u8]) -> Ordering {
    let plain =
        |digits: &[u8]| -> Vec<u8> { digits.iter().copied().skip_while(|digit| *digit == b'0').collect() };
    let (one, other) = (plain(one), plain(other));
    one.len().cmp(&other.len()).then_with(|| one.cmp(&other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_sort_as_dpkg_sorts_them() {
        let sorted = [
            "1.0~rc1-1",
            "1.0-1",
            "1.0-1+deb13u1",
            "1.0-1+deb13u2",
            "1.0-1+deb13u10",
            "1.0-2",
            "1.0a-1",
            "1.0+dfsg-1",
            "1.0.1-1",
            "1.2-1",
            "1.10-1",
            "2-1",
            "1:0.1-1",
        ];
        for (at, one) in sorted.iter().enumerate() {
            for (other_at, other) in sorted.iter().enumerate() {
                assert_eq!(compare(one, other), at.cmp(&other_at), "{one} {other}");
            }
        }
        assert_eq!(compare("1.01", "1.1"), Ordering::Equal);
    }
}
