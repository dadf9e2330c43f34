//! The lock files of an app, and the registries that its own files name.

use lapstrake_oci::tree::{FileTree, TreePath};
use lapstrake_sandbox::HostPort;
use toml::{Table, Value};
use url::Url;

use super::{Format, Hosts, LockError, LockFile, read};
use crate::detect::DetectError;
use crate::detect::files::Files;
use crate::detect::requirements::included;

/// How far up the lock file of a workspace may be.
const LEVELS: usize = 20;

/// How many requirements files one may lead to.
const MOST_INCLUDED: usize = 50;

const NODE: [(&str, Format); 4] = [
    ("npm-shrinkwrap.json", Format::Npm),
    ("package-lock.json", Format::Npm),
    ("yarn.lock", Format::Yarn),
    ("pnpm-lock.yaml", Format::Pnpm),
];

const PYTHON: [(&str, Format); 4] = [
    ("uv.lock", Format::PythonToml),
    ("poetry.lock", Format::PythonToml),
    ("pdm.lock", Format::PythonToml),
    ("Pipfile.lock", Format::Pipfile),
];

/// The lock files of an app.
#[derive(Debug, Default)]
pub(super) struct AppLocks {
    /// Those that could be read.
    pub(super) locks: Vec<LockFile>,
    /// Those that could not.
    pub(super) errors: Vec<LockError>,
    /// A `package.json` with dependencies and no lock file for them.
    pub(super) unlocked: Option<String>,
    /// The hosts of the registries that the app's own files name.
    pub(super) registries: Vec<HostPort>,
}

impl AppLocks {
    /// Finds them. The lock file of a workspace may lie above the directory of the app. Requirements count where a command
    /// names them, and where they are all that there is.
    pub(super) fn of(source: &FileTree, directory: Option<&TreePath>, commands: &[&str]) -> Self {
        let files = Files::new(source, directory);
        let mut found = Self::default();
        let node = found.nearest(&files, &NODE);
        let python = found.nearest(&files, &PYTHON);
        let asks = commands.iter().any(|command| command.contains("requirements"));
        if files.has("requirements.txt") && (asks || !python) {
            found.requirements(&files, "requirements.txt");
        }
        for name in commands.iter().flat_map(|command| named(command)) {
            if files.has(&name) {
                found.requirements(&files, &name);
            }
        }
        if !node && has_dependencies(&files) {
            found.unlocked = Some(files.name("package.json"));
        }
        found.registries = registries(&files);
        found
    }

    /// Reads the lock files in the nearest directory that has any; whether there is one.
    fn nearest(&mut self, files: &Files<'_>, names: &[(&str, Format)]) -> bool {
        for level in 0..LEVELS {
            let up = "../".repeat(level);
            let mut here = names.iter().filter(|(name, _)| files.has(&format!("{up}{name}"))).peekable();
            if here.peek().is_some() {
                here.for_each(|(name, format)| self.read(files, &format!("{up}{name}"), *format));
                return true;
            }
        }
        false
    }

    fn read(&mut self, files: &Files<'_>, name: &str, format: Format) {
        let file = files.name(name);
        let text = match files.text(name) {
            Ok(Some(found)) => found.text,
            Ok(None) => return,
            Err(cause) => return self.errors.push(unreadable(file, &cause)),
        };
        match read(format, &file, &text) {
            Ok(lock) => self.locks.push(lock),
            Err(error) => self.errors.push(error),
        }
    }

    /// Reads a requirements file and those that it includes, each once.
    fn requirements(&mut self, files: &Files<'_>, name: &str) {
        let mut waiting = vec![name.to_owned()];
        let mut left = MOST_INCLUDED;
        while let Some(name) = waiting.pop() {
            let file = files.name(&name);
            if self.locks.iter().any(|lock| lock.file == file) {
                continue;
            }
            if left == 0 {
                let reason = format!("more than {MOST_INCLUDED} files are included");
                return self.errors.push(LockError { file, line: 0, reason });
            }
            left -= 1;
            let text = match crate::detect::requirements::text(files, &name) {
                Ok(Some(found)) => found.text,
                // Whoever installs from it fails.
                Ok(None) => continue,
                Err(cause) => {
                    self.errors.push(unreadable(file, &cause));
                    continue;
                }
            };
            let directory = name.rsplit_once('/').map(|(directory, _)| format!("{directory}/"));
            let directory = directory.unwrap_or_default();
            let lines = crate::detect::requirements::logical_lines(&text);
            let more =
                lines.iter().filter_map(|(_, line)| included(line)).filter(|more| !more.contains("://"));
            waiting.extend(more.map(|more| format!("{directory}{more}")));
            match read(Format::Requirements, &file, &text) {
                Ok(lock) => self.locks.push(lock),
                Err(error) => self.errors.push(error),
            }
        }
    }

