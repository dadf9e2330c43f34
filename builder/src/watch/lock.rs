//! Keeps two watches from building for one target at a time: a lock on a file for each target, which the kernel drops
//! with its process.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use lapstrake_oci::document::sha256_of;
use rustix::fs::{FlockOperation, flock};

/// Locks that are held until the value goes.
#[derive(Debug)]
pub struct TargetLock {
    held: Vec<File>,
}

/// Why a target cannot be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another watch has it.
    #[error("{what} is being watched already{}", by.map(|pid| format!(", by process {pid}")).unwrap_or_default())]
    Held {
        /// What was to be locked.
        what: String,
        /// The process, where its number could be read.
        by: Option<u32>,
    },
    /// The file cannot be used.
    #[error("could not lock `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl TargetLock {
    /// Locks every target, by a file of its own below `directory`.
    pub fn take(directory: &Path, targets: &[String]) -> Result<Self, LockError> {
        let mut sorted: Vec<&String> = targets.iter().collect();
        sorted.sort_unstable();
        sorted.dedup();
        let mut lock = Self { held: Vec::new() };
        for target in sorted {
            lock.add(&directory.join(file_name(target, "lock")), &format!("`{target}`"))?;
        }
        Ok(lock)
    }

    /// Locks one more file; `what` says what that stands for.
    pub fn add(&mut self, path: &Path, what: &str) -> Result<(), LockError> {
        let failed = |source| LockError::Io { path: path.to_owned(), source };
        if let Some(parent) = path.parent() {
            fs_err::create_dir_all(parent).map_err(failed)?;
        }
        let options = File::options().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = options.map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(LockError::Held { what: what.to_owned(), by: holder(&mut file) });
            }
            Err(cause) => return Err(failed(cause.into())),
        }
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
        self.held.push(file);
        Ok(())
    }
}

/// The name of a file that belongs to a target.
#[must_use]
pub fn file_name(target: &str, extension: &str) -> String {
    let digest = sha256_of(target.as_bytes());
    format!("{:.32}.{extension}", digest.digest())
}

/// The process that wrote its number into a lock.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_target_is_locked_once_and_free_again_when_the_lock_goes() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("watch");
        let first = TargetLock::take(&place, &targets(&["r.example/a:1", "r.example/a:2"])).unwrap();
        assert_eq!(first.held.len(), 2);
        let second = TargetLock::take(&place, &targets(&["r.example/b:1", "r.example/a:2"])).unwrap_err();
        let text = format!("`r.example/a:2` is being watched already, by process {}", std::process::id());
        assert_eq!(second.to_string(), text);
        assert!(TargetLock::take(&place, &targets(&["r.example/b:1"])).is_ok());
        drop(first);
        assert!(TargetLock::take(&place, &targets(&["r.example/a:2", "r.example/a:2"])).is_ok());
    }

    #[test]
    fn what_a_lock_file_holds_is_never_trusted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.lock");
        let mut held = TargetLock { held: Vec::new() };
        held.add(&path, "it").unwrap();
        for (text, expected) in [("", None), ("x", None), ("17\n", Some(17)), ("99999999999999999999", None)]
        {
            fs_err::write(&path, text).unwrap();
            let error = TargetLock { held: Vec::new() }.add(&path, "it").unwrap_err();
            assert!(matches!(error, LockError::Held { by, .. } if by == expected), "{text}: {error}");
        }
    }
}
