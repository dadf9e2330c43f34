//! `audit` of a fleet with planted cases: every one is found, and no other; what it costs; and what it refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use lapstrake_fixtures::fleet::{AS_OF, CATALOG, Fleet};
use lapstrake_fixtures::registry::{Act, Auth, Fault, Registry as Double, Settings};
use serde_json::Value;

use crate::harness::{Lapstrake, Outcome, Registry, workspace};

/// A registry server with a fleet, and a data directory for the audits of it.
struct Bench {
    registry: Registry,
    fleet: Fleet,
    scratch: tempfile::TempDir,
}

impl Bench {
    fn new(images: usize) -> Self {
        let bench =
            Self { registry: Registry::start(), fleet: Fleet::new(images), scratch: workspace::scratch() };
        bench.fleet.store_below(&bench.registry.storage()).unwrap();
        bench
    }

    fn audit(&self, words: &[&str], more: &[&str]) -> Outcome {
        audit(&self.registry.host(), self.scratch.path(), words, more)
    }

    fn whole(&self, more: &[&str]) -> Outcome {
        self.audit(&["registry", &self.registry.host()], more)
    }

    fn path(&self, name: &str) -> String {
        self.scratch.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) -> String {
        fs_err::write(self.scratch.path().join(name), text).unwrap();
        self.path(name)
    }
}

fn audit(host: &str, data: &Path, words: &[&str], more: &[&str]) -> Outcome {
    let catalog = format!("{host}/{CATALOG}:latest");
    let fixed = ["--catalog", &catalog, "--as-of", AS_OF];
    let command = [&["audit"], words, &fixed, more].concat();
    Lapstrake::new().with_data(data.join("data")).run(command)
}

fn json(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {}", outcome.stdout))
}

/// The rules that fired, by image.
fn found(report: &Value, host: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in report["rows"].as_array().unwrap() {
        let repository = row["repository"].as_str().unwrap().strip_prefix(&format!("{host}/")).unwrap();
        let name = format!("{repository}:{}", row["tags"][0].as_str().unwrap());
        let rules = row["findings"].as_array().unwrap().iter();
        found
            .entry(name)
            .or_default()
            .extend(rules.map(|finding| finding["rule"].as_str().unwrap().to_owned()));
    }
    found
}

/// Asserts that every planted finding is there, and no other.
fn assert_all_found(fleet: &Fleet, report: &Value, host: &str) {
    let found = found(report, host);
    let readable = fleet.images.iter().filter(|image| image.is_readable);
    for image in readable.clone() {
        let name = format!("{}:{}", image.repository, image.tag);
        let expected: BTreeSet<String> = image.rules.iter().map(|rule| (*rule).to_owned()).collect();
        assert_eq!(found[&name], expected, "{name}, {}", image.case);
    }
    assert_eq!(found.len(), readable.count());
    let unread: BTreeSet<&str> = report["unread"]
        .as_array()
        .unwrap()
        .iter()
        .map(|unread| unread["reference"].as_str().unwrap())
        .collect();
    let broken = fleet.images.iter().filter(|image| !image.is_readable);
    let broken: Vec<String> =
        broken.map(|image| format!("{host}/{}:{}", image.repository, image.tag)).collect();
    assert_eq!(unread, broken.iter().map(String::as_str).collect::<BTreeSet<_>>());
}

/// Requests for manifests and blobs of apps, and those that list names.
fn requests(registry: &Registry, since: usize) -> (usize, usize) {
    let all = registry.requests().split_off(since);
    let lists = |request: &&String| request.contains("/tags/list") || request.contains("/_catalog");
    let listed = all.iter().filter(lists).count();
    let of_catalog = all.iter().filter(|request| request.contains(CATALOG)).count();
    (all.len() - listed - of_catalog, listed)
}

