//! From a layer's recipe and lock to what the assembler takes.

use crate::layer::{ArtifactInfo, ArtifactKind, LayerRules, Place};
use crate::lock::{Artifact, Lock};
use crate::recipe::{Install, LayerRecipe, OsRecipe};
use crate::system_files::Generate;

/// The number of our way of making files of artifacts. It rises whenever the same artifacts would give other bytes.
pub const ASSEMBLY_FORMAT: u32 = 1;

/// The time of every file in a runtime layer: 2026-01-01 00:00 UTC. A release day would change bytes that are equal.
pub const LAYER_MTIME: i64 = 1_767_225_600;

/// The wheel that is installed; others are carried for `ensurepip` only, since an installed one would hide that an
/// app needs it.
const INSTALLED_WHEEL: &str = "pip";

/// The rules by which a layer's artifacts become files.
#[must_use]
pub fn rules(os: &OsRecipe, layer: &LayerRecipe, lock: &Lock) -> LayerRules {
    let mut rules = LayerRules {
        prune: os.prune.iter().chain(&layer.prune).cloned().collect(),
        links: layer.links.clone(),
        python: layer.python.clone(),
        ..LayerRules::default()
    };
    match layer.install {
        Install::Base => rules.generate = vec![Generate::Base, Generate::Shell],
        Install::BaseMinimal => rules.generate = vec![Generate::Base],
        Install::Pip => {
            rules.generate = vec![Generate::PythonWheels];
            let wheels = layer.wheels.iter().map(|wheel| wheel.name.clone());
            rules.carried_wheels = wheels.filter(|name| name != INSTALLED_WHEEL).collect();
        }
        Install::Node => rules.place = Place::node(),
        Install::NodeHeaders => rules.place = Place::node_headers(),
        Install::Debs | Install::Python | Install::Npm | Install::Corepack | Install::Reference => {}
    }
    // Debian's own `pg_config` is a Perl script, and there is no Perl.
    if lock.artifacts.iter().any(|artifact| artifact.name() == "libpq-dev") {
        rules.generate.push(Generate::PgConfig);
    }
    rules
}

/// What a lock says of an artifact, for the assembler to check.
pub(super) fn info(artifact: &Artifact) -> ArtifactInfo {
    let (kind, arch) = match artifact {
        Artifact::Deb(deb) => (ArtifactKind::Deb, deb.arch.clone()),
        Artifact::Npm(_) => (ArtifactKind::Npm, String::new()),
        Artifact::Wheel(_) => (ArtifactKind::Wheel, String::new()),
    };
    ArtifactInfo { kind, name: artifact.name().to_owned(), version: artifact.version().to_owned(), arch }
}