    /// The hosts that the packages of a lock file may come from; `known` are those of the machine and of options.
    pub(super) fn hosts(&self, lock: &LockFile, known: &Hosts) -> Hosts {
        if self.registries.is_empty() {
            return known.with_usual(lock);
        }
        Hosts::new(known.iter().chain(&self.registries).cloned())
    }
}

/// Whether a lock file of another manager than pip says which Python packages an app has.
pub(super) fn has_python_lock(source: &FileTree, directory: Option<&TreePath>) -> bool {
    let files = Files::new(source, directory);
    let levels = (0..LEVELS).map(|level| "../".repeat(level));
    levels.into_iter().any(|up| PYTHON.iter().any(|(name, _)| files.has(&format!("{up}{name}"))))
}

fn unreadable(file: String, cause: &DetectError) -> LockError {
    match cause {
        DetectError::Malformed { diagnostic, .. } => {
            LockError { file, line: diagnostic.at.start.line, reason: diagnostic.message.clone() }
        }
        _ => LockError { file, line: 0, reason: cause.to_string() },
    }
}

/// The requirements files that a command names: `-r FILE`.
fn named(command: &str) -> Vec<String> {
    let is_end = |c: char| c.is_whitespace() || matches!(c, ';' | '&' | '|' | '(' | ')');
    let mut words = command.split(is_end).filter(|word| !word.is_empty()).peekable();
    let mut files = Vec::new();
    while let Some(word) = words.next() {
        let rest = word.strip_prefix("--requirement").or_else(|| word.strip_prefix("-r"));
        let file = match rest {
            Some("") => words.peek().copied(),
            Some(rest) => Some(rest.trim_start_matches('=')),
            None => None,
        };
        files.extend(file.map(|file| file.trim_matches(['"', '\'']).to_owned()));
    }
    files
}

/// Whether the app's `package.json` lists anything to install.
fn has_dependencies(files: &Files<'_>) -> bool {
    let package = files.text("package.json").ok().flatten();
    let package = package.and_then(|found| serde_json::from_str::<serde_json::Value>(&found.text).ok());
    package.is_some_and(|package| {
        ["dependencies", "devDependencies", "optionalDependencies"].iter().any(|key| {
            package.get(key).and_then(serde_json::Value::as_object).is_some_and(|all| !all.is_empty())
        })
    })
}

/// The hosts of the registries that an app's own files name.
#[must_use]
pub fn registries_of_app(source: &FileTree, directory: Option<&TreePath>) -> Vec<HostPort> {
    registries(&Files::new(source, directory))
}

fn registries(files: &Files<'_>) -> Vec<HostPort> {
    let mut found = Vec::new();
    let text = |name: &str| files.text(name).ok().flatten().map(|found| found.text).unwrap_or_default();
    for level in 0..LEVELS {
        let up = "../".repeat(level);
        for name in [".npmrc", ".yarnrc", ".yarnrc.yml"] {
            let text = text(&format!("{up}{name}"));
            let lines = text.lines().filter(|line| line.to_ascii_lowercase().contains("registry"));
            found.extend(lines.flat_map(addresses));
        }
    }
    let requirements = text("requirements.txt");
    let indexes = ["--index-url", "-i ", "--extra-index-url"];
    let named = requirements.lines().filter(|line| indexes.iter().any(|option| line.starts_with(option)));
    found.extend(named.flat_map(addresses));
    for name in ["uv.toml", "pyproject.toml", "Pipfile"] {
        let Ok(table) = text(name).parse::<Table>() else { continue };
        let tool = |name: &str| table.get("tool").and_then(|tool| tool.get(name));
        let of_uv = |key: &str| if name == "uv.toml" { table.get(key) } else { tool("uv")?.get(key) };
        let lists = [
            of_uv("index"),
            tool("poetry").and_then(|poetry| poetry.get("source")),
            tool("pdm").and_then(|pdm| pdm.get("source")),
            table.get("source"),
        ];
        let in_lists = lists.into_iter().flatten().filter_map(Value::as_array).flatten();
        let urls = in_lists.filter_map(|index| index.get("url")?.as_str());
        let uv_url = of_uv("index-url").and_then(Value::as_str);
        found.extend(urls.chain(uv_url).flat_map(addresses));
    }
    found.sort();
    found.dedup();
    found
}

/// The hosts of the addresses in a line.
fn addresses(line: &str) -> Vec<HostPort> {
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | '=');
    let words = line.split(ends).filter(|word| word.starts_with("https://") || word.starts_with("http://"));
    words.filter_map(|word| HostPort::of(&Url::parse(word).ok()?)).collect()
}
