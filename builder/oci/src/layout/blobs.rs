//! The blobs of a layout: looked up, stored, read.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use oci_spec::image::{Descriptor, Digest, MediaType};
use tempfile::NamedTempFile;

use super::{Layout, LayoutError};
use crate::document::{Document, DocumentError, HashingReader, HashingWriter, require_sha256, sha256_of};
use crate::image::{Blob, BlobSource, Image, ImageIndex};
use crate::layer::PackedLayer;
use crate::unfinished;

/// What the names of unfinished files begin with.
pub(crate) const TEMPORARY: &str = ".lapstrake-";

impl Layout {
    /// Where a blob is, or would be.
    #[must_use]
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.dir.join("blobs").join(digest.algorithm().as_ref()).join(digest.digest())
    }

    /// Whether a blob is there.
    #[must_use]
    pub fn has_blob(&self, digest: &Digest) -> bool {
        self.blob_path(digest).symlink_metadata().is_ok_and(|found| found.is_file())
    }

    /// Stores bytes under their digest.
    pub fn write_blob(&self, bytes: &[u8]) -> Result<Digest, LayoutError> {
        let digest = sha256_of(bytes);
        let descriptor = Descriptor::new(MediaType::Other(String::new()), bytes.len() as u64, digest.clone());
        if !self.keep(&descriptor) {
            self.write_file(&self.blob_path(&digest), bytes)?;
        }
        Ok(digest)
    }

    /// Stores a document.
    pub fn write_document(&self, document: &Document) -> Result<(), LayoutError> {
        self.write_blob(document.bytes()).map(drop)
    }

    /// Takes a finished temporary file over as a blob: renamed where the file system allows it, copied otherwise.
    ///
    /// Its bytes are those that `descriptor` was computed of; they are verified whenever they are read.
    pub fn adopt_blob(&self, blob: NamedTempFile, descriptor: &Descriptor) -> Result<(), LayoutError> {
        if self.keep(descriptor) {
            return Ok(());
        }
        require_sha256(descriptor.digest()).map_err(self.corrupt())?;
        let path = self.blob_path(descriptor.digest());
        let source = blob.path().to_owned();
        let len = blob.as_file().metadata().map_err(LayoutError::io("read", &source))?.len();
        if len != descriptor.size() {
            let (digest, expected) = (descriptor.digest().clone(), descriptor.size());
            return Err(self.corrupt()(DocumentError::Size { digest, expected, found: len }));
        }
        finish_file(blob.as_file()).map_err(LayoutError::io("written", &source))?;
        match blob.persist(&path) {
            Ok(_) => self.sync_dir_of(&path),
            Err(failed) if failed.error.kind() == io::ErrorKind::CrossesDevices => {
                self.copy_blob(failed.file.path(), descriptor)
            }
            Err(failed) => Err(LayoutError::io("written", &path)(failed.error)),
        }
    }

    /// Takes a packed layer over and says where it is now.
    pub fn adopt_layer(&self, layer: PackedLayer) -> Result<Blob, LayoutError> {
        self.adopt_blob(layer.blob, &layer.descriptor)?;
        let path = self.blob_path(layer.descriptor.digest());
        Ok(Blob::file(layer.descriptor, path))
    }

    /// Stores a copy of a file, verifying it on the way.
    pub fn copy_blob(&self, from: &Path, descriptor: &Descriptor) -> Result<(), LayoutError> {
        if self.keep(descriptor) {
            return Ok(());
        }
        let mut file = File::open(from).map_err(LayoutError::io("read", from))?;
        self.store_blob(&mut file, descriptor).map_err(|error| match error {
            // What is damaged is the file that it comes from.
            LayoutError::Corrupt { source, .. } => LayoutError::Corrupt { dir: from.to_owned(), source },
            other => other,
        })
    }

    /// Stores what a reader gives, verifying it on the way.
    pub fn store_blob(&self, reader: &mut dyn Read, descriptor: &Descriptor) -> Result<(), LayoutError> {
        require_sha256(descriptor.digest()).map_err(self.corrupt())?;
        let path = self.blob_path(descriptor.digest());
        let mut writer = HashingWriter::new(self.temporary()?);
        io::copy(&mut reader.take(descriptor.size() + 1), &mut writer)
            .map_err(LayoutError::io("written", &path))?;
        let (blob, found, size) = writer.finish();
        check(descriptor, found, size).map_err(self.corrupt())?;
        self.persist(blob, &path)
    }

    /// Reads a document and verifies it.
    pub fn read_document(&self, descriptor: &Descriptor) -> Result<Document, LayoutError> {
        let file = self.open_blob(descriptor.digest())?;
        Document::read(descriptor, file).map_err(self.corrupt())
    }

    /// Opens a blob whose size and digest have been verified; the file stands at its start.
    pub fn open_blob_verified(&self, descriptor: &Descriptor) -> Result<File, LayoutError> {
        let path = self.blob_path(descriptor.digest());
        let mut file = self.open_blob(descriptor.digest())?;
        verify_file(&mut file, descriptor)
            .map_err(LayoutError::io("read", &path))?
            .map_err(self.corrupt())?;
        Ok(file)
    }

    fn open_blob(&self, digest: &Digest) -> Result<File, LayoutError> {
        require_sha256(digest).map_err(self.corrupt())?;
        let path = self.blob_path(digest);
        match File::open(&path) {
            Ok(file) => Ok(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(LayoutError::MissingBlob { dir: self.dir.clone(), digest: digest.clone() })
            }
            Err(error) => Err(LayoutError::io("read", &path)(error)),
        }
    }

    /// Stores an image's layers, config and manifest, in this order.
    pub fn write_image(&self, image: &Image) -> Result<(), LayoutError> {
        for layer in &image.layers {
            self.write_layer(layer)?;
        }
        self.write_document(&image.config)?;
        self.write_document(&image.manifest)
    }

    /// Stores the images of an index, then the index.
    pub fn write_index(&self, index: &ImageIndex) -> Result<(), LayoutError> {
        index.images.iter().try_for_each(|image| self.write_image(image))?;
        self.write_document(&index.document)
    }

    fn write_layer(&self, blob: &Blob) -> Result<(), LayoutError> {
        let digest = blob.descriptor.digest();
        match &blob.source {
            BlobSource::File(path) if *path == self.blob_path(digest) => {
                self.keep_or_missing(&blob.descriptor)
            }
            BlobSource::File(path) => self.copy_blob(path, &blob.descriptor),
            BlobSource::Bytes(bytes) => {
                Document::verified(&blob.descriptor, bytes.clone()).map_err(self.corrupt())?;
                self.write_blob(bytes).map(drop)
            }
            BlobSource::Mounted { .. } if self.has_blob(digest) => Ok(()),
            BlobSource::Mounted { from } => {
                Err(LayoutError::Elsewhere { digest: digest.clone(), from: from.to_string() })
            }
        }
    }

    fn keep_or_missing(&self, descriptor: &Descriptor) -> Result<(), LayoutError> {
        if self.keep(descriptor) { Ok(()) } else { self.open_blob_verified(descriptor).map(drop) }
    }

    /// Deletes a blob, such as one that was found corrupt; it is no error when it is not there.
    pub fn remove_blob(&self, digest: &Digest) -> Result<(), LayoutError> {
        let path = self.blob_path(digest);
        match fs_err::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(LayoutError::io("deleted", &path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Whether a blob is there already and is what names it, for which it is read: one that was cut short or has changed is
    /// written again. Its time is renewed, so that garbage collection takes it for a new one.
    #[must_use]
    pub fn keep(&self, descriptor: &Descriptor) -> bool {
        let digest = descriptor.digest();
        let found = self.blob_path(digest).symlink_metadata();
        if !found.is_ok_and(|found| found.is_file() && found.len() == descriptor.size()) {
            return false;
        }
        // What cannot be read is written again as well.
        let verified =
            File::open(self.blob_path(digest)).and_then(|mut file| verify_file(&mut file, descriptor));
        if !matches!(verified, Ok(Ok(()))) {
            return false;
        }
        let now = rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
        let times = rustix::fs::Timestamps { last_access: now, last_modification: now };
        let path = self.blob_path(digest);
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        // In a layout that cannot be written, nothing will be collected either.
        let _ = rustix::fs::utimensat(rustix::fs::CWD, &path, &times, flags);
        true
    }

    /// Writes a file so that it appears whole or not at all.
    pub(super) fn write_file(&self, path: &Path, bytes: &[u8]) -> Result<(), LayoutError> {
        let mut file = self.temporary()?;
        file.write_all(bytes).map_err(LayoutError::io("written", path))?;
        self.persist(file, path)
    }

    fn temporary(&self) -> Result<NamedTempFile, LayoutError> {
        unfinished::begin(&self.dir, TEMPORARY).map_err(LayoutError::io("written", &self.dir))
    }

    fn persist(&self, file: NamedTempFile, path: &Path) -> Result<(), LayoutError> {
        finish_file(file.as_file()).map_err(LayoutError::io("written", path))?;
        file.persist(path).map_err(|failed| LayoutError::io("written", path)(failed.error))?;
        self.sync_dir_of(path)
    }

    /// Makes a rename last through a loss of power.
    fn sync_dir_of(&self, path: &Path) -> Result<(), LayoutError> {
        let dir = path.parent().unwrap_or(&self.dir);
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(LayoutError::io("written", dir))
    }

    /// Deletes the blobs that no manifest in `index.json` leads to, and what interrupted writers left, if they are
    /// older than `before`: a blob that is being stored for a tag to come is younger. Returns what was freed.
    pub fn gc(&self, before: SystemTime) -> Result<u64, LayoutError> {
        let reachable = self.reachable()?;
        let mut freed = 0;
        for dir in [self.blobs_dir(), self.dir.clone()] {
            let entries = fs_err::read_dir(&dir).map_err(LayoutError::io("read", &dir))?;
            for entry in entries {
                let entry = entry.map_err(LayoutError::io("read", &dir))?;
                let (path, name) = (entry.path(), entry.file_name());
                let blob = dir != self.dir && !name.to_str().is_some_and(|name| reachable.contains(name));
                let left_over = name.to_string_lossy().starts_with(TEMPORARY);
                let found = entry.metadata().map_err(LayoutError::io("read", &path))?;
                let old = found.modified().is_ok_and(|time| time < before);
                if (blob || left_over) && old && found.is_file() {
                    fs_err::remove_file(&path).map_err(LayoutError::io("deleted", &path))?;
                    freed += found.len();
                }
            }
        }
        Ok(freed)
    }
}

/// Reads a file through, compares it with a descriptor, and goes back to its start.
pub(crate) fn verify_file(file: &mut File, descriptor: &Descriptor) -> io::Result<Result<(), DocumentError>> {
    if let Err(error) = require_sha256(descriptor.digest()) {
        return Ok(Err(error));
    }
    file.rewind()?;
    let mut reader = HashingReader::new(&*file);
    let mut buffer = vec![0; 1 << 17];
    while reader.read(&mut buffer)? > 0 {}
    let (found, size) = reader.finish();
    file.rewind()?;
    Ok(check(descriptor, found, size))
}

fn check(descriptor: &Descriptor, found: Digest, size: u64) -> Result<(), DocumentError> {
    let digest = descriptor.digest().clone();
    if size != descriptor.size() {
        return Err(DocumentError::Size { digest, expected: descriptor.size(), found: size });
    }
    if found != digest {
        return Err(DocumentError::Digest { expected: digest, found });
    }
    Ok(())
}

/// Blobs are for everybody who may enter the layout, and nobody changes them.
fn finish_file(file: &File) -> io::Result<()> {
    rustix::fs::fchmod(file, rustix::fs::Mode::from_raw_mode(0o644))?;
    file.sync_all()
}
