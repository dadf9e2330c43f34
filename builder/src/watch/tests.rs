//! The decisions of a watch, one by one and in long random histories.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::{
    Backoff, Built, Compared, Next, OnSuccess, Rest, State, StateError, StateFile, Step, Watch, Watched, Why,
};
use crate::failure::Exit;
use crate::git::ObjectId;

const BACKOFF: Backoff = Backoff { shortest: Duration::from_secs(10), longest: Duration::from_mins(15) };

fn commit(number: usize) -> ObjectId {
    format!("{number:040x}").parse().unwrap()
}

fn watched() -> Watched {
    Watched {
        remote: "https://host.example/team/app.git".to_owned(),
        branch: "main".to_owned(),
        source_dir: "web".to_owned(),
        targets: vec!["r.example/team/app:1".to_owned()],
    }
}

fn built(number: usize, at: Timestamp) -> Built {
    Built {
        commit: commit(number),
        digest: format!("sha256:{number:064x}").parse().unwrap(),
        references: vec![format!("r.example/team/app@sha256:{number:064x}")],
        at,
        on_success: OnSuccess::None,
    }
}

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn watch() -> Watch {
    Watch::resume(watched(), None)
}

#[test]
fn the_first_commit_is_built_and_then_left_alone() {
    let mut watch = watch();
    assert_eq!(watch.next(&commit(1), time(0)), Next::Decided(Step::Build(Why::First)));
    watch.succeeded(built(1, time(0)));
    assert_eq!(watch.next(&commit(1), time(1)), Next::Decided(Step::Rest(Rest::Built)));
}

#[test]
fn another_commit_is_compared_with_the_one_that_was_built() {
    let mut watch = watch();
    watch.succeeded(built(1, time(0)));
    assert_eq!(watch.next(&commit(2), time(1)), Next::Compare { since: commit(1) });
    assert_eq!(watch.compared(&commit(2), Compared::Unchanged), Step::Rest(Rest::Unchanged));
    assert_eq!(watch.next(&commit(2), time(2)), Next::Decided(Step::Rest(Rest::Unchanged)));
    // What was passed over is compared again with the next one, so that nothing in it is lost.
    assert_eq!(watch.next(&commit(3), time(3)), Next::Compare { since: commit(1) });
    assert_eq!(watch.compared(&commit(3), Compared::Changed), Step::Build(Why::Changed));
    assert_eq!(watch.compared(&commit(3), Compared::Gone), Step::Build(Why::Gone));
}

#[test]
fn a_fault_of_the_app_waits_for_another_commit() {
    for class in [Exit::AppFailed, Exit::NotUnderstood, Exit::Refused] {
        let mut watch = watch();
        watch.failed(&commit(1), (class, "it failed"), time(0), (BACKOFF, 0.5));
        assert_eq!(
            watch.next(&commit(1), time(1_000_000)),
            Next::Decided(Step::Rest(Rest::Failed)),
            "{class:?}"
        );
        assert_eq!(watch.next(&commit(2), time(1)), Next::Decided(Step::Build(Why::First)));
    }
}

#[test]
fn what_may_pass_is_tried_again_later_and_later() {
    for class in [Exit::Transient, Exit::RegistryRefused, Exit::NoIsolation, Exit::Ours] {
        let mut watch = watch();
        watch.failed(&commit(1), (class, "it failed"), time(0), (BACKOFF, 1.0));
        assert_eq!(watch.next(&commit(1), time(9)), Next::Decided(Step::Wait(time(10))), "{class:?}");
        assert_eq!(watch.next(&commit(1), time(10)), Next::Decided(Step::Build(Why::Again)));
        watch.failed(&commit(1), (class, "it failed"), time(10), (BACKOFF, 1.0));
        assert_eq!(watch.next(&commit(1), time(11)), Next::Decided(Step::Wait(time(30))));
        // The newest commit is not kept waiting for an older one.
        assert_eq!(watch.next(&commit(2), time(11)), Next::Decided(Step::Build(Why::First)));
        watch.failed(&commit(2), (class, "it failed"), time(11), (BACKOFF, 1.0));
        assert_eq!(watch.state().failed.as_ref().unwrap().failures, 1);
    }
}

#[test]
fn a_clock_that_was_set_back_holds_nothing_up() {
    let mut watch = watch();
    watch.failed(&commit(1), (Exit::Transient, "it failed"), time(1_000_000), (BACKOFF, 1.0));
    assert_eq!(watch.next(&commit(1), time(0)), Next::Decided(Step::Build(Why::Again)));
}

#[test]
fn a_success_forgets_the_failure_and_only_one_line_of_a_failure_is_kept() {
    let mut watch = watch();
    let long = format!("{}\nsecond line", "x".repeat(1000));
    watch.failed(&commit(1), (Exit::AppFailed, &long), time(0), (BACKOFF, 0.0));
    assert_eq!(watch.state().failed.as_ref().unwrap().what, "x".repeat(300));
    watch.succeeded(built(2, time(1)));
    assert_eq!(watch.state().failed, None);
}

