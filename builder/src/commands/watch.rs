//! `lapstrake watch`: builds a branch whenever something in scope has changed since the commit that was built last.
//!
//! One round looks at the remote, decides, and builds at most once. What is pushed during a build is what the next round
//! finds, and a round that built something is followed by the next at once.

mod follow;
mod setup;

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use self::setup::Watcher;
use super::build::{self, Made};
use super::changed::paths;
use crate::cli::WatchArgs;
use crate::compare::{CompareError, Comparison, compare};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::git::{GitError, ObjectId};
use crate::report::print_result;
use crate::scratch::Scratch;
use crate::watch::{Backoff, Built, Compared, Next, OnSuccess, Rest, Step, Why};

/// The waits after a build that failed for a reason that may pass.
const RETRY: Backoff = Backoff { shortest: Duration::from_secs(10), longest: Duration::from_mins(15) };
const WHAT: &str = "could not look at the remote";
/// How often it is looked whether we should stop.
const PULSE: Duration = Duration::from_millis(100);

/// Runs the command. It ends when it is asked to stop, with `--once` after one round, and when nothing can come of it.
pub fn run(args: &WatchArgs, context: &Context) -> Result<(), Failure> {
    let outcome = Watcher::new(args, context).and_then(|mut watcher| watcher.run());
    match outcome {
        // Whatever failed, it failed because it was cut short.
        Err(_) if context.stop.is_asked() => Err(context.stop.failure()),
        outcome => outcome,
    }
}

/// What a look at the remote found.
enum Seen {
    /// The newest commit, and what is done about it.
    Commit(ObjectId, Step),
    /// No such branch, but perhaps some with similar names.
    Nothing { near: Vec<String> },
}

