//! Shell scripts of the source that a start command runs, as far as their texts tell.

use std::collections::BTreeSet;
use std::path::Path;

use lapstrake_oci::tree::{FileTree, TreePath};

use crate::command_line::{StartCommand, words};
use crate::inputs::{FILE_LIMIT, file};
use crate::plan::APP_ROOT;

/// How many scripts are read at most: one may start another.
const SCRIPT_LIMIT: usize = 16;

/// A line of a script that runs npm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunsNpm {
    /// The script.
    pub script: TreePath,
    /// The line, from 1.
    pub line: usize,
}

/// Finds where a script that the start command names runs npm or npx: in the text of that script, or of one that it
/// names itself. Where a line only mentions the name, that counts as well: an image with npm starts either way.
#[must_use]
pub fn runs_npm(command: &StartCommand, tree: &FileTree, directory: Option<&TreePath>) -> Option<RunsNpm> {
    let text = match command {
        StartCommand::Exec(words) => words.join("\n"),
        StartCommand::Shell(line) => line.clone(),
    };
    let mut seen = BTreeSet::new();
    let mut waiting = scripts(&text, tree, directory);
    while let Some(script) = waiting.pop() {
        if seen.len() == SCRIPT_LIMIT || !seen.insert(script.clone()) {
            continue;
        }
        let Some(text) = text_of(tree, &script) else { continue };
        let names_npm = |line: &str| words_of(line).iter().any(|word| is_npm(word));
        if let Some(line) = text.lines().position(names_npm) {
            return Some(RunsNpm { script, line: line + 1 });
        }
        waiting.extend(scripts(&text, tree, directory));
    }
    None
}

/// The shell scripts of the source that a text names.
fn scripts(text: &str, tree: &FileTree, directory: Option<&TreePath>) -> Vec<TreePath> {
    let named = text.lines().flat_map(words_of).filter_map(|word| in_source(&word, directory));
    named.filter(|path| text_of(tree, path).is_some()).collect()
}

/// The words of one line of a script; those that a shell could not tell are told by white space.
fn words_of(line: &str) -> Vec<String> {
    let line = line.trim();
    if line.starts_with('#') {
        return Vec::new();
    }
    let split = |line: &str| line.split_whitespace().map(str::to_owned).collect();
    let words = words(line).unwrap_or_else(|_| split(line));
    // A word may hold a line of its own, as that of `sh -c` does.
    words
        .iter()
        .flat_map(|word| word.split(|c: char| c.is_whitespace() || ";&|()`".contains(c)))
        .map(str::to_owned)
        .collect()
}

fn is_npm(word: &str) -> bool {
    matches!(word.rsplit('/').next(), Some("npm" | "npx"))
}

/// The path of the source that a word would be for a process of the app.
fn in_source(word: &str, directory: Option<&TreePath>) -> Option<TreePath> {
    let below_root = word.strip_prefix(APP_ROOT).and_then(|rest| rest.strip_prefix('/'));
    let path = match (below_root, directory) {
        (Some(path), _) => path.to_owned(),
        (None, _) if word.starts_with('/') => return None,
        (None, Some(directory)) => format!("{directory}/{}", word.trim_start_matches("./")),
        (None, None) => word.trim_start_matches("./").to_owned(),
    };
    TreePath::new(path.as_bytes()).ok()
}

/// The text of a shell script; nothing where the file is none.
fn text_of(tree: &FileTree, path: &TreePath) -> Option<String> {
    let content = file(tree, path).filter(|content| content.len() <= FILE_LIMIT)?;
    let text = String::from_utf8(content.read().ok()?).ok()?;
    let interpreter = text.lines().next().and_then(|line| line.strip_prefix("#!"));
    let is_shell = match interpreter {
        Some(line) => {
            line.split(['/', ' ']).any(|part| matches!(part.trim(), "sh" | "bash" | "dash" | "ash"))
        }
        None => Path::new(&path.to_string()).extension().is_some_and(|end| end == "sh"),
    };
    is_shell.then_some(text)
}

#[cfg(test)]
mod tests {
    use lapstrake_oci::tree::Node;

    use super::*;
    use crate::command_line::CommandLine;

    fn found(command: &str, directory: Option<&str>, files: &[(&str, &str)]) -> Option<(String, usize)> {
        let mut tree = FileTree::new();
        for (path, text) in files {
            tree.insert(TreePath::new(path).unwrap(), Node::file(text.as_bytes().to_vec(), 0o755));
        }
        let directory = directory.map(|directory| TreePath::new(directory).unwrap());
        let command = CommandLine::parse(command).unwrap().command;
        runs_npm(&command, &tree, directory.as_ref()).map(|found| (found.script.to_string(), found.line))
    }

    #[test]
    fn npm_is_found_in_a_script_and_in_one_that_it_starts() {
        let files = [
            ("start.sh", "#!/bin/sh\n# npm comes later\nset -e\nexec npm start\n"),
            ("run", "#!/usr/bin/env bash\ncd /app && ./bin/inner.sh\n"),
            ("bin/inner.sh", "if true; then npx serve; fi\n"),
            ("quoted.sh", "sh -c 'sleep 1; npm run web'\n"),
            ("broken.sh", "echo 'it\nnpm start\n"),
            ("loop.sh", "./loop.sh\n. other.sh\n"),
            ("other.sh", "sh loop.sh\n"),
            ("plain.sh", "#!/bin/sh\n# npm start\nexec node server.js # not npmrc\n"),
            ("server.js", "// npm start\n"),
        ];
        for (command, expected) in [
            ("sh start.sh", Some(("start.sh", 4))),
            ("./start.sh", Some(("start.sh", 4))),
            ("/app/start.sh --fast", Some(("start.sh", 4))),
            ("sleep 1 && sh -e start.sh", Some(("start.sh", 4))),
            ("sh -c 'sh start.sh'", Some(("start.sh", 4))),
            ("./run", Some(("bin/inner.sh", 1))),
            ("sh quoted.sh", Some(("quoted.sh", 1))),
            ("sh broken.sh", Some(("broken.sh", 2))),
            ("sh loop.sh", None),
            ("sh plain.sh", None),
            ("node server.js", None),
            ("sh absent.sh", None),
            ("/bin/start.sh", None),
        ] {
            let expected = expected.map(|(script, line)| (script.to_owned(), line));
            assert_eq!(found(command, None, &files), expected, "{command}");
        }
    }

    #[test]
    fn a_script_is_looked_for_where_the_app_runs() {
        let files = [("api/start.sh", "npm start\n"), ("start.sh", "node x\n")];
        assert_eq!(found("sh start.sh", Some("api"), &files), Some(("api/start.sh".to_owned(), 1)));
        assert_eq!(found("sh /app/start.sh", Some("api"), &files), None);
        assert_eq!(found("sh ../start.sh", Some("api"), &files), None);
    }
}
