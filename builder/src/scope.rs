//! Which changes of a repository make a build due: those inside the source directory, and those of the paths that
//! the user counts besides. Pure: the paths that differ between two commits come in, the answer goes out.

mod glob;

use std::collections::BTreeSet;

use lapstrake_oci::tree::TreePath;
use serde::Serialize;

pub use glob::{Globs, GlobsError};

/// As many changed paths are listed; the rest is only counted.
pub const LISTED: usize = 1000;

/// What counts as a change.
#[derive(Clone, Debug)]
pub struct Scope {
    directory: Option<TreePath>,
    also: Globs,
    always: BTreeSet<TreePath>,
}

impl Scope {
    /// Everything in `directory` (none is the whole repository), and what a glob of `also` matches anywhere.
    #[must_use]
    pub fn new(directory: Option<TreePath>, also: Globs) -> Self {
        Self { directory, also, always: BTreeSet::new() }
    }

    /// The source directory.
    #[must_use]
    pub fn directory(&self) -> Option<&TreePath> {
        self.directory.as_ref()
    }

    /// The same that also counts some paths wherever they are.
    #[must_use]
    pub fn with(mut self, always: impl IntoIterator<Item = TreePath>) -> Self {
        self.always.extend(always);
        self
    }

    /// How a path relates to the scope. What the user listed counts even where the ignore file leaves it out.
    fn place(&self, path: &TreePath, ignored: impl FnOnce(&TreePath) -> bool) -> Place {
        if self.always.contains(path) || self.also.matches(path) {
            return Place::Counts;
        }
        match &self.directory {
            Some(directory) if !path.is_within(directory) => Place::Other,
            _ if ignored(path) => Place::Ignored,
            _ => Place::Counts,
        }
    }
}

/// How a changed path relates to a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Counts,
    Ignored,
    Other,
}

/// What differs between two commits, seen through a scope.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// The first paths in scope, sorted; at most [`LISTED`].
    #[serde(serialize_with = "as_texts")]
    pub changed: BTreeSet<TreePath>,
    /// How many more paths in scope differ.
    pub more: u64,
    /// How many more paths in the source directory differ that an ignore file keeps out of the build.
    pub ignored: u64,
    /// How many paths outside the scope differ.
    pub others: u64,
}

impl Changes {
    /// Adds one path that differs.
    pub fn add(&mut self, path: TreePath, scope: &Scope, ignored: impl FnOnce(&TreePath) -> bool) {
        match scope.place(&path, ignored) {
            Place::Counts => self.list(path),
            Place::Ignored => self.ignored += 1,
            Place::Other => self.others += 1,
        }
    }

    /// Whether a build is due.
    #[must_use]
    pub fn due(&self) -> bool {
        !self.changed.is_empty()
    }

    /// How many paths in scope differ.
    #[must_use]
    pub fn count(&self) -> u64 {
        u64::try_from(self.changed.len()).unwrap_or(u64::MAX).saturating_add(self.more)
    }

    fn list(&mut self, path: TreePath) {
        if self.changed.insert(path) && self.changed.len() > LISTED {
            self.changed.pop_last();
            self.more += 1;
        }
    }
}

fn as_texts<S: serde::Serializer>(paths: &BTreeSet<TreePath>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(ToString::to_string))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    fn scope(directory: &str, also: &[&str]) -> Scope {
        let also: Vec<String> = also.iter().map(|glob| (*glob).to_owned()).collect();
        Scope::new(crate::source::app_path(directory).unwrap(), Globs::new(&also).unwrap())
    }

    fn changes(scope: &Scope, paths: &[&str]) -> Changes {
        let mut changes = Changes::default();
        for text in paths {
            changes.add(path(text), scope, |path| path.name() == b"ignored");
        }
        changes
    }

    #[test]
    fn what_changes_in_the_source_directory_makes_a_build_due_and_what_changes_beside_it_does_not() {
        let web = scope("/apps/web/", &[]);
        let seen =
            changes(&web, &["apps/web/main.py", "apps/web", "apps/webhook/main.py", "apps", "README.md"]);
        assert!(seen.due());
        assert_eq!(seen.changed, BTreeSet::from([path("apps/web"), path("apps/web/main.py")]));
        assert_eq!((seen.count(), seen.others), (2, 3));
        assert!(!changes(&web, &["apps/webhook/main.py", "README.md"]).due());
        assert!(!changes(&web, &[]).due());
    }

    #[test]
    fn without_a_source_directory_everything_counts() {
        assert_eq!(changes(&scope("", &[]), &["README.md", "a/b"]).count(), 2);
    }

    #[test]
    fn what_also_counts_makes_a_build_due_wherever_it_lies() {
        let web = scope("web", &["libs/**/*.py", "pnpm-lock.yaml"]);
        for (text, due) in [
            ("libs/a/b/c.py", true),
            ("libs/a/README.md", false),
            ("pnpm-lock.yaml", true),
            ("x/pnpm-lock.yaml", false),
        ] {
            assert_eq!(changes(&web, &[text]).due(), due, "{text}");
        }
    }

    #[test]
    fn an_ignored_path_does_not_count_unless_it_was_listed() {
        let seen = changes(&scope("web", &[]), &["web/ignored", "ignored"]);
        assert_eq!((seen.due(), seen.ignored, seen.others), (false, 1, 1));
        assert!(changes(&scope("web", &["**/ignored"]), &["web/ignored"]).due());
        let always = scope("web", &[]).with([path("web/ignored"), path("top")]);
        assert_eq!(changes(&always, &["web/ignored", "top", "web/a/ignored"]).count(), 2);
    }

    #[test]
    fn paths_are_listed_up_to_a_limit_and_counted_beyond_it() {
        let mut seen = Changes::default();
        for number in (0..LISTED + 7).rev() {
            seen.add(path(&format!("{number:06}")), &scope("", &[]), |_| false);
        }
        assert_eq!((seen.changed.len(), seen.more), (LISTED, 7));
        assert_eq!(seen.changed.first(), Some(&path("000000")));
        assert_eq!(seen.count(), LISTED as u64 + 7);
    }

    proptest! {
        #[test]
        fn every_path_is_counted_once_in_whatever_order_they_come(
            texts in proptest::collection::btree_set("(web|libs|ignored)(/(a|b|ignored)){0,3}", 0..40),
            seed in any::<u64>(),
        ) {
            let scope = scope("web", &["libs/*"]);
            let sorted: Vec<&str> = texts.iter().map(String::as_str).collect();
            let mut mixed = sorted.clone();
            mixed.sort_by_key(|text| std::hash::BuildHasher::hash_one(
                &std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default(), (seed, text)));
            let seen = changes(&scope, &sorted);
            prop_assert_eq!(&seen, &changes(&scope, &mixed));
            prop_assert_eq!(seen.count() + seen.ignored + seen.others, texts.len() as u64);
        }
    }
}
