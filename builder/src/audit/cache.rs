//! What an audit has read before, by digest, so that another audit asks only whether tags have moved.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use lapstrake_oci::document::{DOCUMENT_LIMIT, Document, sha256_of};
use oci_spec::image::{Descriptor, Digest, MediaType};

/// Documents by digest, and which digest each tag named when it was last looked at. Whatever is not as it was written
/// counts as absent, and what cannot be written is read again the next time.
pub struct Cache {
    directory: PathBuf,
}

impl Cache {
    /// The cache in this directory, which need not exist.
    #[must_use]
    pub fn at(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// A document, if its bytes are here and are what the digest says.
    #[must_use]
    pub fn document(&self, digest: &Digest) -> Option<Document> {
        let path = self.path("documents", digest.as_ref());
        let size = path.metadata().ok()?.len();
        let bytes = (size <= DOCUMENT_LIMIT + 256).then(|| fs_err::read(&path).ok()).flatten()?;
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let media_type = std::str::from_utf8(&bytes[..end]).ok()?;
        let content = &bytes[end + 1..];
        let size = u64::try_from(content.len()).ok()?;
        let descriptor = Descriptor::new(MediaType::from(media_type), size, digest.clone());
        Document::verified(&descriptor, content.to_vec()).ok()
    }

    /// Keeps a document.
    pub fn keep(&self, document: &Document) {
        let mut bytes = document.media_type().to_string().into_bytes();
        bytes.push(b'\n');
        bytes.extend_from_slice(document.bytes());
        write(&self.path("documents", document.digest().as_ref()), &bytes);
    }

    /// The digests that the tags of a repository named.
    #[must_use]
    pub fn tags(&self, repository: &str) -> BTreeMap<String, Digest> {
        let bytes = fs_err::read(self.tags_path(repository)).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Keeps the digests that the tags of a repository name.
    pub fn keep_tags(&self, repository: &str, tags: &BTreeMap<String, Digest>) {
        if let Ok(bytes) = serde_json::to_vec(tags) {
            write(&self.tags_path(repository), &bytes);
        }
    }

    fn tags_path(&self, repository: &str) -> PathBuf {
        self.path("tags", sha256_of(repository.as_bytes()).as_ref())
    }

    fn path(&self, kind: &str, digest: &str) -> PathBuf {
        let name = digest.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        self.directory.join(kind).join(name)
    }
}

/// Writes a file whole or not at all. It is verified when it is read, so it is not waited for.
fn write(path: &Path, bytes: &[u8]) {
    let Some(parent) = path.parent() else { return };
    let written = fs_err::create_dir_all(parent).and_then(|()| {
        let mut file = tempfile::NamedTempFile::new_in(parent)?;
        file.write_all(bytes)?;
        file.persist(path).map(drop).map_err(|error| error.error)
    });
    // Without a cache the audit is slower, and the same.
    drop(written);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_found_until_a_byte_of_it_changes() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::at(directory.path().join("audit"));
        let document = Document::from_bytes(MediaType::ImageManifest, b"{\"a\":1}".to_vec());
        assert_eq!(cache.document(document.digest()).map(|found| found.bytes().to_vec()), None);
        cache.keep(&document);
        let found = cache.document(document.digest()).unwrap();
        assert_eq!((found.bytes(), found.media_type()), (document.bytes(), &MediaType::ImageManifest));
        let file =
            fs_err::read_dir(directory.path().join("audit/documents")).unwrap().next().unwrap().unwrap();
        let mut bytes = fs_err::read(file.path()).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs_err::write(file.path(), bytes).unwrap();
        assert!(cache.document(document.digest()).is_none());
    }

    #[test]
    fn tags_are_kept_by_repository() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::at(directory.path().to_owned());
        let tags = BTreeMap::from([("1".to_owned(), sha256_of(b"x"))]);
        cache.keep_tags("host/a", &tags);
        assert_eq!((cache.tags("host/a"), cache.tags("host/b")), (tags, BTreeMap::new()));
    }

    #[test]
    fn a_place_that_cannot_be_written_is_no_failure() {
        let cache = Cache::at("/proc/nowhere".into());
        cache.keep(&Document::from_bytes(MediaType::ImageManifest, b"{}".to_vec()));
        assert!(cache.document(&sha256_of(b"{}")).is_none());
    }
}
