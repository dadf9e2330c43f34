mod properties;

use crate::sample::{AMD64, ARM64, change, date, digest, examples, images, local, new_entry, platforms};
use crate::*;

fn request(runtime: &str, version: &str) -> Request {
    let request = Request::new(runtime);
    if version.is_empty() { request } else { request.with_version(version.parse().unwrap()) }
}

fn resolve<'a>(catalog: &'a Catalog, request: &Request) -> Result<Resolution<'a>, ResolveError> {
    let both = platforms(&[AMD64, ARM64]);
    catalog.resolve(request, &both, date("2026-11-25"), &Permissions::default())
}

fn id(catalog: &Catalog, runtime: &str, version: &str) -> String {
    resolve(catalog, &request(runtime, version)).unwrap().entry.id.to_string()
}

fn error(catalog: &Catalog, runtime: &str, version: &str) -> (String, Option<String>) {
    let error = resolve(catalog, &request(runtime, version)).unwrap_err();
    (error.to_string(), error.hint())
}

fn edit(catalog: &mut Catalog, id: &str, change: impl FnOnce(&mut Entry)) {
    change(catalog.entries.iter_mut().find(|entry| entry.id.to_string() == id).unwrap());
}

// row 14, row 15, name python3, name python311, name nodejs22, lock R1, lock R3, lock R4, lock R5,
// choice taken
#[test]
fn the_examples_of_the_app_files_description_give_their_entries() {
    let catalog = examples();
    for (runtime, version, expected) in [
        ("python3", "", "python3-3.13.5-2"),
        ("python3", "3", "python3-3.13.5-2"),
        ("python3", "3.11", "python3-3.11.14-1"),
        ("python3", "3.13", "python3-3.13.5-2"),
        ("python311", "", "python3-3.11.14-1"),
        ("python311", "3", "python3-3.11.14-1"),
        ("python311", "3.11", "python3-3.11.14-1"),
        ("python313", "3.13.4", "python3-3.13.4-1"),
        ("python313", "3.13.5", "python3-3.13.5-2"),
        ("python313", "3.13.5-1", "python3-3.13.5-1"),
        ("nodejs22", "", "nodejs22-22.21.1-1"),
        ("nodejs22", "22", "nodejs22-22.21.1-1"),
        ("nodejs22", "22.14", "nodejs22-22.14.0-1"),
        ("nodejs22", "22.14.0", "nodejs22-22.14.0-1"),
        ("nodejs24", "", "nodejs24-24.20.0-1"),
    ] {
        assert_eq!(id(&catalog, runtime, version), expected, "{runtime} {version}");
    }
}

// quirk 15, quirk 24, lock R7, lock R9, choice refused
#[test]
fn the_examples_of_the_app_files_description_are_refused_with_facts() {
    let catalog = examples();
    for (runtime, version, message, hint) in [
        (
            "python3",
            "3.10",
            "the catalog has no version `3.10` of `python3`",
            "the line has `3.15.0`, `3.13.5`, `3.13.4`, `3.11.14`",
        ),
        (
            "python3",
            "3.8.16",
            "the catalog has no version `3.8.16` of `python3`",
            "the line has `3.15.0`, `3.13.5`, `3.13.4`, `3.11.14`",
        ),
        (
            "python311",
            "3.12",
            "version `3.12` is outside the line 3.11 of `python311`",
            "no runtime of the catalog has this version; it has `python3`, `python311`, `python313`, `python315`",
        ),
        (
            "python311",
            "3.13",
            "version `3.13` is outside the line 3.11 of `python311`",
            "this version belongs to `python3`, `python313`",
        ),
        (
            "nodejs22",
            "24",
            "version `24` is outside the line 22 of `nodejs22`",
            "this version belongs to `nodejs24`",
        ),
        (
            "python313",
            "3.13.5-3",
            "the catalog has no version `3.13.5-3` of `python313`",
            "the builds of this version are `python3-3.13.5-1`, `python3-3.13.5-2`",
        ),
        (
            "nodejs22",
            "22.99",
            "the catalog has no version `22.99` of `nodejs22`",
            "the line has `22.21.1`, `22.14.0`",
        ),
    ] {
        assert_eq!(error(&catalog, runtime, version), (message.to_owned(), Some(hint.to_owned())));
    }
}

