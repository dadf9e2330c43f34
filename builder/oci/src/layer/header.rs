//! The one tar dialect that is written: ustar, and a PAX record only for a value that ustar cannot hold.

use crate::tree::Owner;

/// The largest value of an 11-digit octal field.
const MAX_SIZE: u64 = 0o777_7777_7777;
/// The largest value of a 7-digit octal field.
const MAX_ID: u32 = 0o777_7777;

/// What an entry is, as ustar's type flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flag {
    File = b'0' as isize,
    Hardlink = b'1' as isize,
    Symlink = b'2' as isize,
    Directory = b'5' as isize,
}

/// Everything that a header says.
#[derive(Debug)]
pub(crate) struct Header<'a> {
    pub(crate) flag: Flag,
    /// With a trailing slash for a directory.
    pub(crate) path: &'a [u8],
    pub(crate) link: &'a [u8],
    pub(crate) mode: u32,
    pub(crate) owner: Owner,
    pub(crate) size: u64,
    pub(crate) mtime: i64,
}

impl Header<'_> {
    /// The header as it stands in the archive, after its PAX header if it needs one.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (prefix, name) = split(self.path).unwrap_or((b"", clip(self.path)));
        let header = Fields {
            flag: self.flag as u8,
            prefix,
            name,
            link: clip(self.link),
            mode: self.mode & 0o7777,
            uid: if self.owner.uid > MAX_ID { 0 } else { self.owner.uid },
            gid: if self.owner.gid > MAX_ID { 0 } else { self.owner.gid },
            size: if self.size > MAX_SIZE { 0 } else { self.size },
            mtime: octal_time(self.mtime).unwrap_or(0),
        };
        let records = self.records();
        let mut bytes = Vec::with_capacity(512);
        if !records.is_empty() {
            let pax = Fields {
                flag: b'x',
                prefix: b"",
                name: b"././@PaxHeader",
                link: b"",
                mode: 0o644,
                uid: 0,
                gid: 0,
                size: records.len() as u64,
                mtime: 0,
            };
            bytes.extend_from_slice(&pax.encode());
            bytes.extend_from_slice(&records);
            bytes.resize(bytes.len().next_multiple_of(512), 0);
        }
        bytes.extend_from_slice(&header.encode());
        bytes
    }

    /// The PAX records, sorted by key.
    fn records(&self) -> Vec<u8> {
        let mut records = Vec::new();
        let number = |value: u64| value.to_string().into_bytes();
        if self.owner.gid > MAX_ID {
            records.extend(record("gid", &number(self.owner.gid.into())));
        }
        if self.link.len() > 100 {
            records.extend(record("linkpath", self.link));
        }
        if octal_time(self.mtime).is_none() {
            records.extend(record("mtime", self.mtime.to_string().as_bytes()));
        }
        if split(self.path).is_none() {
            records.extend(record("path", self.path));
        }
        if self.size > MAX_SIZE {
            records.extend(record("size", &number(self.size)));
        }
        if self.owner.uid > MAX_ID {
            records.extend(record("uid", &number(self.owner.uid.into())));
        }
        records
    }
}

/// Puts a size into a header that was encoded before the size was known, in GNU's base 256 if octal digits do not
/// hold it: another header in front of this one would not fit in any more.
pub(crate) fn patch_size(block: &mut [u8; 512], size: u64) {
    if size > MAX_SIZE {
        block[124..136].copy_from_slice(&[0x80; 12]);
        block[125..128].fill(0);
        block[128..136].copy_from_slice(&size.to_be_bytes());
    } else {
        block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    }
    seal(block);
}

/// Writes the checksum of a header into it.
fn seal(block: &mut [u8; 512]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// `LENGTH KEY=VALUE\n`, where the length counts its own digits.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while len != rest + len.to_string().len() {
        len = rest + len.to_string().len();
    }
    let mut record = format!("{len} {key}=").into_bytes();
    record.extend_from_slice(value);
    record.push(b'\n');
    record
}

fn clip(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(100)]
}

fn octal_time(mtime: i64) -> Option<u64> {
    u64::try_from(mtime).ok().filter(|seconds| *seconds <= MAX_SIZE)
}

/// A path as ustar's prefix and name, if it fits; the slash between them is not stored.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= 100 {
        return Some((b"", path));
    }
    // The name must not be empty, so a directory's own slash at the end is no place to split.
    let last = path.len().min(157) - 1;
    let last = if last == path.len() - 1 { last } else { last.min(155) + 1 };
    let slash = path[..last].iter().rposition(|byte| *byte == b'/')?;
    let (prefix, name) = (&path[..slash], &path[slash + 1..]);
    (slash > 0 && slash <= 155 && name.len() <= 100).then_some((prefix, name))
}

