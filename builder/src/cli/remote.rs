//! Options for sources that are elsewhere.

use clap::Args;

use crate::failure::{Exit, Failure};
use crate::source::{CodeHost, CodeHosts};

/// How sources that are elsewhere are found and reached.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Sources elsewhere")]
pub struct RemoteArgs {
    /// The SHA-256 that an archive must have.
    #[arg(long, env = "LAPSTRAKE_SHA256", value_name = "HEX")]
    pub sha256: Option<String>,
    /// Speak plain http to this host (HOST or HOST:PORT); loopback addresses need no permission.
    #[arg(long, env = "LAPSTRAKE_INSECURE_SOURCE", value_name = "HOST", value_delimiter = ',')]
    pub insecure_source: Vec<String>,
    /// Where `github:OWNER/REPO` is, instead of <https://github.com>.
    #[arg(long, env = "LAPSTRAKE_GITHUB_URL", value_name = "URL")]
    pub github_url: Option<String>,
    /// Where `gitlab:GROUP/REPO` is, instead of <https://gitlab.com>.
    #[arg(long, env = "LAPSTRAKE_GITLAB_URL", value_name = "URL")]
    pub gitlab_url: Option<String>,
    /// Where `bitbucket:WORKSPACE/REPO` is, instead of <https://bitbucket.org>.
    #[arg(long, env = "LAPSTRAKE_BITBUCKET_URL", value_name = "URL")]
    pub bitbucket_url: Option<String>,
}

impl RemoteArgs {
    /// Where repositories are that are named by their host.
    pub fn code_hosts(&self) -> Result<CodeHosts, Failure> {
        let given = [
            (CodeHost::Github, &self.github_url),
            (CodeHost::Gitlab, &self.gitlab_url),
            (CodeHost::Bitbucket, &self.bitbucket_url),
        ];
        given.into_iter().filter_map(|(host, url)| Some((host, url.as_deref()?))).try_fold(
            CodeHosts::default(),
            |hosts, (host, url)| {
                hosts.with(host, url).map_err(|cause| {
                    Failure::because(
                        Exit::NotUnderstood,
                        format!("`--{}-url` is refused", host.name()),
                        cause,
                    )
                })
            },
        )
    }
}
