//! Reads many images at a time.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use lapstrake_catalog::CATALOG_ARTIFACT_TYPE;
use lapstrake_catalog::audit::{Observed, Unread};
use lapstrake_oci::document::{Document, DocumentKind};
use oci_spec::image::{Descriptor, Digest, ImageIndex, ImageManifest, MediaType};

use super::Cache;
use super::image::{Origin, is_image, observed};
use super::place::{Place, Reason};
use crate::context::Stop;
use crate::failure::Failure;
use crate::source::in_parallel_by;

/// So many images are read at a time: what is waited for is the registry, not this machine.
const AT_A_TIME: usize = 16;

/// What is to be read.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// What a tag or a digest of a repository names.
    Image {
        /// The repository, with its registry.
        repository: String,
        /// The tag or the digest.
        name: String,
    },
    /// Every tag of a repository that a glob matches; all of them without one.
    Repository {
        /// The repository, with its registry.
        repository: String,
        /// The glob.
        tags: Option<globset::GlobMatcher>,
    },
}

/// What was read.
#[derive(Debug, Default)]
pub struct Found {
    /// The images, each platform by itself.
    pub images: Vec<Observed>,
    /// What could not be read.
    pub unread: Vec<Unread>,
    /// How many tags name something that is no image: signatures, and other artifacts.
    pub others: usize,
}

impl Found {
    fn missing(&mut self, reference: String, reason: Reason) {
        self.unread.push(Unread { reference, reason });
    }

    fn add(&mut self, other: Self) {
        self.images.extend(other.images);
        self.unread.extend(other.unread);
        self.others += other.others;
    }
}

/// Reads everything that is wanted. What cannot be read is told in the result; a stop ends it.
pub fn walk(place: &dyn Place, wanted: &[Wanted], cache: &Cache, stop: &Stop) -> Result<Found, Failure> {
    let mut walk = Walk { place, cache, known: BTreeMap::new(), tags: Mutex::default() };
    let listed = in_parallel_by(AT_A_TIME, wanted, |wanted| {
        stop.check()?;
        Ok::<_, Failure>(walk.names(wanted))
    })?;
    let mut found = Found::default();
    let mut names: Vec<(String, String)> = Vec::new();
    for listed in listed {
        match listed {
            Ok(listed) => names.extend(listed),
            Err(unread) => found.unread.push(unread),
        }
    }
    names.sort();
    names.dedup();
    for (repository, _) in &names {
        walk.known.entry(repository.clone()).or_insert_with(|| cache.tags(repository));
    }
    let tops = in_parallel_by(AT_A_TIME, &names, |(repository, name)| {
        stop.check()?;
        Ok::<_, Failure>(walk.digest(repository, name))
    })?;
    // Several tags of one digest are read once.
    let mut images: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for ((repository, name), top) in names.into_iter().zip(tops) {
        match top {
            Ok(digest) => images.entry((repository, digest.to_string())).or_default().push(name),
            Err(reason) => found.missing(display(&repository, &name), reason),
        }
    }
    let images: Vec<_> = images.into_iter().collect();
    let read = in_parallel_by(AT_A_TIME, &images, |((repository, digest), names)| {
        stop.check()?;
        Ok::<_, Failure>(walk.image(repository, digest, names))
    })?;
    for read in read {
        found.add(read);
    }
    walk.keep_tags();
    Ok(found)
}

/// `REPOSITORY:TAG` or `REPOSITORY@DIGEST`.
fn display(repository: &str, name: &str) -> String {
    let separator = if name.contains(':') { '@' } else { ':' };
    format!("{repository}{separator}{name}")
}

struct Walk<'a> {
    place: &'a dyn Place,
    cache: &'a Cache,
    /// The digests that tags named when they were last looked at, by repository.
    known: BTreeMap<String, BTreeMap<String, Digest>>,
    /// The digests that tags name now, by repository.
    tags: Mutex<BTreeMap<String, BTreeMap<String, Digest>>>,
}

