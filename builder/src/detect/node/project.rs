//! Where the app is among the packages of a source: its own `package.json`, and the workspace that it belongs to.

use std::collections::BTreeSet;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::detect::DetectError;
use crate::detect::files::Files;
use crate::detect::yaml;

use super::package::{Package, join};

/// The file in which pnpm describes a workspace.
pub(super) const PNPM_WORKSPACE: &str = "pnpm-workspace.yaml";

/// An app and the packages around it. All directories are relative to the directory that the user named.
#[derive(Clone, Debug)]
pub(super) struct Project {
    /// The package of the app.
    pub(super) app: Package,
    /// The package of the workspace that the app belongs to, if it is not the app's own.
    pub(super) root: Option<Package>,
    /// The directory that the lock file belongs in.
    pub(super) root_directory: String,
    /// The other packages of the workspace.
    pub(super) members: Vec<Package>,
    /// Where the user named a workspace: the directories of those of its packages that are apps.
    pub(super) apps: Vec<String>,
}

impl Project {
    /// Reads the project; none when the directory has no `package.json`.
    pub(super) fn read(files: &Files<'_>) -> Result<Option<Self>, DetectError> {
        let Some(app) = Package::read(files, "")? else { return Ok(None) };
        let depth = app.file.matches('/').count();
        if let Some(patterns) = patterns(files, &app)? {
            return Ok(Some(Self::of_workspace(files, app, &patterns)?));
        }
        for up in 1..=depth {
            let directory = vec![".."; up].join("/");
            let Some(root) = Package::read(files, &directory)? else { continue };
            let Some(patterns) = patterns(files, &root)? else { continue };
            let below: Vec<&str> = app.file.split('/').rev().skip(1).take(up).collect();
            let below = below.into_iter().rev().collect::<Vec<_>>().join("/");
            if patterns.is_match(&below) && !has_own_lock(files) {
                let members = members(files, &directory, &patterns)?;
                let members = members.into_iter().filter(|member| member.file != app.file).collect();
                return Ok(Some(Self {
                    app,
                    root: Some(root),
                    root_directory: directory,
                    members,
                    apps: Vec::new(),
                }));
            }
        }
        Ok(Some(Self {
            app,
            root: None,
            root_directory: String::new(),
            members: Vec::new(),
            apps: Vec::new(),
        }))
    }

    /// The user named a workspace. Where it starts nothing itself and one of its packages does, that one is the app.
    fn of_workspace(files: &Files<'_>, root: Package, patterns: &GlobSet) -> Result<Self, DetectError> {
        let mut members = members(files, "", patterns)?;
        let is_app = |member: &Package| starts(member) || files.has(&join(&member.directory, "Procfile"));
        let starts_itself = starts(&root) || files.has("Procfile");
        let apps: Vec<String> =
            members.iter().filter(|member| is_app(member)).map(|member| member.directory.clone()).collect();
        let (app, apps, root) = match apps.as_slice() {
            [only] if !starts_itself => {
                let at = members.iter().position(|member| member.directory == *only).unwrap_or_default();
                (members.remove(at), Vec::new(), Some(root))
            }
            _ if starts_itself => (root, Vec::new(), None),
            _ => (root, apps, None),
        };
        Ok(Self { app, root, root_directory: String::new(), members, apps })
    }

    /// The packages whose files count for the app, its own first.
    pub(super) fn packages(&self) -> impl Iterator<Item = &Package> {
        std::iter::once(&self.app).chain(&self.root)
    }

    /// The package that the lock file is of.
    pub(super) fn root(&self) -> &Package {
        self.root.as_ref().unwrap_or(&self.app)
    }

    /// Whether the app is a package of a workspace, and not its root.
    pub(super) fn is_member(&self) -> bool {
        self.root.is_some()
    }

    /// The directory of a package, relative to that of the workspace.
    pub(super) fn in_root(&self, package: &Package) -> String {
        let root = self.root().file.rsplit_once('/').map_or("", |(directory, _)| directory);
        let directory = package.file.rsplit_once('/').map_or("", |(directory, _)| directory);
        directory.strip_prefix(root).unwrap_or(directory).trim_start_matches('/').to_owned()
    }

    /// The packages of the workspace that the app needs, each after those that it needs itself.
    pub(super) fn needed(&self) -> Vec<&Package> {
        let mut done = BTreeSet::new();
        let mut needed = Vec::new();
        self.visit(&self.app, &mut done, &mut needed);
        needed
    }

    fn visit<'p>(
        &'p self,
        package: &'p Package,
        done: &mut BTreeSet<&'p str>,
        needed: &mut Vec<&'p Package>,
    ) {
        for name in package.dependencies() {
            let member = self.members.iter().find(|member| member.name() == Some(name));
            if let Some(member) = member.filter(|member| done.insert(member.directory.as_str())) {
                self.visit(member, done, needed);
                needed.push(member);
            }
        }
    }
}

/// Whether a package says how it is started, or is of a framework that knows.
fn starts(package: &Package) -> bool {
    let frameworks = ["@nestjs/core", "@sveltejs/kit", "astro", "next", "nuxt"];
    ["start", "start:prod"].iter().any(|name| package.script(name).is_some())
        || frameworks.iter().any(|name| package.depends_on(name))
}

/// A package with a lock file of its own is installed by itself, whatever lies above.
fn has_own_lock(files: &Files<'_>) -> bool {
    super::manager::LOCKS.iter().any(|(name, _)| files.has(name))
}

