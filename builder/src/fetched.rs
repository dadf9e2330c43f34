//! What build commands have fetched, for the report and for the cache.

use std::collections::BTreeSet;

use lapstrake_sandbox::Fetched;
use oci_spec::image::Digest;
use serde::{Deserialize, Serialize};

/// Something that was fetched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FetchedReport {
    /// Where it came from, without a query.
    pub url: String,
    /// The SHA-256 of its bytes, as they were sent.
    pub digest: String,
    /// How many bytes there were.
    pub size: u64,
    /// Whether an earlier build fetched it, by a command whose result was taken.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reused: bool,
}

impl FetchedReport {
    /// What came of requests: each successful answer once, sorted.
    #[must_use]
    pub fn of(fetched: &[Fetched]) -> Vec<Self> {
        let report = |one: &Fetched| Self {
            url: one.url.clone(),
            digest: format!("sha256:{}", one.sha256),
            size: one.size,
            reused: false,
        };
        let done = fetched.iter().filter(|one| (200..300).contains(&one.status)).map(report);
        done.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// All of them, each once, sorted. What was fetched now was not taken from an earlier build, whatever else was.
    #[must_use]
    pub fn joined(all: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let mut sorted: Vec<Self> = all.into_iter().collect();
        sorted.sort();
        sorted.dedup_by(|later, first| {
            (&later.url, &later.digest, later.size) == (&first.url, &first.digest, first.size)
        });
        sorted
    }

    /// The same, of an earlier build.
    #[must_use]
    pub fn reused(self) -> Self {
        Self { reused: true, ..self }
    }

    /// Whether an entry of the cache may say so: the digest is one, and the address has neither a login nor a query.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let is_plain =
            |url: url::Url| url.username().is_empty() && url.password().is_none() && url.query().is_none();
        let is_digest = self.digest.parse::<Digest>().is_ok() && self.digest.starts_with("sha256:");
        is_digest && !self.reused && url::Url::parse(&self.url).is_ok_and(is_plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(url: &str, digit: char) -> FetchedReport {
        let digest = format!("sha256:{}", digit.to_string().repeat(64));
        FetchedReport { url: url.into(), digest, size: 1, reused: false }
    }

    #[test]
    fn net_07_each_answer_is_reported_once_and_as_new_where_it_is_new() {
        let (old, new) = (one("http://a/x", '1').reused(), one("http://a/x", '1'));
        let (other, changed) = (one("http://a/y", '1').reused(), one("http://a/x", '2'));
        let all = FetchedReport::joined([other.clone(), old, new.clone(), changed.clone()]);
        assert_eq!(all, [new, changed, other]);
    }

    #[test]
    fn an_address_with_a_secret_or_a_digest_that_is_none_is_not_taken_from_the_cache() {
        assert!(one("https://a.example/x", 'a').is_sound());
        for url in
            ["https://u:p@a.example/x", "https://u@a.example/x", "https://a.example/x?token=1", "no url"]
        {
            assert!(!one(url, 'a').is_sound(), "{url}");
        }
        assert!(!one("https://a.example/x", 'g').is_sound());
        assert!(!one("https://a.example/x", 'a').reused().is_sound());
    }
}
