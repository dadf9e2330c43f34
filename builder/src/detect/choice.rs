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
    let note = format!(
        "`{}` is of {language}, `{}` of {other_language}: {language} was taken, because {reason}; `--runtime` with a \
         runtime of {other_language} takes the other",
        name(&taken),
        name(&other),
    );
    taken.notes.insert(0, note);
    Ok(taken)
}
