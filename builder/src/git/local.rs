//! A repository on this machine, looked at without obeying it.
//!
//! Whoever made the directory may have written anything into it: settings that run programs, links into repositories
//! of other people, a `.git` that names one of them. So no git ever runs in it. Its references are copied into a
//! repository of ours, which borrows its objects once it is known that they are its own.

use std::fs::FileType;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::error::GitError;
use super::remote::Remote;
use super::{Git, Repository};

/// The largest file of references that is copied.
const REFERENCES: u64 = 64 << 20;
/// As many files may a repository have for its references, and for its objects.
const FILES: usize = 2_000_000;

/// A repository on this machine.
pub struct LocalRepository {
    /// Where its `HEAD` is: its own place, or that of a worktree in it.
    head: PathBuf,
    /// Where everything else is.
    common: PathBuf,
}

/// What stands for a repository of this machine.
pub struct Shadow {
    /// Where its commits are fetched from.
    pub remote: Remote,
    /// Where it was cloned from, as it says itself.
    pub origin: Option<String>,
}

/// Why a directory is no repository that is read.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// There is none.
    #[error("`{}` is no git repository", path.display())]
    None {
        /// The directory.
        path: PathBuf,
        /// The repository that it lies in, if it does.
        around: Option<PathBuf>,
    },
    /// It leads elsewhere.
    #[error("`{}` is refused: {reason}", path.display())]
    Refused {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        reason: &'static str,
        /// What would help.
        hint: Option<&'static str>,
    },
    /// It cannot be read.
    #[error("could not read the repository `{}`", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl LocalRepository {
    /// Finds the repository of a directory: a bare one, a checkout, or a worktree that its repository knows of.
    pub fn open(directory: &Path) -> Result<Self, LocalError> {
        let directory = fs_err::canonicalize(directory)
            .map_err(|source| LocalError::Read { path: directory.to_owned(), source })?;
        let inside = directory.join(".git");
        let repository = match kind(&inside)? {
            Some(kind) if kind.is_dir() => Self { head: inside.clone(), common: inside },
            Some(kind) if kind.is_file() => Self::of_worktree(&inside)?,
            Some(_) => return Err(refused(&inside, "it is neither a directory nor a file")),
            None if is_bare(&directory)? => Self { head: directory.clone(), common: directory },
            None => {
                let around = directory.ancestors().skip(1).find(|above| above.join(".git").exists());
                return Err(LocalError::None { around: around.map(Path::to_owned), path: directory });
            }
        };
        repository.check()?;
        Ok(repository)
    }

    /// A `.git` file may name any repository of the machine; only one that names this checkout in turn is meant.
    fn of_worktree(file: &Path) -> Result<Self, LocalError> {
        let own = || refused(file, "it names a repository that does not know this checkout");
        let text = read(file)?;
        let named = text.trim_end_matches('\n').strip_prefix("gitdir: ").ok_or_else(own)?;
        let base = file.parent().unwrap_or(Path::new("/"));
        let head = fs_err::canonicalize(base.join(named)).map_err(|_| own())?;
        let back = read(&head.join("gitdir")).map_err(|_| own())?;
        let back = fs_err::canonicalize(head.join(back.trim_end_matches('\n'))).map_err(|_| own())?;
        let common = read(&head.join("commondir")).map_err(|_| own())?;
        let common = fs_err::canonicalize(head.join(common.trim_end_matches('\n'))).map_err(|_| own())?;
        // Git keeps worktrees there; whoever can write there owns the repository anyway.
        if back != file || head.parent() != Some(&common.join("worktrees")) {
            return Err(own());
        }
        Ok(Self { head, common })
    }

    /// Whether its objects are its own.
    fn check(&self) -> Result<(), LocalError> {
        let objects = self.common.join("objects");
        walk(&objects, &mut |path, kind| match kind {
            kind if kind.is_dir() || kind.is_file() => Ok(()),
            _ => Err(refused(path, "objects are files, not links")),
        })?;
        let alternates = objects.join("info/alternates");
        if kind(&alternates)?.is_some() && !read(&alternates)?.trim().is_empty() {
            return Err(LocalError::Refused {
                path: alternates,
                reason: "the repository borrows objects from another one",
                hint: Some("give it its own with `git repack -a -d`, then delete this file"),
            });
        }
        Ok(())
    }

    /// Makes a repository in a new directory that has the same references and borrows the objects, and whose settings
    /// are ours.
    pub fn shadow(&self, git: &Git, directory: &Path) -> Result<Shadow, LocalError> {
        let io = |source| LocalError::Read { path: directory.to_owned(), source };
        let ours = |error: GitError| io(io::Error::other(error));
        let shadow = git.repository(directory).map_err(ours)?;
        self.copy_settings(&shadow)?;
        let origin = self.setting(&shadow, "remote.origin.url")?;
        copy(&self.head.join("HEAD"), &directory.join("HEAD"))?;
        for name in ["packed-refs", "shallow"] {
            copy(&self.common.join(name), &directory.join(name))?;
        }
        for name in ["refs", "reftable"] {
            self.copy_tree(name, directory)?;
        }
        let objects = self.common.join("objects");
        let line = objects.to_str().filter(|text| !text.contains(['\n', '"']));
        let line =
            line.ok_or_else(|| refused(&objects, "its path has characters that git cannot be told"))?;
        fs_err::create_dir_all(directory.join("objects/info")).map_err(io)?;
        fs_err::write(directory.join("objects/info/alternates"), format!("{line}\n")).map_err(io)?;
        let remote = Remote::directory(directory).map_err(|cause| io(io::Error::other(cause)))?;
        Ok(Shadow { remote, origin })
    }

    fn setting(&self, shadow: &Repository<'_>, key: &str) -> Result<Option<String>, LocalError> {
        let config = self.common.join("config");
        if kind(&config)?.is_none() {
            return Ok(None);
        }
        // Git would wait for a FIFO, and follow a link.
        drop(open(&config)?);
        let failed = |error| LocalError::Read { path: config.clone(), source: io::Error::other(error) };
        shadow.setting_of(&config, key).map_err(failed)
    }

    /// The two settings that say how objects and references are kept.
    fn copy_settings(&self, shadow: &Repository<'_>) -> Result<(), LocalError> {
        let config = self.common.join("config");
        let mut extensions = String::new();
        for (key, values) in [("objectformat", ["sha1", "sha256"]), ("refstorage", ["files", "reftable"])] {
            let Some(given) = self.setting(shadow, &format!("extensions.{key}"))? else { continue };
            let value = values.into_iter().find(|value| *value == given);
            let value =
                value.ok_or_else(|| refused(&config, "it keeps objects or references in an unknown way"))?;
            extensions.extend(["\t", key, " = ", value, "\n"]);
        }
        if extensions.is_empty() {
            return Ok(());
        }
        let text =
            format!("[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n{extensions}");
        let place = shadow.directory().join("config");
        fs_err::write(&place, text).map_err(|source| LocalError::Read { path: place, source })
    }

    fn copy_tree(&self, name: &str, directory: &Path) -> Result<(), LocalError> {
        let from = self.common.join(name);
        if kind(&from)?.is_none() {
            return Ok(());
        }
        walk(&from, &mut |path, kind| {
            let below = path.strip_prefix(&self.common).unwrap_or(path);
            let to = directory.join(below);
            if kind.is_dir() {
                return fs_err::create_dir_all(&to).map_err(|source| LocalError::Read { path: to, source });
            }
            if kind.is_file() {
                copy(path, &to)
            } else {
                Err(refused(path, "references are files, not links"))
            }
        })
    }
}

