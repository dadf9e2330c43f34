//! apt's settings: proxies and certificate authorities.

use std::path::{Path, PathBuf};

use super::{Machine, MirrorsError, Proxy, files, proxy, read};

/// Settings in the order in which they were read: name in lower case, with `::` between its parts, and value.
#[derive(Debug, Default)]
pub(super) struct AptConf(Vec<(String, String)>);

impl AptConf {
    /// Reads `/etc/apt/apt.conf.d` and `/etc/apt/apt.conf`, in apt's order.
    pub(super) fn read(machine: Machine<'_>) -> Result<Self, MirrorsError> {
        let mut conf = Self::default();
        let mut paths = files(machine, "/etc/apt/apt.conf.d", &[""])?;
        paths.retain(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
                && (!name.contains('.') || path.extension().is_some_and(|end| end == "conf"))
        });
        for path in paths.iter().map(PathBuf::as_path).chain([Path::new("/etc/apt/apt.conf")]) {
            if let Some(text) = read(machine, path)? {
                conf.0.extend(parse(&text));
            }
        }
        Ok(conf)
    }

    fn value(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// The proxy on the way to a host; apt's own settings come before the environment.
    pub(super) fn proxy(&self, env: &Proxy, host: &str) -> Proxy {
        let of = |scheme: &str| {
            let for_host = format!("acquire::{scheme}::proxy::{}", host.to_ascii_lowercase());
            self.value(&for_host).or_else(|| self.value(&format!("acquire::{scheme}::proxy")))
        };
        let choose = |setting: Option<&str>, env: &Option<_>| match setting {
            Some("DIRECT") => None,
            Some(text) => proxy::address(text),
            None => env.clone(),
        };
        let http = choose(of("http"), &env.http);
        let https = choose(of("https").or_else(|| of("http")), &env.https);
        Proxy { http, https, no_proxy: env.no_proxy.clone() }
    }

    /// The bundle that apt trusts for `https`.
    pub(super) fn ca_files(&self, root: &Path) -> Vec<PathBuf> {
        let path = self.value("acquire::https::cainfo");
        path.map(|path| root.join(path.trim_start_matches('/'))).into_iter().collect()
    }
}

/// Settings of one file: `A::B "value";`, `A { B "value"; };`, with `//`, `#` and `/* */` comments.
fn parse(text: &str) -> Vec<(String, String)> {
    let mut settings = Vec::new();
    let mut scopes: Vec<String> = Vec::new();
    let mut words: Vec<String> = Vec::new();
    for token in tokens(text) {
        match token.as_str() {
            "{" => scopes.push(words.drain(..).next().unwrap_or_default()),
            "}" => {
                scopes.pop();
            }
            ";" => {
                if let [name, value, ..] = words.as_slice() {
                    let parts = scopes
                        .iter()
                        .map(String::as_str)
                        .chain([name.as_str()])
                        .filter(|part| !part.is_empty());
                    settings
                        .push((parts.collect::<Vec<_>>().join("::").to_ascii_lowercase(), unquote(value)));
                }
                words.clear();
            }
            _ => words.push(token),
        }
    }
    settings
}

fn unquote(word: &str) -> String {
    word.trim_matches('"').to_owned()
}

fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let len = if first.is_whitespace() {
            rest = &rest[first.len_utf8()..];
            continue;
        } else if rest.starts_with("//") || first == '#' {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
            continue;
        } else if rest.starts_with("/*") {
            rest = rest.find("*/").map_or("", |end| &rest[end + 2..]);
            continue;
        } else if first == '"' {
            rest[1..].find('"').map_or(rest.len(), |end| end + 2)
        } else if matches!(first, '{' | '}' | ';') {
            1
        } else {
            rest.find(|c: char| c.is_whitespace() || matches!(c, '{' | '}' | ';' | '"')).unwrap_or(rest.len())
        };
        tokens.push(rest[..len].to_owned());
        rest = &rest[len..];
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_and_nested_settings_are_read() {
        let text = r#"
            // Acquire::http::Proxy "http://old:1";
            Acquire::http::Proxy "http://proxy.example:3128/"; # why
            Acquire { https { CaInfo "/etc/ca.pem"; Proxy::direct.example "DIRECT"; }; };
        "#;
        let conf = AptConf(parse(text));
        assert_eq!(conf.ca_files(Path::new("/")), [PathBuf::from("/etc/ca.pem")]);
        let proxied = conf.proxy(&Proxy::default(), "mirror.example");
        assert_eq!(proxied.http.unwrap().reveal().as_str(), "http://proxy.example:3128/");
        assert!(conf.proxy(&Proxy::default(), "direct.example").https.is_none());
    }
}
