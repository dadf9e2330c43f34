//! What a watch is made of: its arguments understood, its target locked, its state read.

use std::path::PathBuf;

use crate::cli::WatchArgs;
use crate::commands::changed::scope;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::fetch::Fetcher;
use crate::git::{ObjectId, Revision};
use crate::output::parse_reference;
use crate::scope::Scope;
use crate::source::{GitAddress, GitPlace};
use crate::watch::{LockError, StateError, StateFile, TargetLock, Watch, Watched, file_name};

/// A watch that runs.
pub(super) struct Watcher<'a> {
    pub(super) args: &'a WatchArgs,
    pub(super) context: &'a Context,
    pub(super) address: GitAddress,
    pub(super) branch: String,
    pub(super) scope: Scope,
    pub(super) file: StateFile,
    pub(super) watch: Watch,
    /// How often in a row the remote could not be looked at.
    pub(super) missed: u32,
    /// Whether it could be looked at once.
    pub(super) seen: bool,
    /// Whether the branch was gone when it was looked for last.
    pub(super) absent: bool,
    /// The commit of which it was said that nothing is built.
    pub(super) said: Option<ObjectId>,
    _lock: TargetLock,
}

impl<'a> Watcher<'a> {
    pub(super) fn new(args: &'a WatchArgs, context: &'a Context) -> Result<Self, Failure> {
        let source = &args.build.source;
        let address = Fetcher::new(&source.remote, context).git_address(&source.source)?;
        let branch = branch(args.branch.as_deref(), address.reference.as_deref())?;
        let scope = scope(&address, source.source_dir.as_deref(), &args.also, context)?;
        let watched = Watched {
            remote: remote(&address.place)?,
            branch: branch.clone(),
            source_dir: scope.directory().map(ToString::to_string).unwrap_or_default(),
            targets: targets(&args.build.tags)?,
        };
        let place = context.data_dir.join("watch");
        let mut lock = TargetLock::take(&place, &watched.targets).map_err(lock_failure)?;
        let file = match &args.state {
            None => StateFile::new(place.join(file_name(&watched.targets.join("\n"), "json"))),
            Some(file) => {
                let mut beside = file.clone().into_os_string();
                beside.push(".lock");
                let what = format!("the state file `{}`", file.display());
                lock.add(&PathBuf::from(beside), &what).map_err(lock_failure)?;
                StateFile::new(file)
            }
        };
        let kept = file.read().map_err(state_failure)?;
        if kept.as_ref().is_some_and(|kept| kept.watched != watched) {
            let text = "what was remembered belongs to another watch (another repository, branch, directory or \
                        reference); this one begins anew";
            context.report.note(text);
        }
        let watch = Watch::resume(watched, kept);
        Ok(Self {
            args,
            context,
            address,
            branch,
            scope,
            file,
            watch,
            missed: 0,
            seen: false,
            absent: false,
            said: None,
            _lock: lock,
        })
    }

    pub(super) fn fetcher(&self) -> Fetcher<'a> {
        Fetcher::new(&self.args.build.source.remote, self.context)
    }

    /// What people call the repository.
    pub(super) fn name(&self) -> &str {
        &self.watch.state().watched.remote
    }

    /// The text that names one commit of the source.
    pub(super) fn source_at(&self, commit: &ObjectId) -> String {
        source_at(&self.args.build.source.source, &self.address, commit)
    }
}

/// What tells a repository from others: its address without a login, or where it is on this machine.
fn remote(place: &GitPlace) -> Result<String, Failure> {
    match place {
        GitPlace::Remote(remote) => Ok(remote.address().to_owned()),
        GitPlace::Directory(path) => {
            let path = fs_err::canonicalize(path).map_err(|cause| {
                Failure::because(Exit::NotUnderstood, "could not open the repository", cause)
            })?;
            Ok(path.display().to_string())
        }
    }
}

/// What a source is called at one commit. A login in its address stays there.
fn source_at(given: &str, address: &GitAddress, commit: &ObjectId) -> String {
    let at = address.with_reference(commit.as_str());
    match given.split_once('#').map_or(given, |(base, _)| base) {
        base if base.starts_with("git+") => {
            let directory = at.directory.map(|directory| format!(":{directory}")).unwrap_or_default();
            format!("{base}#{commit}{directory}")
        }
        _ => at.to_string(),
    }
}

