//! The `Procfile` of an app: one line for each kind of process, `NAME: COMMAND`.

use crate::app_file::{Diagnostic, Position, Rule, Span};

use super::files::Files;
use super::{Decided, DetectError, Finding};

/// The name of the file.
pub(super) const FILE_NAME: &str = "Procfile";

/// What a `Procfile` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Procfile {
    /// The command of the web process.
    pub(super) web: Option<Decided>,
    /// The other kinds of processes, in order.
    pub(super) others: Vec<Finding>,
}

impl Procfile {
    /// Reads the app's `Procfile`; none when there is none.
    pub(super) fn read(files: &Files<'_>) -> Result<Option<Self>, DetectError> {
        Self::read_at(files, FILE_NAME)
    }

    /// Reads the `Procfile` of this name; none when there is none.
    pub(super) fn read_at(files: &Files<'_>, name: &str) -> Result<Option<Self>, DetectError> {
        let Some(found) = files.text(name)? else { return Ok(None) };
        let mut procfile = Self::default();
        for (number, line) in found.text.lines().enumerate() {
            let at = Position { line: number + 1, column: 1 };
            match entry(line) {
                Ok(None) => {}
                Ok(Some(("web", command))) if procfile.web.is_none() => {
                    let because = Finding::new(&found.file, "`web` is the start command").at(at);
                    procfile.web = Some(because.decides(command));
                }
                Ok(Some(("web", _))) => {
                    return Err(malformed(&found.file, &found.text, number, "`web` is given twice"));
                }
                Ok(Some((name, command))) => {
                    procfile
                        .others
                        .push(Finding::new(&found.file, format!("`{name}` runs `{command}`")).at(at));
                }
                Err(message) => return Err(malformed(&found.file, &found.text, number, message)),
            }
        }
        Ok(Some(procfile))
    }

    /// What should be known of the processes that an image does not start.
    pub(super) fn notes(&self) -> Vec<String> {
        let note = |other: &Finding| {
            let place = other.at.map(|at| format!(":{}", at.line)).unwrap_or_default();
            let advice = if other.says.starts_with("`release` ") {
                "it is not run: run it when the image is deployed"
            } else {
                "an image starts one process: start it from the same image with another command"
            };
            format!("{}{place}: {}; {advice}", other.file, other.says)
        };
        self.others.iter().map(note).collect()
    }
}

/// The name and the command of a line; none for an empty one or a comment.
fn entry(line: &str) -> Result<Option<(&str, &str)>, &'static str> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (name, command) = line.split_once(':').ok_or("this is not `NAME: COMMAND`")?;
    let (name, command) = (name.trim_end(), command.trim());
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')) {
        return Err("this is not `NAME: COMMAND`");
    }
    if command.is_empty() {
        return Err("the command is missing");
    }
    Ok(Some((name, command)))
}

fn malformed(file: &str, text: &str, number: usize, message: &str) -> DetectError {
    let line = text.lines().nth(number).unwrap_or_default();
    let start = Position { line: number + 1, column: 1 };
    let end = Position { line: number + 1, column: line.chars().count() + 1 };
    DetectError::malformed(Diagnostic::error(Rule::ProjectFile, file, Span { start, end }, message), text)
}

#[cfg(test)]
mod tests {
    use super::super::files::tests::tree;
    use super::*;

    fn read(text: &str) -> Result<Procfile, DetectError> {
        let tree = tree(&[(FILE_NAME, text)]);
        Procfile::read(&Files::new(&tree, None)).map(Option::unwrap)
    }

    #[test]
    fn the_web_line_is_the_start_command_and_the_others_are_noted() {
        let text = "# processes\nrelease: python manage.py migrate\n\nweb:  gunicorn -b :$PORT app:app \r\nworker: rq worker\n";
        let procfile = read(text).unwrap();
        let web = procfile.web.clone().unwrap();
        assert_eq!(web.text, "gunicorn -b :$PORT app:app");
        assert_eq!(web.because.to_string(), "Procfile:4:1: `web` is the start command");
        assert_eq!(
            procfile.notes(),
            [
                "Procfile:2: `release` runs `python manage.py migrate`; it is not run: run it when the image is deployed",
                "Procfile:5: `worker` runs `rq worker`; an image starts one process: start it from the same image \
                 with another command",
            ]
        );
    }

    #[test]
    fn a_line_of_another_form_is_refused_at_its_place() {
        for (text, error) in [
            ("web: a\nweb: b\n", "Procfile:2:1: error: `web` is given twice"),
            ("web gunicorn\n", "Procfile:1:1: error: this is not `NAME: COMMAND`"),
            ("\nmy web: x\n", "Procfile:2:1: error: this is not `NAME: COMMAND`"),
            ("web:\n", "Procfile:1:1: error: the command is missing"),
        ] {
            assert_eq!(read(text).unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn without_a_web_line_there_is_no_start_command() {
        assert_eq!(read("").unwrap(), Procfile::default());
        assert_eq!(read("worker: a\n").unwrap().web, None);
        assert!(Procfile::read(&Files::new(&tree(&[]), None)).unwrap().is_none());
    }
}
