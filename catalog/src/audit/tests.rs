use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::sample::{AMD64, ARM64, date, digest, images, local};
use crate::{Catalog, OsRecord, PackageChange, Revocation, UpstreamSource};

const NOW: &str = "2026-11-26";

/// A catalog with something to say of most rules. Layers differ by entry and platform.
fn catalog() -> Catalog {
    let mut catalog = local(&[
        ("python3", "3.11.2", Status::Active),
        ("python3", "3.13.4", Status::Active),
        ("python3", "3.13.5", Status::Active),
        ("python3", "3.13.5", Status::Active),
        ("nodejs22", "22.20.0", Status::Active),
        ("nodejs22", "22.23.3", Status::Active),
        ("nodejs24", "24.21.0", Status::Active),
    ]);
    for entry in catalog.entries.clone() {
        for platform in [AMD64, ARM64] {
            let images = images(&format!("{} {platform}", entry.id));
            catalog = catalog.with_images(&entry.id, &platform.parse().unwrap(), images).unwrap();
        }
    }
    let system = |eol: &str, lts: &str| OsRecord {
        os_eol: Some(date(eol)),
        os_lts: Some(date(lts)),
        ..crate::sample::os()
    };
    catalog.oses.insert("debian12".to_owned(), system("2026-07-11", "2028-06-30"));
    catalog.runtimes.get_mut("nodejs22").unwrap().successor = Some("nodejs24".to_owned());
    edit(&mut catalog, "python3-3.11.2-1", |entry| {
        entry.os = "debian12".to_owned();
        entry.source = UpstreamSource::Deb { verified: "InRelease-gpg".to_owned() };
    });
    edit(&mut catalog, "python3-3.13.5-2", |entry| {
        entry.changes = vec![PackageChange {
            package: "libssl3t64".to_owned(),
            source: None,
            from: Some("3.5.7".to_owned()),
            to: Some("3.5.9".to_owned()),
            cves: (1..=7).map(|number| format!("CVE-2026-{number:04}")).collect(),
            note: None,
        }];
    });
    edit(&mut catalog, "nodejs22-22.20.0-1", |entry| {
        entry.status = Status::Revoked;
        entry.revoked = Some(Revocation {
            date: date("2026-10-01"),
            reason: "a backdoor".to_owned(),
            severity: "critical".to_owned(),
            advisories: vec!["CVE-2026-9".to_owned()],
            replacement: Some("nodejs22-22.23.3-1".parse().unwrap()),
        });
    });
    catalog
}

fn edit(catalog: &mut Catalog, id: &str, change: impl FnOnce(&mut crate::Entry)) {
    let id: EntryId = id.parse().unwrap();
    change(catalog.entries.iter_mut().find(|entry| entry.id == id).unwrap());
}

/// An image on the layers of an entry, with the label that says so.
fn on(catalog: &Catalog, id: &str) -> Observed {
    on_platform(catalog, id, AMD64)
}

fn on_platform(catalog: &Catalog, id: &str, platform: &str) -> Observed {
    let platform: PlatformKey = platform.parse().unwrap();
    let entry = catalog.entry(&id.parse().unwrap()).unwrap();
    let layers = entry.platforms[&platform].images[&ImageKind::Run].diff_ids();
    let diff_ids = layers.into_iter().cloned().chain([digest("app")]).collect();
    Observed {
        repository: "registry.example.com/team/app".to_owned(),
        tags: vec!["v1".to_owned()],
        digest: digest(&format!("manifest {id} {platform}")),
        index: None,
        platform,
        created: None,
        labels: BTreeMap::from([("dev.lapstrake.runtime.id".to_owned(), id.to_owned())]),
        annotations: BTreeMap::new(),
        diff_ids,
    }
}

fn audit_with(catalog: &Catalog, policy: &Policy, images: &[Observed]) -> Report {
    Auditor::new(catalog, policy, date(NOW), CatalogFacts::of(catalog)).audit(images, Vec::new())
}

