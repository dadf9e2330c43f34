//! What a command knows of its surroundings: read once in `main`, passed down as values.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use jiff::Timestamp;

use lapstrake_runtimes::mirrors::MirrorFlags;
use lapstrake_sandbox::Isolation;

use crate::failure::{Exit, Failure};
use crate::limits::Limits;
use crate::origin::Origin;
use crate::report::Report;
use crate::source::Reader;

/// The surroundings of one command.
#[derive(Clone)]
pub struct Context {
    /// The caller's environment. Only this program reads it; build commands never see it.
    pub env: BTreeMap<String, String>,
    /// The time at which the command began.
    pub now: Timestamp,
    /// Where the local catalog, store and caches live.
    pub data_dir: PathBuf,
    /// Where it is remembered which revisions of catalogs were seen.
    pub state_dir: PathBuf,
    /// What the user sees.
    pub report: Arc<Report>,
    /// Set when the command should stop.
    pub stop: Stop,
    /// What keeps the commands of others away from the machine.
    pub isolation: Isolation,
    /// The user that the commands of others run under outside, where the program was started as root.
    pub build_uid: u32,
    /// How much sources and commands may use.
    pub limits: Limits,
    /// Who reads archives.
    pub reader: Reader,
    /// Certificate authorities that are trusted besides the system's, as PEM files.
    pub authorities: Vec<PathBuf>,
    /// Explicit addresses of package mirrors, from the command line.
    pub mirrors: MirrorFlags,
    /// The arguments whose values were given by a variable of the environment, by the names of their fields.
    pub given_by_variable: BTreeSet<String>,
}

/// A request to stop, made by a signal.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    asked: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
}

impl Stop {
    /// The flag that is set when a signal arrives.
    #[must_use]
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.asked)
    }

    /// Where the number of the signal is kept.
    #[must_use]
    pub fn signal(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.signal)
    }

    /// An error when the command should stop.
    pub fn check(&self) -> Result<(), Failure> {
        if self.asked.load(Ordering::SeqCst) { Err(self.failure()) } else { Ok(()) }
    }

    /// Whether the command should stop.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    /// The failure that an interrupted command ends with.
    #[must_use]
    pub fn failure(&self) -> Failure {
        match Exit::of_signal(self.signal.load(Ordering::SeqCst)) {
            Exit::Terminated => Failure::new(Exit::Terminated, "terminated"),
            interrupted => Failure::new(interrupted, "interrupted"),
        }
    }
}

impl Context {
    /// Surroundings in which nothing is said and nothing was given.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        Self {
            env: BTreeMap::new(),
            now: Timestamp::UNIX_EPOCH,
            data_dir: "/nonexistent".into(),
            state_dir: "/nonexistent".into(),
            report: Arc::new(Report::silent()),
            stop: Stop::default(),
            isolation: Isolation::Strict,
            build_uid: 65533,
            limits: Limits::default(),
            reader: Reader::Here,
            authorities: Vec::new(),
            mirrors: MirrorFlags::default(),
            given_by_variable: BTreeSet::new(),
        }
    }

    /// A variable of the caller's environment; an empty one counts as absent.
    #[must_use]
    pub fn var(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Where the value of an argument came from: an option of the command, or the variable that stands for it.
    #[must_use]
    pub fn origin(&self, argument: &str) -> Origin {
        if self.given_by_variable.contains(argument) {
            Origin::Variable(format!("LAPSTRAKE_{}", argument.to_uppercase()))
        } else {
            Origin::Flag(format!("--{}", argument.replace('_', "-")))
        }
    }

    /// Where scratch directories are made: not where the local catalog makes its own, which it sweeps by its own locks.
    #[must_use]
    pub fn scratch_dir(&self) -> PathBuf {
        self.data_dir.join("builds")
    }

    /// The caller's home directory, where there is one.
    #[must_use]
    pub fn home(&self) -> Option<&Path> {
        self.var("HOME").map(Path::new)
    }

    /// `SOURCE_DATE_EPOCH` in seconds since 1970, where it is set.
    pub fn source_date_epoch(&self) -> Result<Option<i64>, Failure> {
        self.var("SOURCE_DATE_EPOCH")
            .map(|text| {
                text.parse::<i64>().ok().filter(|seconds| *seconds >= 0).ok_or_else(|| {
                    Failure::new(
                        Exit::NotUnderstood,
                        format!("`SOURCE_DATE_EPOCH` is `{text}`, not a number of seconds since 1970"),
                    )
                })
            })
            .transpose()
    }
}

/// Where data lives when no directory was named.
pub fn default_data_dir(env: &BTreeMap<String, String>) -> Result<PathBuf, Failure> {
    let absolute = |name: &str| env.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|base| base.join("lapstrake"))
        .ok_or_else(|| {
            Failure::new(
                Exit::NotUnderstood,
                "there is no place for data: neither `XDG_DATA_HOME` nor `HOME` is an absolute path",
            )
            .hint("name a directory with `--data-dir`")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn data_lives_in_the_users_data_directory() {
        let both = env(&[("XDG_DATA_HOME", "/x"), ("HOME", "/h")]);
        assert_eq!(default_data_dir(&both).unwrap(), Path::new("/x/lapstrake"));
        assert_eq!(
            default_data_dir(&env(&[("HOME", "/h")])).unwrap(),
            Path::new("/h/.local/share/lapstrake")
        );
        assert_eq!(default_data_dir(&env(&[("HOME", "relative")])).unwrap_err().exit, Exit::NotUnderstood);
    }
}