#[test]
fn the_state_of_another_watch_is_not_taken() {
    let mut first = watch();
    first.succeeded(built(1, time(0)));
    let kept = first.state().clone();
    assert_eq!(
        Watch::resume(watched(), Some(kept.clone())).next(&commit(1), time(1)),
        Next::Decided(Step::Rest(Rest::Built))
    );
    let others = [
        Watched { branch: "next".to_owned(), ..watched() },
        Watched { source_dir: String::new(), ..watched() },
        Watched { remote: "https://host.example/fork.git".to_owned(), ..watched() },
        Watched { targets: vec!["r.example/team/app:2".to_owned()], ..watched() },
    ];
    for other in others {
        let resumed = Watch::resume(other, Some(kept.clone()));
        assert_eq!(resumed.next(&commit(1), time(1)), Next::Decided(Step::Build(Why::First)));
    }
}

#[test]
fn a_following_command_that_was_cut_short_is_pending() {
    let mut watch = watch();
    watch.succeeded(Built { on_success: OnSuccess::Pending, ..built(1, time(0)) });
    let mut resumed = Watch::resume(watched(), Some(watch.state().clone()));
    assert_eq!(resumed.pending().unwrap().commit, commit(1));
    resumed.followed(OnSuccess::Failed);
    assert_eq!(resumed.pending(), None);
    assert_eq!(resumed.next(&commit(1), time(1)), Next::Decided(Step::Rest(Rest::Built)));
}

fn full() -> State {
    let mut watch = watch();
    watch.succeeded(built(1, time(0)));
    watch.failed(&commit(2), (Exit::Transient, "it failed"), time(5), (BACKOFF, 1.0));
    watch.state().clone()
}

#[test]
fn a_state_is_kept_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let file = StateFile::new(directory.path().join("deep/state.json"));
    assert_eq!(file.read().unwrap(), None);
    for state in [watch().state().clone(), full()] {
        file.write(&state).unwrap();
        assert_eq!(file.read().unwrap(), Some(state));
    }
    assert_eq!(fs_err::read_dir(directory.path().join("deep")).unwrap().count(), 1);
}

#[test]
fn what_is_no_state_is_refused_with_its_reason() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.json");
    let whole = serde_json::to_string(&full()).unwrap();
    let other = |from: &str, to: &str| {
        assert!(whole.contains(from), "{from} in {whole}");
        whole.replacen(from, to, 1)
    };
    for (text, reason) in [
        (String::new(), "EOF"),
        ("{}".to_owned(), "missing field `schema`"),
        (whole[..whole.len() - 1].to_owned(), "EOF"),
        (format!("{whole}{whole}"), "trailing"),
        (other("\"schema\":1", "\"schema\":2"), "its schema is 2, and this program knows 1"),
        (other("\"schema\":1", "\"schema\":1,\"schema\":1"), "duplicate"),
        (other("\"branch\"", "\"twig\""), "unknown field `twig`"),
        (other("\"built\"", "\"bulit\""), "unknown field `bulit`"),
        (other(commit(1).as_str(), "abc"), "object name"),
        (other("transient", "sometimes"), "unknown variant"),
        (" ".repeat(70_000), "more than 65536 bytes"),
    ] {
        fs_err::write(&path, &text).unwrap();
        let error = StateFile::new(&path).read().unwrap_err();
        assert!(
            matches!(&error, StateError::Malformed { reason: found, .. } if found.contains(reason)),
            "{error}"
        );
    }
}

#[test]
fn a_state_that_cannot_be_kept_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    fs_err::write(directory.path().join("file"), "x").unwrap();
    let below = StateFile::new(directory.path().join("file/state.json"));
    assert!(matches!(below.write(&full()), Err(StateError::Io { doing: "write", .. })));
    assert!(matches!(below.read(), Err(StateError::Io { doing: "read", .. })));
}