#[test]
fn every_planted_case_of_a_fleet_is_found_and_no_other_at_the_price_that_is_promised() {
    let images = if std::env::var_os("LAPSTRAKE_TEST_FLEET").is_some() { 1000 } else { 100 };
    let bench = Bench::new(images);
    let before = bench.registry.requests().len();
    let started = std::time::Instant::now();
    let cold = bench.whole(&["--format", "json"]).expect(1);
    let took = started.elapsed();
    let report = json(&cold);
    assert_all_found(&bench.fleet, &report, &bench.registry.host());
    let rows = report["rows"].as_array().unwrap().len();
    let (read, listed) = requests(&bench.registry, before);
    // 2.2 requests an image, those that list names among them.
    assert!((read + listed) * 10 <= rows * 22, "{read} and {listed} requests for {rows} images");

    let before = bench.registry.requests().len();
    let warm = bench.whole(&["--format", "json"]).expect(1);
    assert_eq!(json(&warm), report, "the same findings from what is remembered");
    let (again, listed_again) = requests(&bench.registry, before);
    assert!(again <= rows, "{again} requests for {rows} images that were read before");
    println!("{rows} images: {read} + {listed} requests cold in {took:?}, {again} + {listed_again} warm");
}

#[test]
fn the_exit_code_says_whether_a_finding_is_bad_enough_and_whether_all_was_read() {
    let bench = Bench::new(100);
    let host = bench.registry.host();
    let of = |case: &str| {
        let image = bench.fleet.images.iter().find(|image| image.case == case).unwrap();
        format!("{host}/{}:{}", image.repository, image.tag)
    };
    let code =
        |case: &str, more: &[&str], code: i32| bench.audit(&["image", &of(case)], more).expect(code).stdout;
    code("current Python", &[], 0);
    code("an older build", &[], 0);
    let table = code("an older build", &["--fail-on", "warning"], 1);
    assert!(table.contains("RT001 warning: a newer build exists: python3-3.13.5-2"), "{table}");
    assert!(
        table
            .contains(&format!("-> rebase: lapstrake rebase {} --to python3-3.13.5-2", of("an older build")))
    );
    code("a revoked entry", &[], 1);
    code("an older line", &["--fail-on", "note"], 1);
    code("a config that is none", &[], 4);
    let both = ["image", &of("a config that is none"), &of("a revoked entry")];
    bench.audit(&both, &[]).expect(1);
    let gone = format!("{host}/team-00/app:gone");
    assert!(
        bench.audit(&["image", &gone], &[]).expect(4).stdout.contains(&format!("could not read {gone}: "))
    );
    bench.audit(&["repo", &format!("{host}/nowhere/app")], &[]).expect(4);
}

#[test]
fn a_policy_allows_for_a_time_and_is_refused_when_it_is_wrong() {
    let bench = Bench::new(100);
    let revoked = bench.fleet.images.iter().find(|image| image.case == "a revoked entry").unwrap();
    let image = format!("{}/{}:{}", bench.registry.host(), revoked.repository, revoked.tag);
    let allow =
        |until: &str| format!("[[allow]]\nid = \"RT007\"\nreason = \"moving\"\nuntil = \"{until}\"\n");
    let with = |text: &str, code: i32| {
        let policy = bench.write("policy.toml", text);
        bench.audit(&["image", &image], &["--policy", &policy]).expect(code)
    };
    assert!(with(&allow("2026-12-31"), 0).stdout.contains("[allowed: moving (until 2026-12-31)]"));
    assert!(with(&allow("2026-11-01"), 2).stderr.contains("ended on 2026-11-01: moving"));
    assert!(with("fail_on = \"note\"\nfail_off = 1\n", 2).stderr.contains("unknown field `fail_off`"));
    assert!(with("fail_on = \"note\"\n", 1).stderr.is_empty());
    assert!(with("require_signed = true\n", 1).stdout.contains("RT011 error: no signature"));
}

