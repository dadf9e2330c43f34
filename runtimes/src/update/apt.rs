//! Reads the indexes of an operating system's suites through apt, in a tree of its own.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use url::Url;

use super::{Tools, UpdateError, signature};
use crate::arch::Arch;
use crate::canonical::sha256_of;
use crate::closure::{Universe, parse};
use crate::lock::LockedSuite;
use crate::mirrors::{Auth, Endpoint};
use crate::progress::Event;
use crate::recipe::{OsRecipe, SuiteRecipe};

/// The archive's own keyring, under the names that releases have given it.
const KEYRINGS: [&str; 2] =
    ["usr/share/keyrings/debian-archive-keyring.gpg", "usr/share/keyrings/debian-archive-keyring.pgp"];

/// Why indexes cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum AptError {
    /// apt is not installed or cannot be started.
    #[error("could not run `apt-get`, which checks the signatures of the package archive")]
    Missing(#[source] std::io::Error),
    /// apt refuses.
    #[error("apt could not read the indexes of `{os}` for {arch}:\n{output}")]
    Refused {
        /// The operating system.
        os: String,
        /// The architecture.
        arch: Arch,
        /// What apt says.
        output: String,
    },
    /// apt's tree cannot be used.
    #[error("could not use apt's tree `{path}`")]
    Tree {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// apt left no index of a suite.
    #[error("apt left no index of the suite `{suite}` for {arch}")]
    NoIndex {
        /// The suite.
        suite: String,
        /// The architecture.
        arch: Arch,
    },
}

/// The suites of an operating system as they are today, and their packages.
pub(super) fn read(
    os: &OsRecipe,
    arch: Arch,
    tools: Tools<'_>,
) -> Result<(Vec<LockedSuite>, Universe), UpdateError> {
    let tree = Tree::create(os, arch, tools)?;
    for suite in &os.suites {
        Event::index(&suite.name, tools.progress);
    }
    tree.update(&os.name, tools)?;
    let mut suites = Vec::new();
    let mut universe = Universe::default();
    for suite in &os.suites {
        let (release, packages) = tree.lists(suite)?;
        universe.add(parse(&suite.name, &packages)?);
        suites.push(LockedSuite {
            name: suite.name.clone(),
            date: field(&release, "Date"),
            in_release: sha256_of(release.as_bytes()).to_string(),
            key: signature::fingerprints(&release).join(" "),
            allow_stale: suite.allow_stale,
        });
    }
    Ok((suites, universe))
}

fn field(release: &str, name: &str) -> String {
    let line = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_default().trim().to_owned()
}

/// A directory that apt takes for a whole system without packages.
struct Tree {
    directory: tempfile::TempDir,
    arch: Arch,
}

impl Tree {
    fn create(os: &OsRecipe, arch: Arch, tools: Tools<'_>) -> Result<Self, UpdateError> {
        let directory = tempfile::tempdir().map_err(|source| tree_error(Path::new("(temporary)"), source))?;
        let tree = Self { directory, arch };
        for folder in
            ["etc/apt/preferences.d", "etc/apt/apt.conf.d", "var/lib/apt/lists/partial", "var/cache/apt"]
        {
            let path = tree.path(folder);
            fs_err::create_dir_all(&path).map_err(|source| tree_error(&path, source))?;
        }
        let mut sources = String::new();
        let mut logins = String::new();
        for suite in &os.suites {
            let endpoint = tools.fetcher.mirrors().debian_of(&suite.name)?;
            sources.push_str(&source(suite, &endpoint.url, arch, tools.machine.root));
            logins.push_str(&login(endpoint));
        }
        let main = tools.fetcher.mirrors().debian_of(&os.suite)?;
        tree.write("etc/apt/sources.list.d/all.sources", &sources)?;
        tree.write("etc/apt/auth.conf", &logins)?;
        tree.write("status", "")?;
        tree.write("apt.conf", &tree.conf(main, tools))?;
        Ok(tree)
    }

    fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    /// Writes a file that others cannot read: it may hold credentials.
    fn write(&self, below: &str, text: &str) -> Result<(), AptError> {
        let path = self.path(below);
        let written = path.parent().map_or(Ok(()), fs_err::create_dir_all).and_then(|()| {
            fs_err::write(&path, text)?;
            fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o600))
        });
        written.map_err(|source| tree_error(&path, source))
    }

    fn conf(&self, main: &Endpoint, tools: Tools<'_>) -> String {
        let root = self.directory.path().display();
        let trusted = tools.machine.root.join("etc/apt/trusted.gpg.d");
        let mut conf = format!(
            "Dir \"{root}\";\nDir::State::status \"{root}/status\";\nDir::Etc::trustedparts \"{}\";\n\
             APT::Architecture \"{arch}\";\nAPT::Architectures {{ \"{arch}\"; }};\nAPT::Sandbox::User \"root\";\n\
             APT::Update::Error-Mode \"any\";\nAcquire::Languages \"none\";\nAcquire::GzipIndexes \"false\";\n\
             Acquire::PDiffs \"false\";\nAcquire::Retries \"3\";\n",
            trusted.display(),
            arch = self.arch,
        );
        for (scheme, proxy) in [("http", &main.proxy.http), ("https", &main.proxy.https)] {
            if let Some(proxy) = proxy {
                let _ = writeln!(conf, "Acquire::{scheme}::Proxy \"{}\";", proxy.reveal());
            }
        }
        if let Some(bundle) = main.ca_files.first() {
            let _ = writeln!(conf, "Acquire::https::CaInfo \"{}\";", bundle.display());
        }
        conf
    }

    fn update(&self, os: &str, tools: Tools<'_>) -> Result<(), AptError> {
        let mut command = Command::new("apt-get");
        command
            .args(["-q", "update"])
            .env_clear()
            .env("LC_ALL", "C")
            .env("APT_CONFIG", self.path("apt.conf"));
        for name in ["PATH", "HOME", "TMPDIR", "no_proxy"] {
            command.envs(tools.machine.env.get(name).map(|value| (name, value)));
        }
        let output = command.stdin(Stdio::null()).output().map_err(AptError::Missing)?;
        if output.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(AptError::Refused { os: os.to_owned(), arch: self.arch, output: text.trim().to_owned() })
    }

    /// The release file and the index of a suite, as apt stored them.
    fn lists(&self, suite: &SuiteRecipe) -> Result<(String, String), AptError> {
        let folder = self.path("var/lib/apt/lists");
        let fail = |source| tree_error(&folder, source);
        let mut names = Vec::new();
        for entry in fs_err::read_dir(&folder).map_err(fail)? {
            names.push(entry.map_err(fail)?.file_name().to_string_lossy().into_owned());
        }
        let read = |ending: String| {
            let missing = || AptError::NoIndex { suite: suite.name.clone(), arch: self.arch };
            let name = names.iter().find(|name| name.ends_with(&ending)).ok_or_else(missing)?;
            fs_err::read_to_string(folder.join(name)).map_err(fail)
        };
        let release = read(format!("_dists_{}_InRelease", suite.name))?;
        let packages = read(format!("_dists_{}_main_binary-{}_Packages", suite.name, self.arch))?;
        Ok((release, packages))
    }
}

fn source(suite: &SuiteRecipe, base: &Url, arch: Arch, root: &Path) -> String {
    let keyring = KEYRINGS.iter().map(|path| root.join(path)).find(|path| path.exists());
    let signed_by = keyring.map(|path| format!("Signed-By: {}\n", path.display())).unwrap_or_default();
    let stale = if suite.allow_stale { "Check-Valid-Until: no\n" } else { "" };
    let name = &suite.name;
    format!(
        "Types: deb\nURIs: {base}\nSuites: {name}\nComponents: main\nArchitectures: {arch}\n{stale}{signed_by}\n"
    )
}

fn login(endpoint: &Endpoint) -> String {
    let Some(Auth::Basic { user, password }) = &endpoint.auth else { return String::new() };
    let site = &endpoint.url;
    format!("machine {site}\nlogin {user}\npassword {}\n", password.reveal())
}

fn tree_error(path: &Path, source: std::io::Error) -> AptError {
    AptError::Tree { path: path.to_owned(), source }
}
