//! What a published catalog has to prove before anything of it is used: who signed it, that it is the newest one that was
//! seen, that it is fresh, and that nothing of it was revoked since.

mod keys;
mod memory;

use lapstrake_catalog::Catalog;
use oci_spec::image::Digest;

use crate::cli::CatalogArgs;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::DEFAULT_TAG;
use crate::published::{CANDIDATE, Published, Repository, number_of};

pub use keys::{Signers, signing_key};
use memory::{Memory, Sight};

/// What becomes of a catalog that does not prove what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// It is refused.
    Refuse,
    /// It is read all the same, to be looked at; what is wrong is among its doubts.
    Tell,
}

/// What a user holds catalogs to.
pub struct Guards {
    signers: Signers,
    min_revision: Option<u64>,
    allows_expired: bool,
    allows_rollback: bool,
    is_offline: bool,
    strictness: Strictness,
}

/// A catalog, and what is known of it.
pub struct Trusted {
    /// The catalog, with what later revisions have revoked.
    pub catalog: Catalog,
    /// The digest of its image index; none for the local one.
    pub index: Option<Digest>,
    /// Whether enough of the keys have signed it.
    pub is_signed: bool,
    /// A newer revision that its tag has named before.
    pub newest_seen: Option<u64>,
    /// Whether it was asked for what later revisions have revoked.
    pub is_checked: bool,
    /// What was permitted of it, as images record it.
    pub overrides: Vec<String>,
    /// What it could not prove, where that is told and not refused, besides its age.
    pub doubts: Vec<String>,
}

impl Trusted {
    /// The local catalog, which this machine makes itself.
    #[must_use]
    pub fn local(catalog: Catalog) -> Self {
        Self {
            catalog,
            index: None,
            is_signed: false,
            newest_seen: None,
            is_checked: true,
            overrides: Vec::new(),
            doubts: Vec::new(),
        }
    }

    /// The digest of a revision's image index; none for the local catalog.
    #[must_use]
    pub fn digest_of(&self, revision: u64) -> Option<Digest> {
        if revision == self.catalog.revision {
            return self.index.clone();
        }
        let past = self.catalog.revisions.iter().find(|past| past.revision == revision);
        past.map(|past| past.digest.clone())
    }
}

impl Guards {
    /// What the options of a command ask for.
    pub fn new(args: &CatalogArgs, strictness: Strictness, context: &Context) -> Result<Self, Failure> {
        Ok(Self {
            signers: Signers::read(&args.keys, args.threshold, context)?,
            min_revision: args.min_revision,
            allows_expired: args.allow_expired_catalog,
            allows_rollback: args.allow_rollback,
            is_offline: args.offline,
            strictness,
        })
    }

    /// The local catalog has no signature, so that it cannot be used where one is asked for.
    pub fn local(&self, catalog: Catalog) -> Result<Trusted, Failure> {
        let mut trusted = Trusted::local(catalog);
        if !self.signers.keys.is_empty() {
            let failure = Failure::new(Exit::Refused, "the local catalog is signed by nobody")
                .hint("name a published one with `--catalog`, or do not ask for a signature");
            self.settle(failure, None, &mut trusted)?;
        }
        Ok(trusted)
    }

    /// Reads a published catalog, in this order: signature, name and revision, freshness, content.
    pub fn open(&self, repository: &Repository, name: &str, context: &Context) -> Result<Trusted, Failure> {
        let (revision, is_signed) = self.revision(repository, name)?;
        let index = revision.index.digest().clone();
        let mut trusted =
            Trusted { is_signed, index: Some(index.clone()), ..Trusted::local(revision.catalog) };
        if !is_signed && !self.signers.keys.is_empty() {
            self.settle(unsigned(repository, name), None, &mut trusted)?;
        }
        if trusted.catalog.is_newer() {
            context.report.note(&format!(
                "the catalog has schema {}, of which this program leaves aside what it does not know",
                trusted.catalog.schema
            ));
        }
        // Another catalog than the newest one is fresh as long as the newest one is.
        let valid_until = match self.newest(repository, name, &index)? {
            Newest::NotAsked => {
                trusted.is_checked = false;
                trusted.catalog.valid_until
            }
            Newest::This => trusted.catalog.valid_until,
            Newest::Other(newest) => {
                self.remember(
                    repository,
                    DEFAULT_TAG,
                    &newest.catalog,
                    newest.index.digest(),
                    &mut trusted,
                    context,
                )?;
                self.compare(&newest.catalog, &index, &mut trusted)?;
                trusted.catalog.learn(&newest.catalog);
                newest.catalog.valid_until.max(trusted.catalog.valid_until)
            }
        };
        let catalog = trusted.catalog.clone();
        self.remember(repository, name, &catalog, &index, &mut trusted, context)?;
        if let Some(least) = self.min_revision.filter(|least| catalog.revision < *least) {
            let failure = Failure::new(
                Exit::Refused,
                format!("the catalog is revision {}, and at least {least} is asked for", catalog.revision),
            );
            self.settle(failure, None, &mut trusted)?;
        }
        if valid_until < context.now && (self.strictness == Strictness::Refuse || self.allows_expired) {
            let failure = Failure::new(
                Exit::Refused,
                format!("the catalog `{}` counted as fresh until {valid_until}", catalog.name),
            )
            .hint("its maintainers renew it with `catalog renew`; `--allow-expired-catalog` takes it all the same");
            let recorded = format!("the catalog was taken although it counted as fresh until {valid_until}");
            self.settle(failure, self.allows_expired.then_some(recorded), &mut trusted)?;
        }
        Ok(trusted)
    }