fn audit(catalog: &Catalog, image: &Observed) -> Row {
    audit_with(catalog, &Policy::default(), std::slice::from_ref(image)).rows.remove(0)
}

fn rules(row: &Row) -> BTreeSet<&'static str> {
    row.findings.iter().map(|finding| finding.rule.id()).collect()
}

fn severity(row: &Row, rule: Rule) -> Option<Severity> {
    row.findings.iter().find(|finding| finding.rule == rule).map(|finding| finding.severity)
}

fn policy(text: &str) -> Policy {
    Policy::parse(text, date(NOW)).unwrap()
}

#[test]
fn each_entry_gives_the_findings_that_belong_to_it() {
    let catalog = catalog();
    for (id, expected) in [
        ("python3-3.13.5-2", vec![]),
        ("nodejs24-24.21.0-1", vec![]),
        ("python3-3.13.5-1", vec!["RT001", "RT008"]),
        ("python3-3.13.4-1", vec!["RT002"]),
        ("python3-3.11.2-1", vec!["RT003", "RT004", "RT006"]),
        ("nodejs22-22.23.3-1", vec!["RT003"]),
        ("nodejs22-22.20.0-1", vec!["RT002", "RT003", "RT007"]),
    ] {
        let row = audit(&catalog, &on(&catalog, id));
        assert_eq!(rules(&row), expected.into_iter().collect(), "{id}");
        assert_eq!((row.entry.unwrap().to_string().as_str(), row.evidence), (id, Evidence::Layers));
    }
}

#[test]
fn findings_say_what_they_rest_on_and_what_to_do() {
    let catalog = catalog();
    let row = audit(&catalog, &on(&catalog, "python3-3.13.5-1"));
    let fixes = row.findings.iter().find(|finding| finding.rule == Rule::FixesMissing).unwrap();
    assert!(fixes.message.ends_with("CVE-2026-0005 and 2 more"), "{}", fixes.message);
    assert!(fixes.evidence[0].starts_with("python3-3.13.5-2: libssl3t64 3.5.9 fixes CVE-2026-0001"));
    let command = "lapstrake rebase registry.example.com/team/app:v1 --to python3-3.13.5-2";
    assert_eq!(row.suggestion.unwrap().command(), Some(command));
    let revoked = audit(&catalog, &on(&catalog, "nodejs22-22.20.0-1"));
    assert_eq!(revoked.findings[0].rule, Rule::Revoked, "the worst comes first");
    assert!(revoked.findings[0].message.contains("a backdoor; nodejs22-22.23.3-1 takes its place"));
    let ended = audit(&catalog, &on(&catalog, "python3-3.11.2-1")).suggestion.unwrap();
    assert_eq!(ended.text(), "change runtime-version to 3.13 (runtime: python3) and rebuild");
    let newer = audit(&catalog, &on(&catalog, "nodejs22-22.23.3-1")).suggestion.unwrap();
    assert_eq!(newer.text(), "change runtime to nodejs24 and rebuild");
}

#[test]
fn advisories_about_the_packages_of_an_entry_are_told() {
    let catalog = catalog();
    let image = on(&catalog, "nodejs24-24.21.0-1");
    let known = crate::advisory::Vulnerability {
        id: "CVE-2026-7".to_owned(),
        package: "libssl3t64".to_owned(),
        version: "3.5.7".to_owned(),
        fixed: Some("3.5.9".to_owned()),
    };
    let policy = Policy::default();
    let auditor = Auditor::new(&catalog, &policy, date(NOW), CatalogFacts::of(&catalog));
    let entries = auditor.entries(std::slice::from_ref(&image));
    assert_eq!(entries.keys().map(ToString::to_string).collect::<Vec<_>>(), ["nodejs24-24.21.0-1"]);
    let known = entries.into_keys().map(|id| (id, vec![known.clone()])).collect();
    let report = auditor.with_vulnerabilities(known).audit(std::slice::from_ref(&image), Vec::new());
    let finding = &report.rows[0].findings[0];
    assert_eq!((finding.rule, finding.message.as_str()), (Rule::FixesMissing, "advisories name CVE-2026-7"));
    assert_eq!(finding.evidence, ["CVE-2026-7 in libssl3t64 3.5.7, fixed in 3.5.9"]);
}

