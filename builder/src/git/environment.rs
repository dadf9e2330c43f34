//! The environment and the settings that git runs with.

use std::collections::BTreeMap;

use super::remote::{Remote, Transport};

/// Variables of git's own that say how the caller reaches and logs in to servers. All others of its variables name
/// repositories, or change what git writes.
const KEPT: [&str; 9] = [
    "GIT_ASKPASS",
    "GIT_CONFIG_",
    "GIT_EXEC_PATH",
    "GIT_HTTP_",
    "GIT_PROXY_",
    "GIT_SSH",
    "GIT_SSH_",
    "GIT_SSL_",
    "GIT_CURL_",
];

/// One allocation of more than this is the work of a hostile pack: larger files are streamed.
const ALLOCATION: &str = "1g";

/// The caller's environment, without what would lead git elsewhere and without what asks a person.
pub(super) fn of_caller(caller: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut env: BTreeMap<String, String> =
        caller.iter().filter(|(name, _)| is_kept(name)).map(|(n, v)| (n.clone(), v.clone())).collect();
    // git for Debian takes its authorities from a place of its own, whatever OpenSSL is told.
    if let (None, Some(bundle)) = (caller.get("GIT_SSL_CAINFO"), caller.get("SSL_CERT_FILE")) {
        env.insert("GIT_SSL_CAINFO".to_owned(), bundle.clone());
    }
    let fixed = [
        // Messages are read to tell why git failed.
        ("LC_ALL", "C"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GCM_INTERACTIVE", "never"),
        ("GIT_ATTR_NOSYSTEM", "1"),
        ("GIT_NO_LAZY_FETCH", "1"),
        ("GIT_NO_REPLACE_OBJECTS", "1"),
        ("GIT_ALLOC_LIMIT", ALLOCATION),
    ];
    env.extend(fixed.map(|(name, value)| (name.to_owned(), value.to_owned())));
    env
}

fn is_kept(name: &str) -> bool {
    let ours = name.starts_with("LAPSTRAKE_");
    let asks = matches!(name, "SSH_ASKPASS" | "LANGUAGE");
    let leads = name.starts_with("GIT_")
        && !KEPT.iter().any(|kept| name == *kept || (kept.ends_with('_') && name.starts_with(kept)));
    !ours && !asks && !leads
}

/// Settings that hold whatever the caller's configuration says. What is given by `-c` overrules everything else.
const SETTINGS: [&str; 22] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.logAllRefUpdates=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.version=2",
    "transfer.fsckObjects=true",
    "fetch.fsckObjects=true",
    // Flaws that old and well-known repositories have, and that harm nobody.
    "fetch.fsck.zeroPaddedFilemode=warn",
    "fetch.fsck.badTimezone=warn",
    "fetch.fsck.missingSpaceBeforeDate=warn",
    // A pack is checked and kept as one file, whatever its size.
    "fetch.unpackLimit=1",
    "fetch.recurseSubmodules=false",
    "submodule.recurse=false",
    "fetch.writeCommitGraph=false",
    "fetch.prune=false",
    "transfer.bundleURI=false",
    // Where a server sends us is decided by us: a redirect may lead into a private network.
    "http.followRedirects=false",
    "http.lowSpeedLimit=1024",
    "http.lowSpeedTime=60",
    "log.showSignature=false",
];

/// The arguments in front of a subcommand.
pub(super) fn settings() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().flat_map(|setting| ["-c", setting])
}

/// A credential helper that answers with what the environment holds. It keeps nothing.
const HELPER: &str = r#"!f() { test "$1" = get && printf 'username=%s\npassword=%s\n' "$LAPSTRAKE_LOGIN_USER" "$LAPSTRAKE_LOGIN_SECRET"; }; f"#;

