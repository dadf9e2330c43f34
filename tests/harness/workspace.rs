//! Places: the repository, the test data beside it, and the data directory that all tests share.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The top of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The data directory of the tests. It outlives a run, so that runtime layers are made once.
pub(crate) fn data() -> PathBuf {
    let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join("data");
    fs_err::create_dir_all(&data).unwrap();
    data
}

/// What this process remembers of catalogs, and no other one: made anew at its first use.
pub(crate) fn state() -> PathBuf {
    static STATE: OnceLock<PathBuf> = OnceLock::new();
    let make = || {
        let state = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("state/{}", std::process::id()));
        let _ = fs_err::remove_dir_all(&state);
        state
    };
    STATE.get_or_init(make).clone()
}

/// Test data that is not part of the repository: `$LAPSTRAKE_TESTING`, or `../shared/testing`.
/// `None`, said aloud, when it is not there.
pub(crate) fn corpus(name: &str) -> Option<PathBuf> {
    let testing = std::env::var_os("LAPSTRAKE_TESTING")
        .map_or_else(|| root().parent().unwrap().join("shared/testing"), PathBuf::from);
    let corpus = testing.join(name);
    if corpus.is_dir() {
        return Some(corpus);
    }
    eprintln!("skipped: {} is not there", corpus.display());
    None
}

/// A scratch directory that everybody may enter, since some tests change the user.
pub(crate) fn scratch() -> tempfile::TempDir {
    scratch_in(&std::env::temp_dir())
}

/// A scratch directory in memory where there is room for trees of some GiB: a disk's file system may be slow to make files
/// where as many were deleted just now.
pub(crate) fn scratch_for_trees() -> tempfile::TempDir {
    const ROOM: u64 = 8 << 30;
    let memory = Path::new("/dev/shm");
    let is_fit = rustix::fs::statvfs(memory).is_ok_and(|disk| {
        disk.f_bavail * disk.f_frsize >= ROOM && !disk.f_flag.contains(rustix::fs::StatVfsMountFlags::NOEXEC)
    });
    if is_fit { scratch_in(memory) } else { scratch() }
}

fn scratch_in(directory: &Path) -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let scratch = tempfile::Builder::new().prefix("lapstrake-test-").tempdir_in(directory).unwrap();
    fs_err::set_permissions(scratch.path(), PermissionsExt::from_mode(0o755)).unwrap();
    scratch
}