#[test]
fn another_abi_is_rebuilt_and_not_rebased() {
    let mut catalog = catalog();
    edit(&mut catalog, "python3-3.13.5-2", |entry| entry.abi = "other".to_owned());
    let row = audit(&catalog, &on(&catalog, "python3-3.13.5-1"));
    assert_eq!(row.suggestion.unwrap().text(), "rebuild: a build takes python3-3.13.5-2");
}

#[test]
fn dates_decide_as_of_the_day() {
    let catalog = catalog();
    let image = on(&catalog, "python3-3.11.2-1");
    let found = |day: &str| {
        let policy = Policy::default();
        let auditor = Auditor::new(&catalog, &policy, date(day), CatalogFacts::of(&catalog));
        auditor.audit(std::slice::from_ref(&image), Vec::new()).rows.remove(0)
    };
    assert_eq!(rules(&found("2026-07-10")), BTreeSet::from(["RT003"]));
    assert_eq!(severity(&found("2026-07-11"), Rule::SystemEnded), Some(Severity::Warning));
    assert_eq!(severity(&found("2028-06-30"), Rule::SystemEnded), Some(Severity::Error));
    assert_eq!(found("2028-06-30").status, Some(Status::Eol));
}

#[test]
fn the_end_of_a_language_is_a_note_where_the_distribution_patches_it() {
    let mut catalog = catalog();
    edit(&mut catalog, "python3-3.11.2-1", |entry| entry.upstream.eol = Some(date("2026-01-01")));
    edit(&mut catalog, "nodejs24-24.21.0-1", |entry| entry.upstream.eol = Some(date("2026-01-01")));
    let patched = audit(&catalog, &on(&catalog, "python3-3.11.2-1"));
    assert_eq!(severity(&patched, Rule::LanguageEnded), Some(Severity::Note));
    let repacked = audit(&catalog, &on(&catalog, "nodejs24-24.21.0-1"));
    assert_eq!(severity(&repacked, Rule::LanguageEnded), Some(Severity::Error));
}

#[test]
fn labels_only_hint() {
    let catalog = catalog();
    let without = Observed { labels: BTreeMap::new(), ..on(&catalog, "python3-3.13.5-2") };
    let row = audit(&catalog, &without);
    assert_eq!((rules(&row), row.evidence), (BTreeSet::new(), Evidence::Layers));
    let mut lie = on(&catalog, "python3-3.13.5-2");
    lie.labels.insert("dev.lapstrake.runtime.id".to_owned(), "nodejs24-24.21.0-1".to_owned());
    let row = audit(&catalog, &lie);
    assert_eq!(severity(&row, Rule::LabelLies), Some(Severity::Error));
    assert_eq!(row.entry.unwrap().to_string(), "python3-3.13.5-2", "the layers prove it");
    let stolen = Observed { diff_ids: vec![digest("foreign")], ..on(&catalog, "python3-3.13.5-1") };
    let row = audit(&catalog, &stolen);
    assert_eq!(row.evidence, Evidence::LabelOnly);
    assert_eq!(rules(&row), BTreeSet::from(["RT001", "RT008", "RT009"]));
    assert_eq!(row.suggestion, Some(Suggestion::Rebuild { to: None }), "what is not proven is not rebased");
}

