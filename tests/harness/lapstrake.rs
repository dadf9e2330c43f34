//! The binary under test.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use lapstrake_fixtures::archive::copy_tree;

use super::injected::run_bounded;
use super::{built, tools, workspace};

/// How the binary is started: as whom, where, and with which variables.
#[derive(Clone)]
pub(crate) struct Lapstrake {
    program: PathBuf,
    data: PathBuf,
    directory: PathBuf,
    user: Option<u32>,
    umask: Option<u32>,
    one_processor: bool,
    has_foreign_layers: bool,
    behind: Vec<OsString>,
    variables: BTreeMap<String, OsString>,
}

impl Lapstrake {
    /// The binary with the data directory that all tests share.
    pub(crate) fn new() -> Self {
        Self {
            program: env!("CARGO_BIN_EXE_lapstrake").into(),
            data: workspace::data(),
            directory: workspace::root(),
            user: None,
            umask: None,
            one_processor: false,
            has_foreign_layers: false,
            behind: Vec::new(),
            variables: BTreeMap::new(),
        }
    }

    /// The same with another data directory.
    pub(crate) fn with_data(mut self, data: impl Into<PathBuf>) -> Self {
        self.data = data.into();
        self
    }

    /// The same with a data directory below `scratch` that has a copy of the layers made so far, for what would change the
    /// local catalog of all others.
    pub(crate) fn apart(self, scratch: &Path) -> Self {
        let data = scratch.join("data");
        copy_layers(&self.data, &data);
        self.with_data(data)
    }

    /// The same with one more environment variable.
    pub(crate) fn with(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.variables.insert(name.into(), value.as_ref().into());
        self
    }

    /// The same with another umask.
    pub(crate) fn with_umask(mut self, umask: u32) -> Self {
        self.umask = Some(umask);
        self
    }

    /// The same, for builds on layers that a test has made with another tool, and that keep none of our rules.
    pub(crate) fn on_foreign_layers(mut self) -> Self {
        self.has_foreign_layers = true;
        self
    }

    /// The same on one processor, and so with one thread.
    pub(crate) fn on_one_processor(mut self) -> Self {
        self.one_processor = true;
        self
    }

    /// The same, started by another program, which is given with its first arguments and reaches the files that they name.
    pub(crate) fn behind(mut self, words: impl IntoIterator<Item = OsString>) -> Self {
        self.behind = words.into_iter().collect();
        self
    }

    /// A directory that whoever runs the binary may write to: the home of another user, else `scratch`.
    pub(crate) fn writable(&self, scratch: &Path) -> PathBuf {
        if self.user.is_some() { self.directory.clone() } else { scratch.to_owned() }
    }

    /// The same as an unprivileged user, with a home and a data directory of its own below `scratch`.
    /// The program is copied there too, for the repository may lie where that user cannot go. The runtime
    /// layers that were made already come along.
    pub(crate) fn for_user(mut self, user: u32, scratch: &Path) -> Self {
        let home = scratch.join(format!("home-{user}"));
        fs_err::create_dir_all(&home).unwrap();
        let program = home.join("lapstrake");
        fs_err::copy(&self.program, &program).unwrap();
        let data = home.join("data");
        copy_layers(&self.data, &data);
        tools::run("chown", [OsStr::new("-R"), OsStr::new(&format!("{user}:{user}")), home.as_os_str()]);
        self.program = program;
        self.data = data;
        self.directory = home.clone();
        self.user = Some(user);
        self.with("HOME", home)
    }

    /// The directory itself, or a copy that the user who runs the binary can read and owns.
    pub(crate) fn reachable(&self, directory: &Path) -> PathBuf {
        let Some(user) = self.user else { return directory.to_owned() };
        let copy = self.directory.join(directory.file_name().unwrap());
        if !copy.exists() {
            copy_tree(directory, &copy).unwrap();
            tools::run("chown", [OsStr::new("-R"), OsStr::new(&format!("{user}:{user}")), copy.as_os_str()]);
        }
        copy
    }

    /// The file itself, or a copy that the user who runs the binary can read.
    pub(crate) fn reachable_file(&self, file: &Path) -> PathBuf {
        if self.user.is_none() {
            return file.to_owned();
        }
        let copy = self.directory.join(file.file_name().unwrap());
        fs_err::copy(file, &copy).unwrap();
        copy
    }

