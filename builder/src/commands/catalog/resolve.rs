//! `lapstrake catalog resolve`: which entry a request gives, and why.

use lapstrake_catalog::{Date, ImageKind, PlatformKey, Request, VersionRequest};
use serde_json::json;

use super::json as printed;
use crate::cli::{Format, ResolveArgs};
use crate::commands::looked;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::planning::{permissions, today};
use crate::platform::host_platform;
use crate::report::print_result;
use crate::trust::Strictness;

/// `catalog resolve`.
pub fn resolve(args: &ResolveArgs, context: &Context) -> Result<(), Failure> {
    let understood = |what: String| Failure::new(Exit::NotUnderstood, what);
    let mut request = Request::new(&args.runtime);
    if let Some(version) = &args.version {
        let version = version.parse::<VersionRequest>().map_err(|cause| understood(cause.to_string()))?;
        request = request.with_version(version);
    }
    let parse = |text: &String| {
        text.parse::<PlatformKey>().map_err(|cause| understood(format!("`--platform`: {cause}")))
    };
    let mut platforms = args.platform.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    if platforms.is_empty() {
        platforms.push(host_platform()?);
    }
    let as_of = args.as_of.as_deref().map(str::parse::<Date>).transpose();
    let as_of =
        as_of.map_err(|cause| understood(format!("`--as-of`: {cause}")))?.unwrap_or_else(|| today(context));
    let permissions = permissions(&args.permissions)?;
    let catalog = looked(&args.catalog, &args.registry, Strictness::Refuse, context)?.catalog;
    let resolution = catalog.resolve(&request, &platforms, as_of, &permissions).map_err(|error| {
        let failure = understood(error.to_string());
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    })?;
    for warning in &resolution.warnings {
        context.report.warning(&warning.to_string());
    }
    let entry = resolution.entry;
    let manifest = |platform: &PlatformKey| {
        let image = entry.platforms.get(platform)?.images.get(&ImageKind::Run)?;
        Some((platform.to_string(), image.manifest.clone()?))
    };
    let manifests: Vec<_> = platforms.iter().filter_map(manifest).collect();
    let reasons: Vec<String> = resolution.reasons.iter().map(ToString::to_string).collect();
    print_result(&match args.format {
        Format::Json => printed(&json!({
            "id": entry.id,
            "status": resolution.status,
            "catalog": {"name": catalog.name, "revision": catalog.revision},
            "manifests": manifests.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
            "reasons": reasons,
        }))?,
        Format::Text => {
            let digests = manifests.iter().map(|(platform, digest)| format!("{platform} {digest}\n"));
            format!("{}\n{}{}\n", entry.id, digests.collect::<String>(), reasons.join("; "))
        }
    })
}
