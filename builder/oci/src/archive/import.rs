//! An archive of either kind, by any tool -> an image layout.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use oci_spec::image::{Descriptor, Digest, ImageConfiguration, MediaType};
use serde::Deserialize;

use super::ArchiveError;
use crate::document::{DOCUMENT_LIMIT, Document, HashingReader, HashingWriter};
use crate::image::{Blob, Image};
use crate::layer::decode::Encoding;
use crate::layer::{
    Compression, EntryKind, LayerReader, PackOptions, Packed, ReadError, ReadLimits, compress,
};
use crate::layout::{Layout, REF_NAME, TEMPORARY};
use crate::tree::{Content, TreePath};
use crate::unfinished;

/// An image or image index that was read from an archive into a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The name that the archive has for it: a tag in an `oci-archive`, a whole name in a `docker-archive`.
    pub name: Option<String>,
    /// What names it in the layout.
    pub descriptor: Descriptor,
}

/// Reads an archive into a layout, where its images have no tags yet. The plain layers of a `docker-archive` are
/// compressed as `options` say, with their `diff_id`s as they are; all other blobs and documents keep their bytes.
pub fn import(archive: &Path, layout: &Layout, options: &PackOptions) -> Result<Vec<Imported>, ArchiveError> {
    let contents = Contents::open(archive, layout.dir())?;
    if contents.files.contains_key(b"oci-layout".as_slice()) {
        import_oci(&contents, layout)
    } else if contents.files.contains_key(b"manifest.json".as_slice()) {
        import_docker(&contents, layout, options)
    } else {
        Err(contents.malformed("it has neither `oci-layout` nor `manifest.json`"))
    }
}

/// Where the files of an archive are in it.
struct Contents<'a> {
    archive: &'a Path,
    file: Arc<File>,
    files: BTreeMap<Vec<u8>, (u64, u64)>,
    links: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl<'a> Contents<'a> {
    fn open(archive: &'a Path, scratch: &Path) -> Result<Self, ArchiveError> {
        let unreadable = || ArchiveError::io("read", archive);
        let mut file = fs_err::File::open(archive).map_err(unreadable())?.into_parts().0;
        if !file.metadata().map_err(unreadable())?.is_file() {
            let reason = "it is not a regular file".to_owned();
            return Err(ArchiveError::Malformed { archive: archive.to_owned(), reason });
        }
        let encoding = Encoding::sniff(&mut file).map_err(unreadable())?;
        if encoding != Encoding::Plain {
            file = decompressed(file, encoding, scratch).map_err(unreadable())?;
        }
        let mut contents =
            Self { archive, file: Arc::new(file), files: BTreeMap::new(), links: BTreeMap::new() };
        contents.index()?;
        Ok(contents)
    }

    fn index(&mut self) -> Result<(), ArchiveError> {
        let archive = self.archive;
        let unreadable = |source| ArchiveError::Tar { archive: archive.to_owned(), source };
        let file = self.file.try_clone().map_err(ArchiveError::io("read", archive))?;
        let mut reader = LayerReader::new(Box::new(file), ReadLimits::default());
        while let Some(entry) = reader.next_entry().map_err(unreadable)? {
            let name = entry.path.as_bytes().to_vec();
            let twice = match entry.kind {
                EntryKind::Directory => false,
                EntryKind::File => {
                    let place = (reader.position(), entry.size);
                    self.files.insert(name.clone(), place).is_some() || self.links.contains_key(&name)
                }
                EntryKind::Symlink(target) => {
                    let target = beside(&entry.path, &target)
                        .ok_or_else(|| self.malformed(&format!("`{}` is a link out of it", entry.path)))?;
                    self.links.insert(name.clone(), target).is_some() || self.files.contains_key(&name)
                }
                EntryKind::Hardlink(target) => {
                    self.links.insert(name.clone(), target.as_bytes().to_vec()).is_some()
                        || self.files.contains_key(&name)
                }
                _ => return Err(self.malformed(&format!("`{}` is no file", entry.path))),
            };
            if twice {
                return Err(self.malformed(&format!("it has `{}` twice", entry.path)));
            }
        }
        Ok(())
    }

    fn content(&self, name: &str) -> Result<Content, ArchiveError> {
        let mut at =
            TreePath::new(name).map_err(|error| self.malformed(&error.to_string()))?.as_bytes().to_vec();
        // `docker save` once stored a layer that two images share as a link to the first.
        for _ in 0..8 {
            if let Some((offset, len)) = self.files.get(&at) {
                return Ok(Content::range(self.file.clone(), *offset, *len));
            }
            match self.links.get(&at) {
                Some(target) => at.clone_from(target),
                None => break,
            }
        }
        Err(self.malformed(&format!("it has no file `{name}`")))
    }

    fn document(&self, name: &str) -> Result<Vec<u8>, ArchiveError> {
        let content = self.content(name)?;
        if content.len() > DOCUMENT_LIMIT {
            return Err(self.malformed(&format!("`{name}` is larger than {DOCUMENT_LIMIT} bytes")));
        }
        content.read().map_err(ArchiveError::io("read", self.archive))
    }

    fn parse<T: for<'de> Deserialize<'de>>(&self, name: &str, bytes: &[u8]) -> Result<T, ArchiveError> {
        serde_json::from_slice(bytes).map_err(|error| self.malformed(&format!("`{name}`: {error}")))
    }

    fn malformed(&self, reason: &str) -> ArchiveError {
        ArchiveError::Malformed { archive: self.archive.to_owned(), reason: reason.to_owned() }
    }
}

