//! Which hosts and addresses the proxy lets a build reach.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use url::Url;

use super::authority::Authority;

/// What the proxy allows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProxyPolicy {
    /// Whether hosts that are not listed are allowed.
    pub mode: ProxyMode,
    /// Allowed whatever their addresses are, on exactly these ports: the configured package indexes.
    pub listed: Vec<HostPort>,
    /// The proxy through which the machine itself reaches the outside. Its password stays with the caller and is not
    /// sent to the sandbox's own process.
    #[serde(skip)]
    pub upstream: Option<Upstream>,
    /// Whose certificates the proxy shows, so that it can record what goes through tunnels; without one, tunnels carry
    /// what they are given.
    #[serde(skip)]
    pub authority: Option<Arc<Authority>>,
}

/// Which hosts are allowed besides the listed ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProxyMode {
    /// All hosts with public addresses, on ports 80 and 443.
    Public,
    /// None.
    ListedOnly,
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HostPort {
    /// A name in lower case, or an address; IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl HostPort {
    /// A host, in the form in which hosts are compared.
    #[must_use]
    pub fn new(host: &str, port: u16) -> Self {
        let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        Self { host, port }
    }

    /// The host and port that a URL leads to; `None` if it names no host or its scheme has no known port.
    #[must_use]
    pub fn of(url: &Url) -> Option<Self> {
        Some(Self::new(url.host_str()?, url.port_or_known_default()?))
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// A proxy of the machine's.
#[derive(Clone)]
pub struct Upstream {
    /// `http://host:port`, with user and password if it wants them.
    pub url: Url,
    /// Hosts that are reached without it: names (with all that end in `.name`), addresses, or `*`.
    pub no_proxy: Vec<String>,
}

/// Leaves out the password.
impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = HostPort::of(&self.url).map(|place| place.to_string());
        f.debug_struct("Upstream").field("at", &place).field("no_proxy", &self.no_proxy).finish()
    }
}

impl Upstream {
    /// Tells whether this host is reached through this proxy.
    pub(crate) fn covers(&self, host: &str) -> bool {
        !self.no_proxy.iter().any(|rule| {
            let rule = rule.trim().trim_start_matches("*.").trim_start_matches('.');
            let rule = rule.to_ascii_lowercase();
            let below = host.strip_suffix(rule.as_str()).is_some_and(|rest| rest.ends_with('.'));
            !rule.is_empty() && (rule == "*" || rule == host || below)
        })
    }
}

/// What the policy says before any name is resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Connect, wherever it is.
    Listed,
    /// Connect if all of its addresses are public.
    IfPublic,
}

impl ProxyPolicy {
    pub(crate) fn judge(&self, target: &HostPort) -> Result<Verdict, String> {
        if self.listed.contains(target) {
            return Ok(Verdict::Listed);
        }
        if self.mode == ProxyMode::ListedOnly {
            return Err("only the configured hosts are allowed".to_owned());
        }
        if !matches!(target.port, 80 | 443) {
            return Err("only ports 80 and 443 are allowed".to_owned());
        }
        match target.host.parse::<IpAddr>() {
            Ok(address) => refuse_private(address).map(|()| Verdict::IfPublic),
            Err(_) => Ok(Verdict::IfPublic),
        }
    }
}

/// Refuses addresses that are not on the public internet. Documentation ranges are nobody's, so they pass.
pub(crate) fn refuse_private(address: IpAddr) -> Result<(), String> {
    let kind = match address {
        IpAddr::V4(address) => private_v4(address),
        IpAddr::V6(address) => private_v6(address),
    };
    kind.map_or(Ok(()), |kind| Err(format!("{address} is a {kind} address")))
}

fn private_v4(address: Ipv4Addr) -> Option<&'static str> {
    match address.octets() {
        [0, ..] => Some("unspecified"),
        [127, ..] => Some("loopback"),
        [10, ..] | [192, 168, ..] | [172, 16..=31, ..] => Some("private"),
        [169, 254, ..] => Some("link-local"),
        [100, 64..=127, ..] => Some("carrier-grade NAT"),
        // One cloud keeps its metadata service and its host here.
        [168, 63, 129, 16] => Some("metadata"),
        [192, 0, 0, _] | [198, 18..=19, ..] => Some("special-purpose"),
        [224..=239, ..] => Some("multicast"),
        [240..=255, ..] => Some("reserved"),
        _ => None,
    }
}

fn private_v6(address: Ipv6Addr) -> Option<&'static str> {
    let segments = address.segments();
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        private_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("unspecified"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("loopback"),
        // IPv4 in another dress: mapped, compatible, translated, 6to4.
        [0, 0, 0, 0, 0, 0xffff | 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => embedded(high, low),
        [0x2001, 0, ..] => Some("special-purpose"),
        [0x64, 0xff9b, 1, ..] | [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Some("private"),
        [0xfe80..=0xfebf, ..] => Some("link-local"),
        [0xff00..=0xffff, ..] => Some("multicast"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(address: &str) -> bool {
        refuse_private(address.parse().unwrap()).is_ok()
    }

    #[test]
    fn private_addresses_are_refused_in_every_dress() {
        let refused = [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "127.255.255.254",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.127.255.255",
            "168.63.129.16",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::10.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "2002:a00:1::",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
        ];
        for address in refused {
            assert!(!verdict(address), "{address}");
        }
    }

    #[test]
    fn public_and_documentation_addresses_pass() {
        let allowed = [
            "1.1.1.1",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.0.1",
            "100.128.0.1",
            "169.253.0.1",
            "203.0.113.7",
            "198.51.100.1",
            "192.0.2.1",
            "2606:4700::1111",
            "2001:db8::1",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
        ];
        for address in allowed {
            assert!(verdict(address), "{address}");
        }
    }

    fn policy(mode: ProxyMode) -> ProxyPolicy {
        let listed = vec![HostPort::new("Index.example.", 8081), HostPort::new("10.0.0.9", 80)];
        ProxyPolicy { mode, listed, upstream: None, authority: None }
    }

    #[test]
    fn listed_hosts_pass_on_their_port_alone() {
        let policy = policy(ProxyMode::ListedOnly);
        assert_eq!(policy.judge(&HostPort::new("index.example", 8081)), Ok(Verdict::Listed));
        assert_eq!(policy.judge(&HostPort::new("10.0.0.9", 80)), Ok(Verdict::Listed));
        assert!(policy.judge(&HostPort::new("index.example", 443)).is_err());
        assert!(policy.judge(&HostPort::new("sub.index.example", 8081)).is_err());
    }

    #[test]
    fn other_hosts_pass_in_public_mode_on_the_web_ports_alone() {
        let policy = policy(ProxyMode::Public);
        assert_eq!(policy.judge(&HostPort::new("a.example", 443)), Ok(Verdict::IfPublic));
        assert!(policy.judge(&HostPort::new("a.example", 22)).is_err());
        assert!(policy.judge(&HostPort::new("10.0.0.8", 80)).is_err());
    }

    #[test]
    fn no_proxy_covers_a_name_and_what_is_below_it() {
        let no_proxy = vec![".corp.example".to_owned(), "10.0.0.1".to_owned()];
        let upstream = Upstream { url: Url::parse("http://u:p@proxy:1").unwrap(), no_proxy };
        assert!(upstream.covers("other.example") && upstream.covers("notcorp.example"));
        assert!(!upstream.covers("corp.example") && !upstream.covers("a.corp.example"));
        assert!(!upstream.covers("10.0.0.1"));
        assert!(!format!("{upstream:?}").contains("u:p"));
    }
}
