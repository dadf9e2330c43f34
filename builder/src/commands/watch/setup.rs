//! What a watch is made of: its arguments understood, its target locked, its state read.

use std::path::PathBuf;

use crate::cli::WatchArgs;
use crate::commands::changed::scope;
use crate::commands::git_source::GitSource;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::git::{Git, ObjectId, Revision};
use crate::output::parse_reference;
use crate::scope::Scope;
use crate::scratch::Scratch;
use crate::watch::{LockError, StateError, StateFile, TargetLock, Watch, Watched, file_name};

/// A watch that runs.
pub(super) struct Watcher<'a> {
    pub(super) args: &'a WatchArgs,
    pub(super) context: &'a Context,
    pub(super) source: GitSource,
    pub(super) branch: String,
    pub(super) scope: Scope,
    pub(super) git: Git,
    pub(super) file: StateFile,
    pub(super) watch: Watch,
    pub(super) scratch: Scratch,
    /// How often in a row the remote could not be looked at.
    pub(super) missed: u32,
    /// Whether it could be looked at once.
    pub(super) seen: bool,
    /// The commit of which it was said that nothing is built.
    pub(super) said: Option<ObjectId>,
    _lock: TargetLock,
}

impl<'a> Watcher<'a> {
    pub(super) fn new(args: &'a WatchArgs, context: &'a Context) -> Result<Self, Failure> {
        let source = GitSource::parse(&args.build.source.source)?;
        let branch = branch(args.branch.as_deref(), source.reference.as_deref())?;
        let scope = scope(&source, args.build.source.source_dir.as_deref(), &args.also)?;
        let targets = targets(&args.build.tags)?;
        let watched = Watched {
            remote: source.remote.address().to_owned(),
            branch: branch.clone(),
            source_dir: scope.directory().map(ToString::to_string).unwrap_or_default(),
            targets,
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
        Ok(Self {
            args,
            context,
            branch,
            scope,
            git: Git::new(context),
            file,
            watch: Watch::resume(watched, kept),
            scratch: Scratch::new(&context.scratch_dir())?,
            source,
            missed: 0,
            seen: false,
            said: None,
            _lock: lock,
        })
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
