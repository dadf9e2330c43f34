//! Whether commands may look at the sizes and times of files, of which access times tell nothing.

use std::collections::BTreeSet;

use lapstrake_oci::tree::{Content, TreePath};
use serde_json::Value;

/// Programs that decide by sizes or times of files, or print them.
const PROGRAMS: [&str; 17] = [
    "cmake", "du", "find", "git", "gmake", "just", "ls", "make", "meson", "ninja", "rake", "rsync", "stat",
    "task", "tree", "vdir", "wc",
];

/// Options by which a shell does.
const TESTS: [&str; 4] = ["-s", "-nt", "-ot", "-N"];

/// No script is longer, in bytes.
const LARGEST: u64 = 256 << 10;

/// Whether the text of a command, or of a script that it has read, names such a program.
pub fn may_be_seen<'c>(
    commands: impl IntoIterator<Item = &'c str>,
    read: &BTreeSet<TreePath>,
    content: impl Fn(&TreePath) -> Option<Content>,
) -> bool {
    commands.into_iter().any(names_one)
        || read.iter().any(|path| script(path, content(path)).is_some_and(|text| names_one(&text)))
}

/// What of a file is a script: that of a shell as a whole, of `package.json` its scripts.
fn script(path: &TreePath, content: Option<Content>) -> Option<String> {
    let content = content.filter(|content| content.is_here() && content.len() <= LARGEST)?;
    let text = String::from_utf8(content.read().ok()?).ok()?;
    if path.name() == b"package.json" {
        let package: Value = serde_json::from_str(&text).ok()?;
        let scripts = package.get("scripts")?.as_object()?.values().filter_map(Value::as_str);
        return Some(scripts.collect::<Vec<_>>().join("\n"));
    }
    let first = text.lines().next().unwrap_or_default();
    let is_shell = first.starts_with("#!") && first.contains("sh") || path.name().ends_with(b".sh");
    is_shell.then_some(text)
}

fn names_one(text: &str) -> bool {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "-_./".contains(letter);
    text.split(|letter: char| !is_part(letter)).any(|word| {
        let name = word.rsplit('/').next().unwrap_or(word);
        PROGRAMS.contains(&name) || TESTS.contains(&word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_seen(command: &str, files: &[(&str, &str)]) -> bool {
        let read = files.iter().map(|(path, _)| TreePath::new(path).unwrap()).collect();
        may_be_seen([command], &read, |path| {
            let found = files.iter().find(|(name, _)| *name == path.to_string());
            found.map(|(_, text)| Content::from(text.as_bytes().to_vec()))
        })
    }

    #[test]
    fn programs_that_look_at_sizes_are_found_in_commands_and_in_the_scripts_that_they_read() {
        for command in ["ls -l", "cd x && make", "/usr/bin/stat x", "if [ -s x ]; then y; fi", "$(wc -c <x)"]
        {
            assert!(is_seen(command, &[]), "{command}");
        }
        for command in
            ["pip install -r requirements.txt", "npm ci", "python make.py", "echo tools-make false"]
        {
            assert!(!is_seen(command, &[]), "{command}");
        }
        assert!(is_seen("sh a.sh", &[("a.sh", "set -e\ndu x\n")]));
        assert!(is_seen("./a", &[("a", "#!/bin/bash\nmake\n")]));
        assert!(!is_seen("python a.py", &[("a.py", "make = 1\n")]));
        assert!(is_seen("npm run x", &[("package.json", r#"{"scripts":{"x":"make -C y"}}"#)]));
        let repository = r#"{"repository":"git+x","scripts":{"x":"tsc"}}"#;
        assert!(!is_seen("npm run x", &[("package.json", repository)]));
    }
}
