//! What is linted: an app file, and the few other files that have a say.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use lapstrake_oci::tree::{FileTree, TreePath};

use crate::app_file::FILE_NAME;
use crate::cli::LintArgs;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::fetch::{Fetcher, failure as source_failure};
use crate::inputs::{FILE_LIMIT, app_directory, app_file_bytes, file, in_directory, read_small};
use crate::source::{self, AppDirError, ReadOptions, SourceAddress, SourceSpec};

/// How many bytes tell a text from an archive.
const HEAD: usize = 512;

/// What is linted.
#[derive(Debug)]
pub struct Subject {
    /// The files that have a say. Of a directory with an app file, only those near it.
    pub tree: FileTree,
    /// The directory of the app; none for the root.
    pub directory: Option<TreePath>,
    /// The app file, if there is one.
    pub file: Option<AppText>,
}

/// An app file as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppText {
    /// Its name, as it is told.
    pub name: String,
    /// What it holds.
    pub bytes: Vec<u8>,
    /// Whether the user named it, so that a build would not look for it.
    pub is_named: bool,
}

impl Subject {
    /// Opens what the user named. A directory is not read whole: of a large one only what has a say.
    pub fn open(args: &LintArgs, context: &Context) -> Result<Self, Failure> {
        let fetcher = Fetcher::new(&args.remote, context);
        let address = fetcher.parse(&args.source)?;
        let directory = app_directory(address.directory(), args.source_dir.as_deref(), context)?;
        let opening = Opening { args, fetcher, directory };
        match &address {
            SourceAddress::Local(SourceSpec::Stdin) => opening.stream(io::stdin().lock(), &address),
            SourceAddress::Local(SourceSpec::Path(path)) if path.is_dir() => opening.local_directory(path),
            SourceAddress::Local(SourceSpec::Path(path)) if is_app_file(path) => opening.app_file(path),
            SourceAddress::Local(_) | SourceAddress::Git(_) | SourceAddress::Archive(_) => {
                opening.source(&address, io::empty())
            }
        }
    }

    /// A file beside the app file, if there is one of this name.
    pub(super) fn near(&self, name: &str) -> Result<Option<(TreePath, Vec<u8>)>, Failure> {
        let path = in_directory(self.directory.as_ref(), name)?;
        let Some(content) = file(&self.tree, &path) else { return Ok(None) };
        let bytes = read_small(content, name)?;
        Ok(Some((path, bytes)))
    }
}

/// How a source is opened.
struct Opening<'a> {
    args: &'a LintArgs,
    fetcher: Fetcher<'a>,
    /// The directory of the app, as it was named.
    directory: &'a str,
}

