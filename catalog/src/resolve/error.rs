//! Why a request has no answer.

use std::fmt;

use oci_spec::image::Digest;

use super::{list, newest};
use crate::{Date, EntryId, PlatformKey, Version};

/// Why a request has no answer, as facts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// No runtime has this name.
    #[error("runtime `{runtime}` is not in the catalog")]
    UnknownRuntime {
        /// The name.
        runtime: String,
        /// The name that was probably meant.
        nearest: Option<String>,
        /// All names, nearest first.
        known: Vec<String>,
    },
    /// The version lock lies outside the line that the runtime's name fixes.
    #[error("version `{version}` is outside the line {line} of `{runtime}`")]
    OutsideLine {
        /// The runtime.
        runtime: String,
        /// What its name fixes.
        line: String,
        /// The version lock.
        version: String,
        /// Names under which the version can be had.
        fitting: Vec<String>,
        /// Names of the language.
        lines: Vec<String>,
    },
    /// No entry has this version or this build number.
    #[error("the catalog has no version `{version}` of `{runtime}`")]
    UnknownVersion {
        /// The runtime.
        runtime: String,
        /// The version asked for.
        version: String,
        /// The versions of the line, newest first.
        available: Vec<Version>,
        /// The builds of that version, where only the build number does not exist.
        builds: Vec<EntryId>,
    },
    /// No entry that fits has all platforms.
    #[error("`{id}` does not exist for {}", list(missing))]
    NotForPlatform {
        /// The newest entry that fits otherwise.
        id: EntryId,
        /// The platforms that it lacks.
        missing: Vec<PlatformKey>,
        /// The platforms that it has.
        available: Vec<PlatformKey>,
    },
    /// `engines.node` and the request exclude each other.
    #[error("{}", engines_conflict(engines, request, chosen.as_ref()))]
    EnginesConflict {
        /// The text of `engines.node`.
        engines: String,
        /// The request.
        request: String,
        /// What the version lock gives.
        chosen: Option<EntryId>,
        /// A request that would satisfy both.
        satisfying: Option<Box<Successor>>,
    },
    /// No version of the runtime lies in the range of `requires-python`.
    #[error("{}", python_conflict(runtime, range, default.as_deref()))]
    RequiresPythonConflict {
        /// The runtime.
        runtime: String,
        /// The text of `requires-python`.
        range: String,
        /// The catalog's default line, if a version of it would lie in the range, but it has none yet.
        default: Option<String>,
        /// The versions of the runtime, newest first.
        available: Vec<Version>,
    },
    /// Entries fit, but none of them may be taken.
    #[error("{}", refused_text(request, refused))]
    Refused {
        /// The request.
        request: String,
        /// The entries, newest first, and why not.
        refused: Vec<(EntryId, Refusal)>,
        /// What to move to.
        successor: Option<Successor>,
    },
    /// A digest names one image, but several platforms are built.
    #[error("a digest cannot be pinned for {} at once", list(platforms))]
    DigestOfSeveral {
        /// The platforms.
        platforms: Vec<PlatformKey>,
    },
    /// The pinned digest is not that of the entry.
    #[error("`{id}` on {platform} was asked for with digest `{expected}`, {}", found_text(found.as_deref()))]
    DigestMismatch {
        /// The entry.
        id: EntryId,
        /// The platform.
        platform: PlatformKey,
        /// The digest asked for.
        expected: Box<Digest>,
        /// The digest that the catalog holds.
        found: Option<Box<Digest>>,
    },
}

/// Why an entry that fits is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is for trial, and no version lock names its line.
    Preview,
    /// Its support has ended; a permission that names it would do.
    EndOfLife {
        /// The day, where it follows from dates.
        since: Option<Date>,
    },
    /// Its support has ended, and no permission helps any more.
    Blocked {
        /// The day.
        since: Date,
    },
    /// It is revoked.
    Revoked {
        /// Why.
        reason: String,
        /// What to take instead.
        replacement: Option<EntryId>,
        /// The later revision that says so, where the one that was asked does not.
        since: Option<u64>,
    },
    /// It has not been out long enough for the policy.
    TooYoung {
        /// The day of its release.
        released: Date,
        /// How many days the policy asks for.
        days: u16,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Preview => f.write_str("is a preview"),
            Self::EndOfLife { since: Some(since) } => write!(f, "is end of life since {since}"),
            Self::EndOfLife { since: None } => f.write_str("is end of life"),
            Self::Blocked { since } => write!(f, "is end of life and blocked since {since}"),
            Self::Revoked { reason, since: None, .. } => write!(f, "is revoked: {reason}"),
            Self::Revoked { reason, since: Some(revision), .. } => {
                write!(f, "was revoked in revision {revision}, after the one that is pinned: {reason}")
            }
            Self::TooYoung { released, days } => {
                write!(f, "was released on {released}, and the policy asks for {days} days")
            }
        }
    }
}

