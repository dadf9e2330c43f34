//! An app that runs from an unpacked bundle under runc, in a network of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{judges, tools};

/// A running container, stopped when the value goes.
pub(crate) struct Container {
    runc: Child,
    bundle: PathBuf,
    pid: u64,
}

/// Unpacks an image of a layout to `bundle`, with umoci.
pub(crate) fn unpack(layout: &Path, tag: &str, bundle: &Path) {
    let image = format!("{}:{tag}", layout.display());
    try_unpack(&image, bundle).unwrap_or_else(|what| panic!("{image}: {what}"));
}

/// Unpacks `LAYOUT:TAG`, or says what umoci has against it.
pub(crate) fn try_unpack(image: &str, bundle: &Path) -> Result<(), String> {
    let mut umoci = tools::tool("umoci");
    umoci.arg("unpack");
    if !tools::is_root() {
        umoci.arg("--rootless");
    }
    let output = umoci.args(["--image", image]).arg(bundle).output().unwrap();
    judges::succeeded(&output).map(drop)
}

impl Container {
    /// Starts the command of the bundle's config, with the variables, the directory and, as root, the user that
    /// it names.
    pub(crate) fn start(bundle: &Path) -> Self {
        adapt(bundle);
        let log = fs_err::File::create(bundle.join("log")).unwrap().into_parts().0;
        let runc = tools::tool("runc")
            .arg("--root")
            .arg(bundle.join("state"))
            .args(["run", "--bundle"])
            .arg(bundle)
            .arg("app")
            .stdin(Stdio::null())
            .stdout(Stdio::from(log.try_clone().unwrap()))
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap();
        let mut container = Self { runc, bundle: bundle.into(), pid: 0 };
        container.pid = container.wait_for_pid();
        container
    }

    /// Asks for `path` until the app answers with status 200, and returns the body.
    pub(crate) fn get(&mut self, port: u16, path: &str) -> String {
        let start = Instant::now();
        let url = format!("http://127.0.0.1:{port}{path}");
        while start.elapsed() < Duration::from_mins(1) {
            if let Some(status) = self.runc.try_wait().unwrap() {
                panic!("the app ended with {status}: {}", self.log());
            }
            // The app's loopback is not ours: the question is asked from inside.
            let mut command = tools::tool("nsenter");
            command.arg("--target").arg(self.pid.to_string()).arg("--net");
            if !tools::is_root() {
                command.args(["--user", "--preserve-credentials"]);
            }
            command.args(["curl", "--silent", "--noproxy", "*", "--max-time", "10", "--fail", &url]);
            let output = command.stderr(Stdio::null()).output().unwrap();
            if output.status.success() {
                return String::from_utf8(output.stdout).unwrap();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{url} did not answer with 200: {}", self.log());
    }

    /// Sends SIGTERM and returns how long the app took to end.
    pub(crate) fn stop(mut self) -> Duration {
        let start = Instant::now();
        self.signal("TERM");
        while start.elapsed() < Duration::from_secs(30) {
            if self.runc.try_wait().unwrap().is_some() {
                return start.elapsed();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the app did not end on SIGTERM: {}", self.log());
    }

    fn wait_for_pid(&mut self) -> u64 {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(30) {
            let output = self.runc_command().args(["state", "app"]).output().unwrap();
            let state: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            if state["status"] == "running" {
                return state["pid"].as_u64().unwrap();
            }
            assert!(self.runc.try_wait().unwrap().is_none(), "runc ended: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("runc did not start the app: {}", self.log());
    }

    fn signal(&self, name: &str) {
        let _ = self.runc_command().args(["kill", "app", name]).output();
    }

    fn runc_command(&self) -> std::process::Command {
        let mut command = tools::tool("runc");
        command.arg("--root").arg(self.bundle.join("state"));
        command
    }

    fn log(&self) -> String {
        fs_err::read_to_string(self.bundle.join("log")).unwrap_or_default()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if self.runc.try_wait().is_ok_and(|status| status.is_none()) {
            self.signal("KILL");
            let _ = self.runc.wait();
        }
        let _ = self.runc_command().args(["delete", "--force", "app"]).output();
    }
}

/// Gives the bundle a network of its own and takes away what the machine may not be able to give.
fn adapt(bundle: &Path) {
    let path = bundle.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs_err::read(&path).unwrap()).unwrap();
    config["process"]["terminal"] = json!(false);
    config["process"]["capabilities"] = json!({});
    let linux = config["linux"].as_object_mut().unwrap();
    linux.remove("resources");
    let namespaces = linux["namespaces"].as_array_mut().unwrap();
    if !namespaces.iter().any(|namespace| namespace["type"] == "network") {
        namespaces.push(json!({ "type": "network" }));
    }
    if linux.get("uidMappings").is_some_and(|mappings| mappings.as_array().is_some_and(|all| !all.is_empty()))
    {
        // Without root there is one user to map, and runc wants it to be 0.
        config["process"]["user"] = json!({ "uid": 0, "gid": 0 });
    }
    let mounts = config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["destination"] != "/etc/resolv.conf" && mount["destination"] != "/sys");
    fs_err::write(&path, config.to_string()).unwrap();
}
