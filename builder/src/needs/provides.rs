//! What runtime layers provide.

use std::collections::{BTreeMap, BTreeSet};

use lapstrake_catalog::EntryId;
use lapstrake_oci::tree::TreePath;
use serde::{Deserialize, Serialize};

use super::Need;
use super::facts::{Fact, Facts};

/// What runtime layers provide.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provides {
    schema: u32,
    /// Shared libraries by all their names, and the versions of their symbols.
    libraries: BTreeMap<String, BTreeSet<String>>,
    /// Functions of Node-API.
    symbols: BTreeSet<String>,
    /// The `NODE_MODULE_VERSION`.
    node_modules: Option<u32>,
    /// The minor versions of Python.
    python: BTreeSet<String>,
    /// All paths, without the slash before them.
    paths: BTreeSet<String>,
}

/// Where programs are.
const PROGRAMS: [&str; 6] = ["bin", "sbin", "usr/bin", "usr/sbin", "usr/local/bin", "usr/local/sbin"];

impl Provides {
    /// The form in which it is kept.
    pub const SCHEMA: u32 = 1;

    /// What the layers of an entry provide.
    #[must_use]
    pub fn of(facts: &Facts, entry: &EntryId) -> Self {
        let mut provides = Self {
            schema: Self::SCHEMA,
            node_modules: node_module_version(entry),
            paths: facts.paths().map(ToString::to_string).collect(),
            ..Self::default()
        };
        for (path, fact) in facts.iter() {
            let Fact::Elf(elf) = fact else { continue };
            let file_name = String::from_utf8_lossy(path.name()).into_owned();
            for name in elf.name.iter().chain([&file_name]) {
                provides.libraries.entry(name.clone()).or_default().extend(elf.versions.iter().cloned());
            }
            provides.symbols.extend(elf.napi_given.iter().cloned());
        }
        // Links to libraries give them other names.
        for path in facts.paths() {
            let name = String::from_utf8_lossy(path.name()).into_owned();
            if name.contains(".so") {
                provides.libraries.entry(name).or_default();
            }
        }
        provides.python = facts.paths().filter_map(python_of).collect();
        provides
    }

    /// Whether it is in the form that this program keeps.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.schema == Self::SCHEMA
    }

    /// Whether the layers have what is needed.
    #[must_use]
    pub fn has(&self, need: &Need) -> bool {
        match need {
            Need::Library(library) => self.libraries.contains_key(library),
            Need::Version { library, version } => {
                self.libraries.get(library).is_some_and(|versions| versions.contains(version))
            }
            Need::Symbol(symbol) => self.symbols.contains(symbol),
            Need::NodeModules(version) => self.node_modules == Some(*version),
            Need::Python(tag) => self.python.iter().any(|minor| fits(tag, minor)),
            Need::Path(path) => self.has_path(path.trim_start_matches('/')),
            Need::Program(program) => {
                PROGRAMS.iter().any(|place| self.paths.contains(&format!("{place}/{program}")))
            }
        }
    }

    fn has_path(&self, path: &str) -> bool {
        // The layers hold `/bin`, `/sbin` and `/lib` as links into `/usr`.
        let merged = ["bin/", "sbin/", "lib/", "lib64/"].iter().any(|top| path.starts_with(top));
        self.paths.contains(path) || merged && self.paths.contains(&format!("usr/{path}"))
    }
}

/// The minor version of Python whose standard library lies there.
fn python_of(path: &TreePath) -> Option<String> {
    let parent = path.parent().filter(|_| path.name() == b"os.py")?;
    let version = std::str::from_utf8(parent.name().strip_prefix(b"python")?).ok()?;
    Some(version.to_owned())
}

/// Whether a minor version of Python, as in `3.13`, can use what has a tag: a minor version, `cp313` or `cp38-abi3`.
fn fits(tag: &str, minor: &str) -> bool {
    let number = |text: &str| text.parse::<u32>().ok();
    let here = minor.split_once('.').and_then(|(major, minor)| Some((number(major)?, number(minor)?)));
    // The first digit of a tag is the major version (PEP 425).
    let of_tag = |digits: &str| Some((number(digits.get(..1)?)?, number(digits.get(1..)?)?));
    let parsed = |text: &str| of_tag(text.strip_prefix("cp")?);
    match tag.strip_suffix("-abi3") {
        Some(lowest) => match (parsed(lowest), here) {
            // A tag of two digits names no minor: `cp3-abi3` is for all.
            (Some(lowest), Some(here)) => lowest.0 == here.0 && lowest <= here,
            (None, Some(here)) => lowest == format!("cp{}", here.0),
            _ => false,
        },
        None => tag == minor || parsed(tag).is_some_and(|tag| Some(tag) == here),
    }
}

/// The `NODE_MODULE_VERSION` of an entry of Node.js: one for each major version (nodejs/node, `abi_version_registry.json`).
#[must_use]
pub fn node_module_version(entry: &EntryId) -> Option<u32> {
    const BY_MAJOR: [(u64, u32); 11] = [
        (16, 93),
        (17, 102),
        (18, 108),
        (19, 111),
        (20, 115),
        (21, 120),
        (22, 127),
        (23, 131),
        (24, 137),
        (25, 141),
        (26, 147),
    ];
    let major = entry.version().components()[0];
    let is_node = entry.runtime().starts_with("node");
    BY_MAJOR.iter().find(|(of, _)| is_node && *of == major).map(|(_, version)| *version)
}
