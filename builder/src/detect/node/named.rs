//! The package manager that a `package.json` names.

use crate::detect::Finding;

use super::manager::Family;
use super::package::Package;

/// What `packageManager` says.
pub(super) struct Named {
    pub(super) family: Family,
    pub(super) version: Option<String>,
    pub(super) has_digest: bool,
    pub(super) because: Finding,
}

/// Reads `packageManager`, or `devEngines.packageManager` where it names one version.
pub(super) fn named(package: &Package, notes: &mut Vec<String>) -> Option<Named> {
    let developers = ["devEngines", "packageManager"];
    let (name, version, path) = if let Some(text) = package.text(&["packageManager"]) {
        let (name, version) = text.split_once('@').unwrap_or((text, ""));
        (name, Some(version.to_owned()).filter(|version| !version.is_empty()), vec!["packageManager"])
    } else {
        let name = package.text(&[developers[0], developers[1], "name"])?;
        let version = package.text(&[developers[0], developers[1], "version"]);
        let is_exact = |version: &&str| {
            version.split('.').count() >= 3 && version.starts_with(|c: char| c.is_ascii_digit())
        };
        (name, version.filter(is_exact).map(str::to_owned), developers.to_vec())
    };
    let plain = version.as_deref().map(|version| version.split('+').next().unwrap_or(version).to_owned());
    let family = match name {
        "npm" => Family::Npm,
        "pnpm" => Family::Pnpm,
        "yarn" => Family::Yarn,
        other => {
            let because = package.finding(&path, format!("`{other}` manages the packages"));
            notes.push(format!("{because}, which is not here; npm, pnpm and yarn are"));
            return None;
        }
    };
    let says = match (&plain, family) {
        (_, Family::Npm) => "npm installs the packages, in the version that comes with Node.js".to_owned(),
        (Some(version), _) => format!("{name} {version} installs the packages"),
        (None, _) => format!("{name} installs the packages"),
    };
    let has_digest = version.is_some_and(|version| version.contains('+'));
    Some(Named { family, version: plain, has_digest, because: package.finding(&path, says) })
}