// row 14, quirk 13, validation runtime, name other-languages, name near
#[test]
fn an_unknown_runtime_is_answered_with_the_nearest_name() {
    let catalog = examples();
    let (message, hint) = error(&catalog, "python3.11", "");
    assert_eq!(message, "runtime `python3.11` is not in the catalog");
    assert!(hint.unwrap().starts_with("did you mean `python311`? The catalog has `python311`, `python31"));
    let (_, hint) = error(&catalog, "docker", "");
    assert!(hint.unwrap().starts_with("the catalog has `"));
    // The exact name counts; lowering is the reader's, who warns.
    assert!(error(&catalog, "Python3", "").1.unwrap().starts_with("did you mean `python3`?"));
}

// name python3
#[test]
fn a_new_minor_does_not_arrive_before_it_is_the_default() {
    let mut catalog = examples();
    edit(&mut catalog, "python3-3.15.0-1", |entry| entry.status = Status::Active);
    assert_eq!(id(&catalog, "python3", "3"), "python3-3.13.5-2");
    catalog.runtimes.get_mut("python3").unwrap().default = "3.15".to_owned();
    assert_eq!(id(&catalog, "python3", "3"), "python3-3.15.0-1");
    assert_eq!(id(&catalog, "python3", "3.13"), "python3-3.13.5-2");
}

// lock R12
#[test]
fn a_preview_is_taken_only_where_the_lock_names_its_line() {
    let catalog = examples();
    let refused = error(&catalog, "python315", "");
    assert_eq!(refused.0, "`python3-3.15.0-1` is a preview");
    assert_eq!(refused.1.unwrap(), "`runtime-version: 3.15.0` takes it");
    assert_eq!(error(&catalog, "python315", "3").0, refused.0);
    for (runtime, version) in [("python315", "3.15"), ("python3", "3.15"), ("python3", "3.15.0-1")] {
        let resolution = resolve(&catalog, &request(runtime, version)).unwrap().clone();
        assert_eq!(resolution.entry.id.to_string(), "python3-3.15.0-1");
        assert_eq!(resolution.warnings, [Warning::Preview { id: resolution.entry.id.clone() }]);
    }
}

#[test]
fn one_entry_serves_all_platforms_or_the_lower_one_does() {
    let mut catalog = examples();
    edit(&mut catalog, "nodejs22-22.21.1-1", |entry| {
        entry.platforms.remove(&ARM64.parse().unwrap());
    });
    assert_eq!(id(&catalog, "nodejs22", ""), "nodejs22-22.14.0-1");
    let (message, hint) = error(&catalog, "nodejs22", "22.21.1");
    assert_eq!(message, "`nodejs22-22.21.1-1` does not exist for `linux/arm64`");
    assert_eq!(hint.unwrap(), "it exists for `linux/amd64`");
}

// row 23, lock R12
#[test]
fn end_of_life_is_refused_until_a_permission_names_the_entry() {
    let mut catalog =
        local(&[("nodejs20", "20.20.2", Status::Active), ("nodejs20", "20.20.1", Status::Active)]);
    for entry in &mut catalog.entries {
        entry.upstream.eol = Some(date("2026-04-30"));
    }
    let (message, hint) = error(&catalog, "nodejs20", "20.20.2");
    assert_eq!(message, "`nodejs20-20.20.2-1` is end of life since 2026-04-30");
    let permit = "`--allow-eol nodejs20-20.20.2-1` takes it all the same";
    assert_eq!(hint.unwrap(), format!("move to `runtime: nodejs22`; {permit}"));
    assert!(
        error(&catalog, "nodejs20", "")
            .0
            .starts_with("no entry for `nodejs20` may be taken: `nodejs20-20.20.2-1`")
    );

    let other = "nodejs20-20.20.1-1".parse::<EntryId>().unwrap();
    let permissions = Permissions { allow_eol: vec![other.clone()], ..Permissions::default() };
    let as_of = date("2026-11-25");
    let ask = |version: &str, catalog: &Catalog| {
        let answer =
            catalog.resolve(&request("nodejs20", version), &platforms(&[AMD64]), as_of, &permissions);
        answer.map(|resolution| (resolution.entry.id.clone(), resolution.reasons, resolution.warnings.len()))
    };
    assert!(ask("20.20.2", &catalog).is_err());
    let permitted = Reason::Permitted { id: other.clone(), status: Status::Eol };
    assert_eq!(ask("", &catalog), Ok((other.clone(), vec![permitted], 1)));

    edit(&mut catalog, "nodejs20-20.20.1-1", |entry| entry.block_on = Some(date("2026-11-25")));
    let blocked = ask("20.20.1", &catalog).unwrap_err();
    assert_eq!(blocked.to_string(), "`nodejs20-20.20.1-1` is end of life and blocked since 2026-11-25");
}

