//! Sets of packages from small indexes.

use super::*;

fn universe(packages: &[&str]) -> Universe {
    let mut universe = Universe::default();
    let text: Vec<String> = packages.iter().map(|package| paragraph(package)).collect();
    universe.add(parse("trixie", &text.join("\n\n")).unwrap());
    universe
}

/// `name version; Field: value; …` as a paragraph.
fn paragraph(short: &str) -> String {
    let mut parts = short.split(';').map(str::trim);
    let (name, version) = parts.next().unwrap().split_once(' ').unwrap();
    let rest: Vec<&str> = parts.collect();
    format!(
        "Package: {name}\nVersion: {version}\nArchitecture: amd64\nFilename: pool/{name}.deb\nSize: 1\nSHA256: {}\n{}",
        "0".repeat(64),
        rest.join("\n")
    )
}

fn names(universe: &Universe, wanted: &[&str], excluded: &[&str], present: &[&str]) -> Vec<String> {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
    let found = universe.closure(&wanted, &set(excluded), &set(present)).unwrap();
    found.into_iter().map(|package| package.name.clone()).collect()
}

#[test]
fn dependencies_come_along_and_what_is_below_does_not() {
    let universe = universe(&[
        "python 3.13; Depends: libc (>= 2.36), libssl | libssl-old,\n libz",
        "libc 2.41",
        "libssl 3; Pre-Depends: libc",
        "libssl-old 1",
        "libz 1; Depends: debconf (>= 0.5) | debconf-2.0",
        "debconf 1",
    ]);
    assert_eq!(names(&universe, &["python"], &["debconf"], &["libc"]), ["libssl", "libz", "python"]);
}

#[test]
fn an_alternative_that_is_there_is_enough_and_a_version_that_is_too_old_is_not() {
    let universe =
        universe(&["a 1; Depends: b (>= 2) | c", "b 1", "c 1", "d 1; Depends: c | b", "e 1; Depends: c | b"]);
    assert_eq!(names(&universe, &["a"], &[], &[]), ["a", "c"]);
    assert_eq!(names(&universe, &["d", "b"], &[], &[]), ["b", "d"]);
}

#[test]
fn the_most_usual_provider_of_a_virtual_package_is_taken() {
    let universe = universe(&[
        "a 1; Depends: awk",
        "original-awk 1; Provides: awk; Priority: optional",
        "mawk 1; Provides: awk; Priority: required",
    ]);
    assert_eq!(names(&universe, &["a"], &[], &[]), ["a", "mawk"]);
    assert_eq!(names(&universe, &["a"], &["mawk"], &[]), ["a"]);
}

#[test]
fn a_newer_version_of_a_later_suite_wins() {
    let mut universe = universe(&["a 1-1"]);
    universe.add(parse("trixie-security", &paragraph("a 1-1+deb13u1")).unwrap());
    assert_eq!(universe.get("a").unwrap().suite, "trixie-security");
    universe.add(parse("trixie-updates", &paragraph("a 1-1+deb13u1")).unwrap());
    assert_eq!(universe.get("a").unwrap().suite, "trixie-security");
}

#[test]
fn what_is_missing_is_named() {
    let universe = universe(&["a 1; Depends: b (>= 2)"]);
    let wanted = ["a".to_owned()];
    let error = universe.closure(&wanted, &BTreeSet::new(), &BTreeSet::new()).unwrap_err();
    assert_eq!(error.to_string(), "package `a` depends on `b (>= 2)`, which no suite has");
}
