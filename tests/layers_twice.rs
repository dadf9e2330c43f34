//! Same lock, same bytes: layers that are made in another directory, under another umask, in another time zone, by
//! another user, on another number of processors.

use serde_json::Value;

use crate::harness::{Lapstrake, tools, workspace};

/// What is made twice. All entries for all platforms take several minutes, so they are asked for.
fn selection() -> Vec<&'static str> {
    if std::env::var_os("LAPSTRAKE_TEST_ALL_LAYERS").is_some() {
        return vec![
            "nodejs20-20.20.2-1",
            "nodejs22",
            "nodejs24",
            "python3@3.11",
            "python3@3.13",
            "python3@3.14",
        ];
    }
    eprintln!("of all entries, two are made twice; LAPSTRAKE_TEST_ALL_LAYERS=1 makes all of them");
    vec!["nodejs22", "python3@3.13"]
}

/// Makes the layers in an empty data directory, and returns each entry's images as the catalog records them: with the
/// digest of every manifest and blob, and the diffID of every layer.
fn images(lapstrake: &Lapstrake, entries: &[&str]) -> Vec<Value> {
    let arguments = ["catalog", "build", "--locked"].into_iter().chain(entries.iter().copied());
    let made = lapstrake.run(arguments).expect(0);
    assert!(made.stdout.lines().count() >= 2 * entries.len(), "{made:?}");
    let show = |entry: &&str| {
        let shown = lapstrake.run(["catalog", "show", entry, "--format", "json"]).expect(0);
        serde_json::from_str::<Value>(&shown.stdout).unwrap()["platforms"].take()
    };
    entries.iter().map(show).collect()
}

// row 18
#[test]
fn layers_have_the_same_digests_wherever_and_by_whomever_they_are_made() {
    let scratch = workspace::scratch();
    let entries = selection();
    let first = scratch.path().join("first");
    let one = Lapstrake::new().with_data(&first).with("TZ", "Pacific/Auckland").with_umask(0o022);
    let expected = images(&one, &entries);
    assert!(
        expected.iter().all(|platforms| platforms["linux/arm64"]["run"]["layers"][0]["diffId"].is_string())
    );

    let second = scratch.path().join("elsewhere/deeper/second");
    fs_err::create_dir_all(&second).unwrap();
    let other = Lapstrake::new().with_data(second).with("TZ", "America/Lima").with("LC_ALL", "C");
    let other = if tools::is_root() { other.for_user(1001, scratch.path()) } else { other };
    let other = other.with_umask(0o077).on_one_processor();
    assert_eq!(images(&other, &entries), expected);
}
