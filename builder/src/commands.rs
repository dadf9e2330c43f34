//! The commands: each reads like the flow it carries out.

pub mod audit;
pub mod build;
pub mod catalog;
pub mod changed;
pub mod init;
pub mod lint;
pub mod plan;
pub mod push;
pub mod rebase;
pub mod run;
pub mod schema;
pub mod watch;

use lapstrake_catalog::Catalog;

use crate::catalog::{CatalogAt, look_local};
use crate::cli::RegistryArgs;
use crate::context::Context;
use crate::failure::Failure;
use crate::registry;

/// The catalog to choose a runtime from, by a command that makes nothing: the one that was named, or the local one.
fn looked(given: Option<&str>, registry: &RegistryArgs, context: &Context) -> Result<Catalog, Failure> {
    match given {
        None => look_local(&context.data_dir),
        Some(given) => {
            let client = registry::client(registry, context)?;
            Ok(CatalogAt::open(Some(given), true, client, &context.data_dir)?.catalog().clone())
        }
    }
}
