//! The schemas of the image specification, from the test data beside the repository.

use std::path::{Path, PathBuf};

use jsonschema::{Retrieve, Uri, Validator};
use serde_json::Value;

use super::image::{described, document};
use super::workspace;

/// Finds the schemas that refer to one another by file name.
struct Directory(PathBuf);

impl Retrieve for Directory {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        let name = uri.as_str().rsplit('/').next().unwrap_or_default().trim_end_matches('#');
        Ok(serde_json::from_slice(&fs_err::read(self.0.join(name))?)?)
    }
}

/// Which schema.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Config,
    Index,
    Layout,
    Manifest,
}

/// What the schema of `kind` says against `document`; `None` when the schemas are not there.
pub(crate) fn complaints(kind: Kind, document: &Value) -> Option<Vec<String>> {
    let directory = workspace::corpus("corpora/oci-image-schema")?.join("schema");
    let validator = validator(&directory, kind);
    Some(validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect())
}

fn validator(directory: &Path, kind: Kind) -> Validator {
    let name = match kind {
        Kind::Config => "config-schema.json",
        Kind::Index => "image-index-schema.json",
        Kind::Layout => "image-layout-schema.json",
        Kind::Manifest => "image-manifest-schema.json",
    };
    let schema = serde_json::from_slice(&fs_err::read(directory.join(name)).unwrap()).unwrap();
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft4)
        .with_retriever(Directory(directory.to_owned()))
        .build(&schema)
        .unwrap()
}

fn check(kind: Kind, value: &Value) {
    let found = complaints(kind, value).unwrap_or_default();
    assert!(found.is_empty(), "{kind:?}: {found:#?}\n{value:#}");
}

/// Checks every document of a layout that `tag` leads to.
pub(crate) fn check_layout(layout: &Path, tag: Option<&str>) {
    let read = |name: &str| serde_json::from_slice(&fs_err::read(layout.join(name)).unwrap()).unwrap();
    check(Kind::Layout, &read("oci-layout"));
    check(Kind::Index, &read("index.json"));
    check_descriptor(layout, &described(layout, tag));
}

fn check_descriptor(layout: &Path, descriptor: &Value) {
    let value = document(layout, descriptor["digest"].as_str().unwrap());
    if value["manifests"].is_array() {
        check(Kind::Index, &value);
        value["manifests"].as_array().unwrap().iter().for_each(|entry| check_descriptor(layout, entry));
    } else {
        check(Kind::Manifest, &value);
        check(Kind::Config, &document(layout, value["config"]["digest"].as_str().unwrap()));
    }
}
