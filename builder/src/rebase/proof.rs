//! The proof that an app runs on other layers: the new ones have all that the app needs and the old ones had.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use lapstrake_catalog::EntryId;
use lapstrake_oci::document::sha256_of;
use oci_spec::image::{Descriptor, Digest, MediaType};

use crate::failure::{Exit, Failure};
use crate::needs::{Facts, Lack, Needs, Provides, node_module_version, of_layers};
use crate::published::Repository;

/// So many lacks are named.
const NAMED: usize = 5;

/// The layers of an entry, as far as they prove what it provides.
pub struct Layers<'a> {
    /// The entry.
    pub entry: &'a EntryId,
    /// The digests of their archives, lowest first.
    pub diff_ids: Vec<&'a Digest>,
    /// Opens their blobs.
    pub open: &'a dyn Fn() -> Result<Vec<(File, MediaType)>, Failure>,
}

/// What entries provide, read from their layers once and kept.
pub struct Proof {
    directory: PathBuf,
    known: Mutex<BTreeMap<String, Arc<Provides>>>,
}

impl Proof {
    /// The proofs that are kept in a data directory.
    #[must_use]
    pub fn at(data_dir: &Path) -> Self {
        Self { directory: data_dir.join("provides"), known: Mutex::new(BTreeMap::new()) }
    }

    /// Refuses to put an app on layers that lack what it needs.
    pub fn check(&self, needs: &Needs, old: &Layers<'_>, new: &Layers<'_>) -> Result<(), Failure> {
        // Most apps that are scripts alone need nothing.
        if needs.iter().next().is_none() {
            return Ok(());
        }
        let (before, after) = (self.provides(old)?, self.provides(new)?);
        let lacking = needs.lacking(&before, &after);
        if lacking.is_empty() {
            return Ok(());
        }
        let named: Vec<String> = lacking.iter().take(NAMED).map(Lack::to_string).collect();
        let more = lacking.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        let what = format!("{}{more}: `{}` does not provide it", named.join(", "), new.entry);
        Err(Failure::new(Exit::Refused, what).hint("build the image again on that entry"))
    }

    /// What the layers of an entry provide.
    fn provides(&self, layers: &Layers<'_>) -> Result<Arc<Provides>, Failure> {
        let names: Vec<String> = layers.diff_ids.iter().map(ToString::to_string).collect();
        let key = sha256_of(format!("{} {}", layers.entry, names.join(" ")).as_bytes()).digest().to_owned();
        // One reads the layers, and all others wait for it.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(provides) = known.get(&key) {
            return Ok(Arc::clone(provides));
        }
        let file = self.directory.join(format!("{key}.json"));
        let kept = fs_err::read(&file).ok().and_then(|text| serde_json::from_slice::<Provides>(&text).ok());
        let provides = if let Some(kept) = kept.filter(Provides::is_current) {
            kept
        } else {
            let provides = Provides::of(&facts((layers.open)()?, &layers.diff_ids)?, layers.entry);
            self.keep(&file, &provides)?;
            provides
        };
        let provides = Arc::new(provides);
        known.insert(key, Arc::clone(&provides));
        Ok(provides)
    }

    fn keep(&self, file: &Path, provides: &Provides) -> Result<(), Failure> {
        let failed = |cause| Failure::io("could not keep what a runtime provides", cause);
        fs_err::create_dir_all(&self.directory).map_err(failed)?;
        let text = serde_json::to_vec(provides)
            .map_err(|cause| Failure::because(Exit::Ours, "could not keep what a runtime provides", cause))?;
        let mut new = tempfile::NamedTempFile::new_in(&self.directory).map_err(failed)?;
        new.write_all(&text).map_err(failed)?;
        new.persist(file).map(drop).map_err(|cause| failed(cause.error))
    }
}

/// What the app of an image needs, by its own layers: for images that do not say it.
pub(super) fn needs_of_layers(
    layers: &[Descriptor],
    diff_ids: &[Digest],
    on: &EntryId,
    repository: &Repository,
) -> Result<Needs, Failure> {
    let expected: Vec<&Digest> = diff_ids.iter().collect();
    let facts = facts(open(layers, repository)?, &expected)?;
    Ok(Needs::of(&facts, node_module_version(on)))
}

/// The blobs of layers, verified by digest and size.
pub(super) fn open(
    layers: &[Descriptor],
    repository: &Repository,
) -> Result<Vec<(File, MediaType)>, Failure> {
    let blob = |layer: &Descriptor| Ok((repository.blob(layer)?.into_parts().0, layer.media_type().clone()));
    layers.iter().map(blob).collect()
}

fn facts(layers: Vec<(File, MediaType)>, expected: &[&Digest]) -> Result<Facts, Failure> {
    let (facts, found) = of_layers(layers)
        .map_err(|cause| Failure::because(Exit::Refused, "a layer is not understood", cause))?;
    match found.iter().zip(expected).find(|(found, expected)| found != *expected) {
        Some((found, expected)) => {
            let what = format!("a layer has the diffID `{found}`, and its image names `{expected}`");
            Err(Failure::new(Exit::Refused, what))
        }
        None => Ok(facts),
    }
}
