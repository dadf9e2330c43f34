//! What the files of an app need of the runtime layers below them, and what runtime layers provide: the proof that an
//! image can be put on other layers.
//!
//! What an app needs is found when it is built, and stands in a label of its image ([`LABEL`]). Where an image has none,
//! its own layers are read.

mod elf;
mod facts;
mod layers;
mod provides;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use lapstrake_oci::tree::TreePath;
use serde::{Deserialize, Serialize};

pub use facts::{Fact, Facts, KnownFacts};
pub use layers::of_layers;
pub use provides::{Provides, node_module_version};

/// The label of an image that says what its app needs, as JSON.
pub const LABEL: &str = "dev.lapstrake.needs";

/// The form of the JSON.
const SCHEMA: u32 = 1;

/// What the files of an app need of the layers below, each thing once, with the first file that needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Needs {
    schema: u32,
    files: Vec<FileNeeds>,
}

/// What one file needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct FileNeeds {
    file: String,
    /// Shared libraries (`DT_NEEDED`), and the versions of their symbols.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    libraries: BTreeMap<String, BTreeSet<String>>,
    /// Functions of Node-API.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    symbols: BTreeSet<String>,
    /// The `NODE_MODULE_VERSION` that an addon without Node-API was made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    node_modules: Option<u32>,
    /// Minor versions of Python (`3.13`), and ABI tags (`cp313`, or `cp38-abi3` for that one and all later).
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    python: BTreeSet<String>,
    /// Absolute paths: interpreters of scripts, targets of links.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    paths: BTreeSet<String>,
    /// Programs that are looked for in `PATH`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    programs: BTreeSet<String>,
}

/// One thing that is needed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// A shared library.
    Library(String),
    /// A version of the symbols of a shared library.
    Version {
        /// The library.
        library: String,
        /// The version, as in `GLIBC_2.34`.
        version: String,
    },
    /// A function of Node-API.
    Symbol(String),
    /// The `NODE_MODULE_VERSION`.
    NodeModules(u32),
    /// A minor version or an ABI tag of Python.
    Python(String),
    /// A path.
    Path(String),
    /// A program.
    Program(String),
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Library(library) => write!(f, "the shared library `{library}`"),
            Self::Version { library, version } => write!(f, "`{version}` of `{library}`"),
            Self::Symbol(symbol) => write!(f, "the function `{symbol}` of Node.js"),
            Self::NodeModules(version) => write!(f, "NODE_MODULE_VERSION {version}"),
            Self::Python(tag) => write!(f, "Python `{tag}`"),
            Self::Path(path) => write!(f, "`{path}`"),
            Self::Program(program) => write!(f, "the program `{program}`"),
        }
    }
}

/// Something that the new layers do not have, though the ones before had it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{file}` needs {need}")]
pub struct Lack {
    /// The file of the app.
    pub file: String,
    /// What it needs.
    pub need: Need,
}

/// Text that does not say what an app needs.
#[derive(Debug, thiserror::Error)]
pub enum NeedsError {
    /// It is no JSON of that form.
    #[error("what the app needs is not understood")]
    Malformed(#[from] serde_json::Error),
    /// It has a later form.
    #[error("what the app needs has the form {found}, and {SCHEMA} is understood")]
    Schema {
        /// The form.
        found: u32,
    },
}

impl Needs {
    /// What the files need that the app does not bring itself. An addon that does not say for which
    /// `NODE_MODULE_VERSION` it was made was made for that of the runtime below it.
    #[must_use]
    pub fn of(facts: &Facts, node_modules: Option<u32>) -> Self {
        let mut known = FileNeeds::default();
        let files = facts.iter().filter_map(|(path, fact)| {
            let all = FileNeeds::of(path, fact, facts, node_modules);
            let new = all.less(&known);
            known.take(&new);
            new.is_something().then_some(new)
        });
        let files = files.collect();
        Self { schema: SCHEMA, files }
    }

    /// Reads the text of a label.
    pub fn parse(text: &str) -> Result<Self, NeedsError> {
        let needs: Self = serde_json::from_str(text)?;
        if needs.schema == SCHEMA { Ok(needs) } else { Err(NeedsError::Schema { found: needs.schema }) }
    }

