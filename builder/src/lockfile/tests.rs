mod corpus;
mod formats;
mod hostile;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lapstrake_sandbox::HostPort;

use super::*;

/// The hosts of the registries in all of these tests.
fn hosts() -> Hosts {
    Hosts::new(["npm-registry.example", "yarn-registry.example"].map(|host| HostPort::new(host, 443)))
}

/// An integrity of so many bytes.
fn integrity(algorithm: &str, length: usize) -> String {
    format!("{algorithm}-{}", STANDARD.encode(vec![7; length]))
}

/// The findings of a file as `PACKAGE RULE`, the first part of a rule left out.
fn found(format: Format, file: &str, text: &str) -> Vec<String> {
    let lock = read(format, file, text).unwrap_or_else(|error| panic!("{error}"));
    let short = |finding: Finding| {
        let rule = finding.rule.id().strip_prefix("packages/").unwrap();
        format!("{} {rule}", finding.package)
    };
    judge(&lock, &hosts()).into_iter().map(short).collect()
}