impl Walk<'_> {
    /// The repositories and names of what is wanted.
    fn names(&self, wanted: &Wanted) -> Result<Vec<(String, String)>, Unread> {
        match wanted {
            Wanted::Image { repository, name } => Ok(vec![(repository.clone(), name.clone())]),
            Wanted::Repository { repository, tags } => {
                let listed = self.place.tags(repository);
                let listed = listed.map_err(|reason| Unread { reference: repository.clone(), reason })?;
                let fits = |tag: &String| tags.as_ref().is_none_or(|glob| glob.is_match(tag));
                Ok(listed.into_iter().filter(fits).map(|tag| (repository.clone(), tag)).collect())
            }
        }
    }

    /// The digest under a name. Where it is not remembered, the manifest is read at once and kept: that is one request
    /// as well, and the next step needs it.
    fn digest(&self, repository: &str, name: &str) -> Result<Digest, Reason> {
        if let Some(digest) = name.contains(':').then(|| Digest::try_from(name).ok()).flatten() {
            return Ok(digest);
        }
        let known = self.known.get(repository).and_then(|tags| tags.get(name));
        let digest = if known.is_some_and(|digest| self.cache.document(digest).is_some()) {
            self.place.digest(repository, name)?
        } else {
            let top = self.place.top(repository, name)?;
            self.cache.keep(&top);
            top.digest().clone()
        };
        let mut tags = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
        tags.entry(repository.to_owned()).or_default().insert(name.to_owned(), digest.clone());
        Ok(digest)
    }

    fn keep_tags(&self) {
        let tags = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
        for (repository, now) in tags.iter() {
            let mut all = self.known.get(repository).cloned().unwrap_or_default();
            all.extend(now.clone());
            self.cache.keep_tags(repository, &all);
        }
    }

    /// A document from the cache, or else from its place.
    fn document(
        &self,
        digest: &Digest,
        read: impl FnOnce() -> Result<Document, Reason>,
    ) -> Result<Document, Reason> {
        if let Some(kept) = self.cache.document(digest) {
            return Ok(kept);
        }
        let document = read()?;
        self.cache.keep(&document);
        Ok(document)
    }

    /// Everything under one digest: an image, or the images of an index.
    fn image(&self, repository: &str, digest: &str, names: &[String]) -> Found {
        let mut found = Found::default();
        let tags: Vec<String> = names.iter().filter(|name| !name.contains(':')).cloned().collect();
        let origin = Origin { repository, tags: &tags, index: None };
        let name = names.first().map_or(digest, String::as_str);
        let top = Digest::try_from(digest)
            .map_err(|error| error.to_string())
            .and_then(|digest| self.document(&digest, || self.place.top(repository, digest.as_ref())));
        match top.map(|top| (DocumentKind::of(top.media_type()), top)) {
            Ok((Some(DocumentKind::Index), top)) => self.index(&origin, &top, &mut found),
            Ok((Some(DocumentKind::Manifest), top)) => self.one(&origin, &top, name, &mut found),
            Ok((None, top)) => {
                found.missing(display(repository, name), format!("`{}` is no image", top.media_type()));
            }
            Err(reason) => found.missing(display(repository, name), reason),
        }
        found
    }

    fn index(&self, origin: &Origin<'_>, document: &Document, found: &mut Found) {
        let index: ImageIndex = match document.parse() {
            Ok(index) => index,
            Err(cause) => {
                return found
                    .missing(display(origin.repository, document.digest().as_ref()), cause.to_string());
            }
        };
        let origin = Origin { index: Some(document.digest()), ..*origin };
        // The entries of a catalog are what images are judged by, and no apps.
        let catalog = MediaType::from(CATALOG_ARTIFACT_TYPE);
        if index.artifact_type().as_ref() == Some(&catalog) {
            found.others += 1;
            return;
        }
        for descriptor in index.manifests().iter().filter(|descriptor| !is_attestation(descriptor)) {
            let read = || self.place.manifest(origin.repository, descriptor);
            let name = descriptor.digest().to_string();
            match self.document(descriptor.digest(), read) {
                Ok(manifest) => self.one(&origin, &manifest, &name, found),
                Err(reason) => found.missing(display(origin.repository, &name), reason),
            }
        }
    }

    fn one(&self, origin: &Origin<'_>, document: &Document, name: &str, found: &mut Found) {
        match self.manifest(origin, document) {
            Ok(Some(image)) => found.images.push(image),
            Ok(None) => found.others += 1,
            Err(reason) => found.missing(display(origin.repository, name), reason),
        }
    }

    fn manifest(&self, origin: &Origin<'_>, document: &Document) -> Result<Option<Observed>, Reason> {
        let manifest: ImageManifest = document.parse().map_err(|cause| cause.to_string())?;
        if !is_image(&manifest) {
            return Ok(None);
        }
        let config = manifest.config();
        let config = self.document(config.digest(), || self.place.config(origin.repository, config))?;
        observed(origin, document, &manifest, &config).map(Some)
    }
}

/// What builders attach to an index beside its images.
fn is_attestation(descriptor: &Descriptor) -> bool {
    let annotations = descriptor.annotations();
    annotations.as_ref().is_some_and(|annotations| annotations.contains_key("vnd.docker.reference.type"))
}
