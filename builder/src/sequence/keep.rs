//! Keeps what commands have made for later builds.

use std::collections::{BTreeMap, BTreeSet};

use lapstrake_oci::image::Blob;
use lapstrake_oci::layer::{self, Compression, PackOptions};
use lapstrake_oci::tree::{Content, ContentDigest, ContentHasher};

use super::{MADE_TIME, NewResult, unreadable};
use crate::bag;
use crate::cache::KeptLayer;
use crate::failure::{Exit, Failure};
use crate::reuse::Reuse;
use crate::scratch::Scratch;
use crate::secrets::Search;

/// A layer of an image with the contents that its files have.
#[derive(Clone)]
pub struct PackedContents {
    /// The digests of the contents.
    pub contents: BTreeSet<ContentDigest>,
    /// What is kept of the layer.
    pub layer: KeptLayer,
    /// Where its bytes are.
    pub blob: Blob,
}

/// Where results of commands go.
pub struct Keeping<'a> {
    /// The cache.
    pub reuse: &'a Reuse,
    /// What must not stand in an entry.
    pub search: &'a Search,
    /// A directory for what is being made.
    pub scratch: &'a Scratch,
}

impl Keeping<'_> {
    /// Keeps the results of the commands that were run. `packed` are the layers of the image; what none of them has goes
    /// into a layer of its own. `layers` have what was not on this machine when the commands ended. A result that holds a
    /// hidden value is not kept.
    pub fn keep(
        &self,
        new: Vec<NewResult>,
        mut packed: Vec<PackedContents>,
        layers: &[KeptLayer],
    ) -> Result<(), Failure> {
        let Self { reuse, search, scratch } = *self;
        let is_packed = |digest: &ContentDigest| packed.iter().any(|layer| layer.contents.contains(digest));
        let mut rest: BTreeMap<ContentDigest, Content> = BTreeMap::new();
        let mut sound = Vec::new();
        for result in new {
            let (mut own, mut is_whole) = (BTreeMap::new(), true);
            for (digest, content) in result.contents.iter().filter(|(digest, _)| !is_packed(digest)) {
                // A later command may have written into the file.
                is_whole &= !content.is_here() || is_still(content, *digest);
                if content.is_here() {
                    own.insert(*digest, content.clone());
                }
            }
            if is_whole && !result.holds_any_of(&own, search)? {
                rest.extend(own);
                sound.push(result);
            }
        }
        if !rest.is_empty() {
            let options = PackOptions::new(MADE_TIME).compression(Compression::Zstd(3));
            let layer = layer::pack(&bag::tree(&rest), &options, scratch.path()).map_err(|cause| {
                Failure::because(Exit::Ours, "could not keep what the commands made", cause)
            })?;
            let (layer, blob) = reuse.keep_blob(layer)?;
            packed.push(PackedContents { contents: rest.into_keys().collect(), layer, blob });
        }
        for NewResult { circumstances, read, mut made, contents } in sound {
            let has_some =
                |layer: &&PackedContents| contents.keys().any(|digest| layer.contents.contains(digest));
            let with = packed.iter().filter(has_some);
            let mut with: Vec<(KeptLayer, Blob)> =
                with.map(|packed| (packed.layer.clone(), packed.blob.clone())).collect();
            if contents.values().any(|content| !content.is_here()) {
                with.extend(layers.iter().filter_map(|layer| Some((layer.clone(), reuse.blob(layer)?))));
            }
            made.blobs = with.iter().map(|(layer, _)| layer.clone()).collect();
            reuse.keep_command(&circumstances, read, &made, with.into_iter().map(|(_, blob)| blob).collect());
        }
        Ok(())
    }
}

impl NewResult {
    /// Whether a hidden value stands in it.
    fn holds_any_of(&self, own: &BTreeMap<ContentDigest, Content>, search: &Search) -> Result<bool, Failure> {
        let leaks = search.in_trees(&[&bag::tree(own)]).map_err(unreadable)?;
        let text = serde_json::to_vec(&self.made)
            .map_err(|cause| Failure::because(Exit::Ours, "could not write what a command made", cause))?;
        Ok(!leaks.is_empty() || search.in_document("a result", &text).is_some())
    }
}

/// Whether a content still is what it was known by.
fn is_still(content: &Content, digest: ContentDigest) -> bool {
    let mut hasher = ContentHasher::default();
    content.each_part(|part| hasher.update(part)).is_ok() && hasher.finish() == digest
}
