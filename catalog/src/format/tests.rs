use super::*;
use crate::sample::{AMD64, digest, examples, images};

fn text() -> String {
    let id = "python3-3.13.5-2".parse().unwrap();
    let catalog = examples().with_images(&id, &AMD64.parse().unwrap(), images("x")).unwrap();
    String::from_utf8(catalog.to_bytes()).unwrap()
}

/// Reads the document with one text replaced and returns the whole message.
fn error(from: &str, to: &str) -> String {
    let text = text();
    assert!(text.contains(from), "`{from}` is not in the document");
    let error = Catalog::parse(text.replacen(from, to, 1).as_bytes()).unwrap_err();
    let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
    format!("{error}{}", source.unwrap_or_default())
}

#[test]
fn a_catalog_is_read_as_it_was_written() {
    let catalog = Catalog::parse(text().as_bytes()).unwrap();
    assert_eq!(String::from_utf8(catalog.to_bytes()).unwrap(), text());
}

#[test]
fn keys_are_sorted_and_there_is_no_white_space() {
    let text = text();
    assert!(text.starts_with(
        r#"{"created":"2026-11-23T00:00:00Z","entries":[{"abi":"debian13/nodejs22","addedIn":6,"#
    ));
    assert!(!text.contains(": ") && !text.contains('\n'));
}

#[test]
fn the_document_has_the_fields_of_its_description() {
    let value: serde_json::Value = serde_json::from_str(&text()).unwrap();
    let fields =
        |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let expected = [
        "schema",
        "name",
        "revision",
        "created",
        "validUntil",
        "previous",
        "revisions",
        "tool",
        "policyHints",
        "runtimes",
        "oses",
        "entries",
    ];
    assert_eq!(fields(&value), expected.map(str::to_owned).into());
    let release =
        value["entries"].as_array().unwrap().iter().find(|entry| entry["id"] == "python3-3.13.5-2").unwrap();
    let platform = &release["platforms"][AMD64];
    assert_eq!(fields(platform), ["run", "config", "lock"].map(str::to_owned).into());
    let layer = &platform["run"]["layers"][0];
    let expected = ["role", "digest", "diffId", "size", "uncompressed", "files"];
    assert_eq!(fields(layer), expected.map(str::to_owned).into());
    assert!(release["eolOn"].is_null() && release.as_object().unwrap().contains_key("eolOn"));
}

