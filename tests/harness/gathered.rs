//! Images of many tests in one image layout, in which no blob lies twice.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::image::Image;

/// A layout that images are brought to, by several processes at a time.
pub(crate) struct Gathered {
    directory: PathBuf,
}

impl Gathered {
    /// The one of this run of the tests; none where only some tests run, and nobody looks at it in the end.
    pub(crate) fn of_this_run() -> Option<Self> {
        std::env::var_os("LAPSTRAKE_TEST_IMAGES").map(|directory| Self::at(Path::new(&directory)))
    }

    /// The one in a directory, which is made if it is missing.
    pub(crate) fn at(directory: &Path) -> Self {
        for part in ["blobs/sha256", "named"] {
            fs_err::create_dir_all(directory.join(part)).unwrap();
        }
        Self { directory: directory.to_owned() }
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether an image is here, by the digest of its manifest.
    pub(crate) fn has(&self, digest: &str) -> bool {
        self.directory.join("named").join(tag_of(digest)).exists()
    }

    /// Brings an image here, as it lies in the layout `from`.
    pub(crate) fn add(&self, from: &Path, image: &Image) {
        for blob in blobs(image) {
            copy(from, &self.directory, &blob);
        }
        let tag = Self::tag(image);
        let descriptor = self.descriptor(image, &tag);
        place(&self.directory.join("named").join(tag), |file| fs_err::write(file, descriptor.to_string()));
    }

    /// All of them, sorted. From here on the directory is an image layout that names them.
    pub(crate) fn images(&self) -> Vec<Image> {
        let named = fs_err::read_dir(self.directory.join("named")).unwrap();
        let mut paths: Vec<PathBuf> = named.map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_none());
        paths.sort();
        let descriptors: Vec<Value> =
            paths.iter().map(|path| serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap()).collect();
        write_layout(&self.directory, &descriptors);
        let tags = paths.iter().map(|path| path.file_name().unwrap().to_str().unwrap());
        tags.map(|tag| Image::open_foreign(&self.directory, Some(tag))).collect()
    }

    /// A layout in `directory` with one image alone, under `tag`.
    pub(crate) fn alone(&self, image: &Image, tag: &str, directory: &Path) {
        if directory.exists() {
            fs_err::remove_dir_all(directory).unwrap();
        }
        fs_err::create_dir_all(directory.join("blobs/sha256")).unwrap();
        for blob in blobs(image) {
            let (from, to) = (self.directory.join(&blob), directory.join(&blob));
            // An image may have a layer twice.
            if !to.exists() && fs_err::hard_link(&from, &to).is_err() {
                fs_err::copy(from, to).unwrap();
            }
        }
        write_layout(directory, &[self.descriptor(image, tag)]);
    }

    fn descriptor(&self, image: &Image, tag: &str) -> Value {
        let manifest = self.directory.join("blobs").join(image.digest.replace(':', "/"));
        json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": image.digest,
            "size": fs_err::metadata(manifest).unwrap().len(),
            "annotations": { "org.opencontainers.image.ref.name": tag },
        })
    }

    /// What an image is called here.
    pub(crate) fn tag(image: &Image) -> String {
        tag_of(&image.digest)
    }

    /// `DIRECTORY:TAG`.
    pub(crate) fn name(&self, image: &Image) -> String {
        format!("{}:{}", self.directory.display(), Self::tag(image))
    }
}

fn tag_of(digest: &str) -> String {
    digest.trim_start_matches("sha256:")[..20].to_owned()
}

fn write_layout(directory: &Path, descriptors: &[Value]) {
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": descriptors,
    });
    fs_err::write(directory.join("index.json"), index.to_string()).unwrap();
    fs_err::write(directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

/// Where the parts of an image lie in a layout.
fn blobs(image: &Image) -> Vec<PathBuf> {
    let config = image.manifest["config"]["digest"].as_str().unwrap().to_owned();
    let digests = image.layers().into_iter().chain([config, image.digest.clone()]);
    digests.map(|digest| Path::new("blobs").join(digest.replace(':', "/"))).collect()
}

/// Copies a blob that is not there yet. It is no link: a test may change its own image later.
fn copy(from: &Path, to: &Path, blob: &Path) {
    let target = to.join(blob);
    if !target.exists() {
        place(&target, |file| fs_err::copy(from.join(blob), file).map(drop));
    }
}

/// Makes a file that is whole as soon as it is there.
fn place(path: &Path, write: impl FnOnce(&Path) -> io::Result<()>) {
    let unfinished = path.with_extension(format!("{}", std::process::id()));
    write(&unfinished).unwrap();
    fs_err::rename(unfinished, path).unwrap();
}