/// A request to make instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Successor {
    /// The runtime.
    pub runtime: String,
    /// The version, where the runtime alone does not give it.
    pub version: Option<String>,
}

impl fmt::Display for Successor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`runtime: {}`", self.runtime)?;
        self.version.as_ref().map_or(Ok(()), |version| write!(f, " with `runtime-version: {version}`"))
    }
}

impl ResolveError {
    /// Says what to ask for instead, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownRuntime { nearest: Some(nearest), known, .. } => {
                Some(format!("did you mean `{nearest}`? The catalog has {}", list(known)))
            }
            Self::UnknownRuntime { known, .. } => Some(format!("the catalog has {}", list(known))),
            Self::OutsideLine { fitting, lines, .. } if fitting.is_empty() => {
                Some(format!("no runtime of the catalog has this version; it has {}", list(lines)))
            }
            Self::OutsideLine { fitting, .. } => Some(format!("this version belongs to {}", list(fitting))),
            Self::UnknownVersion { builds, .. } if !builds.is_empty() => {
                Some(format!("the builds of this version are {}", list(builds)))
            }
            Self::RequiresPythonConflict { default: Some(default), available, .. } => Some(format!(
                "name another line with `--runtime-version`: there are {}; {default} stays the one that is taken by itself",
                newest(available)
            )),
            Self::UnknownVersion { available, .. } | Self::RequiresPythonConflict { available, .. }
                if !available.is_empty() =>
            {
                Some(format!("the line has {}", newest(available)))
            }
            Self::NotForPlatform { available, .. } => Some(format!("it exists for {}", list(available))),
            Self::EnginesConflict { satisfying: Some(it), .. } => Some(format!("{it} satisfies both")),
            Self::Refused { refused, successor, .. } => refused_hint(refused, successor.as_ref()),
            Self::DigestOfSeveral { .. } => {
                Some("pin the catalog's revision instead, and with it every entry".to_owned())
            }
            Self::UnknownVersion { .. }
            | Self::EnginesConflict { .. }
            | Self::RequiresPythonConflict { .. }
            | Self::DigestMismatch { .. } => None,
        }
    }
}

fn python_conflict(runtime: &str, range: &str, default: Option<&str>) -> String {
    let which = default.map(|line| format!(" {line}, the catalog's default,")).unwrap_or_default();
    format!("no version of `{runtime}`{which} satisfies `requires-python`, which asks for `{range}`")
}

fn engines_conflict(engines: &str, request: &str, chosen: Option<&EntryId>) -> String {
    match chosen {
        Some(id) => format!("`{request}` gives `{id}`, but `engines.node` asks for `{engines}`"),
        None => format!("no version of `{request}` satisfies `engines.node`, which asks for `{engines}`"),
    }
}

fn found_text(found: Option<&Digest>) -> String {
    found.map_or_else(|| "and the catalog holds none".to_owned(), |found| format!("but has `{found}`"))
}

fn refused_text(request: &str, refused: &[(EntryId, Refusal)]) -> String {
    match refused {
        [(id, refusal)] => format!("`{id}` {refusal}"),
        [(id, refusal), ..] => format!("no entry for `{request}` may be taken: `{id}` {refusal}"),
        [] => format!("no entry for `{request}` may be taken"),
    }
}

fn refused_hint(refused: &[(EntryId, Refusal)], successor: Option<&Successor>) -> Option<String> {
    let (id, refusal) = refused.first()?;
    match refusal {
        Refusal::Preview => Some(format!("`runtime-version: {}` takes it", id.version())),
        Refusal::Revoked { since: Some(revision), .. } => {
            let permission = format!("`--allow-revoked {id} --reason TEXT` takes it all the same");
            Some(format!("pin revision {revision} or a later one; {permission}"))
        }
        Refusal::Revoked { replacement: Some(replacement), .. } => {
            Some(format!("take `{replacement}` instead"))
        }
        Refusal::EndOfLife { .. } => {
            let permission = format!("`--allow-eol {id}` takes it all the same");
            Some(
                successor
                    .map_or(permission.clone(), |successor| format!("move to {successor}; {permission}")),
            )
        }
        Refusal::Blocked { .. } | Refusal::Revoked { replacement: None, .. } => {
            successor.map(|successor| format!("move to {successor}"))
        }
        Refusal::TooYoung { .. } => Some(format!("pin `{}-{}` to take it now", id.version(), id.build())),
    }
}
