//! What an app of Node.js needs.

use super::files::Files;
use super::{DetectError, Detected};

/// The files that tell of an app of Node.js.
pub(super) const EVIDENCE: &[&str] = &["package.json"];

/// Finds out what the app needs; none when it is not of Node.js. No such app is recognised yet.
pub(super) fn detect(_files: &Files<'_>) -> Result<Option<Detected>, DetectError> {
    Ok(None)
}
