//! PAX extended headers: `length key=value` records that overrule a header.

use std::collections::BTreeSet;

use super::super::path::printable;
use super::super::rule::Rule;
use super::number::plausible;

/// What the records for one entry say. Everything else they may say is dropped or refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) mtime: Option<i64>,
}

/// For which entries records hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// The next one.
    Next,
    /// All that follow. What they would change is changed behind the back of a reader that does not know them, so
    /// nothing that matters is accepted.
    Global,
}

impl Records {
    pub(super) fn parse(mut data: &[u8], scope: Scope) -> Result<Self, Rule> {
        let mut records = Self::default();
        let mut seen = BTreeSet::new();
        while !data.is_empty() {
            let (key, value, rest) = record(data)?;
            if !seen.insert(key) {
                return Err(Rule::PaxTwice { key: printable(key) });
            }
            records.set(key, value, scope)?;
            data = rest;
        }
        Ok(records)
    }

    fn set(&mut self, key: &[u8], value: &[u8], scope: Scope) -> Result<(), Rule> {
        let refused = || Rule::PaxKey { key: printable(key) };
        match (key, scope) {
            (b"comment", _) => {}
            _ if sparse(key) => return Err(Rule::Sparse),
            // star and Solaris describe types and encodings here that others do not see.
            (b"SCHILY.filetype" | b"hdrcharset" | b"charset", _) => return Err(refused()),
            _ if vendor(key) => {}
            (b"path", Scope::Next) => self.path = Some(name(key, value)?),
            (b"linkpath", Scope::Next) => self.link = Some(name(key, value)?),
            (b"size", Scope::Next) => self.size = Some(size(key, value)?),
            (b"uid" | b"gid", Scope::Next) => drop(digits(key, value)?),
            (b"uname" | b"gname" | b"atime" | b"ctime", Scope::Next) => {}
            (b"mtime", Scope::Next) => self.mtime = seconds(value),
            _ => return Err(refused()),
        }
        Ok(())
    }
}

/// Key, value, and what follows.
type Record<'a> = (&'a [u8], &'a [u8], &'a [u8]);

/// Takes the first record off.
fn record(data: &[u8]) -> Result<Record<'_>, Rule> {
    let space = data.iter().take(8).position(|byte| *byte == b' ').ok_or(Rule::PaxRecord)?;
    let length = plain_number(&data[..space]).and_then(|length| usize::try_from(length).ok());
    let length =
        length.filter(|length| *length > space + 1 && *length <= data.len()).ok_or(Rule::PaxRecord)?;
    let (record, rest) = data.split_at(length);
    let record = record[space + 1..].strip_suffix(b"\n").ok_or(Rule::PaxRecord)?;
    let equals = record.iter().position(|byte| *byte == b'=').ok_or(Rule::PaxRecord)?;
    let key = &record[..equals];
    if key.is_empty() || key.contains(&0) || key.contains(&b'\n') {
        return Err(Rule::PaxRecord);
    }
    Ok((key, &record[equals + 1..], rest))
}

fn sparse(key: &[u8]) -> bool {
    key.starts_with(b"GNU.sparse.") || key == b"SCHILY.realsize" || key == b"SUN.holesdata"
}

/// Keys with a vendor's name in capitals in front, as POSIX reserves them.
fn vendor(key: &[u8]) -> bool {
    let name = key.split(|byte| *byte == b'.').next().unwrap_or_default();
    name.len() < key.len()
        && !name.is_empty()
        && name.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

fn odd(key: &[u8], value: &[u8]) -> Rule {
    Rule::PaxValue { key: printable(key), value: printable(&value[..value.len().min(64)]) }
}

fn name(key: &[u8], value: &[u8]) -> Result<Vec<u8>, Rule> {
    if value.contains(&0) {
        return Err(Rule::Nul);
    }
    // Some readers take an empty value for "as in the header", others for an empty name.
    if value.is_empty() { Err(odd(key, value)) } else { Ok(value.to_vec()) }
}

fn plain_number(digits: &[u8]) -> Option<u64> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn digits(key: &[u8], value: &[u8]) -> Result<u64, Rule> {
    plain_number(value).ok_or_else(|| odd(key, value))
}

fn size(key: &[u8], value: &[u8]) -> Result<u64, Rule> {
    digits(key, value).and_then(|size| i64::try_from(size).map(|_| size).map_err(|_| odd(key, value)))
}

fn seconds(value: &[u8]) -> Option<i64> {
    let whole = value.split(|byte| *byte == b'.').next()?;
    plain_number(whole).and_then(|seconds| i64::try_from(seconds).ok()).filter(|seconds| plausible(*seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(data: &[u8]) -> Result<Records, Rule> {
        Records::parse(data, Scope::Next)
    }

    /// A record of the length that it needs.
    fn record(text: &str) -> Vec<u8> {
        let mut length = text.len() + 2;
        while length.to_string().len() + text.len() + 2 != length {
            length = length.to_string().len() + text.len() + 2;
        }
        format!("{length} {text}\n").into_bytes()
    }

    #[test]
    fn records_overrule_the_header() {
        let data = ["path=a/b", "size=7", "mtime=1234567.89", "linkpath=xy"].map(record).concat();
        let records = next(&data).unwrap();
        assert_eq!(records.path.as_deref(), Some(&b"a/b"[..]));
        assert_eq!(records.link.as_deref(), Some(&b"xy"[..]));
        assert_eq!((records.size, records.mtime), (Some(7), Some(1_234_567)));
    }

    #[test]
    fn vendor_keys_are_dropped() {
        let data = ["SCHILY.xattr.user.a=\0binary\n", "LIBARCHIVE.creationtime=1"].map(record).concat();
        assert_eq!(next(&data), Ok(Records::default()));
    }

    #[test]
    fn records_of_the_wrong_form_are_refused() {
        for data in [
            &b"13 path=a/b\n"[..],
            b"11 path=a/b\n",
            b"+12 path=ab\n",
            b"-1 path=a/b\n",
            b"12path=a/b\n\n",
            b"0 \n",
            b"3 \n",
            b"7 path\n",
            b"6 =aa\n",
            b"12 path=a/b\n\0\0",
            b"99999999999999999999 path=a\n",
        ] {
            assert_eq!(next(data), Err(Rule::PaxRecord), "{}", data.escape_ascii());
        }
    }

    #[test]
    fn records_with_two_readings_are_refused() {
        let odd = |key: &str, value: &str| Rule::PaxValue { key: key.into(), value: value.into() };
        for (text, rule) in [
            ("path=a\0b", Rule::Nul),
            ("path=", odd("path", "")),
            ("size=-10", odd("size", "-10")),
            ("size=+10", odd("size", "+10")),
            ("size=1.50", odd("size", "1.50")),
            ("uid=-1", odd("uid", "-1")),
            ("GNU.sparse.major=1", Rule::Sparse),
            ("hdrcharset=BINARY", Rule::PaxKey { key: "hdrcharset".into() }),
            ("realtime=1", Rule::PaxKey { key: "realtime".into() }),
        ] {
            assert_eq!(next(&record(text)), Err(rule), "{text:?}");
        }
        let twice = [record("path=a"), record("path=a")].concat();
        assert_eq!(next(&twice), Err(Rule::PaxTwice { key: "path".into() }));
    }

    #[test]
    fn a_global_header_may_only_comment() {
        let global = |text| Records::parse(&record(text), Scope::Global);
        assert_eq!(global("comment=0123abcd"), Ok(Records::default()));
        assert_eq!(global("path=a/b"), Err(Rule::PaxKey { key: "path".into() }));
    }
}
