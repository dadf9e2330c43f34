//! Which hosts do not serve. What an installer makes of that is its own matter; the proxy knows why it failed.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::policy::HostPort;
use crate::event::{HostTrouble, Trouble};

/// A host that this much time was lost on, and that served nothing meanwhile, is given up for a while. Installers that ask
/// again and again would otherwise wait as often.
const MOST_LOST: Duration = Duration::from_secs(30);

/// How long it is given up.
const REST: Duration = Duration::from_secs(30);

/// What has become of the hosts.
#[derive(Default)]
pub(super) struct Troubles(Mutex<BTreeMap<HostPort, Row>>);

/// Failures of one host in a row.
#[derive(Clone)]
struct Row {
    times: u64,
    last: Trouble,
    /// The time that was spent on them, each moment counted once.
    lost: Duration,
    /// Until when it was spent.
    until: Instant,
    given_up: Option<Instant>,
}

/// What a failure led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    GoesOn,
    /// The host is given up from now on.
    GivenUp,
}

impl Troubles {
    /// Whether the host is to be asked at a moment; why not.
    pub(super) fn may_ask(&self, host: &HostPort, now: Instant) -> Result<(), Trouble> {
        match self.rows().get(host) {
            Some(Row { given_up: Some(until), last, .. }) if now < *until => Err(last.clone()),
            _ => Ok(()),
        }
    }

    /// Takes note of a failure that took from one moment to another.
    pub(super) fn failed(&self, host: &HostPort, trouble: Trouble, from: Instant, to: Instant) -> Then {
        let mut rows = self.rows();
        let new = Row { times: 0, last: trouble.clone(), lost: Duration::ZERO, until: from, given_up: None };
        let row = rows.entry(host.clone()).or_insert(new);
        row.times += 1;
        row.last = trouble;
        row.lost += to.saturating_duration_since(from.max(row.until));
        row.until = row.until.max(to);
        let was_given_up = row.given_up.is_some_and(|until| to < until);
        if row.lost < MOST_LOST || was_given_up {
            return Then::GoesOn;
        }
        row.given_up = Some(to + REST);
        Then::GivenUp
    }

    /// Takes note of an answer: what was before is forgotten.
    pub(super) fn served(&self, host: &HostPort) {
        self.rows().remove(host);
    }

    /// The hosts whose last answers were failures.
    pub(super) fn all(&self) -> Vec<HostTrouble> {
        let of_host = |(host, row): (&HostPort, &Row)| HostTrouble {
            host: host.host.clone(),
            port: host.port,
            times: row.times,
            trouble: row.last.clone(),
        };
        self.rows().iter().map(of_host).collect()
    }

    fn rows(&self) -> MutexGuard<'_, BTreeMap<HostPort, Row>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn net_06_a_host_that_costs_too_much_is_given_up_for_a_while() {
        let (troubles, host) = (Troubles::default(), HostPort::new("index.example", 443));
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let failed = |from, to| troubles.failed(&host, Trouble::Silent, at(from), at(to));
        // What happens at the same time is lost once.
        assert_eq!([failed(0, 15), failed(1, 15), failed(2, 16)], [Then::GoesOn; 3]);
        assert_eq!(troubles.may_ask(&host, at(16)), Ok(()));
        assert_eq!(failed(20, 34), Then::GivenUp);
        assert_eq!(troubles.may_ask(&host, at(35)), Err(Trouble::Silent));
        assert_eq!(troubles.may_ask(&HostPort::new("index.example", 80), at(35)), Ok(()));
        // Then it is asked once more, and given up again at once.
        assert_eq!(troubles.may_ask(&host, at(64)), Ok(()));
        assert_eq!(failed(64, 65), Then::GivenUp);
        assert_eq!(troubles.all().iter().map(|one| one.times).collect::<Vec<_>>(), [5]);
        troubles.served(&host);
        assert_eq!((troubles.may_ask(&host, at(66)), troubles.all()), (Ok(()), Vec::new()));
    }

    #[test]
    fn net_06_failures_that_cost_nothing_give_up_no_host() {
        let (troubles, host) = (Troubles::default(), HostPort::new("index.example", 443));
        let now = Instant::now();
        for _ in 0..1000 {
            assert_eq!(troubles.failed(&host, Trouble::Answered(503), now, now), Then::GoesOn);
        }
        assert_eq!(troubles.all()[0].to_string(), "`index.example:443` answered 503, 1000 times");
    }
}
