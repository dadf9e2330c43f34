//! What a watch does next, decided from what it remembers, the newest commit and the time.

use jiff::{SignedDuration, Timestamp};

use super::backoff::Backoff;
use super::state::{Built, Failed, OnSuccess, State, Watched};
use crate::failure::Exit;
use crate::git::ObjectId;

/// So many characters of what failed are kept.
const KEPT: usize = 300;

/// A watch under way.
#[derive(Clone, Debug)]
pub struct Watch {
    state: State,
    /// A commit in which nothing in scope differs from the one that was built.
    unchanged: Option<ObjectId>,
}

/// What to do about the newest commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Find out what differs from the commit that was built last.
    Compare {
        /// That commit.
        since: ObjectId,
    },
    /// It is decided.
    Decided(Step),
}

/// What is done about the newest commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Build it.
    Build(Why),
    /// Nothing, until there is another one.
    Rest(Rest),
    /// Nothing, until it is time to try again.
    Wait(Timestamp),
}

/// Why a commit is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Nothing was built before.
    First,
    /// Something in scope differs from what was built last.
    Changed,
    /// The commit that was built last is gone from the remote, so nobody can tell what differs.
    Gone,
    /// The last try failed, and it is time for another.
    Again,
}

/// Why nothing is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// It is what was built last.
    Built,
    /// Nothing in scope differs from what was built last.
    Unchanged,
    /// Its build failed, and would again.
    Failed,
}

/// What differs between the commit that was built last and the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// Something in scope.
    Changed,
    /// Nothing in scope.
    Unchanged,
    /// The commit that was built last is gone.
    Gone,
}

impl Watch {
    /// Goes on from a state that was kept, or begins anew where that is the state of something else.
    #[must_use]
    pub fn resume(watched: Watched, kept: Option<State>) -> Self {
        let state = kept.filter(|kept| kept.watched == watched).unwrap_or_else(|| State::new(watched));
        Self { state, unchanged: None }
    }

    /// What has to be kept.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What to do when `head` is the newest commit.
    #[must_use]
    pub fn next(&self, head: &ObjectId, now: Timestamp) -> Next {
        let again = || self.again(head, now).map(Next::Decided);
        let Some(built) = &self.state.built else {
            return again().unwrap_or(Next::Decided(Step::Build(Why::First)));
        };
        if built.commit == *head {
            return Next::Decided(Step::Rest(Rest::Built));
        }
        if self.unchanged.as_ref() == Some(head) {
            return Next::Decided(Step::Rest(Rest::Unchanged));
        }
        again().unwrap_or_else(|| Next::Compare { since: built.commit.clone() })
    }

    /// What to do about a commit that failed.
    fn again(&self, head: &ObjectId, now: Timestamp) -> Option<Step> {
        let failed = self.state.failed.as_ref().filter(|failed| failed.commit == *head)?;
        Some(match failed.retry_at {
            None => Step::Rest(Rest::Failed),
            // A clock that was set back since then must not hold the build up.
            Some(at) if at <= now || failed.at > now => Step::Build(Why::Again),
            Some(at) => Step::Wait(at),
        })
    }

    /// What to do once it is known what differs.
    pub fn compared(&mut self, head: &ObjectId, compared: Compared) -> Step {
        match compared {
            Compared::Changed => Step::Build(Why::Changed),
            Compared::Gone => Step::Build(Why::Gone),
            Compared::Unchanged => {
                self.unchanged = Some(head.clone());
                Step::Rest(Rest::Unchanged)
            }
        }
    }

    /// Remembers a build.
    pub fn succeeded(&mut self, built: Built) {
        self.unchanged = None;
        self.state.failed = None;
        self.state.built = Some(built);
    }

    /// Remembers a build that failed, and when it is tried again. `chance` is a number from 0 to 1.
    pub fn failed(&mut self, commit: &ObjectId, why: (Exit, &str), now: Timestamp, retry: (Backoff, f64)) {
        let (class, what) = why;
        let (backoff, chance) = retry;
        let before = self.state.failed.as_ref().filter(|before| before.commit == *commit);
        let failures = before.map_or(0, |before| before.failures).saturating_add(1);
        let retry_at = Failed::may_pass(class).then(|| after(now, backoff.wait(failures, chance)));
        let what = what.lines().next().unwrap_or_default().chars().take(KEPT).collect();
        self.state.failed = Some(Failed { commit: commit.clone(), class, what, at: now, failures, retry_at });
    }

    /// The build whose following command has not ended yet.
    #[must_use]
    pub fn pending(&self) -> Option<&Built> {
        self.state.built.as_ref().filter(|built| built.on_success == OnSuccess::Pending)
    }

    /// Remembers how the command that follows a build ended.
    pub fn followed(&mut self, ended: OnSuccess) {
        if let Some(built) = &mut self.state.built {
            built.on_success = ended;
        }
    }
}

fn after(now: Timestamp, wait: std::time::Duration) -> Timestamp {
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    now.saturating_add(wait).unwrap_or(Timestamp::MAX)
}
