//! Opens a Debian package: its control data and its files, without its maintainer scripts (deb(5)).

mod control;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use lapstrake_oci::tree::{Content, FileTree, Kind, TreePath};
use liblzma::read::XzDecoder;
use liblzma::stream::Stream;

pub use control::Control;

use crate::tarball::{self, ArchiveError, Spool};

const FORMAT: &str = "Debian package";
/// Enough for `xz -9` (65 MiB); a larger window is no package of Debian's.
const XZ_MEMORY: u64 = 96 << 20;
/// Control files are kilobytes; `md5sums` of a kernel reaches half a megabyte.
const CONTROL_FILE_LIMIT: u64 = 16 << 20;

/// An opened Debian package.
#[derive(Debug)]
pub struct Deb {
    /// The fields of its control file, with the file's own bytes.
    pub control: Control,
    /// Its files at the paths that the package has, before any `/usr` merge.
    pub tree: FileTree,
    /// The checksums file of the package, verbatim.
    pub md5sums: Option<Vec<u8>>,
}

impl Deb {
    /// The compressed Debian changelog, where the package carries one.
    #[must_use]
    pub fn changelog(&self) -> Option<&Content> {
        ["changelog.Debian.gz", "changelog.gz"].iter().find_map(|name| {
            let path = TreePath::new(format!("usr/share/doc/{}/{name}", self.control.package())).ok()?;
            match &self.tree.get(&path)?.kind {
                Kind::File(content) => Some(content),
                _ => None,
            }
        })
    }
}

/// Opens a `.deb`; the contents of its files are spooled to the scratch directory.
pub fn open(path: &Path, scratch: &Path) -> Result<Deb, ArchiveError> {
    let artifact = file_name(path);
    let file = File::open(path).map_err(ArchiveError::read(&artifact))?;
    let mut archive = ar::Archive::new(BufReader::new(file));
    let mut spool = Spool::create(scratch).map_err(ArchiveError::read(&artifact))?;
    let fault = |reason: String| ArchiveError::Format { artifact: artifact.clone(), format: FORMAT, reason };

    let mut next = |wanted: &'static str| -> Result<FileTree, ArchiveError> {
        loop {
            let Some(member) = archive.next_entry() else {
                return Err(fault(format!("member `{wanted}` is missing")));
            };
            let member = member.map_err(ArchiveError::read(&artifact))?;
            let name = member.header().identifier().escape_ascii().to_string();
            // deb(5): members whose names begin with an underscore, such as signatures, are to be ignored.
            if name.starts_with('_') {
                continue;
            }
            if !name.starts_with(wanted) {
                return Err(fault(format!("member `{name}` stands where `{wanted}` should")));
            }
            if wanted == "debian-binary" {
                check_version(member).map_err(&fault)?;
                return Ok(FileTree::new());
            }
            let label = format!("{artifact}:{name}");
            let reader = decoder(&name[wanted.len()..], member)
                .map_err(ArchiveError::read(&label))?
                .ok_or_else(|| fault(format!("member `{name}` has an unknown compression")))?;
            return tarball::read(reader, &label, &mut spool);
        }
    };
    next("debian-binary")?;
    let control = next("control.tar")?;
    let tree = next("data.tar")?;

    let text =
        member(&control, "control", &artifact)?.ok_or_else(|| fault("it has no `control`".to_owned()))?;
    let control_fields = Control::parse(text).map_err(&fault)?;
    let md5sums = member(&control, "md5sums", &artifact)?;
    Ok(Deb { control: control_fields, tree, md5sums })
}

/// The last component of a path, for messages.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn check_version(mut member: impl Read) -> Result<(), String> {
    let mut text = String::new();
    member.read_to_string(&mut text).map_err(|cause| format!("`debian-binary`: {cause}"))?;
    if text.starts_with("2.") { Ok(()) } else { Err(format!("its format is `{}`, not `2.0`", text.trim())) }
}

fn decoder<'a>(suffix: &str, member: impl Read + 'a) -> io::Result<Option<Box<dyn Read + 'a>>> {
    Ok(match suffix {
        "" => Some(Box::new(member)),
        ".gz" => Some(Box::new(MultiGzDecoder::new(member))),
        ".xz" => {
            let stream = Stream::new_stream_decoder(XZ_MEMORY, 0).map_err(io::Error::other)?;
            Some(Box::new(XzDecoder::new_stream(member, stream)))
        }
        ".zst" => Some(Box::new(zstd::stream::read::Decoder::new(member)?)),
        _ => None,
    })
}

fn member(control: &FileTree, name: &str, artifact: &str) -> Result<Option<Vec<u8>>, ArchiveError> {
    let path = TreePath::new(name).expect("a plain name");
    let Some(Kind::File(content)) = control.get(&path).map(|node| &node.kind) else { return Ok(None) };
    if content.len() > CONTROL_FILE_LIMIT {
        let reason = format!("`{name}` has {} bytes", content.len());
        return Err(ArchiveError::Format { artifact: artifact.to_owned(), format: FORMAT, reason });
    }
    content.read().map(Some).map_err(ArchiveError::read(artifact))
}

#[cfg(test)]
mod tests;
