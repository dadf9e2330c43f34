//! A registry that misbehaves by plan.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use lapstrake_oci::image::Image;
use serde_json::{Value, json};

use super::{get, image, layout_of, wrong_at};
use crate::harness::{Lapstrake, tools, workspace};

/// How long a push may take, whatever the registry does.
const LONGEST: Duration = Duration::from_secs(45);
/// How many plans run at once.
const AT_ONCE: usize = 6;
/// How often a plan is run that ends in one way or another by luck.
const REPEATED: usize = 5;

/// The registry, for one plan.
struct FaultRegistry {
    server: Child,
    port: u16,
}

impl FaultRegistry {
    fn start(directory: &Path, rules: &Value) -> Self {
        // The server must not outlive a test that is killed.
        let mut server = tools::tool("setpriv")
            .args(["--pdeathsig", "KILL", "--", "python3"])
            .arg(directory.join("faultreg.py"))
            .args(["--port", "0", "--rules", &rules.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().rsplit(':').next().and_then(|port| port.parse().ok());
        let port = port.unwrap_or_else(|| panic!("the registry did not start: {line:?}"));
        Self { server, port }
    }

    /// All requests so far, each with the fault that hit it.
    fn log(&self) -> Vec<Value> {
        let (status, body) = get(self.port, "/__log", "*/*");
        assert_eq!(status, 200);
        serde_json::from_slice(&body).unwrap()
    }
}

impl Drop for FaultRegistry {
    fn drop(&mut self) {
        // Both fail only when the server has ended by itself.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The rules of a plan, made to hit this client. Where all goes well it sends a layer with one PUT, so that what spoils a
/// PATCH spoils that as well; and it asks for what it needs instead of whether there is a registry.
fn for_this_client(rules: &Value, image: &Image) -> Value {
    let layer = image.layers[0].descriptor.digest().to_string().replace(':', "(:|%3A)");
    let mut rules = rules.as_array().unwrap().clone();
    for at in 0..rules.len() {
        let instead = match (rules[at]["m"].as_str().unwrap(), rules[at]["re"].as_str().unwrap()) {
            ("PATCH", _) => ("PUT", format!("/blobs/uploads/.*digest={layer}")),
            ("GET", "/v2/$") => ("GET", "^/v2/".to_owned()),
            _ => continue,
        };
        let mut rule = rules[at].clone();
        (rule["m"], rule["re"]) = (json!(instead.0), json!(instead.1));
        rules.push(rule);
    }
    Value::Array(rules)
}

/// A push under a plan: how long it took, or what is wrong with its outcome.
fn run_plan(directory: &Path, rules: &Value, from: &str, image: &Image) -> Result<Duration, String> {
    let registry = FaultRegistry::start(directory, rules);
    let reference = format!("127.0.0.1:{}/x:y", registry.port);
    let started = Instant::now();
    let mut push = Lapstrake::new().start(["push", from, "--tag", &reference, "--progress", "plain"]);
    let status = loop {
        if let Some(status) = push.try_wait().unwrap() {
            break status;
        }
        if started.elapsed() > LONGEST {
            push.kill().unwrap();
            push.wait().unwrap();
            return Err(format!("not done after {} s", LONGEST.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let took = started.elapsed();
    let output = push.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    if status.code() != Some(0) {
        return Err(format!("{status}: {told}"));
    }
    let hits = registry.log().iter().filter(|request| !request[3].is_null()).count();
    if hits == 0 {
        return Err("the fault hit nothing".into());
    }
    let wrong = wrong_at(registry.port, "x", "y", image);
    if wrong.is_empty() { Ok(took) } else { Err(format!("{wrong:?}")) }
}

#[test]
fn reg_r01_every_fault_plan_ends_in_the_right_image() {
    let Some(directory) = workspace::corpus("fault-registry") else { return };
    let plans: Value = serde_json::from_slice(&fs_err::read(directory.join("plans.json")).unwrap()).unwrap();
    let scratch = workspace::scratch();
    let image = image(1, &[8 << 20]);
    let from = layout_of(&image, &scratch.path().join("layout"));
    let names = plans.as_object().unwrap().keys().filter(|name| !name.starts_with("00"));
    let names: Vec<&String> = names.collect();
    assert_eq!(names.len(), 17);
    let times = |name: &str| if name.contains("-reset-on-PATCH") { REPEATED } else { 1 };
    // The one that takes longest is last, and the last is taken first.
    let mut queue: Vec<&String> = names.iter().flat_map(|name| vec![*name; times(name)]).collect();
    queue.sort_by_key(|name| name.contains("stall"));
    assert_eq!(queue.len(), 17 + 3 * (REPEATED - 1));
    let (queue, ended) = (Mutex::new(queue), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(name) = { queue.lock().unwrap().pop() } {
                    let outcome = run_plan(&directory, &for_this_client(&plans[name], &image), &from, &image);
                    ended.lock().unwrap().push((name, outcome));
                }
            });
        }
    });
    let ended = ended.into_inner().unwrap();
    let failed: Vec<_> = ended.iter().filter(|(_, outcome)| outcome.is_err()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let slowest = ended.iter().filter_map(|(_, outcome)| outcome.as_ref().ok()).max().unwrap();
    println!("figure REG-R01: {0} of {0} plans, slowest {1:.1} s", names.len(), slowest.as_secs_f64());
}

#[test]
fn a_registry_without_a_plan_hits_nothing_and_one_that_never_works_is_given_up() {
    let Some(directory) = workspace::corpus("fault-registry") else { return };
    let scratch = workspace::scratch();
    let image = image(2, &[1 << 20]);
    let from = layout_of(&image, &scratch.path().join("layout"));
    let outcome = run_plan(&directory, &json!([]), &from, &image);
    assert_eq!(outcome, Err("the fault hit nothing".to_owned()));
    let never = json!([{"m": "PUT", "re": "/manifests/", "n": "all", "act": "status:403"}]);
    let outcome = run_plan(&directory, &never, &from, &image).unwrap_err();
    assert!(outcome.starts_with("exit status: 3"), "{outcome}");
}
