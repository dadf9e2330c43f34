//! A tar file in the making, which appears at its place when it is finished.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::ArchiveError;
use crate::image::{Blob, BlobSource};
use crate::layer::header::{Flag, Header, patch_size};
use crate::layout::TEMPORARY;
use crate::tree::Owner;
use crate::unfinished;

pub(super) struct Output {
    path: PathBuf,
    file: BufWriter<NamedTempFile>,
}

impl Output {
    pub(super) fn create(path: &Path) -> Result<Self, ArchiveError> {
        check_place(path)?;
        let dir = match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        unfinished::sweep(dir, TEMPORARY);
        let file = unfinished::begin(dir, TEMPORARY).map_err(ArchiveError::io("written", path))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::with_capacity(1 << 17, file) })
    }

    pub(super) fn directory(&mut self, name: &str) -> Result<(), ArchiveError> {
        let header = header(Flag::Directory, name, 0o755, 0);
        self.file.write_all(&header).map_err(ArchiveError::io("written", &self.path))
    }

    pub(super) fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.known(name, &mut &bytes[..], bytes.len() as u64)
    }

    /// A blob as it is.
    pub(super) fn blob(&mut self, name: &str, blob: &Blob) -> Result<(), ArchiveError> {
        let size = blob.descriptor.size();
        self.known(name, &mut *open(blob)?, size)
    }

    /// A file whose length is known and must be right.
    fn known(&mut self, name: &str, reader: &mut dyn Read, size: u64) -> Result<(), ArchiveError> {
        let mut write = || {
            self.file.write_all(&header(Flag::File, name, 0o644, size))?;
            let copied = io::copy(&mut reader.take(size), &mut self.file)?;
            if copied < size || reader.read(&mut [0])? > 0 {
                return Err(io::Error::other(format!("`{name}` does not have {size} bytes")));
            }
            pad(&mut self.file, size)
        };
        write().map_err(ArchiveError::io("written", &self.path))
    }

    /// A file whose length shows when it has been written: the header is completed afterwards.
    pub(super) fn stream(&mut self, name: &str, reader: &mut dyn Read) -> Result<(), ArchiveError> {
        let mut write = || {
            let start = self.file.stream_position()?;
            let mut header = header(Flag::File, name, 0o644, 0);
            self.file.write_all(&header)?;
            let size = io::copy(reader, &mut self.file)?;
            pad(&mut self.file, size)?;
            let block: &mut [u8; 512] = header.as_mut_slice().try_into().map_err(io::Error::other)?;
            patch_size(block, size);
            self.file.seek(SeekFrom::Start(start))?;
            self.file.write_all(block)?;
            self.file.seek(SeekFrom::End(0)).map(drop)
        };
        write().map_err(ArchiveError::io("written", &self.path))
    }

    /// Ends the archive and puts it in its place, where it replaces a file or a link but nothing else.
    pub(super) fn finish(mut self) -> Result<(), ArchiveError> {
        let path = self.path;
        let failed = || ArchiveError::io("written", &path);
        self.file.write_all(&[0; 1024]).map_err(failed())?;
        let file = self.file.into_inner().map_err(|error| failed()(error.into_error()))?;
        let finish = |file: &File| -> io::Result<()> {
            rustix::fs::fchmod(file, rustix::fs::Mode::from_raw_mode(0o644))?;
            file.sync_all()
        };
        finish(file.as_file()).map_err(failed())?;
        check_place(&path)?;
        file.persist(&path).map_err(|error| failed()(error.error))?;
        Ok(())
    }
}

/// A rename would replace a device as easily as a file: `/dev/stdout` is a link, and root may write in `/dev`.
fn check_place(path: &Path) -> Result<(), ArchiveError> {
    let occupied = |reason| Err(ArchiveError::Occupied { path: path.to_owned(), reason });
    match path.metadata() {
        Ok(found) if found.is_dir() => occupied("it is a directory"),
        Ok(found) if !found.is_file() => occupied("it is not a regular file"),
        // Nothing is there, or a link that leads nowhere, or it will show when the file is made.
        _ => Ok(()),
    }
}

pub(super) fn open(blob: &Blob) -> Result<Box<dyn Read + Send + '_>, ArchiveError> {
    match &blob.source {
        BlobSource::Bytes(bytes) => Ok(Box::new(&bytes[..])),
        BlobSource::File(path) => Ok(Box::new(File::open(path).map_err(ArchiveError::io("read", path))?)),
        BlobSource::Mounted { from } => {
            let digest = blob.descriptor.digest().clone();
            Err(ArchiveError::Elsewhere { digest, from: from.to_string() })
        }
    }
}

fn header(flag: Flag, name: &str, mode: u32, size: u64) -> Vec<u8> {
    let owner = Owner::default();
    Header { flag, path: name.as_bytes(), link: b"", mode, owner, size, mtime: 0 }.encode()
}

fn pad(writer: &mut impl Write, size: u64) -> io::Result<()> {
    let padding = usize::try_from(size.next_multiple_of(512) - size).unwrap_or(0);
    writer.write_all(&[0; 512][..padding])
}
