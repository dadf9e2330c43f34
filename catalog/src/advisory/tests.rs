use super::*;

fn deb(version: &str) -> Package {
    Package {
        ecosystem: Ecosystem::Debian("trixie".to_owned()),
        name: "libssl3t64".to_owned(),
        source: "openssl".to_owned(),
        version: version.to_owned(),
    }
}

fn pip(version: &str) -> Package {
    let name = "pip".to_owned();
    Package { ecosystem: Ecosystem::PyPi, source: name.clone(), name, version: version.to_owned() }
}

fn ids(advisories: &Advisories, package: &Package) -> Vec<String> {
    advisories.of(package).into_iter().map(|found| found.id).collect()
}

const TRACKER: &str = r#"{"openssl": {
    "CVE-2026-1": {"description": "x", "releases": {"trixie": {"status": "resolved", "fixed_version": "3.5.9-1", "urgency": "high"}}},
    "CVE-2026-2": {"releases": {"trixie": {"status": "open", "urgency": "not yet assigned"}, "bookworm": {"status": "resolved", "fixed_version": "0"}}},
    "CVE-2026-3": {"releases": {"trixie": {"status": "resolved", "fixed_version": "0", "urgency": "low"}}},
    "CVE-2026-4": {"releases": {"trixie": {"status": "open", "urgency": "unimportant"}}},
    "CVE-2026-5": {"releases": {"trixie": {"status": "undetermined"}}},
    "CVE-2026-6": {"releases": {"bookworm": {"status": "open"}}}}}"#;

#[test]
fn the_security_tracker_is_read_by_suite_and_version() {
    let advisories = Advisories::parse(TRACKER).unwrap();
    assert_eq!(ids(&advisories, &deb("3.5.7-1~deb13u3")), ["CVE-2026-1", "CVE-2026-2"]);
    assert_eq!(ids(&advisories, &deb("3.5.9-1")), ["CVE-2026-2"]);
    let bookworm = Package { ecosystem: Ecosystem::Debian("bookworm".to_owned()), ..deb("3.0.17") };
    assert_eq!(ids(&advisories, &bookworm), ["CVE-2026-6"]);
    assert_eq!(ids(&advisories, &Package { source: "other".to_owned(), ..deb("1") }), Vec::<String>::new());
    let texts: Vec<String> = advisories.of(&deb("3.5.7")).iter().map(ToString::to_string).collect();
    assert_eq!(texts[0], "CVE-2026-1 in libssl3t64 3.5.7, fixed in 3.5.9-1");
    assert_eq!(texts[1], "CVE-2026-2 in libssl3t64 3.5.7, not fixed yet");
}

#[test]
fn osv_records_are_read_alone_in_a_list_and_by_lines() {
    let record = |id: &str| {
        format!(
            r#"{{"id": "{id}", "aliases": ["CVE-2026-9"], "modified": "2026-01-01T00:00:00Z", "affected": [{{"package": {{"ecosystem": "Debian:13", "name": "openssl"}}, "ranges": [{{"type": "ECOSYSTEM", "events": [{{"introduced": "3.5.0"}}, {{"fixed": "3.5.9-1"}}]}}]}}]}}"#
        )
    };
    let forms = [
        record("A"),
        format!("[{}, {}]", record("A"), record("B")),
        format!("{}\n\n{}\n", record("A"), record("B")),
    ];
    for text in forms {
        let advisories = Advisories::parse(&text).unwrap();
        assert_eq!(ids(&advisories, &deb("3.5.7")), ["CVE-2026-9"], "{text}");
        assert!(ids(&advisories, &deb("3.5.9-1")).is_empty() && ids(&advisories, &deb("3.4.9")).is_empty());
        let elsewhere = Package { ecosystem: Ecosystem::Debian("bookworm".to_owned()), ..deb("3.5.7") };
        assert!(ids(&advisories, &elsewhere).is_empty());
    }
}

#[test]
fn ranges_versions_and_withdrawals_of_osv_are_honoured() {
    let hit = |affected: &str, more: &str, version: &str| {
        let text = format!(
            r#"{{"id": "PYSEC-1", {more} "affected": [{{"package": {{"ecosystem": "PyPI", "name": "PIP"}}, {affected}}}]}}"#
        );
        !ids(&Advisories::parse(&text).unwrap(), &pip(version)).is_empty()
    };
    let range = r#""ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "20.1"}, {"introduced": "22"}, {"last_affected": "23.5"}]}]"#;
    for (version, expected) in
        [("19.9", true), ("20.1", false), ("21.0", false), ("22.0", true), ("23.5", true), ("23.6", false)]
    {
        assert_eq!(hit(range, "", version), expected, "{version}");
    }
    assert!(!hit(range, r#""withdrawn": "2026-01-01T00:00:00Z","#, "19.9"));
    assert!(hit(r#""versions": ["26.3"]"#, "", "26.3") && !hit(r#""versions": ["26.3"]"#, "", "26.4"));
    assert!(!hit(r#""ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]"#, "", "26.3"));
}

#[test]
fn what_is_neither_is_refused_and_not_passed_over() {
    for bad in [
        "",
        "no JSON",
        "[1]",
        "[{\"id\": 1}]",
        "3",
        "{\"openssl\": [1]}",
        "{\"id\":\"A\",\"affected\":[]}\nno JSON\n",
        "{\"openssl\": {\"CVE-1\": {}}}",
    ] {
        let result = Advisories::parse(bad);
        assert!(result.is_err(), "{bad}: {result:?}");
    }
    let broken = Advisories::parse("{\n\n  \"a\": }").unwrap_err();
    assert_eq!(broken.to_string(), "the advisories are no JSON, at line 3");
}

#[test]
fn several_files_count_together() {
    let mut all = Advisories::parse(TRACKER).unwrap();
    let more = TRACKER.replace("CVE-2026-2", "CVE-2026-22");
    all.merge(Advisories::parse(&more).unwrap());
    assert_eq!(ids(&all, &deb("3.5.9-1")), ["CVE-2026-2", "CVE-2026-22"]);
}
