//! Images that were built earlier, by this program or another one, wherever they lie on this machine.

use std::path::{Path, PathBuf};

use lapstrake_catalog::PlatformKey;
use lapstrake_oci::archive::import;
use lapstrake_oci::document::{Document, DocumentKind};
use lapstrake_oci::image::{Blob, Image};
use lapstrake_oci::layer::PackOptions;
use lapstrake_oci::layout::Layout;
use oci_spec::image::{Descriptor, ImageIndex, ImageManifest};

use crate::failure::{Exit, Failure};

/// An image, or an index of images, in a layout.
pub struct Stored {
    /// The layout that has it.
    pub layout: Layout,
    /// The topmost document.
    pub top: Descriptor,
    /// What the user called it.
    pub name: String,
}

impl Stored {
    /// Opens `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:NAME:TAG]` or a file that is one of the
    /// two. Archives
    /// are unpacked into `scratch`.
    pub fn open(given: &str, scratch: &Path) -> Result<Self, Failure> {
        let what = || format!("could not open `{given}`");
        let no_image = |cause| Failure::because(Exit::NotUnderstood, what(), cause);
        if let Some(place) = given.strip_prefix("oci:") {
            let (directory, tag) = split_tag(place);
            let layout = Layout::open(directory).map_err(no_image)?;
            return Self::find(layout, tag, given);
        }
        let (path, tag) = archive_path(given);
        if !path.is_file() {
            return Err(Failure::new(Exit::NotUnderstood, format!("{}: there is no such file", what()))
                .hint("name a layout as `oci:DIR[:TAG]`, or an archive by its path"));
        }
        let layout = Layout::create(scratch.join("archive"))
            .map_err(|cause| Failure::because(Exit::Ours, what(), cause))?;
        let images = import(&path, &layout, &PackOptions::new(0))
            .map_err(|cause| Failure::because(Exit::Refused, what(), cause))?;
        let named: Vec<_> =
            images.iter().filter(|image| tag.is_none() || image.name.as_deref() == tag).collect();
        match named.as_slice() {
            [image] => Ok(Self { layout, top: image.descriptor.clone(), name: given.to_owned() }),
            [] => Err(Failure::new(Exit::NotUnderstood, format!("`{given}` holds no such image"))),
            several => {
                let found: Vec<&str> = several.iter().filter_map(|image| image.name.as_deref()).collect();
                Err(Failure::new(
                    Exit::NotUnderstood,
                    format!("`{given}` holds several images: {}", found.join(", ")),
                ))
            }
        }
    }

    fn find(layout: Layout, tag: Option<&str>, given: &str) -> Result<Self, Failure> {
        let found = match tag {
            Some(tag) => layout.resolve(tag),
            None => layout.resolve_only(),
        };
        let top = found.map_err(|cause| {
            Failure::because(Exit::NotUnderstood, format!("could not find the image in `{given}`"), cause)
        })?;
        Ok(Self { layout, top, name: given.to_owned() })
    }

    /// The image for a platform. An image that names no platform serves all.
    pub fn image(&self, platform: &PlatformKey) -> Result<Image, Failure> {
        let refused =
            |cause| Failure::because(Exit::Refused, format!("could not read `{}`", self.name), cause);
        let mut document = self.layout.read_document(&self.top).map_err(refused)?;
        // Registries hold indexes of indexes for catalogs only; an image is at most one step below.
        if DocumentKind::of(document.descriptor().media_type()) == Some(DocumentKind::Index) {
            let chosen = self.choose(&document, platform)?;
            document = self.layout.read_document(&chosen).map_err(refused)?;
        }
        let manifest: ImageManifest = document.parse().map_err(|cause| {
            Failure::because(Exit::Refused, format!("could not read `{}`", self.name), cause)
        })?;
        let config = self.layout.read_document(manifest.config()).map_err(refused)?;
        let layers = manifest
            .layers()
            .iter()
            .map(|layer| Blob::file(layer.clone(), self.layout.blob_path(layer.digest())))
            .collect();
        Ok(Image { manifest: document, config, layers })
    }

    fn choose(&self, index: &Document, platform: &PlatformKey) -> Result<Descriptor, Failure> {
        let index: ImageIndex = index.parse().map_err(|cause| {
            Failure::because(Exit::Refused, format!("could not read `{}`", self.name), cause)
        })?;
        let key = |descriptor: &Descriptor| descriptor.platform().as_ref().map(PlatformKey::from);
        let found =
            index.manifests().iter().find(|descriptor| key(descriptor).is_none_or(|key| key == *platform));
        found.cloned().ok_or_else(|| {
            let has: Vec<String> =
                index.manifests().iter().filter_map(key).map(|key| key.to_string()).collect();
            Failure::new(
                Exit::NotUnderstood,
                format!("`{}` has no image for {platform}, only for {}", self.name, has.join(", ")),
            )
        })
    }
}

/// `PATH[:TAG]`.
fn split_tag(place: &str) -> (&str, Option<&str>) {
    match place.rsplit_once(':') {
        Some((path, tag)) if !tag.is_empty() && !tag.contains('/') => (path, Some(tag)),
        _ => (place, None),
    }
}

fn archive_path(given: &str) -> (PathBuf, Option<&str>) {
    if let Some(place) = given.strip_prefix("oci-archive:") {
        let (path, tag) = split_tag(place);
        return (path.into(), tag);
    }
    match given.strip_prefix("docker-archive:").map(|place| place.split_once(':').unwrap_or((place, ""))) {
        // A name there is a whole reference, with slashes and a tag of its own.
        Some((path, name)) => (path.into(), Some(name).filter(|name| !name.is_empty())),
        None => (given.into(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_with_and_without_a_tag() {
        assert_eq!(split_tag("/a/b:v1"), ("/a/b", Some("v1")));
        assert_eq!(split_tag("/a:b/c"), ("/a:b/c", None));
        assert_eq!(archive_path("docker-archive:x.tar"), (PathBuf::from("x.tar"), None));
        assert_eq!(
            archive_path("docker-archive:x.tar:team/app:1"),
            (PathBuf::from("x.tar"), Some("team/app:1"))
        );
        assert_eq!(archive_path("x.tar"), (PathBuf::from("x.tar"), None));
    }

    #[test]
    fn what_is_not_there_is_said_so() {
        let scratch = tempfile::tempdir().unwrap();
        let failure = Stored::open("/nonexistent/x.tar", scratch.path()).err().unwrap();
        assert_eq!(failure.exit, Exit::NotUnderstood);
        assert!(Stored::open("oci:/nonexistent", scratch.path()).is_err());
    }
}
