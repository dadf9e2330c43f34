//! A git repository that a user named: on this machine, by its address, or by its name at a host.

use std::path::Path;

use lapstrake_oci::tree::TreePath;

use crate::failure::{Exit, Failure};
use crate::git::{Expression, ObjectId, Remote};
use crate::source::app_path;

/// A repository, and what of it was named.
pub(super) struct GitSource {
    /// Where it is.
    pub(super) remote: Remote,
    /// The text of the reference, if there was one.
    pub(super) reference: Option<String>,
    /// The directory that is the source, from the root of the repository.
    pub(super) directory: Option<TreePath>,
    base: String,
}

impl GitSource {
    /// Parses `PATH[#REF]` or `git+URL[#REF[:DIR]]`.
    pub(super) fn parse(given: &str) -> Result<Self, Failure> {
        let not_understood = |cause: String| {
            Failure::because(Exit::NotUnderstood, format!("`{given}` is no git source"), cause)
        };
        let whole = Path::new(given).is_dir();
        let (base, fragment) = match given.split_once('#') {
            Some((base, fragment)) if !whole => (base, Some(fragment)),
            _ => (given, None),
        };
        let remote = match base.strip_prefix("git+") {
            Some(url) => Remote::parse(url).map_err(|cause| not_understood(cause.to_string()))?,
            None => local(base)?,
        };
        let (reference, directory) = match fragment.map(|text| text.split_once(':').unwrap_or((text, ""))) {
            Some((reference, directory)) => {
                let directory = app_path(directory).map_err(|cause| not_understood(cause.to_string()))?;
                (Some(reference.to_owned()).filter(|text| !text.is_empty()), directory)
            }
            None => (None, None),
        };
        Ok(Self { remote, reference, directory, base: base.to_owned() })
    }

    /// The commit that was named, `HEAD` where none was.
    pub(super) fn expression(&self) -> Result<Expression, Failure> {
        expression(self.reference.as_deref().unwrap_or("HEAD"))
    }

    /// The text that names one commit of it.
    pub(super) fn at(&self, commit: &ObjectId) -> String {
        let directory = self.directory.as_ref().map(|directory| format!(":{directory}")).unwrap_or_default();
        format!("{}#{commit}{directory}", self.base)
    }

    /// The directory of the app from the root of the repository.
    pub(super) fn app_directory(&self, given: Option<&str>) -> Result<Option<TreePath>, Failure> {
        let not_understood = |cause: String| Failure::new(Exit::NotUnderstood, cause);
        let app = app_path(given.unwrap_or_default()).map_err(|cause| not_understood(cause.to_string()))?;
        match (&self.directory, app) {
            (None, app) => Ok(app),
            (Some(directory), None) => Ok(Some(directory.clone())),
            (Some(directory), Some(app)) => {
                directory.join(app.as_bytes()).map(Some).map_err(|cause| not_understood(cause.to_string()))
            }
        }
    }
}

/// A commit as the user names it.
pub(super) fn expression(text: &str) -> Result<Expression, Failure> {
    text.parse().map_err(|cause| Failure::because(Exit::NotUnderstood, "the commit is not understood", cause))
}

/// A repository on this machine.
fn local(path: &str) -> Result<Remote, Failure> {
    let failed = |cause: std::io::Error| {
        Failure::because(Exit::NotUnderstood, format!("could not open the repository `{path}`"), cause)
    };
    let place = fs_err::canonicalize(path).map_err(failed)?;
    let is_repository = place.join(".git").exists() || place.join("HEAD").is_file();
    if !is_repository {
        let failure = Failure::new(Exit::NotUnderstood, format!("`{path}` is no git repository"));
        return Err(match around(&place) {
            Some((top, below)) => failure.hint(format!(
                "it lies in the repository `{}`: name that, with `--source-dir {}`",
                top.display(),
                below.display()
            )),
            None => failure,
        });
    }
    Remote::directory(&place).map_err(|cause| failed(std::io::Error::other(cause)))
}

/// The checkout that a directory lies in, and where in it.
fn around(place: &Path) -> Option<(&Path, &Path)> {
    let top = place.ancestors().skip(1).find(|ancestor| ancestor.join(".git").exists())?;
    Some((top, place.strip_prefix(top).ok()?))
}