/// What is added for one remote: its transport, and the login that belongs to it and to nothing else.
pub(super) fn of_remote(remote: &Remote, base: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let mut env = vec![("GIT_ALLOW_PROTOCOL".to_owned(), remote.transport().name().to_owned())];
    match remote.transport() {
        Transport::Ssh => {
            env.extend(ssh_command(base).map(|command| ("GIT_SSH_COMMAND".to_owned(), command)));
        }
        // Nobody is asked and nothing is logged in to, so nothing that the caller has set is needed.
        Transport::File => {
            env.extend([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")].map(owned));
        }
        Transport::Https | Transport::Http => {}
    }
    if let Some(login) = remote.login() {
        // The whole address is the most specific place there is, so no helper of the caller's comes before this one.
        let scope = |key: &str| format!("credential.{}.{key}", remote.address());
        let mut config = vec![(scope("username"), login.user.clone())];
        if let Some(secret) = &login.secret {
            config.push((scope("helper"), String::new()));
            config.push((scope("helper"), HELPER.to_owned()));
            env.push(("LAPSTRAKE_LOGIN_USER".to_owned(), login.user.clone()));
            env.push(("LAPSTRAKE_LOGIN_SECRET".to_owned(), secret.reveal().clone()));
            env.push(("GIT_ASKPASS".to_owned(), String::new()));
        }
        env.extend(configuration(config, base));
    }
    env
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// Configuration as variables, after what the caller gives in the same way.
fn configuration(config: Vec<(String, String)>, base: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let given = base.get("GIT_CONFIG_COUNT").and_then(|count| count.parse::<usize>().ok()).unwrap_or(0);
    let mut env = vec![("GIT_CONFIG_COUNT".to_owned(), (given + config.len()).to_string())];
    for (number, (key, value)) in config.into_iter().enumerate() {
        env.push((format!("GIT_CONFIG_KEY_{}", given + number), key));
        env.push((format!("GIT_CONFIG_VALUE_{}", given + number), value));
    }
    env
}

/// What ssh is told besides: to ask nobody, and to notice a server that is gone. A command of the caller's that is not
/// ssh itself is left as it is.
fn ssh_command(base: &BTreeMap<String, String>) -> Option<String> {
    const OPTIONS: &str = "-o BatchMode=yes -o ConnectTimeout=30 -o ServerAliveInterval=15";
    let given = match (base.get("GIT_SSH_COMMAND"), base.get("GIT_SSH")) {
        (Some(command), _) => command.as_str(),
        (None, Some(_)) => return None,
        (None, None) => "ssh",
    };
    let program = given.split_whitespace().next().unwrap_or_default();
    let is_ssh = program.rsplit('/').next() == Some("ssh");
    is_ssh.then(|| format!("{given} {OPTIONS}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_leads_git_elsewhere_is_dropped_and_what_reaches_servers_is_kept() {
        let kept = [
            ("PATH", "/bin"),
            ("SSH_AUTH_SOCK", "/agent"),
            ("GIT_SSH_COMMAND", "ssh -i key"),
            ("GIT_CONFIG_GLOBAL", "/config"),
            ("GIT_SSL_CAINFO", "/ca"),
            ("https_proxy", "http://proxy"),
            ("GITHUB_TOKEN", "for the caller's own helper"),
        ];
        let dropped = [
            ("GIT_DIR", "/elsewhere"),
            ("GIT_ALTERNATE_OBJECT_DIRECTORIES", "/elsewhere"),
            ("GIT_ALLOW_PROTOCOL", "ext"),
            ("GIT_TRACE", "1"),
            ("SSH_ASKPASS", "/usr/bin/dialog"),
            ("LAPSTRAKE_GIT_TOKEN", "secret"),
        ];
        let found = of_caller(&env(&[&kept[..], &dropped].concat()));
        assert!(kept.iter().all(|(name, value)| found.get(*name).is_some_and(|found| found == value)));
        assert!(dropped.iter().all(|(name, _)| !found.contains_key(*name)));
        assert_eq!(found["GIT_TERMINAL_PROMPT"], "0");
    }

    #[test]
    fn authorities_of_other_programs_are_taken_unless_git_has_its_own() {
        assert_eq!(of_caller(&env(&[("SSL_CERT_FILE", "/a")]))["GIT_SSL_CAINFO"], "/a");
        let both = of_caller(&env(&[("SSL_CERT_FILE", "/a"), ("GIT_SSL_CAINFO", "/b")]));
        assert_eq!(both["GIT_SSL_CAINFO"], "/b");
    }

    #[test]
    fn a_login_is_scoped_to_its_address_and_comes_after_the_callers_configuration() {
        let remote = Remote::parse("https://me:secret@host.example/team/app.git").unwrap();
        let base = env(&[("GIT_CONFIG_COUNT", "1")]);
        let found: BTreeMap<String, String> = of_remote(&remote, &base).into_iter().collect();
        assert_eq!(found["GIT_CONFIG_COUNT"], "4");
        assert_eq!(found["GIT_CONFIG_KEY_1"], "credential.https://host.example/team/app.git.username");
        assert_eq!(found["GIT_CONFIG_KEY_3"], "credential.https://host.example/team/app.git.helper");
        assert_eq!(found["GIT_ALLOW_PROTOCOL"], "https");
        let without = found.iter().filter(|(name, _)| *name != "LAPSTRAKE_LOGIN_SECRET");
        assert!(without.into_iter().all(|(_, value)| !value.contains("secret")));
    }

    #[test]
    fn ssh_asks_nobody_and_other_commands_stay_as_they_are() {
        let options = " -o BatchMode=yes -o ConnectTimeout=30 -o ServerAliveInterval=15";
        assert_eq!(ssh_command(&env(&[])).unwrap(), format!("ssh{options}"));
        let given = env(&[("GIT_SSH_COMMAND", "/usr/bin/ssh -i key")]);
        assert_eq!(ssh_command(&given).unwrap(), format!("/usr/bin/ssh -i key{options}"));
        assert_eq!(ssh_command(&env(&[("GIT_SSH_COMMAND", "my-wrapper")])), None);
        assert_eq!(ssh_command(&env(&[("GIT_SSH", "/opt/plink")])), None);
    }
}
