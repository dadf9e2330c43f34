//! Which version of Python the files of an app ask for.

use lapstrake_catalog::{RequiresPython, Version, VersionRequest};

use crate::app_file::{Located, Position};
use crate::detect::files::Files;
use crate::detect::{DetectError, Finding, VersionWish};

use super::pipfile::Pipfile;
use super::project::Project;

/// What the files say of the version, in the order in which they count.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Versions {
    /// What they ask for.
    pub(super) wishes: Vec<VersionWish>,
    /// What could not be used, and why.
    pub(super) notes: Vec<String>,
}

impl Versions {
    /// Reads what files say of the version.
    ///
    /// A file that names one version says more than a range, which names all that work. `.python-version` is what most
    /// tools read, `.tool-versions` and `runtime.txt`, its predecessor on some platforms, are less common, and a
    /// `Pipfile` names what its lock was made with.
    pub(super) fn read(
        files: &Files<'_>,
        project: Option<&Project>,
        pipfile: Option<&Pipfile>,
    ) -> Result<Self, DetectError> {
        let mut found = Self::default();
        if let Some(text) = files.text(".python-version")? {
            found.python_version(&text.file, &text.text);
        }
        if let Some(text) = files.text(".tool-versions")? {
            found.tool_versions(&text.file, &text.text);
        }
        if let Some(text) = files.text("runtime.txt")? {
            found.runtime_txt(&text.file, &text.text);
        }
        if let Some(pipfile) = pipfile {
            for version in &pipfile.python {
                found.lock(&pipfile.file, version.at.start, &version.value);
            }
        }
        if let Some((project, range)) =
            project.and_then(|project| Some((project, project.requires_python.as_ref()?)))
        {
            found.range(&project.file, range);
        }
        Ok(found)
    }

    /// What decides, and what should be known of the rest.
    pub(super) fn decide(mut self) -> (Option<VersionWish>, Vec<String>) {
        if self.wishes.is_empty() {
            return (None, self.notes);
        }
        let first = self.wishes.remove(0);
        for other in self.wishes.iter().filter(|other| !agree(&first, other)) {
            self.notes.push(match other {
                VersionWish::Lock { because, .. } => {
                    format!("{because}, but {first} counts more; remove one of them, or choose with `--runtime-version`", first = first.because())
                }
                VersionWish::Range { because, .. } => {
                    format!("{because}, which is not what {first}; installers may refuse it", first = first.because())
                }
            });
        }
        (Some(first), self.notes)
    }

    /// The first line of a `.python-version` that names a version: pyenv lists several, and names environments as well.
    fn python_version(&mut self, file: &str, text: &str) {
        for (number, line) in text.lines().enumerate() {
            let word = line.split('#').next().unwrap_or_default().trim();
            let at = Position { line: number + 1, column: 1 };
            if word.is_empty() {
                continue;
            }
            if let Some(version) = exact(word) {
                return self.lock(file, at, &version);
            }
            if RequiresPython::parse(word).is_some() {
                return self.range(file, &Located { value: word.to_owned(), at: span(at) });
            }
            self.notes.push(format!(
                "{file}:{}: `{word}` is not a version of Python that there is a runtime for, and is not used",
                number + 1
            ));
        }
    }

    fn tool_versions(&mut self, file: &str, text: &str) {
        for (number, line) in text.lines().enumerate() {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            if words.next() != Some("python") {
                continue;
            }
            let at = Position { line: number + 1, column: 1 };
            match words.clone().find_map(exact) {
                Some(version) => self.lock(file, at, &version),
                None => self.notes.push(format!(
                    "{file}:{}: `{}` names no version of Python that there is a runtime for, and is not used",
                    number + 1,
                    line.trim()
                )),
            }
        }
    }

    fn runtime_txt(&mut self, file: &str, text: &str) {
        let line = text.lines().enumerate().find(|(_, line)| !line.trim().is_empty());
        let Some((number, line)) = line else { return };
        match line.trim().strip_prefix("python-").and_then(exact) {
            Some(version) => self.lock(file, Position { line: number + 1, column: 1 }, &version),
            None => self.notes.push(format!(
                "{file}:{}: `{}` is not `python-VERSION`, and is not used",
                number + 1,
                line.trim()
            )),
        }
    }