// lock R12
#[test]
fn a_revoked_entry_is_refused_until_a_permission_with_a_reason_names_it() {
    let mut catalog = examples();
    edit(&mut catalog, "python3-3.13.5-2", |entry| {
        entry.status = Status::Revoked;
        entry.revoked = Some(Revocation {
            date: date("2026-11-24"),
            reason: "wrong libssl".to_owned(),
            severity: "critical".to_owned(),
            advisories: Vec::new(),
            replacement: "python3-3.13.5-1".parse().ok(),
        });
    });
    assert_eq!(id(&catalog, "python3", ""), "python3-3.13.5-1");
    let (message, hint) = error(&catalog, "python3", "3.13.5-2");
    assert_eq!(message, "`python3-3.13.5-2` is revoked: wrong libssl");
    assert_eq!(hint.unwrap(), "take `python3-3.13.5-1` instead");

    let id = "python3-3.13.5-2".parse::<EntryId>().unwrap();
    let permissions = Permissions {
        allow_revoked: [(id.clone(), "no TLS here".to_owned())].into(),
        ..Permissions::default()
    };
    let pinned = request("python3", "3.13.5-2");
    let resolution =
        catalog.resolve(&pinned, &platforms(&[AMD64]), date("2026-11-25"), &permissions).unwrap();
    let (reason, permission) = ("wrong libssl".to_owned(), "no TLS here".to_owned());
    assert_eq!(resolution.warnings, [Warning::Revoked { id, reason, permission }]);
}

#[test]
fn what_a_later_revision_has_revoked_is_refused_and_not_passed_over() {
    let mut catalog = examples();
    let mut later = Catalog { revision: 9, ..catalog.clone() };
    let replacement = "python3-3.13.5-3".parse::<EntryId>().unwrap();
    edit(&mut later, "python3-3.13.5-2", |entry| {
        entry.status = Status::Revoked;
        entry.revoked = Some(Revocation {
            date: date("2026-11-24"),
            reason: "its key leaked".to_owned(),
            severity: "high".to_owned(),
            advisories: Vec::new(),
            replacement: Some(replacement),
        });
    });
    catalog.learn(&later);
    let (message, hint) = error(&catalog, "python3", "3.13");
    assert_eq!(
        message,
        "`python3-3.13.5-2` was revoked in revision 9, after the one that is pinned: its key leaked"
    );
    assert!(hint.unwrap().starts_with("pin revision 9 or a later one; `--allow-revoked python3-3.13.5-2"));
    // Whoever asks for another entry gets it.
    assert_eq!(id(&catalog, "python3", "3.13.5-1"), "python3-3.13.5-1");
    let taken = "python3-3.13.5-2".parse::<EntryId>().unwrap();
    let permissions = Permissions {
        allow_revoked: [(taken.clone(), "a test".to_owned())].into(),
        ..Permissions::default()
    };
    let resolved =
        catalog.resolve(&request("python3", "3.13"), &[], date("2026-11-25"), &permissions).unwrap();
    assert_eq!((&resolved.entry.id, resolved.status), (&taken, Status::Revoked));
    assert_eq!(catalog.to_bytes(), examples().to_bytes());
}

#[test]
fn active_comes_before_deprecated_though_it_is_lower() {
    let mut catalog = examples();
    edit(&mut catalog, "nodejs22-22.21.1-1", |entry| entry.deprecated_on = Some(date("2026-11-25")));
    assert_eq!(id(&catalog, "nodejs22", ""), "nodejs22-22.14.0-1");
    let locked = resolve(&catalog, &request("nodejs22", "22.21.1")).unwrap().clone();
    assert_eq!(
        locked.warnings[0].to_string(),
        "`nodejs22-22.21.1-1` is deprecated since 2026-11-25, its support ends on 2030-06-30; move to `runtime: nodejs24`"
    );
    edit(&mut catalog, "nodejs22-22.14.0-1", |entry| entry.status = Status::Deprecated);
    assert_eq!(id(&catalog, "nodejs22", ""), "nodejs22-22.21.1-1");
}

#[test]
fn a_young_entry_waits_unless_it_is_pinned_or_replaces_a_revoked_one() {
    let mut catalog = examples();
    edit(&mut catalog, "python3-3.13.5-2", |entry| entry.released = date("2026-11-20"));
    let permissions = Permissions { min_build_age_days: 7, ..Permissions::default() };
    let ask = |catalog: &Catalog, version: &str| {
        let request = request("python3", version);
        let resolution = catalog.resolve(&request, &platforms(&[AMD64]), date("2026-11-25"), &permissions);
        resolution.map(|resolution| resolution.entry.id.to_string())
    };
    assert_eq!(ask(&catalog, "3.13.5").unwrap(), "python3-3.13.5-1");
    assert_eq!(ask(&catalog, "3.13.5-2").unwrap(), "python3-3.13.5-2");
    edit(&mut catalog, "python3-3.13.5-1", |entry| entry.status = Status::Revoked);
    assert_eq!(ask(&catalog, "3.13.5").unwrap(), "python3-3.13.5-2");
}