    /// A revision, and whether its signatures were verified. One that is there and proves nothing is refused.
    fn revision(&self, repository: &Repository, name: &str) -> Result<(Published, bool), Failure> {
        let index = repository.top(name)?;
        let statement = if self.signers.keys.is_empty() {
            None
        } else {
            repository.statement(index.digest(), &self.signers)?
        };
        let revision = repository.revision_in(name, index)?;
        let Some(statement) = statement else { return Ok((revision, false)) };
        let is_about = statement.is_about(&revision.catalog, revision.index.digest());
        is_about.map_err(|cause| repository.wrong_signature(revision.index.digest(), cause))?;
        Ok((revision, true))
    }

    /// The revision that everybody gets, where the one that was named may be another.
    fn newest(&self, repository: &Repository, name: &str, index: &Digest) -> Result<Newest, Failure> {
        if [DEFAULT_TAG, CANDIDATE].contains(&name) {
            return Ok(Newest::This);
        }
        if self.is_offline {
            return Ok(Newest::NotAsked);
        }
        match repository.digest_of(DEFAULT_TAG)? {
            Some(newest) if newest != *index => {
                let (newest, is_signed) = self.revision(repository, DEFAULT_TAG)?;
                if !is_signed && !self.signers.keys.is_empty() && self.strictness == Strictness::Refuse {
                    return Err(unsigned(repository, DEFAULT_TAG));
                }
                Ok(Newest::Other(Box::new(newest)))
            }
            // Nothing was ever promoted, so that nobody gets another one.
            _ => Ok(Newest::This),
        }
    }

    /// The newest revision has the one that was named in its history, under the same digest.
    fn compare(&self, newest: &Catalog, index: &Digest, trusted: &mut Trusted) -> Result<(), Failure> {
        let here = &trusted.catalog;
        let past = newest.revisions.iter().find(|past| past.revision == here.revision);
        let was = if newest.revision == here.revision { None } else { past.map(|past| past.digest.clone()) };
        let fits =
            here.name == newest.name && (newest.revision < here.revision || was.as_ref() == Some(index));
        if fits {
            return Ok(());
        }
        let revision = here.revision;
        let recorded = format!(
            "revision {revision} of the catalog was taken although it is not in the history of revision {}",
            newest.revision
        );
        let what = match was {
            Some(was) => format!(
                "revision {revision} of the catalog was rewritten: revision {} knows it as `{was}`",
                newest.revision
            ),
            None => format!(
                "revision {revision} of `{}` is not in the history of revision {} of `{}`",
                here.name, newest.revision, newest.name
            ),
        };
        let failure = Failure::new(Exit::Refused, what)
            .hint("what was published never changes; `--allow-rollback` takes it all the same");
        self.settle(failure, self.allows_rollback.then_some(recorded), trusted)
    }

    /// Compares a catalog with what was seen before on this machine, and remembers it.
    fn remember(
        &self,
        repository: &Repository,
        name: &str,
        catalog: &Catalog,
        index: &Digest,
        trusted: &mut Trusted,
        context: &Context,
    ) -> Result<(), Failure> {
        // A tag that never moves, or a digest, is asked for on purpose.
        let moves = number_of(name).is_none() && !name.contains(':');
        let sight = Sight {
            at: moves.then(|| format!("{}:{name}", repository.place())),
            name: &catalog.name,
            revision: catalog.revision,
            digest: index,
            history: &catalog.revisions,
        };
        let trespass = Memory::at(&context.state_dir).see(&sight, self.strictness == Strictness::Refuse)?;
        let Some(trespass) = trespass else { return Ok(()) };
        trusted.newest_seen = trusted.newest_seen.max(trespass.newest());
        if self.strictness == Strictness::Tell && trespass.newest().is_some() {
            return Ok(());
        }
        let failure = Failure::new(Exit::Refused, trespass.to_string())
            .hint("ask its maintainers; `--allow-rollback` takes it all the same");
        let recorded = format!("the catalog was taken although {trespass}");
        self.settle(failure, self.allows_rollback.then_some(recorded), trusted)
    }

    /// Refuses, tells, or records what was permitted.
    fn settle(
        &self,
        failure: Failure,
        permitted: Option<String>,
        trusted: &mut Trusted,
    ) -> Result<(), Failure> {
        match (permitted, self.strictness) {
            (Some(recorded), _) if trusted.overrides.contains(&recorded) => {}
            (Some(recorded), _) => trusted.overrides.push(recorded),
            (None, Strictness::Tell) => trusted.doubts.push(failure.what),
            (None, Strictness::Refuse) => return Err(failure),
        }
        Ok(())
    }
}

fn unsigned(repository: &Repository, name: &str) -> Failure {
    let what = format!("`{name}` of the catalog `{}` is signed by nobody", repository.name());
    Failure::new(Exit::Refused, what).hint("its maintainers sign it with `catalog sign`")
}

/// What everybody gets.
enum Newest {
    /// Nobody asked.
    NotAsked,
    /// What was named.
    This,
    /// Something else.
    Other(Box<Published>),
}
