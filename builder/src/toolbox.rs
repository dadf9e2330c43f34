//! Runs a runtime's own programs while its layers are made: its interpreter compiles its standard library.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

use lapstrake_runtimes::pyc::{RunTool, ToolError};
use lapstrake_sandbox::{Event, Identity, Isolation, Limits, Mount, Network, Root, Spec, Step};

use crate::context::Stop;
use crate::steps::hand_over;

/// Where the work directory is inside.
const WORK: &str = "/exchange";

/// Programs of a runtime, run in the sandbox without network.
pub struct Toolbox {
    /// Where scratch directories are made.
    pub scratch: PathBuf,
    /// A request to stop.
    pub stop: Stop,
    /// What keeps the programs away from the machine.
    pub isolation: Isolation,
    /// The user that they run under outside, where this program was started as root.
    pub build_uid: u32,
}

impl RunTool for Toolbox {
    fn run(&self, rootfs: &[PathBuf], work: &Path, argv: &[String]) -> Result<(), ToolError> {
        let program = argv.first().cloned().unwrap_or_default();
        self.run_inside(rootfs, work, argv).map_err(|source| ToolError { program, source })
    }
}

impl Toolbox {
    fn run_inside(
        &self,
        rootfs: &[PathBuf],
        work: &Path,
        argv: &[String],
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        fs_err::create_dir_all(&self.scratch)?;
        let scratch = tempfile::tempdir_in(&self.scratch)?;
        hand_over(work, self.build_uid)?;
        let spec = Spec {
            isolation: self.isolation,
            root: Root { lower: rootfs.to_vec(), scratch: scratch.path().join("root") },
            mounts: vec![Mount::writable(work, WORK)],
            files: Vec::new(),
            hostname: "build".to_owned(),
            identity: Identity::default(),
            network: Network::None,
            limits: Limits::default(),
            build_uid: self.build_uid,
        };
        let step = Step { argv: argv.to_vec(), env: environment(), cwd: WORK.into() };
        let mut last = String::new();
        let outcome = lapstrake_sandbox::run(&spec, &[step], &self.stop.flag(), &mut |event| {
            if let Event::Output { line, .. } = event {
                last = line;
            }
        })?;
        outcome.result.map_err(|step| format!("{}: {last}", step.failure).into())
    }
}

fn environment() -> BTreeMap<String, String> {
    [("PATH", "/usr/local/bin:/usr/bin:/bin"), ("LANG", "C.UTF-8"), ("PYTHONHASHSEED", "0")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}
