use super::*;
use crate::sample::{AMD64, change, date, digest, examples, images, new_entry};

fn id(text: &str) -> EntryId {
    text.parse().unwrap()
}

/// A new entry whose `run` image is made already, as a published catalog needs it.
fn made(runtime: &str, version: &str, seed: usize) -> NewEntry {
    let mut entry = new_entry(runtime, version, seed);
    for (platform, record) in &mut entry.platforms {
        record.images = images(&format!("{version} {seed} {platform}"));
    }
    entry
}

fn published() -> Catalog {
    let name = "registry.example.com/catalog/runtimes".to_owned();
    let start = Catalog { revision: 0, entries: Vec::new(), name, ..examples() };
    start.next(change(vec![made("python3", "3.13.5", 1), made("nodejs22", "22.14.0", 2)])).unwrap()
}

#[test]
fn a_revision_counts_up_and_names_the_one_before() {
    let first = published();
    let change = Change { previous: Some(digest("r1")), ..change(vec![made("python3", "3.13.6", 3)]) };
    let second = first.next(change).unwrap();
    assert_eq!((first.revision, second.revision), (1, 2));
    let past = PastRevision { revision: 1, digest: digest("r1"), created: first.created };
    assert_eq!((second.previous, second.revisions), (Some(digest("r1")), vec![past]));
}

#[test]
fn a_published_revision_must_name_the_one_before() {
    let source = Inconsistency::History { revision: 2 };
    let error = published().next(change(vec![])).unwrap_err();
    assert_eq!(error, ChangeError::Inconsistent { source });
}

#[test]
fn a_version_that_is_there_gets_the_next_build_number() {
    let catalog = examples().next(change(vec![new_entry("python3", "3.13.5", 100)])).unwrap();
    let entry = catalog.entry(&id("python3-3.13.5-3")).unwrap();
    assert_eq!((entry.replaces.as_ref(), entry.added_in), (Some(&id("python3-3.13.5-2")), catalog.revision));
    assert_eq!(catalog.newest_build("python3", entry.version), Some(entry));
}

#[test]
fn the_same_locks_make_no_new_build() {
    let error = examples().next(change(vec![new_entry("python3", "3.13.5", 3)])).unwrap_err();
    assert_eq!(error, ChangeError::Unchanged { id: id("python3-3.13.5-2") });
}

#[test]
fn a_replaced_entry_shrinks_but_keeps_what_proves_it() {
    let first = published();
    let change = Change { previous: Some(digest("r1")), ..change(vec![made("python3", "3.13.5", 7)]) };
    let second = first.next(change).unwrap();
    let (before, after) = (&first.entries[1], second.entry(&first.entries[1].id).unwrap());
    assert_eq!((before.record, after.record), (Record::Full, Record::Short));
    let run = |entry: &Entry| entry.platforms[&AMD64.parse().unwrap()].images[&ImageKind::Run].clone();
    assert_eq!(run(after).diff_ids(), run(before).diff_ids());
    assert_eq!(run(after).manifest, run(before).manifest);
    assert!(run(after).layers.is_empty());
    assert_eq!(Catalog::parse(&second.to_bytes()).unwrap(), second);
}

#[test]
fn an_entry_with_the_layers_of_another_is_refused() {
    let mut same = made("python3", "3.13.6", 1);
    same.platforms.clone_from(&published().entries[1].platforms);
    let change = Change { previous: Some(digest("r1")), ..change(vec![same]) };
    let error = published().next(change).unwrap_err();
    assert!(
        matches!(error, ChangeError::Inconsistent { source: Inconsistency::SameLayers { .. } }),
        "{error:?}"
    );
}

#[test]
fn a_published_entry_needs_its_images() {
    let change = Change { previous: Some(digest("r1")), ..change(vec![new_entry("python3", "3.13.6", 3)]) };
    let error = published().next(change).unwrap_err();
    assert!(
        matches!(error, ChangeError::Inconsistent { source: Inconsistency::Incomplete { .. } }),
        "{error:?}"
    );
}

#[test]
fn images_made_on_the_spot_are_recorded_and_never_replaced() {
    let (entry, platform) = (id("python3-3.13.5-2"), AMD64.parse().unwrap());
    let before = examples();
    assert!(!before.entry(&entry).unwrap().is_assembled());
    let after = before.with_images(&entry, &platform, images("a")).unwrap();
    assert_eq!(after.entry(&entry).unwrap().platforms[&platform].images, images("a"));
    assert_eq!(after.revision, before.revision);
    assert_eq!(after.with_images(&entry, &platform, images("a")), Ok(after.clone()));
    let error = after.with_images(&entry, &platform, images("b")).unwrap_err();
    assert_eq!(error, ChangeError::ImageChanged { id: entry, platform, kind: ImageKind::Run });
}

