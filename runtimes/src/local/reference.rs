//! The fetcher of a run, made when it is first needed, and the mirrors that nobody configured.

use std::sync::OnceLock;

use super::state::State;
use super::{Context, LocalError};
use crate::fetch::{FetchError, Fetcher};
use crate::lock::Artifact;
use crate::mirrors::Mirrors;
use crate::mirrors::defaults::PACKAGES;
use crate::store::Store;
use crate::update::{Tools, plans, relock};

/// A fetcher that is made when it is first needed: finding the mirrors may ask slow programs.
pub(super) struct LazyFetcher<'a> {
    store: Store,
    context: &'a Context<'a>,
    made: OnceLock<Fetcher>,
    completed: OnceLock<Fetcher>,
}

impl<'a> LazyFetcher<'a> {
    pub(super) fn new(store: &Store, context: &'a Context<'a>) -> Self {
        Self { store: store.clone(), context, made: OnceLock::new(), completed: OnceLock::new() }
    }

    /// A fetcher from what is configured.
    pub(super) fn get(&self) -> Result<&Fetcher, LocalError> {
        if let Some(fetcher) = self.completed.get().or(self.made.get()) {
            return Ok(fetcher);
        }
        let fetcher = Fetcher::new((self.context.mirrors)()?, self.store.clone())?;
        Ok(self.made.get_or_init(|| fetcher))
    }

    /// The store.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// A fetcher that also knows the npm registry or the Python index.
    pub(super) fn complete(&self, state: &State, npm: bool, python: bool) -> Result<&Fetcher, LocalError> {
        let fetcher = self.get()?;
        let known = fetcher.mirrors();
        if (known.npm.is_some() || !npm) && (known.python.is_some() || !python) {
            return Ok(fetcher);
        }
        let mut mirrors = known.clone();
        complete(state, &self.store, &mut mirrors, (npm, python), self.context)?;
        let fetcher = Fetcher::new(mirrors, self.store.clone())?;
        Ok(self.completed.get_or_init(|| fetcher))
    }
}

/// Fills in what is wanted and not known.
pub(super) fn complete(
    state: &State,
    store: &Store,
    mirrors: &mut Mirrors,
    (npm, python): (bool, bool),
    context: &Context<'_>,
) -> Result<(), LocalError> {
    let [pip_package, npm_package] = PACKAGES;
    if python && mirrors.python.is_none() {
        let path = package(state, store, mirrors, pip_package, context)?;
        mirrors.complete_python(&path, context.machine)?;
    }
    if npm && mirrors.npm.is_none() {
        let path = package(state, store, mirrors, npm_package, context)?;
        mirrors.complete_npm(&path, context.machine)?;
    }
    Ok(())
}

/// The file of a package that is read and not installed.
fn package(
    state: &State,
    store: &Store,
    mirrors: &Mirrors,
    name: &str,
    context: &Context<'_>,
) -> Result<std::path::PathBuf, LocalError> {
    let fetcher = Fetcher::new(mirrors.clone(), store.clone())?;
    let definitions = state.definitions();
    let locked = definitions.locks.values().flat_map(|lock| &lock.artifacts);
    let artifact = locked.into_iter().find(|artifact| is_reference(artifact, name));
    let no_lock = || LocalError::NoRecipe { lock: name.to_owned() };
    match fetcher.fetch_all(&[artifact.ok_or_else(no_lock)?], context.progress) {
        Ok(mut paths) => Ok(paths.remove(0)),
        Err(FetchError::Gone { .. }) => {
            // Only read, never part of a layer: any version will do.
            let fail = |error| LocalError::Renew(Box::new(error));
            let mut plans = plans(&definitions.recipes).map_err(|error| fail(error.into()))?;
            plans.retain(|plan| plan.layer.install.is_reference());
            let tools = Tools {
                fetcher: &fetcher,
                machine: context.machine,
                progress: context.progress,
                now: context.now,
            };
            let locks = relock(definitions, &plans, tools).map_err(fail)?;
            let found =
                locks.iter().flat_map(|lock| &lock.artifacts).find(|artifact| is_reference(artifact, name));
            Ok(fetcher.fetch_all(&[found.ok_or_else(no_lock)?], context.progress)?.remove(0))
        }
        Err(error) => Err(error.into()),
    }
}

fn is_reference(artifact: &Artifact, name: &str) -> bool {
    matches!(artifact, Artifact::Deb(deb) if deb.name == name)
}
