//! A small root file system made from this machine's own programs and the libraries that they name.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::lchown;
use std::path::{Path, PathBuf};
use std::process::Command;

use lapstrake_sandbox::outside_identity;

use crate::harness::BUILD_UID;

const PROGRAMS: [&str; 23] = [
    "sh", "cat", "ls", "rm", "mkdir", "mknod", "sleep", "env", "grep", "id", "head", "dd", "touch", "setsid",
    "stat", "unshare", "chmod", "hostname", "seq", "true", "tr", "bash", "wc",
];

/// Copies the programs into `root`, or says why that is impossible here.
pub(crate) fn make(root: &Path) -> Result<(), String> {
    let this_program = fs::read_link("/proc/self/exe").map_err(|error| error.to_string())?;
    let mut files: BTreeSet<_> =
        libraries(&this_program)?.into_iter().map(|path| (path.clone(), path)).collect();
    for program in PROGRAMS {
        let found = ["/usr/bin", "/bin"].iter().map(|directory| Path::new(directory).join(program));
        let Some(path) = found.into_iter().find(|path| path.exists()) else {
            return Err(format!("this machine has no `{program}`"));
        };
        for library in libraries(&path)? {
            files.insert((library.clone(), library));
        }
        files.insert((path, Path::new("/bin").join(program)));
    }
    for (from, to) in files {
        let to = root.join(to.strip_prefix("/").map_err(|error| error.to_string())?);
        let copied =
            fs::create_dir_all(to.parent().unwrap_or(root)).and_then(|()| fs::copy(&from, &to).map(drop));
        copied.map_err(|error| format!("cannot copy `{}`: {error}", from.display()))?;
    }
    fs::create_dir_all(root.join("etc")).map_err(|error| error.to_string())?;
    for (name, text) in [("hosts", ""), ("resolv.conf", ""), ("motd", "lower\n")] {
        fs::write(root.join("etc").join(name), text).map_err(|error| error.to_string())?;
    }
    hand_over(root).map_err(|error| error.to_string())
}

/// What the steps may change belongs to whoever stands behind them.
fn hand_over(path: &Path) -> std::io::Result<()> {
    let (uid, gid) = outside_identity(BUILD_UID);
    lchown(path, Some(uid), Some(gid))?;
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            hand_over(&entry?.path())?;
        }
    }
    Ok(())
}

/// The shared libraries and the loader of a program, by the paths at which it looks for them.
fn libraries(program: &Path) -> Result<Vec<PathBuf>, String> {
    let output = Command::new("ldd").arg(program).output().map_err(|e| format!("no ldd: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = text.split_ascii_whitespace().filter(|word| word.starts_with('/'));
    Ok(words.map(PathBuf::from).collect())
}
