//! Which paths a source may have.

use lapstrake_oci::tree::TreePath;

use super::limits::Limits;
use super::rule::Rule;

/// Bytes as one line of text that cannot control a terminal.
pub(super) fn printable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(unprintable) => text.to_owned(),
        _ => bytes.escape_ascii().to_string(),
    }
}

/// Control characters, and those that turn the direction of what follows.
fn unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The path of an entry, or none for the root itself (`.` or `./`).
pub(super) fn entry_path(name: &[u8], limits: &Limits) -> Result<Option<TreePath>, Rule> {
    if name.contains(&0) {
        return Err(Rule::Nul);
    }
    if name.len() > limits.path {
        return Err(Rule::PathLength { limit: limits.path });
    }
    if name == b"." || name == b"./" {
        return Ok(None);
    }
    let path = TreePath::new(name).map_err(|error| Rule::Path { reason: error.reason })?;
    for (number, component) in path.components().enumerate() {
        if number >= limits.depth {
            return Err(Rule::Depth { limit: limits.depth });
        }
        if component.len() > limits.name {
            return Err(Rule::NameLength { limit: limits.name });
        }
        if component.starts_with(b".wh.") {
            return Err(Rule::Whiteout);
        }
    }
    Ok(Some(path))
}

/// Whether a path is a repository's `.git` or lies in one.
pub(crate) fn in_git(path: &TreePath) -> bool {
    path.components().any(|component| component == b".git")
}

/// Whether a name would be a repository's own directory on some file system: `.GIT`, `git~1`, `.git ` and their like,
/// characters that show nothing left out.
pub(super) fn is_git_name(component: &[u8]) -> bool {
    // Most names cannot be one, which their first byte tells.
    if !component.first().is_some_and(|first| matches!(first, b'.' | b'g' | b'G' | 0x80..)) {
        return false;
    }
    let text = String::from_utf8_lossy(component);
    let seen: String = text.chars().filter(|c| !is_invisible(*c)).flat_map(char::to_lowercase).collect();
    let name = seen.split([':', '\\']).next().unwrap_or_default().trim_end_matches(['.', ' ']);
    matches!(name, ".git" | "git~1")
}

/// Characters that file systems of other systems do not tell apart from nothing.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_no_path_and_dots_are_dropped() {
        let limits = Limits::default();
        assert_eq!(entry_path(b"./", &limits), Ok(None));
        assert_eq!(entry_path(b".", &limits), Ok(None));
        let path = entry_path(b"./a/b/", &limits).unwrap().unwrap();
        assert_eq!(path.to_string(), "a/b");
    }

    #[test]
    fn a_path_past_a_limit_is_refused() {
        let limits = Limits::default();
        let deep = vec!["d"; 101].join("/");
        assert_eq!(entry_path(deep.as_bytes(), &limits), Err(Rule::Depth { limit: 100 }));
        assert!(entry_path(&deep.as_bytes()[2..], &limits).is_ok());
        assert_eq!(entry_path(&[b'a'; 256], &limits), Err(Rule::NameLength { limit: 255 }));
        assert!(entry_path(&[b'a'; 255], &limits).is_ok());
        let long = vec!["a".repeat(254); 17].join("/");
        assert_eq!(entry_path(long.as_bytes(), &limits), Err(Rule::PathLength { limit: 4096 }));
    }

    #[test]
    fn whiteouts_are_refused_at_any_level() {
        let limits = Limits::default();
        for name in ["a/.wh.b", ".wh..wh..opq", ".wh.dir/x"] {
            assert_eq!(entry_path(name.as_bytes(), &limits), Err(Rule::Whiteout), "{name}");
        }
        assert!(entry_path(b"a.wh.b", &limits).is_ok());
    }

    #[test]
    fn every_spelling_of_git_is_known() {
        for name in [
            ".git",
            ".GIT",
            ".Git",
            ".git.",
            ".git ",
            ".git. .",
            "git~1",
            "GIT~1",
            ".g\u{200c}it",
            ".git::$INDEX",
        ] {
            assert!(is_git_name(name.as_bytes()), "{name}");
        }
        for name in [".gitignore", ".github", "git", ".gi", "git~2", "x.git", "..git"] {
            assert!(!is_git_name(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn names_cannot_control_the_terminal() {
        assert_eq!(printable("grün".as_bytes()), "grün");
        assert_eq!(printable(b"a\n\x1b[31mb"), "a\\n\\x1b[31mb");
        assert_eq!(printable(b"\xff"), "\\xff");
        assert!(!printable("a\u{202e}b".as_bytes()).contains('\u{202e}'));
    }
}
