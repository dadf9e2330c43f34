//! `lapstrake changed`: whether a build is due, as an answer for scripts.

use serde::Serialize;

use super::build::lines;
use crate::cli::{ChangedArgs, Format};
use crate::compare::{Comparison, compare};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::fetch::Fetcher;
use crate::git::Expression;
use crate::inputs::app_directory;
use crate::report::print_result;
use crate::scope::{Changes, Globs, Scope};
use crate::scratch::Scratch;
use crate::source::{GitAddress, app_path};

const WHAT: &str = "could not find the commits";

/// What is printed as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    due: bool,
    since: &'a str,
    head: &'a str,
    source_dir: String,
    ignore_file: Option<&'static str>,
    #[serde(flatten)]
    changes: &'a Changes,
}

/// Runs the command. What it returns is whether a build is due.
pub fn run(args: &ChangedArgs, context: &Context) -> Result<bool, Failure> {
    let fetcher = Fetcher::new(&args.remote, context);
    let address = fetcher.git_address(&args.source)?;
    let since = expression(&args.since)?;
    let head = expression(address.reference.as_deref().unwrap_or("HEAD"))?;
    let scope = scope(&address, args.source_dir.as_deref(), &args.also, context)?;
    let scratch = Scratch::new(&context.scratch_dir())?;
    let (git, remote) = fetcher.reach(&address.place, scratch.path())?;
    let commits = git.repository(scratch.path().join("commits.git"));
    let commits = commits.map_err(|cause| cause.into_failure(WHAT))?;
    let found = fetcher
        .ask(&remote, WHAT, |remote| Ok([commits.resolve(remote, &since)?, commits.resolve(remote, &head)?]));
    let ([since, head], answered) = found?;
    fetcher.say_where(&remote, &answered);
    let compared = compare(&git, &answered, [&since, &head], &scope, scratch.path());
    let comparison = compared.map_err(|cause| cause.into_failure(context))?;
    print_result(&match args.format {
        Format::Json => json(&comparison, &scope)?,
        Format::Text => text(&comparison, &scope),
    })?;
    Ok(comparison.changes.due())
}

/// A commit as the user names it.
fn expression(text: &str) -> Result<Expression, Failure> {
    text.parse().map_err(|cause| Failure::because(Exit::NotUnderstood, "the commit is not understood", cause))
}

/// What counts as a change.
pub(super) fn scope(
    address: &GitAddress,
    directory: Option<&str>,
    also: &[String],
    context: &Context,
) -> Result<Scope, Failure> {
    let directory = app_directory(address.directory.as_deref(), directory, context)?;
    let directory =
        app_path(directory).map_err(|cause| Failure::new(Exit::NotUnderstood, cause.to_string()))?;
    let globs = Globs::new(also).map_err(|cause| {
        Failure::because(Exit::NotUnderstood, "what also counts is not understood", cause)
            .hint("`libs/common`, `**/package.json` and `{web,libs}/*.toml` are globs")
    })?;
    Ok(Scope::new(directory, globs))
}

fn json(comparison: &Comparison, scope: &Scope) -> Result<String, Failure> {
    let Comparison { since, head, ignore_file, changes } = comparison;
    let source_dir = scope.directory().map(ToString::to_string).unwrap_or_default();
    let answer = Answer {
        due: changes.due(),
        since: since.as_str(),
        head: head.as_str(),
        source_dir,
        ignore_file: *ignore_file,
        changes,
    };
    let json = serde_json::to_string_pretty(&answer)
        .map_err(|cause| Failure::because(Exit::Ours, "could not print the answer", cause))?;
    Ok(format!("{json}\n"))
}

fn text(comparison: &Comparison, scope: &Scope) -> String {
    let Comparison { since, head, changes, .. } = comparison;
    let place = scope.directory().map_or("the repository".to_owned(), |directory| format!("`{directory}`"));
    if !changes.due() {
        return format!(
            "not due: nothing in scope ({place}) changed from {since} to {head}, {} elsewhere\n",
            paths(changes.others + changes.ignored)
        );
    }
    let count = paths(changes.count());
    let first = format!("due: {count} in scope ({place}) changed from {since} to {head}");
    let more = (changes.more > 0).then(|| format!("and {} more", changes.more));
    lines([first].into_iter().chain(changes.changed.iter().map(ToString::to_string)).chain(more))
}

/// So many paths.
pub(super) fn paths(count: u64) -> String {
    if count == 1 { "1 path".to_owned() } else { format!("{count} paths") }
}

#[cfg(test)]
mod tests {
    use lapstrake_oci::tree::TreePath;

    use super::*;

    fn comparison(paths: &[&str]) -> (Comparison, Scope) {
        let scope = Scope::new(Some(TreePath::new("web").unwrap()), Globs::new(&[]).unwrap());
        let mut changes = Changes::default();
        for path in paths {
            changes.add(TreePath::new(path).unwrap(), &scope, |_| false);
        }
        let commit = |digit: &str| digit.repeat(40).parse().unwrap();
        (
            Comparison { since: commit("1"), head: commit("2"), ignore_file: Some(".dockerignore"), changes },
            scope,
        )
    }

    #[test]
    fn the_answer_names_both_commits_and_what_changed() {
        let (found, scope) = comparison(&["web/b", "web/a", "README.md"]);
        let json: serde_json::Value = serde_json::from_str(&json(&found, &scope).unwrap()).unwrap();
        let expected = serde_json::json!({
            "due": true, "since": "1".repeat(40), "head": "2".repeat(40), "sourceDir": "web",
            "ignoreFile": ".dockerignore",
            "changed": ["web/a", "web/b"], "more": 0, "ignored": 0, "others": 1,
        });
        assert_eq!(json, expected);
        let (since, head) = ("1".repeat(40), "2".repeat(40));
        assert_eq!(
            text(&found, &scope),
            format!("due: 2 paths in scope (`web`) changed from {since} to {head}\nweb/a\nweb/b\n")
        );
        let (found, scope) = comparison(&["README.md"]);
        assert_eq!(
            text(&found, &scope),
            format!("not due: nothing in scope (`web`) changed from {since} to {head}, 1 path elsewhere\n")
        );
    }
}
