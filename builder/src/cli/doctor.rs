//! Arguments of `doctor`.

use clap::Args;

use super::Format;

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// How what was found is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}
