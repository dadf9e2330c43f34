//! Requirements files, as pip reads them: which packages they name.

use crate::app_file::{Diagnostic, Position, Rule, Span};
use crate::detect::files::{Files, Text};
use crate::detect::{DetectError, Finding};

use super::names::Dependencies;

/// How many files one may lead to.
const FILES: usize = 50;

/// What requirements files ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Requirements {
    /// The packages.
    pub(super) packages: Dependencies,
    /// Whether the project itself is among them, with what it depends on: `.` or `-e .`.
    pub(super) names_project: bool,
}

/// Reads a requirements file and those that it includes.
pub(super) fn read(files: &Files<'_>, name: &str) -> Result<Requirements, DetectError> {
    let mut reading = Reading { files, seen: Vec::new(), found: Requirements::default() };
    if let Some(text) = reading.text(name)? {
        reading.file(name, &text)?;
    }
    Ok(reading.found)
}

struct Reading<'a, 't> {
    files: &'a Files<'t>,
    seen: Vec<String>,
    found: Requirements,
}

impl Reading<'_, '_> {
    fn text(&mut self, name: &str) -> Result<Option<Text>, DetectError> {
        self.seen.push(self.files.name(name));
        text(self.files, name)
    }

    fn file(&mut self, name: &str, text: &Text) -> Result<(), DetectError> {
        for (number, line) in logical_lines(&text.text) {
            let at = Position { line: number, column: 1 };
            match included(&line) {
                Some(included) => self.include(name, text, at, included)?,
                None if is_project(&line) => self.found.names_project = true,
                None if line.starts_with('-') => {}
                None => {
                    // What follows a space and a dash are options of that one requirement, such as hashes.
                    let requirement = line.split(" -").next().unwrap_or(&line);
                    self.found.packages.add(requirement, &Finding::new(&text.file, "").at(at));
                }
            }
        }
        Ok(())
    }

    fn include(&mut self, name: &str, text: &Text, at: Position, included: &str) -> Result<(), DetectError> {
        if included.contains("://") {
            return Ok(());
        }
        let directory =
            name.rsplit_once('/').map(|(directory, _)| format!("{directory}/")).unwrap_or_default();
        let path = format!("{directory}{included}");
        if self.seen.contains(&self.files.name(&path)) {
            return Ok(());
        }
        let wrong = |message: String| {
            let end = Position { column: at.column + 1, ..at };
            let diagnostic =
                Diagnostic::error(Rule::ProjectFile, &text.file, Span { start: at, end }, message);
            DetectError::malformed(diagnostic, &text.text)
        };
        if self.seen.len() >= FILES {
            return Err(wrong(format!("more than {FILES} files are included")));
        }
        match self.text(&path)? {
            Some(text) => self.file(&path, &text),
            None => Err(wrong(format!("`{included}` is not in the source"))),
        }
    }
}

/// The text of a requirements file; none when there is no such file.
pub(crate) fn text(files: &Files<'_>, name: &str) -> Result<Option<Text>, DetectError> {
    // pip reads what Windows' shell writes by `pip freeze > requirements.txt` as well.
    match files.bytes(name)?.as_deref().and_then(utf_16) {
        Some(text) => Ok(Some(Text { file: files.name(name), text })),
        None => files.text(name),
    }
}

/// The file of a line `-r FILE`; constraints name no dependency.
pub(crate) fn included(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("--requirement").or_else(|| line.strip_prefix("-r"))?;
    Some(rest.trim_start_matches(['=', ' ', '\t']).trim_matches(['"', '\'']))
}

/// Whether a line is the project in the working directory, perhaps with extras.
pub(crate) fn is_project(line: &str) -> bool {
    let editable = line.strip_prefix("--editable").or_else(|| line.strip_prefix("-e"));
    let path = editable.map_or(line, |rest| rest.trim_start_matches(['=', ' ', '\t']));
    matches!(path.split('[').next().map(str::trim), Some("." | "./"))
}

/// The lines with their numbers, continued ones joined, comments and empty ones left out.
pub(crate) fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut is_continued = false;
    for (number, line) in text.lines().enumerate() {
        let without_comment = match line.trim_start() {
            comment if comment.starts_with('#') => "",
            line => line.split(" #").next().unwrap_or(line).trim_end(),
        };
        let (part, continues) = match without_comment.strip_suffix('\\') {
            Some(part) => (part, true),
            None => (without_comment, false),
        };
        match lines.last_mut() {
            Some((_, joined)) if is_continued => joined.push_str(part),
            _ => lines.push((number + 1, part.to_owned())),
        }
        is_continued = continues;
    }
    lines.retain(|(_, line)| !line.trim().is_empty());
    lines
}

