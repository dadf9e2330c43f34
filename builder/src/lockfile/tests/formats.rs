//! Each format, and for each claim its opposite.

use super::*;

fn npm(entries: &str) -> Vec<String> {
    let text = format!(r#"{{"lockfileVersion": 3, "packages": {{"": {{"name": "app"}}, {entries}}}}}"#);
    found(Format::Npm, "package-lock.json", &text)
}

/// An entry of npm's lock file.
fn entry(name: &str, resolved: &str, more: &str) -> String {
    let sha512 = integrity("sha512", 64);
    format!(
        r#""node_modules/{name}": {{"version": "1.0.0", "resolved": "{resolved}", "integrity": "{sha512}"{more}}}"#
    )
}

#[test]
fn net_05_what_comes_from_a_registry_over_https_with_a_strong_hash_is_fine() {
    let url = "https://npm-registry.example/ms/-/ms-1.0.0.tgz";
    assert_eq!(npm(&entry("ms", url, "")), [""; 0]);
    assert_eq!(npm(&entry("@team/ms", "https://npm-registry.example/@team/ms/-/ms-1.0.0.tgz", "")), [""; 0]);
    assert_eq!(npm(&entry("@team/ms", "https://npm-registry.example/x/@team%2fms/-/ms-1.tgz", "")), [""; 0]);
    // Packages of the workspace, and what lies in the package around it.
    let local = r#""web": {"version": "1.0.0"}, "node_modules/web": {"resolved": "web", "link": true},
        "node_modules/a/node_modules/b": {"version": "1.0.0", "inBundle": true}"#;
    assert_eq!(npm(local), [""; 0]);
    // Without an address it comes from the registry that is configured.
    let sha512 = integrity("sha512", 64);
    assert_eq!(npm(&format!(r#""node_modules/ms": {{"integrity": "{sha512}"}}"#)), [""; 0]);
}

#[test]
fn net_05_each_way_around_the_registry_is_named() {
    for (address, rules) in [
        ("http://npm-registry.example/ms/-/ms-1.tgz", &["ms scheme"][..]),
        ("http://npm-registry.example:8080/ms/-/ms-1.tgz", &["ms scheme", "ms host"]),
        ("https://other.example/ms/-/ms-1.tgz", &["ms host"]),
        ("https://npm-registry.example:8443/ms/-/ms-1.tgz", &["ms host"]),
        ("git+ssh://git@npm-registry.example/ms.git#abc", &["ms scheme", "ms host"]),
        ("git+https://npm-registry.example/ms.git#abc", &["ms scheme"]),
        ("git://github.example/ms.git#abc", &["ms scheme", "ms host"]),
        ("file:../../ms.tgz", &["ms scheme"]),
        ("file:///etc/ms.tgz", &["ms scheme"]),
        ("file:vendor/ms.tgz", &[]),
        ("https://npm-registry.example/evil/-/ms-1.tgz", &["ms name"]),
        ("https://npm-registry.example/ms/../evil/-/ms-1.tgz", &["ms name"]),
        ("https://npm-registry.example/@evil/ms/-/ms-1.tgz", &["ms name"]),
        ("https://npm-registry.example/evilms/-/ms-1.tgz", &["ms name"]),
        ("https://npm-registry.example@other.example/ms/-/ms-1.tgz", &["ms host"]),
    ] {
        assert_eq!(npm(&entry("ms", address, "")), rules, "{address}");
    }
    let alias = r#", "name": "string-width""#;
    let real = "https://npm-registry.example/string-width/-/string-width-4.tgz";
    assert_eq!(npm(&entry("string-width-cjs", real, alias)), ["string-width-cjs alias"]);
    assert_eq!(npm(&entry("string-width-cjs", real, r#", "name": "other""#)), ["string-width-cjs name"]);
    let link = r#""node_modules/x": {"resolved": "../../x", "link": true}"#;
    assert_eq!(npm(link), ["x scheme"]);
}

#[test]
fn net_05_a_hash_that_is_missing_weak_or_malformed_holds_nothing() {
    let of = |integrity: &str| {
        npm(&format!(r#""node_modules/ms": {{"version": "1.0.0", "integrity": "{integrity}"}}"#))
    };
    assert_eq!(of(""), ["ms unhashed"]);
    assert_eq!(of("sha512-AAAA"), ["ms unhashed"]);
    assert_eq!(of(&integrity("sha1", 20)), ["ms weak-hash"]);
    assert_eq!(of(&format!("{} {}", integrity("sha1", 20), integrity("sha512", 64))), [""; 0]);
    // Version 1 nests, and has aliases and addresses for versions.
    let text = r#"{"dependencies": {"a": {"version": "npm:b@1.0.0", "dependencies": {"c": {"version": "1.0.0"}}},
        "d": {"version": "github:x/d#1"}}}"#;
    let rules = found(Format::Npm, "package-lock.json", text);
    assert_eq!(rules, ["a unhashed", "a alias", "c unhashed", "d scheme"]);
}

#[test]
fn net_05_yarns_first_format_is_read_line_by_line() {
    let text = "# yarn lockfile v1\n\n\nms@^2.1.1, \"ms@npm:2\":\n  version \"2.1.2\"\n  resolved \"https://yarn-registry.example/ms/-/ms-2.1.2.tgz#d09d1f357b443f493382a8eb3ccd183872ae6009\"\n  dependencies:\n    version \"1\"\n\n\
                \"c@npm:@team/d@^1\":\n  version \"1.0.0\"\n  resolved \"https://yarn-registry.example/@team/d/-/d-1.0.0.tgz\"\n\n\
                \"lib@file:../lib\":\n  version \"1.0.0\"\n\nnear@link:./near:\n  version \"0.0.0\"\n";
    let rules = found(Format::Yarn, "yarn.lock", text);
    assert_eq!(rules, ["ms weak-hash", "c alias", "c unhashed", "lib unhashed"]);
    let below = found(Format::Yarn, "web/yarn.lock", text);
    assert_eq!(below, rules);
    for (broken, line) in [
        ("{\n  \"a\": 1\n}\n", 1),
        ("a@1:\n  resolved \"x\"\nb@1:\n  version \"1\"\n", 3),
        ("  version \"1\"\n", 1),
        ("a:\n  version \"1\"\n", 1),
        ("a@1:\n  resolved \"x\"\n", 0),
    ] {
        assert_eq!(read(Format::Yarn, "yarn.lock", broken).unwrap_err().line, line, "{broken}");
    }
    assert_eq!(found(Format::Yarn, "yarn.lock", "# yarn lockfile v1\n"), [""; 0]);
}

#[test]
fn net_05_yarns_later_format_and_pnpms_are_read() {
    let sum = "ab".repeat(64);
    let berry = format!(
        "__metadata:\n  version: 8\n\n\"a@npm:^1, a@npm:1\":\n  version: 1.0.0\n  resolution: \"a@npm:1.0.0\"\n  checksum: 10c0/{sum}\n\n\
         \"b@npm:1\":\n  resolution: \"b@npm:1.0.0\"\n\n\"c@npm:d@1\":\n  resolution: \"d@npm:1.0.0\"\n  checksum: {sum}\n\n\
         \"e@https://github.example/e.git\":\n  resolution: \"e@https://github.example/e.git#commit=1\"\n\n\
         \"f@patch:f@npm%3A1#~/.yarn/patches/f\":\n  resolution: \"f@patch:f@npm%3A1#~/.yarn/patches/f::version=1\"\n\n\
         \"g@file:../../g::locator=x\":\n  resolution: \"g@file:../../g#../../g::hash=1\"\n\n\
         \"h@npm:1\":\n  resolution: \"h@npm:1::__archiveUrl=https%3A%2F%2Fother.example%2Fh.tgz\"\n  checksum: {sum}\n\n\
         \"app@workspace:.\":\n  resolution: \"app@workspace:.\"\n"
    );
    assert_eq!(
        found(Format::Yarn, "yarn.lock", &berry),
        ["b unhashed", "c alias", "e host", "e unhashed", "g scheme", "h host"]
    );
    let sha512 = integrity("sha512", 64);
    let pnpm = format!(
        "lockfileVersion: '9.0'\npackages:\n  /a@1.0.0:\n    resolution: {{integrity: {sha512}}}\n  '@team/b@1.0.0':\n    resolution: {{}}\n\
         \x20 c@https://codeload.example/c.tar.gz:\n    resolution: {{tarball: https://codeload.example/c.tar.gz}}\n\
         \x20 d@1:\n    resolution: {{type: git, repo: 'git@github.example:d.git', commit: abc}}\n\
         \x20 e@file:../e:\n    resolution: {{directory: ../e, type: directory}}\n"
    );
    assert_eq!(
        found(Format::Pnpm, "pnpm-lock.yaml", &pnpm),
        ["@team/b unhashed", "c host", "c unhashed", "d scheme", "e scheme"]
    );
    // One level down, the same path lies in the source.
    assert_eq!(found(Format::Pnpm, "web/pnpm-lock.yaml", &pnpm).len(), 4);
}

#[test]
fn net_04_requirements_are_held_by_their_hashes() {
    let (sha256, md5) = ("ab".repeat(32), "ab".repeat(16));
    let text = format!(
        "--index-url http://index.example/simple\n-e .\n./lib\nflask==3.1 --hash=sha256:{sha256} \\\n  --hash=sha256:{sha256}\n\
         gunicorn[x]>=2 ; python_version > '3'\nodd==1 --hash=sha256:{sha256} --hash=md5:{md5}\nold==1 --hash md5:{md5}\n\
         lib @ https://npm-registry.example/lib.whl#sha256={sha256}\nother @ git+ssh://git@github.example/o.git@1\n\
         https://npm-registry.example/pack-1.tar.gz\n-e git+https://github.example/x#egg=x\n../out\nshort==1 --hash=sha256:abc\n"
    );
    assert_eq!(
        found(Format::Requirements, "requirements.txt", &text),
        [
            "--index-url scheme",
            "--index-url host",
            "gunicorn unhashed",
            "odd weak-hash",
            "old weak-hash",
            "other scheme",
            "other host",
            "pack-1.tar.gz unhashed",
            "x scheme",
            "x host",
            "out scheme",
            "short unhashed"
        ]
    );
    let lock = read(Format::Requirements, "requirements.txt", &text).unwrap();
    let lines: Vec<usize> = lock.packages.iter().map(|package| package.line).collect();
    assert_eq!(lines, [1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
}

#[test]
fn net_04_lock_files_of_python_are_held_by_the_hashes_of_all_their_files() {
    let sha256 = "ab".repeat(32);
    let uv = format!(
        "version = 1\n[[package]]\nname = 'a'\nsource = {{ registry = 'https://npm-registry.example/simple' }}\n\
         sdist = {{ url = 'x', hash = 'sha256:{sha256}' }}\nwheels = [{{ url = 'y', hash = 'sha256:{sha256}' }}]\n\
         [[package]]\nname = 'b'\nsource = {{ registry = 'http://other.example/simple' }}\nwheels = [{{ url = 'y' }}, {{ url = 'z', hash = 'sha256:{sha256}' }}]\n\
         [[package]]\nname = 'c'\nsource = {{ git = 'https://github.example/c?rev=1#2' }}\n\
         [[package]]\nname = 'd'\nsource = {{ editable = '.' }}\n[[package]]\nname = 'e'\nsource = {{ directory = '../e' }}\n"
    );
    let rules = ["b scheme", "b host", "b unhashed", "c scheme", "c host", "e scheme"];
    assert_eq!(found(Format::PythonToml, "uv.lock", &uv), rules);
    let poetry = format!(
        "[[package]]\nname = 'a'\nfiles = [{{file = 'a.whl', hash = 'sha256:{sha256}'}}]\n[[package]]\nname = 'b'\n\
         [package.source]\ntype = 'git'\nurl = 'https://github.example/b.git'\n[[package]]\nname = 'c'\nfiles = []\n\
         [metadata.files]\nc = [{{file = 'c.whl', hash = 'md5:{}'}}]\n",
        "ab".repeat(16)
    );
    assert_eq!(found(Format::PythonToml, "poetry.lock", &poetry), ["b scheme", "b host", "c weak-hash"]);
    let pipenv = format!(
        r#"{{"_meta": {{"hash": {{}}}}, "default": {{"a": {{"hashes": ["sha256:{sha256}"]}}, "b": {{"version": "==1"}},
            "c": {{"git": "https://github.example/c"}}, "d": {{"path": ".", "editable": true}}}}, "develop": {{}}}}"#
    );
    assert_eq!(found(Format::Pipfile, "Pipfile.lock", &pipenv), ["b unhashed", "c scheme", "c host"]);
}

#[test]
fn net_05_an_address_is_told_without_login_query_and_fragment() {
    let address = "https://me:hunter2@other.example/ms.tgz?token=hunter2#hunter2";
    let text = format!(r#"{{"packages": {{{}}}}}"#, entry("ms", address, ""));
    let lock = read(Format::Npm, "package-lock.json", &text).unwrap();
    let findings = judge(&lock, &hosts());
    assert_eq!(findings[0].url.as_deref(), Some("https://other.example/ms.tgz"));
    assert_eq!(shown("file:../../ms.tgz#x"), "file:../../ms.tgz");
    assert_eq!(shown("hunter2@github.example:x.git"), "github.example:x.git");
    // What every package comes from is the registry; what comes from elsewhere stands out.
    let three =
        ["a", "b", "ms"].map(|name| entry(name, &format!("https://mirror.example/{name}/-/x.tgz"), ""));
    let text = format!(
        r#"{{"packages": {{{}, {}}}}}"#,
        three.join(", "),
        entry("odd", "https://odd.example/o.tgz", "")
    );
    let lock = read(Format::Npm, "package-lock.json", &text).unwrap();
    let judged = judge(&lock, &Hosts::default().with_usual(&lock));
    assert_eq!(judged.iter().map(|finding| finding.package.as_str()).collect::<Vec<_>>(), ["odd"]);
    assert_eq!(judge(&lock, &Hosts::default()).len(), 4);
}
