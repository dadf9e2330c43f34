//! What registries answer, made from seeds: manifests, offers of a way to log in, and tokens. The generators are those of the
//! fuzz targets; the readers of the first two are private to the client, so that their files are read here once more.

use std::time::{Duration, Instant};

use generators::{Choices, challenge, manifest, seeded, times, token};
use lapstrake_fixtures::registry::{Act, Auth, Fault, Registry, Settings};
use lapstrake_oci::reference::parse;
use lapstrake_oci::registry::{Client, Options};

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

fn seeds() -> std::ops::Range<u64> {
    0..20_000 * times(100)
}

#[test]
fn reg_s08_no_generated_manifest_with_a_key_twice_is_taken() {
    let (mut taken, mut twice, mut slowest) = (0, 0, Duration::ZERO);
    for seed in seeds() {
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
    let count = seeds().count();
    println!("figure REG-S08: {count} generated manifests, {taken} taken, {twice} with a key twice refused");
    assert!(taken > count / 50 && twice > 500, "{taken}, {twice}");
    assert!(slowest < Duration::from_millis(50), "{slowest:?}");
}

#[test]
fn reg_s05_generated_challenges_are_read_as_they_were_made_or_not_followed() {
    let (mut sound, mut broken) = (0, 0);
    for seed in seeds() {
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

/// What is sent to a registry whose token service gives this answer, of which the last request with a token tells.
fn sent_after(body: &[u8]) -> Option<String> {
    let server = Registry::with(Settings { auth: Auth::Token, ..Settings::default() });
    let headers = vec![("content-type", "application/json".to_owned())];
    let answer = Act::Answer { status: 200, headers, body: body.to_vec() };
    server.fault(Fault::on("GET", "/token", answer).always());
    let client = Client::new(Options::default()).expect("a client");
    let reference = parse(&format!("{}/a/b:1", server.host())).expect("a reference");
    // Nothing lies there, and no such token is taken: what counts is what was sent.
    assert!(!matches!(client.resolve(&reference), Ok(Some(_))));
    server.log().into_iter().rev().find_map(|request| request.authorization)
}

#[test]
fn reg_s05_no_generated_answer_of_a_token_service_is_sent_but_a_token() {
    let (mut tokens, mut others) = (0, 0);
    for seed in 0..400 * times(20) {
        let bytes = seeded(seed, 64);
        let (text, expected) = token(&mut Choices::new(&bytes));
        let sent = sent_after(text.as_bytes());
        assert_eq!(sent, expected.map(|token| format!("Bearer {token}")), "seed {seed}: {text}");
        tokens += u32::from(expected.is_some());
        others += u32::from(expected.is_none());
        if seed < 50 {
            // Bytes as they come, too.
            assert_eq!(sent_after(&bytes), None, "seed {seed}");
        }
    }
    println!("figure REG-S05: {tokens} generated tokens sent as made, {others} other answers not followed");
    assert!(tokens > 50 && others > 50, "{tokens}, {others}");
}
