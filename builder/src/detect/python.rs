//! What an app of Python needs.

use super::files::Files;
use super::{DetectError, Detected};

/// The files that tell of an app of Python.
pub(super) const EVIDENCE: &[&str] = &[
    "requirements.txt",
    "pyproject.toml",
    "uv.lock",
    "poetry.lock",
    "pdm.lock",
    "Pipfile.lock",
    "Pipfile",
    "setup.py",
    "setup.cfg",
    "manage.py",
    "app.py",
    "main.py",
    "server.py",
];

/// Finds out what the app needs; none when it is not of Python. No such app is recognised yet.
pub(super) fn detect(_files: &Files<'_>) -> Result<Option<Detected>, DetectError> {
    Ok(None)
}
