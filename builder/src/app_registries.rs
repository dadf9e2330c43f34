//! Registries that the app's own files name.
//!
//! Package managers let variables win over files. Where the app names a registry, that of this machine must stay out of
//! the way: a private package would be asked for at a public registry, where anybody may have published one of its name,
//! and the login of this machine would be sent to another host.

use lapstrake_oci::tree::{FileTree, Kind, TreePath};
use toml::{Table, Value};

/// No configuration is longer.
const LARGEST: u64 = 1 << 20;

/// For which package managers the app names a registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppRegistries {
    /// For npm, pnpm and the first yarn, in `.npmrc` or `.yarnrc`.
    pub npm: bool,
    /// For the later yarns, in `.yarnrc.yml`.
    pub yarn: bool,
    /// Not a registry, but how often npm and pnpm ask one again that fails, in `.npmrc`.
    pub npm_retries: Retries,
    /// For uv: the index that stands in for the public one, in `uv.toml` or `pyproject.toml`.
    pub uv: bool,
}

/// Who says how often a package manager asks again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retries {
    /// The build.
    #[default]
    OfBuild,
    /// The app.
    OfApp,
}

impl AppRegistries {
    /// Looks into the files at the root of the source and in the directory of the app.
    #[must_use]
    pub fn of(source: &FileTree, directory: Option<&TreePath>) -> Self {
        let any = |file: &str, holds: &dyn Fn(&str) -> bool| {
            let at_root = TreePath::new(file);
            let in_directory = directory.map(|directory| directory.join(file));
            let mut paths = std::iter::once(at_root).chain(in_directory).filter_map(Result::ok);
            paths.any(|path| text(source, &path).is_some_and(|text| holds(&text)))
        };
        let named = |file: &str, key: &str| any(file, &|text| sets(text, key));
        let says_retries = |text: &str| text.lines().any(|line| line.trim_start().starts_with("fetch-retr"));
        let settings = |text: &str| text.parse::<Table>().ok();
        let in_project = |text: &str| {
            settings(text).is_some_and(|project| {
                project.get("tool").and_then(|tool| tool.get("uv")?.as_table()).is_some_and(replaces_index)
            })
        };
        Self {
            npm: named(".npmrc", "registry") || named(".yarnrc", "registry"),
            npm_retries: if any(".npmrc", &says_retries) { Retries::OfApp } else { Retries::OfBuild },
            yarn: named(".yarnrc.yml", "npmRegistryServer"),
            uv: any("uv.toml", &|text| settings(text).as_ref().is_some_and(replaces_index))
                || any("pyproject.toml", &in_project),
        }
    }
}

/// Whether settings of uv name an index instead of the public one.
fn replaces_index(uv: &Table) -> bool {
    let is_default = |index: &Value| index.get("default").and_then(Value::as_bool) == Some(true);
    uv.contains_key("index-url")
        || uv.get("index").and_then(Value::as_array).is_some_and(|indexes| indexes.iter().any(is_default))
}

fn text(source: &FileTree, path: &TreePath) -> Option<String> {
    match &source.get(path)?.kind {
        Kind::File(content) if content.len() <= LARGEST => String::from_utf8(content.read().ok()?).ok(),
        _ => None,
    }
}

/// Whether a line begins with a key: `registry=URL`, `registry "URL"`, `npmRegistryServer: URL`.
fn sets(text: &str, key: &str) -> bool {
    let after =
        |line: &str| line.strip_prefix(key).map(|rest| rest.trim_start().starts_with(['=', ':', '"', 'h']));
    text.lines().any(|line| after(line.trim_end()) == Some(true))
}

#[cfg(test)]
mod tests {
    use lapstrake_oci::tree::Node;

    use super::*;

    fn found(files: &[(&str, &str)], directory: Option<&str>) -> AppRegistries {
        let node = |text: &str| Node::file(text.as_bytes().to_vec(), 0o644);
        let tree = files.iter().map(|(path, text)| (TreePath::new(path).unwrap(), node(text))).collect();
        AppRegistries::of(&tree, directory.map(|path| TreePath::new(path).unwrap()).as_ref())
    }

    #[test]
    fn a_registry_is_found_in_the_file_of_each_package_manager() {
        let none = AppRegistries::default();
        let (npm, yarn) = (AppRegistries { npm: true, ..none }, AppRegistries { yarn: true, ..none });
        let uv = AppRegistries { uv: true, ..none };
        assert_eq!(found(&[(".npmrc", "a=b\nregistry = https://npm.example/\n")], None), npm);
        assert_eq!(found(&[(".yarnrc", "registry \"https://npm.example/\"\n")], None), npm);
        assert_eq!(found(&[(".yarnrc.yml", "npmRegistryServer: \"https://npm.example/\"\n")], None), yarn);
        let index = "[[index]]\nname = 'x'\nurl = 'https://index.example/simple'\ndefault = true\n";
        assert_eq!(found(&[("uv.toml", index)], None), uv);
        assert_eq!(found(&[("pyproject.toml", &index.replace("index]", "tool.uv.index]"))], None), uv);
        assert_eq!(
            found(&[("pyproject.toml", "[tool.uv]\nindex-url = 'https://index.example/'\n")], None),
            uv
        );
        let retries = AppRegistries { npm_retries: Retries::OfApp, ..none };
        assert_eq!(found(&[(".npmrc", "fetch-retries=9\n")], None), retries);
        assert_eq!(found(&[("web/.npmrc", "registry=https://npm.example/")], Some("web")), npm);
        assert_eq!(found(&[(".npmrc", "registry=https://npm.example/")], Some("web")), npm);
    }

    #[test]
    fn a_registry_of_a_scope_a_login_or_another_app_is_none() {
        let none = AppRegistries::default();
        let scoped = "@team:registry=https://npm.example/\n//npm.example/:_authToken=x\n; registry=x\n";
        assert_eq!(found(&[(".npmrc", scoped)], None), none);
        assert_eq!(found(&[("other/.npmrc", "registry=https://npm.example/")], Some("web")), none);
        assert_eq!(found(&[(".yarnrc.yml", "npmScopes:\n  team:\n    npmRegistryServer: x\n")], None), none);
        let further = "[[tool.uv.index]]\nname = 'x'\nurl = 'https://index.example/simple'\n";
        assert_eq!(found(&[("pyproject.toml", further)], None), none);
        assert_eq!(found(&[("pyproject.toml", "[tool.other]\nindex-url = 'x'\n")], None), none);
        assert_eq!(found(&[], None), none);
    }
}