    /// Where it keeps its data.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// Where it remembers what it saw of catalogs. The ports of registries come back from run to run, so that the shared
    /// data directory remembers nothing.
    fn state(&self) -> PathBuf {
        if self.data == workspace::data() { workspace::state() } else { self.data.clone() }
    }

    /// The command line, ready to start.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut words: Vec<OsString> = Vec::new();
        if let Some(user) = self.user {
            let user = user.to_string();
            let change = ["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups", "--"];
            words.extend(change.map(OsString::from));
        }
        if self.one_processor {
            words.extend(["taskset", "--cpu-list", "0"].map(OsString::from));
        }
        if let Some(umask) = self.umask {
            let script = format!("umask {umask:04o} && exec \"$@\"");
            words.extend(["sh", "-c", &script, "sh"].map(OsString::from));
        }
        words.extend(self.behind.iter().cloned());
        words.push(self.program.clone().into());
        words.extend(arguments.into_iter().map(|word| word.as_ref().to_owned()));
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .current_dir(&self.directory)
            .env("LAPSTRAKE_DATA_DIR", &self.data)
            .env("LAPSTRAKE_STATE_DIR", self.state())
            // What a test proves of a build it proves of that build, and not of an earlier one.
            .env("LAPSTRAKE_NO_CACHE", "true")
            .envs(&self.variables)
            .stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Outcome {
        let words = owned(arguments);
        let outcome = Outcome::of(self.command(&words));
        self.gather(&words, &outcome);
        outcome
    }

    /// Runs it to its end, which has to come in time.
    pub(crate) fn run_bounded<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Outcome {
        let words = owned(arguments);
        let outcome = run_bounded(self.command(&words));
        self.gather(&words, &outcome);
        outcome
    }

    /// Runs it to its end with `input` on standard input.
    pub(crate) fn run_with_input<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        input: &Path,
    ) -> Outcome {
        let words = owned(arguments);
        let mut command = self.command(&words);
        command.stdin(fs_err::File::open(input).unwrap().into_parts().0);
        let outcome = Outcome::of(command);
        self.gather(&words, &outcome);
        outcome
    }

    /// Other people's tools judge what was built when all tests have ended.
    fn gather(&self, words: &[OsString], outcome: &Outcome) {
        if !self.has_foreign_layers {
            built::gather(words, &self.directory, &self.data, outcome);
        }
    }

    /// Starts it and leaves it running; both outputs go to pipes.
    pub(crate) fn start<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

fn owned<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Vec<OsString> {
    arguments.into_iter().map(|word| word.as_ref().to_owned()).collect()
}

/// Copies what was made for good from a data directory that others may be working in. What names something else goes
/// first and what is named last, so that nothing is named that was not copied.
fn copy_layers(from: &Path, to: &Path) {
    for name in ["layers", "catalog/index.json", "catalog/oci-layout", "catalog/blobs", "artifacts"] {
        for entry in walkdir::WalkDir::new(from.join(name)).into_iter().filter_map(Result::ok) {
            let target = to.join(entry.path().strip_prefix(from).unwrap());
            if entry.file_type().is_dir() {
                fs_err::create_dir_all(&target).unwrap();
                continue;
            }
            fs_err::create_dir_all(target.parent().unwrap()).unwrap();
            // A temporary file may be gone since its directory was read.
            let copied = fs_err::copy(entry.path(), &target);
            assert!(copied.is_ok() || !entry.path().exists(), "{copied:?}");
        }
    }
}

/// What a run left: its exit code and both outputs.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

impl Outcome {
    fn of(mut command: Command) -> Self {
        let output = command.output().unwrap();
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Ends the test, with everything that was printed, unless the exit code is `code`.
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// The digest that a build or a push printed last.
    pub(crate) fn digest(&self) -> String {
        let last = self.stdout.lines().last().unwrap_or_default();
        let digest = last.rsplit('@').next().unwrap_or_default();
        assert!(digest.starts_with("sha256:") && digest.len() == 71, "no digest in {:?}", self.stdout);
        digest.into()
    }
}
