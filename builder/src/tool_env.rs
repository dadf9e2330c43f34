//! The environment of build commands: what the catalog and the app file say, and what installers need to reach the
//! package indexes that this machine is configured for. None of it reaches the image.

use std::collections::BTreeMap;

use lapstrake_runtimes::mirrors::Auth;

use crate::app_registries::{AppRegistries, Retries};

/// Where the machine's certificates are inside the sandbox.
pub const CA_BUNDLE: &str = "/run/build/ca.crt";
/// Where npm's logins are inside the sandbox.
pub const NPM_CONFIG: &str = "/run/build/npmrc";
/// Where installers keep what they have downloaded, inside the sandbox.
pub const PACKAGES: &str = "/run/build/packages";
/// The home directory of build commands and of the app.
pub const HOME: &str = "/home/app";

/// The time that commands are told to write into what they make, and that of all files that they find, in seconds since
/// 1970: 1980-01-02, which is a time that zip archives can hold in every time zone.
pub const SOURCE_TIME: i64 = 315_619_200;

/// Which installers are to take nothing that no hash holds, as far as they can be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hashes {
    /// None.
    #[default]
    Optional,
    /// uv, whose lock file or requirements hold what is installed; pip brings a package manager and no more.
    ForUv,
    /// uv and pip.
    ForAll,
}

/// What installers must know of the machine.
#[derive(Default)]
pub struct Indexes<'a> {
    /// The npm registry that the machine is configured for.
    pub npm_registry: Option<&'a str>,
    /// The Python index that the machine is configured for.
    pub python_index: Option<&'a str>,
    /// The address of the proxy that leads out of the sandbox.
    pub proxy: Option<&'a str>,
    /// Whether a bundle of certificates lies at [`CA_BUNDLE`].
    pub ca_bundle: bool,
    /// Whether logins lie at [`NPM_CONFIG`].
    pub npm_config: bool,
    /// The login for the npm registry.
    pub npm_login: Option<&'a Auth>,
    /// The package managers that are told a registry by the app itself.
    pub app: AppRegistries,
    /// The version of npm, in images that have it.
    pub npm: Option<&'a str>,
    /// What is to be held by hashes.
    pub hashes: Hashes,
}

/// The environment of one build command. Later sources win: installers' settings, the catalog's, the app file's.
#[must_use]
pub fn build_env(
    indexes: &Indexes<'_>,
    catalog: &BTreeMap<String, String>,
    app: &[(String, String)],
) -> BTreeMap<String, String> {
    let mut env = installers();
    if indexes.ca_bundle {
        for name in [
            "PIP_CERT",
            "SSL_CERT_FILE",
            "REQUESTS_CA_BUNDLE",
            "NODE_EXTRA_CA_CERTS",
            "npm_config_cafile",
            "GIT_SSL_CAINFO",
            "CURL_CA_BUNDLE",
        ] {
            set(&mut env, name, CA_BUNDLE);
        }
    }
    if let Some(proxy) = indexes.proxy {
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
            set(&mut env, name, proxy);
        }
        for name in ["NO_PROXY", "no_proxy"] {
            set(&mut env, name, "localhost,127.0.0.1,::1");
        }
        // Without it, node's own fetch and https know no proxy.
        set(&mut env, "NODE_USE_ENV_PROXY", "1");
        // It is an experiment in node 22, which says so whenever it starts.
        set(&mut env, "NODE_OPTIONS", "--disable-warning=UNDICI-EHPA");
        // Yarn's later versions know their own variables only.
        for name in ["YARN_HTTP_PROXY", "YARN_HTTPS_PROXY"] {
            set(&mut env, name, proxy);
        }
    }
    if indexes.npm_config {
        set(&mut env, "npm_config_userconfig", NPM_CONFIG);
    }
    if indexes.app.npm_retries == Retries::OfBuild {
        // It would ask a registry that is down again after 10 and after 60 seconds.
        for (name, value) in [
            ("npm_config_fetch_retries", "3"),
            ("npm_config_fetch_retry_factor", "2"),
            ("npm_config_fetch_retry_mintimeout", "1000"),
            ("npm_config_fetch_retry_maxtimeout", "10000"),
        ] {
            set(&mut env, name, value);
        }
    }
    if let Some(registry) = indexes.npm_registry {
        set_npm_registry(&mut env, registry, indexes.app);
    }
    if let Some(login) = indexes.npm_login {
        set_npm_login(&mut env, login, indexes.app);
    }
    if let Some(index) = indexes.python_index {
        set(&mut env, "PIP_INDEX_URL", index);
        if !indexes.app.uv {
            set(&mut env, "UV_DEFAULT_INDEX", index);
        }
        set(&mut env, "PDM_PYPI_URL", index);
        set(&mut env, "PIPENV_PYPI_MIRROR", index);
    }
    if let Some(npm) = indexes.npm {
        set(&mut env, nodedir(npm), "/usr/local");
    }
    env.extend(catalog.clone());
    set(&mut env, "HOME", HOME);
    env.extend(app.iter().cloned());
    // Whoever asks for it does not leave it to the app.
    if indexes.hashes == Hashes::ForAll {
        set(&mut env, "PIP_REQUIRE_HASHES", "1");
    }
    if indexes.hashes != Hashes::Optional {
        set(&mut env, "UV_REQUIRE_HASHES", "true");
    }
    env
}

