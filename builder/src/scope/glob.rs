//! Paths that count as changes besides the source directory, as globs from the root of the repository.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use lapstrake_oci::tree::TreePath;

/// So many globs are taken at most, and of such a length.
const GLOBS: usize = 1000;
const LENGTH: usize = 4096;

/// Globs over the paths of a repository. `*` and `?` stay within a name, `**` crosses directories, `[…]` and `{…,…}`
/// mean what they do in a shell; a glob that matches a directory counts everything below it.
#[derive(Clone, Debug)]
pub struct Globs(GlobSet);

/// Why a text is no glob.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum GlobsError {
    /// One of them cannot be read.
    #[error("`{given}` is no glob: {reason}")]
    Glob {
        /// What was given.
        given: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There are too many.
    #[error("there are {found} globs, more than the limit of {GLOBS}")]
    Many {
        /// How many there are.
        found: usize,
    },
}

impl Globs {
    /// Reads globs. A leading `/` or `./` and a trailing `/` mean nothing, since all begin at the root.
    pub fn new(globs: &[String]) -> Result<Self, GlobsError> {
        if globs.len() > GLOBS {
            return Err(GlobsError::Many { found: globs.len() });
        }
        let mut set = GlobSetBuilder::new();
        for given in globs {
            let fail = |reason: String| GlobsError::Glob { given: given.clone(), reason };
            let plain = plain(given).map_err(|reason| fail(reason.to_owned()))?;
            let glob = GlobBuilder::new(plain).literal_separator(true).backslash_escape(true).build();
            set.add(glob.map_err(|cause| fail(cause.kind().to_string()))?);
        }
        let too_large = |cause: globset::Error| GlobsError::Glob {
            given: cause.glob().unwrap_or_default().to_owned(),
            reason: cause.kind().to_string(),
        };
        set.build().map(Self).map_err(too_large)
    }

    /// Whether a glob matches the path or a directory that it lies in.
    #[must_use]
    pub fn matches(&self, path: &TreePath) -> bool {
        let bytes = path.as_bytes();
        let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| end);
        !self.0.is_empty()
            && ends.chain([bytes.len()]).any(|end| self.0.is_match(OsStr::from_bytes(&bytes[..end])))
    }
}

fn plain(given: &str) -> Result<&str, &'static str> {
    if given.len() > LENGTH {
        return Err("it is longer than 4096 bytes");
    }
    if given.starts_with('!') {
        return Err("exceptions are not known here: name what counts, not what does not");
    }
    let mut plain = given;
    while let Some(shorter) = plain.strip_prefix("./").or_else(|| plain.strip_prefix('/')) {
        plain = shorter;
    }
    let plain = plain.trim_end_matches('/');
    if plain.is_empty() || plain == "." {
        return Err("it names nothing; `**` is everything");
    }
    if plain.split('/').any(|name| name == "..") {
        return Err("it leaves the repository");
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(glob: &str, path: &str) -> bool {
        Globs::new(&[glob.to_owned()]).unwrap().matches(&TreePath::new(path).unwrap())
    }

    #[test]
    fn globs_begin_at_the_root_and_stars_stay_within_a_name() {
        for (glob, path, expected) in [
            ("package.json", "package.json", true),
            ("package.json", "web/package.json", false),
            ("**/package.json", "package.json", true),
            ("**/package.json", "a/b/package.json", true),
            ("*.toml", "a.toml", true),
            ("*.toml", "a/b.toml", false),
            ("libs/*/src", "libs/a/src/x.py", true),
            ("libs/*/src", "libs/a/b/src/x.py", false),
            ("libs/**/src", "libs/a/b/src/x.py", true),
            ("{libs,tools}/*.py", "tools/a.py", true),
            ("lib[12]", "lib2", true),
            ("lib[12]", "lib3", false),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            (r"a\*", "a*", true),
            (r"a\*", "ab", false),
            ("**", "any/thing", true),
        ] {
            assert_eq!(matches(glob, path), expected, "`{glob}` and `{path}`");
        }
    }

    #[test]
    fn a_glob_of_a_directory_counts_what_lies_below_it() {
        for glob in ["libs/common", "/libs/common/", "./libs/common", "libs/*"] {
            assert!(matches(glob, "libs/common/a/b.py"), "{glob}");
            assert!(!matches(glob, "libs"), "{glob}");
        }
        assert!(!matches("libs/common", "libs/commons/a.py"));
    }

    #[test]
    fn a_path_that_is_not_text_is_matched_by_its_bytes() {
        let globs = Globs::new(&["libs/*".to_owned()]).unwrap();
        assert!(globs.matches(&TreePath::new(b"libs/\xff\xfe").unwrap()));
    }

    #[test]
    fn what_is_no_glob_is_refused_with_its_reason() {
        for (bad, reason) in [
            ("", "names nothing"),
            ("/", "names nothing"),
            ("./", "names nothing"),
            ("!a", "exceptions"),
            ("../a", "leaves"),
            ("a/../../b", "leaves"),
            ("a[", "unclosed"),
            ("{a", "unclosed"),
        ] {
            let error = Globs::new(&[bad.to_owned()]).unwrap_err().to_string();
            assert!(error.contains(reason), "`{bad}`: {error}");
        }
        assert_eq!(Globs::new(&vec!["a".to_owned(); 1001]).unwrap_err(), GlobsError::Many { found: 1001 });
        assert!(Globs::new(&["a".repeat(4097)]).is_err());
        assert!(!Globs::new(&[]).unwrap().matches(&TreePath::new("a").unwrap()));
    }
}
