//! Texts of an app's files that become parts of shell commands.

/// A text as one word of a shell command.
pub(super) fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.,=+/:@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// Whether a text is a module or a name in one: identifiers with dots between them.
pub(super) fn is_module(text: &str) -> bool {
    text.split('.').all(|part| {
        part.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_alphanumeric() || c == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stays_one_word() {
        assert_eq!(word("flask==3.1"), "flask==3.1");
        assert_eq!(word("flask>=3,<4"), "'flask>=3,<4'");
        assert_eq!(word("x; python_version < '3.9'"), "'x; python_version < '\\''3.9'\\'''");
        assert_eq!(word(""), "''");
    }

    #[test]
    fn a_module_is_made_of_identifiers() {
        assert!(["main", "a.b_c", "_x.y2"].into_iter().all(is_module));
        assert!(!["", "a..b", "2a", "a b", "a;b", "a.", "$(x)"].into_iter().any(is_module));
    }
}
