//! Listings: the tags of a repository and the repositories of a registry, page by page.

use reqwest::Method;
use reqwest::header::LINK;
use serde::Deserialize;
use url::Url;

use super::answer::malformed;
use super::auth::Access;
use super::call::Call;
use super::core::{Core, Registry};
use super::error::RegistryError;
use super::origin::Origin;
use super::remote::Remote;

/// A page longer than this is not one that we need whole.
const PAGE_LIMIT: u64 = 4 * 1024 * 1024;
const PAGES: usize = 10_000;
/// Names that are asked for at a time, where the first request says so; registries may give fewer.
const PAGE: usize = 1000;

#[derive(Deserialize)]
struct Page {
    tags: Option<Vec<String>>,
    repositories: Option<Vec<String>>,
}

impl Remote {
    /// All tags of the repository, sorted.
    pub(super) async fn tags(&self) -> Result<Vec<String>, RegistryError> {
        let listing = Listing { core: &self.core, registry: &self.registry, access: &self.access };
        listing.names(self.url("tags/list"), |page| page.tags).await
    }
}

/// All repositories of a registry, sorted, as far as it tells them.
pub(super) async fn repositories(core: &Core, registry: &Registry) -> Result<Vec<String>, RegistryError> {
    let mut url = registry.base.clone();
    url.set_path("v2/_catalog");
    url.query_pairs_mut().append_pair("n", &PAGE.to_string());
    let listing = Listing { core, registry, access: &Access::catalog() };
    listing.names(url, |page| page.repositories).await
}

struct Listing<'a> {
    core: &'a Core,
    registry: &'a Registry,
    access: &'a Access,
}

impl Listing<'_> {
    /// The names on all pages, sorted, each once.
    async fn names(
        &self,
        mut url: Url,
        names: impl Fn(Page) -> Option<Vec<String>>,
    ) -> Result<Vec<String>, RegistryError> {
        let mut all = Vec::new();
        for _ in 0..PAGES {
            let call = Call::new(Method::GET, url.clone());
            let answer = self.core.send(self.registry, self.access, &call, &[200]).await?;
            let next = answer.header(LINK.as_str()).and_then(next_link).map(str::to_owned);
            let base = answer.url.clone();
            let body = self.core.read_bounded(answer, PAGE_LIMIT).await?;
            let page: Page =
                serde_json::from_slice(&body).map_err(|_| malformed(&base, "this is not a list of names"))?;
            all.extend(names(page).unwrap_or_default());
            let Some(next) = next else {
                // The specification wants them sorted, and not every registry does so.
                all.sort_unstable();
                all.dedup();
                return Ok(all);
            };
            url = base.join(&next).map_err(|_| malformed(&base, "the `Link` header is not a URL"))?;
            if Origin::of(&url).as_ref() != Some(&self.registry.origin) {
                return Err(malformed(&base, "the `Link` header names another host"));
            }
        }
        Err(malformed(&url, "the list does not end"))
    }
}

/// The target of `<…>; rel="next"`.
fn next_link(header: &str) -> Option<&str> {
    let (target, parameters) = header.strip_prefix('<')?.split_once('>')?;
    parameters.replace(' ', "").to_lowercase().contains("rel=\"next\"").then_some(target)
}
