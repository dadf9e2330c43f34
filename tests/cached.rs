//! Every sample app with a cold cache, a warm one, and none.

use std::path::{Path, PathBuf};

use lapstrake_fixtures::archive::copy_tree;
use lapstrake_fixtures::{apps, detected};
use serde_json::Value;

use crate::harness::{Lapstrake, workspace};

/// The apps that stand for all others where there is little time.
const FEW: [&str; 4] = ["phases", "flask", "node-npm", "sdist-compile"];

/// A copy of an app's source, and the directory of the app in it.
struct Source {
    name: &'static str,
    path: PathBuf,
    directory: Option<&'static str>,
}

/// Copies the sample apps to where nothing but these tests changes them.
fn sources(scratch: &Path) -> Vec<Source> {
    let all = std::env::var_os("LAPSTRAKE_SECURITY_LONG").is_some();
    let is_chosen = |name: &str| all || FEW.contains(&name);
    let mut sources = Vec::new();
    for app in apps::ALL.iter().filter(|app| is_chosen(app.name)) {
        let path = scratch.join(app.name);
        copy_tree(&app.directory(), &path).unwrap();
        sources.push(Source { name: app.name, path, directory: app.source_dir });
    }
    for app in detected::ALL.iter().filter(|app| is_chosen(app.name)) {
        let path = scratch.join(app.name);
        app.lay_out(&path).unwrap();
        sources.push(Source { name: app.name, path, directory: app.source_dir });
    }
    sources
}

#[test]
fn cac_01_an_app_has_one_digest_with_a_cold_cache_a_warm_one_and_none() {
    let scratch = workspace::scratch();
    let lapstrake = Lapstrake::new().apart(scratch.path());
    let sources = sources(scratch.path());
    let report = scratch.path().join("report.json");
    let (mut all, mut reused) = (0, 0);
    for source in &sources {
        let mut digests = Vec::new();
        for (state, no_cache) in [("cold", "false"), ("warm", "false"), ("none", "true")] {
            let layout = format!("oci:{}", scratch.path().join(format!("{}-{state}", source.name)).display());
            let mut words = vec!["build", source.path.to_str().unwrap(), "--output", &layout];
            words.extend(["--metadata-file", report.to_str().unwrap()]);
            words.extend(source.directory.iter().flat_map(|directory| ["--source-dir", directory]));
            let outcome = lapstrake.clone().with("LAPSTRAKE_NO_CACHE", no_cache).run(words).expect(0);
            digests.push(outcome.digest());
            let report: Value = serde_json::from_slice(&fs_err::read(&report).unwrap()).unwrap();
            let ran = |command: &Value| command["runs"] == true;
            let commands = report["commands"].as_array().cloned().unwrap_or_default();
            match state {
                "warm" => {
                    all += commands.len();
                    reused += commands.iter().filter(|command| !ran(command)).count();
                }
                _ => assert!(commands.iter().all(ran), "{}: {state}: {commands:?}", source.name),
            }
        }
        digests.dedup();
        assert_eq!(digests.len(), 1, "{}", source.name);
    }
    assert!(reused * 2 > all, "a warm cache knows {reused} of {all} commands");
    println!(
        "figure CAC-01: {} apps, one digest each with a cold, a warm and no cache; {reused} of {all} commands did not run again",
        sources.len()
    );
}