    fn lock(&mut self, file: &str, at: Position, version: &str) {
        match version.parse::<VersionRequest>() {
            Ok(request) if request.build().is_none() => {
                let because = Finding::new(file, format!("asks for Python {version}")).at(at);
                self.wishes.push(VersionWish::Lock { request, because });
            }
            _ => self
                .notes
                .push(format!("{file}:{at}: `{version}` is not a version of Python, and is not used")),
        }
    }

    fn range(&mut self, file: &str, range: &Located<String>) {
        let (text, at) = (range.value.clone(), range.at.start);
        if RequiresPython::parse(&text).is_some() {
            let because = Finding::new(file, format!("asks for Python `{text}`")).at(at);
            self.wishes.push(VersionWish::Range { text, because });
        } else {
            self.notes.push(format!("{file}:{at}: `{text}` is not a range of versions, and is not used"));
        }
    }
}

fn span(at: Position) -> crate::app_file::Span {
    crate::app_file::Span { start: at, end: at }
}

/// The version of a word as pyenv and uv write it: `3.13.5`, `cpython-3.13`, `cpython@3.13.1`, `cpython-3.13.1-linux-x86_64-gnu`.
fn exact(word: &str) -> Option<String> {
    let word = word.strip_prefix("cpython").map_or(word, |rest| rest.trim_start_matches(['-', '@']));
    let word = word.strip_prefix("python").map_or(word, |rest| rest.trim_start_matches(['-', '@']));
    let (version, rest) = word.split_once('-').unwrap_or((word, ""));
    let is_platform = rest.is_empty()
        || rest.starts_with("linux")
        || rest.starts_with("macos")
        || rest.starts_with("windows");
    let request = version.parse::<VersionRequest>().ok()?;
    (is_platform && request.build().is_none() && request.components()[0] == 3).then(|| version.to_owned())
}

/// Whether two wishes can be met by one version.
fn agree(first: &VersionWish, other: &VersionWish) -> bool {
    match (first, other) {
        (VersionWish::Lock { request, .. }, VersionWish::Lock { request: other, .. }) => {
            request.components().iter().zip(other.components()).all(|(a, b)| a == b)
        }
        (VersionWish::Lock { request, .. }, VersionWish::Range { text, .. })
        | (VersionWish::Range { text, .. }, VersionWish::Lock { request, .. }) => {
            RequiresPython::parse(text).is_none_or(|range| reaches(&range, request.components()))
        }
        (VersionWish::Range { .. }, VersionWish::Range { .. }) => true,
    }
}

