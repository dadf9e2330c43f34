//! `lapstrake cache`: what is kept from build to build, and what of it is given up.

use std::time::{Duration, SystemTime};

use indicatif::{HumanBytes, HumanDuration};
use lapstrake_oci::layout::Layout;

use crate::cache::{Cache, Kept, Limits};
use crate::cli::{CacheCommand, CacheListArgs, CachePruneArgs, Format};
use crate::commands::build::lines;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::image_size::Size;
use crate::report::print_result;

/// Blobs of the local store that are younger stay.
const YOUNG: Duration = Duration::from_hours(6);

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
    let freed = collect(context)?;
    print_result(&format!(
        "{} entries, {} given up\n{} of images in the local store that have lost their tags given up\n",
        pruned.entries,
        HumanBytes(pruned.bytes),
        HumanBytes(freed)
    ))
}

/// Deletes what no tag of the local store leads to any more; returns how many bytes that was. What is younger than any
/// build lasts may be on its way to a tag.
fn collect(context: &Context) -> Result<u64, Failure> {
    let directory = context.data_dir.join("store");
    if !directory.exists() {
        return Ok(0);
    }
    let now = Duration::from_secs(u64::try_from(context.now.as_second()).unwrap_or(0));
    let before = SystemTime::UNIX_EPOCH + now.saturating_sub(YOUNG);
    Layout::open(&directory).and_then(|store| store.gc(before)).map_err(|cause| {
        Failure::because(Exit::Refused, format!("could not look through `{}`", directory.display()), cause)
    })
}

fn unreadable(cache: &Cache, cause: std::io::Error) -> Failure {
    Failure::io(format!("could not look through the cache `{}`", cache.dir().display()), cause)
}
