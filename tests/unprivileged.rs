//! The binary as a user who may do nothing special. When the tests run as such a user already, all others show it.

use lapstrake_fixtures::apps::App;

use crate::apps::answer;
use crate::harness::{Lapstrake, tools, workspace};

/// The whole way, with only the binary's user changed.
fn answers_as_user(name: &str) {
    if !tools::is_root() {
        eprintln!("skipped: these tests do not run as root, so every other test is this one");
        return;
    }
    let scratch = workspace::scratch();
    // The runtime layers must be there to be copied along.
    answer(&Lapstrake::new(), name);
    answer(&Lapstrake::new().for_user(1001, scratch.path()), name);
}

// row 38
#[test]
fn another_user_builds_pushes_and_gets_an_answer_from_python() {
    answers_as_user("flask");
}

#[test]
fn another_user_builds_pushes_and_gets_an_answer_from_node() {
    answers_as_user("express");
}

// row 38
#[test]
fn another_user_runs_every_phase() {
    answers_as_user("phases");
}

#[test]
fn another_user_makes_the_runtime_layers_alone() {
    if !tools::is_root() {
        eprintln!("skipped: these tests do not run as root, so every other test is this one");
        return;
    }
    let scratch = workspace::scratch();
    let empty = scratch.path().join("empty");
    fs_err::create_dir(&empty).unwrap();
    let lapstrake = Lapstrake::new().with_data(empty).for_user(1001, scratch.path());
    let source = lapstrake.reachable(&App::named("plain-python").directory());
    lapstrake.run(["build", source.to_str().unwrap()]).expect(0).digest();
}
