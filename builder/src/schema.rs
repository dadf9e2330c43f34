//! The JSON Schema of the app file, for editors that check and complete it while it is typed.
//!
//! It is of draft 7, which editors' YAML servers take. It refuses what is an error, as far as a schema can tell: not a
//! version that the catalog lacks, nor two values that contradict each other. An editor's reader turns plain scalars
//! into numbers and switches, so those are taken wherever the app file takes text.

mod about;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};

use crate::app_file::FILE_NAME;
use crate::app_file::keys::{self, Path};

/// Settings of the managed service that are no part of an image. They are ignored, and no slips.
const OPERATIONAL: &str = "^([hH]ealth([-_]?[cC]heck)?|([aA]uto[-_]?)?[sS]caling|[sS]ervice|[iI]nstance|[cC]pu|CPU\
                           |[mM]emory|[iI]am|IAM|[oO]bservability|[vV]pc|VPC)([-_]?[cC]onfiguration)?$";

/// The schema.
#[must_use]
pub fn schema() -> Value {
    let mut schema = map(&keys::TOP);
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!(FILE_NAME);
    schema["description"] =
        json!("How an app is built and started: its runtime, its build commands and its start command.");
    schema
}

/// A map with the keys that the reader of the file knows there.
fn map(path: &Path) -> Value {
    let properties: Map<String, Value> =
        path.keys.iter().map(|key| ((*key).to_owned(), about::key(path, key))).collect();
    let mut map = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    let required = about::required(path);
    if !required.is_empty() {
        map["required"] = json!(required);
    }
    if !path.keys.contains(&"name") {
        let text = "Ignored: an operational setting of the managed service, not part of an image.";
        map["patternProperties"] = json!({ OPERATIONAL: { "description": text } });
    }
    map
}
