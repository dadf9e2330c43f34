//! What this machine needs to reach the package indexes stays on this machine.

use std::path::Path;

use lapstrake_fixtures::apps::App;
use lapstrake_fixtures::proxy::{self, Proxy};

use crate::harness::{Image, Lapstrake, tools, workspace};

/// Words that would betray the machine, in any layer or document.
fn betrayals(image: &Image, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for word in words {
        if image.config.to_string().contains(word) || image.manifest.to_string().contains(word) {
            found.push(format!("`{word}` in the config or the manifest"));
        }
        for place in 0..image.layers().len() {
            for entry in image.entries(place) {
                if entry.path.contains(word) || contains(&entry.bytes, word.as_bytes()) {
                    found.push(format!("`{word}` in `{}`", entry.path));
                }
            }
        }
    }
    found
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    let first = word[0];
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == first) {
        if rest[at..].starts_with(word) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

/// The certificates that this machine's package managers trust, with a line that is nowhere else.
fn private_bundle(directory: &Path) -> String {
    let system = "/etc/ssl/certs/ca-certificates.crt";
    let bundle = directory.join("private-authority.pem");
    let text = fs_err::read_to_string(system).unwrap_or_default();
    fs_err::write(&bundle, format!("# lapstrake-test-authority\n{text}")).unwrap();
    bundle.display().to_string()
}

#[test]
fn a_private_certificate_authority_and_proxy_settings_reach_no_layer() {
    for name in ["flask", "express"] {
        let scratch = workspace::scratch();
        let layout = scratch.path().join("layout");
        let bundle = private_bundle(scratch.path());
        let source = App::named(name).directory();
        let mut lapstrake = Lapstrake::new();
        for variable in
            ["PIP_CERT", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "npm_config_cafile"]
        {
            lapstrake = lapstrake.with(variable, &bundle);
        }
        let lapstrake = lapstrake.with("NO_PROXY", "lapstrake-test-direct.example");
        let output = format!("oci:{}", layout.display());
        lapstrake.run(["build", source.to_str().unwrap(), "--output", &output]).expect(0);
        let image = Image::open(&layout, None);
        let words = [
            "lapstrake-test-authority",
            "lapstrake-test-direct",
            bundle.as_str(),
            scratch.path().to_str().unwrap(),
            "/run/build/ca.crt",
        ];
        assert_eq!(betrayals(&image, &words), Vec::<String>::new(), "{name}");
        let names =
            ["PIP_CERT", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"];
        for variable in names {
            assert!(!image.env().contains_key(variable), "{name}: {variable}");
        }
    }
}

#[test]
fn a_proxy_with_a_password_is_used_and_named_nowhere() {
    let scratch = workspace::scratch();
    let layout = scratch.path().join("layout");
    let output = format!("oci:{}", layout.display());
    let source = App::named("monorepo").directory();
    let proxy = Proxy::start().unwrap();
    // The runtime layers are there already; what goes through the proxy is for the build commands.
    let arguments = ["build", source.to_str().unwrap(), "--source-dir", "services/api", "--output", &output];
    let without = Lapstrake::new().run(arguments).expect(0).digest();
    let mut lapstrake = Lapstrake::new().with("NO_PROXY", "127.0.0.1,localhost");
    for variable in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"] {
        lapstrake = lapstrake.with(variable, proxy.url());
    }
    fs_err::remove_dir_all(&layout).unwrap();
    let outcome = lapstrake.run(arguments).expect(0);
    assert!(!proxy.asked().is_empty(), "nothing went through the proxy");
    assert!(!outcome.stderr.contains(proxy::PASSWORD), "{}", outcome.stderr);
    assert_eq!(outcome.digest(), without);
    let words = [proxy::USER, proxy::PASSWORD];
    assert_eq!(betrayals(&Image::open(&layout, None), &words), Vec::<String>::new());
}

#[test]
fn the_search_for_betrayals_finds_one() {
    let scratch = workspace::scratch();
    let layout = scratch.path().join("layout");
    let output = format!("oci:{}", layout.display());
    let source = App::named("plain-python").directory();
    Lapstrake::new().run(["build", source.to_str().unwrap(), "--output", &output]).expect(0);
    let image = Image::open(&layout, None);
    assert!(!betrayals(&image, &["hello from plain-python"]).is_empty());
    assert!(!betrayals(&image, &["PORT=8080"]).is_empty());
    assert!(betrayals(&image, &["lapstrake-test-authority"]).is_empty());
}

// scope caller
#[test]
fn a_build_command_sees_nothing_of_the_callers_environment() {
    let scratch = workspace::scratch();
    let source = scratch.path().join("app");
    fs_err::create_dir(&source).unwrap();
    let text = "version: 1.0\nruntime: python3\nbuild:\n  commands:\n    build:\n      \
                - env > seen.txt; id -u >> seen.txt\nrun:\n  command: python3 -m http.server\n";
    fs_err::write(source.join("apprunner.yaml"), text).unwrap();
    let layout = scratch.path().join("layout");
    let output = format!("oci:{}", layout.display());
    let lapstrake = Lapstrake::new().with("LAPSTRAKE_TEST_SECRET", "the-callers-secret");
    lapstrake.run(["build", source.to_str().unwrap(), "--output", &output]).expect(0);
    let files = Image::open(&layout, None).files();
    let seen = String::from_utf8(files["app/seen.txt"].bytes.clone()).unwrap();
    assert!(!seen.contains("the-callers-secret") && !seen.contains("LAPSTRAKE_"), "{seen}");
    assert_ne!(seen.lines().last(), Some("0"), "the command ran as root");
    let host = tools::run("hostname", [] as [&str; 0]);
    assert!(!seen.contains(&format!("HOSTNAME={}", host.trim())), "{seen}");
}
