//! `lapstrake verify`: who has built an image, and how, as somebody has signed it.

use std::fmt::Write as _;
use std::path::Path;

use lapstrake_catalog::signature::Envelope;
use oci_spec::image::Digest;
use serde_json::Value;

use crate::cli::{Format, VerifyProvenanceArgs};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::provenance::{Claim, PAYLOAD_TYPE, attestation_tag, envelopes};
use crate::published::Repository;
use crate::registry;
use crate::report::{print_result, printable};
use crate::trust::Signers;

/// The most bytes that an envelope in a file has.
const LIMIT: u64 = 16 << 20;

/// Runs the command.
pub fn run(args: &VerifyProvenanceArgs, context: &Context) -> Result<(), Failure> {
    let signers = Signers::read(&args.key, args.threshold, context)?;
    let client = registry::client(&args.registry, context)?;
    let (repository, name) = Repository::named(&args.image, &client, context)?;
    let image = repository.top(&name)?.digest().clone();
    let found = match &args.provenance {
        Some(file) => vec![in_file(file)?],
        None => envelopes(&repository, &image)?,
    };
    let claim = accepted(&found, &signers, &image, args).map_err(|cause| match cause {
        Some(cause) => Failure::because(
            Exit::Refused,
            format!("the provenance of `{image}` of `{}` is not accepted", repository.name()),
            cause,
        ),
        None => Failure::new(Exit::Refused, format!("`{}` has no provenance", args.image)).hint(format!(
            "it would be under the tag `{}`; `--provenance` reads it from a file",
            attestation_tag(&image)
        )),
    })?;
    print_result(&match args.format {
        Format::Json => format!("{}\n", claim.statement),
        Format::Text => text(&repository.name(), &image, &claim),
    })
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// The first claim that enough keys have signed and that is about the image, by a builder that is accepted; else why the last
/// one is not, if there is one.
fn accepted(
    found: &[Envelope],
    signers: &Signers,
    image: &Digest,
    args: &VerifyProvenanceArgs,
) -> Result<Claim, Option<Cause>> {
    let judge = |envelope: &Envelope| -> Result<Claim, Cause> {
        let payload = envelope.verified(PAYLOAD_TYPE, &signers.keys, signers.threshold)?;
        let claim = Claim::parse(&payload)?;
        claim.is_about(image)?;
        claim.is_by(&args.builder)?;
        Ok(claim)
    };
    let mut last = None;
    for envelope in found {
        match judge(envelope) {
            Ok(claim) => return Ok(claim),
            Err(cause) => last = Some(cause),
        }
    }
    Err(last)
}

fn in_file(file: &Path) -> Result<Envelope, Failure> {
    let what = || format!("could not read the provenance `{}`", file.display());
    let unreadable = |cause| Failure::because(Exit::NotUnderstood, what(), cause);
    if fs_err::metadata(file).map_err(unreadable)?.len() > LIMIT {
        return Err(Failure::new(Exit::Refused, format!("{}: it is too large", what())));
    }
    let bytes = fs_err::read(file).map_err(unreadable)?;
    Envelope::parse(&bytes, PAYLOAD_TYPE).map_err(|cause| Failure::because(Exit::Refused, what(), cause))
}

/// What a person asks first: who, from what, and how.
fn text(name: &str, image: &Digest, claim: &Claim) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name:<13}{}", printable(value));
    };
    line("image", &format!("{name}@{image}"));
    line("builder", &claim.builder);
    let definition = &claim.statement["predicate"]["buildDefinition"];
    let parameters = &definition["externalParameters"];
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let dependencies = definition["resolvedDependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
    let source = dependencies.iter().find(|one| one["name"] == "source");
    if let Some(source) = source {
        let uri = source.get("uri").map(|uri| format!("{} ", plain(uri))).unwrap_or_default();
        let digests = source["digest"].as_object().into_iter().flatten();
        let digests: Vec<String> =
            digests.map(|(kind, digits)| format!("{kind}:{}", plain(digits))).collect();
        line("source", &format!("{uri}{}", digests.join(" ")));
    }
    for (title, value) in [("runtime", &parameters["runtime"]), ("isolation", &parameters["isolation"])] {
        if !value.is_null() {
            line(title, &plain(value));
        }
    }
    if let Some(mode) = parameters["network"].get("mode") {
        line("network", &plain(mode));
    }
    for (name, by) in parameters["overrides"].as_object().into_iter().flatten() {
        line("override", &format!("{name} by {}", plain(by)));
    }
    for permission in parameters["permissions"].as_array().into_iter().flatten() {
        line("permission", &plain(permission));
    }
    line("dependencies", &dependencies.len().to_string());
    text
}
