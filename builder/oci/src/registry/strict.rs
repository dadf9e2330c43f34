//! Reads a manifest so that no two readers can see two different things in it.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::document::{DOCKER_MANIFEST, DOCKER_MANIFEST_LIST};

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// The media type of a manifest, from the document and the header, which must agree.
pub(super) fn media_type(bytes: &[u8], content_type: Option<&str>) -> Result<String, String> {
    let Unique(document) =
        serde_json::from_slice(bytes).map_err(|error| format!("broken manifest: {error}"))?;
    let (is_index, is_image) = (document.get("manifests").is_some(), document.get("layers").is_some());
    if is_index && is_image {
        return Err("the manifest has both `manifests` and `layers`".into());
    }
    if document.get("schemaVersion").and_then(Value::as_u64) != Some(2) {
        return Err("the manifest's `schemaVersion` is not 2".into());
    }
    let inner = match document.get("mediaType") {
        None => None,
        Some(Value::String(inner)) => Some(inner.as_str()),
        Some(_) => return Err("the manifest's `mediaType` is not a string".into()),
    };
    let outer = content_type.map(|value| value.split(';').next().unwrap_or_default().trim());
    let outer = outer.filter(|outer| known(outer).is_some());
    let media_type = match (inner, outer) {
        (Some(inner), Some(outer)) if inner != outer => {
            return Err(format!("the manifest is `{}` but came as `{outer}`", inner.escape_debug()));
        }
        (Some(named), _) | (None, Some(named)) => named.to_owned(),
        (None, None) if is_index => OCI_INDEX.to_owned(),
        (None, None) => OCI_MANIFEST.to_owned(),
    };
    match known(&media_type) {
        None => Err(format!("`{}` is not a kind of manifest that we read", media_type.escape_debug())),
        Some(Kind::Index) if !is_index => Err("the index has no `manifests`".into()),
        Some(Kind::Image) if is_index => Err("the image manifest has `manifests`".into()),
        Some(_) => Ok(media_type),
    }
}

enum Kind {
    Index,
    Image,
}

fn known(media_type: &str) -> Option<Kind> {
    match media_type {
        OCI_INDEX | DOCKER_MANIFEST_LIST => Some(Kind::Index),
        OCI_MANIFEST | DOCKER_MANIFEST => Some(Kind::Image),
        _ => None,
    }
}

/// A JSON value in which no object has a key twice.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Self)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Unique(value)) = sequence.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut seen = BTreeSet::new();
        let mut object = serde_json::Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if !seen.insert(key.clone()) {
                return Err(A::Error::custom(format_args!("key `{}` occurs twice", key.escape_debug())));
            }
            let Unique(value) = map.next_value()?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reg_s08_the_media_type_comes_from_the_document_or_the_header() {
        let image = br#"{"schemaVersion":2,"layers":[]}"#;
        assert_eq!(media_type(image, None).unwrap(), OCI_MANIFEST);
        assert_eq!(media_type(image, Some(DOCKER_MANIFEST)).unwrap(), DOCKER_MANIFEST);
        assert_eq!(media_type(image, Some("application/json")).unwrap(), OCI_MANIFEST);
        assert_eq!(media_type(br#"{"schemaVersion":2,"manifests":[]}"#, None).unwrap(), OCI_INDEX);
    }

    #[test]
    fn reg_s08_a_manifest_that_two_readers_may_read_differently_is_refused() {
        for (manifest, content_type, problem) in [
            (r#"{"schemaVersion":2,"layers":[],"manifests":[]}"#, None, "both `manifests` and `layers`"),
            (r#"{"schemaVersion":2,"layers":[],"layers":[]}"#, None, "key `layers` occurs twice"),
            (r#"{"schemaVersion":2,"config":{"size":1,"size":2}}"#, None, "key `size` occurs twice"),
            (r#"{"schemaVersion":1}"#, None, "`schemaVersion` is not 2"),
            (r#"{"schemaVersion":2,"mediaType":7}"#, None, "`mediaType` is not a string"),
            (
                r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}"#,
                Some("application/vnd.oci.image.index.v1+json"),
                "but came as",
            ),
            (r#"{"schemaVersion":2,"mediaType":"text/plain"}"#, None, "not a kind of manifest"),
            (r#"{"schemaVersion":2,"manifests":[]}"#, Some(OCI_MANIFEST), "has `manifests`"),
            (r#"{"schemaVersion":2}"#, Some(OCI_INDEX), "has no `manifests`"),
            ("[]", None, "`schemaVersion` is not 2"),
            ("{", None, "broken manifest"),
        ] {
            let error = media_type(manifest.as_bytes(), content_type).unwrap_err();
            assert!(error.contains(problem), "{manifest}: {error}");
        }
    }
}
