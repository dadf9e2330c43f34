//! The parts of a tar header: fields of the block, PAX records, GNU's long names.

/// What the headers before an entry's own say about it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Overrides {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<i64>,
}

impl Overrides {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what an extended header says: `x` of PAX, `L` and `K` of GNU.
    pub(super) fn add(&mut self, flag: u8, bytes: &[u8]) -> Result<(), &'static str> {
        match flag {
            b'L' => self.path = Some(text(bytes).to_vec()),
            b'K' => self.link = Some(text(bytes).to_vec()),
            _ => {
                let mut rest = bytes;
                while !rest.is_empty() {
                    let (key, value, after) = record(rest).ok_or("its PAX header is broken")?;
                    self.set(key, value)?;
                    rest = after;
                }
            }
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(decimal(value).ok_or("its PAX size is no number")?),
            b"uid" => self.uid = Some(decimal(value).ok_or("its PAX owner is no number")?),
            b"gid" => self.gid = Some(decimal(value).ok_or("its PAX group is no number")?),
            b"mtime" => self.mtime = Some(seconds(value).ok_or("its PAX time is no number")?),
            key if key.starts_with(b"GNU.sparse.") => return Err("sparse files are not supported"),
            _ => {}
        }
        Ok(())
    }
}

/// The first of some PAX records: its key, its value, and what follows it.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let len = usize::try_from(decimal(&bytes[..space])?).ok()?;
    let (record, after) = bytes.split_at_checked(len)?;
    let body = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (&body[..equals], &body[equals + 1..]);
    (!key.is_empty()).then_some((key, value, after))
}

fn decimal(bytes: &[u8]) -> Option<u64> {
    if !bytes.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// The whole seconds of a time such as `-1.5` or `1700000000.25`.
fn seconds(bytes: &[u8]) -> Option<i64> {
    let whole = bytes.split(|byte| *byte == b'.').next()?;
    std::str::from_utf8(whole).ok()?.parse().ok()
}

/// The bytes of a field up to its first NUL.
pub(super) fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or(field)
}

/// A number in octal digits, or in GNU's base 256 when the highest bit is set. An empty field is 0.
pub(super) fn number(field: &[u8]) -> Option<u64> {
    if field[0] == 0x80 {
        let (high, low) = field.split_at(field.len().saturating_sub(8));
        let in_range = high.iter().skip(1).all(|byte| *byte == 0);
        // A field of eight bytes has its marker in the byte that would be the highest of the number.
        return in_range.then(|| {
            low.iter().enumerate().fold(0, |value, (place, byte)| {
                let byte = if high.is_empty() && place == 0 { 0 } else { *byte };
                value << 8 | u64::from(byte)
            })
        });
    }
    let digits = text(field).trim_ascii();
    digits.iter().try_fold(0u64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8).map(|value| value + u64::from(digit - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   644 \0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(number(b"0000648\0"), None);
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1]), Some((2 << 32) + 1));
        assert_eq!(number(&[0x80, 0, 0, 0, 1, 0, 0, 0]), Some(1 << 24));
        assert_eq!(number(&[0x80, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(number(&[0xff; 12]), None, "negative");
    }

    #[test]
    fn broken_records_are_refused() {
        let mut found = Overrides::default();
        found.add(b'x', b"12 path=abc\n20 mtime=-1.25 \n").unwrap_err();
        for broken in
            [&b"12 path=abc"[..], b"13 path=abc\n", b"11 path=abc\n", b"x path=a\n", b"5 =a\n", b"9 size=a\n"]
        {
            assert!(Overrides::default().add(b'x', broken).is_err(), "{}", broken.escape_ascii());
        }
        let mut found = Overrides::default();
        found.add(b'x', b"12 path=abc\n15 mtime=-1.25\n11 size=10\n").unwrap();
        let expected = Overrides {
            path: Some(b"abc".to_vec()),
            mtime: Some(-1),
            size: Some(10),
            ..Overrides::default()
        };
        assert_eq!(found, expected);
    }
}
