//! What build commands reach.

use std::str::FromStr;

use clap::{Args, ValueEnum};
use lapstrake_sandbox::HostPort;
use url::Url;

/// What build commands reach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct NetworkArgs {
    /// Network access of the build commands.
    #[arg(long, env = "LAPSTRAKE_NETWORK", value_enum, default_value_t = NetworkMode::Proxy)]
    pub network: NetworkMode,
    /// A host that build commands may reach through the proxy, wherever its address is, with its port unless that is 443;
    /// may be given several times.
    #[arg(
        long = "allow-host",
        env = "LAPSTRAKE_ALLOW_HOST",
        value_name = "HOST[:PORT]",
        value_delimiter = ','
    )]
    pub allow_hosts: Vec<AllowedHost>,
    /// Refuse packages that their lock file does not hold by a hash stronger than SHA-1, or that come by another way than
    /// https; pip and uv are told to install nothing without a hash.
    #[arg(long, env = "LAPSTRAKE_REQUIRE_HASHES")]
    pub require_hashes: bool,
}

/// Network access of build commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum NetworkMode {
    /// None at all.
    None,
    /// Public hosts and the configured package indexes, through a recording proxy.
    #[default]
    Proxy,
    /// Package indexes and the hosts of `--allow-host`, through the same proxy, and nothing else.
    Registries,
    /// The machine's network, unfiltered.
    Open,
}

impl NetworkMode {
    /// The name, as options have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Proxy => "proxy",
            Self::Registries => "registries",
            Self::Open => "open",
        }
    }
}

/// A host that build commands may reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHost(pub HostPort);

impl FromStr for AllowedHost {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let malformed = || format!("`{text}` is no HOST or HOST:PORT");
        let is_plain = !text.is_empty() && !text.contains(['/', '@', '?', '#', '*', ' ', '\\']);
        let url = Url::parse(&format!("https://{text}/")).ok().filter(|_| is_plain).ok_or_else(malformed)?;
        HostPort::of(&url).map(Self).ok_or_else(malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_a_port_or_that_of_https() {
        let read = |text: &str| text.parse::<AllowedHost>().map(|host| host.0.to_string());
        assert_eq!(read("files.example").as_deref(), Ok("files.example:443"));
        assert_eq!(read("Files.example:8443").as_deref(), Ok("files.example:8443"));
        assert_eq!(read("[fd00::1]:80").as_deref(), Ok("[fd00::1]:80"));
        for text in ["", "https://x.example", "a b", "*.example", "user@x.example", "x.example/y", "x:99999"]
        {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
