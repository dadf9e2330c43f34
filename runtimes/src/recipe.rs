//! Recipes: what people want in the layers and images of each runtime.
//!
//! A recipe names packages and rules, a [lock](crate::lock) the exact files. There is one TOML file for each operating
//! system and one for each runtime; every key that is not known is an error.

mod check;

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::{Deserialize, Deserializer, Serialize};

use crate::arch::Arch;
use check::meaning;

/// Everything that people wrote: operating systems by name and runtimes by name.
#[derive(Debug, Clone, Default)]
pub struct Recipes {
    /// Operating systems, by names such as `debian13`.
    pub oses: BTreeMap<String, OsRecipe>,
    /// Runtimes, by names such as `python3` and `nodejs22`.
    pub runtimes: BTreeMap<String, RuntimeRecipe>,
}

/// Why a recipe cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// The file is no TOML of the expected shape.
    #[error("recipe `{file}` is not understood")]
    Syntax {
        /// The name of the file.
        file: String,
        /// What the parser says, with line and column.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// The file is well formed, but refers to something that does not exist or is there twice.
    #[error("recipe `{file}`: {reason}")]
    Meaning {
        /// The name of the file.
        file: String,
        /// What does not fit.
        reason: String,
    },
}

/// A base system: a suite of packages, its dates, and the layers that all its runtimes share.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OsRecipe {
    /// Its name, `debian13`.
    pub name: String,
    /// The code name of its suite, `trixie`.
    pub suite: String,
    /// The version of its C library, `2.41`.
    pub glibc: String,
    /// The last day of regular support; none for a system that has not been released.
    #[serde(default, deserialize_with = "date")]
    pub os_eol: Option<Date>,
    /// The last day of long-term support.
    #[serde(default, deserialize_with = "date")]
    pub os_lts: Option<Date>,
    /// Where packages come from, in the order in which equal versions are preferred.
    #[serde(rename = "archive")]
    pub suites: Vec<SuiteRecipe>,
    /// Packages that no layer of this system takes, whatever depends on them.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Globs of paths that every layer of this system drops.
    #[serde(default)]
    pub prune: Vec<String>,
    /// The layers.
    #[serde(default, rename = "layer")]
    pub layers: Vec<LayerRecipe>,
}

/// One suite of a package archive.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuiteRecipe {
    /// Its name, `trixie-security`.
    pub name: String,
    /// Which of the archive's sites has it.
    pub site: Site,
    /// Whether an index past its `Valid-Until` is taken; the lock records it.
    #[serde(default)]
    pub allow_stale: bool,
}

/// The sites of the package archive: they have base addresses of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Site {
    /// The archive itself.
    Main,
    /// Security fixes.
    Security,
}

/// A runtime as an app file names it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuntimeRecipe {
    /// Its name, `python3` or `nodejs22`.
    pub name: String,
    /// `python` or `node`.
    pub language: String,
    /// The version that is taken when the request leaves it open.
    pub default: String,
    /// The form of a version, for people.
    pub grammar: String,
    /// The runtime to move to.
    #[serde(default)]
    pub successor: Option<String>,
    /// Other names, each of which fixes a line.
    #[serde(default)]
    pub aliases: BTreeMap<String, String>,
    /// SPDX identifiers.
    pub licenses: Vec<String>,
    /// Start of the CPE name, `cpe:2.3:a:python:python`.
    pub cpe: String,
    /// What the entry images run by default.
    pub cmd: Vec<String>,
    /// The environment of the entry images.
    pub env: BTreeMap<String, String>,
    /// For each image kind the roles of its layers, lowest first.
    pub images: BTreeMap<String, Vec<String>>,
    /// The lines, oldest first.
    #[serde(rename = "line")]
    pub lines: Vec<LineRecipe>,
}

