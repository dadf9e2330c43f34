//! What an app asks the catalog for.

use std::fmt;

use crate::VersionRequest;

/// A request for a runtime: what the app file's `runtime` and `runtime-version` say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The name of a runtime or of a line of it, exact: `python3`, `python311`, `nodejs22`.
    pub runtime: String,
    /// The version lock.
    pub version: Option<VersionRequest>,
    /// The text of `engines.node` in `package.json`; it counts for Node.js only.
    pub engines: Option<String>,
    /// The text of `requires-python`; it counts for Python only, and where there is no version lock.
    pub requires_python: Option<String>,
}

impl Request {
    /// Makes a request for the newest entry of a runtime.
    #[must_use]
    pub fn new(runtime: &str) -> Self {
        Self { runtime: runtime.to_owned(), version: None, engines: None, requires_python: None }
    }

    /// Adds a version lock.
    #[must_use]
    pub fn with_version(self, version: VersionRequest) -> Self {
        Self { version: Some(version), ..self }
    }

    /// Adds the text of `engines.node`.
    #[must_use]
    pub fn with_engines(self, engines: &str) -> Self {
        Self { engines: Some(engines.to_owned()), ..self }
    }

    /// Adds the text of `requires-python`.
    #[must_use]
    pub fn with_requires_python(self, range: &str) -> Self {
        Self { requires_python: Some(range.to_owned()), ..self }
    }
}

impl fmt::Display for Request {
    /// Writes the request as it is recorded in an image: `python3 3.13`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.runtime)?;
        self.version.as_ref().map_or(Ok(()), |version| write!(f, " {version}"))
    }
}
