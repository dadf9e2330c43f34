//! What commands have fetched is on record for every image, also where their results were taken from a cache.

use serde_json::Value;

use crate::harness::Lapstrake;
use crate::network::{FETCH, server};
use crate::reused::{Built, Scene};

/// Two commands that fetch something and read a file each, and one that fetches and makes nothing.
fn commands(hosts: &[String; 3]) -> String {
    let [one, two, three] = hosts;
    format!(
        "version: 1.0\nruntime: python3\nbuild:\n  commands:\n    build:\n\
         \x20     - cat one.txt && python3 fetch.py 'http://{one}/one?token=hunter22'\n\
         \x20     - cat two.txt && python3 fetch.py http://{two}/two\n\
         \x20   post-build:\n      - python3 fetch.py http://{three}/three\n\
         run:\n  command: python3 main.py\n"
    )
}

/// Addresses and digests, and whether each was taken from an earlier build.
fn fetched(built: &Built) -> Vec<(String, String, bool)> {
    let all = built.report["fetched"].as_array().cloned().unwrap_or_default();
    let text = |one: &Value, name: &str| one[name].as_str().unwrap().to_owned();
    all.iter().map(|one| (text(one, "url"), text(one, "digest"), one["reused"] == true)).collect()
}

/// The same, without the last.
fn what(built: &Built) -> Vec<(String, String)> {
    fetched(built).into_iter().map(|(url, digest, _)| (url, digest)).collect()
}

fn reused(built: &Built) -> Vec<bool> {
    fetched(built).into_iter().map(|(_, _, reused)| reused).collect()
}

/// Flips one bit in the middle of each entry of a kind.
fn damage(machine: &Lapstrake, kind: &str) -> usize {
    let entries = fs_err::read_dir(machine.data().join("cache").join(kind)).unwrap();
    let paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    for path in &paths {
        let mut bytes = fs_err::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs_err::write(path, bytes).unwrap();
    }
    paths.len()
}

#[test]
fn net_07_what_reused_commands_fetched_is_in_every_later_report() {
    let scene = Scene::new();
    let hosts = [server(None), server(None), server(None)];
    scene.write("apprunner.yaml", &commands(&hosts));
    for (name, text) in [("fetch.py", FETCH), ("one.txt", "one"), ("two.txt", "two")] {
        scene.write(name, text);
    }
    let (machine, app) = (scene.machine("one"), scene.app());
    let cache = scene.registry.reference("team/cache");
    let mut options = vec!["--cache", cache.as_str()];
    options.extend(hosts.iter().flat_map(|host| ["--allow-host", host.as_str()]));
    let build = |machine: &Lapstrake, tag: &str| scene.build(machine, &app, tag, &options);
    let first = build(&machine, "team/app:1");
    assert_eq!((first.ran(), reused(&first)), (vec![true; 3], vec![false; 3]), "{}", first.outcome.stderr);
    let mut urls: Vec<String> = hosts
        .iter()
        .zip(["one", "two", "three"])
        .map(|(host, path)| format!("http://{host}/{path}"))
        .collect();
    urls.sort();
    assert_eq!(what(&first).into_iter().map(|(url, _)| url).collect::<Vec<_>>(), urls);

    // The same tag is up to date; at another one the commands are asked about; another machine has the registry alone.
    for (name, tag) in
        [("one", "team/app:1"), ("one", "team/app:2"), ("two", "team/app:3"), ("two", "team/app:4")]
    {
        let again = build(&scene.machine(name), tag);
        assert_eq!((what(&again), again.digest()), (what(&first), first.digest()), "{name} {tag}");
        assert_eq!(reused(&again), [true; 3], "{name} {tag}: {}", again.outcome.stderr);
        assert!(!again.report["fetched"].to_string().contains("hunter22"));
    }

    // Of two commands one runs again.
    scene.write("two.txt", "changed");
    let mixed = build(&machine, "team/app:1");
    assert_eq!(mixed.ran(), [false, true, true], "{}", mixed.outcome.stderr);
    assert_eq!(what(&mixed), what(&first));
    let is_one = |(url, _, reused): (String, String, bool)| url.ends_with("/one") == reused;
    assert!(fetched(&mixed).into_iter().all(is_one), "{:?}", fetched(&mixed));

    // What is damaged is not taken, neither of commands nor of whole builds.
    let alone: Vec<&str> = options[2..].to_vec();
    assert!(damage(&machine, "commands") >= 3);
    assert!(damage(&machine, "builds") >= 2);
    let anew = scene.build(&machine, &app, "team/app:1", &alone);
    assert_eq!((anew.ran(), reused(&anew)), (vec![true; 3], vec![false; 3]), "{}", anew.outcome.stderr);
    assert_eq!((what(&anew), anew.digest()), (what(&mixed), mixed.digest()));
    println!("figure NET-07: 3 of 3 answers in the reports of 5 builds that ran none or one of the commands");
}
