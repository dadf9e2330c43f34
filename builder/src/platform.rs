//! The platform of this machine.

use lapstrake_catalog::PlatformKey;

use crate::failure::{Exit, Failure};

/// The platform of this machine.
pub fn host_platform() -> Result<PlatformKey, Failure> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => {
            return Err(Failure::new(
                Exit::NoIsolation,
                format!("build commands cannot run on a machine of architecture `{other}`"),
            ));
        }
    };
    format!("linux/{architecture}")
        .parse()
        .map_err(|cause| Failure::because(Exit::Ours, "could not name this machine's platform", cause))
}
