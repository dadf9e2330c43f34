//! From a manifest or index to everything that it names.

use std::collections::BTreeSet;

use oci_spec::image::{Descriptor, ImageIndex, ImageManifest};

use super::{Layout, LayoutError};
use crate::document::{Document, DocumentError, DocumentKind};
use crate::image::{Blob, Image, ImageIndex as Images};

/// Deeper than any tool nests indexes.
const DEPTH_LIMIT: usize = 8;

/// Something that a manifest or index leads to.
#[derive(Clone, Debug)]
pub enum Reached {
    /// A manifest or index, read and verified.
    Document(Document),
    /// A config, a layer or another blob, with where it is.
    Blob(Blob),
}

impl Reached {
    /// What names it.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        match self {
            Self::Document(document) => document.descriptor(),
            Self::Blob(blob) => &blob.descriptor,
        }
    }
}

/// The descriptors in a manifest (its config, then its layers) or in an index; none in anything else.
pub fn children(document: &Document) -> Result<Vec<Descriptor>, DocumentError> {
    Ok(match DocumentKind::of(document.media_type()) {
        None => Vec::new(),
        Some(DocumentKind::Index) => document.parse::<ImageIndex>()?.manifests().clone(),
        Some(DocumentKind::Manifest) => {
            let manifest: ImageManifest = document.parse()?;
            let mut list = vec![manifest.config().clone()];
            list.extend(manifest.layers().iter().cloned());
            list
        }
    })
}

/// What to do about a blob that is named but not there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Refuse,
    PassOver,
}

impl Layout {
    /// Everything that a descriptor leads to, each once: what is named comes before what names it.
    pub fn walk(&self, descriptor: &Descriptor) -> Result<Vec<Reached>, LayoutError> {
        let mut walk =
            Walk { layout: self, missing: Missing::Refuse, seen: BTreeSet::new(), reached: Vec::new() };
        walk.visit(descriptor, 0)?;
        Ok(walk.reached)
    }

    /// The encoded digests of everything that `index.json` leads to.
    pub(super) fn reachable(&self) -> Result<BTreeSet<String>, LayoutError> {
        let mut walk =
            Walk { layout: self, missing: Missing::PassOver, seen: BTreeSet::new(), reached: Vec::new() };
        for descriptor in self.manifests()? {
            walk.visit(&descriptor, 0)?;
        }
        Ok(walk.seen)
    }

    /// An image, with its layers in this layout.
    pub fn read_image(&self, descriptor: &Descriptor) -> Result<Image, LayoutError> {
        let manifest = self.read_document(descriptor)?;
        let parsed: ImageManifest = manifest.parse().map_err(self.corrupt())?;
        let config = self.read_document(parsed.config())?;
        let layers = parsed.layers().iter().map(|layer| self.blob(layer)).collect::<Result<_, _>>()?;
        Ok(Image { manifest, config, layers })
    }

    /// An image index, with the images that it lists.
    pub fn read_index_of_images(&self, descriptor: &Descriptor) -> Result<Images, LayoutError> {
        let document = self.read_document(descriptor)?;
        let parsed: ImageIndex = document.parse().map_err(self.corrupt())?;
        let images =
            parsed.manifests().iter().map(|image| self.read_image(image)).collect::<Result<_, _>>()?;
        Ok(Images { document, images })
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Blob, LayoutError> {
        if !self.has_blob(descriptor.digest()) {
            let digest = descriptor.digest().clone();
            return Err(LayoutError::MissingBlob { dir: self.dir.clone(), digest });
        }
        Ok(Blob::file(descriptor.clone(), self.blob_path(descriptor.digest())))
    }
}

struct Walk<'a> {
    layout: &'a Layout,
    missing: Missing,
    seen: BTreeSet<String>,
    reached: Vec<Reached>,
}

impl Walk<'_> {
    fn visit(&mut self, descriptor: &Descriptor, depth: usize) -> Result<(), LayoutError> {
        let digest = descriptor.digest();
        if !self.seen.insert(digest.digest().to_owned()) {
            return Ok(());
        }
        if depth > DEPTH_LIMIT {
            return Err(LayoutError::TooDeep { digest: digest.clone(), limit: DEPTH_LIMIT });
        }
        if self.missing == Missing::PassOver && !self.layout.has_blob(digest) {
            return Ok(());
        }
        if DocumentKind::of(descriptor.media_type()).is_none() {
            self.reached.push(Reached::Blob(self.layout.blob(descriptor)?));
            return Ok(());
        }
        let document = self.layout.read_document(descriptor)?;
        for child in children(&document).map_err(self.layout.corrupt())? {
            self.visit(&child, depth + 1)?;
        }
        self.reached.push(Reached::Document(document));
        Ok(())
    }
}
