//! The documents of an image on other runtime layers.

use std::collections::BTreeMap;

use lapstrake_oci::document::Document;
use oci_spec::image::{Digest, MediaType};
use serde_json::{Map, Value, json};

use crate::assemble::{PREFIX, RUNTIME_ID};
use crate::failure::{Exit, Failure};
use crate::runtime::RuntimeImage;

const BASE: &str = "org.opencontainers.image.base.";

/// What an image is put on.
pub struct Base<'a> {
    /// The layers of the entry that it is on.
    pub layers: usize,
    /// The environment that the entry that it is on gives to apps.
    pub env: &'a BTreeMap<String, String>,
    /// The runtime image that it is put on.
    pub to: &'a RuntimeImage,
    /// The canonical name of the catalog.
    pub catalog: &'a str,
    /// The revision that first held the entry.
    pub revision: u64,
    /// The digest of that revision's image index; none for the local catalog.
    pub revision_digest: Option<Digest>,
    /// What was permitted to put the image there.
    pub overrides: &'a [String],
    /// Whether later revisions of the catalog were asked for what they have revoked.
    pub is_checked: bool,
}

/// The manifest and the config of an image on another base.
pub fn rebased(
    manifest: &Document,
    config: &Document,
    base: &Base<'_>,
) -> Result<(Document, Document), Failure> {
    let mut config: Value = config.parse().map_err(malformed)?;
    base.in_config(&mut config).ok_or_else(|| {
        Failure::new(Exit::Refused, "the config of the image does not have what a config must have")
    })?;
    let config = Document::new(MediaType::ImageConfig, &config);
    let mut manifest: Value = manifest.parse().map_err(malformed)?;
    base.in_manifest(&mut manifest, &config).ok_or_else(|| {
        Failure::new(Exit::Refused, "the manifest of the image does not have what a manifest must have")
    })?;
    Ok((Document::new(MediaType::ImageManifest, &manifest), config))
}

fn malformed(cause: lapstrake_oci::document::DocumentError) -> Failure {
    Failure::because(Exit::Refused, "the image is not understood", cause)
}

impl Base<'_> {
    fn in_config(&self, config: &mut Value) -> Option<()> {
        let diff_ids = config.get_mut("rootfs")?.get_mut("diff_ids")?.as_array_mut()?;
        let new = self.to.layers.iter().map(|layer| json!(layer.diff_id));
        diff_ids.splice(..self.layers.min(diff_ids.len()), new);
        let created = config.get("created").cloned();
        if let Some(history) = config.get_mut("history") {
            self.in_history(history.as_array_mut()?, created.as_ref());
        }
        let execution = config.get_mut("config")?.as_object_mut()?;
        if let Some(env) = execution.get_mut("Env").and_then(Value::as_array_mut) {
            self.in_env(env);
        }
        if let Some(labels) = execution.get_mut("Labels").and_then(Value::as_object_mut) {
            self.in_names(labels);
        }
        Some(())
    }

    /// The items of the lowest layers; those that made no layer stay where they are.
    fn in_history(&self, history: &mut [Value], created: Option<&Value>) {
        let is_layer = |item: &&mut Value| item.get("empty_layer").and_then(Value::as_bool) != Some(true);
        for (item, layer) in history.iter_mut().filter(is_layer).zip(&self.to.layers) {
            let mut new =
                json!({"created_by": format!("lapstrake: {} layer of {}", layer.role, self.to.entry)});
            if let Some(created) = created {
                new["created"] = created.clone();
            }
            *item = new;
        }
    }

    /// A value moves only where it still is the one that the entry gave. Variables that only the new entry has are added
    /// where the image does not set them.
    fn in_env(&self, env: &mut Vec<Value>) {
        let is_from_entry = |pair: &Value| {
            let (name, value) = pair.as_str()?.split_once('=')?;
            (self.env.get(name).map(String::as_str) == Some(value)).then(|| name.to_owned())
        };
        for pair in env.iter_mut() {
            if let Some((name, value)) = is_from_entry(pair).and_then(|name| self.to.env.get_key_value(&name))
            {
                *pair = json!(format!("{name}={value}"));
            }
        }
        env.retain(|pair| is_from_entry(pair).is_none_or(|name| self.to.env.contains_key(&name)));
        let name_of = |pair: &Value| Some(pair.as_str()?.split_once('=')?.0.to_owned());
        for (name, value) in self.to.env.iter().filter(|(name, _)| !self.env.contains_key(*name)) {
            if !env.iter().any(|pair| name_of(pair).as_ref() == Some(name)) {
                // A build writes them sorted.
                let at = env.iter().position(|pair| name_of(pair).as_ref() > Some(name));
                env.insert(at.unwrap_or(env.len()), json!(format!("{name}={value}")));
            }
        }
    }

    fn in_manifest(&self, manifest: &mut Value, config: &Document) -> Option<()> {
        let descriptor = manifest.get_mut("config")?;
        descriptor["digest"] = json!(config.digest());
        descriptor["size"] = json!(config.descriptor().size());
        let layers = manifest.get_mut("layers")?.as_array_mut()?;
        let new = self.to.layers.iter().map(|layer| json!(layer.descriptor));
        layers.splice(..self.layers.min(layers.len()), new);
        if let Some(annotations) = manifest.get_mut("annotations").and_then(Value::as_object_mut) {
            self.in_names(annotations);
        }
        Some(())
    }

    /// Labels or annotations that say what the image is made on, where there are any. What was permitted for the entry
    /// that it was on counts no more.
    fn in_names(&self, names: &mut Map<String, Value>) {
        if !names.contains_key(RUNTIME_ID) {
            return;
        }
        let ours = |name: &str| format!("{PREFIX}{name}");
        let text = |value: &dyn ToString| Some(value.to_string());
        for (name, value) in [
            (RUNTIME_ID.to_owned(), text(&self.to.entry)),
            (ours("catalog.ref"), text(&self.catalog)),
            (ours("catalog.revision"), text(&self.revision)),
            (ours("catalog.digest"), self.revision_digest.as_ref().map(ToString::to_string)),
            (ours("catalog.checked"), (!self.is_checked).then(|| "false".to_owned())),
            (ours("overrides"), (!self.overrides.is_empty()).then(|| self.overrides.join("; "))),
            (ours("layers.runtime"), text(&self.to.layers.len())),
            (format!("{BASE}name"), text(&format!("{}:{}", self.catalog, self.to.entry))),
            (format!("{BASE}digest"), self.to.manifest.as_ref().map(ToString::to_string)),
        ] {
            match value {
                Some(value) => names.insert(name, json!(value)),
                None => names.remove(&name),
            };
        }
    }
}