/// Which directories below a package are of its workspace; none when it is not the root of one.
fn patterns(files: &Files<'_>, root: &Package) -> Result<Option<GlobSet>, DetectError> {
    let listed = root.get(&["workspaces"]);
    let listed =
        listed.and_then(|value| value.get("packages").or(Some(value))).and_then(|value| value.as_array());
    let mut texts: Option<Vec<String>> =
        listed.map(|all| all.iter().filter_map(|text| text.as_str().map(str::to_owned)).collect());
    if let Some(found) = files.text(&join(&root.directory, PNPM_WORKSPACE))? {
        texts = yaml::read(&found)?.texts("packages").or(texts);
    }
    Ok(texts.map(|texts| glob_set(&texts)))
}

/// What workspaces' patterns match. Those that say what is no package are left to the installer.
fn glob_set(texts: &[String]) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for text in texts.iter().filter(|text| !text.starts_with('!')) {
        let text = text.trim_start_matches("./").trim_end_matches('/');
        if let Ok(glob) = GlobBuilder::new(text).literal_separator(true).build() {
            set.add(glob);
        }
    }
    set.build().unwrap_or_default()
}

fn members(files: &Files<'_>, root: &str, patterns: &GlobSet) -> Result<Vec<Package>, DetectError> {
    let mut members = Vec::new();
    for below in files.directories_with(root, crate::package_json::FILE_NAME) {
        let is_foreign = below.split('/').any(|part| part == "node_modules");
        if !below.is_empty() && !is_foreign && patterns.is_match(&below) {
            members.extend(Package::read(files, &join(root, &below))?);
        }
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use lapstrake_oci::tree::TreePath;

    use super::*;
    use crate::detect::files::tests::tree;

    const WORKSPACE: &[(&str, &str)] = &[
        ("package.json", r#"{"workspaces": ["packages/*", "!packages/old"]}"#),
        (
            "packages/api/package.json",
            r#"{"name": "api", "scripts": {"start": "node ."}, "dependencies": {"b": "*", "ms": "2"}}"#,
        ),
        ("packages/a/package.json", r#"{"name": "a"}"#),
        (
            "packages/b/package.json",
            r#"{"name": "b", "dependencies": {"a": "*"}, "devDependencies": {"api": "*"}}"#,
        ),
        ("packages/c/package.json", r#"{"name": "c"}"#),
        ("packages/a/node_modules/x/package.json", "{}"),
        ("tools/package.json", "{}"),
    ];

    fn read(files: &[(&str, &str)], directory: Option<&str>) -> Project {
        let tree = tree(files);
        let directory = directory.map(|text| TreePath::new(text).unwrap());
        Project::read(&Files::new(&tree, directory.as_ref())).unwrap().unwrap()
    }

    fn named<'p>(packages: impl IntoIterator<Item = &'p Package>) -> Vec<&'p str> {
        packages.into_iter().filter_map(Package::name).collect()
    }

    #[test]
    fn an_app_finds_the_workspace_that_it_is_in_and_what_it_needs_of_it_in_order() {
        let project = read(WORKSPACE, Some("packages/api"));
        assert!(project.is_member());
        assert_eq!(
            (project.root_directory.as_str(), project.root().file.as_str()),
            ("../..", "package.json")
        );
        assert_eq!(project.in_root(&project.app), "packages/api");
        assert_eq!(named(&project.members), ["a", "b", "c"]);
        assert_eq!(named(project.needed()), ["a", "b"]);
    }

    #[test]
    fn a_package_that_no_pattern_matches_or_that_has_a_lock_of_its_own_is_alone() {
        assert!(!read(WORKSPACE, Some("tools")).is_member());
        let mut files = WORKSPACE.to_vec();
        files.push(("packages/api/yarn.lock", ""));
        assert!(!read(&files, Some("packages/api")).is_member());
    }

    #[test]
    fn the_one_package_of_a_workspace_that_starts_is_the_app() {
        let project = read(WORKSPACE, None);
        assert_eq!((project.app.name(), project.app.directory.as_str()), (Some("api"), "packages/api"));
        assert_eq!(project.in_root(&project.app), "packages/api");
        let mut files = WORKSPACE.to_vec();
        files.push(("packages/c/Procfile", "web: node c"));
        let project = read(&files, None);
        assert_eq!((project.app.name(), project.is_member()), (None, false));
        assert_eq!(project.apps, ["packages/api", "packages/c"]);
        files[0].1 =
            r#"{"name": "all", "workspaces": {"packages": ["packages/*"]}, "scripts": {"start": "node x"}}"#;
        let project = read(&files, None);
        assert_eq!((project.app.name(), project.apps.len()), (Some("all"), 0));
    }

    #[test]
    fn the_packages_of_pnpm_are_listed_in_a_file_of_their_own() {
        let files = [
            ("package.json", "{}"),
            ("pnpm-workspace.yaml", "packages:\n  - 'apps/**'\n"),
            ("apps/x/web/package.json", r#"{"name": "web"}"#),
        ];
        let project = read(&files, Some("apps/x/web"));
        assert_eq!((project.is_member(), project.root_directory.as_str()), (true, "../../.."));
        let settings_only = [("package.json", "{}"), ("pnpm-workspace.yaml", "nodeLinker: hoisted\n")];
        assert!(!read(&settings_only, None).is_member());
    }
}
