//! An app file from what detection found: each value with the file that decided it, and the keys that were not needed as
//! comments.

mod scalar;
#[cfg(test)]
mod tests;
mod writer;

use crate::detect::{Decided, Detected};
use crate::runtime_choice::Chosen;

pub use scalar::scalar;

use writer::Writer;

const HEAD: [&str; 2] = [
    "How this app is built and started, as its own files say. `lapstrake lint` checks this file, and `lapstrake plan`",
    "shows what it means; every key stands here, those that are not needed as comments.",
];

/// Writes the app file of an app that was detected, for the runtime that was chosen.
#[must_use]
pub fn app_file(found: &Detected, chosen: &Chosen<'_>) -> String {
    let mut file = Writer::default();
    for line in HEAD {
        file.comment(0, line);
    }
    file.line(0, "version: 1.0");
    file.blank();
    for note in &found.notes {
        file.comment(0, note);
    }
    let language = found.findings.first().map(ToString::to_string);
    if let Some(because) = language {
        file.comment(0, &because);
    }
    file.key(0, "runtime", &chosen.resolution.entry.runtime);
    file.blank();
    build(found, &mut file);
    file.blank();
    run(found, chosen, &mut file);
    file.text()
}

fn build(found: &Detected, file: &mut Writer) {
    file.line(0, "build:");
    file.line(2, "commands:");
    file.example(4, "Before the build.", &["pre-build:", "  - COMMAND"]);
    if found.build.is_empty() {
        file.comment(4, "There is nothing to build.");
        file.line(4, "build: []");
    } else {
        file.line(4, "build:");
    }
    for command in &found.build {
        file.comment(6, &command.because.to_string());
        file.item(6, &command.text);
    }
    file.example(4, "After the build: tests, which never change the image.", &["post-build:", "  - COMMAND"]);
    variables(&found.build_env, "Variables of the build commands.", file);
}

fn run(found: &Detected, chosen: &Chosen<'_>, file: &mut Writer) {
    file.line(0, "run:");
    version(found, chosen, file);
    file.example(
        2,
        "Commands on the finished image, inside and outside of /app.",
        &["pre-run:", "  - COMMAND"],
    );
    if let Some(start) = &found.start {
        file.comment(2, &start.because.to_string());
        file.key(2, "command", &start.text);
    }
    file.line(2, "network:");
    file.comment(4, "The port that the app listens on, which it finds in the variable PORT as well.");
    file.line(4, &format!("port: {}", found.port));
    file.example(4, "One more variable that holds the port.", &["env: APP_PORT"]);
    variables(&found.run_env, "Variables of the start command; they are part of the image.", file);
    let secrets = ["secrets:", "  - name: DB_PASSWORD", "    value-from: NAME-OR-ARN"];
    file.example(
        2,
        "References to secrets, which the platform resolves; no value is part of the image.",
        &secrets,
    );
}

/// The version that was asked for or, where only a range was, the minor that it chose.
fn version(found: &Detected, chosen: &Chosen<'_>, file: &mut Writer) {
    let entry = chosen.resolution.entry;
    let because = found.version.as_ref().map(|wish| wish.because().to_string());
    let has_range = chosen.request.requires_python.is_some();
    let version = match &chosen.request.version {
        Some(version) => Some(version.to_string()),
        None if has_range => Some(format!("{}.{}", entry.version.major, entry.version.minor)),
        None => None,
    };
    if let Some(version) = version {
        if let Some(because) = &because {
            file.comment(2, because);
        }
        file.key(2, "runtime-version", &version);
    } else {
        let newest = format!("runtime-version: {}", entry.version.major);
        file.example(
            2,
            "A version lock; without one the newest version of the runtime is taken.",
            &[&newest],
        );
    }
}

fn variables(variables: &[(String, Decided)], about: &str, file: &mut Writer) {
    if variables.is_empty() {
        file.example(2, about, &["env:", "  - name: NAME", "    value: VALUE"]);
        return;
    }
    file.comment(2, about);
    file.line(2, "env:");
    for (name, value) in variables {
        file.comment(4, &value.because.to_string());
        file.line(4, &format!("- name: {}", scalar(name, 6)));
        file.key(6, "value", &value.text);
    }
}
