//! Lock files that were made to harm their readers.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

const FORMATS: [Format; 6] =
    [Format::Npm, Format::Yarn, Format::Pnpm, Format::PythonToml, Format::Pipfile, Format::Requirements];

/// Reads and judges a text in every format; how long that took at most.
fn all(text: &str) -> Duration {
    let longest = FORMATS.map(|format| {
        let started = Instant::now();
        if let Ok(lock) = read(format, "x", text) {
            let _ = judge(&lock, &Hosts::default().with_usual(&lock));
        }
        started.elapsed()
    });
    longest.into_iter().max().unwrap()
}

#[test]
fn net_05_deep_and_long_files_are_read_or_refused_in_bounded_time() {
    let deep = 100_000;
    let (mut slowest, mut of) = (Duration::ZERO, 0);
    for text in [
        "[".repeat(deep),
        "{\"dependencies\":{\"a\":".repeat(deep),
        format!("a: {}", "{a: ".repeat(deep)),
        "- ".repeat(deep),
        format!("__metadata:\n{}", "a:\n ".repeat(deep)),
        format!("a = {}", "[".repeat(deep)),
        format!("[{}]", "a.".repeat(deep)),
        "a: &a [*a, *a]\n".repeat(deep),
        "-r x\n".repeat(deep),
        "a==1 \\\n".repeat(deep),
        format!("x==1 {}", "--hash=sha256:ab ".repeat(deep)),
        format!("__metadata:\n{}", "\"a@npm:1\":\n  resolution: \"a@npm:1\"\n".repeat(deep / 10)),
        format!("\"a@{}\":\n  version 1\n", "x".repeat(1 << 20)),
        format!("{{\"packages\":{{\"{}\":{{}}}}}}", "node_modules/".repeat(deep)),
        format!("{{\"packages\":{{\"a\":{{\"resolved\":\"file:{}\"}}}}}}", "../".repeat(deep)),
        "\u{feff}\u{202e}\0".repeat(deep),
    ] {
        slowest = slowest.max(all(&text));
        of += FORMATS.len();
    }
    assert!(slowest < Duration::from_secs(10), "{slowest:?}");
    let nested = format!("{}{}", "{\"dependencies\":{\"a\":".repeat(120), "}".repeat(240));
    let nested = nested.replacen("{\"dependencies\"", "{\"packages\":{},\"dependencies\"", 1);
    assert!(read(Format::Npm, "x", &nested).is_err());
    println!("figure NET-05: {of} readings of hostile texts, the slowest {} ms", slowest.as_millis());
}

#[test]
fn net_05_a_value_of_another_form_is_an_error_that_names_it() {
    for (format, text) in [
        (Format::Npm, r#"{"packages": {"node_modules/a": 1}}"#),
        (Format::Npm, r#"{"packages": []}"#),
        (Format::Npm, r#"{"dependencies": {"a": "1.0.0"}}"#),
        (Format::Npm, "[]"),
        (Format::Npm, ""),
        (Format::Pipfile, r#"{"default": {"a": "*"}}"#),
        (Format::Pnpm, "packages:\n  a@1:\n    x: 1\n"),
        (Format::Pnpm, "- a\n"),
        (Format::Pnpm, ""),
        (Format::Yarn, "__metadata:\n  version: 1\na@1:\n  version: 1\n"),
        (Format::Yarn, "__metadata:\n  version: 1\n? [a]\n: 1\n"),
        (Format::PythonToml, "package = 1\n"),
        (Format::PythonToml, "[[package]]\nversion = '1'\n"),
    ] {
        let error = read(format, "the.lock", text).unwrap_err();
        assert!(error.to_string().starts_with("`the.lock` cannot be read as a lock file: "), "{error}");
    }
}

proptest! {
    #[test]
    fn net_05_no_text_makes_a_reader_panic(text in "(?s).{0,300}", cut in 0_usize..2000) {
        all(&text);
        let sample = "__metadata:\n  version: 8\n\"a@npm:^1\":\n  resolution: \"a@npm:1\"\n  checksum: 10c0/ab\n\
                      {\"packages\":{\"node_modules/@a/b\":{\"resolved\":\"git+ssh://x@y/z#1\",\"link\":true}}}\n\
                      a==1 --hash=sha256:ab\n[[package]]\nname='é'\nsource={git='x'}\n";
        let at = sample.char_indices().map(|(at, _)| at).nth(cut % sample.chars().count()).unwrap();
        all(&format!("{}{text}{}", &sample[..at], &sample[at..]));
    }

    #[test]
    fn net_05_no_address_makes_a_judge_panic(address in "[a-z+:/@.#?\\[\\]%é0-9-]{0,40}", held in ".{0,20}") {
        let json = serde_json::json!({"packages": {"node_modules/a": {"resolved": address, "integrity": held}}});
        let lock = read(Format::Npm, "package-lock.json", &json.to_string()).unwrap();
        let findings = judge(&lock, &Hosts::default());
        prop_assert!(findings.iter().all(|finding| finding.url.as_ref().is_none_or(|url| !url.contains('?'))));
    }
}