/// The branch, from the option or the source.
fn branch(option: Option<&str>, fragment: Option<&str>) -> Result<String, Failure> {
    let given = match (option, fragment) {
        (Some(option), Some(fragment)) if option != fragment => {
            return Err(Failure::new(
                Exit::NotUnderstood,
                format!("the source names `{fragment}`, and `--branch` names `{option}`"),
            ));
        }
        (Some(given), _) | (None, Some(given)) => given,
        (None, None) => {
            return Err(Failure::new(Exit::NotUnderstood, "no branch is named")
                .hint("name the one to watch with `--branch`"));
        }
    };
    let short = given.strip_prefix("refs/heads/").unwrap_or(given);
    match short.parse::<Revision>() {
        Ok(Revision::Name(name)) => Ok(name),
        Ok(_) => Err(Failure::new(Exit::NotUnderstood, format!("`{given}` is no name of a branch"))),
        Err(cause) => Err(Failure::because(Exit::NotUnderstood, "the branch is not understood", cause)),
    }
}

/// The references that images are pushed to, as registries spell them.
fn targets(tags: &[String]) -> Result<Vec<String>, Failure> {
    let parse = |tag: &String| {
        let reference =
            parse_reference(tag).map_err(|cause| Failure::new(Exit::NotUnderstood, cause.to_string()))?;
        Ok(reference.to_string())
    };
    let mut targets = tags.iter().map(parse).collect::<Result<Vec<String>, Failure>>()?;
    targets.sort_unstable();
    targets.dedup();
    Ok(targets)
}

fn lock_failure(cause: LockError) -> Failure {
    match cause {
        LockError::Held { .. } => Failure::new(Exit::Transient, cause.to_string())
            .hint("only one watch may build for a reference at a time: end the other one, or push elsewhere"),
        LockError::Io { .. } => Failure::because(Exit::Ours, "could not lock what is watched", cause),
    }
}

pub(super) fn state_failure(cause: StateError) -> Failure {
    match cause {
        StateError::Malformed { .. } => Failure::new(Exit::NotUnderstood, cause.to_string())
            .hint("delete the file to begin anew, with a build of the newest commit"),
        StateError::Io { .. } => Failure::because(Exit::Ours, "could not remember what was built", cause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_branch_is_named_once_or_twice_alike() {
        assert_eq!(branch(Some("main"), None).unwrap(), "main");
        assert_eq!(branch(None, Some("feature/x")).unwrap(), "feature/x");
        assert_eq!(branch(Some("refs/heads/main"), None).unwrap(), "main");
        assert_eq!(branch(Some("main"), Some("main")).unwrap(), "main");
        for (option, fragment) in [
            (None, None),
            (Some("main"), Some("next")),
            (Some("HEAD"), None),
            (Some("a..b"), None),
            (Some("-x"), None),
            (None, Some("0123456789012345678901234567890123456789")),
        ] {
            let failure = branch(option, fragment).unwrap_err();
            assert_eq!(failure.exit, Exit::NotUnderstood, "{option:?} {fragment:?}");
        }
    }

    #[test]
    fn a_source_is_named_at_one_commit_with_its_login_and_its_directory() {
        let args = crate::cli::RemoteArgs::default();
        let context = crate::context::Context::for_tests();
        let fetcher = Fetcher::new(&args, &context);
        let commit: ObjectId = "1".repeat(40).parse().unwrap();
        for (given, expected) in [
            ("git+https://me:x@h.example/a.git", "git+https://me:x@h.example/a.git#1…"),
            ("git+https://h.example/a#main:web", "git+https://h.example/a#1…:web"),
            ("github:team/app@main#:web", "git+https://github.com/team/app.git#1…:web"),
            ("git@h.example:team/app.git#main", "git@h.example:team/app.git#1…"),
            ("/", "/#1…"),
        ] {
            let at = source_at(given, &fetcher.git_address(given).unwrap(), &commit);
            assert_eq!(at, expected.replace('…', &"1".repeat(39)), "{given}");
        }
    }

    #[test]
    fn targets_are_spelt_as_registries_spell_them() {
        let tags = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>();
        let found =
            targets(&tags(&["localhost:5000/b", "localhost:5000/a:1", "localhost:5000/a:1"])).unwrap();
        assert_eq!(found, ["localhost:5000/a:1", "localhost:5000/b:latest"]);
        assert!(targets(&tags(&["app"])).is_err());
    }

    #[test]
    fn a_state_that_is_none_says_what_to_do() {
        let malformed =
            StateError::Malformed { path: "/x/state.json".into(), reason: "it is empty".to_owned() };
        let failure = state_failure(malformed);
        assert_eq!(failure.exit, Exit::NotUnderstood);
        assert_eq!(failure.what, "`/x/state.json` is not the state of a watch: it is empty");
        assert!(failure.hint.unwrap().contains("delete the file"));
    }
}