// lock R10, engines 1, engines 3, engines 6
#[test]
fn engines_narrow_a_request_without_a_lock() {
    let catalog = examples();
    let answer = |engines: &str| {
        let resolution = resolve(&catalog, &Request::new("nodejs22").with_engines(engines)).unwrap();
        (resolution.entry.id.to_string(), resolution.warnings)
    };
    assert_eq!(answer("22.14.x"), ("nodejs22-22.14.0-1".to_owned(), vec![]));
    assert_eq!(answer(">=18"), ("nodejs22-22.21.1-1".to_owned(), vec![]));
    let ignored = Warning::EnginesUnreadable { text: "the newest".to_owned() };
    assert_eq!(answer("the newest"), ("nodejs22-22.21.1-1".to_owned(), vec![ignored]));
}

// row 19, engines 5
#[test]
fn engines_that_nothing_satisfies_are_a_conflict() {
    let catalog = examples();
    let error = resolve(&catalog, &Request::new("nodejs22").with_engines(">=24")).unwrap_err();
    assert_eq!(error.to_string(), "no version of `nodejs22` satisfies `engines.node`, which asks for `>=24`");
    assert_eq!(error.hint().unwrap(), "`runtime: nodejs24` satisfies both");
    let none = resolve(&catalog, &Request::new("nodejs22").with_engines("18.x")).unwrap_err();
    assert_eq!(none.hint(), None);
}

// engines 4
#[test]
fn a_lock_outside_of_engines_is_a_conflict_even_though_others_satisfy_it() {
    let catalog = examples();
    let request = request("nodejs22", "22.14.0").with_engines("^22.20");
    let error = resolve(&catalog, &request).unwrap_err();
    let expected = "`nodejs22 22.14.0` gives `nodejs22-22.14.0-1`, but `engines.node` asks for `^22.20`";
    assert_eq!(error.to_string(), expected);
    assert_eq!(error.hint().unwrap(), "`runtime: nodejs22` with `runtime-version: 22.21.1` satisfies both");
}

// engines other
#[test]
fn engines_do_not_count_for_python() {
    let catalog = examples();
    let resolution = resolve(&catalog, &Request::new("python3").with_engines("18.x")).unwrap();
    assert_eq!(resolution.entry.id.to_string(), "python3-3.13.5-2");
}

#[test]
fn requires_python_narrows_a_request_without_a_lock() {
    let mut catalog = examples();
    let answer = |catalog: &Catalog, request: Request| {
        let resolution = resolve(catalog, &request).unwrap();
        (resolution.entry.id.to_string(), resolution.warnings)
    };
    let ranged = |range: &str| Request::new("python3").with_requires_python(range);
    assert_eq!(answer(&catalog, ranged("<3.13")).0, "python3-3.11.14-1");
    assert_eq!(answer(&catalog, ranged(">=3.11")).0, "python3-3.13.5-2");
    assert_eq!(answer(&catalog, ranged(">=3.11,<3.13.5")).0, "python3-3.13.4-1");
    let alias = Request::new("python311").with_requires_python(">=3.11");
    assert_eq!(answer(&catalog, alias).0, "python3-3.11.14-1");
    let locked = request("python3", "3.11").with_requires_python(">=3.13");
    assert_eq!(
        answer(&catalog, locked),
        ("python3-3.11.14-1".to_owned(), vec![]),
        "beside a lock it does not count"
    );
    let ignored = Warning::RequiresPythonUnreadable { text: "3.11".to_owned() };
    assert_eq!(answer(&catalog, ranged("3.11")), ("python3-3.13.5-2".to_owned(), vec![ignored]));
    // A new minor does not arrive by itself, unless the default has nothing in the range.
    edit(&mut catalog, "python3-3.15.0-1", |entry| entry.status = Status::Active);
    assert_eq!(answer(&catalog, ranged(">=3.11")).0, "python3-3.13.5-2");
    assert_eq!(answer(&catalog, ranged(">=3.14")).0, "python3-3.15.0-1");
}

