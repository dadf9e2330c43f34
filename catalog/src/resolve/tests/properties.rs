use proptest::prelude::*;

use super::{change, local, new_entry, request, resolve};
use crate::*;

/// The minor and the patch of a release of Python 3, or of two lines of Node.js for the minors 0 and 1.
fn release() -> impl Strategy<Value = (u64, u64)> {
    (0..4_u64, 0..12_u64)
}

/// A lock of any level.
fn lock() -> impl Strategy<Value = VersionRequest> {
    let patch = prop::option::of(0..12_u64);
    let text = prop::option::of((0..4_u64, patch)).prop_map(|lock| match lock {
        None => "3".to_owned(),
        Some((minor, None)) => format!("3.{minor}"),
        Some((minor, Some(patch))) => format!("3.{minor}.{patch}"),
    });
    text.prop_map(|text| text.parse().unwrap())
}

/// A range with one or two bounds, each of them a minor or a full version.
fn range() -> impl Strategy<Value = String> {
    let bound = prop_oneof![
        (0..4_u64).prop_map(|minor| format!("3.{minor}")),
        release().prop_map(|(minor, patch)| format!("3.{minor}.{patch}")),
    ];
    let clause = |operators: &'static [&'static str]| {
        (prop::sample::select(operators), bound.clone())
            .prop_map(|(operator, bound)| format!("{operator}{bound}"))
    };
    (clause(&[">=", ">", "~=", "!="]), prop::option::of(clause(&["<", "<=", "!="])))
        .prop_map(|(lower, upper)| upper.map_or(lower.clone(), |upper| format!("{lower},{upper}")))
}

proptest! {
    // row 15, lock R5
    #[test]
    fn a_lock_never_resolves_outside_itself(
        releases in prop::collection::vec(release(), 1..12),
        lock in lock(),
        range in prop::option::of(range()),
    ) {
        let catalog = of_releases(&releases);
        let mut request = Request::new("python3").with_version(lock.clone());
        request.requires_python = range;
        match resolve(&catalog, &request) {
            Ok(resolution) => prop_assert!(resolution.entry.version.begins_with(lock.components())),
            Err(error) => {
                let unknown = matches!(error, ResolveError::UnknownVersion { .. });
                prop_assert!(unknown);
                // A lock of the major alone means the catalog's default, as no lock does.
                let meant = if lock.components().len() == 1 { &[3, DEFAULT][..] } else { lock.components() };
                prop_assert!(!catalog.entries.iter().any(|entry| entry.version.begins_with(meant)));
            }
        }
    }

    #[test]
    fn a_range_never_resolves_outside_itself(
        releases in prop::collection::vec(release(), 1..12),
        range in range(),
    ) {
        let catalog = of_releases(&releases);
        let parsed = RequiresPython::parse(&range).unwrap();
        // Where the default may have a version in the range some day, no other line is taken before.
        let meant = if parsed.reaches(3, DEFAULT) { &[3, DEFAULT][..] } else { &[3] };
        let fits = |version: Version| version.begins_with(meant) && parsed.is_satisfied_by(version);
        match answer(&catalog, &Request::new("python3").with_requires_python(&range)) {
            Some(id) => prop_assert!(fits(id.version())),
            None => prop_assert!(!catalog.entries.iter().any(|entry| fits(entry.version))),
        }
    }

    #[test]
    fn adding_a_release_never_lowers_the_answer(
        releases in prop::collection::vec(release(), 1..12),
        added in release(),
        lock in lock(),
    ) {
        let request = request("python3", lock.text());
        let (before, after) = before_and_after(&releases, added);
        prop_assert!(answer(&after, &request) >= answer(&before, &request));
    }

    #[test]
    fn adding_a_release_never_lowers_the_answer_to_a_range(
        releases in prop::collection::vec(release(), 1..12),
        added in release(),
        range in range(),
    ) {
        let request = Request::new("python3").with_requires_python(&range);
        let (before, after) = before_and_after(&releases, added);
        prop_assert!(answer(&after, &request) >= answer(&before, &request));
    }
}

/// The minor that the catalog of these tests has as its default.
const DEFAULT: u64 = 2;

fn answer(catalog: &Catalog, request: &Request) -> Option<EntryId> {
    resolve(catalog, request).map(|resolution| resolution.entry.id.clone()).ok()
}

fn before_and_after(releases: &[(u64, u64)], added: (u64, u64)) -> (Catalog, Catalog) {
    let before = of_releases(releases);
    let version = format!("3.{}.{}", added.0, added.1);
    let after = before.next(change(vec![new_entry("python3", &version, 1000)])).unwrap();
    (before, after)
}

fn of_releases(releases: &[(u64, u64)]) -> Catalog {
    let versions = releases.iter().map(|(minor, patch)| format!("3.{minor}.{patch}")).collect::<Vec<_>>();
    let releases = versions.iter().map(|version| ("python3", version.as_str(), Status::Active));
    let mut catalog = local(&releases.collect::<Vec<_>>());
    catalog.runtimes.get_mut("python3").unwrap().default = format!("3.{DEFAULT}");
    catalog
}