/// What happens to a watch, in any order.
#[derive(Clone, Debug)]
enum Event {
    /// A commit is pushed that changes something in scope, or does not.
    Push { in_scope: bool },
    /// The branch is set back to an earlier commit.
    Rewind(prop::sample::Index),
    /// The watch looks once, a build that it starts ends like this, and the process may be killed.
    Look { outcome: Outcome, gone: bool, killed: Option<Killed> },
    /// Time passes.
    Pass(i64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Success,
    Fault,
    Passing,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Killed {
    /// After the build, before its outcome is kept.
    Before,
    /// Once the outcome is kept.
    After,
}

fn event() -> impl Strategy<Value = Event> {
    let outcome = prop_oneof![Just(Outcome::Success), Just(Outcome::Fault), Just(Outcome::Passing)];
    let killed =
        prop_oneof![4 => Just(None), 1 => Just(Some(Killed::Before)), 1 => Just(Some(Killed::After))];
    prop_oneof![
        2 => any::<bool>().prop_map(|in_scope| Event::Push { in_scope }),
        1 => any::<prop::sample::Index>().prop_map(Event::Rewind),
        6 => (outcome, prop::bool::weighted(0.1), killed)
            .prop_map(|(outcome, gone, killed)| Event::Look { outcome, gone, killed }),
        2 => (0_i64..2000).prop_map(Event::Pass),
    ]
}

/// A remote, a watch of it, and what the watch did.
struct World {
    /// For each commit, what it holds in scope.
    contents: Vec<usize>,
    head: usize,
    now: i64,
    watch: Watch,
    /// Outcomes that were kept, in order.
    kept: Vec<(usize, Outcome)>,
}

impl World {
    fn new() -> Self {
        Self { contents: vec![0], head: 0, now: 0, watch: watch(), kept: Vec::new() }
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Push { in_scope } => {
                let content = self.contents[self.head];
                let fresh = self.contents.len();
                self.contents.push(if *in_scope { fresh } else { content });
                self.head = fresh;
            }
            Event::Rewind(to) => self.head = to.index(self.contents.len()),
            Event::Look { outcome, gone, killed } => self.look(*outcome, *gone, *killed),
            Event::Pass(seconds) => self.now += seconds,
        }
    }

    fn look(&mut self, outcome: Outcome, gone: bool, killed: Option<Killed>) {
        let head = commit(self.head);
        let step = match self.watch.next(&head, time(self.now)) {
            Next::Decided(step) => step,
            Next::Compare { since } => {
                let built = self.built().unwrap();
                assert_eq!(since, commit(built));
                let compared = match self.contents[built] == self.contents[self.head] {
                    _ if gone => Compared::Gone,
                    true => Compared::Unchanged,
                    false => Compared::Changed,
                };
                self.watch.compared(&head, compared)
            }
        };
        if let Step::Build(why) = step {
            self.check_build(why);
            if killed != Some(Killed::Before) {
                self.keep(&head, outcome);
            }
        }
        if killed.is_some() {
            self.restart();
        }
    }

    /// No commit is built twice in a row, nor one whose fault is known, nor one before its time.
    fn check_build(&self, why: Why) {
        match self.kept.last() {
            Some((last, Outcome::Success | Outcome::Fault)) => assert_ne!(*last, self.head),
            Some((last, Outcome::Passing)) if *last == self.head => {
                let failed = self.watch.state().failed.as_ref().unwrap();
                assert!(why == Why::Again && failed.retry_at.unwrap() <= time(self.now));
                let wait = failed.retry_at.unwrap().duration_since(failed.at);
                assert!(wait >= SignedDuration::from_secs(5) && wait <= SignedDuration::from_mins(15));
            }
            _ => {}
        }
        assert!(why != Why::First || self.built().is_none());
    }

    fn keep(&mut self, head: &ObjectId, outcome: Outcome) {
        let now = time(self.now);
        match outcome {
            Outcome::Success => self.watch.succeeded(built(self.head, now)),
            Outcome::Fault => self.watch.failed(head, (Exit::AppFailed, "x"), now, (BACKOFF, 0.3)),
            Outcome::Passing => self.watch.failed(head, (Exit::Transient, "x"), now, (BACKOFF, 0.3)),
        }
        self.kept.push((self.head, outcome));
    }

    /// All that is left of a process that was killed is what its file holds.
    fn restart(&mut self) {
        let text = serde_json::to_string(self.watch.state()).unwrap();
        self.watch = Watch::resume(watched(), Some(serde_json::from_str(&text).unwrap()));
    }

    fn built(&self) -> Option<usize> {
        let built = self.kept.iter().rev().find(|(_, outcome)| *outcome == Outcome::Success);
        built.map(|(commit, _)| *commit)
    }
}

proptest! {
    #[test]
    fn no_history_builds_a_commit_twice_or_loses_the_newest(events in prop::collection::vec(event(), 0..60)) {
        let mut world = World::new();
        for event in &events {
            world.happen(event);
        }
        // Once nothing is pushed any more and builds succeed, what the branch holds is what was built.
        let quiet = Event::Look { outcome: Outcome::Success, gone: false, killed: None };
        for event in [&Event::Pass(901), &quiet, &quiet] {
            world.happen(event);
        }
        let head = world.contents[world.head];
        let faulty = world.kept.last() == Some(&(world.head, Outcome::Fault));
        let current = world.built().is_some_and(|built| world.contents[built] == head);
        prop_assert!(current || faulty, "{:?}", world.kept);
        // And then nothing is built any more.
        let before = world.kept.len();
        for event in [&Event::Pass(100_000), &quiet, &quiet] {
            world.happen(event);
        }
        prop_assert_eq!(world.kept.len(), before);
    }
}
