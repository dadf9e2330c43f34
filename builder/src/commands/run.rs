//! `lapstrake run`: starts an image on this machine without a container engine.

use std::path::Path;
use std::sync::Arc;

use lapstrake_catalog::PlatformKey;
use lapstrake_oci::image::Image;
use lapstrake_oci::layer::Compression;
use lapstrake_oci::layout::Layout;

use crate::build::{Build, Options};
use crate::catalog::CatalogAt;
use crate::cli::{
    CacheArgs, CommitArgs, FlowArgs, NetworkArgs, PermissionArgs, RunArgs, SettingArgs, SourceArgs, Symlinks,
};
use crate::commands::build::created;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::fetch::Fetcher;
use crate::inputs::Inputs;
use crate::load::Stored;
use crate::lockfile;
use crate::metadata::Metadata;
use crate::output::parse_reference;
use crate::platform::host_platform;
use crate::registry;
use crate::reuse::Reuse;
use crate::scratch::Scratch;
use crate::secrets::Secrets;
use crate::serve::{Start, serve};
use crate::source::{SourceAddress, SourceSpec};
use crate::targets::Targets;

/// Runs the command. It ends with the app, or when it is asked to stop.
pub fn run(args: &RunArgs, context: &Context) -> Result<(), Failure> {
    let env = variables(&args.env)?;
    let scratch = Scratch::new(&context.scratch_dir())?;
    let image = image(args, &scratch, context)?;
    serve(&image, &Start { port: args.port, env: &env, network: args.network }, &scratch, context)
}

fn image(args: &RunArgs, scratch: &Scratch, context: &Context) -> Result<Image, Failure> {
    let platform = host_platform()?;
    let fetcher = Fetcher::new(&args.remote, context);
    if is_source(&fetcher.parse(&args.image)?) {
        return from_source(args, scratch, context);
    }
    fetcher.no_digest("an image, which has a digest of its own")?;
    if !args.secrets.secrets.is_empty() {
        let what = "`--secret` is for build commands, and what is started here has been built";
        return Err(Failure::new(Exit::NotUnderstood, what).hint("variables of the app are set with `--env`"));
    }
    if let Ok(reference) = parse_reference(&args.image)
        && !Path::new(&args.image).exists()
    {
        return pulled(args, &reference, &platform, scratch, context);
    }
    Stored::open(&args.image, scratch.path())?.image(&platform)
}

/// Whether something is built before it is started. An archive of this machine is an image.
fn is_source(address: &SourceAddress) -> bool {
    match address {
        SourceAddress::Git(_) | SourceAddress::Archive(_) => true,
        SourceAddress::Local(SourceSpec::Path(path)) => path.is_dir(),
        SourceAddress::Local(SourceSpec::Stdin) => false,
    }
}

fn pulled(
    args: &RunArgs,
    reference: &oci_spec::distribution::Reference,
    platform: &PlatformKey,
    scratch: &Scratch,
    context: &Context,
) -> Result<Image, Failure> {
    let client = registry::client(&args.registry, context)?;
    let layout = Layout::create(scratch.path().join("pulled"))
        .map_err(|cause| Failure::because(Exit::Ours, "could not make a place for the image", cause))?;
    let top = registry::pull(&client, reference, platform, &layout)?;
    Stored { layout, top, name: reference.to_string() }.image(platform)
}

/// Builds the image for this machine alone, and keeps it nowhere.
fn from_source(args: &RunArgs, scratch: &Scratch, context: &Context) -> Result<Image, Failure> {
    let secrets = Secrets::read(&args.secrets.secrets, context)?;
    let source = SourceArgs {
        source: args.image.clone(),
        source_dir: args.source_dir.clone(),
        config: None,
        platform: Vec::new(),
        catalog: args.catalog.clone(),
        permissions: PermissionArgs::default(),
        symlinks: Symlinks::Inside,
        flow: FlowArgs::default(),
        commit: CommitArgs::default(),
        remote: args.remote.clone(),
        settings: SettingArgs::default(),
    };
    let client = registry::client(&args.registry, context)?;
    let reuse = Reuse::open(&CacheArgs::default(), &client, context)?;
    let inputs = Inputs::read(&source, reuse.of_sources(), scratch.path(), context)?;
    let catalog = CatalogAt::open(&args.catalog, false, Arc::clone(&client), context)?;
    let mut plan = inputs.plan(&source, catalog.trusted(), &[], context)?;
    let network = NetworkArgs::default();
    lockfile::check(&inputs, &plan.steps, &network, context)?;
    let options = Options {
        network,
        created: created(&plan, context)?,
        secrets,
        compression: Compression::default(),
        records_fetches: false,
    };
    let targets = Targets::open(Vec::new(), None, &client)?;
    let build =
        Build { catalog: &catalog, options: &options, targets: &targets, reuse: &reuse, scratch, context };
    let mut images = build.images(&mut plan, inputs, &mut Metadata::new())?;
    images.pop().ok_or_else(|| Failure::new(Exit::Ours, "the build made no image"))
}

fn variables(pairs: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let parse = |pair: &String| {
        let split = pair.split_once('=').filter(|(name, _)| !name.is_empty());
        let owned = split.map(|(name, value)| (name.to_owned(), value.to_owned()));
        owned.ok_or_else(|| Failure::new(Exit::NotUnderstood, format!("`{pair}` is not NAME=VALUE")))
    };
    pairs.iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_pairs() {
        assert_eq!(variables(&["A=b=c".to_owned()]).unwrap(), [("A".to_owned(), "b=c".to_owned())]);
        assert!(variables(&["A".to_owned()]).is_err() && variables(&["=b".to_owned()]).is_err());
    }
}
