//! From the files of a lock to the tree of one layer, without a maintainer script and without root.
//!
//! What a package's script would have done is done here by rule: see [`crate::system_files`].

mod place;
mod prune;
mod settle;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use lapstrake_oci::tree::{FileTree, Kind, Node, TreePath, TreePathError};

pub use place::Place;
pub use prune::GlobError;

use crate::merge::{self, Merge, MergeError};
use crate::system_files::{self, Generate};
use crate::tarball::{ArchiveError, npm};
use crate::wheel::{self, Wheel};
use crate::{deb, sbom};
use prune::Filter;

/// What kind of file an artifact is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ArtifactKind {
    /// A Debian package.
    Deb,
    /// An npm tarball.
    Npm,
    /// A Python wheel.
    Wheel,
}

/// What a lock says of an artifact; the artifact itself must agree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ArtifactInfo {
    /// The kind of file.
    pub kind: ArtifactKind,
    /// The name of the package.
    pub name: String,
    /// The version of the package.
    pub version: String,
    /// Debian's architecture of a deb; empty for the other kinds.
    pub arch: String,
}

/// How the artifacts of a layer become its files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayerRules {
    /// Globs of paths to drop, after the `/usr` merge. `*` stays within a component; a directory goes with all
    /// that is in it.
    pub prune: Vec<String>,
    /// Globs of files and links that stay although `prune` names them.
    pub keep: Vec<String>,
    /// Where parts of npm packages go. Without any, each package is installed as `npm install --global` would:
    /// below `usr/local/lib/node_modules`, with its commands linked in `usr/local/bin`.
    pub place: Vec<Place>,
    /// Symbolic links to make, path to target; they replace packaged files and links.
    pub links: BTreeMap<String, String>,
    /// Files that no package has.
    pub generate: Vec<Generate>,
    /// The minor version of Debian's Python, `3.13`, that wheels are installed for.
    pub python: Option<String>,
    /// Names of wheels that are carried as files for `venv` and not installed. An installed one would satisfy a
    /// requirement of an app at build time, and then be missing from the app's own layer.
    pub carried_wheels: Vec<String>,
}

/// Why a layer cannot be assembled.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// An artifact is not what it should be.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Two artifacts do not fit together.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// A glob of the rules is none.
    #[error(transparent)]
    Glob(#[from] GlobError),
    /// The artifact at a path is another one than the lock names.
    #[error("`{file}` is {found}, not {expected}")]
    Mismatch {
        /// The file name.
        file: String,
        /// Name, version and architecture in the lock.
        expected: String,
        /// The same inside of the artifact.
        found: String,
    },
    /// A wheel in a layer whose rules do not say which Python it is for.
    #[error("the layer has the wheel `{wheel}`, but its rules name no Python version")]
    NoPython {
        /// The file name of the wheel.
        wheel: String,
    },
    /// A path of the rules is none.
    #[error("rule for `{path}`")]
    Rule {
        /// The path as written.
        path: String,
        /// What is wrong with it.
        source: TreePathError,
    },
    /// A rule or generated file would replace a directory.
    #[error("`{path}` is a directory and cannot become a link or file")]
    Directory {
        /// The path.
        path: TreePath,
    },
    /// A rule names a path that no artifact has.
    #[error("no artifact has `{path}`, which the rules place")]
    Absent {
        /// The path as written.
        path: String,
    },
    /// A packaged file that a generated one is made from cannot be read.
    #[error("could not read `{path}` of the layer")]
    Read {
        /// The path.
        path: TreePath,
        /// What the system said.
        source: io::Error,
    },
    /// The layer lacks what a generated file is made from.
    #[error("no package of the layer has {what}")]
    Missing {
        /// What is missing.
        what: String,
    },
}

