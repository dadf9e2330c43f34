//! What the kernel reads at the beginning of a program before it executes it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// More than the kernel looks at in a script; the headers of a program with its loader's name lie further on at times.
const HEAD: u64 = 16 << 10;

/// The beginning of a file.
pub(super) fn head(path: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(path)?.take(HEAD).read_to_end(&mut head)?;
    Ok(head)
}

/// The interpreter that a script names in its first line, and the one argument that it gives to it.
pub(super) fn interpreter_of_script(head: &[u8]) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let line = head.strip_prefix(b"#!")?.split(|&byte| byte == b'\n').next()?;
    let line = line.trim_ascii();
    let end = line.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(line.len());
    let argument = line[end..].trim_ascii();
    let argument = (!argument.is_empty()).then(|| argument.to_vec());
    (end > 0).then(|| (line[..end].to_vec(), argument))
}

/// The loader that a program of 64 bits names.
pub(super) fn loader_of_program(head: &[u8]) -> Option<Vec<u8>> {
    const INTERP: u32 = 3;
    let is_elf = head.starts_with(b"\x7fELF\x02\x01");
    let offset = is_elf.then(|| number(head, 32, 8)).flatten()?;
    let (size, count) = (number(head, 54, 2)?, number(head, 56, 2)?);
    for index in 0..count {
        let at = offset + index * size;
        if number(head, at, 4)? == u64::from(INTERP) {
            let (from, length) = (number(head, at + 8, 8)?, number(head, at + 32, 8)?);
            let from = usize::try_from(from).ok()?;
            let text = head.get(from..from.checked_add(usize::try_from(length).ok()?)?)?;
            return Some(text.strip_suffix(b"\0").unwrap_or(text).to_vec());
        }
    }
    None
}

/// A number of so many bytes, the lowest first.
fn number(bytes: &[u8], at: u64, size: usize) -> Option<u64> {
    let at = usize::try_from(at).ok()?;
    let bytes = bytes.get(at..at.checked_add(size)?)?;
    Some(bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

/// Whether a loader can be told what the program is to find as its own name: glibc's can since 2.33.
pub(super) fn takes_first_argument(loader: &Path) -> bool {
    let mut bytes = Vec::new();
    let read = File::open(loader).and_then(|file| file.take(4 << 20).read_to_end(&mut bytes));
    read.is_ok() && bytes.windows(8).any(|window| window == b"--argv0\0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_names_its_interpreter_and_one_argument() {
        let read = |text: &str| interpreter_of_script(text.as_bytes());
        let words = |one: &str, other: Option<&str>| Some((one.into(), other.map(Into::into)));
        assert_eq!(read("#!/usr/bin/env node\nx"), words("/usr/bin/env", Some("node")));
        assert_eq!(read("#! /bin/sh -e x \n"), words("/bin/sh", Some("-e x")));
        assert_eq!(read("#!/bin/sh"), words("/bin/sh", None));
        assert_eq!(read("#!\n"), None);
        assert_eq!(read("echo"), None);
    }

    #[test]
    fn a_program_names_its_loader() {
        let own = head(Path::new("/proc/self/exe")).unwrap();
        let loader = String::from_utf8(loader_of_program(&own).unwrap()).unwrap();
        assert!(loader.starts_with("/lib") && loader.contains("ld-linux"), "{loader}");
        assert!(takes_first_argument(Path::new(&loader)));
        assert_eq!(loader_of_program(&own[..80]), None);
        assert_eq!(loader_of_program(b"\x7fELF\x02\x01"), None);
        assert!(!takes_first_argument(Path::new("/dev/null")));
    }
}
