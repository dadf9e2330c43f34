//! Plans of the recipes, and numbers for entries whose locks change.

use std::collections::BTreeSet;

use super::*;
use crate::lock::DebArtifact;

fn now() -> Timestamp {
    "2026-11-26T10:00:00Z".parse().unwrap()
}

#[test]
fn every_layer_of_every_image_has_a_lock_that_is_up_to_date_with_its_recipe() {
    let definitions = Definitions::embedded().unwrap();
    let mut names = BTreeSet::new();
    for plan in plans(&definitions.recipes).unwrap() {
        for arch in &plan.arches {
            let name = plan.layer.lock_name(&plan.os.name, *arch);
            let lock = definitions.locks.get(&name).unwrap_or_else(|| panic!("no lock `{name}`"));
            assert_eq!(
                lock.recipe,
                plan.digest().to_string(),
                "`{name}`: the recipe changed, run `catalog update`"
            );
            assert!(!lock.artifacts.is_empty(), "{name}");
            names.insert(name);
        }
    }
    assert_eq!(names, definitions.locks.keys().cloned().collect());
}

#[test]
fn entries_are_made_of_the_locks_that_are_there() {
    let definitions = Definitions::embedded().unwrap();
    for (runtime, line) in definitions.recipes.lines() {
        let entry = definitions.entries.newest(&runtime.name, &line.version).unwrap();
        assert_eq!(entry.platforms.len(), 2, "{}", entry.id);
        for at in entry.platforms.values().flat_map(|images| images.values()).flatten() {
            assert_eq!(definitions.locks[&at.lock].content_digest(), at.content, "{} {}", entry.id, at.lock);
        }
    }
    let numbered = number::number(&definitions, &definitions, now()).unwrap();
    assert_eq!(numbered.new, Vec::<String>::new());
    assert_eq!(numbered.entries, definitions.entries);
}

#[test]
fn a_changed_package_gives_new_build_numbers_to_those_that_have_it_and_says_what_changed() {
    let before = Definitions::embedded().unwrap();
    let mut after = before.clone();
    let lock = after.locks.get_mut("python3.13-debian13-amd64").unwrap();
    let deb = lock.artifacts.iter_mut().find_map(|artifact| match artifact {
        Artifact::Deb(deb) if deb.name == "libffi8" => Some(deb),
        _ => None,
    });
    let old = deb.unwrap();
    let from = old.version.clone();
    *old = DebArtifact { version: "9.9-1".to_owned(), sha256: "9".repeat(64), ..old.clone() };
    let numbered = number::number(&before, &after, now()).unwrap();
    let newest = before.entries.newest("python3", "3.13").unwrap();
    let entry = numbered.entries.newest("python3", "3.13").unwrap();
    assert_eq!((entry.build, entry.replaces.as_ref()), (newest.build + 1, Some(&newest.id)));
    assert_eq!(entry.added_in, before.entries.revision + 1);
    assert_eq!(numbered.entries.revision, before.entries.revision + 1);
    assert_eq!(numbered.entries.created, "2026-11-26T10:00:00Z");
    // Node's build image has the same Python for its compiler tools; other lines of Python are left alone.
    assert_eq!(numbered.new.len(), 4, "{:?}", numbered.new);
    assert_eq!(numbered.entries.newest("python3", "3.11"), before.entries.newest("python3", "3.11"));
    let change = &entry.changes[0];
    assert_eq!((change.package.as_str(), change.from.as_deref()), ("libffi8", Some(from.as_str())));
    assert_eq!(change.to.as_deref(), Some("9.9-1"));
    assert_eq!(entry.changes.len(), 1);
}

#[test]
fn the_signers_of_an_index_are_named() {
    // A version 4 signature packet whose only hashed subpacket is an issuer fingerprint.
    let packet = [&[0xc2, 29, 4, 0, 1, 8, 0, 23, 22, 33, 4][..], &[0xab; 20]].concat();
    let armour = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, packet);
    let text = format!("x\n-----BEGIN PGP SIGNATURE-----\n\n{armour}\n=abcd\n-----END PGP SIGNATURE-----\n");
    assert_eq!(signature::fingerprints(&text), ["AB".repeat(20)]);
    assert_eq!(signature::fingerprints("no signature"), Vec::<String>::new());
}
