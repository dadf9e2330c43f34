//! When to try again, and how long to wait before.

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use super::error::{Class, RegistryError};

/// No registry makes us wait longer than this between two tries.
const LONGEST_WAIT: Duration = Duration::from_mins(2);

/// How failed requests are repeated.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// The shortest wait.
    pub shortest: Duration,
    /// The longest wait that we choose by ourselves; a registry may ask for up to 120 s.
    pub longest: Duration,
    /// How often a request is made at most, where the registry does not say when to come back.
    pub attempts: u32,
    /// How often a connection that never came about is tried.
    pub connects: u32,
    /// How long a request is repeated at all; an upload, how long without getting on.
    pub give_up: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            shortest: Duration::from_millis(500),
            longest: Duration::from_secs(30),
            attempts: 8,
            connects: 4,
            give_up: Duration::from_mins(10),
        }
    }
}

/// The tries of one operation.
pub(super) struct Retry<'a> {
    policy: &'a RetryPolicy,
    started: Instant,
    failures: u32,
}

impl<'a> Retry<'a> {
    pub(super) fn new(policy: &'a RetryPolicy) -> Self {
        Self { policy, started: Instant::now(), failures: 0 }
    }

    /// Begins to count anew, after something was achieved.
    pub(super) fn renew(&mut self) {
        (self.started, self.failures) = (Instant::now(), 0);
    }

    /// How long to wait before the next try, or `None` if there is to be none.
    pub(super) fn next(&mut self, error: &RegistryError) -> Option<Duration> {
        if error.class() != Class::Transient {
            return None;
        }
        let asked = match error {
            RegistryError::Answer(answer) => answer.retry_after.filter(|asked| !asked.is_zero()),
            _ => None,
        };
        // Waiting as told costs no try: a registry that limits its clients is at work, not broken.
        if asked.is_none() {
            self.failures += 1;
        }
        if self.failures >= self.allowed(error) {
            return None;
        }
        let wait = asked.map_or_else(|| self.back_off(), |asked| asked + jitter(asked / 10));
        (self.started.elapsed() + wait < self.policy.give_up).then_some(wait)
    }

    fn allowed(&self, error: &RegistryError) -> u32 {
        match error {
            RegistryError::Connection { source, .. } if source.is_connect() => self.policy.connects,
            _ => self.policy.attempts,
        }
    }

    /// Full jitter: anything between the shortest wait and a bound that doubles.
    fn back_off(&self) -> Duration {
        let bound = self.policy.shortest.saturating_mul(1 << self.failures.min(16)).min(self.policy.longest);
        self.policy.shortest + jitter(bound.saturating_sub(self.policy.shortest))
    }
}

/// A random duration up to `bound`. The standard library's hasher is seeded by the system, which is all the
/// randomness that jitter needs.
fn jitter(bound: Duration) -> Duration {
    let random = u32::try_from(RandomState::new().hash_one(()) >> 32).expect("32 bits are left");
    bound.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

/// The wait that an answer asks for. A date counts from the answer's own `Date`, so that a wrong clock on this
/// machine does not matter; one that has passed asks for no wait but for another try.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)).min(LONGEST_WAIT));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    let now = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    Some(until.duration_since(now).unwrap_or_default().min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::super::error::ErrorAnswer;
    use super::*;

    fn headers(retry_after: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, retry_after.parse().unwrap());
        headers.insert(DATE, "Wed, 25 Nov 2026 22:00:00 GMT".parse().unwrap());
        headers
    }

    #[test]
    fn reg_r03_retry_after_is_read_as_seconds_or_as_a_date_and_never_exceeds_two_minutes() {
        let seconds = |text| retry_after(&headers(text)).map(|wait| wait.as_secs());
        assert_eq!(seconds("7"), Some(7));
        assert_eq!(seconds("31536000"), Some(120));
        assert_eq!(seconds("99999999999999999999999"), Some(120));
        assert_eq!(seconds("Wed, 25 Nov 2026 22:00:09 GMT"), Some(9));
        assert_eq!(seconds("Thu, 25 Nov 2027 22:00:00 GMT"), Some(120));
        assert_eq!(seconds("Wed, 25 Nov 2026 21:59:00 GMT"), Some(0));
        assert_eq!(seconds("soon"), None);
        assert_eq!(seconds("-3"), None);
        assert_eq!(seconds(""), None);
    }

    fn answer(status: u16, retry_after: Option<u64>) -> RegistryError {
        RegistryError::Answer(Box::new(ErrorAnswer {
            method: "GET".into(),
            url: "https://registry.example/v2/".into(),
            status,
            code: None,
            message: None,
            retry_after: retry_after.map(Duration::from_secs),
            hints: Vec::new(),
        }))
    }

    #[test]
    fn reg_r03_the_wait_is_at_least_what_was_asked_and_little_more() {
        let policy = RetryPolicy::default();
        let mut retry = Retry::new(&policy);
        for _ in 0..50 {
            let wait = retry.next(&answer(429, Some(10))).unwrap();
            assert!((10.0..=12.0).contains(&wait.as_secs_f64()), "{wait:?}");
        }
    }

    #[test]
    fn the_back_off_grows_stays_in_its_bounds_and_ends() {
        let policy = RetryPolicy::default();
        let mut retry = Retry::new(&policy);
        let waits: Vec<_> = std::iter::from_fn(|| retry.next(&answer(503, None))).collect();
        assert_eq!(waits.len(), 7);
        assert!(waits.iter().all(|wait| (0.5..=30.0).contains(&wait.as_secs_f64())), "{waits:?}");
        assert!(waits[0] <= Duration::from_secs(1), "{waits:?}");
    }

    #[test]
    fn reg_r08_what_is_permanent_is_not_tried_again() {
        let policy = RetryPolicy::default();
        for status in [400, 401, 403, 404, 405, 413, 415, 501] {
            assert_eq!(Retry::new(&policy).next(&answer(status, None)), None, "{status}");
        }
        for status in [408, 425, 429, 500, 502, 503, 504] {
            assert!(Retry::new(&policy).next(&answer(status, None)).is_some(), "{status}");
        }
        assert!(Retry::new(&policy).next(&answer(403, Some(1))).is_some());
    }
}