#[test]
fn names_come_from_the_registry_or_from_a_file_and_tags_by_a_glob() {
    let bench = Bench::new(40);
    let host = bench.registry.host();
    let names = bench.write("repos", "# two of them\nteam-00/app\n\nteam-02/app\n");
    let rows = |words: &[&str], more: &[&str]| {
        let report = json(&bench.audit(words, &[&["--format", "json", "--fail-on", "error"], more].concat()));
        found(&report, &host).len() + report["unread"].as_array().unwrap().len()
    };
    assert_eq!(rows(&["registry", &host, "--repos-from", &names], &[]), 20);
    assert_eq!(rows(&["registry", &host, "--tags", "v[0-3]"], &[]), 16);
    assert_eq!(rows(&["repo", &format!("{host}/team-01/app"), "--tags", "v1"], &[]), 1);
    for bad in [
        &["repo", "team/app"][..],
        &["repo", &format!("{host}/a:1")],
        &["image", "x"],
        &["registry", "no host"],
    ] {
        bench.audit(bad, &[]).expect(2);
    }
    bench.audit(&["image", &format!("{host}/a:1")], &["--as-of", "yesterday"]).expect(2);
}

#[test]
fn every_format_goes_into_a_file() {
    let bench = Bench::new(40);
    for (format, beginning) in [
        ("table", "IMAGE"),
        ("json", "{"),
        ("sarif", "{"),
        ("markdown", "# Runtimes of images"),
        ("junit", "<?xml"),
        ("html", "<!doctype html>"),
    ] {
        let file = bench.path(format);
        let outcome = bench.whole(&["--format", format, "--output", &file]);
        assert!(matches!(outcome.code, Some(1 | 4)), "{outcome:?}");
        assert_eq!(outcome.stdout, "");
        assert!(fs_err::read_to_string(&file).unwrap().starts_with(beginning), "{format}");
    }
}

#[test]
fn an_image_layout_is_audited_with_what_has_no_tag() {
    let bench = Bench::new(40);
    let (image, layout) = (&bench.fleet.images[0], bench.path("layout"));
    let name = format!("docker://{}/{}:{}", bench.registry.host(), image.repository, image.tag);
    crate::harness::tools::run(
        "skopeo",
        ["copy", "--all", "--src-tls-verify=false", &name, &format!("oci:{layout}:app")],
    );
    let report = json(&bench.audit(&["layout", &layout], &["--format", "json", "--fail-on", "error"]));
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows[0]["entry"], image.entry.unwrap(), "{report:#}");
    assert_eq!(
        (&rows[0]["repository"], &rows[0]["tags"][0]),
        (&format!("oci:{layout}").into(), &"app".into())
    );
    bench.audit(&["layout", "/nonexistent"], &[]).expect(2);
}

#[test]
fn a_registry_that_refuses_is_never_a_clean_audit() {
    let double = Double::with(Settings { page: 3, ..Settings::default() });
    let fleet = Fleet::new(60);
    fleet.store_in(&double);
    let scratch = workspace::scratch();
    let whole = |more: &[&str]| {
        audit(
            double.host(),
            scratch.path(),
            &["registry", double.host()],
            &[&["--format", "json"], more].concat(),
        )
    };
    assert_all_found(&fleet, &json(&whole(&[])), double.host());
    double.fault(
        Fault::on(
            "GET",
            "team-01/app/tags/list",
            Act::Answer { status: 403, headers: Vec::new(), body: Vec::new() },
        )
        .always(),
    );
    let policy = scratch.path().join("policy.toml");
    fs_err::write(&policy, "").unwrap();
    let outcome =
        audit(double.host(), scratch.path(), &["repo", &format!("{}/team-01/app", double.host())], &[])
            .expect(4);
    assert!(outcome.stdout.contains("team-01/app"), "{outcome:?}");
    double.change(|settings| settings.auth = Auth::Basic);
    audit(double.host(), scratch.path(), &["repo", &format!("{}/team-00/app", double.host())], &[]).expect(3);
}
