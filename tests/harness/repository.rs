//! A git repository on this machine, written to as a person would.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::workspace;

/// A checkout that is gone with the value.
pub(crate) struct Repository {
    directory: tempfile::TempDir,
}

impl Repository {
    /// One on branch `main`, without a commit.
    pub(crate) fn new() -> Self {
        let repository = Self { directory: workspace::scratch() };
        repository.git(["init", "--quiet", "--initial-branch=main"]);
        repository
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Its place as a command-line argument.
    pub(crate) fn name(&self) -> &str {
        self.path().to_str().unwrap()
    }

    /// Runs git in it and returns what it printed.
    pub(crate) fn git<const N: usize>(&self, arguments: [&str; N]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=tester", "-c", "user.email=tester@example.com"])
            .args(arguments)
            .current_dir(self.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Puts what it holds into a bare repository `NAME.git` below a directory, as a push does.
    pub(crate) fn push_to(&self, directory: &Path, name: &str) {
        let bare = directory.join(format!("{name}.git"));
        if !bare.exists() {
            self.git(["init", "--quiet", "--bare", "--initial-branch=main", bare.to_str().unwrap()]);
        }
        self.git(["push", "--quiet", "--force", bare.to_str().unwrap(), "HEAD:main"]);
    }

    /// Writes a file, and the directories above it.
    pub(crate) fn write(&self, file: &str, content: &str) -> PathBuf {
        let path = self.path().join(file);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, content).unwrap();
        path
    }

    /// Commits everything as it is and returns the commit.
    pub(crate) fn commit(&self) -> String {
        self.git(["add", "--all"]);
        self.git(["commit", "--quiet", "--allow-empty", "--message=a change"]);
        self.git(["rev-parse", "HEAD"])
    }

    /// Writes a file, commits it and returns the commit.
    pub(crate) fn commit_file(&self, file: &str, content: &str) -> String {
        self.write(file, content);
        self.commit()
    }
}
