//! Which layers there are to lock, each once, with what is below it.

use std::collections::{BTreeMap, BTreeSet};

use oci_spec::image::Digest;

use crate::arch::Arch;
use crate::canonical::{canonical_json, sha256_of};
use crate::recipe::{LayerRecipe, LineRecipe, OsRecipe, Recipes};

/// A layer to lock.
#[derive(Debug, Clone)]
pub struct LayerPlan<'a> {
    /// The operating system.
    pub os: &'a OsRecipe,
    /// The layer.
    pub layer: &'a LayerRecipe,
    /// The layers below it, lowest first.
    pub below: Vec<&'a LayerRecipe>,
    /// The architectures it is for.
    pub arches: BTreeSet<Arch>,
    /// The runtimes that have it in an image.
    pub runtimes: BTreeSet<String>,
}

/// Recipes that do not fit together.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PlanError {
    /// Two different layers have one name.
    #[error("two different layers are called `{layer}` on `{os}`")]
    Ambiguous {
        /// The layer.
        layer: String,
        /// The operating system.
        os: String,
    },
}

/// All layers that some image of the recipes has, by name.
pub fn plans(recipes: &Recipes) -> Result<Vec<LayerPlan<'_>>, PlanError> {
    let mut plans: BTreeMap<(&str, &str), LayerPlan<'_>> = BTreeMap::new();
    for (runtime, line) in recipes.lines() {
        let Some(os) = recipes.oses.get(&line.os) else { continue };
        let roles: BTreeSet<&String> = runtime.images.values().flatten().collect();
        for layer in roles.into_iter().filter_map(|role| recipes.layer(line, role)) {
            let below = below(recipes, line, layer);
            let made = plans.entry((&os.name, layer.name())).or_insert_with(|| LayerPlan {
                os,
                layer,
                below,
                arches: BTreeSet::new(),
                runtimes: BTreeSet::new(),
            });
            if !made.layer.is_same(layer) {
                return Err(PlanError::Ambiguous { layer: layer.name().to_owned(), os: os.name.clone() });
            }
            made.runtimes.insert(runtime.name.clone());
            made.arches.extend(line.platforms.iter().filter_map(|platform| Arch::of_platform(platform).ok()));
        }
    }
    let mut plans: Vec<_> = plans.into_values().collect();
    for os in recipes.oses.values() {
        let references = os.layers.iter().filter(|layer| layer.install.is_reference());
        plans.extend(references.map(|layer| LayerPlan {
            os,
            layer,
            below: Vec::new(),
            arches: BTreeSet::from([Arch::Amd64]),
            runtimes: BTreeSet::new(),
        }));
    }
    Ok(plans)
}

/// The layers below a layer, lowest first, each after those that are below it.
fn below<'a>(recipes: &'a Recipes, line: &'a LineRecipe, layer: &LayerRecipe) -> Vec<&'a LayerRecipe> {
    let mut found: Vec<&LayerRecipe> = Vec::new();
    for role in &layer.below {
        let Some(lower) = recipes.layer(line, role) else { continue };
        for one in below(recipes, line, lower).into_iter().chain([lower]) {
            if !found.iter().any(|known| known.role == one.role) {
                found.push(one);
            }
        }
    }
    found
}

impl LayerPlan<'_> {
    /// The packages that are left out.
    pub(super) fn excluded(&self) -> BTreeSet<String> {
        self.os.exclude.iter().chain(&self.layer.exclude).cloned().collect()
    }

    /// The digest of all that the recipes say of the layer.
    #[must_use]
    pub fn digest(&self) -> Digest {
        recipe_digest(self.os, self.layer)
    }
}

/// The digest of all that the recipes say of a layer, but for the role it plays.
#[must_use]
pub fn recipe_digest(os: &OsRecipe, layer: &LayerRecipe) -> Digest {
    let layer = LayerRecipe { role: String::new(), name: layer.name().to_owned(), ..layer.clone() };
    let os = (&os.name, &os.suites, &os.exclude, &os.prune);
    sha256_of(&canonical_json(&(layer, os)))
}

impl LayerRecipe {
    /// Whether two recipes make the same layer, whatever role it plays.
    fn is_same(&self, other: &Self) -> bool {
        let plain =
            |layer: &Self| Self { role: String::new(), name: layer.name().to_owned(), ..layer.clone() };
        plain(self) == plain(other)
    }
}
