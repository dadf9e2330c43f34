//! A containerd of the test's own, which applies layers as the nodes of a cluster do.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::gathered::Gathered;
use super::image::{Image, digest_of};
use super::judges::succeeded;
use super::tools;

/// A server that lives as long as the value.
pub(crate) struct Containerd {
    server: Child,
    directory: PathBuf,
    snapshotter: &'static str,
}

impl Containerd {
    /// Starts a server with nothing in it, all of whose files are below `directory`.
    pub(crate) fn start(directory: &Path) -> Self {
        fs_err::create_dir_all(directory).unwrap();
        let at = |name: &str| directory.join(name).display().to_string();
        let configuration = format!(
            "version = 2\nroot = \"{}\"\nstate = \"{}\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = \"{}\"\n",
            at("root"),
            at("state"),
            at("socket")
        );
        fs_err::write(directory.join("config.toml"), configuration).unwrap();
        let log = fs_err::File::create(directory.join("log")).unwrap().into_parts().0;
        // The server must not outlive a test that is killed.
        let mut server = tools::tool("setpriv");
        server.args(["--pdeathsig", "KILL"]).arg(tools::tool("containerd").get_program());
        server.arg("--config").arg(directory.join("config.toml"));
        server.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let directory = directory.to_owned();
        let mut containerd = Self { server: server.spawn().unwrap(), directory, snapshotter: "native" };
        let begun = Instant::now();
        while containerd.ctr(&["version"]).is_err() {
            let log = || fs_err::read_to_string(containerd.directory.join("log")).unwrap_or_default();
            assert!(begun.elapsed() < Duration::from_secs(30), "containerd does not answer: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
        // Where its disk is an overlay itself, every layer is a copy of the one below.
        let plugins = containerd.ctr(&["plugins", "ls"]).unwrap();
        let works = |line: &str| line.contains("overlayfs") && line.trim_end().ends_with("ok");
        if plugins.lines().any(works) {
            containerd.snapshotter = "overlayfs";
        }
        containerd
    }

    /// Imports an image and applies its layers, which make a snapshot that is named by all their diffIDs.
    pub(crate) fn applies(&self, gathered: &Gathered, image: &Image) -> Result<(), String> {
        self.import(gathered, image)?;
        let snapshots = self.ctr(&["snapshots", "--snapshotter", self.snapshotter, "ls"])?;
        let chain = chain_of(image);
        let is_there = snapshots.lines().any(|line| line.starts_with(&chain));
        if is_there { Ok(()) } else { Err(format!("there is no snapshot {chain}")) }
    }

    fn import(&self, gathered: &Gathered, image: &Image) -> Result<(), String> {
        let layout = self.directory.join("layout");
        gathered.alone(image, "1", &layout);
        let archive = self.directory.join("image.tar");
        // GNU tar takes it for a change when another judge links the same blob meanwhile.
        let mut tar = tools::tool("bsdtar");
        tar.arg("-C").arg(&layout).arg("-cf").arg(&archive).arg(".");
        succeeded(&tar.output().unwrap())?;
        let name = format!("gathered.invalid/{}", Gathered::tag(image));
        let import = ["images", "import", "--base-name", &name, "--snapshotter", self.snapshotter];
        self.ctr(&[&import[..], &[archive.to_str().unwrap()]].concat()).map(drop)
    }

    fn ctr(&self, arguments: &[&str]) -> Result<String, String> {
        let mut ctr = tools::tool("ctr");
        ctr.arg("--address").arg(self.directory.join("socket")).args(arguments);
        succeeded(&ctr.output().unwrap())
    }
}

/// The name of what all layers of an image make together, as the specification computes it.
fn chain_of(image: &Image) -> String {
    let diff_ids = image.config["rootfs"]["diff_ids"].as_array().unwrap();
    let names = diff_ids.iter().map(|it| it.as_str().unwrap().to_owned());
    names.reduce(|below, layer| digest_of(format!("{below} {layer}").as_bytes())).unwrap()
}

impl Drop for Containerd {
    fn drop(&mut self) {
        // Both fail only when the server has ended by itself.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
