//! The (scheme, host, port) that credentials belong to, and which of them may be spoken to without TLS.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// A scheme, a host and a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    /// The origin of an `http` or `https` URL.
    pub(super) fn of(url: &Url) -> Option<Self> {
        if !matches!(url.scheme(), "http" | "https") {
            return None;
        }
        let host = url.host_str()?.to_owned();
        Some(Self { scheme: url.scheme().to_owned(), host, port: url.port_or_known_default()? })
    }

    pub(super) fn is_tls(&self) -> bool {
        self.scheme == "https"
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme, self.host, self.port)
    }
}

/// The base URL of a registry (`host` or `host:port`): TLS, but for loopback and for those in `insecure`; what is in
/// `secure` has TLS even on loopback.
pub(super) fn base_url(
    registry: &str,
    insecure: &[String],
    secure: &[String],
) -> Result<Url, url::ParseError> {
    let host = match registry {
        "docker.io" | "index.docker.io" => "registry-1.docker.io",
        other => other,
    };
    let mut url = Url::parse(&format!("https://{host}/"))?;
    let listed = |list: &[String]| list.iter().any(|name| matches_host(name, &url, registry));
    if !listed(secure) && (is_loopback(&url) || listed(insecure)) {
        url = Url::parse(&format!("http://{host}/"))?;
    }
    Ok(url)
}

fn matches_host(name: &str, url: &Url, registry: &str) -> bool {
    name.eq_ignore_ascii_case(registry) || url.host_str().is_some_and(|host| name.eq_ignore_ascii_case(host))
}

/// Whether a URL names this machine itself, by a literal address or as `localhost`.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Whether an address is none that a public registry has business with: this machine, private networks, links,
/// carriers' networks, metadata services, multicast, documentation.
pub(super) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_private_v4(v4),
        IpAddr::V6(v6) => is_private_v6(v6),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    a == 0
        || a >= 224
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_documentation()
        || (a == 100 && (64..128).contains(&b))
        || (a == 198 && (18..20).contains(&b))
        || (a == 192 && b == 0 && c == 0)
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        is_private_v4(Ipv4Addr::new(a, b, c, d))
    };
    if let Some(v4) = address.to_ipv4_mapped() {
        return is_private_v4(v4);
    }
    match segments {
        // NAT64 and 6to4 carry a v4 address inside.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => embedded(high, low),
        // Only 2000::/3 is given out to the public, and 2001:db8::/32 of it is for documentation.
        [first, second, ..] => first & 0xe000 != 0x2000 || (first == 0x2001 && second == 0xdb8),
    }
}

/// A URL for people: without user, password, query and fragment.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // These fail only for URLs that cannot have a user.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(registry: &str, insecure: &[&str]) -> String {
        let insecure: Vec<String> = insecure.iter().map(ToString::to_string).collect();
        base_url(registry, &insecure, &["localhost:5443".to_owned()]).unwrap().to_string()
    }

    #[test]
    fn http_is_for_loopback_and_for_what_the_user_lists() {
        assert_eq!(base("localhost:5000", &[]), "http://localhost:5000/");
        assert_eq!(base("localhost:5443", &[]), "https://localhost:5443/");
        assert_eq!(base("127.0.0.1:5000", &[]), "http://127.0.0.1:5000/");
        assert_eq!(base("[::1]:5000", &[]), "http://[::1]:5000/");
        assert_eq!(base("registry.example:5000", &[]), "https://registry.example:5000/");
        assert_eq!(
            base("registry.example:5000", &["registry.example:5000"]),
            "http://registry.example:5000/"
        );
        assert_eq!(base("registry.example:5000", &["registry.example"]), "http://registry.example:5000/");
        assert_eq!(
            base("registry.example:5000", &["registry.example:5001"]),
            "https://registry.example:5000/"
        );
        assert_eq!(base("10.0.0.1", &[]), "https://10.0.0.1/");
        assert_eq!(base("localhost.example", &[]), "https://localhost.example/");
        assert_eq!(base("docker.io", &[]), "https://registry-1.docker.io/");
    }

    #[test]
    fn private_addresses_are_known_in_every_spelling() {
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
        ] {
            assert!(is_private(address.parse().unwrap()), "{address}");
        }
        for address in
            ["1.1.1.1", "8.8.8.8", "100.128.0.1", "172.32.0.1", "2606:4700::1111", "64:ff9b::808:808"]
        {
            assert!(!is_private(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_shown_url_has_no_user_password_or_query() {
        let url =
            Url::parse("https://user:secret@registry.example/v2/a/blobs/uploads/1?token=secret#x").unwrap();
        assert_eq!(shown(&url), "https://registry.example/v2/a/blobs/uploads/1");
    }
}
