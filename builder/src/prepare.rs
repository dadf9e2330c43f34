//! Makes the runtime images that a plan needs, all of one entry.

use lapstrake_catalog::{EntryId, ImageKind, PlatformKey};

use crate::catalog::CatalogAt;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::plan::Plan;
use crate::platform::host_platform;
use crate::runtime::RuntimeImage;

/// How often the entry may move on because a file of it is gone from the mirrors.
const MOVES: usize = 3;

/// The runtime images of a build.
pub struct Runtimes {
    /// The lowest layers of the app images, one for each platform of the plan.
    pub run: Vec<RuntimeImage>,
    /// The images of this machine's platform, where commands run.
    pub here: Option<Here>,
}

/// Runtime images of this machine's platform.
pub struct Here {
    /// The image that commands run in.
    pub build: RuntimeImage,
    /// The image that the app runs on.
    pub run: RuntimeImage,
}

impl Runtimes {
    /// Makes the images unless they are there.
    ///
    /// The local catalog answers with a new build of the same version when a file of the entry is gone. The plan then
    /// moves to it, with all of its images: one app image never mixes entries.
    pub fn prepare(
        plan: &mut Plan,
        platforms: &[PlatformKey],
        catalog: &CatalogAt,
        context: &Context,
    ) -> Result<Self, Failure> {
        for _ in 0..MOVES {
            let made = Self::make(plan, platforms, catalog, context)?;
            let Some(other) = made.other_than(&plan.runtime.entry) else { return Ok(made) };
            context.report.warning(&format!(
                "packages of {} are gone from the mirror: building on {other} instead",
                plan.runtime.entry
            ));
            plan.runtime.revision = catalog.added_in(&other);
            plan.runtime.reason =
                format!("{}; packages of {} are gone", plan.runtime.reason, plan.runtime.entry);
            plan.runtime.entry = other;
        }
        Err(Failure::new(
            Exit::Transient,
            "the package mirror changes faster than runtimes can be made of it",
        ))
    }

    fn make(
        plan: &Plan,
        platforms: &[PlatformKey],
        catalog: &CatalogAt,
        context: &Context,
    ) -> Result<Self, Failure> {
        let runtime = &plan.runtime;
        let image = |platform: &PlatformKey, kind: ImageKind| {
            context.stop.check()?;
            catalog.runtime_image(&runtime.entry, platform, kind, context)
        };
        let run = platforms.iter().map(|platform| image(platform, runtime.run_image));
        let run: Vec<RuntimeImage> = run.collect::<Result<_, _>>()?;
        let here = if plan.has_commands() {
            let host = host_platform()?;
            Some(Here { build: image(&host, runtime.build_image)?, run: image(&host, runtime.run_image)? })
        } else {
            None
        };
        Ok(Self { run, here })
    }

    /// An entry other than the one asked for that some image is of.
    fn other_than(&self, entry: &EntryId) -> Option<EntryId> {
        let here = self.here.iter().flat_map(|here| [&here.build, &here.run]);
        let mut others =
            self.run.iter().chain(here).map(|image| &image.entry).filter(|other| *other != entry);
        others.next().cloned()
    }
}
