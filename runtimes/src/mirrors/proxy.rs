//! Proxies, as the usual variables name them.

use std::collections::BTreeMap;

use url::Url;

use super::Secret;

/// Which proxy leads to an address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxy {
    /// For `http` addresses; may hold credentials.
    pub http: Option<Secret<Url>>,
    /// For `https` addresses; may hold credentials.
    pub https: Option<Secret<Url>>,
    /// Hosts, domains and networks that are reached without one.
    pub no_proxy: Vec<String>,
}

impl Proxy {
    /// What `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy` say. Upper-case `HTTP_PROXY` is not read: under CGI
    /// a client sets it by a header.
    pub(super) fn from_env(env: &BTreeMap<String, String>) -> Self {
        let first =
            |names: &[&str]| names.iter().find_map(|name| env.get(*name)).filter(|text| !text.is_empty());
        let all = first(&["all_proxy", "ALL_PROXY"]);
        let no_proxy = first(&["no_proxy", "NO_PROXY"]);
        Self {
            http: first(&["http_proxy"]).or(all).and_then(|text| address(text)),
            https: first(&["https_proxy", "HTTPS_PROXY"]).or(all).and_then(|text| address(text)),
            no_proxy: no_proxy.map(|text| list(text)).unwrap_or_default(),
        }
    }

    /// The proxy for an address.
    #[must_use]
    pub fn for_url(&self, url: &Url) -> Option<&Secret<Url>> {
        let host = url.host_str().unwrap_or_default();
        if self.no_proxy.iter().any(|rule| excepts(rule, host)) {
            return None;
        }
        if url.scheme() == "https" { self.https.as_ref() } else { self.http.as_ref() }
    }
}

/// The address of a proxy; `http` if it has no scheme.
pub(super) fn address(text: &str) -> Option<Secret<Url>> {
    let text = text.trim();
    let url = if text.contains("://") { Url::parse(text) } else { Url::parse(&format!("http://{text}")) };
    url.ok().filter(|url| url.host_str().is_some()).map(Secret::new)
}

/// The rules of a `no_proxy` list.
pub(super) fn list(text: &str) -> Vec<String> {
    text.split([',', ' '])
        .map(str::trim)
        .filter(|rule| !rule.is_empty())
        .map(str::to_ascii_lowercase)
        .collect()
}

fn excepts(rule: &str, host: &str) -> bool {
    let rule = rule
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
        .map_or(rule, |(name, _)| name);
    if rule == "*" {
        return true;
    }
    let domain = rule.trim_start_matches("*.").trim_start_matches('.');
    host == domain
        || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
        || in_network(rule, host)
}

/// Whether a rule such as `10.0.0.0/8` holds the address of a host.
fn in_network(rule: &str, host: &str) -> bool {
    let (Some((network, bits)), Ok(host)) = (rule.split_once('/'), host.parse::<std::net::Ipv4Addr>()) else {
        return false;
    };
    match (network.parse::<std::net::Ipv4Addr>(), bits.parse::<u32>()) {
        (Ok(network), Ok(bits @ 0..=32)) => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            u32::from(network) & mask == u32::from(host) & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_domains_and_networks_are_excepted() {
        let env = [
            ("http_proxy", "http://user:pass@proxy.example:3128"),
            ("https_proxy", "proxy.example:3129"),
            ("no_proxy", "localhost, .internal,10.0.0.0/8"),
        ];
        let env = env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let proxy = Proxy::from_env(&env);
        let through =
            |url: &str| proxy.for_url(&Url::parse(url).unwrap()).map(|proxy| proxy.reveal().port().unwrap());
        assert_eq!(through("http://mirror.example/"), Some(3128));
        assert_eq!(through("https://mirror.example/"), Some(3129));
        for direct in ["http://localhost/", "http://a.internal/", "http://10.1.2.3/"] {
            assert_eq!(through(direct), None, "{direct}");
        }
        assert_eq!(through("http://11.1.2.3/"), Some(3128));
        assert!(!format!("{proxy:?}").contains("pass"));
    }
}