/// Whether a range holds any version that begins with these numbers.
fn reaches(range: &RequiresPython, components: &[u64]) -> bool {
    let minors = components.get(1).map_or(0..=99, |minor| *minor..=*minor);
    let patches = components.get(2).map_or(0..=99, |patch| *patch..=*patch);
    let version = |minor, patch| Version { major: components[0], minor, patch };
    minors.into_iter().any(|minor| patches.clone().any(|patch| range.is_satisfied_by(version(minor, patch))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::files::tests::tree;
    use crate::detect::toml_file::TomlFile;

    fn read(all: &[(&str, &str)]) -> (Option<String>, Vec<String>) {
        let tree = tree(all);
        let files = Files::new(&tree, None);
        let project =
            files.text("pyproject.toml").unwrap().map(|text| Project::new(&TomlFile::parse(&text).unwrap()));
        let pipfile = Pipfile::read(&files).unwrap();
        let (wish, notes) = Versions::read(&files, project.as_ref(), pipfile.as_ref()).unwrap().decide();
        (wish.map(|wish| wish.because().to_string()), notes)
    }

    fn of(name: &str, text: &str) -> (Option<String>, Vec<String>) {
        read(&[(name, text)])
    }

    #[test]
    fn the_first_usable_line_of_python_version_counts() {
        for (text, says) in [
            ("3.13\n", ".python-version:1:1: asks for Python 3.13"),
            ("# mine\n\n3.13.5  # why\n3.11\n", ".python-version:3:1: asks for Python 3.13.5"),
            ("cpython-3.13", ".python-version:1:1: asks for Python 3.13"),
            ("cpython@3.13.1\r\n", ".python-version:1:1: asks for Python 3.13.1"),
            ("cpython-3.13.1-linux-x86_64-gnu", ".python-version:1:1: asks for Python 3.13.1"),
            ("3", ".python-version:1:1: asks for Python 3"),
            (">=3.12", ".python-version:1:1: asks for Python `>=3.12`"),
        ] {
            assert_eq!(of(".python-version", text), (Some(says.to_owned()), vec![]), "{text}");
        }
        let (wish, notes) = of(".python-version", "my-env\npypy3.10\n3.13\n");
        assert_eq!(wish.unwrap(), ".python-version:3:1: asks for Python 3.13");
        assert_eq!(
            notes[0],
            ".python-version:1: `my-env` is not a version of Python that there is a runtime for, and is not used"
        );
        for unusable in
            ["system", "3.13t", "3.15-dev", "3.15.0rc1", "2.7.18", "3.13.5-2", "latest", "pypy@3.10"]
        {
            let (wish, notes) = of(".python-version", unusable);
            assert_eq!((wish, notes.len()), (None, 1), "{unusable}");
        }
        assert_eq!(of(".python-version", "\n"), (None, vec![]));
    }

    #[test]
    fn other_files_name_a_version_in_their_own_ways() {
        assert_eq!(
            of("runtime.txt", "python-3.12.4\n").0.unwrap(),
            "runtime.txt:1:1: asks for Python 3.12.4"
        );
        assert_eq!(
            of("runtime.txt", "3.12").1,
            ["runtime.txt:1: `3.12` is not `python-VERSION`, and is not used"]
        );
        let tools = of(".tool-versions", "nodejs 22\npython 3.13.5 3.11\n");
        assert_eq!(tools.0.unwrap(), ".tool-versions:2:1: asks for Python 3.13.5");
        let pipfile = of("Pipfile", "[requires]\npython_version = '3.13'\n");
        assert_eq!(pipfile.0.unwrap(), "Pipfile:2:18: asks for Python 3.13");
        let poetry = of("pyproject.toml", "[tool.poetry.dependencies]\npython = '^3.11'\n");
        assert_eq!(poetry.0.unwrap(), "pyproject.toml:2:10: asks for Python `>=3.11,<4`");
        let broken = of("pyproject.toml", "[project]\nrequires-python = '3.11 or so'\n");
        assert_eq!(
            broken,
            (
                None,
                vec![
                    "pyproject.toml:2:19: `3.11 or so` is not a range of versions, and is not used"
                        .to_owned()
                ]
            )
        );
    }

    #[test]
    fn a_version_counts_more_than_a_range_and_what_contradicts_it_is_told() {
        let (wish, notes) = read(&[
            (".python-version", "3.13\n"),
            ("runtime.txt", "python-3.11.2"),
            ("pyproject.toml", "[project]\nrequires-python = '<3.13'\n"),
        ]);
        assert_eq!(wish.unwrap(), ".python-version:1:1: asks for Python 3.13");
        assert_eq!(
            notes,
            [
                "runtime.txt:1:1: asks for Python 3.11.2, but .python-version:1:1: asks for Python 3.13 counts more; \
                 remove one of them, or choose with `--runtime-version`",
                "pyproject.toml:2:19: asks for Python `<3.13`, which is not what .python-version:1:1: asks for Python 3.13; \
                 installers may refuse it",
            ]
        );
        let agreeing = read(&[
            (".python-version", "3.13\n"),
            ("runtime.txt", "python-3.13.5"),
            ("pyproject.toml", "[project]\nrequires-python = '>=3.13.2,<3.14'\n"),
        ]);
        assert!(agreeing.1.is_empty());
    }
}