/// Yarn and corepack have registries of their own to ask; one that npm is configured for stands in for them too.
fn set_npm_registry(env: &mut BTreeMap<String, String>, registry: &str, app: AppRegistries) {
    if !app.npm {
        set(env, "npm_config_registry", registry);
    }
    if !app.yarn {
        set(env, "YARN_NPM_REGISTRY_SERVER", registry);
    }
    // Corepack appends `/NAME` to it, and registries answer `//NAME` with 400.
    set(env, "COREPACK_NPM_REGISTRY", registry.trim_end_matches('/'));
    // Yarn refuses plain http for hosts that are not listed.
    let plain = url::Url::parse(registry).ok().filter(|url| url.scheme() == "http");
    if let Some(host) = plain.as_ref().and_then(url::Url::host_str) {
        set(env, "YARN_UNSAFE_HTTP_WHITELIST", host);
    }
}

/// npm and pnpm find the login in a file; yarn and corepack do not read that file.
fn set_npm_login(env: &mut BTreeMap<String, String>, login: &Auth, app: AppRegistries) {
    if !app.yarn {
        set(env, "YARN_NPM_ALWAYS_AUTH", "true");
        match login {
            Auth::Bearer(token) => set(env, "YARN_NPM_AUTH_TOKEN", token.reveal()),
            Auth::Basic { user, password } => {
                set(env, "YARN_NPM_AUTH_IDENT", &format!("{user}:{}", password.reveal()));
            }
        }
    }
    match login {
        Auth::Bearer(token) => set(env, "COREPACK_NPM_TOKEN", token.reveal()),
        Auth::Basic { user, password } => {
            set(env, "COREPACK_NPM_USERNAME", user);
            set(env, "COREPACK_NPM_PASSWORD", password.reveal());
        }
    }
}

/// Settings that make installers quiet about themselves and their output the same on every machine.
fn installers() -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    // The same in every build: what a command makes of it must not differ from one commit to the next.
    set(&mut env, "SOURCE_DATE_EPOCH", &SOURCE_TIME.to_string());
    for (name, value) in [
        ("CI", "true"),
        ("PYTHONHASHSEED", "0"),
        ("PYTHONDONTWRITEBYTECODE", "1"),
        ("PIP_NO_COMPILE", "1"),
        ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
        ("PIP_NO_INPUT", "1"),
        ("PIP_PROGRESS_BAR", "off"),
        ("npm_config_audit", "false"),
        ("npm_config_fund", "false"),
        ("npm_config_progress", "false"),
        ("npm_config_update_notifier", "false"),
        // npm writes the address of the registry into node_modules otherwise.
        ("npm_config_omit_lockfile_registry_resolved", "true"),
        ("COREPACK_ENABLE_DOWNLOAD_PROMPT", "0"),
        // Logs of one build are nothing for the next.
        ("npm_config_logs_max", "0"),
        // The cache lies on another file system, as far as links are concerned.
        ("UV_LINK_MODE", "copy"),
    ] {
        set(&mut env, name, value);
    }
    for (name, directory) in [("PIP_CACHE_DIR", "pip"), ("UV_CACHE_DIR", "uv"), ("npm_config_cache", "npm")] {
        set(&mut env, name, &format!("{PACKAGES}/{directory}"));
    }
    env
}

/// The variable that tells node-gyp where the headers of node are, so that it does not fetch them.
///
/// npm 11 complains of settings that are not its own, and brings a node-gyp that has a variable of its own.
fn nodedir(npm: &str) -> &'static str {
    let major = npm.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major >= 11) {
        "npm_package_config_node_gyp_nodedir"
    } else {
        "npm_config_nodedir"
    }
}

fn set(env: &mut BTreeMap<String, String>, name: &str, value: &str) {
    env.insert(name.to_owned(), value.to_owned());
}

#[cfg(test)]
mod tests {
    use lapstrake_runtimes::mirrors::Secret;

    use super::*;

    #[test]
    fn the_app_file_has_the_last_word() {
        let catalog = BTreeMap::from([("PATH".to_owned(), "/usr/bin".to_owned())]);
        let env = build_env(&Indexes::default(), &catalog, &[("CI".into(), "false".into())]);
        assert_eq!(
            (env["CI"].as_str(), env["PATH"].as_str(), env["SOURCE_DATE_EPOCH"].as_str()),
            ("false", "/usr/bin", "315619200")
        );
        assert!(!env.contains_key("HTTPS_PROXY") && !env.contains_key("PIP_CERT"));
    }

    #[test]
    fn net_06_npm_asks_again_soon_unless_the_app_says_how_often() {
        let env = |npm_retries| {
            let app = AppRegistries { npm_retries, ..AppRegistries::default() };
            build_env(&Indexes { app, ..Indexes::default() }, &BTreeMap::new(), &[])
        };
        let ours = env(Retries::OfBuild);
        // 1 + 2 + 4 seconds.
        assert_eq!(
            (ours["npm_config_fetch_retries"].as_str(), ours["npm_config_fetch_retry_factor"].as_str()),
            ("3", "2")
        );
        assert!(!env(Retries::OfApp).keys().any(|name| name.starts_with("npm_config_fetch")));
    }

