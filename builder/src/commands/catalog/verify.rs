//! `lapstrake catalog sign` and `verify`: who stands for a revision, and whether it is what it says.

use lapstrake_catalog::signature::{Envelope, PublicKey, Statement};

use super::lines;
use super::published::definitions;
use crate::cli::{SignArgs, VerifyArgs};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::published::{Again, Depth, Published, Repository, verify as verify_revision};
use crate::registry;
use crate::report::print_result;
use crate::trust::{Signers, signing_key};

/// `catalog sign`.
pub fn sign(args: &SignArgs, context: &Context) -> Result<(), Failure> {
    let key = signing_key(&args.key, context)?;
    let client = registry::client(&args.registry, context)?;
    let repository = Repository::look(&args.repository, &client, context)?;
    let revision = repository.revision(&args.revision)?;
    repository.sign(&revision, &key)?;
    let (number, index) = (revision.catalog.revision, revision.index.digest());
    print_result(&format!("r{number} {index} {}\n", key.public().id()))
}

/// What is said of the signatures of a revision, after they were verified where keys were given.
fn signatures(
    args: &VerifyArgs,
    repository: &Repository,
    revision: &Published,
    context: &Context,
) -> Result<String, Failure> {
    let index = revision.index.digest();
    let signers = Signers::read(&args.key, args.threshold, context)?;
    let envelopes = repository.envelopes(index)?;
    let found: usize = envelopes.iter().map(Envelope::len).sum();
    if signers.keys.is_empty() {
        let unverified = if found == 0 { "" } else { "; `--key` verifies them" };
        return Ok(format!("signatures: {found}{unverified}"));
    }
    let statement = repository.statement(index, &signers)?.ok_or_else(|| {
        Failure::new(
            Exit::Refused,
            format!("`{}` of `{}` is signed by nobody", args.revision, repository.name()),
        )
    })?;
    let is_about = statement.is_about(&revision.catalog, index);
    is_about.map_err(|cause| repository.wrong_signature(index, cause))?;
    let by = signers.keys.iter().filter(|key| {
        let key = [(*key).clone()];
        envelopes.iter().any(|envelope| Statement::verified(envelope, &key, 1).is_ok())
    });
    let ids: Vec<String> = by.map(PublicKey::id).collect();
    Ok(format!("signatures: {found}; signed by {}", ids.join(", ")))
}

/// `catalog verify`.
pub fn verify(args: &VerifyArgs, context: &Context) -> Result<(), Failure> {
    let client = registry::client(&args.registry, context)?;
    let repository = Repository::look(&args.repository, &client, context)?;
    let revision = repository.revision(&args.revision)?;
    let signed = signatures(args, &repository, &revision, context)?;
    let depth = if args.layers { Depth::Layers } else { Depth::Documents };
    let verified = verify_revision(&repository, &revision, depth)?;
    let mut done = vec![format!(
        "r{} {}: revisions that follow from each other: {}; images with the layers that the catalog names: {}",
        revision.catalog.revision,
        revision.index.digest(),
        verified.revisions,
        verified.images
    )];
    done.push(signed);
    if args.layers {
        done.push(format!(
            "layers that were read and have the diffIDs that the catalog names: {}",
            verified.layers
        ));
    }
    if let Some(id) = &args.rebuild {
        let again = Again {
            definitions: &|| definitions(args.recipes.as_deref()),
            id: Some(id.as_str()).filter(|id| !id.is_empty()),
            kinds: &args.kind,
        };
        let equal = again.compare(&repository, &revision.catalog, context)?;
        done.extend(equal.iter().map(|name| format!("{name}: made again, and equal")));
    }
    print_result(&lines(done))
}
