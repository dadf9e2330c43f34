//! What registries answer, made from seeds: manifests, and offers of a way to log in. The generators are those of the
//! fuzz targets; the readers are private to the client, so that their files are read here once more.

use std::time::{Duration, Instant};

use generators::{Choices, challenge, manifest, seeded};

#[path = "../src/registry/challenge.rs"]
mod challenges;
#[path = "../../fuzz/src/generators.rs"]
#[expect(dead_code, unreachable_pub, reason = "fuzz targets and other tests use the rest")]
mod generators;
#[path = "../src/registry/strict.rs"]
mod strict;

/// What `strict` needs of its crate.
mod document {
    pub(crate) use lapstrake_oci::document::{DOCKER_MANIFEST, DOCKER_MANIFEST_LIST};
}

const SEEDS: u64 = 20_000;

#[test]
fn reg_s08_no_generated_manifest_with_a_key_twice_is_taken() {
    let (mut taken, mut twice, mut slowest) = (0, 0, Duration::ZERO);
    for seed in 0..SEEDS {
        let bytes = seeded(seed, 64);
        let (text, has_key_twice, content_type) = manifest(&mut Choices::new(&bytes));
        let begun = Instant::now();
        let read = strict::media_type(text.as_bytes(), content_type);
        slowest = slowest.max(begun.elapsed());
        assert!(!(has_key_twice && read.is_ok()), "seed {seed}: {text}");
        twice += u32::from(has_key_twice);
        if let Ok(kind) = read {
            taken += 1;
            let value: serde_json::Value = serde_json::from_str(&text).expect("it was read");
            assert_eq!(value["schemaVersion"], 2, "seed {seed}: {text}");
            assert!(value.get("manifests").is_none() || value.get("layers").is_none(), "seed {seed}: {text}");
            assert_eq!(
                kind.contains("index") || kind.contains("list"),
                value.get("manifests").is_some(),
                "{text}"
            );
        }
        // Bytes as they come, too.
        assert!(strict::media_type(&bytes, None).is_err());
    }
    println!("figure REG-S08: {SEEDS} generated manifests, {taken} taken, {twice} with a key twice refused");
    assert!(taken > SEEDS / 50 && twice > 500, "{taken}, {twice}");
    assert!(slowest < Duration::from_millis(50), "{slowest:?}");
}

#[test]
fn reg_s05_generated_challenges_are_read_as_they_were_made_or_not_followed() {
    let (mut sound, mut broken) = (0, 0);
    for seed in 0..SEEDS {
        let (text, is_sound, realm) = challenge(&mut Choices::new(&seeded(seed, 64)));
        let found = match challenges::choose(std::iter::once(text.as_str())) {
            Some(challenges::Challenge::Bearer(bearer)) => Some(bearer.realm),
            _ => None,
        };
        if !is_sound {
            assert!(found.is_none_or(|realm| !realm.contains(char::is_control)), "seed {seed}: {text}");
            broken += 1;
            continue;
        }
        assert_eq!(found.as_deref(), realm, "seed {seed}: {text}");
        sound += 1;
    }
    println!(
        "figure REG-S05: {sound} sound generated headers read as made, {broken} broken ones without harm"
    );
    assert!(sound > 5000 && broken > 2000, "{sound}, {broken}");
}
