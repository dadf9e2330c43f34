//! What an app asks for, and where each value came from.
//!
//! Three places say something of an app: the options of the command, the app file, and where there is none, what
//! detection makes of the app's own files. Each becomes [`Settings`], a value in which everything may be missing;
//! [`Settings::over`] puts one over another, and [`Settings::complete`] checks the result as a whole.

mod complete;
mod detected;
mod file;
mod flags;
mod user;

use std::collections::BTreeMap;

use lapstrake_catalog::VersionRequest;
use lapstrake_oci::tree::Owner;

pub use complete::AppSettings;
pub use flags::flags;
pub use user::{UserError, parse as user};

use crate::cli::Shell;
use crate::command_line::StartText;
use crate::detect::{Language, VersionWish};
use crate::origin::Set;
use crate::steps::Phase;

/// Named values in the order in which they were decided, each name once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named(Vec<(String, Set<String>)>);

/// What one place says of an app. Everything may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The runtime.
    pub runtime: Option<Runtime>,
    /// The version lock.
    pub version: Option<Set<VersionRequest>>,
    /// The commands of the phases that something is said of.
    pub commands: BTreeMap<Phase, Vec<Set<String>>>,
    /// Variables of the build commands.
    pub build_env: Named,
    /// The start command.
    pub start: Option<Set<StartText>>,
    /// Whether the start command gets a shell.
    pub shell: Shell,
    /// The port.
    pub port: Option<Set<u16>>,
    /// One more variable that holds the port.
    pub port_env: Option<Set<String>>,
    /// Variables of the start command.
    pub run_env: Named,
    /// References to secrets, for the platform that deploys.
    pub run_secrets: Named,
    /// Who the app runs as, and who owns `/app`.
    pub user: Option<Set<Owner>>,
    /// Labels of the image.
    pub labels: Named,
    /// Annotations of the manifest and of the image index.
    pub annotations: Named,
}

/// How a runtime is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// By its name in the catalog.
    Named(Set<String>),
    /// By what the app is written in.
    Of {
        /// The language.
        language: Language,
        /// What tells the language.
        because: String,
        /// What a file of the app says of the version.
        wish: Option<VersionWish>,
    },
}

impl Runtime {
    /// The language, as far as a name tells it.
    #[must_use]
    pub fn language(&self) -> Option<Language> {
        match self {
            Self::Named(name) => Language::of_runtime(&name.value),
            Self::Of { language, .. } => Some(*language),
        }
    }
}

impl Named {
    /// Sets a value; one that has the name already is replaced at its place.
    pub fn set(&mut self, name: String, value: Set<String>) {
        match self.0.iter_mut().find(|(other, _)| *other == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    /// The value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Set<String>> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    /// All names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Set<String>)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// All names and values without their origins.
    #[must_use]
    pub fn pairs(&self) -> Vec<(String, String)> {
        self.0.iter().map(|(name, value)| (name.clone(), value.value.clone())).collect()
    }

    fn over(self, mut below: Self) -> Self {
        self.0.into_iter().for_each(|(name, value)| below.set(name, value));
        below
    }
}

impl FromIterator<(String, Set<String>)> for Named {
    fn from_iter<I: IntoIterator<Item = (String, Set<String>)>>(pairs: I) -> Self {
        let mut named = Self::default();
        pairs.into_iter().for_each(|(name, value)| named.set(name, value));
        named
    }
}

impl Settings {
    /// Puts these settings over others: single values and the commands of a phase replace, named values are added.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        let mut commands = below.commands;
        commands.extend(self.commands);
        Self {
            runtime: self.runtime.or(below.runtime),
            version: self.version.or(below.version),
            commands,
            build_env: self.build_env.over(below.build_env),
            start: self.start.or(below.start),
            shell: if self.shell == Shell::default() { below.shell } else { self.shell },
            port: self.port.or(below.port),
            port_env: self.port_env.or(below.port_env),
            run_env: self.run_env.over(below.run_env),
            run_secrets: self.run_secrets.over(below.run_secrets),
            user: self.user.or(below.user),
            labels: self.labels.over(below.labels),
            annotations: self.annotations.over(below.annotations),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::Origin;

    fn set(value: &str) -> Set<String> {
        Set::new(value.to_owned(), Origin::Default)
    }

    fn named(pairs: &[(&str, &str)]) -> Named {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), set(value))).collect()
    }

    #[test]
    fn single_values_and_phases_replace_and_named_values_are_added() {
        let below = Settings {
            start: Some(set("below").map(StartText::Line)),
            port: Some(Set::new(1, Origin::Default)),
            commands: BTreeMap::from([
                (Phase::PreBuild, vec![set("pre")]),
                (Phase::Build, vec![set("a"), set("b")]),
            ]),
            run_env: named(&[("A", "1"), ("B", "2")]),
            ..Settings::default()
        };
        let above = Settings {
            start: Some(set("above").map(StartText::Line)),
            commands: BTreeMap::from([(Phase::Build, vec![set("c")])]),
            run_env: named(&[("C", "3"), ("A", "4")]),
            ..Settings::default()
        };
        let merged = above.over(below);
        assert_eq!(merged.start, Some(set("above").map(StartText::Line)));
        assert_eq!(merged.port.unwrap().value, 1);
        assert_eq!(merged.commands[&Phase::PreBuild], [set("pre")]);
        assert_eq!(merged.commands[&Phase::Build], [set("c")]);
        assert_eq!(merged.run_env, named(&[("A", "4"), ("B", "2"), ("C", "3")]));
    }
}
