//! Asks installed programs what they are configured for.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

/// Runs a program for its answer.
pub trait Ask: Sync {
    /// What a program prints; none if it is not installed or fails.
    fn ask(&self, program: &str, arguments: &[&str]) -> Option<String>;
}

/// The programs of this machine, found and run with the given environment.
#[derive(Debug, Clone, Copy)]
pub struct Programs<'a> {
    /// The environment.
    pub env: &'a BTreeMap<String, String>,
}

impl Ask for Programs<'_> {
    fn ask(&self, program: &str, arguments: &[&str]) -> Option<String> {
        let path = self.env.get("PATH")?;
        let found =
            std::env::split_paths(path).map(|folder| folder.join(program)).find(|path| path.is_file())?;
        let mut command = Command::new(found);
        command.args(arguments).env_clear().envs(self.env).current_dir("/");
        let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
        let text =
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())?;
        (!text.is_empty()).then_some(text)
    }
}

/// A machine on which no program is installed.
#[derive(Debug, Clone, Copy)]
pub struct NoPrograms;

impl Ask for NoPrograms {
    fn ask(&self, _: &str, _: &[&str]) -> Option<String> {
        None
    }
}
