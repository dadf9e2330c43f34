//! A lock file, as far as it tells which release of a package manager wrote it.

use crate::detect::files::{Files, Text};
use crate::detect::{DetectError, Finding};

/// A lock file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lock {
    /// The file, relative to the root of the source.
    file: String,
    /// The version of its format, where it names one.
    pub(super) version: Option<String>,
    /// Whether yarn 2 or a later one wrote it.
    pub(super) is_berry: bool,
}

impl Lock {
    /// Reads a lock file; none when there is none.
    pub(super) fn read(files: &Files<'_>, name: &str) -> Result<Option<Self>, DetectError> {
        Ok(files.text(name)?.map(|found| Self::of(&found)))
    }

    fn of(found: &Text) -> Self {
        let lines = || found.text.lines();
        let is_berry = lines().any(|line| line.trim_end() == "__metadata:");
        let metadata = lines().skip_while(|line| line.trim_end() != "__metadata:").skip(1);
        let mut indented = metadata.take_while(|line| line.starts_with(' '));
        let version = if is_berry {
            indented.find_map(|line| line.trim().strip_prefix("version:"))
        } else {
            lines().take(100).find_map(|line| line.strip_prefix("lockfileVersion:"))
        };
        let version = version.map(|text| text.trim().trim_matches(['\'', '"']).to_owned());
        Self { file: found.file.clone(), version, is_berry }
    }

    /// What the file decides.
    pub(super) fn finding(&self, manager: &str) -> Finding {
        Finding::new(&self.file, format!("the dependencies, as {manager} has locked them"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> (Option<String>, bool) {
        let lock = Lock::of(&Text { file: "x".to_owned(), text: text.to_owned() });
        (lock.version, lock.is_berry)
    }

    #[test]
    fn the_version_of_the_format_is_read() {
        assert_eq!(of("lockfileVersion: '9.0'\n\nsettings:\n"), (Some("9.0".to_owned()), false));
        assert_eq!(of("lockfileVersion: 5.4\r\n"), (Some("5.4".to_owned()), false));
        let berry =
            "# generated\n\n__metadata:\n  version: 8\n  cacheKey: 10c0\n\n\"ms@npm:2\":\n  version: 2.1.3\n";
        assert_eq!(of(berry), (Some("8".to_owned()), true));
        assert_eq!(of("__metadata:\n\nms:\n  version: 2\n"), (None, true));
        assert_eq!(of("# yarn lockfile v1\n\n\nms@2:\n  version \"2.1.3\"\n"), (None, false));
        assert_eq!(of(""), (None, false));
    }
}
