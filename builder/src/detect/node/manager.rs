//! Which package manager installs the app's dependencies, in which release, and how it is called.

use lapstrake_catalog::EnginesRange;

use crate::command_line::quoted;
use crate::detect::files::Files;
use crate::detect::yaml::{self, Keys};
use crate::detect::{Decided, DetectError, Finding};

use super::lock::Lock;
use super::named::{Named, named};
use super::package::{Package, join};
use super::project::{PNPM_WORKSPACE, Project};
use super::releases::{self, Release};

/// Lock files and the managers that write them, in the order in which they count.
///
/// npm writes its own whenever somebody runs it in passing, and of npm's two the one that is published counts.
pub(super) const LOCKS: [(&str, Family); 4] = [
    ("pnpm-lock.yaml", Family::Pnpm),
    ("yarn.lock", Family::Yarn),
    ("npm-shrinkwrap.json", Family::Npm),
    ("package-lock.json", Family::Npm),
];

/// Lock files of managers that are not here.
const FOREIGN_LOCKS: [(&str, &str); 3] = [("bun.lock", "Bun"), ("bun.lockb", "Bun"), ("deno.lock", "Deno")];

/// The name that a package manager is called by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Npm,
    Pnpm,
    Yarn,
}

impl Family {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::Pnpm => "pnpm",
            Self::Yarn => "yarn",
        }
    }
}

/// What kind of package manager it is: one kind has one set of commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Npm,
    Pnpm,
    /// Yarn 1.
    Classic,
    /// Yarn 2 and later.
    Berry,
}

/// A package manager of an app.
#[derive(Debug)]
pub(super) struct Manager {
    pub(super) kind: Kind,
    /// The first component of its version, where it is known.
    pub(super) major: Option<u32>,
    /// How commands call it.
    pub(super) call: String,
    /// The lock file, or what else decided the manager.
    pub(super) because: Finding,
    /// Whether there is a lock file of its.
    pub(super) is_locked: bool,
    /// The command that puts it in place, where it is not there by itself.
    pub(super) setup: Option<Decided>,
    /// Variables that it needs.
    pub(super) env: Vec<(String, Decided)>,
    /// What is particular to yarn 2 and later.
    pub(super) yarn: Yarn,
    pub(super) findings: Vec<Finding>,
    pub(super) notes: Vec<String>,
}

/// How yarn 2 or a later one is set up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Yarn {
    /// Whether it is set to Plug'n'Play: packages stay in zip files.
    pub(super) is_plug_and_play: bool,
    /// Whether its zip files are part of the source.
    pub(super) has_cache: bool,
    /// Whether it knows `workspaces focus`.
    pub(super) can_focus: bool,
}

impl Manager {
    /// Finds the manager of a project.
    pub(super) fn of(files: &Files<'_>, project: &Project) -> Result<Self, DetectError> {
        let mut notes = Vec::new();
        let named = project.packages().find_map(|package| named(package, &mut notes));
        let root = &project.root_directory;
        let locks: Vec<(&str, Family)> =
            LOCKS.into_iter().filter(|(name, _)| files.has(&join(root, name))).collect();
        let family = match (&named, locks.first()) {
            (Some(named), _) => named.family,
            (None, Some((_, family))) => *family,
            (None, None) => Family::Npm,
        };
        let lock = match locks.iter().find(|(_, other)| *other == family) {
            Some((name, _)) => Lock::read(files, &join(root, name))?,
            None => None,
        };
        notes.extend(note_of_locks(files, project, &locks, family, named.as_ref()));
        let because = match (&lock, &named) {
            (Some(lock), _) => lock.finding(family.name()),
            (None, Some(named)) => named.because.clone(),
            (None, None) => project.root().finding(&[], "the dependencies, which no lock file pins"),
        };
        if lock.is_none() && project.packages().any(Package::has_dependencies) {
            notes.push(format!("{}: no lock file pins the dependencies, so another build may get others; commit the lock file that `{} install` writes", project.root().file, family.name()));
        }
        let mut manager = Self {
            kind: Kind::Npm,
            major: None,
            call: family.name().to_owned(),
            because,
            is_locked: lock.is_some(),
            setup: None,
            env: Vec::new(),
            yarn: Yarn::default(),
            findings: Vec::new(),
            notes,
        };
        if manager.is_locked || project.packages().any(Package::has_dependencies) {
            manager.findings.push(manager.because.clone());
        }
        match family {
            Family::Npm => manager.findings.extend(named.map(|named| named.because)),
            Family::Pnpm => manager.set_pnpm(files, project, named.as_ref(), lock.as_ref())?,
            Family::Yarn => manager.set_yarn(files, project, named.as_ref(), lock.as_ref())?,
        }
        Ok(manager)
    }

