//! Which commands run together, on what, and in which order.

use std::path::PathBuf;

use lapstrake_sandbox::{MemoryFile, Root};

use super::{Phase, PlannedStep};
use crate::cli::{FlowArgs, Keep};

/// What commands run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// The layers of the build image and the source.
    Build,
    /// What those commands left, on a view that is thrown away.
    Scrap,
    /// What becomes the image, with everything that the build changed.
    Image,
    /// The same, where of the build only `/app` is kept.
    AppAlone,
}

impl On {
    /// What becomes the image.
    #[must_use]
    pub fn the_image(flow: FlowArgs) -> Self {
        match flow.keep {
            Keep::All => Self::Image,
            Keep::App => Self::AppAlone,
        }
    }
}

/// Commands that run in one sandbox, whose result is kept as one.
#[derive(Clone, Debug)]
pub struct Unit<'s> {
    /// What they run on.
    pub on: On,
    /// The commands.
    pub steps: Vec<&'s PlannedStep>,
    /// Files that they need, where they are this program's own; the user hears of those only when they fail.
    pub own: Option<Vec<MemoryFile>>,
}

impl Unit<'_> {
    /// The phase of its commands, which is one.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.steps[0].phase
    }
}

/// The commands of a plan, in the order pre-build, build, post-build, build again where that is asked for, pre-run. Each
/// is a unit of its own but those of post-build, of which nothing is kept.
#[must_use]
pub fn units(steps: &[PlannedStep], flow: FlowArgs) -> Vec<Unit<'_>> {
    let of = |phase: Phase| steps.iter().filter(move |step| step.phase == phase);
    let each =
        |on, phase| of(phase).map(move |step| Unit { on, steps: vec![step], own: None }).collect::<Vec<_>>();
    let on_the_image = On::the_image(flow);
    let scrap: Vec<&PlannedStep> = of(Phase::PostBuild).collect();
    let scrap =
        if scrap.is_empty() { Vec::new() } else { vec![Unit { on: On::Scrap, steps: scrap, own: None }] };
    let again = if flow.repeat_build { each(on_the_image, Phase::Build) } else { Vec::new() };
    [
        each(On::Build, Phase::PreBuild),
        each(On::Build, Phase::Build),
        scrap,
        again,
        each(on_the_image, Phase::PreRun),
    ]
    .concat()
}

/// Where a state lies while commands run on it.
#[derive(Clone, Debug)]
pub struct Disk {
    /// What commands see as `/app`.
    pub app: PathBuf,
    /// The scratch directory of the root file system.
    pub root: PathBuf,
}

impl Disk {
    /// What was changed outside of `/app` and `/tmp`, as an overlay records it.
    #[must_use]
    pub fn outside(&self) -> PathBuf {
        Root { lower: Vec::new(), scratch: self.root.clone() }.upper()
    }

    /// What commands see as `/tmp`.
    #[must_use]
    pub fn temporary(&self) -> PathBuf {
        self.root.join("tmp")
    }
}
