//! pip's settings.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Machine, MirrorsError, Proxy, Secret, ca, proxy, read};

/// The settings of pip: those of the environment win over those of files.
#[derive(Debug, Default)]
pub(super) struct PipConf {
    settings: BTreeMap<String, Secret<String>>,
}

impl PipConf {
    /// Reads the files, later ones over earlier ones, then the environment.
    pub(super) fn read(machine: Machine<'_>) -> Result<Self, MirrorsError> {
        let mut conf = Self::default();
        for path in paths(machine.env) {
            if let Some(text) = read(machine, &path)? {
                conf.add_file(&text);
            }
        }
        for (name, value) in machine.env {
            if let Some(key) = name.strip_prefix("PIP_").filter(|_| !value.is_empty()) {
                let key = key.to_ascii_lowercase().replace('_', "-");
                conf.settings.insert(key, Secret::new(value.clone()));
            }
        }
        Ok(conf)
    }

    fn add_file(&mut self, text: &str) {
        // The section of a command wins over the global one.
        for wanted in ["global", "download", "install"] {
            for (section, key, value) in ini(text) {
                if section == wanted {
                    self.settings.insert(key, Secret::new(value));
                }
            }
        }
    }

    pub(super) fn value(&self, key: &str) -> Option<String> {
        self.settings.get(key).map(|value| value.reveal().trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// The words of a value, which may stand on several lines.
    pub(super) fn words(&self, key: &str) -> Vec<String> {
        self.value(key).map(|value| value.split_whitespace().map(str::to_owned).collect()).unwrap_or_default()
    }

    pub(super) fn proxy(&self, env: &Proxy) -> Proxy {
        match self.value("proxy").and_then(|text| proxy::address(&text)) {
            Some(own) => Proxy { http: Some(own.clone()), https: Some(own), no_proxy: env.no_proxy.clone() },
            None => env.clone(),
        }
    }

    pub(super) fn ca_files(&self, machine: Machine<'_>) -> Vec<PathBuf> {
        let own = self.value("cert").map(|path| ca::below(machine, path)).filter(|path| path.exists());
        let mut files: Vec<PathBuf> = own.into_iter().collect();
        for file in ca::named(machine, &["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"]) {
            if !files.contains(&file) {
                files.push(file);
            }
        }
        files
    }
}

/// The index that an installed pip takes.
pub(super) fn default_index(machine: Machine<'_>) -> Option<String> {
    let code = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)";
    let answer = machine.ask.ask("python3", &["-c", code])?;
    answer.lines().map(str::trim).find(|line| line.starts_with("http")).map(str::to_owned)
}

/// The files, the least important first.
fn paths(env: &BTreeMap<String, String>) -> Vec<PathBuf> {
    let mut paths = vec![PathBuf::from("/etc/xdg/pip/pip.conf"), PathBuf::from("/etc/pip.conf")];
    if let Some(home) = env.get("HOME").map(Path::new) {
        paths.push(home.join(".pip/pip.conf"));
        let config = env.get("XDG_CONFIG_HOME").map_or_else(|| home.join(".config"), PathBuf::from);
        paths.push(config.join("pip/pip.conf"));
    }
    paths.extend(env.get("VIRTUAL_ENV").map(|venv| Path::new(venv).join("pip.conf")));
    match env.get("PIP_CONFIG_FILE").map(String::as_str) {
        Some("/dev/null") => return Vec::new(),
        Some(path) => paths.push(PathBuf::from(path)),
        None => {}
    }
    paths
}

/// Section, key and value of each line; an indented line goes on with the value before it.
fn ini(text: &str) -> Vec<(String, String, String)> {
    let mut section = String::new();
    let mut settings: Vec<(String, String, String)> = Vec::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with(['#', ';'])) {
        if let Some(name) = line.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut section);
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, _, value)) = settings.last_mut() {
                value.push('\n');
                value.push_str(line.trim());
            }
        } else if let Some((key, value)) = line.split_once(['=', ':']) {
            settings.push((section.clone(), key.trim().replace('_', "-"), value.trim().to_owned()));
        }
    }
    settings
}

/// The host of the files in the same source.
pub(super) fn files_in_source(source: &str) -> Option<String> {
    let at = source.find("PyPI = PackageIndex(")?;
    let rest = &source[at..];
    let rest = &rest[..rest.find(')')?];
    let value = rest[rest.find("file_storage_domain")?..].split_once('=')?.1.trim_start();
    let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    Some(value[1..].split(quote).next()?.to_owned())
}

/// The address of the index in the source of pip's `models/index.py`.
pub(super) fn index_in_source(source: &str) -> Option<url::Url> {
    let at = source.find("PyPI = PackageIndex(")?;
    let rest = &source[at..];
    let start = rest.find("http")?;
    let end = rest[start..].find(['"', '\''])?;
    let home = url::Url::parse(&rest[start..start + end]).ok()?;
    home.join("/simple/").ok()
}
