//! Documents of package indexes: the npm registry's and the Python simple API's, as values.

use std::collections::BTreeMap;

use serde::Deserialize;
use url::Url;

/// A version of an npm package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NpmVersion {
    /// The version.
    pub version: String,
    /// The address of its tarball.
    pub tarball: Url,
    /// Its digest, `sha512-…`.
    pub integrity: String,
    /// Whether its makers advise against it.
    pub deprecated: bool,
}

/// A wheel of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WheelFile {
    /// The file's name.
    pub filename: String,
    /// Its address.
    pub url: Url,
    /// Its SHA-256, where the index says it.
    pub sha256: Option<String>,
    /// Whether its makers have withdrawn it.
    pub yanked: bool,
}

impl WheelFile {
    /// The version in the file's name.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.filename.strip_suffix(".whl")?.split('-').nth(1)
    }
}

/// A project's name as addresses write it (PEP 503).
pub(super) fn normalized(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if matches!(c, '-' | '_' | '.') {
            if !text.ends_with('-') {
                text.push('-');
            }
        } else {
            text.push(c.to_ascii_lowercase());
        }
    }
    text
}

/// The versions in the document of an npm package.
pub(super) fn npm(body: &[u8]) -> Result<Vec<NpmVersion>, String> {
    #[derive(Deserialize)]
    struct Package {
        versions: BTreeMap<String, Version>,
    }
    #[derive(Deserialize)]
    struct Version {
        dist: Dist,
        deprecated: Option<serde_json::Value>,
    }
    #[derive(Deserialize)]
    struct Dist {
        tarball: String,
        integrity: Option<String>,
    }
    let package: Package = serde_json::from_slice(body).map_err(|cause| cause.to_string())?;
    let read = |(version, found): (String, Version)| {
        let tarball =
            Url::parse(&found.dist.tarball).map_err(|cause| format!("version `{version}`: {cause}"))?;
        let integrity = found.dist.integrity.unwrap_or_default();
        let deprecated = found.deprecated.is_some_and(|why| why != serde_json::Value::Bool(false));
        Ok(NpmVersion { version, tarball, integrity, deprecated })
    };
    package.versions.into_iter().map(read).collect()
}

/// The wheels in a page of the simple API, JSON (PEP 691) or HTML (PEP 503).
pub(super) fn wheels(body: &[u8], base: &Url) -> Result<Vec<WheelFile>, String> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    let mut files =
        if first == Some(&b'{') { json(body, base)? } else { html(&String::from_utf8_lossy(body), base) };
    files.retain(|file| file.version().is_some());
    Ok(files)
}

fn json(body: &[u8], base: &Url) -> Result<Vec<WheelFile>, String> {
    #[derive(Deserialize)]
    struct Page {
        files: Vec<File>,
    }
    #[derive(Deserialize)]
    struct File {
        filename: String,
        url: String,
        #[serde(default)]
        hashes: BTreeMap<String, String>,
        yanked: Option<serde_json::Value>,
    }
    let page: Page = serde_json::from_slice(body).map_err(|cause| cause.to_string())?;
    page.files
        .into_iter()
        .map(|mut file| {
            let url = base.join(&file.url).map_err(|cause| format!("`{}`: {cause}", file.filename))?;
            let yanked = file.yanked.is_some_and(|why| why != serde_json::Value::Bool(false));
            Ok(WheelFile { filename: file.filename, url, sha256: file.hashes.remove("sha256"), yanked })
        })
        .collect()
}

fn html(text: &str, base: &Url) -> Vec<WheelFile> {
    let mut files = Vec::new();
    for part in text.split("<a ").skip(1) {
        let Some((attributes, rest)) = part.split_once('>') else { continue };
        let filename = rest.split('<').next().unwrap_or_default().trim().to_owned();
        let Some(target) = attribute(attributes, "href") else { continue };
        let Ok(mut url) = base.join(&target) else { continue };
        let sha256 = url.fragment().and_then(|text| text.strip_prefix("sha256=")).map(str::to_owned);
        url.set_fragment(None);
        files.push(WheelFile { filename, url, sha256, yanked: attributes.contains("data-yanked") });
    }
    files
}

fn attribute(attributes: &str, name: &str) -> Option<String> {
    let rest = &attributes[attributes.find(&format!("{name}="))? + name.len() + 1..];
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let value = rest[1..].split(quote).next()?;
    Some(value.replace("&amp;", "&").replace("&#43;", "+"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_page_say_the_same() {
        let base = Url::parse("https://index.example/simple/pip/").unwrap();
        let json = br#"{"files":[
            {"filename":"pip-26.3-py3-none-any.whl","url":"../../p/pip-26.3-py3-none-any.whl","hashes":{"sha256":"aa"},"yanked":false},
            {"filename":"pip-26.3.tar.gz","url":"x","hashes":{}}]}"#;
        let html = br#"<!DOCTYPE html><a href="../../p/pip-26.3-py3-none-any.whl#sha256=aa" data-requires-python="&gt;=3.9">pip-26.3-py3-none-any.whl</a>
            <a href="x">pip-26.3.tar.gz</a>"#;
        let files = wheels(json, &base).unwrap();
        assert_eq!(files, wheels(html, &base).unwrap());
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].version(), Some("26.3"));
        assert_eq!(files[0].url.as_str(), "https://index.example/p/pip-26.3-py3-none-any.whl");
        assert_eq!(files[0].sha256.as_deref(), Some("aa"));
    }

    #[test]
    fn names_are_normalized_as_the_index_does_it() {
        assert_eq!(normalized("Foo._Bar"), "foo-bar");
    }
}
