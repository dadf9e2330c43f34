//! Documents of catalogs, by digest: what a tag names has to be asked for, what it leads to need not be fetched again.

use std::io;

use lapstrake_oci::document::Document;
use oci_spec::image::Descriptor;

use super::{Cache, Kind};

impl Cache {
    /// The document that a descriptor names, if its bytes are the right ones.
    #[must_use]
    pub fn document(&self, descriptor: &Descriptor) -> Option<Document> {
        let bytes = self.read(Kind::Documents, descriptor.digest().digest())?;
        Document::verified(descriptor, bytes).ok()
    }

    /// Keeps a document.
    pub fn keep_document(&self, document: &Document) -> io::Result<()> {
        self.write(Kind::Documents, document.digest().digest(), document.bytes())
    }
}

#[cfg(test)]
mod tests {
    use oci_spec::image::MediaType;

    use super::*;

    #[test]
    fn a_document_that_was_changed_on_disk_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::of(dir.path());
        let document = Document::from_bytes(MediaType::ImageManifest, &b"{}"[..]);
        assert!(cache.document(document.descriptor()).is_none());
        cache.keep_document(&document).unwrap();
        let found = cache.document(document.descriptor()).unwrap();
        assert_eq!(found.bytes(), document.bytes());
        fs_err::write(cache.path(Kind::Documents, document.digest().digest()), b"[]").unwrap();
        assert!(cache.document(document.descriptor()).is_none());
    }
}
