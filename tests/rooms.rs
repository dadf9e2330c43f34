//! Rules of the repository that no compiler checks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::workspace;

/// What git knows, as paths and contents; files that are not text are left out.
fn committed() -> BTreeMap<String, String> {
    let output =
        Command::new("git").args(["ls-files", "-z"]).current_dir(workspace::root()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let names = String::from_utf8(output.stdout).unwrap();
    names
        .split_terminator('\0')
        .filter_map(|name| {
            Some((name.to_owned(), fs_err::read_to_string(workspace::root().join(name)).ok()?))
        })
        .collect()
}

fn is_rust(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "rs")
}

#[test]
fn the_crates_use_one_another_only_along_the_arrows() {
    let expected = BTreeMap::from([
        ("lapstrake", vec!["lapstrake-catalog", "lapstrake-oci", "lapstrake-runtimes", "lapstrake-sandbox"]),
        ("lapstrake-catalog", vec![]),
        ("lapstrake-fixtures", vec![]),
        ("lapstrake-oci", vec![]),
        ("lapstrake-runtimes", vec!["lapstrake-catalog", "lapstrake-oci"]),
        ("lapstrake-sandbox", vec![]),
    ]);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(workspace::root())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found: BTreeMap<&str, Vec<&str>> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| (package["name"].as_str().unwrap(), uses(package)))
        .collect();
    assert_eq!(found, expected);
}

/// The crates of ours that a package needs in order to work, tests aside.
fn uses(package: &Value) -> Vec<&str> {
    let dependencies = package["dependencies"].as_array().unwrap().iter();
    let ours = dependencies
        .filter(|dependency| dependency["kind"].is_null())
        .map(|dependency| dependency["name"].as_str().unwrap())
        .filter(|name| name.starts_with("lapstrake"));
    ours.collect::<BTreeSet<_>>().into_iter().collect()
}

#[test]
fn unsafe_code_is_in_the_sandbox_alone_and_forbidden_elsewhere() {
    for (name, text) in committed() {
        let sandbox = name.starts_with("builder/sandbox/");
        if is_rust(&name) && !sandbox && name != "tests/rooms.rs" {
            assert!(!text.contains("unsafe {") && !text.contains("unsafe fn"), "{name}");
        }
        let root = name.ends_with("src/lib.rs") || name.ends_with("src/main.rs");
        assert!(!root || sandbox || text.contains("#![forbid(unsafe_code)]"), "{name}");
    }
}

#[test]
fn nothing_unfinished_is_committed() {
    // Written in pieces, or this file would find itself.
    let words = [concat!("todo", "!("), concat!("dbg", "!("), concat!("unimplemented", "!(")];
    for (name, text) in committed().iter().filter(|(name, _)| is_rust(name)) {
        for word in words {
            assert!(!text.contains(word), "{name} contains `{word}`");
        }
    }
}

#[test]
fn no_committed_file_names_a_package_host() {
    let hosts = hosts();
    for (name, text) in committed() {
        for host in &hosts {
            assert!(!text.contains(host.as_str()), "{name} names the package host `{host}`");
        }
    }
}

/// The hosts of the public package services, and those that this machine is set up for.
fn hosts() -> BTreeSet<String> {
    let public = [
        ["deb.debi", "an.org"],
        ["snapshot.debi", "an.org"],
        ["security.debi", "an.org"],
        ["pypi", ".org"],
        ["files.pythonhosted", ".org"],
        ["registry.npm", "js.org"],
        ["static.crates", ".io"],
        ["index.crates", ".io"],
    ];
    let mut hosts: BTreeSet<String> = public.iter().map(|pieces| pieces.concat()).collect();
    for (program, arguments) in [
        ("npm", &["config", "get", "registry"][..]),
        ("pip", &["config", "list"]),
        ("apt-get", &["indextargets", "--format", "$(SITE)"]),
    ] {
        let Ok(output) = Command::new(program).args(arguments).output() else { continue };
        hosts.extend(String::from_utf8_lossy(&output.stdout).split_whitespace().filter_map(host_of));
    }
    hosts
}

/// The host of a URL; loopback addresses are no package host.
fn host_of(word: &str) -> Option<String> {
    let (_, rest) = word.split_once("://")?;
    let authority = rest.split(['/', '\'', '"']).next()?;
    let host = authority.rsplit('@').next()?.split(':').next()?;
    let local = host.is_empty() || host.starts_with("127.") || host == "localhost";
    (!local).then(|| host.to_owned())
}
