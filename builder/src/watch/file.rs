//! The file that a state is kept in: written whole or not at all, read strictly.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::state::{SCHEMA, State};

/// A state is far smaller.
const LIMIT: u64 = 64 << 10;

/// Where the state of a watch is kept.
#[derive(Clone, Debug)]
pub struct StateFile(PathBuf);

/// Why a state cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file cannot be read or written.
    #[error("could not {doing} the state file `{}`", path.display())]
    Io {
        /// What was done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is not the state of a watch.
    #[error("`{}` is not the state of a watch: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl StateFile {
    /// A file that may be there already.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The state that it holds, or none where there is no file.
    pub fn read(&self) -> Result<Option<State>, StateError> {
        let file = match File::open(&self.0) {
            Ok(file) => file,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(self.io("read", cause)),
        };
        let mut bytes = Vec::new();
        file.take(LIMIT + 1).read_to_end(&mut bytes).map_err(|cause| self.io("read", cause))?;
        parse(&bytes).map(Some).map_err(|reason| StateError::Malformed { path: self.0.clone(), reason })
    }

    /// Keeps a state: after a crash or a power failure the file holds the old one or the new one.
    pub fn write(&self, state: &State) -> Result<(), StateError> {
        self.replace(state).map_err(|cause| self.io("write", cause))
    }

    fn replace(&self, state: &State) -> io::Result<()> {
        let directory = match self.0.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs_err::create_dir_all(directory)?;
        let mut partial = tempfile::NamedTempFile::new_in(directory)?;
        serde_json::to_writer_pretty(&mut partial, state)?;
        partial.write_all(b"\n")?;
        partial.as_file().sync_all()?;
        partial.persist(&self.0).map_err(|error| error.error)?;
        File::open(directory)?.sync_all()
    }

    fn io(&self, doing: &'static str, source: io::Error) -> StateError {
        StateError::Io { doing, path: self.0.clone(), source }
    }
}

fn parse(bytes: &[u8]) -> Result<State, String> {
    /// What every form of the file has.
    #[derive(serde::Deserialize)]
    struct Form {
        schema: u32,
    }
    if bytes.len() as u64 > LIMIT {
        return Err(format!("it has more than {LIMIT} bytes"));
    }
    let form: Form = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if form.schema != SCHEMA {
        return Err(format!("its schema is {}, and this program knows {SCHEMA}", form.schema));
    }
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}
