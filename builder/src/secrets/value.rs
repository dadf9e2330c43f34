//! Reads the value of a secret from where it is.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::SHORTEST;
use super::spec::{SecretSource, SecretSpec};
use crate::context::Context;

/// The most bytes that a secret may have, as elsewhere.
pub(super) const LARGEST: usize = 500 << 10;
/// The longest `NAME=VALUE` that a program can be started with on Linux, its final zero byte included.
const LARGEST_VARIABLE: usize = 128 << 10;

/// Why a secret has no value that can be used.
///
/// No message names the variable or the file: `env=$TOKEN` is written easily where `env=TOKEN` is meant.
#[derive(Debug, thiserror::Error)]
pub enum ValueError {
    /// The variable is not there.
    #[error("the variable that holds it is not set")]
    NotSet,
    /// The file cannot be read.
    #[error("the file that holds it cannot be read: {}", kind(source))]
    Unreadable {
        /// The cause.
        source: io::Error,
    },
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// It is too short to be told from ordinary text.
    #[error(
        "it has fewer than {SHORTEST} bytes, too few to be told from ordinary text in output and in layers"
    )]
    Short,
    /// It is too long.
    #[error("it has more than {LARGEST} bytes")]
    Large,
    /// It cannot be the value of a variable.
    #[error("it cannot be a variable: {reason}")]
    NoVariable {
        /// Why not.
        reason: &'static str,
    },
}

impl ValueError {
    /// What would have worked.
    pub(super) fn hint(&self, spec: &SecretSpec) -> Option<String> {
        match (self, &spec.source) {
            (Self::NotSet, SecretSource::Variable(name)) if *name == spec.id => {
                Some(format!("set `{name}`, or say where the value is: `env=VAR` or `src=FILE`"))
            }
            (Self::NotSet, _) => {
                Some("`env` takes the name of a variable: `env=TOKEN`, not `env=$TOKEN`".into())
            }
            (Self::Unreadable { .. }, SecretSource::File(path)) if path.starts_with("~") => {
                Some("shells leave a `~` alone that does not begin a word: write `src=$HOME/…`".into())
            }
            (Self::Short, _) => {
                Some("what is no secret, such as the name of a user, can be given with `--build-env`".into())
            }
            (Self::NoVariable { .. }, _) => Some("leave `variable` out: commands read the file".into()),
            _ => None,
        }
    }
}

/// The kind of an error, without the path that its text may name.
fn kind(error: &io::Error) -> String {
    rustix::io::Errno::from_io_error(error)
        .map_or_else(|| error.kind().to_string(), |errno| errno.to_string())
}

/// Reads the value of a secret and checks that it can be used as asked.
pub(super) fn read(spec: &SecretSpec, context: &Context) -> Result<Vec<u8>, ValueError> {
    let value = match &spec.source {
        SecretSource::Variable(name) => context.env.get(name).ok_or(ValueError::NotSet)?.clone().into_bytes(),
        SecretSource::File(path) => bounded(path).map_err(|source| ValueError::Unreadable { source })?,
    };
    match value.trim_ascii().len() {
        _ if value.len() > LARGEST => return Err(ValueError::Large),
        0 => return Err(ValueError::Empty),
        length if length < SHORTEST => return Err(ValueError::Short),
        _ => {}
    }
    if let Some(name) = &spec.variable {
        variable(name, &value)?;
    }
    Ok(value)
}

fn bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The value of a secret as that of a variable: without the line feeds that end it, as shells take a file.
pub(super) fn variable(name: &str, value: &[u8]) -> Result<String, ValueError> {
    let end = value.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
    let refuse = |reason| ValueError::NoVariable { reason };
    if value.contains(&0) {
        return Err(refuse("it contains a zero byte"));
    }
    let text = std::str::from_utf8(&value[..end]).map_err(|_| refuse("it is not UTF-8"))?;
    if name.len() + text.len() + 2 > LARGEST_VARIABLE {
        return Err(refuse("it is longer than the system lets a variable be"));
    }
    Ok(text.to_owned())
}
