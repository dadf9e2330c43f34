//! apt's sources: which sites have Debian's packages.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Machine, MirrorsError, files};

/// Names of Debian's suites, so that the archives of others (who use the same forms) are not taken for Debian's.
const SUITES: [&str; 13] = [
    "buster",
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "sid",
    "stable",
    "oldstable",
    "oldoldstable",
    "testing",
    "unstable",
    "experimental",
];

/// The sources: a site and a suite each.
#[derive(Debug, Default)]
pub(super) struct Sources(Vec<(String, String)>);

impl Sources {
    /// The sites that have Debian's suites of the one or the other kind, in order, each once.
    pub(super) fn sites(&self, security: bool) -> Vec<String> {
        let mut sites = Vec::new();
        for (site, suite) in &self.0 {
            if is_debian(suite) && is_security(suite) == security && !sites.contains(site) {
                sites.push(site.clone());
            }
        }
        sites
    }
}

fn is_security(suite: &str) -> bool {
    suite.ends_with("-security") || suite.ends_with("/updates")
}

fn is_debian(suite: &str) -> bool {
    let name = suite.split(['-', '/']).next().unwrap_or_default();
    SUITES.contains(&name)
}

/// Reads both forms of files.
pub(super) fn read(machine: Machine<'_>) -> Result<Sources, MirrorsError> {
    let mut sources = Vec::new();
    let parts = files(machine, "/etc/apt/sources.list.d", &[".list", ".sources"])?;
    for path in std::iter::once(PathBuf::from("/etc/apt/sources.list")).chain(parts) {
        let Some(text) = super::read(machine, &path)? else { continue };
        if path.extension().is_some_and(|ending| ending == "sources") {
            sources.extend(paragraphs(&text));
        } else {
            sources.extend(text.lines().filter_map(line));
        }
    }
    sources.retain(|(site, _)| site.starts_with("http://") || site.starts_with("https://"));
    Ok(Sources(sources))
}

/// `deb [options] site suite component…`
fn line(text: &str) -> Option<(String, String)> {
    let text = text.split('#').next()?.trim();
    let rest = text.strip_prefix("deb")?;
    let rest = rest.strip_prefix(char::is_whitespace)?.trim_start();
    let rest = if rest.starts_with('[') { rest.split_once(']')?.1 } else { rest };
    let mut words = rest.split_whitespace();
    Some((words.next()?.to_owned(), words.next()?.to_owned()))
}

/// The form with one field on each line.
fn paragraphs(text: &str) -> Vec<(String, String)> {
    let mut sources = Vec::new();
    for paragraph in text.split("\n\n") {
        let mut fields: BTreeMap<String, String> = BTreeMap::new();
        let mut last = String::new();
        for line in paragraph.lines().filter(|line| !line.starts_with('#')) {
            if line.starts_with([' ', '\t']) {
                let value = fields.entry(last.clone()).or_default();
                value.push(' ');
                value.push_str(line.trim());
            } else if let Some((name, value)) = line.split_once(':') {
                last = name.trim().to_ascii_lowercase();
                fields.insert(last.clone(), value.trim().to_owned());
            }
        }
        let field = |name: &str| fields.get(name).map_or("", String::as_str);
        let off = field("enabled").eq_ignore_ascii_case("no");
        if off || !field("types").split_whitespace().any(|kind| kind == "deb") {
            continue;
        }
        for site in field("uris").split_whitespace() {
            let suites = field("suites").split_whitespace();
            sources.extend(suites.map(|suite| (site.to_owned(), suite.to_owned())));
        }
    }
    sources
}
