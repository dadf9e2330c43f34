//! npm's settings.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use url::Url;

use super::{Auth, Machine, MirrorsError, Proxy, Secret, ca, endpoint, proxy, read};

/// The settings of npm: from the environment, from the user's file, and from those of the machine, in this order.
#[derive(Debug, Default)]
pub(super) struct Npmrc {
    settings: BTreeMap<String, Secret<String>>,
}

impl Npmrc {
    pub(super) fn read(machine: Machine<'_>) -> Result<Self, MirrorsError> {
        let mut npmrc = Self::default();
        for (name, value) in machine.env {
            let lower = name.to_ascii_lowercase();
            if let Some(key) = lower.strip_prefix("npm_config_").filter(|_| !value.is_empty()) {
                npmrc.add(&key.replace('_', "-"), value);
            }
        }
        for path in paths(machine, &npmrc) {
            if let Some(text) = read(machine, &path)? {
                for (key, value) in lines(&text) {
                    npmrc.add(&key, &expand(&value, machine.env));
                }
            }
        }
        Ok(npmrc)
    }

    /// The first value of a key stays.
    fn add(&mut self, key: &str, value: &str) {
        self.settings.entry(key.to_owned()).or_insert_with(|| Secret::new(value.to_owned()));
    }

    pub(super) fn value(&self, key: &str) -> Option<String> {
        self.settings
            .get(key)
            .map(|value| value.reveal().clone())
            .filter(|value| !value.is_empty() && value != "null")
    }

    /// The credentials for an address: keys such as `//host/path/:_authToken`, the longest path first.
    pub(super) fn auth(&self, url: &Url) -> Option<Auth> {
        let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let mut path = url.path().to_owned();
        loop {
            let place = format!("//{host}{path}");
            if let Some(auth) = self.auth_at(&place) {
                return Some(auth);
            }
            let cut = path.trim_end_matches('/').rfind('/')?;
            path.truncate(cut + 1);
        }
    }

    fn auth_at(&self, place: &str) -> Option<Auth> {
        let get = |key: &str| {
            self.value(&format!("{place}:{key}"))
                .or_else(|| self.value(&format!("{}:{key}", place.trim_end_matches('/'))))
        };
        if let Some(token) = get("_authToken") {
            return Some(Auth::Bearer(Secret::new(token)));
        }
        if let Some(pair) = get("_auth") {
            let (user, password) =
                decode(&pair)?.split_once(':').map(|(u, p)| (u.to_owned(), p.to_owned()))?;
            return Some(Auth::Basic { user, password: Secret::new(password) });
        }
        let (user, password) = (get("username")?, get("_password")?);
        Some(Auth::Basic { user, password: Secret::new(decode(&password)?) })
    }

    pub(super) fn proxy(&self, env: &Proxy) -> Proxy {
        let own = |key: &str, env: &Option<Secret<Url>>| match self.value(key) {
            Some(text) => proxy::address(&text),
            None => env.clone(),
        };
        let no_proxy = self.value("noproxy").map_or_else(|| env.no_proxy.clone(), |text| proxy::list(&text));
        Proxy { http: own("proxy", &env.http), https: own("https-proxy", &env.https), no_proxy }
    }

    pub(super) fn ca_files(&self, machine: Machine<'_>) -> Vec<PathBuf> {
        let own = self.value("cafile").map(|path| ca::below(machine, path)).filter(|path| path.exists());
        let mut files: Vec<PathBuf> = own.into_iter().collect();
        for file in ca::named(machine, &["NODE_EXTRA_CA_CERTS"]) {
            if !files.contains(&file) {
                files.push(file);
            }
        }
        files
    }
}

/// The registry that an installed npm takes.
pub(super) fn default_registry(machine: Machine<'_>) -> Option<String> {
    let answer = machine.ask.ask("npm", &["config", "get", "registry"])?;
    answer.lines().map(str::trim).find(|line| line.starts_with("http")).map(str::to_owned)
}

fn paths(machine: Machine<'_>, npmrc: &Npmrc) -> Vec<PathBuf> {
    let home = machine.env.get("HOME").map(|home| Path::new(home).join(".npmrc"));
    let user = npmrc.value("userconfig").map(PathBuf::from).or(home);
    let prefix = npmrc.value("prefix").map(|prefix| Path::new(&prefix).join("etc/npmrc"));
    let global = npmrc.value("globalconfig").map(PathBuf::from);
    let usual = ["/usr/local/etc/npmrc", "/usr/etc/npmrc", "/etc/npmrc"].map(PathBuf::from);
    user.into_iter().chain(global).chain(prefix).chain(usual).collect()
}

fn lines(text: &str) -> impl Iterator<Item = (String, String)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';', '[']));
    lines
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim().to_owned(), value.trim().trim_matches(['"', '\'']).to_owned()))
}

/// Replaces `${NAME}`; a name that is not set stays as it is, as npm does it.
fn expand(value: &str, env: &BTreeMap<String, String>) -> String {
    let mut expanded = String::new();
    let mut rest = value;
    while let Some(start) = rest.find("${") {
        let Some(len) = rest[start..].find('}') else { break };
        let name = rest[start + 2..start + len].trim_end_matches('?');
        expanded.push_str(&rest[..start]);
        expanded.push_str(env.get(name).map_or(&rest[start..=start + len], String::as_str));
        rest = &rest[start + len + 1..];
    }
    expanded + rest
}

fn decode(text: &str) -> Option<String> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(text.trim()).ok()?;
    String::from_utf8(bytes).ok()
}

/// The address of the registry in the source of npm's settings.
pub(super) fn registry_in_source(source: &str) -> Option<Url> {
    // `registry: new Definition('registry', { default: `https://…/`, …`, or `define('registry', { … })` in older ones.
    let at = source.find("'registry'")?;
    let rest = &source[at..];
    let start = rest.find("http")?;
    let end = rest[start..].find(['`', '\'', '"'])?;
    let mut url = Url::parse(&rest[start..start + end]).ok()?;
    endpoint::credentials(&mut url);
    Some(url)
}