impl Opening<'_> {
    fn local_directory(&self, root: &Path) -> Result<Subject, Failure> {
        self.fetcher.no_digest("a directory")?;
        let path = self.app_file_path()?;
        let near = source::glance(root, &path).map_err(source_failure)?;
        let subject = self.of_trees(near, &FileTree::new())?;
        if subject.file.is_some() {
            return Ok(subject);
        }
        let tree = source::glance_below(root, &path).map_err(source_failure)?;
        self.of_trees(tree, &FileTree::new())
    }

    fn of_trees(&self, tree: FileTree, aside: &FileTree) -> Result<Subject, Failure> {
        let directory = source::app_dir(&tree, self.directory).map_err(no_directory)?;
        let config = self.args.config.as_deref();
        let file = app_file_bytes(config, &[&tree, aside], directory.as_ref())?;
        let file = file.map(|(name, bytes)| AppText { name, bytes, is_named: config.is_some() });
        Ok(Subject { tree, directory, file })
    }

    /// An app file by itself, with the files beside it.
    fn app_file(&self, path: &Path) -> Result<Subject, Failure> {
        self.refuse_other_options()?;
        let file = fs_err::File::open(path)
            .map_err(|cause| Failure::because(Exit::NotUnderstood, "could not read the app file", cause))?;
        let name = path.display().to_string();
        let bytes = read_text(file, &name)?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let root = parent.map_or_else(|| PathBuf::from("."), Path::to_owned);
        let own = path.file_name().map(OsStrExt::as_bytes).unwrap_or_default();
        let own = TreePath::new(own).map_err(|cause| {
            Failure::because(Exit::NotUnderstood, format!("`{name}` is no app file"), cause)
        })?;
        let tree = source::glance(&root, &own).map_err(source_failure)?;
        Ok(Subject { tree, directory: None, file: Some(AppText { name, bytes, is_named: false }) })
    }

    fn stream(&self, mut stream: impl Read, address: &SourceAddress) -> Result<Subject, Failure> {
        let head = head(&mut stream).map_err(|cause| Failure::io("could not read standard input", cause))?;
        let stream = Cursor::new(head.clone()).chain(stream);
        if !is_text(&head) {
            return self.source(address, stream);
        }
        self.refuse_other_options()?;
        let bytes = read_text(stream, "-")?;
        let file = AppText { name: FILE_NAME.to_owned(), bytes, is_named: false };
        Ok(Subject { tree: FileTree::new(), directory: None, file: Some(file) })
    }

    /// Every other kind of source is fetched and read as a build does it.
    fn source(&self, address: &SourceAddress, stdin: impl Read) -> Result<Subject, Failure> {
        let scratch = tempfile::tempdir()
            .map_err(|cause| Failure::io("could not make a temporary directory", cause))?;
        let options = ReadOptions { aside: vec![self.app_file_path()?], ..ReadOptions::new(scratch.path()) };
        let source = self.fetcher.read(address, stdin, &options)?;
        self.of_trees(source.tree, &source.aside)
    }

    /// Where an app file is looked for.
    fn app_file_path(&self) -> Result<TreePath, Failure> {
        in_directory(source::app_path(self.directory).map_err(no_directory)?.as_ref(), FILE_NAME)
    }

    /// An app file stands for itself: neither it nor its directory is named by an option.
    fn refuse_other_options(&self) -> Result<(), Failure> {
        self.fetcher.no_digest("an app file")?;
        let given =
            [("--source-dir", self.args.source_dir.is_some()), ("--config", self.args.config.is_some())];
        match given.into_iter().find(|(_, is_given)| *is_given) {
            Some((option, _)) => {
                let what = format!("`{option}` does not go with an app file as the source");
                Err(Failure::new(Exit::NotUnderstood, what).hint("name the directory of the source instead"))
            }
            None => Ok(()),
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the form that `map_err` takes")]
fn no_directory(cause: AppDirError) -> Failure {
    Failure::new(Exit::NotUnderstood, cause.to_string())
}

/// Whether a file is to be taken as an app file: by its name, or because it holds text, which no archive does.
fn is_app_file(path: &Path) -> bool {
    let is_yaml = path.extension().is_some_and(|end| end == "yaml" || end == "yml");
    path.is_file() && (is_yaml || File::open(path).and_then(head).is_ok_and(|head| is_text(&head)))
}

fn head(stream: impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    stream.take(HEAD as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// A tar archive has zero bytes in its first block, and no compressed one is UTF-8.
fn is_text(head: &[u8]) -> bool {
    let is_utf8 = match std::str::from_utf8(head) {
        Ok(_) => true,
        // The last character may be cut.
        Err(error) => error.error_len().is_none() && head.len() == HEAD,
    };
    is_utf8 && !head.contains(&0)
}

fn read_text(stream: impl Read, name: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = stream.take(FILE_LIMIT + 1).read_to_end(&mut bytes);
    read.map_err(|cause| Failure::because(Exit::NotUnderstood, format!("could not read `{name}`"), cause))?;
    if bytes.len() as u64 > FILE_LIMIT {
        let what = format!("`{name}` has more bytes than the limit of {FILE_LIMIT}");
        return Err(Failure::new(Exit::NotUnderstood, what));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_told_from_archives() {
        for text in ["", "version: 1.0\n", "# é\n", &"é".repeat(HEAD), &format!("x{}", "é".repeat(HEAD))] {
            assert!(is_text(&head(text.as_bytes()).unwrap()), "{text}");
        }
        for archive in
            [&b"\x1f\x8b\x08"[..], b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0", b"app/\0\0\0ustar", b"\xff\xfe"]
        {
            assert!(!is_text(archive), "{archive:?}");
        }
    }
}