#[test]
fn images_of_other_builders_are_unknown_and_their_base_is_told() {
    let catalog = catalog();
    let mut foreign = Observed {
        diff_ids: vec![digest("foreign")],
        labels: BTreeMap::new(),
        ..on(&catalog, "python3-3.13.5-1")
    };
    let row = audit(&catalog, &foreign);
    assert_eq!((rules(&row), row.evidence, row.base), (BTreeSet::from(["RT009"]), Evidence::None, None));
    let base = "docker.example.com/python:3.12";
    foreign.annotations.insert("org.opencontainers.image.base.name".to_owned(), base.to_owned());
    let row = audit(&catalog, &foreign);
    assert!(row.findings[0].message.contains(base));
    assert_eq!(row.base.as_deref(), Some(base));
}

#[test]
fn permissions_and_builds_without_a_look_for_revocations_are_told() {
    let catalog = catalog();
    for (label, value, expected) in [
        ("overrides", "x was taken by permission", true),
        ("catalog.checked", "false", true),
        ("catalog.checked", "true", false),
    ] {
        let mut image = on(&catalog, "python3-3.13.5-2");
        image.labels.insert(format!("dev.lapstrake.{label}"), value.to_owned());
        assert_eq!(rules(&audit(&catalog, &image)).contains("RT012"), expected, "{label} {value}");
    }
}

#[test]
fn platforms_of_an_index_are_compared_and_others_are_not() {
    let catalog = catalog();
    let in_index = |id: &str, platform: &str, index: &str| Observed {
        index: Some(digest(index)),
        ..on_platform(&catalog, id, platform)
    };
    let report = |second: &str, index: &str| {
        let images = [in_index("python3-3.13.5-2", AMD64, "a"), in_index(second, ARM64, index)];
        audit_with(&catalog, &Policy::default(), &images)
    };
    let differs =
        |report: &Report| report.findings().filter(|finding| finding.rule == Rule::PlatformsDiffer).count();
    assert_eq!(differs(&report("python3-3.13.5-1", "a")), 2);
    assert_eq!(differs(&report("python3-3.13.5-2", "a")), 0);
    assert_eq!(differs(&report("python3-3.13.5-1", "b")), 0);
}

#[test]
fn the_tags_of_one_digest_are_one_row() {
    let catalog = catalog();
    let image = |tag: &str| Observed { tags: vec![tag.to_owned()], ..on(&catalog, "python3-3.13.5-1") };
    let report = audit_with(&catalog, &Policy::default(), &[image("v2"), image("v1"), image("v2")]);
    assert_eq!(report.rows.len(), 1);
    assert_eq!(report.rows[0].tags, ["v1", "v2"]);
}

#[test]
fn a_catalog_that_cannot_be_relied_on_is_a_finding() {
    let mut catalog = catalog();
    catalog.name = "registry.example.com/catalog".to_owned();
    let facts = CatalogFacts::of(&catalog);
    let messages = |policy: &str, facts: CatalogFacts, day: &str| {
        let policy = policy_of(policy, day);
        let report = Auditor::new(&catalog, &policy, date(day), facts).audit(&[], Vec::new());
        report.catalog_findings.into_iter().map(|finding| finding.message).collect::<Vec<_>>()
    };
    assert_eq!(messages("", facts.clone(), NOW), Vec::<String>::new());
    let signed = CatalogFacts { is_signed: true, ..facts.clone() };
    assert_eq!(messages("require_signed = true", signed, NOW), Vec::<String>::new());
    assert!(messages("require_signed = true", facts.clone(), NOW)[0].contains("no signature"));
    assert!(messages("", facts.clone(), "2027-03-01")[0].contains("valid until 2027-02-21"));
    assert!(messages("max_catalog_age_days = 2", facts.clone(), NOW)[0].contains("3 days old"));
    assert!(messages("min_revision = 99", facts.clone(), NOW)[0].contains("revision 99 is known"));
    let seen = CatalogFacts { newest_seen: Some(50), ..facts };
    assert!(messages("", seen, NOW)[0].contains("revision 50 is known"));
}

fn policy_of(text: &str, day: &str) -> Policy {
    Policy::parse(text, date(day)).unwrap()
}

