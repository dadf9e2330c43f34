//! The commands: each reads like the flow it carries out.

pub mod audit;
pub mod build;
pub mod cache;
pub mod catalog;
pub mod changed;
pub mod doctor;
pub mod init;
pub mod lint;
pub mod plan;
pub mod push;
pub mod rebase;
pub mod registry;
pub mod run;
pub mod schema;
pub mod verify;
pub mod watch;

use crate::catalog::look_local;
use crate::cli::{CatalogArgs, RegistryArgs};
use crate::context::Context;
use crate::failure::Failure;
use crate::remote_catalog::Place;
use crate::trust::{Guards, Strictness, Trusted};

/// The catalog to choose a runtime from, by a command that makes nothing: the one that was named, or the local one.
fn looked(
    args: &CatalogArgs,
    registry: &RegistryArgs,
    strictness: Strictness,
    context: &Context,
) -> Result<Trusted, Failure> {
    let guards = Guards::new(args, strictness, context)?;
    match &args.catalog {
        None => guards.local(look_local(&context.data_dir)?),
        Some(given) => {
            let client = crate::registry::client(registry, context)?;
            Place::parse(given, &client, context)?.open(&guards, context)
        }
    }
}
