//! Debian's registry server on a free port of loopback, for one test.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{built, tools, workspace};

/// A registry that lives as long as the value.
pub(crate) struct Registry {
    server: Child,
    port: u16,
    directory: TempDir,
}

impl Registry {
    /// Starts a server with nothing in it.
    pub(crate) fn start() -> Self {
        let directory = workspace::scratch();
        // Between finding a free port and the server's bind another process may take it.
        for _ in 0..5 {
            if let Some((server, port)) = try_start(&directory) {
                let registry = Self { server, port, directory };
                built::note_registry(registry.host(), registry.storage());
                return registry;
            }
        }
        panic!("docker-registry did not start: {}", log(&directory));
    }

    /// `HOST:PORT`.
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A reference to `name`, such as `team/app:1`, in this registry.
    pub(crate) fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.host())
    }

    /// The root directory of its storage, for what is put there without a push.
    pub(crate) fn storage(&self) -> PathBuf {
        self.directory.path().join("storage")
    }

    /// One line for each request so far, as `METHOD PATH STATUS`.
    pub(crate) fn requests(&self) -> Vec<String> {
        log(&self.directory).lines().filter_map(request).collect()
    }

    /// The repositories that hold a manifest.
    pub(crate) fn repositories(&self) -> Vec<String> {
        let root = self.directory.path().join("storage/docker/registry/v2/repositories");
        let walk = walkdir::WalkDir::new(&root).into_iter().filter_map(Result::ok);
        let mut names: Vec<String> = walk
            .filter(|entry| entry.file_name() == "_manifests")
            .filter(|entry| entry.path().join("revisions/sha256").is_dir())
            .map(|entry| entry.path().parent().unwrap().strip_prefix(&root).unwrap().display().to_string())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // Both fail only when the server has ended by itself.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn try_start(directory: &TempDir) -> Option<(Child, u16)> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let configuration = directory.path().join("registry.yml");
    fs_err::write(&configuration, configuration_text(directory, port)).unwrap();
    let log = fs_err::File::create(log_path(directory)).unwrap();
    // The server must not outlive a test that is killed.
    let mut server = tools::tool("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .arg(tools::tool("docker-registry").get_program())
        .arg("serve")
        .arg(&configuration)
        .stdout(Stdio::from(log.into_parts().0))
        .stderr(Stdio::from(fs_err::File::create(directory.path().join("errors")).unwrap().into_parts().0))
        .spawn()
        .unwrap();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        if server.try_wait().unwrap().is_some() {
            return None;
        }
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Some((server, port));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = server.kill();
    let _ = server.wait();
    None
}

fn configuration_text(directory: &TempDir, port: u16) -> String {
    let storage = directory.path().join("storage");
    format!(
        "version: 0.1\nlog:\n  accesslog:\n    disabled: false\n  level: warn\nstorage:\n  filesystem:\n    \
         rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: 127.0.0.1:{port}\n",
        storage.display()
    )
}

fn log_path(directory: &TempDir) -> PathBuf {
    directory.path().join("log")
}

fn log(directory: &TempDir) -> String {
    fs_err::read_to_string(log_path(directory)).unwrap_or_default()
}

/// `HOST - - [TIME] "METHOD PATH HTTP/1.1" STATUS …` as `METHOD PATH STATUS`.
fn request(line: &str) -> Option<String> {
    let (_, rest) = line.split_once(" \"")?;
    let (request, rest) = rest.split_once("\" ")?;
    let mut words = request.split(' ');
    let status = rest.split(' ').next()?;
    Some(format!("{} {} {status}", words.next()?, words.next()?))
}