    fn set_pnpm(
        &mut self,
        files: &Files<'_>,
        project: &Project,
        named: Option<&Named>,
        lock: Option<&Lock>,
    ) -> Result<(), DetectError> {
        self.kind = Kind::Pnpm;
        let settings = pnpm_settings(files, project)?;
        let release = match range_of(project, "pnpm") {
            Some(range) => {
                [releases::PNPM_9, releases::PNPM_10].into_iter().find(|release| satisfies(*release, &range))
            }
            None => None,
        };
        let version = lock.and_then(|lock| lock.version.clone());
        let release = release.unwrap_or_else(|| releases::pnpm(version.as_deref(), settings.is_some()));
        self.take(named, release, version.is_some().then(|| "which writes such lock files".to_owned()));
        if named.is_none_or(|named| named.version.is_none()) && release == releases::PNPM_9 {
            self.notes.push("pnpm 9 was taken, which runs the installation scripts of all packages; name another in `packageManager`".to_owned());
        }
        if let Some(settings) = settings.filter(|_| release == releases::PNPM_10) {
            self.findings.push(settings);
        }
        // The store is a cache: below `/app` it would reach the image, and packages that nothing needs any more stay for
        // a week by default.
        let because = self.because.clone();
        let prefix = if self.major.is_some_and(|major| major >= 11) { "pnpm_config" } else { "npm_config" };
        self.env.push((format!("{prefix}_store_dir"), because.decides("/home/app/.cache/pnpm")));
        self.env.push((format!("{prefix}_modules_cache_max_age"), because.decides("0")));
        Ok(())
    }

    fn set_yarn(
        &mut self,
        files: &Files<'_>,
        project: &Project,
        named: Option<&Named>,
        lock: Option<&Lock>,
    ) -> Result<(), DetectError> {
        let root = &project.root_directory;
        let settings = match files.text(&join(root, ".yarnrc.yml"))? {
            Some(found) => yaml::read(&found)?,
            None => Keys::default(),
        };
        let settings_file = files.name(&join(root, ".yarnrc.yml"));
        let committed = settings.text("yarnPath").filter(|(path, _)| files.has(&join(root, path)));
        let named_major = named.and_then(|named| named.version.as_deref()).and_then(releases::major);
        let is_classic = match (named_major, committed, lock) {
            (Some(major), ..) => major < 2,
            (None, Some(_), _) => false,
            (None, None, Some(lock)) => !lock.is_berry,
            (None, None, None) => true,
        };
        if is_classic {
            self.kind = Kind::Classic;
            self.take(named, releases::YARN_1, None);
            return Ok(());
        }
        self.kind = Kind::Berry;
        let version = lock.and_then(|lock| lock.version.clone());
        if let Some((path, line)) = committed {
            let finding = Finding::new(&settings_file, format!("yarn is `{path}`"));
            self.findings.push(finding.at(crate::app_file::Position { line, column: 1 }));
            let directory = project.root().file.rsplit_once('/').map_or("", |(directory, _)| directory);
            self.call = format!("node {}", quoted(&join("/app", &join(directory, path))));
            self.major = path.rsplit("yarn-").next().and_then(releases::major);
        } else {
            let release = releases::yarn(version.as_deref().and_then(|version| version.parse().ok()));
            self.take(named, release, version.is_some().then(|| "which writes such lock files".to_owned()));
        }
        let linker = settings.text("nodeLinker").map_or("pnp", |(linker, _)| linker);
        let cached = files.names_in(&join(root, ".yarn/cache"));
        let plugin = ".yarn/plugins/@yarnpkg/plugin-workspace-tools.cjs";
        self.yarn = Yarn {
            is_plug_and_play: linker == "pnp",
            has_cache: cached.iter().any(|name| name.rsplit('.').next() == Some("zip")),
            can_focus: self.major.is_some_and(|major| major >= 4) || files.has(&join(root, plugin)),
        };
        Ok(())
    }

