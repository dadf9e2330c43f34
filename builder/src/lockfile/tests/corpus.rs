//! The fixtures of lockfile-lint, against the verdicts that its validators give.
//!
//! The table holds what version 5.9.2 says of each fixture with the two registries as allowed hosts. For the names of
//! packages, which it judges at the public registries alone, the fixtures had these instead of the reserved names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::*;

/// A fixture, and the packages that the validators of https, of hosts, of integrity and of package names complain of; none
/// where it cannot be read.
type Row = (&'static str, Option<[&'static [&'static str]; 4]>);

const NONE: Option<[&[&str]; 4]> = Some([&[], &[], &[], &[]]);

const VERDICTS: &[Row] = &[
    ("bad-package-lock-v3.json", None),
    ("bad-package-lock.json", None),
    ("bad-yarn.lock", None),
    ("empty.json", None),
    ("nested-package-lock.json", Some([&[], &[], &["escape-html", "ms"], &[]])),
    ("package-lock-empty-hostname.json", Some([&["metalsmith-permalinks"], &["substitute"], &[], &[]])),
    ("package-lock-git-scheme.json", Some([&["ms"], &["ms"], &[], &[]])),
    ("package-lock-sha1.json", Some([&[], &[], &["typescript"], &[]])),
    ("package-lock-v3-empty.json", NONE),
    (
        "package-lock-v3-package-name-aliases.json",
        Some([&[], &[], &[], &["string-width-cjs", "strip-ansi-cjs", "wrap-ansi-cjs"]]),
    ),
    ("package-lock-v3.json", Some([&["@ampproject/remapping"], &[], &[], &[]])),
    ("package-lock.json", NONE),
    ("yarn-and-github-url.lock", Some([&[], &["bolt11"], &[], &[]])),
    ("yarn-incorrect-package-name.lock", Some([&[], &[], &[], &["ms"]])),
    ("yarn-lock-schemes.lock", Some([&["ms"], &["ms"], &[], &[]])),
    ("yarn-only-http.lock", Some([&["debug", "ms"], &[], &[], &[]])),
    ("yarn-only-https.lock", NONE),
    ("yarn-only-yarnpkg-host.lock", NONE),
    ("yarn.lock", NONE),
    ("yarnberry.lock", Some([&["debug", "ms", "ms", "test"], &[], &[], &[]])),
];

/// Where the verdict is another one here, and why.
const DIFFERS: &[(&str, usize, &[&str], &str)] = &[(
    "yarnberry.lock",
    0,
    &[],
    "`npm:` means the registry that is configured, and `workspace:` the app itself",
)];

/// The packages that no hash holds, of which no validator speaks: what is fetched by git is found for its scheme.
const UNHASHED: &[(&str, &[&str])] =
    &[("package-lock-v3.json", &["cliui"]), ("yarn-and-github-url.lock", &["bolt11"])];

fn fixtures() -> Option<BTreeMap<String, PathBuf>> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/testing");
    let testing = std::env::var_os("LAPSTRAKE_TESTING").map_or(beside, PathBuf::from);
    let root = testing.join("corpora/lockfile-lint/packages");
    if !root.is_dir() {
        eprintln!("skipped: there is no {}", root.display());
        return None;
    }
    let files = walkdir::WalkDir::new(root).into_iter().map(Result::unwrap);
    let files = files.filter(|entry| entry.file_type().is_file());
    Some(files.map(|entry| (entry.file_name().to_str().unwrap().to_owned(), entry.into_path())).collect())
}

#[test]
fn net_05_every_fixture_of_lockfile_lint_gets_its_verdicts() {
    let Some(fixtures) = fixtures() else { return };
    let names: Vec<&str> = fixtures.keys().map(String::as_str).collect();
    assert_eq!(names, VERDICTS.iter().map(|(name, _)| *name).collect::<Vec<_>>(), "a fixture has no verdict");
    let (mut verdicts, mut differs) = (0, 0);
    for (name, row) in VERDICTS {
        let text = fs_err::read_to_string(&fixtures[*name]).unwrap();
        let format = if name.contains("yarn") { Format::Yarn } else { Format::Npm };
        let Some(expected) = row else {
            let error = read(format, name, &text).expect_err(name);
            assert_eq!(error.file, *name);
            assert!(!error.reason.is_empty(), "{name}");
            verdicts += 1;
            continue;
        };
        let lock = read(format, name, &text).unwrap_or_else(|error| panic!("{error}"));
        let findings = judge(&lock, &hosts());
        let of = |rules: &[Rule]| {
            let found = findings.iter().filter(|finding| rules.contains(&finding.rule));
            let mut packages: Vec<&str> = found.map(|finding| finding.package.as_str()).collect();
            packages.sort_unstable();
            packages
        };
        let validators = [
            &[Rule::PackageScheme][..],
            &[Rule::PackageHost],
            &[Rule::PackageWeakHash],
            &[Rule::PackageName, Rule::PackageAlias],
        ];
        for (number, rules) in validators.iter().enumerate() {
            let other = DIFFERS.iter().find(|(file, at, ..)| file == name && *at == number);
            let wanted = other.map_or(expected[number], |(_, _, packages, _)| *packages);
            assert_eq!(of(rules), wanted, "{name}: {rules:?}");
            assert!(other.is_none() || wanted != expected[number], "{name}: it does not differ any more");
            differs += usize::from(other.is_some());
            verdicts += 1;
        }
        let unhashed =
            UNHASHED.iter().find(|(file, _)| file == name).map_or(&[][..], |(_, packages)| packages);
        assert_eq!(of(&[Rule::PackageUnhashed]), unhashed, "{name}");
    }
    println!(
        "figure NET-05: {verdicts} verdicts on {} fixtures, {differs} of them other ones for a reason",
        names.len()
    );
}
