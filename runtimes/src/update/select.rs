//! Chooses versions of npm packages and wheels, and finds out the digests of their files.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use sha2::{Digest as _, Sha512};

use super::{LayerPlan, Tools, UpdateError};
use crate::arch::Arch;
use crate::definitions::Definitions;
use crate::fetch::{NpmVersion, Unlocked, WheelFile};
use crate::lock::{Artifact, Lock, NpmArtifact, WheelArtifact};
use crate::progress::Event;
use crate::recipe::PackageRecipe;

/// The artifacts of a layer besides its Debian packages, for each architecture.
pub(super) fn select(
    definitions: &Definitions,
    plan: &LayerPlan<'_>,
    tools: Tools<'_>,
) -> Result<BTreeMap<Arch, Vec<Artifact>>, UpdateError> {
    let mut selected: BTreeMap<Arch, Vec<Artifact>> =
        plan.arches.iter().map(|arch| (*arch, Vec::new())).collect();
    let known = Known(definitions.locks.values().collect());
    for package in &plan.layer.npm {
        for (arch, version) in npm_versions(package, plan, tools)? {
            let name = package.name.replace("{npm_arch}", arch.npm());
            let artifact = npm_artifact(&name, &version, &known, tools)?;
            selected.entry(arch).or_default().push(Artifact::Npm(artifact));
        }
    }
    for package in &plan.layer.wheels {
        let artifact = wheel_artifact(package, plan, &known, tools)?;
        for artifacts in selected.values_mut() {
            artifacts.push(Artifact::Wheel(artifact.clone()));
        }
    }
    Ok(selected)
}

/// The newest version that the recipe allows and all architectures have.
fn npm_versions(
    package: &PackageRecipe,
    plan: &LayerPlan<'_>,
    tools: Tools<'_>,
) -> Result<BTreeMap<Arch, NpmVersion>, UpdateError> {
    let mut of_arch: BTreeMap<Arch, Vec<NpmVersion>> = BTreeMap::new();
    for arch in &plan.arches {
        let name = package.name.replace("{npm_arch}", arch.npm());
        Event::index(&name, tools.progress);
        let mut versions = tools.fetcher.npm_versions(&name)?;
        versions.retain(|found| begins(&found.version, &package.version));
        if versions.iter().any(|found| !found.deprecated) {
            versions.retain(|found| !found.deprecated);
        }
        of_arch.insert(*arch, versions);
    }
    let common = of_arch.values().next().into_iter().flatten().map(|found| found.version.clone());
    let common = common.filter(|version| {
        of_arch.values().all(|versions| versions.iter().any(|found| found.version == *version))
    });
    let newest = common.max_by_key(|version| numbers(version)).ok_or_else(|| missing(package, plan))?;
    let pick = |versions: Vec<NpmVersion>| versions.into_iter().find(|found| found.version == newest);
    Ok(of_arch.into_iter().filter_map(|(arch, versions)| Some((arch, pick(versions)?))).collect())
}

fn npm_artifact(
    name: &str,
    found: &NpmVersion,
    known: &Known<'_>,
    tools: Tools<'_>,
) -> Result<NpmArtifact, UpdateError> {
    if let Some(artifact) = known.npm(name, &found.integrity) {
        return Ok(artifact);
    }
    let (path, sha256, size) = tools.fetcher.fetch_unlocked(Unlocked::Npm, &found.tarball, name)?;
    let digest = || UpdateError::Digest {
        package: name.to_owned(),
        version: found.version.clone(),
        expected: found.integrity.clone(),
    };
    let expected = found.integrity.strip_prefix("sha512-").ok_or_else(digest)?;
    let actual = sha512(&path).map_err(|source| UpdateError::Write { path, source })?;
    if base64::engine::general_purpose::STANDARD.encode(actual) != expected {
        return Err(digest());
    }
    let (version, integrity) = (found.version.clone(), found.integrity.clone());
    Ok(NpmArtifact { name: name.to_owned(), version, integrity, sha256, size })
}

fn sha512(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut hasher = Sha512::new();
    let mut file = fs_err::File::open(path)?;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match std::io::Read::read(&mut file, &mut buffer)? {
            0 => return Ok(hasher.finalize().to_vec()),
            count => hasher.update(&buffer[..count]),
        }
    }
}

fn wheel_artifact(
    package: &PackageRecipe,
    plan: &LayerPlan<'_>,
    known: &Known<'_>,
    tools: Tools<'_>,
) -> Result<WheelArtifact, UpdateError> {
    Event::index(&package.name, tools.progress);
    let wheels = tools.fetcher.wheels(&package.name)?;
    let fits = |file: &WheelFile| {
        let version = file.version().unwrap_or_default();
        !file.yanked && file.filename.ends_with("-py3-none-any.whl") && begins(version, &package.version)
    };
    let newest =
        wheels.into_iter().filter(fits).max_by_key(|file| numbers(file.version().unwrap_or_default()));
    let file = newest.ok_or_else(|| missing(package, plan))?;
    let version = file.version().unwrap_or_default().to_owned();
    if let Some(artifact) = known.wheel(&file) {
        return Ok(artifact);
    }
    let (_, sha256, size) = tools.fetcher.fetch_unlocked(Unlocked::Wheel, &file.url, &package.name)?;
    match file.sha256 {
        Some(expected) if expected != sha256 => {
            Err(UpdateError::Digest { package: package.name.clone(), version, expected })
        }
        _ => Ok(WheelArtifact { name: package.name.clone(), version, filename: file.filename, sha256, size }),
    }
}

/// What earlier locks say, so that a file is not fetched again for its digest.
struct Known<'a>(Vec<&'a Lock>);

impl Known<'_> {
    fn npm(&self, name: &str, integrity: &str) -> Option<NpmArtifact> {
        self.0.iter().flat_map(|lock| &lock.artifacts).find_map(|artifact| match artifact {
            Artifact::Npm(npm) if npm.name == name && npm.integrity == integrity => Some(npm.clone()),
            _ => None,
        })
    }

    fn wheel(&self, file: &WheelFile) -> Option<WheelArtifact> {
        let sha256 = file.sha256.as_ref()?;
        self.0.iter().flat_map(|lock| &lock.artifacts).find_map(|artifact| match artifact {
            Artifact::Wheel(wheel) if wheel.filename == file.filename && wheel.sha256 == *sha256 => {
                Some(wheel.clone())
            }
            _ => None,
        })
    }
}

/// Whether a released version begins with the wanted components.
fn begins(version: &str, wanted: &str) -> bool {
    let released = version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let rest = version.strip_prefix(wanted);
    released && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn numbers(version: &str) -> Vec<u64> {
    version.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

fn missing(package: &PackageRecipe, plan: &LayerPlan<'_>) -> UpdateError {
    let platforms: Vec<String> = plan.arches.iter().map(|arch| format!("`{}`", arch.platform())).collect();
    UpdateError::NoVersion {
        package: package.name.clone(),
        version: package.version.clone(),
        platforms: platforms.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_begins_by_whole_components_and_is_released() {
        assert!(begins("22.23.3", "22") && begins("10.8.2", "10.8.2") && begins("26.3", "26"));
        assert!(!begins("221.0.0", "22") && !begins("22.0.0-rc.1", "22") && !begins("26.3rc1", "26"));
        assert!(numbers("24.20.0") > numbers("24.9.1"));
    }
}