/// The text of a file in UTF-16 that says so with a byte-order mark.
fn utf_16(bytes: &[u8]) -> Option<String> {
    let read: fn([u8; 2]) -> u16 = match bytes {
        [0xff, 0xfe, ..] => u16::from_le_bytes,
        [0xfe, 0xff, ..] => u16::from_be_bytes,
        _ => return None,
    };
    let units: Vec<u16> = bytes[2..].chunks_exact(2).map(|pair| read([pair[0], pair[1]])).collect();
    String::from_utf16(&units).ok()
}

#[cfg(test)]
mod tests {
    use lapstrake_oci::tree::{FileTree, Node, TreePath};

    use super::*;
    use crate::detect::files::tests::tree;

    fn names(tree: &FileTree, expected: &[&str]) -> Vec<String> {
        let found = read(&Files::new(tree, None), "requirements.txt").unwrap();
        let place = |name: &&str| {
            found
                .packages
                .get(name)
                .map(|because| format!("{} {name}", because.to_string().split(": ").next().unwrap()))
        };
        expected.iter().filter_map(place).collect()
    }

    #[test]
    fn packages_are_found_among_everything_that_pip_reads() {
        let tree = tree(&[(
            "requirements.txt",
            "--index-url https://example.com/simple\n# gunicorn\n\nFlask==3.1.3 \\\n    --hash=sha256:aa \\\n    # via x\n\
             uvicorn[standard]>=0.30 # server\n-c constraints.txt\n-e .\nrequests --global-option=x\n",
        )]);
        assert_eq!(
            names(&tree, &["flask", "gunicorn", "uvicorn", "requests"]),
            ["requirements.txt:4:1 flask", "requirements.txt:7:1 uvicorn", "requirements.txt:10:1 requests"]
        );
    }

    #[test]
    fn the_project_itself_may_be_a_requirement() {
        for line in [".", "-e .", "--editable=.[prod]", "./", "-e ./"] {
            let tree = tree(&[("requirements.txt", line)]);
            assert!(read(&Files::new(&tree, None), "requirements.txt").unwrap().names_project, "{line}");
        }
        for line in ["./lib", "-e ../x", "flask", "-r .", "..", ""] {
            let tree = tree(&[("requirements.txt", line)]);
            let found = read(&Files::new(&tree, None), "requirements.txt");
            assert!(!found.is_ok_and(|found| found.names_project), "{line}");
        }
    }

    #[test]
    fn included_files_are_read_from_where_they_lie_and_each_once() {
        let tree = tree(&[
            ("requirements.txt", "-r requirements/prod.txt\n-rrequirements/prod.txt\n"),
            ("requirements/prod.txt", "--requirement=base.txt\n-r ../requirements.txt\ngunicorn\n"),
            ("requirements/base.txt", "-r https://example.com/more.txt\nflask\n"),
        ]);
        assert_eq!(
            names(&tree, &["flask", "gunicorn"]),
            ["requirements/base.txt:2:1 flask", "requirements/prod.txt:3:1 gunicorn"]
        );
    }

    #[test]
    fn a_file_that_is_not_there_is_an_error_at_its_place() {
        for included in ["base.txt", "../base.txt", "/etc/base.txt"] {
            let tree = tree(&[("requirements.txt", &format!("flask\n-r {included}\n"))]);
            let error = read(&Files::new(&tree, None), "requirements.txt").unwrap_err().to_string();
            assert_eq!(error, format!("requirements.txt:2:1: error: `{included}` is not in the source"));
        }
    }

    #[test]
    fn too_many_files_are_refused() {
        let chain: Vec<_> =
            (0..60).map(|number| (format!("{number}.txt"), format!("-r {}.txt\n", number + 1))).collect();
        let mut all: Vec<(&str, &str)> =
            chain.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        all.push(("requirements.txt", "-r 0.txt\n"));
        let error = read(&Files::new(&tree(&all), None), "requirements.txt").unwrap_err().to_string();
        assert_eq!(error, "48.txt:1:1: error: more than 50 files are included");
    }

    #[test]
    fn a_file_that_windows_wrote_is_read() {
        let mut tree = FileTree::new();
        let bytes: Vec<u8> = "\u{feff}Flask==3.1.3\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        tree.insert(TreePath::new("requirements.txt").unwrap(), Node::file(bytes, 0o644));
        assert_eq!(names(&tree, &["flask"]), ["requirements.txt:1:1 flask"]);
    }
}
