//! Secrets of the build: values that commands see and nobody else does.
//!
//! A secret is a read-only file below `/run/secrets`, and a variable where that is asked for, of the commands of its
//! phases alone. The file lies in the memory of the sandbox; the variable is part of the environment of a command. No
//! value reaches a command line, a disk, a report or an image: what is shown is masked ([`Mask`]), and what would become
//! an image is searched before it goes anywhere ([`Search`]).
//!
//! Another value always takes effect: what the result of a command is found by holds, for every secret that the command
//! could see, its id, its variable, and a keyed digest of its value ([`Secrets::mark`]). A plain digest of a short value
//! can be guessed, and what results are found by is stored.

mod finder;
mod forms;
mod hidden;
mod leaks;
mod mask;
mod parts;
mod scanner;
mod spec;
mod value;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use lapstrake_runtimes::mirrors::Secret as Shielded;
use lapstrake_sandbox::MemoryFile;
use serde::Serialize;

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::steps::{Phase, PlannedStep};

pub use forms::Form;
pub use hidden::Hidden;
pub use leaks::{Leak, Search, refuse};
pub use mask::{Mask, Pieces};
pub use spec::{SecretSource, SecretSpec, SpecError};
pub use value::ValueError;

/// Where commands find the files.
pub const DIRECTORY: &str = "/run/secrets";

/// Shorter texts are too likely to stand somewhere by chance to be masked or searched for.
const SHORTEST: usize = 8;

/// The most bytes that all secrets of a build may have together.
const ALL: usize = 4 << 20;

/// The secrets of a build.
#[derive(Debug, Default)]
pub struct Secrets(Vec<Secret>);

#[derive(Debug)]
struct Secret {
    id: String,
    variable: Option<String>,
    phases: BTreeSet<Phase>,
    value: Shielded<Vec<u8>>,
}

/// A secret as plans and reports show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretUse {
    /// Its name.
    pub id: String,
    /// The phases whose commands see it.
    pub phases: BTreeSet<Phase>,
    /// The variable that holds it besides its file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
}

impl std::fmt::Display for SecretUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let phases: Vec<&str> = self.phases.iter().map(|phase| phase.name()).collect();
        write!(f, "{} for {}: {DIRECTORY}/{}", self.id, phases.join(", "), self.id)?;
        match &self.variable {
            Some(name) => write!(f, " and variable {name}"),
            None => Ok(()),
        }
    }
}

impl Secrets {
    /// Reads the secrets that were asked for. From then on nothing shows their values.
    pub fn read(specs: &[String], context: &Context) -> Result<Self, Failure> {
        let mut secrets = Self::default();
        let place = if context.given_by_variable.contains("secrets") {
            "`LAPSTRAKE_SECRET`, secret"
        } else {
            "`--secret` number"
        };
        let given = specs.iter().flat_map(|text| text.lines()).filter(|line| !line.trim().is_empty());
        for (index, text) in given.enumerate() {
            let spec = SecretSpec::parse(text).map_err(|cause| {
                let what = format!("{place} {} is not understood", index + 1);
                Failure::because(Exit::NotUnderstood, what, cause).hint(
                    "it is written `id=NAME[,env=VAR|,src=FILE][,variable[=NAME]][,phases=build+pre-run]`",
                )
            })?;
            secrets.add(spec, context)?;
        }
        context.report.hide(&secrets.hidden());
        Ok(secrets)
    }

    fn add(&mut self, spec: SecretSpec, context: &Context) -> Result<(), Failure> {
        let what = || format!("secret `{}` cannot be used", spec.id);
        let twice = |what: String| Err(Failure::new(Exit::NotUnderstood, what));
        if self.0.iter().any(|other| other.id == spec.id) {
            return twice(format!("secret `{}` is given twice", spec.id));
        }
        if let Some(name) = &spec.variable
            && let Some(other) = self.0.iter().find(|other| other.variable.as_ref() == Some(name))
        {
            return twice(format!(
                "secrets `{}` and `{}` have the same variable `{name}`",
                other.id, spec.id
            ));
        }
        let value = value::read(&spec, context).map_err(|cause| {
            let hint = cause.hint(&spec);
            let failure = Failure::because(Exit::NotUnderstood, what(), cause);
            match hint {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        })?;
        let SecretSpec { id, variable, phases, .. } = spec;
        self.0.push(Secret { id, variable, phases, value: Shielded::new(value) });
        let all: usize = self.0.iter().map(|secret| secret.value.reveal().len()).sum();
        if all > ALL {
            return twice(format!("the secrets have more than {ALL} bytes together"));
        }
        Ok(())
    }

    /// The secrets without their values.
    #[must_use]
    pub fn uses(&self) -> Vec<SecretUse> {
        let shown = |secret: &Secret| SecretUse {
            id: secret.id.clone(),
            phases: secret.phases.clone(),
            variable: secret.variable.clone(),
        };
        self.0.iter().map(shown).collect()
    }

    /// The values, for those who keep them from being seen.
    #[must_use]
    pub fn hidden(&self) -> Vec<Hidden> {
        let hide = |secret: &Secret| Hidden::value(format!("secret `{}`", secret.id), secret.value.reveal());
        self.0.iter().map(hide).collect()
    }

    /// The files of the commands of a phase.
    #[must_use]
    pub fn files(&self, phase: Phase) -> Vec<MemoryFile> {
        let file = |secret: &Secret| MemoryFile {
            target: Path::new(DIRECTORY).join(&secret.id),
            content: secret.value.reveal().clone(),
        };
        self.of(phase).map(file).collect()
    }

    /// The variables of the commands of a phase.
    pub fn variables(&self, phase: Phase) -> impl Iterator<Item = (String, String)> {
        self.of(phase).filter_map(|secret| {
            let name = secret.variable.clone()?;
            // It was found to be a variable's when it was read.
            let value = value::variable(&name, secret.value.reveal()).ok()?;
            Some((name, value))
        })
    }

    /// What the commands of a phase see of them, without the values: ids, variables, and keyed digests.
    #[must_use]
    pub fn mark(&self, phase: Phase, key: &[u8; 32]) -> String {
        let mut mark = String::new();
        for secret in self.of(phase) {
            let digest = blake3::keyed_hash(key, secret.value.reveal());
            // Writing to a string does not fail.
            let _ = writeln!(mark, "{:?} {:?} {}", secret.id, secret.variable, digest.to_hex());
        }
        mark
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the user may not have meant: secrets that no command sees, and variables that the app sets as well.
    #[must_use]
    pub fn doubts(&self, steps: &[PlannedStep], build_env: &[(String, String)]) -> Vec<String> {
        let used: BTreeSet<Phase> = steps.iter().map(|step| step.phase).collect();
        let mut doubts = Vec::new();
        for secret in &self.0 {
            if secret.phases.is_disjoint(&used) {
                let id = &secret.id;
                doubts.push(format!("nothing uses secret `{id}`: there is no command of its phases"));
            }
            let set = |name: &&String| build_env.iter().any(|(other, _)| other == *name);
            if let Some(name) = secret.variable.as_ref().filter(set) {
                let id = &secret.id;
                doubts.push(format!(
                    "variable `{name}` of the build has the value of secret `{id}`, not the app's own"
                ));
            }
        }
        doubts
    }

    fn of(&self, phase: Phase) -> impl Iterator<Item = &Secret> {
        self.0.iter().filter(move |secret| secret.phases.contains(&phase))
    }
}

#[cfg(test)]
mod tests;
