//! `lapstrake run`: the app answers on a port of this machine, without any container engine.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use lapstrake_fixtures::apps::App;
use lapstrake_fixtures::archive::copy_tree;

use crate::harness::{Lapstrake, Registry, Repository, workspace};

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn get(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.contains(" 200 ").then_some(answer)
}

/// Asks until there is an answer, while the command still runs.
fn answer(run: &mut Child, port: u16) -> String {
    let start = Instant::now();
    while start.elapsed() < Duration::from_mins(4) {
        if let Some(answer) = get(port) {
            return answer;
        }
        if let Some(status) = run.try_wait().unwrap() {
            let mut text = String::new();
            run.stderr.take().unwrap().read_to_string(&mut text).unwrap();
            panic!("`lapstrake run` ended with {status}: {text}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let _ = run.kill();
    panic!("no answer on port {port}");
}

/// Ends the command as a terminal would, and waits for it.
fn interrupt(mut run: Child, port: u16) {
    let pid = run.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &pid]).status().unwrap().success());
    let start = Instant::now();
    while run.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(20), "`lapstrake run` did not end");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(get(port).is_none(), "something still answers");
}

fn answers(image: &str, app: &App) {
    let port = free_port();
    let mut run = Lapstrake::new().start(["run", image, "--port", &port.to_string()]);
    let body = answer(&mut run, port);
    assert!(body.contains(app.answer), "{body}");
    interrupt(run, port);
}

#[test]
fn a_source_directory_is_built_and_answers() {
    let app = App::named("flask");
    answers(app.directory().to_str().unwrap(), &app);
}

#[test]
fn a_git_repository_is_built_and_answers() {
    let app = App::named("plain-python");
    let repository = Repository::new();
    copy_tree(&app.directory(), &repository.path().join("web")).unwrap();
    repository.commit();
    answers(&format!("git+file://{}#main:web", repository.name()), &app);
}

#[test]
fn a_script_that_runs_npm_finds_it_in_the_image() {
    let app = App::named("express");
    let scratch = workspace::scratch();
    copy_tree(&app.directory(), scratch.path()).unwrap();
    fs_err::write(scratch.path().join("start.sh"), "#!/bin/sh\necho starting\nexec npm start\n").unwrap();
    let file = scratch.path().join("apprunner.yaml");
    let text = fs_err::read_to_string(&file).unwrap();
    let command = |line: &str| {
        if line.trim_start().starts_with("command:") {
            "  command: sh start.sh".to_owned()
        } else {
            line.to_owned()
        }
    };
    fs_err::write(&file, text.lines().map(command).collect::<Vec<_>>().join("\n")).unwrap();
    answers(scratch.path().to_str().unwrap(), &app);
}

#[test]
fn an_image_in_a_layout_and_one_in_a_registry_answer() {
    let scratch = workspace::scratch();
    let registry = Registry::start();
    let app = App::named("express");
    let layout = format!("oci:{}:app", scratch.path().join("layout").display());
    let reference = registry.reference("served/app:1");
    let source = app.directory();
    let arguments = ["build", source.to_str().unwrap(), "--output", &layout, "--tag", &reference];
    Lapstrake::new().run(arguments).expect(0);
    answers(&layout, &app);
    answers(&reference, &app);
}

#[test]
fn an_image_that_is_not_there_is_refused() {
    let registry = Registry::start();
    let reference = registry.reference("no/such:image");
    let outcome = Lapstrake::new().run(["run", &reference]).expect(3);
    assert!(outcome.stderr.contains(&reference), "{}", outcome.stderr);
}

#[test]
fn a_plan_says_what_a_build_would_do_and_does_nothing() {
    let scratch = workspace::scratch();
    let app = App::named("django");
    let lapstrake = Lapstrake::new().with_data(scratch.path().join("data"));
    let source = app.directory();
    let text = lapstrake.run(["plan", source.to_str().unwrap()]).expect(0).stdout;
    for words in ["python3", "3.13", "python3 manage.py collectstatic --noinput", "8000", "start.sh"] {
        assert!(text.contains(words), "`{words}` is not in {text}");
    }
    let json = lapstrake.run(["plan", source.to_str().unwrap(), "--format", "json"]).expect(0).stdout;
    let plan: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(plan.is_object());
    let layers = scratch.path().join("data/catalog/blobs");
    assert!(!layers.exists(), "a plan made layers");
}