/// Assembles a layer.
///
/// The order of `artifacts` does not matter. `lower` are the layers below, lowest first: their directories keep
/// mode and owner, and are repeated only where something of this layer is in them. File contents stay in
/// temporary files of `scratch` until the tree is dropped.
pub fn assemble(
    artifacts: &[(ArtifactInfo, PathBuf)],
    rules: &LayerRules,
    lower: &[&FileTree],
    scratch: &Path,
) -> Result<FileTree, AssembleError> {
    let filter = Filter::new(rules)?;
    let mut sorted: Vec<_> = artifacts.iter().collect();
    sorted.sort_by(|one, other| one.0.cmp(&other.0));
    let mut merge = Merge::new();
    for (info, path) in sorted {
        let tree = unpack(info, path, rules, &filter, scratch)?;
        merge.add(&info.name, tree)?;
    }
    let mut tree = merge.finish(lower)?;
    system_files::generate(&rules.generate, &mut tree)?;
    add_links(&rules.links, &mut tree)?;
    Ok(settle::settle(tree, lower))
}

/// The files of one artifact at their final paths.
fn unpack(
    info: &ArtifactInfo,
    path: &Path,
    rules: &LayerRules,
    filter: &Filter,
    scratch: &Path,
) -> Result<FileTree, AssembleError> {
    match info.kind {
        ArtifactKind::Deb => {
            let deb = deb::open(path, scratch)?;
            let control = &deb.control;
            check(info, path, control.package(), control.version(), control.architecture())?;
            let mut tree = filter.apply(merge::merge_usr(deb.tree));
            sbom::add(&deb.control, deb.md5sums.as_deref(), &mut tree);
            Ok(tree)
        }
        ArtifactKind::Npm => {
            let package = npm::open(path, scratch)?;
            check(info, path, &package.name, &package.version, "")?;
            Ok(filter.apply(place::npm(package, &rules.place)?))
        }
        ArtifactKind::Wheel => {
            let wheel = wheel::open(path, scratch)?;
            check(info, path, &wheel.name, &wheel.version, "")?;
            Ok(filter.apply(wheel_tree(info, &wheel, rules)?))
        }
    }
}

fn wheel_tree(info: &ArtifactInfo, wheel: &Wheel, rules: &LayerRules) -> Result<FileTree, AssembleError> {
    let mut tree = if rules.carried_wheels.contains(&info.name) {
        FileTree::new()
    } else {
        let no_python = || AssembleError::NoPython { wheel: wheel.filename.clone() };
        wheel.install(rules.python.as_deref().ok_or_else(no_python)?)?
    };
    if rules.generate.contains(&Generate::PythonWheels) {
        let path = rule_path(&format!("usr/share/python-wheels/{}", wheel.filename))?;
        tree.insert(path, Node::file(wheel.whole(), 0o644));
    }
    Ok(tree)
}

fn check(
    info: &ArtifactInfo,
    path: &Path,
    name: &str,
    version: &str,
    arch: &str,
) -> Result<(), AssembleError> {
    let words =
        |name: &str, version: &str, arch: &str| format!("`{name} {version} {arch}`").replace(" `", "`");
    // The names of Python distributions are equal without regard to case and the kind of separator.
    let plain = |name: &str| match info.kind {
        ArtifactKind::Wheel => name.to_ascii_lowercase().replace(['-', '.'], "_"),
        _ => name.to_owned(),
    };
    if plain(name) == plain(&info.name) && version == info.version && (arch == info.arch || arch.is_empty()) {
        return Ok(());
    }
    Err(AssembleError::Mismatch {
        file: deb::file_name(path),
        expected: words(&info.name, &info.version, &info.arch),
        found: words(name, version, arch),
    })
}

fn add_links(links: &BTreeMap<String, String>, tree: &mut FileTree) -> Result<(), AssembleError> {
    for (path, target) in links {
        let path = rule_path(path)?;
        if tree.get(&path).is_some_and(|node| matches!(node.kind, Kind::Directory)) {
            return Err(AssembleError::Directory { path });
        }
        tree.insert(path, Node::symlink(target.as_bytes()));
    }
    Ok(())
}

pub(crate) fn rule_path(path: &str) -> Result<TreePath, AssembleError> {
    TreePath::new(path).map_err(|source| AssembleError::Rule { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