/// The path that a link beside `path` leads to, if it stays in the archive.
fn beside(path: &TreePath, target: &[u8]) -> Option<Vec<u8>> {
    let mut components: Vec<&[u8]> = path.components().collect();
    components.pop();
    for component in target.split(|byte| *byte == b'/') {
        match component {
            b"" if target.starts_with(b"/") => return None,
            b"" | b"." => {}
            b".." => drop(components.pop()?),
            name => components.push(name),
        }
    }
    Some(components.join(&b'/'))
}

fn decompressed(file: File, encoding: Encoding, scratch: &Path) -> io::Result<File> {
    let limit = ReadLimits::default().uncompressed;
    let mut whole = unfinished::begin(scratch, TEMPORARY)?.into_file();
    let copied = io::copy(&mut encoding.decode(file)?.take(limit + 1), &mut whole)?;
    if copied > limit {
        return Err(io::Error::other(format!("it has more than {limit} bytes when it is uncompressed")));
    }
    whole.rewind()?;
    Ok(whole)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marker {
    image_layout_version: String,
}

fn import_oci(contents: &Contents<'_>, layout: &Layout) -> Result<Vec<Imported>, ArchiveError> {
    let marker: Marker = contents.parse("oci-layout", &contents.document("oci-layout")?)?;
    if marker.image_layout_version != "1.0.0" {
        return Err(contents.malformed(&format!("its layout version is `{}`", marker.image_layout_version)));
    }
    let index: oci_spec::image::ImageIndex =
        contents.parse("index.json", &contents.document("index.json")?)?;
    for name in contents.files.keys() {
        let Some(digest) = name.strip_prefix(b"blobs/sha256/") else { continue };
        let digest = String::from_utf8_lossy(digest);
        let digest = Digest::from_str(&format!("sha256:{digest}"))
            .map_err(|_| contents.malformed(&format!("`{digest}` is no sha256 digest")))?;
        let content = contents.content(&String::from_utf8_lossy(name))?;
        let descriptor = Descriptor::new(MediaType::Other(String::new()), content.len(), digest);
        let mut reader = content.open().map_err(ArchiveError::io("read", contents.archive))?;
        layout.store_blob(&mut reader, &descriptor)?;
    }
    let mut imported = Vec::new();
    for mut descriptor in index.manifests().clone() {
        layout.walk(&descriptor)?;
        let mut annotations = descriptor.annotations().clone().unwrap_or_default();
        let name = annotations.remove(REF_NAME);
        descriptor.set_annotations(Some(annotations).filter(|rest| !rest.is_empty()));
        imported.push(Imported { name, descriptor });
    }
    Ok(imported)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

fn import_docker(
    contents: &Contents<'_>,
    layout: &Layout,
    options: &PackOptions,
) -> Result<Vec<Imported>, ArchiveError> {
    let list: Vec<DockerImage> = contents.parse("manifest.json", &contents.document("manifest.json")?)?;
    let mut layers = BTreeMap::new();
    let mut imported = Vec::new();
    for entry in list {
        let image = docker_image(contents, layout, options, &entry, &mut layers)?;
        layout.write_image(&image)?;
        let descriptor = image.manifest.descriptor().clone();
        let names = entry.repo_tags.unwrap_or_default();
        if names.is_empty() {
            imported.push(Imported { name: None, descriptor: descriptor.clone() });
        }
        for name in names {
            imported.push(Imported { name: Some(name), descriptor: descriptor.clone() });
        }
    }
    Ok(imported)
}

fn docker_image(
    contents: &Contents<'_>,
    layout: &Layout,
    options: &PackOptions,
    entry: &DockerImage,
    layers: &mut BTreeMap<String, (Blob, Digest)>,
) -> Result<Image, ArchiveError> {
    let config = Document::from_bytes(MediaType::ImageConfig, contents.document(&entry.config)?);
    let parsed: ImageConfiguration = config.parse()?;
    let diff_ids = parsed.rootfs().diff_ids();
    if diff_ids.len() != entry.layers.len() {
        let (ids, count) = (diff_ids.len(), entry.layers.len());
        return Err(contents.malformed(&format!("its config has {ids} diff_ids for {count} layers")));
    }
    let mut blobs = Vec::new();
    for (place, (file, expected)) in entry.layers.iter().zip(diff_ids).enumerate() {
        if !layers.contains_key(file) {
            layers.insert(file.clone(), docker_layer(contents, layout, options, file)?);
        }
        let (blob, found) = &layers[file];
        if found.as_ref() != expected {
            let (position, expected, found) = (place + 1, expected.clone(), found.clone());
            return Err(ArchiveError::DiffId { position, expected, found });
        }
        blobs.push(blob.clone());
    }
    Ok(Image::assemble(config, blobs, &BTreeMap::new()))
}

/// Stores a layer, compressed if it is not, and says what its `diff_id` is.
fn docker_layer(
    contents: &Contents<'_>,
    layout: &Layout,
    options: &PackOptions,
    file: &str,
) -> Result<(Blob, Digest), ArchiveError> {
    let unreadable = || ArchiveError::io("read", contents.archive);
    let content = contents.content(file)?;
    let mut magic = Vec::new();
    content.open().and_then(|reader| reader.take(4).read_to_end(&mut magic)).map_err(unreadable())?;
    let encoding = Encoding::sniff(&mut io::Cursor::new(magic)).map_err(unreadable())?;
    let reader = content.open().map_err(unreadable())?;
    let packed = match encoding {
        Encoding::Plain => compress(reader, options.compression, options.threads, layout.dir())?,
        Encoding::Gzip => keep(&content, encoding, Compression::Gzip(6), layout.dir(), contents.archive)?,
        Encoding::Zstd => keep(&content, encoding, Compression::Zstd(3), layout.dir(), contents.archive)?,
    };
    layout.adopt_blob(packed.blob, &packed.descriptor)?;
    let path = layout.blob_path(packed.descriptor.digest());
    Ok((Blob::file(packed.descriptor, path), packed.diff_id))
}

/// Copies a layer that is compressed already.
fn keep(
    content: &Content,
    encoding: Encoding,
    like: Compression,
    scratch: &Path,
    archive: &Path,
) -> Result<Packed, ArchiveError> {
    let unreadable = || ArchiveError::io("read", archive);
    let undecodable = |source| ReadError::Stream { source };
    let mut tar =
        HashingReader::new(encoding.decode(content.open().map_err(unreadable())?).map_err(undecodable)?);
    let limit = ReadLimits::default().uncompressed;
    io::copy(&mut tar.by_ref().take(limit), &mut io::sink()).map_err(undecodable)?;
    let (diff_id, uncompressed) = tar.finish();
    let blob = unfinished::begin(scratch, TEMPORARY).map_err(ArchiveError::io("written", scratch))?;
    let mut writer = HashingWriter::new(blob);
    io::copy(&mut content.open().map_err(unreadable())?, &mut writer)
        .map_err(ArchiveError::io("written", scratch))?;
    let (blob, digest, size) = writer.finish();
    let descriptor = Descriptor::new(like.media_type(), size, digest);
    Ok(Packed { descriptor, diff_id, uncompressed, blob })
}