    /// The text of a label.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "needs have text keys and whole numbers")]
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("needs have text keys and whole numbers")
    }

    /// What is needed, each with its file.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Need)> {
        self.files.iter().flat_map(|file| file.needs().into_iter().map(|need| (file.file.as_str(), need)))
    }

    /// What the new layers lack and the old ones have. What neither of them has was missing before, and its file did
    /// without.
    #[must_use]
    pub fn lacking(&self, old: &Provides, new: &Provides) -> Vec<Lack> {
        let lost = self.iter().filter(|(_, need)| !new.has(need) && old.has(need));
        lost.map(|(file, need)| Lack { file: file.to_owned(), need }).collect()
    }
}

impl FileNeeds {
    fn of(path: &TreePath, fact: &Fact, facts: &Facts, node_modules: Option<u32>) -> Self {
        let mut needs = Self { file: path.to_string(), ..Self::default() };
        needs.python.extend(facts::python_tags(path, fact));
        match fact {
            Fact::Elf(elf) => {
                for (library, versions) in elf.needed.iter().filter(|(library, _)| !facts.brings(library)) {
                    needs.libraries.insert(library.clone(), versions.clone());
                }
                needs.symbols.clone_from(&elf.napi_used);
                let is_addon = path.name().ends_with(b".node") && elf.napi_used.is_empty();
                needs.node_modules = elf.node_modules.or(node_modules.filter(|_| is_addon));
            }
            Fact::Script { interpreter, program } => {
                needs.paths.extend(Some(format!("/{interpreter}")).filter(|path| !facts.has(path)));
                needs.programs.extend(program.clone().filter(|program| !facts.brings_program(program)));
            }
            Fact::Link(target) => {
                needs.paths.extend(Some(target.clone()).filter(|path| !facts.has(path)));
            }
            Fact::Wheel(_) | Fact::Other => {}
        }
        needs
    }

    fn needs(&self) -> Vec<Need> {
        let libraries = self.libraries.iter().flat_map(|(library, versions)| {
            let version =
                |version: &String| Need::Version { library: library.clone(), version: version.clone() };
            std::iter::once(Need::Library(library.clone())).chain(versions.iter().map(version))
        });
        let named = |make: fn(String) -> Need, names: &BTreeSet<String>| {
            names.iter().cloned().map(make).collect::<Vec<_>>()
        };
        libraries
            .chain(named(Need::Symbol, &self.symbols))
            .chain(self.node_modules.map(Need::NodeModules))
            .chain(named(Need::Python, &self.python))
            .chain(named(Need::Path, &self.paths))
            .chain(named(Need::Program, &self.programs))
            .collect()
    }

    /// What another one does not have.
    fn less(mut self, known: &Self) -> Self {
        for (library, versions) in &mut self.libraries {
            if let Some(there) = known.libraries.get(library) {
                versions.retain(|version| !there.contains(version));
            }
        }
        let is_known = |library: &String| known.libraries.contains_key(library);
        self.libraries.retain(|library, versions| !versions.is_empty() || !is_known(library));
        self.symbols.retain(|name| !known.symbols.contains(name));
        self.python.retain(|name| !known.python.contains(name));
        self.paths.retain(|name| !known.paths.contains(name));
        self.programs.retain(|name| !known.programs.contains(name));
        self.node_modules = self.node_modules.filter(|version| known.node_modules != Some(*version));
        self
    }

    fn take(&mut self, new: &Self) {
        for (library, versions) in &new.libraries {
            self.libraries.entry(library.clone()).or_default().extend(versions.iter().cloned());
        }
        self.symbols.extend(new.symbols.iter().cloned());
        self.python.extend(new.python.iter().cloned());
        self.paths.extend(new.paths.iter().cloned());
        self.programs.extend(new.programs.iter().cloned());
        self.node_modules = new.node_modules.or(self.node_modules);
    }

    fn is_something(&self) -> bool {
        !self.needs().is_empty()
    }
}
