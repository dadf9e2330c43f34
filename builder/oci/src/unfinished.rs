//! Files in the making, in the directory where they will be. A lock tells those that a living process writes from those
//! that a killed one left: the kernel drops it with the process.

use std::fs::File;
use std::io;
use std::path::Path;

use tempfile::NamedTempFile;

/// How many letters and digits follow the prefix.
const RANDOM: usize = 6;

/// Begins a file with a name of its own that starts with `prefix`.
pub fn begin(dir: &Path, prefix: &str) -> io::Result<NamedTempFile> {
    loop {
        let file = tempfile::Builder::new().prefix(prefix).rand_bytes(RANDOM).tempfile_in(dir)?;
        // Whoever sweeps may have seen it before it was locked, and holds it as long as that takes. Where files cannot
        // be locked, nothing is swept.
        let _ = file.as_file().lock();
        if file.path().symlink_metadata().is_ok() {
            return Ok(file);
        }
    }
}

/// Removes what killed processes left under names that start with `prefix`.
pub fn sweep(dir: &Path, prefix: &str) {
    let Ok(entries) = fs_err::read_dir(dir) else { return };
    let names = entries.flatten().filter(|entry| {
        let name = entry.file_name();
        let rest = name.to_str().and_then(|name| name.strip_prefix(prefix));
        let is_ours =
            rest.is_some_and(|rest| rest.len() == RANDOM && rest.bytes().all(|b| b.is_ascii_alphanumeric()));
        is_ours && entry.file_type().is_ok_and(|kind| kind.is_file())
    });
    for entry in names {
        // What cannot be opened or removed is for its owner to sweep.
        if let Ok(file) = File::open(entry.path())
            && file.try_lock().is_ok()
        {
            let _ = fs_err::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_swept_and_what_a_living_one_writes_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let living = begin(dir.path(), ".x-").unwrap();
        for name in [".x-aB3dEf", ".x-short", ".x-notes.txt", ".x-%%%%%%", "aB3dEf"] {
            fs_err::write(dir.path().join(name), "").unwrap();
        }
        fs_err::create_dir(dir.path().join(".x-folder")).unwrap();
        sweep(dir.path(), ".x-");
        assert!(living.path().exists() && !dir.path().join(".x-aB3dEf").exists());
        assert_eq!(fs_err::read_dir(dir.path()).unwrap().count(), 6);
        let kept = dir.path().join("kept");
        living.persist(&kept).unwrap();
        sweep(dir.path(), ".x-");
        assert!(kept.exists());
    }

    #[test]
    fn any_number_of_files_are_begun_while_others_sweep() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let dir = dir.path();
                scope.spawn(move || {
                    for round in 0..100 {
                        sweep(dir, ".x-");
                        let file = begin(dir, ".x-").unwrap();
                        file.persist(dir.join(format!("{thread}-{round}"))).unwrap();
                    }
                });
            }
        });
        assert_eq!(fs_err::read_dir(dir.path()).unwrap().count(), 400);
    }
}