impl Watcher<'_> {
    fn run(&mut self) -> Result<(), Failure> {
        self.announce();
        self.follow()?;
        loop {
            let wait = self.round()?;
            if self.args.once {
                return Ok(());
            }
            self.sleep(wait)?;
        }
    }

    fn announce(&self) {
        let every = if self.args.once { String::new() } else { format!(", every {} s", self.args.interval) };
        let built = match &self.watch.state().built {
            Some(built) => format!("{} was built last", short(&built.commit)),
            None => "nothing was built yet".to_owned(),
        };
        let text = format!("watching `{}` of {}{every}; {built}", self.branch, self.name());
        self.context.report.watch("watching", None, &text);
    }

    /// Looks once, builds what is due, and says how long to wait before the next round.
    fn round(&mut self) -> Result<Duration, Failure> {
        self.context.stop.check()?;
        match self.look() {
            Ok(Seen::Nothing { near }) => self.without_branch(&near),
            Ok(Seen::Commit(head, step)) => {
                (self.missed, self.seen, self.absent) = (0, true, false);
                self.act(&head, step)
            }
            Err(failure) => self.unreachable(failure),
        }
    }

    /// Looks at the newest commit of the branch and finds out what to do about it.
    fn look(&mut self) -> Result<Seen, Failure> {
        let scratch = Scratch::new(&self.context.scratch_dir())?;
        let fetcher = self.fetcher();
        let (git, remote) = fetcher.reach(&self.address.place, scratch.path())?;
        let repository = git.repository(scratch.path().join("remote.git"));
        let repository = repository.map_err(|cause| cause.into_failure(WHAT))?;
        let (head, answered) =
            fetcher.ask(&remote, WHAT, |remote| repository.branch(remote, &self.branch))?;
        if !self.seen {
            fetcher.say_where(&remote, &answered);
        }
        let remote = answered;
        let Some(head) = head else {
            let refs = fetcher.ask(&remote, WHAT, |remote| repository.branches_and_tags(remote))?.0;
            return Ok(Seen::Nothing { near: refs.near(&self.branch) });
        };
        let step = match self.watch.next(&head, Timestamp::now()) {
            Next::Decided(step) => step,
            Next::Compare { since } => {
                let commits = [&since, &head];
                let compared = compare(&git, &remote, commits, &self.scope, scratch.path());
                let compared = self.judge(commits, compared)?;
                self.watch.compared(&head, compared)
            }
        };
        Ok(Seen::Commit(head, step))
    }

    /// What a comparison means for a build.
    fn judge(
        &self,
        commits: [&ObjectId; 2],
        compared: Result<Comparison, CompareError>,
    ) -> Result<Compared, Failure> {
        let [since, head] = commits;
        match compared {
            Ok(found) if found.changes.due() => {
                let text = format!("{}: {} in scope changed", short(head), paths(found.changes.count()));
                self.context.report.watch("changed", Some(head.as_str()), &text);
                Ok(Compared::Changed)
            }
            Ok(_) => Ok(Compared::Unchanged),
            Err(CompareError::Git(GitError::NoSuchCommit { wanted, .. })) if wanted == since.as_str() => {
                let text = format!(
                    "the history of `{}` was rewritten: {}, which was built last, is gone",
                    self.branch,
                    short(since)
                );
                self.context.report.warning(&text);
                Ok(Compared::Gone)
            }
            // What is too large or too strange to be compared is left to the build, which knows more of it.
            Err(cause) if cause.is_about_content() => {
                self.context.report.warning(&one_line(&cause.into_failure(self.context)));
                Ok(Compared::Gone)
            }
            Err(cause) => Err(cause.into_failure(self.context)),
        }
    }

    fn act(&mut self, head: &ObjectId, step: Step) -> Result<Duration, Failure> {
        let (what, text) = match step {
            Step::Build(why) => return self.build(head, why),
            // Whoever looks once decides by himself when to look again.
            Step::Wait(_) if self.args.once => return self.build(head, Why::Again),
            Step::Wait(until) => {
                let left = Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default();
                return Ok(left.min(self.interval()));
            }
            Step::Rest(Rest::Built) => ("up-to-date", "was built already"),
            Step::Rest(Rest::Unchanged) => ("unchanged", "changes nothing in scope"),
            Step::Rest(Rest::Failed) => ("failed-before", "failed before; another commit is waited for"),
        };
        if self.said.as_ref() != Some(head) {
            self.context.report.watch(what, Some(head.as_str()), &format!("{} {text}", short(head)));
            self.said = Some(head.clone());
        }
        Ok(self.interval())
    }

    fn build(&mut self, head: &ObjectId, why: Why) -> Result<Duration, Failure> {
        self.said = None;
        let reason = match why {
            Why::First => "the first build",
            Why::Changed => "something in scope changed",
            Why::Gone => "what was built last cannot be compared with it",
            Why::Again => "the last try failed",
        };
        let text = format!("building {}: {reason}", short(head));
        self.context.report.watch("building", Some(head.as_str()), &text);
        let mut args = self.args.build.clone();
        args.source.source = self.source_at(head);
        let context = Context { now: Timestamp::now(), ..self.context.clone() };
        match build::make(&args, &context) {
            Ok(made) => self.succeeded(head, made),
            Err(failure) if context.stop.is_asked() => Err(failure),
            Err(failure) => self.failed(head, failure),
        }
    }

    fn succeeded(&mut self, head: &ObjectId, made: Made) -> Result<Duration, Failure> {
        let lines = made.lines();
        let on_success = if self.args.on_success.is_some() { OnSuccess::Pending } else { OnSuccess::None };
        self.watch.succeeded(Built {
            commit: head.clone(),
            digest: made.digest,
            references: made.pushed,
            at: Timestamp::now(),
            on_success,
        });
        self.keep()?;
        self.context.report.watch("built", Some(head.as_str()), &format!("built {}", short(head)));
        print_result(&lines)?;
        self.follow()?;
        Ok(Duration::ZERO)
    }

    /// Runs the command that follows a build, where it has not been run to its end.
    fn follow(&mut self) -> Result<(), Failure> {
        let (Some(built), Some(command)) = (self.watch.pending(), &self.args.on_success) else {
            return Ok(());
        };
        self.context.stop.check()?;
        let ended = follow::follow(command, built, &self.branch, self.context)?;
        self.watch.followed(ended);
        self.keep()
    }

    fn failed(&mut self, head: &ObjectId, failure: Failure) -> Result<Duration, Failure> {
        let now = Timestamp::now();
        let mask = self.context.report.mask();
        self.watch.failed(head, (failure.exit, &mask.apply(&failure.what)), now, (RETRY, chance()));
        self.keep()?;
        if self.args.once {
            return Err(failure);
        }
        self.context.report.failure(&failure);
        let retry_at = self.watch.state().failed.as_ref().and_then(|failed| failed.retry_at);
        let wait = retry_at.map(|at| Duration::try_from(at.duration_since(now)).unwrap_or_default());
        let then = match wait {
            Some(wait) => format!("it is tried again in {:.0} s", wait.as_secs_f64().ceil()),
            None => "another commit is waited for".to_owned(),
        };
        let text = format!("the build of {} failed; {then}", short(head));
        self.context.report.watch("failed", Some(head.as_str()), &text);
        self.said = wait.is_none().then(|| head.clone());
        Ok(wait.unwrap_or(Duration::ZERO).min(self.interval()))
    }

    /// A branch that was there may come back; one that never was is misspelt.
    fn without_branch(&mut self, near: &[String]) -> Result<Duration, Failure> {
        let state = self.watch.state();
        let known = self.seen || state.built.is_some() || state.failed.is_some();
        let missing = format!("{} has no branch `{}`", self.name(), self.branch);
        if self.args.once || !known {
            let failure = Failure::new(Exit::NotUnderstood, missing);
            return Err(if near.is_empty() {
                failure
            } else {
                failure.hint(format!("there are {}", near.join(", ")))
            });
        }
        if !self.absent {
            self.context.report.warning(&format!("{missing}; it is waited for"));
        }
        (self.missed, self.absent, self.said) = (0, true, None);
        Ok(self.interval())
    }

    /// The remote did not answer as it should. At first that ends the watch, unless it may pass.
    fn unreachable(&mut self, failure: Failure) -> Result<Duration, Failure> {
        if self.context.stop.is_asked() || self.args.once || (!self.seen && failure.exit != Exit::Transient) {
            return Err(failure);
        }
        self.missed = self.missed.saturating_add(1);
        let backoff = Backoff { shortest: self.interval(), longest: RETRY.longest.max(self.interval()) };
        let wait = backoff.wait(self.missed, chance());
        let text = format!("{}; looking again in {:.0} s", one_line(&failure), wait.as_secs_f64().ceil());
        self.context.report.warning(&text);
        Ok(wait)
    }

    fn keep(&self) -> Result<(), Failure> {
        self.file.write(self.watch.state()).map_err(setup::state_failure)
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(self.args.interval)
    }

    fn sleep(&self, wait: Duration) -> Result<(), Failure> {
        let started = Instant::now();
        while let Some(left) = wait.checked_sub(started.elapsed()).filter(|left| !left.is_zero()) {
            self.context.stop.check()?;
            std::thread::sleep(left.min(PULSE));
        }
        self.context.stop.check()
    }
}

/// As many digits of a commit as people read.
fn short(commit: &ObjectId) -> &str {
    &commit.as_str()[..12]
}

fn one_line(failure: &Failure) -> String {
    let causes = failure.causes().into_iter().map(|cause| format!(": {cause}"));
    format!("{}{}", failure.what, causes.collect::<String>())
}

/// A number from 0 to 1. The standard library's hasher is seeded by the system, which is all that jitter needs.
fn chance() -> f64 {
    let random = u32::try_from(RandomState::new().hash_one(()) >> 32).unwrap_or_default();
    f64::from(random) / f64::from(u32::MAX)
}