/// One line of a runtime: the newest version that the suite or the registry has of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineRecipe {
    /// What its versions begin with: `3.13`, `22`.
    pub version: String,
    /// The operating system below.
    pub os: String,
    /// What is stored as the status of new entries.
    #[serde(default)]
    pub status: LineStatus,
    /// The last day of support by its makers.
    #[serde(default, deserialize_with = "date")]
    pub upstream_eol: Option<Date>,
    /// Who patches it: decides which end of support counts.
    pub origin: Origin,
    /// The artifact whose version is the version of the language.
    pub version_of: String,
    /// The name of the language's binary interface, `cp313`.
    pub abi: String,
    /// The platforms that an entry needs; all of them move together.
    pub platforms: Vec<String>,
    /// Layers of this line alone.
    #[serde(default, rename = "layer")]
    pub layers: Vec<LayerRecipe>,
}

/// The stored status of a line's new entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LineStatus {
    /// Taken only when it is asked for.
    Preview,
    /// Taken by default.
    #[default]
    Active,
}

/// Where the language's own files come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A distribution's package, patched by the distribution.
    Deb,
    /// A binary of its makers, in an npm package.
    Npm,
}

/// What one layer is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerRecipe {
    /// The word by which an image's list of layers names it: `os`, `python`, `cc`.
    pub role: String,
    /// Its name within the operating system, `python3.13`; the role if it is not given.
    #[serde(default)]
    pub name: String,
    /// How its artifacts become files.
    #[serde(default)]
    pub install: Install,
    /// The roles of the layers that are below it in every image: what they hold is not taken again.
    #[serde(default)]
    pub below: Vec<String>,
    /// Debian packages; their dependencies come with them.
    #[serde(default)]
    pub packages: Vec<String>,
    /// Packages that this layer does not take, besides those of the operating system.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Packages of the npm registry.
    #[serde(default)]
    pub npm: Vec<PackageRecipe>,
    /// Wheels of the Python index.
    #[serde(default)]
    pub wheels: Vec<PackageRecipe>,
    /// Globs of paths that are dropped, besides those of the operating system.
    #[serde(default)]
    pub prune: Vec<String>,
    /// Symbolic links to add, path to target.
    #[serde(default)]
    pub links: BTreeMap<String, String>,
    /// The minor version of the Python it belongs to, `3.13`, where that decides paths.
    #[serde(default)]
    pub python: Option<String>,
}

/// A package of a language's own registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageRecipe {
    /// Its name; `{npm_arch}` stands for `x64` or `arm64`.
    pub name: String,
    /// A version or the beginning of one: the newest that matches, and that all platforms have, is taken.
    pub version: String,
}

/// How a layer's artifacts become files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Install {
    /// Debian packages, merged.
    #[default]
    Debs,
    /// The same, and the files of a base system that maintainer scripts would make; with a shell and its tools.
    Base,
    /// The same without a shell.
    BaseMinimal,
    /// Debian packages with a Python standard library, which is compiled.
    Python,
    /// pip's wheel, and the Debian packages that `venv` needs.
    Pip,
    /// The `node` binary of an npm package.
    Node,
    /// Node's C headers of the same package.
    NodeHeaders,
    /// npm itself.
    Npm,
    /// corepack, which fetches yarn and pnpm.
    Corepack,
    /// Nothing is installed: the packages are read for what their makers chose. No dependencies.
    Reference,
}

impl Install {
    /// Whether the packages are read and not installed.
    #[must_use]
    pub fn is_reference(self) -> bool {
        self == Self::Reference
    }
}

