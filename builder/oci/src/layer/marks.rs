//! The extended attributes by which overlayfs marks what it wrote into an upper directory.

use std::path::Path;

use rustix::fs::{lgetxattr, llistxattr};
use rustix::io::Errno;

/// The marks of a file or directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent mark of overlayfs")]
pub(super) struct Marks {
    /// Nothing of lower layers shows in this directory.
    pub(super) opaque: bool,
    /// An empty file that is a whiteout, in the form without device nodes.
    pub(super) whiteout: bool,
    /// The directory was renamed: its content is elsewhere in the lower layers.
    redirect: bool,
    /// Only the metadata is here: the content is in a lower layer.
    metacopy: bool,
}

impl Marks {
    /// Reads the marks of a path, without following a link at its end.
    pub(super) fn read(path: &Path) -> Result<Self, Errno> {
        let mut names = vec![0; 1 << 12];
        let len = loop {
            match llistxattr(path, &mut names) {
                Ok(len) => break len,
                Err(Errno::RANGE) if names.len() < 1 << 16 => names.resize(1 << 16, 0),
                // A file system without attributes has no marks.
                Err(Errno::NOTSUP) => break 0,
                Err(cause) => return Err(cause),
            }
        };
        let mut marks = Self::default();
        for name in names[..len].split(|byte| *byte == 0) {
            let Some(mark) = mark(name) else { continue };
            match mark {
                b"opaque" => marks.opaque |= is_yes(path, name)?,
                b"whiteout" => marks.whiteout = true,
                b"redirect" => marks.redirect = true,
                b"metacopy" => marks.metacopy = true,
                // `origin`, `impure`, `nlink`, `uuid` and `protattr` say nothing about content.
                _ => {}
            }
        }
        Ok(marks)
    }

    /// Why what has these marks cannot become part of a layer.
    pub(super) fn refused(self) -> Option<&'static str> {
        if self.redirect {
            Some("overlayfs recorded it as a renamed directory (`redirect`)")
        } else if self.metacopy {
            Some("overlayfs copied its metadata without its content (`metacopy`)")
        } else {
            None
        }
    }
}

fn mark(name: &[u8]) -> Option<&[u8]> {
    name.strip_prefix(b"user.overlay.").or_else(|| name.strip_prefix(b"trusted.overlay."))
}

/// Whether an attribute is `y`. A directory whose `opaque` is `x` merely may hold whiteouts without device nodes.
fn is_yes(path: &Path, name: &[u8]) -> Result<bool, Errno> {
    let mut value = [0; 16];
    match lgetxattr(path, name, &mut value) {
        Ok(len) => Ok(&value[..len] == b"y"),
        Err(Errno::NODATA) => Ok(false),
        Err(cause) => Err(cause),
    }
}
