//! How much a sandbox has written: its scratch directories and writable mounts are measured while it runs.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::spec::Spec;

/// Directories that grow, and what they held at the start.
struct Watched {
    paths: Vec<PathBuf>,
    before: u64,
}

/// Starts watching; the flag that it returns is set when the limit is exceeded, and `stop` ends it.
pub(crate) fn watch(spec: &Spec, stop: Arc<AtomicBool>) -> Arc<AtomicBool> {
    let exceeded = Arc::new(AtomicBool::new(false));
    let mut paths = vec![spec.root.scratch.clone()];
    paths.extend(spec.mounts.iter().filter_map(|mount| mount.grows().map(Path::to_owned)));
    let (limit, flag) = (spec.limits.disk, Arc::clone(&exceeded));
    thread::spawn(move || {
        let watched = Watched { before: used(&paths).unwrap_or(0), paths };
        while !stop.load(Ordering::Relaxed) {
            let started = Instant::now();
            if used(&watched.paths).is_none_or(|now| now.saturating_sub(watched.before) > limit) {
                flag.store(true, Ordering::Relaxed);
                return;
            }
            // A large tree must not keep a processor busy.
            let pause = (started.elapsed() * 10).max(Duration::from_millis(500));
            let end = Instant::now() + pause;
            while Instant::now() < end && !stop.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(50));
            }
        }
    });
    exceeded
}

/// Bytes on disk below the paths; `None` when a tree is so deep that it cannot be measured.
fn used(paths: &[PathBuf]) -> Option<u64> {
    let mut total = 0;
    let mut open = paths.to_vec();
    while let Some(path) = open.pop() {
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::InvalidFilename => return None,
            // Removed since it was listed, closed to us, or a single file.
            Err(_) => continue,
        };
        for entry in entries.flatten() {
            // Does not follow links, whatever the steps turn directories into meanwhile.
            let Ok(found) = entry.metadata() else { continue };
            total += found.blocks() * 512;
            if found.is_dir() {
                open.push(entry.path());
            }
        }
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_subdirectories_counts_and_holes_do_not() {
        let directory = tempfile::tempdir().unwrap();
        let below = directory.path().join("a/b");
        fs::create_dir_all(&below).unwrap();
        let before = used(&[directory.path().to_owned()]).unwrap();
        fs::write(below.join("full"), vec![1; 1 << 20]).unwrap();
        fs::File::create(below.join("sparse")).unwrap().set_len(1 << 30).unwrap();
        let grown = used(&[directory.path().to_owned()]).unwrap() - before;
        assert!((1 << 20..2 << 20).contains(&grown), "{grown}");
    }
}