    /// Takes the release that the app names, or this one.
    fn take(&mut self, named: Option<&Named>, release: Release, why: Option<String>) {
        self.major = Some(release.major());
        if let Some(named) = named {
            self.findings.push(named.because.clone());
            if let Some(version) = &named.version {
                self.major = releases::major(version);
                if !named.has_digest && self.kind != Kind::Berry {
                    // Many registries hand on no signatures, and corepack gives up where it finds none.
                    self.env.push(("COREPACK_INTEGRITY_KEYS".to_owned(), named.because.decides("0")));
                    self.notes.push(format!("{}, without a digest, so the registry is trusted for it; `corepack use {}@{version}` writes one", named.because, named.family.name()));
                }
                return;
            }
        }
        let why = why.map(|why| format!(", {why}")).unwrap_or_default();
        let because =
            Finding { says: format!("{} {}{why}", release.name, release.version), ..self.because.clone() };
        self.setup = Some(because.decides(format!("corepack install --global {}", release.pinned())));
        self.notes.push(format!(
            "{} {} was taken; another is named by `packageManager` in `package.json`",
            release.name, release.version
        ));
    }
}

/// Says which lock file was taken where there are several, or where there is one of a manager that is not here.
fn note_of_locks(
    files: &Files<'_>,
    project: &Project,
    locks: &[(&str, Family)],
    family: Family,
    named: Option<&Named>,
) -> Option<String> {
    let root = &project.root_directory;
    let others: Vec<String> = locks
        .iter()
        .filter(|(_, other)| *other != family)
        .map(|(name, _)| format!("`{}`", files.name(&join(root, name))))
        .collect();
    if let Some(named) = named.filter(|_| !others.is_empty()) {
        return Some(format!(
            "{}, so {} is not used; remove what you do not use",
            named.because,
            others.join(", ")
        ));
    }
    if let (Some((taken, _)), false) = (locks.first(), others.is_empty()) {
        return Some(format!(
            "there is `{}` beside {}: the first was taken, because npm writes its own in passing; remove what you do not \
             use, or name the manager by `packageManager` in `package.json`",
            files.name(&join(root, taken)),
            others.join(", ")
        ));
    }
    let foreign =
        FOREIGN_LOCKS.into_iter().find(|(name, _)| locks.is_empty() && files.has(&join(root, name)))?;
    let (name, tool) = (files.name(&join(root, foreign.0)), foreign.1);
    Some(format!("`{name}` is of {tool}, which is not here: npm installs from `package.json`"))
}

/// What shows that an app is set up for pnpm 10 or later: settings in the file of the workspace, and permissions for
/// installation scripts.
fn pnpm_settings(files: &Files<'_>, project: &Project) -> Result<Option<Finding>, DetectError> {
    let of_workspace = ["packages", "catalog", "catalogs"];
    if let Some(found) = files.text(&join(&project.root_directory, PNPM_WORKSPACE))? {
        let keys = yaml::read(&found)?;
        if let Some((name, line)) = keys.names().find(|(name, _)| !of_workspace.contains(name)) {
            let at = crate::app_file::Position { line, column: 1 };
            return Ok(Some(Finding::new(&found.file, format!("`{name}` is a setting of pnpm 10")).at(at)));
        }
    }
    let allowed = ["onlyBuiltDependencies", "ignoredBuiltDependencies", "neverBuiltDependencies"];
    let key = allowed.into_iter().find(|key| project.root().get(&["pnpm", key]).is_some());
    Ok(key.map(|key| project.root().finding(&["pnpm", key], format!("`{key}` is a setting of pnpm 10"))))
}

