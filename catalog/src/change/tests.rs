use super::*;
use crate::sample::{AMD64, change, digest, examples, images, new_entry};

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