#[test]
fn images_are_recorded_only_where_a_local_catalog_has_the_release() {
    let (entry, platform) = (id("python3-3.99.0-1"), AMD64.parse().unwrap());
    let error = examples().with_images(&entry, &platform, images("a")).unwrap_err();
    assert_eq!(error, ChangeError::UnknownRelease { id: entry, platform: platform.clone() });
    let catalog = published();
    let error = catalog.with_images(&catalog.entries[0].id, &platform, images("a")).unwrap_err();
    assert_eq!(error, ChangeError::Published { catalog: catalog.name });
}

fn edited(edits: Vec<Edit>) -> Result<Catalog, ChangeError> {
    published().next(Change { previous: Some(digest("r1")), edits, ..change(Vec::new()) })
}

fn revocation() -> Revocation {
    Revocation {
        date: date("2026-11-26"),
        reason: "a fault".to_owned(),
        severity: "high".to_owned(),
        advisories: Vec::new(),
        replacement: None,
    }
}

#[test]
fn entries_are_deprecated_and_revoked_and_stay_so() {
    let node = id("nodejs22-22.14.0-1");
    let on = date("2027-01-01");
    let deprecated = edited(vec![Edit::Deprecate { id: node.clone(), on }]).unwrap();
    assert_eq!(deprecated.entry(&node).unwrap().deprecated_on, Some(on));
    let revoke = || Edit::Revoke { id: node.clone(), revocation: revocation() };
    let revoked = edited(vec![revoke()]).unwrap();
    assert_eq!(revoked.status_at(revoked.entry(&node).unwrap(), date("2026-11-26")), Status::Revoked);
    assert_eq!(edited(vec![revoke(), revoke()]), Err(ChangeError::RevokedAlready { id: node.clone() }));
    let absent = id("nodejs22-22.15.0-1");
    let edit = Edit::Deprecate { id: absent.clone(), on };
    assert_eq!(edited(vec![edit]), Err(ChangeError::NoEntry { id: absent }));
}

#[test]
fn a_build_number_that_images_name_is_kept_and_never_goes_back() {
    let add = |build: u32| {
        let entry = NewEntry { build: Some(build), ..made("python3", "3.13.5", 9) };
        published().next(Change { previous: Some(digest("r1")), ..change(vec![entry]) })
    };
    assert!(add(4).unwrap().entry(&id("python3-3.13.5-4")).is_some());
    assert!(matches!(add(1), Err(ChangeError::BuildTaken { build: 1, newest: 1, .. })));
}

#[test]
fn a_revision_follows_only_if_nothing_that_was_published_has_changed() {
    let first = published();
    let top = digest("r1");
    let next = |entries: Vec<NewEntry>| {
        first.next(Change { previous: Some(digest("r1")), ..change(entries) }).unwrap()
    };
    let second = next(vec![made("python3", "3.13.5", 7), made("python3", "3.13.6", 8)]);
    assert_eq!(second.follows(&first, &top), Ok(()));
    let broken = |alter: &dyn Fn(&mut Catalog)| {
        let mut altered = second.clone();
        alter(&mut altered);
        altered.follows(&first, &top).unwrap_err()
    };
    assert!(matches!(broken(&|it| it.revision += 1), Broken::Number { .. }));
    assert!(matches!(broken(&|it| it.previous = Some(digest("other"))), Broken::Previous { .. }));
    assert!(matches!(broken(&|it| it.revisions.clear()), Broken::History { .. }));
    assert!(matches!(broken(&|it| it.name = "other".to_owned()), Broken::Name { .. }));
    assert!(matches!(broken(&|it| drop(it.entries.remove(0))), Broken::Gone { .. }));
    assert!(matches!(broken(&|it| it.entries[0].released = date("2000-01-01")), Broken::Changed { .. }));
    let other_layers = |it: &mut Catalog| {
        for record in it.entries[0].platforms.values_mut() {
            record.images = images("other");
        }
    };
    assert!(matches!(broken(&other_layers), Broken::Changed { .. }));
    let unrevoked =
        edited(vec![Edit::Revoke { id: id("nodejs22-22.14.0-1"), revocation: revocation() }]).unwrap();
    let mut after = unrevoked.next(Change { previous: Some(digest("r2")), ..change(Vec::new()) }).unwrap();
    assert_eq!(after.follows(&unrevoked, &digest("r2")), Ok(()));
    after.entries[0].revoked = None;
    after.entries[0].status = Status::Active;
    assert!(matches!(after.follows(&unrevoked, &digest("r2")), Err(Broken::Unrevoked { .. })));
}