    #[test]
    fn net_04_the_app_does_not_switch_off_what_is_required_of_hashes() {
        let app = [("PIP_REQUIRE_HASHES".to_owned(), "0".to_owned())];
        let env = |hashes| build_env(&Indexes { hashes, ..Indexes::default() }, &BTreeMap::new(), &app);
        let required = env(Hashes::ForAll);
        assert_eq!(
            (required["PIP_REQUIRE_HASHES"].as_str(), required["UV_REQUIRE_HASHES"].as_str()),
            ("1", "true")
        );
        assert_eq!(env(Hashes::ForUv)["PIP_REQUIRE_HASHES"], "0");
        assert!(!env(Hashes::Optional).contains_key("UV_REQUIRE_HASHES"));
    }

    #[test]
    fn every_npm_finds_the_headers_of_node() {
        let env = |npm| build_env(&Indexes { npm: Some(npm), ..Indexes::default() }, &BTreeMap::new(), &[]);
        assert_eq!(env("10.9.9")["npm_config_nodedir"], "/usr/local");
        assert_eq!(env("11.21.2")["npm_package_config_node_gyp_nodedir"], "/usr/local");
        assert!(!env("11.21.2").contains_key("npm_config_nodedir"));
    }

    #[test]
    fn installers_are_led_through_the_proxy_with_the_machines_certificates() {
        let indexes = Indexes { proxy: Some("http://127.0.0.1:3128"), ca_bundle: true, ..Indexes::default() };
        let env = build_env(&indexes, &BTreeMap::new(), &[]);
        assert_eq!(
            (env["HTTPS_PROXY"].as_str(), env["PIP_CERT"].as_str()),
            ("http://127.0.0.1:3128", CA_BUNDLE)
        );
    }

    #[test]
    fn every_package_manager_of_node_asks_the_registry_that_npm_is_configured_for() {
        let env = |registry| {
            build_env(&Indexes { npm_registry: Some(registry), ..Indexes::default() }, &BTreeMap::new(), &[])
        };
        let secure = env("https://npm.example/team/");
        assert_eq!(secure["npm_config_registry"], "https://npm.example/team/");
        assert_eq!(secure["YARN_NPM_REGISTRY_SERVER"], "https://npm.example/team/");
        assert_eq!(secure["COREPACK_NPM_REGISTRY"], "https://npm.example/team");
        assert!(!secure.contains_key("YARN_UNSAFE_HTTP_WHITELIST"));
        assert_eq!(env("http://127.0.0.1:4873/")["YARN_UNSAFE_HTTP_WHITELIST"], "127.0.0.1");
    }

    #[test]
    fn a_registry_of_the_app_is_not_overruled_and_gets_no_login_of_the_machine() {
        let login = Auth::Bearer(Secret::new("t".to_owned()));
        let env = |app| {
            let (npm_registry, npm_login) = (Some("https://npm.example/"), Some(&login));
            let indexes = Indexes { npm_registry, npm_login, app, ..Indexes::default() };
            build_env(&indexes, &BTreeMap::new(), &[])
        };
        let npm = env(AppRegistries { npm: true, ..AppRegistries::default() });
        assert!(!npm.contains_key("npm_config_registry") && npm.contains_key("YARN_NPM_REGISTRY_SERVER"));
        let yarn = env(AppRegistries { yarn: true, ..AppRegistries::default() });
        assert!(yarn.contains_key("npm_config_registry") && yarn.contains_key("COREPACK_NPM_TOKEN"));
        assert!(!yarn.keys().any(|name| name.starts_with("YARN_NPM_")), "{yarn:?}");
        let python = |app| {
            let indexes = Indexes { python_index: Some("https://index.example/"), app, ..Indexes::default() };
            build_env(&indexes, &BTreeMap::new(), &[]).contains_key("UV_DEFAULT_INDEX")
        };
        assert!(python(AppRegistries::default()));
        assert!(!python(AppRegistries { uv: true, ..AppRegistries::default() }));
    }

    #[test]
    fn yarn_and_corepack_are_told_the_login_in_their_own_variables() {
        let env = |login: &Auth| {
            build_env(&Indexes { npm_login: Some(login), ..Indexes::default() }, &BTreeMap::new(), &[])
        };
        let token = env(&Auth::Bearer(Secret::new("t".to_owned())));
        assert_eq!((token["YARN_NPM_AUTH_TOKEN"].as_str(), token["COREPACK_NPM_TOKEN"].as_str()), ("t", "t"));
        let basic = env(&Auth::Basic { user: "me".into(), password: Secret::new("p".to_owned()) });
        assert_eq!(basic["YARN_NPM_AUTH_IDENT"], "me:p");
        assert_eq!(
            (basic["COREPACK_NPM_USERNAME"].as_str(), basic["COREPACK_NPM_PASSWORD"].as_str()),
            ("me", "p")
        );
    }
}
