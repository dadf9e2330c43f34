//! The lines of an ignore file.

/// The longest line that Docker reads.
const LINE: usize = (64 << 10) - 1;

/// A line that holds a pattern.
pub(super) struct Line {
    /// Counted from 1.
    pub(super) number: usize,
    /// The pattern, cleaned as a path, with its `!`.
    pub(super) pattern: Vec<u8>,
    /// The limit on a line's length, when this one exceeds it.
    pub(super) too_long: Option<usize>,
}

/// The lines with patterns: neither empty nor with a `#` as their very first byte.
pub(super) fn lines(file: &[u8]) -> impl Iterator<Item = Line> {
    let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
    file.split(|byte| *byte == b'\n').enumerate().filter_map(|(index, line)| {
        let number = index + 1;
        if line.len() > LINE {
            let pattern = line[..40].to_vec();
            return Some(Line { number, pattern, too_long: Some(LINE) });
        }
        let is_comment = line.starts_with(b"#");
        let line = trim(line);
        (!is_comment && !line.is_empty()).then(|| Line { number, pattern: normal(line), too_long: None })
    })
}

/// The pattern as a clean path from the top, whether it began with a slash or not.
fn normal(line: &[u8]) -> Vec<u8> {
    let (mark, path): (&[u8], _) = match line.strip_prefix(b"!") {
        Some(path) => (b"!", trim(path)),
        None => (b"", line),
    };
    let path = if path.is_empty() { Vec::new() } else { clean(path) };
    let path = match path.strip_prefix(b"/") {
        Some(rest) if !rest.is_empty() => rest,
        _ => &path,
    };
    [mark, path].concat()
}

/// The shortest path that means the same, read as text alone: no `.`, no `x/..`, one slash where there were several.
pub(super) fn clean(path: &[u8]) -> Vec<u8> {
    let is_rooted = path.starts_with(b"/");
    let mut names: Vec<&[u8]> = Vec::new();
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." if names.last().is_some_and(|last| *last != b"..") => drop(names.pop()),
            b".." if is_rooted => {}
            name => names.push(name),
        }
    }
    match (is_rooted, names.join(&b'/')) {
        (true, rest) => [b"/", rest.as_slice()].concat(),
        (false, rest) if rest.is_empty() => b".".to_vec(),
        (false, rest) => rest,
    }
}

/// Without white space, of Unicode's too, at both ends; the bytes need not be UTF-8.
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let Some(width) = space(|width| bytes.get(..width)) {
        bytes = &bytes[width..];
    }
    while let Some(width) = space(|width| bytes.get(bytes.len().checked_sub(width)?..)) {
        bytes = &bytes[..bytes.len() - width];
    }
    bytes
}

/// How many bytes the white space takes that is at an end.
fn space<'b>(end: impl Fn(usize) -> Option<&'b [u8]>) -> Option<usize> {
    (1..=4).find(|width| {
        let text = end(*width).and_then(|bytes| std::str::from_utf8(bytes).ok());
        text.is_some_and(|text| text.chars().count() == 1 && text.chars().all(char::is_whitespace))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(file: &[u8]) -> Vec<(usize, String)> {
        lines(file).map(|line| (line.number, String::from_utf8(line.pattern).unwrap())).collect()
    }

    #[test]
    fn a_comment_begins_at_the_start_of_its_line() {
        let found = patterns(b"# one\n #two\na#b\n\n\t\nc\n");
        assert_eq!(found, [(2, "#two".to_owned()), (3, "a#b".to_owned()), (6, "c".to_owned())]);
    }

    #[test]
    fn a_byte_order_mark_and_carriage_returns_are_no_part_of_a_pattern() {
        assert_eq!(patterns(b"\xef\xbb\xbf# c\r\na\r\nb"), [(2, "a".to_owned()), (3, "b".to_owned())]);
        assert_eq!(patterns(b"\xef\xbb\xbf\xef\xbb\xbfa"), [(1, "\u{feff}a".to_owned())]);
    }

    #[test]
    fn patterns_are_trimmed_and_cleaned_as_paths() {
        for (line, pattern) in [
            (" a ", "a"),
            ("\u{a0}a\u{2003}", "a"),
            ("/a/b/", "a/b"),
            ("//a", "a"),
            ("./a//b/../c", "a/c"),
            ("../a", "../a"),
            ("/../a", "a"),
            ("/", "/"),
            (".", "."),
            ("a/..", "."),
            ("! /a/ ", "!a"),
            ("!", "!"),
            ("!!a", "!!a"),
            ("!/", "!/"),
        ] {
            assert_eq!(patterns(line.as_bytes()), [(1, pattern.to_owned())], "{line:?}");
        }
        assert_eq!(trim(b"\x85\xffa\xff \xa0"), b"\x85\xffa\xff \xa0", "bytes alone are no white space");
    }

    #[test]
    fn a_line_may_be_as_long_as_docker_reads() {
        assert_eq!(lines(&vec![b'a'; LINE]).next().unwrap().too_long, None);
        assert_eq!(lines(&vec![b'a'; LINE + 1]).next().unwrap().too_long, Some(LINE));
    }
}
