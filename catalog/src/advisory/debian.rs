//! The data of Debian's security tracker: source package, advisory, suite.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{AdvisoryError, Package, Vulnerability, vulnerability};
use crate::debian_version::compare;

/// One advisory about one source package.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Issue {
    releases: BTreeMap<String, Release>,
}

/// How it stands in one suite.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Release {
    status: String,
    fixed_version: Option<String>,
    #[serde(default)]
    urgency: String,
}

pub(super) fn parse(value: Value) -> Result<BTreeMap<String, BTreeMap<String, Issue>>, AdvisoryError> {
    let Value::Object(packages) = value else {
        return Err(AdvisoryError::Unknown { name: "the file".to_owned() });
    };
    let mut all = BTreeMap::new();
    for (package, issues) in packages {
        let issues =
            serde_json::from_value(issues).map_err(|_| AdvisoryError::Unknown { name: package.clone() })?;
        all.insert(package, issues);
    }
    Ok(all)
}

impl Issue {
    /// Whether a package of a suite has it. What is undetermined or has no effect is no finding.
    pub(super) fn hits(&self, id: &str, suite: &str, package: &Package) -> Option<Vulnerability> {
        let release = self.releases.get(suite)?;
        if release.urgency == "unimportant" {
            return None;
        }
        let fixed = release.fixed_version.as_deref();
        match (release.status.as_str(), fixed) {
            ("open", _) => Some(vulnerability(id, package, None)),
            // Version 0 says that the suite never had it.
            ("resolved", Some(fixed)) if compare(&package.version, fixed) == Ordering::Less => {
                Some(vulnerability(id, package, Some(fixed)))
            }
            _ => None,
        }
    }
}