fn range_of(project: &Project, manager: &str) -> Option<EnginesRange> {
    project.packages().find_map(|package| package.text(&["engines", manager])).and_then(EnginesRange::parse)
}

fn satisfies(release: Release, range: &EnginesRange) -> bool {
    release.version.parse().is_ok_and(|version| range.is_satisfied_by(version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::files::tests::tree;

    fn manager(files: &[(&str, &str)]) -> Manager {
        let mut all = vec![("package.json", "{}")];
        all.retain(|(name, _)| !files.iter().any(|(given, _)| given == name));
        all.extend(files);
        let tree = tree(&all);
        let files = Files::new(&tree, None);
        Manager::of(&files, &Project::read(&files).unwrap().unwrap()).unwrap()
    }

    fn setup(found: &Manager) -> &str {
        let text = found.setup.as_ref().map_or("", |setup| setup.text.as_str());
        text.split("+sha224").next().unwrap().trim_start_matches("corepack install --global ")
    }

    #[test]
    fn the_lock_file_decides_the_manager_and_its_release() {
        for (lock, text, kind, release) in [
            ("package-lock.json", "{}", Kind::Npm, ""),
            ("npm-shrinkwrap.json", "{}", Kind::Npm, ""),
            ("yarn.lock", "# yarn lockfile v1\n", Kind::Classic, "yarn@1.22.22"),
            ("yarn.lock", "__metadata:\n  version: 6\n", Kind::Berry, "yarn@3.8.7"),
            (
                "yarn.lock",
                "# x\n\n__metadata:\n  version: 10\n  cacheKey: 10c0\n",
                Kind::Berry,
                "yarn@4.18.1",
            ),
            ("pnpm-lock.yaml", "lockfileVersion: 5.4\n", Kind::Pnpm, "pnpm@7.33.7"),
            ("pnpm-lock.yaml", "lockfileVersion: '6.0'\n", Kind::Pnpm, "pnpm@8.15.9"),
            ("pnpm-lock.yaml", "lockfileVersion: '9.0'\n", Kind::Pnpm, "pnpm@9.15.9"),
        ] {
            let found = manager(&[(lock, text)]);
            assert_eq!((found.kind, setup(&found), found.is_locked), (kind, release, true), "{text}");
            assert_eq!(found.because.file, lock);
        }
    }

    #[test]
    fn without_a_lock_file_npm_installs_and_a_note_says_so_where_there_is_anything_to_install() {
        let found = manager(&[("package.json", r#"{"dependencies": {"ms": "2"}}"#)]);
        assert_eq!((found.kind, found.is_locked, found.notes.len()), (Kind::Npm, false, 1));
        assert_eq!(
            found.notes[0],
            "package.json: no lock file pins the dependencies, so another build may get others; commit the lock file that \
             `npm install` writes"
        );
        assert!(manager(&[]).notes.is_empty());
        let found = manager(&[("bun.lock", "")]);
        assert_eq!(
            found.notes,
            ["`bun.lock` is of Bun, which is not here: npm installs from `package.json`"]
        );
    }

    #[test]
    fn the_manager_that_the_package_names_counts_before_lock_files_and_needs_no_setup() {
        let files = [
            ("package.json", r#"{"packageManager": "pnpm@10.2.0+sha512.ab"}"#),
            ("pnpm-lock.yaml", "lockfileVersion: '9.0'\n"),
            ("package-lock.json", "{}"),
        ];
        let found = manager(&files);
        assert_eq!((found.kind, found.major, setup(&found)), (Kind::Pnpm, Some(10), ""));
        assert_eq!(
            found.findings.last().unwrap().to_string(),
            "package.json:1:20: pnpm 10.2.0 installs the packages"
        );
        assert_eq!(
            found.notes,
            [
                "package.json:1:20: pnpm 10.2.0 installs the packages, so `package-lock.json` is not used; remove what you do not use"
            ]
        );
        assert!(!found.env.iter().any(|(name, _)| name.starts_with("COREPACK")));
        let found = manager(&[("package.json", r#"{"packageManager": "yarn@4.9.0"}"#)]);
        assert_eq!((found.kind, found.call.as_str(), found.yarn.can_focus), (Kind::Berry, "yarn", true));
        let found = manager(&[("package.json", r#"{"packageManager": "bun@1.2.0"}"#)]);
        assert_eq!(found.kind, Kind::Npm);
        assert!(
            found.notes[0].ends_with("`bun` manages the packages, which is not here; npm, pnpm and yarn are")
        );
    }

    #[test]
    fn a_manager_named_without_a_digest_is_trusted_as_the_registry_gives_it_and_a_note_says_so() {
        let found = manager(&[(
            "package.json",
            r#"{"devEngines": {"packageManager": {"name": "pnpm", "version": "11.1.0"}}}"#,
        )]);
        assert_eq!(found.env[0].0, "COREPACK_INTEGRITY_KEYS");
        assert!(
            found.notes.iter().any(|note| note.contains("`corepack use pnpm@11.1.0`")),
            "{:?}",
            found.notes
        );
        assert_eq!(found.env[1].0, "pnpm_config_store_dir");
    }

    #[test]
    fn of_several_lock_files_one_is_taken_and_a_note_names_the_others() {
        let found = manager(&[("yarn.lock", ""), ("package-lock.json", "{}")]);
        assert_eq!(found.kind, Kind::Classic);
        assert!(
            found.notes[0]
                .starts_with("there is `yarn.lock` beside `package-lock.json`: the first was taken")
        );
    }

    #[test]
    fn settings_of_pnpm_10_and_its_range_tell_the_release() {
        let lock = ("pnpm-lock.yaml", "lockfileVersion: '9.0'\n");
        let settings = ("pnpm-workspace.yaml", "packages:\n  - a\nallowBuilds:\n  esbuild: true\n");
        let found = manager(&[lock, settings]);
        assert_eq!(setup(&found), "pnpm@10.34.9");
        assert_eq!(
            found.findings[1].to_string(),
            "pnpm-workspace.yaml:3:1: `allowBuilds` is a setting of pnpm 10"
        );
        let package = |text| manager(&[lock, ("package.json", text)]);
        assert_eq!(setup(&package(r#"{"pnpm": {"onlyBuiltDependencies": []}}"#)), "pnpm@10.34.9");
        assert_eq!(setup(&package(r#"{"engines": {"pnpm": ">=10"}}"#)), "pnpm@10.34.9");
        assert_eq!(setup(&package(r#"{"engines": {"pnpm": "9.x"}}"#)), "pnpm@9.15.9");
    }

    #[test]
    fn a_yarn_that_is_part_of_the_source_is_called_by_its_path() {
        let files = [
            ("yarn.lock", "__metadata:\n  version: 6\n"),
            (".yarnrc.yml", "nodeLinker: node-modules\nyarnPath: .yarn/releases/yarn-3.6.4.cjs\n"),
            (".yarn/releases/yarn-3.6.4.cjs", ""),
        ];
        let found = manager(&files);
        assert_eq!((found.call.as_str(), found.major), ("node /app/.yarn/releases/yarn-3.6.4.cjs", Some(3)));
        assert!(found.setup.is_none() && !found.yarn.is_plug_and_play && !found.yarn.can_focus);
        let mut with_plugin = files.to_vec();
        with_plugin.push((".yarn/plugins/@yarnpkg/plugin-workspace-tools.cjs", ""));
        assert!(manager(&with_plugin).yarn.can_focus);
        let found = manager(&files[..2]);
        assert_eq!((found.call.as_str(), setup(&found)), ("yarn", "yarn@3.8.7"), "the file is not there");
    }
}