#[test]
fn a_range_that_the_default_may_satisfy_one_day_takes_no_higher_line_until_then() {
    let mut catalog = examples();
    edit(&mut catalog, "python3-3.15.0-1", |entry| entry.status = Status::Active);
    let ask = |catalog: &Catalog, range: &str| {
        let answer = resolve(catalog, &Request::new("python3").with_requires_python(range));
        answer.map(|resolution| resolution.entry.id.to_string())
    };
    let error = ask(&catalog, ">=3.13.7").unwrap_err();
    let expected = "no version of `python3` 3.13, the catalog's default, satisfies `requires-python`, which asks for `>=3.13.7`";
    assert_eq!(error.to_string(), expected);
    assert!(
        error.hint().unwrap().starts_with("name another line with `--runtime-version`: there are `3.15.0`")
    );
    let later = catalog.next(change(vec![new_entry("python3", "3.13.7", 1)])).unwrap();
    assert_eq!(ask(&later, ">=3.13.7").unwrap(), "python3-3.13.7-1");
}

#[test]
fn a_range_never_takes_a_preview_by_itself() {
    let catalog = examples();
    let error = resolve(&catalog, &Request::new("python3").with_requires_python(">=3.14")).unwrap_err();
    assert_eq!(error.to_string(), "`python3-3.15.0-1` is a preview");
}

#[test]
fn requires_python_that_nothing_satisfies_is_told_with_what_there_is() {
    let catalog = examples();
    let ask =
        |runtime: &str| resolve(&catalog, &Request::new(runtime).with_requires_python("<3.10")).unwrap_err();
    let expected = "no version of `python3` satisfies `requires-python`, which asks for `<3.10`";
    assert_eq!(ask("python3").to_string(), expected);
    assert_eq!(ask("python3").hint().unwrap(), "the line has `3.15.0`, `3.13.5`, `3.13.4`, `3.11.14`");
    assert_eq!(ask("python311").hint().unwrap(), "the line has `3.11.14`");
    let node = resolve(&catalog, &Request::new("nodejs22").with_requires_python("<3.10")).unwrap();
    assert_eq!(node.entry.id.to_string(), "nodejs22-22.21.1-1", "it does not count for Node.js");
}

// row 17, lock R6
#[test]
fn a_pinned_digest_must_be_that_of_the_platform() {
    let id: EntryId = "python3-3.13.5-2".parse().unwrap();
    let platform = AMD64.parse().unwrap();
    let catalog = examples().with_images(&id, &platform, images("x")).unwrap();
    let ask = |digest: &oci_spec::image::Digest, names: &[&str]| {
        let request = request("python3", &format!("3.13.5-2@{digest}"));
        catalog.resolve(&request, &platforms(names), date("2026-11-25"), &Permissions::default())
    };
    assert_eq!(ask(&digest("manifest x"), &[AMD64]).unwrap().entry.id, id);
    let wrong = ask(&digest("manifest y"), &[AMD64]).unwrap_err();
    let found = Some(Box::new(digest("manifest x")));
    let expected = Box::new(digest("manifest y"));
    assert_eq!(wrong, ResolveError::DigestMismatch { id, platform, expected, found });
    let several = ask(&digest("manifest x"), &[AMD64, ARM64]).unwrap_err();
    assert_eq!(several, ResolveError::DigestOfSeveral { platforms: platforms(&[AMD64, ARM64]) });
    assert!(
        ask(&digest("manifest x"), &[ARM64]).unwrap_err().to_string().ends_with("and the catalog holds none")
    );
}

// row 17, lock recorded
#[test]
fn the_answer_says_why() {
    let catalog = examples();
    let reasons = |runtime: &str, version: &str| {
        let resolution = resolve(&catalog, &request(runtime, version)).unwrap();
        resolution.reasons.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        reasons("python3", ""),
        [
            "`python3` means 3.13, the catalog's default",
            "`python3-3.13.5-2` is the newest active one of 3 that fit"
        ]
    );
    assert_eq!(
        reasons("python311", "3.11"),
        [
            "`python311` is the line 3.11 of `python3`",
            "the version is locked to `3.11`",
            "`python3-3.11.14-1` is the only entry that fits, and is active"
        ]
    );
    let ranged = Request::new("python3").with_requires_python(">=3.9,<3.13");
    assert_eq!(
        resolve(&catalog, &ranged).unwrap().reasons.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "`requires-python` asks for `>=3.9,<3.13`",
            "`python3-3.11.14-1` is the only entry that fits, and is active"
        ]
    );
    assert_eq!(reasons("python3", "3.13.5-1")[1], "`python3-3.13.5-1` is pinned");
}
