//! Tokens for git servers, each for one host.

use crate::context::Context;
use crate::failure::Failure;
use crate::git::{GitError, Login, Remote, Transport, Why};
use crate::source::{CodeHost, CodeHosts};

use lapstrake_runtimes::mirrors::Secret;

/// The token for whatever repository the user names.
const TOKEN: &str = "LAPSTRAKE_GIT_TOKEN";
/// The user that the token belongs to.
const USER: &str = "LAPSTRAKE_GIT_USER";

/// The variable with the token for a service, and the user that it wants for tokens.
fn of_host(host: CodeHost) -> (&'static str, &'static str) {
    match host {
        CodeHost::Github => ("GITHUB_TOKEN", "x-access-token"),
        CodeHost::Gitlab => ("GITLAB_TOKEN", "oauth2"),
        CodeHost::Bitbucket => ("BITBUCKET_TOKEN", "x-token-auth"),
    }
}

/// The variable that holds the token for a remote.
fn variable(remote: &Remote, hosts: &CodeHosts, context: &Context) -> Option<&'static str> {
    if !matches!(remote.transport(), Transport::Https | Transport::Http) {
        return None;
    }
    let service = hosts.host_of(remote.url()).map(|host| of_host(host).0);
    [Some(TOKEN), service].into_iter().flatten().find(|name| context.var(name).is_some())
}

/// The same remote with the login that belongs to its host. A password in the address itself comes first.
pub(super) fn logged_in(remote: Remote, hosts: &CodeHosts, context: &Context) -> Remote {
    let Some(token) = variable(&remote, hosts, context).and_then(|name| context.var(name)) else {
        return remote;
    };
    let usual = hosts.host_of(remote.url()).map_or("x-access-token", |host| of_host(host).1);
    let user = context.var(USER).unwrap_or(usual).to_owned();
    remote.with_login(Login { user, secret: Some(Secret::new(token.to_owned())) })
}

/// Says of a server that wants a login which variable would hold it, or that what it holds was refused.
pub(super) fn explained(
    cause: GitError,
    remote: &Remote,
    hosts: &CodeHosts,
    context: &Context,
    what: &str,
) -> Failure {
    let wants_login = matches!(&cause, GitError::Failed { why: Why::Credentials | Why::NoRepository, .. });
    let used = variable(remote, hosts, context);
    let failure = cause.into_failure(what);
    if !wants_login || !matches!(remote.transport(), Transport::Https | Transport::Http) {
        return failure;
    }
    match (used, hosts.host_of(remote.url())) {
        (Some(used), _) => failure.hint(format!("the token in {used} was sent; does it permit to read this repository?")),
        (None, Some(host)) => failure.hint(format!(
            "a private repository needs a token that may read it in {} or {TOKEN}, or a git credential helper",
            of_host(host).0
        )),
        (None, None) => failure,
    }
}