#[test]
fn a_policy_softens_and_hardens() {
    let catalog = catalog();
    let row = |text: &str, id: &str| audit_with(&catalog, &policy(text), &[on(&catalog, id)]).rows.remove(0);
    let outdated = |text: &str| severity(&row(text, "python3-3.13.5-1"), Rule::NewerBuild);
    assert_eq!(outdated(""), Some(Severity::Warning));
    assert_eq!(outdated("grace_days = { outdated = 30 }"), Some(Severity::Note));
    let system = |text: &str| severity(&row(text, "python3-3.11.2-1"), Rule::SystemEnded);
    assert_eq!(system("os_support = \"standard\""), Some(Severity::Error));
    assert_eq!(system("os_support = \"standard\"\n[grace_days]\neol = 200"), Some(Severity::Warning));
    assert_eq!(
        rules(&row("[runtimes]\ndeny = [\"nodejs24\"]", "nodejs24-24.21.0-1")),
        BTreeSet::from(["RT014"])
    );
    assert_eq!(rules(&row("[runtimes]\nallow = [\"python3\"]", "python3-3.13.5-2")), BTreeSet::new());
    let waits = row("min_build_age_days = 60", "python3-3.13.5-1");
    assert_eq!(waits.suggestion, None, "nothing is old enough to be suggested");
}

#[test]
fn what_is_allowed_is_shown_and_does_not_count() {
    let catalog = catalog();
    let allow = |id: &str, repos: &str| {
        format!("[[allow]]\nid = \"{id}\"\nreason = \"known\"\nuntil = \"2026-12-31\"\nrepos = [{repos}]\n")
    };
    let outcome = |text: &str| {
        let images = [on(&catalog, "nodejs22-22.20.0-1")];
        audit_with(&catalog, &policy(text), &images).outcome(Severity::Error)
    };
    assert_eq!(outcome(""), Outcome::Failed);
    assert_eq!(outcome(&allow("RT007", "")), Outcome::Clean);
    assert_eq!(outcome(&allow("nodejs22-22.20.0-1", "\"team/*\"")), Outcome::Clean);
    assert_eq!(outcome(&allow("RT007", "\"registry.example.com/team/app\"")), Outcome::Clean);
    assert_eq!(outcome(&allow("RT007", "\"other/*\"")), Outcome::Failed);
    assert_eq!(outcome(&allow("RT001", "")), Outcome::Failed);
    let report = audit_with(&catalog, &policy(&allow("RT007", "")), &[on(&catalog, "nodejs22-22.20.0-1")]);
    assert_eq!(report.rows[0].findings[0].allowed.as_deref(), Some("known (until 2026-12-31)"));
}

#[test]
fn a_policy_that_is_not_understood_or_holds_no_more_is_refused() {
    let refused = |text: &str| {
        let error = Policy::parse(text, date(NOW)).unwrap_err();
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        format!("{error} {cause}")
    };
    let allow =
        |id: &str, until: &str| format!("[[allow]]\nid = \"{id}\"\nreason = \"r\"\nuntil = \"{until}\"\n");
    assert!(refused("fail_onn = \"error\"").contains("unknown field `fail_onn`"));
    assert!(refused("fail_on = \"fatal\"").contains("unknown variant"));
    assert!(refused("[grace_days]\nweeks = 3").contains("unknown field `weeks`"));
    assert!(refused(&allow("RT01", "2026-12-31")).contains("there is no rule `RT01`; did you mean `RT0"));
    assert!(refused(&allow("RT099", "2026-12-31")).contains("there is no rule `RT099`"));
    assert!(refused(&allow("RT004", "2026-11-25")).contains("ended on 2026-11-25: r"));
    assert!(refused(&allow("RT004", "soon")).contains("not a date"));
    assert!(
        refused("[[allow]]\nid = \"RT004\"\nuntil = \"2026-12-31\"\n").contains("missing field `reason`")
    );
    assert!(
        refused("[[allow]]\nid = \"RT004\"\nreason = \" \"\nuntil = \"2026-12-31\"\n").contains("no reason")
    );
    let glob = "[[allow]]\nid = \"RT004\"\nreason = \"r\"\nuntil = \"2026-12-31\"\nrepos = [\"[\"]\n";
    assert!(refused(glob).contains("is no glob"));
    assert!(Policy::parse(&allow("RT004", NOW), date(NOW)).is_ok(), "the last day counts");
}