/// The fields of a ustar header, each of which fits.
struct Fields<'a> {
    flag: u8,
    prefix: &'a [u8],
    name: &'a [u8],
    link: &'a [u8],
    mode: u32,
    uid: u32,
    gid: u32,
    size: u64,
    mtime: u64,
}

impl Fields<'_> {
    fn encode(&self) -> [u8; 512] {
        let mut block = [0; 512];
        let mut put =
            |offset: usize, bytes: &[u8]| block[offset..offset + bytes.len()].copy_from_slice(bytes);
        put(0, self.name);
        put(100, format!("{:07o}", self.mode).as_bytes());
        put(108, format!("{:07o}", self.uid).as_bytes());
        put(116, format!("{:07o}", self.gid).as_bytes());
        put(124, format!("{:011o}", self.size).as_bytes());
        put(136, format!("{:011o}", self.mtime).as_bytes());
        put(156, &[self.flag]);
        put(157, self.link);
        put(257, b"ustar\x0000");
        put(329, b"0000000");
        put(337, b"0000000");
        put(345, self.prefix);
        seal(&mut block);
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(path: &[u8]) -> Header<'_> {
        let owner = Owner::default();
        Header { flag: Flag::File, path, link: b"", mode: 0o644, owner, size: 0, mtime: 0 }
    }

    /// What the `tar` crate reads, without the content, which the header promises.
    fn read(header: &Header<'_>) -> (Vec<u8>, u64, u64, u64) {
        let bytes = header.encode();
        let mut archive = tar::Archive::new(&bytes[..]);
        let entry = archive.entries().unwrap().next().unwrap().unwrap();
        let (uid, gid) = (entry.header().uid().unwrap(), entry.header().gid().unwrap());
        (entry.path_bytes().into_owned(), entry.size(), uid, gid)
    }

    #[test]
    fn paths_of_every_length_are_read_back() {
        let component = "0123456789abcdef0123456789abcdef0123456789abcde";
        for len in 1..=300 {
            let path: String = [component; 7].join("/").chars().take(len).collect();
            let path = path.trim_end_matches('/').to_owned();
            for path in [path.clone(), format!("{path}/")] {
                let mut header = header(path.as_bytes());
                if path.ends_with('/') {
                    header.flag = Flag::Directory;
                }
                assert_eq!(String::from_utf8(read(&header).0).unwrap(), path);
            }
        }
    }

    #[test]
    fn pax_stands_only_where_ustar_ends() {
        let fits = |path: &str| header(path.as_bytes()).encode().len() == 512;
        assert!(fits(&"a".repeat(100)));
        assert!(!fits(&"a".repeat(101)));
        assert!(fits(&format!("{}/{}", "a".repeat(155), "b".repeat(100))));
        assert!(!fits(&format!("{}/{}", "a".repeat(156), "b".repeat(99))));
        assert!(fits(&format!("{}/{}/", "a".repeat(155), "b".repeat(99))));
        assert!(!fits(&format!("{}/{}/", "a".repeat(155), "b".repeat(100))));
        let mut large = header(b"a");
        large.size = MAX_SIZE;
        large.owner = Owner { uid: MAX_ID, gid: MAX_ID };
        large.mtime = 1 << 32;
        assert_eq!(large.encode().len(), 512);
    }

    #[test]
    fn large_numbers_are_read_back() {
        let mut large = header(b"a");
        large.size = MAX_SIZE + 1;
        large.owner = Owner { uid: MAX_ID + 1, gid: u32::MAX };
        assert_eq!(read(&large), (b"a".to_vec(), 8 << 30, 0o1000_0000, u64::from(u32::MAX)));
        large.mtime = -1;
        let text = large.encode();
        assert!(text.windows(12).any(|window| window == b"12 mtime=-1\n"));
    }

    #[test]
    fn a_size_that_is_known_later_is_read_back() {
        for size in [0, 5, MAX_SIZE, MAX_SIZE + 1, 1 << 50] {
            let mut block: [u8; 512] = header(b"a").encode().try_into().unwrap();
            patch_size(&mut block, size);
            let mut archive = tar::Archive::new(&block[..]);
            assert_eq!(archive.entries().unwrap().next().unwrap().unwrap().size(), size);
        }
    }

    #[test]
    fn a_record_counts_its_own_digits() {
        assert_eq!(record("path", b"abc"), b"12 path=abc\n");
        for len in 80..120 {
            let made = record("path", &vec![b'x'; len]);
            let digits: String =
                made.iter().map(|b| char::from(*b)).take_while(char::is_ascii_digit).collect();
            assert_eq!(digits.parse::<usize>().unwrap(), made.len());
        }
    }
}
