//! Which language an app is in whose files tell of two.

use crate::command_line::CommandLine;

use super::files::Files;
use super::procfile::Procfile;
use super::{DetectError, Detected};

/// Programs that only an image of Node.js has.
const NODE_PROGRAMS: &[&str] =
    &["bun", "next", "node", "nodejs", "npm", "npx", "nuxt", "pnpm", "serve", "ts-node", "tsx", "yarn"];

/// Chooses between what the files say of Python and of Node.js.
///
/// The program that the `Procfile` starts decides, then which of the two has a start command at all. Where both have
/// one it is Python: beside a Python server `package.json` mostly serves to make its pages' scripts and styles.
pub(super) fn choose(files: &Files<'_>, python: Detected, node: Detected) -> Result<Detected, DetectError> {
    let web = Procfile::read(files)?.and_then(|procfile| procfile.web);
    let starts_node = |text: &str| {
        let programs = CommandLine::parse(text).map(|line| line.command.programs()).unwrap_or_default();
        let base = |program: &String| program.rsplit('/').next().unwrap_or_default().to_owned();
        programs.iter().map(base).any(|program| NODE_PROGRAMS.contains(&program.as_str()))
    };
    let (takes_node, reason) = match (&web, &python.start, &node.start) {
        (Some(web), _, _) => (starts_node(&web.text), "the `Procfile` starts it"),
        (None, None, Some(_)) => (true, "only for it a start command was found"),
        // A script of a usual name, and nothing that it needs, is mostly a helper.
        (None, Some(_), Some(_)) if python.build.is_empty() => (true, "beside it there is only a script"),
        (None, Some(_), None) => (false, "only for it a start command was found"),
        (None, _, _) => (false, "beside it `package.json` mostly serves to make scripts and styles"),
    };
    let (mut taken, other) = if takes_node { (node, python) } else { (python, node) };
    let name =
        |found: &Detected| found.findings.first().map(|finding| finding.file.clone()).unwrap_or_default();
    let (language, other_language) = (taken.language.name(), other.language.name());
    let told = format!(
        "`{}` is of {language}, `{}` of {other_language}: {language} was taken, because {reason}; `--runtime` with a \
         runtime of {other_language} takes the other",
        name(&taken),
        name(&other),
    );
    taken.notes.insert(0, told);
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::super::files::tests::tree;
    use super::super::{Language, detect};

    const FLASK: &str = "from flask import Flask\napp = Flask(__name__)\n";
    const STARTS: &str = "{\"scripts\": {\"start\": \"node server.js\"}}";

    fn taken(files: &[(&str, &str)], wanted: Option<Language>) -> (Language, String) {
        let found = detect(&tree(files), None, wanted).unwrap();
        (found.language, found.notes.first().cloned().unwrap_or_default())
    }

    #[test]
    fn python_is_taken_where_both_start_something_and_the_other_is_told() {
        let files = [("requirements.txt", "flask\n"), ("app.py", FLASK), ("package.json", STARTS)];
        let (language, note) = taken(&files, None);
        assert_eq!(language, Language::Python);
        assert_eq!(
            note,
            "`requirements.txt` is of Python, `package.json` of Node.js: Python was taken, because beside it \
             `package.json` mostly serves to make scripts and styles; `--runtime` with a runtime of Node.js takes the other"
        );
        assert_eq!(taken(&files, Some(Language::Node)).0, Language::Node, "the user's choice counts");
        assert!(!taken(&files, Some(Language::Python)).1.contains("takes the other"));
    }

    #[test]
    fn the_one_that_starts_something_is_taken() {
        let node = [("requirements.txt", "black\n"), ("package.json", STARTS)];
        assert_eq!(taken(&node, None).0, Language::Node);
        let python = [("requirements.txt", "flask\n"), ("app.py", FLASK), ("package.json", "{}")];
        assert_eq!(taken(&python, None).0, Language::Python);
        let script = [("main.py", "print(1)\n"), ("package.json", STARTS)];
        let (language, told) = taken(&script, None);
        assert_eq!(language, Language::Node);
        assert!(told.contains("because beside it there is only a script"), "{told}");
    }

    #[test]
    fn the_program_of_a_procfile_decides() {
        let files = [("requirements.txt", "flask\n"), ("app.py", FLASK), ("package.json", STARTS)];
        for (web, language) in [
            ("web: npm start\n", Language::Node),
            ("web: cd x && NODE_ENV=a /usr/bin/node y.js\n", Language::Node),
            ("web: gunicorn app:app\n", Language::Python),
        ] {
            let with = [&files[..], &[("Procfile", web)]].concat();
            assert_eq!(taken(&with, None).0, language, "{web}");
        }
    }
}
