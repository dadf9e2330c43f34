//! The local store: an OCI image layout in the data directory, for images that were given no destination.

use std::path::Path;

use crate::context::Context;
use crate::output::{DEFAULT_TAG, Output};
use crate::plan::Plan;

/// Where an image goes that was given no destination: under the name of the app's directory.
#[must_use]
pub fn output(plan: &Plan, context: &Context) -> Output {
    let given = Path::new(&plan.source.given);
    let named = if plan.source.directory.is_empty() {
        given.to_owned()
    } else {
        Path::new(&plan.source.directory).to_owned()
    };
    let named = named.canonicalize().unwrap_or(named);
    let name = named.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Output::Layout { directory: context.data_dir.join("store"), tag: tag(&name) }
}

/// A name as a tag: lower-case letters, digits and hyphens.
fn tag(name: &str) -> String {
    let stem = name.split('.').next().unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c.to_ascii_lowercase() } else { '-' };
    let tag: String = stem.chars().map(plain).collect();
    let tag: String = tag.trim_matches('-').chars().take(128).collect();
    if tag.is_empty() { DEFAULT_TAG.to_owned() } else { tag }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_gives_its_name_to_the_image() {
        assert_eq!(tag("My App"), "my-app");
        assert_eq!(tag("app.tar.gz"), "app");
        assert_eq!(tag("-"), DEFAULT_TAG);
        assert_eq!(tag(""), DEFAULT_TAG);
    }
}
