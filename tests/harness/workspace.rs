//! Places: the repository, the test data beside it, and the data directory that all tests share.

use std::path::{Path, PathBuf};

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
    use std::os::unix::fs::PermissionsExt;
    let scratch = tempfile::Builder::new().prefix("lapstrake-test-").tempdir().unwrap();
    fs_err::set_permissions(scratch.path(), PermissionsExt::from_mode(0o755)).unwrap();
    scratch
}
