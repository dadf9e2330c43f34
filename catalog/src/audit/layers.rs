//! Which entry an image is made on, by the longest run of layers that an entry has as well.

use std::collections::BTreeMap;

use oci_spec::image::Digest;

use crate::{Catalog, Entry, ImageKind, PlatformKey};

/// An entry that an image may be made on, and which image of it.
pub type Match<'c> = (&'c Entry, ImageKind);

/// The entries of one platform by their diffIDs, a line each.
type ByLayers<'c> = BTreeMap<String, Vec<Match<'c>>>;

/// Every entry that was ever published, by its layers.
pub struct Known<'c> {
    platforms: BTreeMap<&'c PlatformKey, ByLayers<'c>>,
    longest: usize,
}

impl<'c> Known<'c> {
    /// The entries of a catalog.
    #[must_use]
    pub fn of(catalog: &'c Catalog) -> Self {
        let mut known = Self { platforms: BTreeMap::new(), longest: 0 };
        for entry in &catalog.entries {
            for (platform, record) in &entry.platforms {
                let by_layers = known.platforms.entry(platform).or_default();
                for (kind, image) in &record.images {
                    let layers = image.diff_ids();
                    known.longest = known.longest.max(layers.len());
                    by_layers.entry(lines(layers)).or_default().push((entry, *kind));
                }
            }
        }
        known
    }

    /// The entries whose layers are the lowest of these, those with the most of them. Several share all layers only where
    /// they differ in what images for builds hold.
    #[must_use]
    pub fn find(&self, platform: &PlatformKey, diff_ids: &[Digest]) -> &[Match<'c>] {
        let Some(by_layers) = self.platforms.get(platform) else { return &[] };
        let lines = lines(diff_ids.iter().take(self.longest));
        let mut ends = lines.rmatch_indices('\n').map(|(end, _)| end + 1);
        ends.find_map(|end| by_layers.get(&lines[..end])).map_or(&[], Vec::as_slice)
    }
}

fn lines<'d>(diff_ids: impl IntoIterator<Item = &'d Digest>) -> String {
    diff_ids.into_iter().flat_map(|diff_id| [diff_id.as_ref(), "\n"]).collect()
}