fn refused(path: &Path, reason: &'static str) -> LocalError {
    LocalError::Refused { path: path.to_owned(), reason, hint: None }
}

/// What is at a path; links are not followed.
fn kind(path: &Path) -> Result<Option<FileType>, LocalError> {
    match path.symlink_metadata() {
        Ok(metadata) => Ok(Some(metadata.file_type())),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LocalError::Read { path: path.to_owned(), source }),
    }
}

fn is_bare(directory: &Path) -> Result<bool, LocalError> {
    let is = |name: &str, what: fn(&FileType) -> bool| {
        Ok(kind(&directory.join(name))?.is_some_and(|kind| what(&kind)))
    };
    Ok(is("HEAD", FileType::is_file)? && is("objects", FileType::is_dir)? && is("refs", FileType::is_dir)?)
}

/// Visits everything below a directory and the directory itself, which is no link.
fn walk(
    top: &Path,
    visit: &mut dyn FnMut(&Path, FileType) -> Result<(), LocalError>,
) -> Result<(), LocalError> {
    let failed = |error: walkdir::Error| LocalError::Read { path: top.to_owned(), source: error.into() };
    for (count, entry) in walkdir::WalkDir::new(top).follow_root_links(false).into_iter().enumerate() {
        let entry = entry.map_err(failed)?;
        if count >= FILES {
            return Err(refused(top, "it has more files than any repository"));
        }
        visit(entry.path(), entry.file_type())?;
    }
    Ok(())
}

/// Opens a file that is no link, and nothing to wait for.
fn open(path: &Path) -> Result<fs_err::File, LocalError> {
    use fs_err::os::unix::fs::OpenOptionsExt as _;
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = fs_err::OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = file.map_err(|source| LocalError::Read { path: path.to_owned(), source })?;
    match file.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(file),
        _ => Err(refused(path, "it is no regular file")),
    }
}

fn read(path: &Path) -> Result<String, LocalError> {
    let failed = |source| LocalError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    open(path)?.take(64 << 10).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

/// Copies a file if there is one.
fn copy(from: &Path, to: &Path) -> Result<(), LocalError> {
    if kind(from)?.is_none() {
        return Ok(());
    }
    let failed = |source| LocalError::Read { path: from.to_owned(), source };
    let mut file = open(from)?.take(REFERENCES + 1);
    let mut copied = fs_err::File::create(to).map_err(failed)?;
    if io::copy(&mut file, &mut copied).map_err(failed)? > REFERENCES {
        return Err(refused(from, "it is larger than any file of references"));
    }
    Ok(())
}