impl Recipes {
    /// Reads recipes, each with the name of its file, and checks that what they refer to exists.
    pub fn parse<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, RecipeError> {
        let mut recipes = Self::default();
        let mut runtimes = Vec::new();
        for (file, text) in files {
            match RecipeFile::parse(file, text)? {
                RecipeFile::Os(os) => {
                    os.check(file)?;
                    if recipes.oses.insert(os.name.clone(), os).is_some() {
                        return Err(meaning(file, "its operating system has another recipe already"));
                    }
                }
                RecipeFile::Runtime(runtime) => runtimes.push((file, runtime)),
            }
        }
        for (file, runtime) in runtimes {
            runtime.check(file, &recipes.oses)?;
            if recipes.runtimes.insert(runtime.name.clone(), runtime).is_some() {
                return Err(meaning(file, "its runtime has another recipe already"));
            }
        }
        Ok(recipes)
    }

    /// The layer of a role in a line: the line's own, else the operating system's.
    #[must_use]
    pub fn layer<'a>(&'a self, line: &'a LineRecipe, role: &str) -> Option<&'a LayerRecipe> {
        let shared = self.oses.get(&line.os).map_or(&[][..], |os| &os.layers);
        line.layers.iter().chain(shared).find(|layer| layer.role == role)
    }

    /// Every line with its runtime, in the order of their names.
    pub fn lines(&self) -> impl Iterator<Item = (&RuntimeRecipe, &LineRecipe)> {
        self.runtimes.values().flat_map(|runtime| runtime.lines.iter().map(move |line| (runtime, line)))
    }
}

enum RecipeFile {
    Os(OsRecipe),
    Runtime(RuntimeRecipe),
}

impl RecipeFile {
    fn parse(file: &str, text: &str) -> Result<Self, RecipeError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Tables {
            os: Option<OsRecipe>,
            runtime: Option<RuntimeRecipe>,
        }
        let tables: Tables = toml::from_str(text)
            .map_err(|source| RecipeError::Syntax { file: file.to_owned(), source: Box::new(source) })?;
        match (tables.os, tables.runtime) {
            (Some(os), None) => Ok(Self::Os(os)),
            (None, Some(runtime)) => Ok(Self::Runtime(runtime)),
            _ => Err(meaning(file, "it must have one of the tables `os` and `runtime`")),
        }
    }
}

impl LayerRecipe {
    /// The name within the operating system.
    #[must_use]
    pub fn name(&self) -> &str {
        if self.name.is_empty() { &self.role } else { &self.name }
    }

    /// The name of the lock of this layer.
    #[must_use]
    pub fn lock_name(&self, os: &str, arch: Arch) -> String {
        format!("{}-{os}-{arch}", self.name())
    }
}

/// TOML has dates of its own; this reads one of them, without a time.
fn date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Date>, D::Error> {
    let value = toml::value::Datetime::deserialize(deserializer)?;
    value.to_string().parse().map(Some).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OS: &str = r#"
        [os]
        name = "debian13"
        suite = "trixie"
        glibc = "2.41"
        os_eol = 2028-08-09
        [[os.archive]]
        name = "trixie"
        site = "main"
        [[os.layer]]
        role = "os"
        packages = ["libc6"]
    "#;

    #[test]
    fn dates_are_those_of_toml() {
        let recipes = Recipes::parse([("debian13", OS)]).unwrap();
        assert_eq!(recipes.oses["debian13"].os_eol, Some(jiff::civil::date(2028, 8, 9)));
        assert_eq!(recipes.oses["debian13"].os_lts, None);
    }

    #[test]
    fn a_key_that_is_not_known_is_an_error() {
        let text = OS.replace("glibc =", "colour = \"red\"\nglibc =");
        let error = Recipes::parse([("debian13", text.as_str())]).unwrap_err();
        assert!(matches!(error, RecipeError::Syntax { ref file, .. } if file == "debian13"), "{error}");
    }

    #[test]
    fn a_role_that_does_not_exist_is_an_error() {
        let text = OS.replace("role = \"os\"", "role = \"os\"\nbelow = [\"base\"]");
        let error = Recipes::parse([("debian13", text.as_str())]).unwrap_err();
        assert_eq!(error.to_string(), "recipe `debian13`: `os` names the layer `base`, which does not exist");
    }
}
