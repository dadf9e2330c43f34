//! The settings of a repository: two of them are looked up, and none is obeyed.

/// The last value of a setting. What cannot be read ends the file.
pub(super) fn value(config: &[u8], section: &str, subsection: Option<&str>, key: &str) -> Option<String> {
    let text = String::from_utf8_lossy(config);
    let mut is_there = false;
    let mut found = None;
    let mut rest = text.trim_start_matches('\u{feff}');
    while !rest.is_empty() {
        let line = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        if let Some(header) = line.strip_prefix('[') {
            let (name, sub, after) = self::header(header)?;
            is_there = name.eq_ignore_ascii_case(section) && sub.as_deref() == subsection;
            rest = after;
        } else if line.starts_with(['#', ';']) {
            rest = line.find('\n').map_or("", |end| &line[end..]);
        } else {
            let end = line.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(line.len());
            let (name, after) = line.split_at(end);
            if name.is_empty() {
                return found;
            }
            let (value, after) = assigned(after);
            if is_there && name.eq_ignore_ascii_case(key) {
                found = Some(value);
            }
            rest = after;
        }
    }
    found
}

/// Reads `section]` or `section "subsection"]`.
fn header(text: &str) -> Option<(&str, Option<String>, &str)> {
    let end = text.find([']', '"', '\n'])?;
    let name = text[..end].trim();
    match text[end..].chars().next()? {
        ']' => Some((name, None, &text[end + 1..])),
        '"' => {
            let mut sub = String::new();
            let mut letters = text[end + 1..].char_indices();
            loop {
                match letters.next()? {
                    (_, '\n') => return None,
                    (_, '\\') => sub.push(letters.next()?.1),
                    (at, '"') => return Some((name, Some(sub), text[end + at + 2..].strip_prefix(']')?)),
                    (_, letter) => sub.push(letter),
                }
            }
        }
        _ => None,
    }
}

/// Reads what follows a key, up to the end of its line. A key alone has an empty value.
fn assigned(text: &str) -> (String, &str) {
    let text = text.trim_start_matches([' ', '\t']);
    let Some(text) = text.strip_prefix('=') else {
        return (String::new(), text.find('\n').map_or("", |end| &text[end..]));
    };
    let (mut value, mut is_quoted, mut is_comment, mut end) = (String::new(), false, false, text.len());
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\n' => {
                end = at;
                break;
            }
            _ if is_comment => {}
            '"' => is_quoted = !is_quoted,
            '#' | ';' if !is_quoted => is_comment = true,
            '\\' => match letters.next().map(|(_, escaped)| escaped) {
                Some('n') => value.push('\n'),
                Some('t') => value.push('\t'),
                Some('b') => drop(value.pop()),
                Some('\n') | None => {}
                Some(other) => value.push(other),
            },
            ' ' | '\t' if value.is_empty() && !is_quoted => {}
            other => value.push(other),
        }
    }
    (value.trim_end().to_owned(), &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(config: &str) -> Option<String> {
        value(config.as_bytes(), "remote", Some("origin"), "url")
    }

    #[test]
    fn the_last_value_of_a_section_counts() {
        let config = "[core]\n\tbare = false ; no\n[remote \"other\"]\nurl = x\n[Remote \"origin\"]\n\tURL = a b # c\n\
                      fetch = +refs/*\n[remote \"origin\"] url = \"d;e\"\n";
        assert_eq!(url(config).as_deref(), Some("d;e"));
        assert_eq!(value(config.as_bytes(), "core", None, "bare").as_deref(), Some("false"));
        assert_eq!(url("[remote \"Origin\"]\nurl = x\n"), None);
    }

    #[test]
    fn values_may_be_quoted_escaped_and_continued() {
        assert_eq!(url("[remote \"ori\\gin\"]\r\n url=\\\n a\\\\b\\\"\r\n").as_deref(), Some("a\\b\""));
        assert_eq!(url("[remote \"origin\"]\nurl\nfetch = x\n").as_deref(), Some(""));
        assert_eq!(url("[remote \"origin\"] ; c\nurl = x").as_deref(), Some("x"));
    }

    #[test]
    fn what_is_no_file_of_settings_has_no_value() {
        for text in [
            "",
            "[",
            "[remote \"origin",
            "[remote \"origin\"\nurl = x",
            "=x",
            "[remote \"origin\"]\n=x\nurl=y",
        ] {
            assert_eq!(url(text), None, "{text}");
        }
    }
}
