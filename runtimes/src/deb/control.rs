//! The control file of a package (deb-control(5)): one paragraph of fields.

use std::collections::BTreeMap;

/// The fields of a control file, and its bytes.
#[derive(Clone, Debug)]
pub struct Control {
    text: Vec<u8>,
    fields: BTreeMap<String, String>,
}

impl Control {
    pub(super) fn parse(text: Vec<u8>) -> Result<Self, String> {
        let readable = std::str::from_utf8(&text).map_err(|cause| format!("`control`: {cause}"))?;
        let mut fields: BTreeMap<String, String> = BTreeMap::new();
        let mut last = None;
        for line in readable.trim_end().lines() {
            if line.starts_with([' ', '\t']) {
                let name: &String = last.as_ref().ok_or("`control` begins with a continuation line")?;
                if let Some(value) = fields.get_mut(name) {
                    value.push('\n');
                    value.push_str(line.trim());
                }
                continue;
            }
            let (name, value) =
                line.split_once(':').ok_or_else(|| format!("`control` has the line `{line}`"))?;
            // Field names are case-insensitive.
            let name = name.to_ascii_lowercase();
            if fields.insert(name.clone(), value.trim().to_owned()).is_some() {
                return Err(format!("`control` has the field `{name}` twice"));
            }
            last = Some(name);
        }
        for wanted in ["package", "version", "architecture"] {
            if !fields.contains_key(wanted) {
                return Err(format!("`control` has no field `{wanted}`"));
            }
        }
        // The name becomes a file name of the layer.
        let package = &fields["package"];
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
        if package.starts_with('.') || package.is_empty() || !package.chars().all(plain) {
            return Err(format!("`{package}` is no package name"));
        }
        Ok(Self { text, fields })
    }

    /// The value of a field, continuation lines joined by newlines; the name's case does not matter.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(&name.to_ascii_lowercase()).map(String::as_str)
    }

    /// The name of the package.
    #[must_use]
    pub fn package(&self) -> &str {
        &self.fields["package"]
    }

    /// The version of the package.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.fields["version"]
    }

    /// The architecture of the package: `amd64`, `arm64` or `all`.
    #[must_use]
    pub fn architecture(&self) -> &str {
        &self.fields["architecture"]
    }

    /// The file's own bytes.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }
}
