//! A registry that misbehaves by plan.

use std::io::{BufRead, BufReader};
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use lapstrake_oci::destination::push;
use lapstrake_oci::image::{Blob, BlobSource, Image};
use lapstrake_oci::layer::{PackOptions, pack_watched};
use lapstrake_oci::reference::parse;
use lapstrake_oci::registry::{Client, Options};
use lapstrake_oci::tree::{FileTree, Node, TreePath};
use oci_spec::image::MediaType;
use serde_json::{Value, json};

use super::{get, image, image_of, layout_of, random_bytes, wrong_at};
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

/// The rules of a plan, made to hit this client. Where all goes well it sends a layer that is there with one PUT, so that
/// what spoils a PATCH spoils that as well; and it asks for what it needs instead of whether there is a registry.
fn for_this_client(rules: &Value, image: Option<&Image>) -> Value {
    let layer = image.map(|image| image.layers[0].descriptor.digest().to_string().replace(':', "(:|%3A)"));
    let mut rules = rules.as_array().unwrap().clone();
    for at in 0..rules.len() {
        let spoiled = (rules[at]["m"].as_str().unwrap(), rules[at]["re"].as_str().unwrap(), &layer);
        let instead = match spoiled {
            ("PATCH", _, Some(layer)) => ("PUT", format!("/blobs/uploads/.*digest={layer}")),
            ("GET", "/v2/$", _) => ("GET", "^/v2/".to_owned()),
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
    let registry = FaultRegistry::start(directory, &for_this_client(rules, Some(image)));
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
    judged(&registry, image).map(|()| took)
}

/// Whether the fault was hit and everything is there in spite of it.
fn judged(registry: &FaultRegistry, image: &Image) -> Result<(), String> {
    let hits = registry.log().iter().filter(|request| !request[3].is_null()).count();
    if hits == 0 {
        return Err("the fault hit nothing".into());
    }
    let wrong = wrong_at(registry.port, "x", "y", image);
    if wrong.is_empty() { Ok(()) } else { Err(format!("{wrong:?}")) }
}

/// A push under a plan of an image whose layer is sent while it is made, as a build does: with a PATCH.
fn run_plan_while_packing(directory: &Path, rules: &Value) -> Result<Duration, String> {
    let registry = FaultRegistry::start(directory, &for_this_client(rules, None));
    let scratch = workspace::scratch();
    let options = Options { scratch: scratch.path().to_owned(), ..Options::default() };
    let client = Client::new(options).map_err(|error| error.to_string())?;
    let target = parse(&format!("127.0.0.1:{}/x:y", registry.port)).unwrap();
    let destination = client.destination(&target, &[]).map_err(|error| error.to_string())?;
    let started = Instant::now();
    let file = Node::file(random_bytes(3, 8 << 20), 0o644);
    let tree = FileTree::from_iter([(TreePath::new("app").unwrap(), file)]);
    let packing = PackOptions { threads: NonZeroUsize::MIN, ..PackOptions::new(0) };
    let mut following = None;
    let packed = pack_watched(&tree, &packing, scratch.path(), &mut |growing| {
        following = Some(destination.follow(growing));
    });
    let packed = packed.unwrap();
    destination.followed(packed.descriptor.digest(), following.unwrap());
    let bytes = fs_err::read(packed.blob.path()).unwrap();
    let layer = Blob { source: BlobSource::Bytes(bytes), ..Blob::file(packed.descriptor.clone(), "") };
    // What was there before the push is asked for, if it is worth that.
    let other = Blob::bytes(MediaType::ImageLayer, random_bytes(4, 300_000));
    let image = image_of(vec![layer, other]);
    push(&image, &destination, &mut |_| {}).map_err(|error| error.to_string())?;
    let took = started.elapsed();
    if took > LONGEST {
        return Err(format!("done after {} s", took.as_secs()));
    }
    judged(&registry, &image).map(|()| took)
}

/// The names of all plans, those that end by luck as often as it takes, and the one that takes longest last.
fn queue_of(plans: &Value) -> Vec<&String> {
    let names = plans.as_object().unwrap().keys().filter(|name| !name.starts_with("00"));
    let times = |name: &str| if name.contains("-reset-on-PATCH") { REPEATED } else { 1 };
    let mut queue: Vec<&String> = names.flat_map(|name| vec![name; times(name)]).collect();
    queue.sort_by_key(|name| name.contains("stall"));
    assert_eq!(queue.len(), 17 + 3 * (REPEATED - 1));
    queue
}

/// Runs all plans, and returns how long the slowest took. One that fails ends the test.
fn run_all(plans: &Value, run: impl Fn(&Value) -> Result<Duration, String> + Sync) -> Duration {
    let (queue, ended) = (Mutex::new(queue_of(plans)), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(name) = { queue.lock().unwrap().pop() } {
                    let outcome = run(&plans[name]);
                    ended.lock().unwrap().push((name, outcome));
                }
            });
        }
    });
    let ended = ended.into_inner().unwrap();
    let failed: Vec<_> = ended.iter().filter(|(_, outcome)| outcome.is_err()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    ended.iter().filter_map(|(_, outcome)| outcome.clone().ok()).max().unwrap()
}

fn plans_in(directory: &Path) -> Value {
    serde_json::from_slice(&fs_err::read(directory.join("plans.json")).unwrap()).unwrap()
}

#[test]
fn reg_r01_every_fault_plan_ends_in_the_right_image() {
    let Some(directory) = workspace::corpus("fault-registry") else { return };
    let scratch = workspace::scratch();
    let image = image(1, &[8 << 20]);
    let from = layout_of(&image, &scratch.path().join("layout"));
    let slowest = run_all(&plans_in(&directory), |rules| run_plan(&directory, rules, &from, &image));
    println!("figure REG-R01: 17 of 17 plans, slowest {:.1} s", slowest.as_secs_f64());
}

#[test]
fn every_fault_plan_ends_in_the_right_image_when_the_layer_is_sent_while_it_is_made() {
    let Some(directory) = workspace::corpus("fault-registry") else { return };
    run_all(&plans_in(&directory), |rules| run_plan_while_packing(&directory, rules));
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