#[test]
fn what_was_not_read_keeps_an_audit_from_being_clean() {
    let catalog = catalog();
    let unread = || vec![Unread { reference: "x:1".to_owned(), reason: "denied".to_owned() }];
    let policy = Policy::default();
    let auditor = Auditor::new(&catalog, &policy, date(NOW), CatalogFacts::of(&catalog));
    assert_eq!(auditor.audit(&[], Vec::new()).outcome(Severity::Error), Outcome::Clean);
    assert_eq!(auditor.audit(&[], unread()).outcome(Severity::Error), Outcome::Partial);
    let failed = [on(&catalog, "nodejs22-22.20.0-1")];
    assert_eq!(auditor.audit(&failed, unread()).outcome(Severity::Error), Outcome::Failed);
    let warned = [on(&catalog, "python3-3.13.5-1")];
    assert_eq!(auditor.audit(&warned, Vec::new()).outcome(Severity::Error), Outcome::Clean);
    assert_eq!(auditor.audit(&warned, Vec::new()).outcome(Severity::Warning), Outcome::Failed);
}

fn ids() -> Vec<String> {
    catalog().entries.iter().map(|entry| entry.id.to_string()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_image_on_an_entry_is_always_recognised_and_one_changed_layer_hides_it(
        which in 0..7_usize,
        app_layers in 0..4_usize,
        changed in 0..8_usize,
    ) {
        let catalog = catalog();
        let id = &ids()[which];
        let mut image = on(&catalog, id);
        image.diff_ids.pop();
        let own = image.diff_ids.len();
        image.diff_ids.extend((0..app_layers).map(|number| digest(&format!("app {number}"))));
        let row = audit(&catalog, &image);
        prop_assert_eq!(row.evidence, Evidence::Layers);
        prop_assert_eq!(&row.entry.unwrap().to_string(), id);
        image.diff_ids[changed % own] = digest("flipped");
        prop_assert_ne!(audit(&catalog, &image).evidence, Evidence::Layers);
    }
}

/// A report with all kinds of rows, whose foreign texts try to be markup.
fn hostile() -> Report {
    let catalog = catalog();
    let evil = "</script><img src=x onerror=alert(1)>|`*_[x](javascript:1)\u{1b}[2J\"'&\n::error::x";
    let mut foreign = Observed {
        repository: format!("registry.example.com/{evil}"),
        tags: vec![evil.to_owned()],
        diff_ids: vec![digest("foreign")],
        labels: BTreeMap::from([("dev.lapstrake.overrides".to_owned(), evil.to_owned())]),
        ..on(&catalog, "python3-3.13.5-1")
    };
    foreign.annotations.insert("org.opencontainers.image.base.name".to_owned(), evil.to_owned());
    let images = [on(&catalog, "python3-3.13.5-2"), on(&catalog, "nodejs22-22.20.0-1"), foreign];
    let unread = vec![Unread { reference: evil.to_owned(), reason: evil.to_owned() }];
    let policy = Policy::default();
    let facts = CatalogFacts::of(&catalog);
    Auditor::new(&catalog, &policy, date(NOW), facts).audit(&images, unread)
}

#[test]
fn no_format_lets_foreign_text_be_more_than_text() {
    let report = hostile();
    for (name, text) in [
        ("table", format::table(&report)),
        ("markdown", format::markdown(&report)),
        ("junit", format::junit(&report)),
        ("html", format::html(&report)),
        ("json", format::json(&report)),
        ("sarif", format::sarif(&report, None)),
    ] {
        assert!(!text.contains('\u{1b}'), "{name}");
        assert!(text.contains("RT007"), "{name}");
        let is_json = matches!(name, "json" | "sarif");
        assert!(is_json || name == "table" || !text.contains("<img"), "{name}: {text}");
        assert!(!text.contains("\n::error::"), "{name}: no line begins with foreign text");
    }
    let markdown = format::markdown(&report);
    assert!(!markdown.contains("[x](") && !markdown.contains("`*"), "{markdown}");
}

#[test]
fn the_table_says_everything_in_few_lines() {
    let catalog = catalog();
    let report = audit_with(&catalog, &Policy::default(), &[on(&catalog, "python3-3.13.5-1")]);
    let expected = "\
IMAGE                             PLATFORM     RUNTIME           STATUS  RESULT
registry.example.com/team/app:v1  linux/amd64  python3-3.13.5-1  active  warning
  RT001 warning: a newer build exists: python3-3.13.5-2 (released 2026-11-01)
  RT008 warning: newer builds fix CVE-2026-0001, CVE-2026-0002, CVE-2026-0003, CVE-2026-0004, CVE-2026-0005 and 2 more
  -> rebase: lapstrake rebase registry.example.com/team/app:v1 --to python3-3.13.5-2
1 image: 0 errors, 2 warnings, 0 notes (catalog local, revision 7, as of 2026-11-26)
";
    assert_eq!(format::table(&report), expected);
}

#[test]
fn programs_read_json_and_sarif() {
    let report = hostile();
    let json: serde_json::Value = serde_json::from_str(&format::json(&report)).unwrap();
    assert_eq!((&json["schema"], &json["asOf"]), (&1.into(), &NOW.into()));
    assert_eq!(json["totals"]["images"], 3);
    assert_eq!(json["rows"][2]["findings"][0]["rule"], "RT007");
    assert_eq!(json["rows"][2]["suggestion"]["action"], "rebase");
    assert_eq!(json["unread"].as_array().unwrap().len(), 1);
    let source = format::Source { file: "apprunner.yaml".to_owned(), line: 2 };
    let sarif: serde_json::Value = serde_json::from_str(&format::sarif(&report, Some(&source))).unwrap();
    let run = &sarif["runs"][0];
    assert_eq!(run["invocations"][0]["executionSuccessful"], false);
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), report.findings().count());
    let revoked = results.iter().find(|result| result["ruleId"] == "RT007").unwrap();
    assert_eq!(revoked["level"], "error");
    assert_eq!(revoked["locations"][0]["physicalLocation"]["region"]["startLine"], 2);
    let name = revoked["locations"][0]["logicalLocations"][0]["fullyQualifiedName"].as_str().unwrap();
    assert!(name.starts_with("oci://registry.example.com/team/app@sha256:"), "{name}");
    let fingerprint = revoked["partialFingerprints"]["image/v1"].as_str().unwrap();
    assert_eq!(fingerprint, "registry.example.com/team/app linux/amd64 nodejs22-22.20.0-1 RT007");
}

#[test]
fn five_thousand_entries_and_two_hundred_images_are_told_apart() {
    let mut catalog = catalog();
    let template = catalog.entry(&"python3-3.13.4-1".parse().unwrap()).unwrap().clone();
    for patch in 100..5100_u64 {
        let mut entry = template.clone();
        entry.version.patch = patch;
        entry.id = EntryId::new("python3", entry.version, 1).unwrap();
        for (platform, record) in &mut entry.platforms {
            record.images = images(&format!("{} {platform}", entry.id));
        }
        catalog.entries.push(entry);
    }
    catalog.check().unwrap();
    let all: Vec<Observed> = (0..200)
        .map(|number| {
            let id = catalog.entries[number * 20].id.to_string();
            Observed { digest: digest(&number.to_string()), ..on(&catalog, &id) }
        })
        .collect();
    let report = audit_with(&catalog, &Policy::default(), &all);
    assert!(report.rows.iter().all(|row| row.evidence == Evidence::Layers));
}