#[test]
fn of_a_later_schema_is_read_what_is_known() {
    let text = String::from_utf8(examples().to_bytes()).unwrap();
    let later = text
        .replacen(r#""schema":1"#, r#""schema":2,"new":{"x":[1]}"#, 1)
        .replace(r#""origin":"npm""#, r#""origin":"npm","signer":"x""#)
        .replace(r#""role":"#, r#""erofs":"sha256:0","role":"#);
    let read = Catalog::parse(later.as_bytes()).unwrap();
    assert!(read.is_newer());
    assert_eq!(Catalog { schema: 1, ..read.clone() }, examples());
    let change = crate::sample::change(Vec::new());
    assert_eq!(
        read.next(change).unwrap_err().to_string(),
        "the catalog has schema 2, which only a newer release of this program can change"
    );
    assert_eq!(error(r#""schema":1"#, r#""schema":0"#), "catalog has schema 0; the first one is 1");
    assert!(error(r#""schema":1"#, r#""schema":"2""#).contains("invalid type"));
}

#[test]
fn a_field_that_is_not_known_is_named() {
    for (from, to, path) in [
        (r#""schema":1"#, r#""schema":1,"new":1"#, "new"),
        (r#""origin":"npm""#, r#""origin":"npm","signer":"x""#, "entries.0.source.signer"),
        (r#""role":"#, r#""erofs":1,"role":"#, "entries.6.platforms.linux/amd64.run.layers.0.erofs"),
    ] {
        assert_eq!(error(from, to), format!("catalog has an unknown field `{path}`"));
    }
    let found = error(r#""origin":"npm""#, r#""origin":"npm","verified":"x""#);
    assert!(found.contains("a source of origin `npm` does not have these fields"), "{found}");
}

#[test]
fn a_malformed_document_is_refused() {
    for (from, to, message) in [
        (r#""revision":8"#, r#""revision":8,"revision":8"#, "duplicate field `revision`"),
        (r#""LANG":"C.UTF-8""#, r#""LANG":"C.UTF-8","LANG":"C""#, "duplicate key `LANG`"),
        (r#""nodejs20":{"#, r#""nodejs24":{"#, "duplicate key `nodejs24`"),
        (r#""tool":"#, r#""tol":"#, "missing field `tool`"),
        (r#""2026-11-01""#, r#""20261101""#, "`20261101` is not a date such as `2026-11-25`"),
        (r#""2026-11-01""#, r#""2026-11-31""#, "`2026-11-31` is not a date such as `2026-11-25`"),
        (r#"},"version":"3.13.4""#, r#"},"version":"3.13""#, "`3.13` is not a version"),
        (r#""id":"python3-3.13.4-1""#, r#""id":"python3""#, "`python3` is not an entry such as"),
        (r#""linux/amd64":"#, r#""amd64":"#, "`amd64` is not a platform such as"),
        (r#""revision":8"#, r#""revision":8.5"#, "invalid type: floating point"),
        (r#""status":"preview""#, r#""status":"beta""#, "unknown variant `beta`"),
        (r#""sha256:"#, r#""sha256:0"#, "Invalid digest length"),
        (r#""run":{"layers""#, r#""run":{"diffIds":["sha256:0"],"layers""#, "Invalid digest length"),
    ] {
        let found = error(from, to);
        assert!(found.starts_with("catalog is not understood: ") && found.contains(message), "{found}");
    }
}

#[test]
fn facts_that_contradict_each_other_are_refused() {
    for (from, to, message) in [
        (r#""build":1"#, r#""build":7"#, "its runtime, version or build differ from its name"),
        (r#""os":"debian13""#, r#""os":"debian99""#, "names `debian99`, which the catalog does not have"),
        (
            r#""replaces":"python3-3.13.5-1""#,
            r#""replaces":"python3-3.1.5-1""#,
            "names `python3-3.1.5-1`, which",
        ),
        (r#""addedIn":6"#, r#""addedIn":9"#, "was added in revision 9, which is still to come"),
        (
            r#""status":"preview""#,
            r#""status":"revoked""#,
            "status `revoked` and the field `revoked` belong together",
        ),
        (r#""revision":8"#, r#""revision":0"#, "revision 0 does not follow"),
        (
            r#""python311":"3.11""#,
            r#""python311":"3.x""#,
            "runtime `python3`: `3.x` is no valid name or version",
        ),
        (r#""python311":"3.11""#, r#""nodejs22":"3.11""#, "runtime `python3`: `nodejs22` is no valid name"),
        (
            r#""name":"local""#,
            r#""name":"example.com/c""#,
            "revision 8 does not follow from its earlier revisions",
        ),
    ] {
        let found = error(from, to);
        assert!(found.starts_with("catalog is not consistent: ") && found.contains(message), "{found}");
    }
}

#[test]
fn an_entry_may_not_be_there_twice() {
    let mut catalog = examples();
    let entry = catalog.entries[0].clone();
    let id = entry.id.clone();
    catalog.entries.push(entry);
    assert_eq!(catalog.check(), Err(Inconsistency::DuplicateEntry { id }));
}

#[test]
fn a_document_beyond_the_limits_is_refused() {
    let error = Catalog::parse(&vec![b' '; MAX_BYTES + 1]).unwrap_err();
    assert_eq!(error.to_string(), "catalog has 33554433 bytes; at most 33554432 are read");
    let mut catalog = examples();
    catalog.entries = vec![catalog.entries[0].clone(); MAX_ENTRIES + 1];
    assert_eq!(catalog.check(), Err(Inconsistency::TooManyEntries { found: MAX_ENTRIES + 1 }));
}

// row 22
#[test]
fn a_chain_of_revisions_must_be_whole() {
    let mut catalog = examples();
    let past =
        |revision: u64| crate::PastRevision { revision, digest: digest("r7"), created: catalog.created };
    let chains = [vec![past(6)], vec![past(7), past(7)], vec![past(8)], vec![past(7), past(0)]];
    for revisions in chains {
        catalog.revisions = revisions;
        catalog.previous = Some(digest("r7"));
        assert_eq!(catalog.check(), Err(Inconsistency::History { revision: 8 }));
    }
}
