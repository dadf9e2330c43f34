//! `lapstrake cache`: what is kept from build to build, and what of it is given up.

use std::time::Duration;

use indicatif::{HumanBytes, HumanDuration};

use crate::cache::{Cache, Kept, Limits};
use crate::cli::{CacheCommand, CacheListArgs, CachePruneArgs, Format};
use crate::commands::build::lines;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::image_size::Size;
use crate::report::print_result;

/// Runs the command.
pub fn run(command: &CacheCommand, context: &Context) -> Result<(), Failure> {
    let cache = Cache::of(&context.data_dir);
    match command {
        CacheCommand::Ls(args) => list(args, &cache, context),
        CacheCommand::Prune(args) => prune(args, &cache, context),
    }
}

fn list(args: &CacheListArgs, cache: &Cache, context: &Context) -> Result<(), Failure> {
    let all = cache.list(context.now).map_err(|cause| unreadable(cache, cause))?;
    match args.format {
        Format::Json => {
            let text = serde_json::to_string_pretty(&all).map_err(|cause| {
                Failure::because(Exit::Ours, "could not write the list of the cache", cause)
            })?;
            print_result(&format!("{text}\n"))
        }
        Format::Text => {
            print_result(&lines(all.iter().map(line)))?;
            let bytes = all.iter().map(|kept| kept.size).sum();
            let place = cache.dir().display();
            context.report.note(&format!("{} entries, {} in `{place}`", all.len(), HumanBytes(bytes)));
            Ok(())
        }
    }
}

fn line(kept: &Kept) -> String {
    let unused = HumanDuration(Duration::from_secs(kept.unused));
    format!("{:<13} {} {:>10}  unused for {unused}", kept.kind, kept.name, HumanBytes(kept.size).to_string())
}

fn prune(args: &CachePruneArgs, cache: &Cache, context: &Context) -> Result<(), Failure> {
    let standard = Limits::default();
    let limits = Limits {
        bytes: args.max_size.map_or(standard.bytes, Size::bytes),
        age: args.max_age.map_or(standard.age, |age| age.0),
    };
    let pruned = cache.prune(limits, context.now).map_err(|cause| unreadable(cache, cause))?;
    print_result(&format!("{} entries, {} given up\n", pruned.entries, HumanBytes(pruned.bytes)))
}

fn unreadable(cache: &Cache, cause: std::io::Error) -> Failure {
    Failure::io(format!("could not look through the cache `{}`", cache.dir().display()), cause)
}
