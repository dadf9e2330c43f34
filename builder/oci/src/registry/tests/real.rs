//! Against a registry that others wrote, read back by a client that others wrote.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use super::*;
use crate::layout::Layout;

/// Debian's `docker-registry` on loopback.
struct Real {
    process: Child,
    host: String,
    dir: tempfile::TempDir,
}

impl Real {
    /// Starts the registry; without its program there is nothing to test against.
    fn start() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let host = format!("127.0.0.1:{port}");
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '{host}'}}\n",
            dir.path().join("data").display()
        );
        let path = dir.path().join("config.yml");
        fs_err::write(&path, config).unwrap();
        let start = Command::new("docker-registry")
            .arg("serve")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let process = match start {
            Ok(process) => process,
            Err(error) => {
                eprintln!("skipped: `docker-registry` cannot be started: {error}");
                return None;
            }
        };
        let registry = Self { process, host, dir };
        for _ in 0..200 {
            if TcpStream::connect(&registry.host).is_ok() {
                return Some(registry);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("docker-registry does not listen on {}", registry.host);
    }

    fn reference(&self, rest: &str) -> Reference {
        parse(&format!("{}/{rest}", self.host)).unwrap()
    }

    /// How many uploads to `app` are open, by what lies on its disk: of one that ended it leaves empty directories.
    fn open_uploads(&self) -> usize {
        let uploads = self.dir.path().join("data/docker/registry/v2/repositories/app/_uploads");
        let entries = fs_err::read_dir(uploads).into_iter().flatten().filter_map(Result::ok);
        entries.filter(|entry| entry.path().join("startedat").exists()).count()
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// All bytes of an image, as another client sees them.
fn pulled_by_oci_client(target: &Reference) -> (Vec<u8>, Vec<Vec<u8>>) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = oci_client::client::ClientConfig {
        protocol: oci_client::client::ClientProtocol::Http,
        ..Default::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = oci_client::Client::try_from(config).unwrap();
        let target: oci_client::Reference = target.whole().parse().unwrap();
        let anonymous = oci_client::secrets::RegistryAuth::Anonymous;
        let accept = ["application/vnd.oci.image.manifest.v1+json"];
        let (manifest, _) = client.pull_manifest_raw(&target, &anonymous, &accept).await.unwrap();
        let (parsed, _) = client.pull_image_manifest(&target, &anonymous).await.unwrap();
        let mut layers = Vec::new();
        for layer in &parsed.layers {
            let mut bytes = Vec::new();
            client.pull_blob(&target, layer, &mut bytes).await.unwrap();
            layers.push(bytes);
        }
        (manifest.to_vec(), layers)
    })
}

#[test]
fn a_real_registry_takes_what_we_push_and_another_client_reads_the_same_bytes() {
    let Some(registry) = Real::start() else {
        return;
    };
    let client = client();
    // The catalog: five runtime layers in a repository of the same registry.
    let names = ["base", "python", "npm", "ca", "tz"];
    let runtime = image(names.iter().map(|name| layer(name, 200_000)).collect());
    let catalog = registry.reference("catalog/python:3.13");
    push_to(&client, &runtime, &catalog).unwrap();

    let mut layers: Vec<Blob> = names.iter().map(|name| layer(name, 200_000)).collect();
    for blob in &mut layers {
        blob.source = BlobSource::Mounted { from: catalog.clone() };
    }
    layers.extend([layer("dependencies", 400_000), layer("app", 4_000)]);
    let app = image(layers);
    let target = registry.reference("team/app:1");
    let report = push_to(&client, &app, &target).unwrap();
    let totals = report.totals();
    assert_eq!((totals.mounted, totals.uploaded), (5, 3));
    assert_eq!(report.transfer.bytes_sent, totals.uploaded_bytes + app.manifest.descriptor().size());
    assert!(report.transfer.requests <= 15, "{:?}", report.transfer);

    let (manifest, layers) = pulled_by_oci_client(&target);
    assert_eq!(manifest, app.manifest.bytes());
    let sizes = [200_000, 200_000, 200_000, 200_000, 200_000, 400_000, 4_000];
    let all: Vec<&str> = names.iter().copied().chain(["dependencies", "app"]).collect();
    let expected: Vec<_> = all.iter().zip(sizes).map(|(name, size)| bytes(name, size)).collect();
    assert!(layers == expected, "the layers differ");

    let report = push_to(&client, &app, &target).unwrap();
    assert_eq!((report.up_to_date, report.transfer.requests), (true, 1));
}

#[test]
fn a_real_registry_gives_back_an_index_and_lists_its_tags() {
    let Some(registry) = Real::start() else {
        return;
    };
    let client = client();
    let images = ["amd64", "arm64"].map(|it| image_of(it, vec![layer(it, 300_000)])).to_vec();
    let index = ImageIndex::assemble(images, &BTreeMap::new()).unwrap();
    for tag in ["1", "2"] {
        let target = registry.reference(&format!("team/app:{tag}"));
        push(&index, &client.destination(&target, &[]).unwrap(), &mut |_| {}).unwrap();
    }
    let target = registry.reference("team/app:2");
    assert_eq!(client.tags(&target).unwrap(), ["1", "2"]);
    assert_eq!(client.resolve(&target).unwrap().as_ref(), Some(index.document.digest()));
    assert_eq!(client.resolve(&registry.reference("team/app:none")).unwrap(), None);
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::create(dir.path().join("layout")).unwrap();
    client.pull(&target, client.manifest(&target).unwrap(), &layout, Some("2"), &mut |_| {}).unwrap();
    layout.read_index_of_images(&layout.resolve("2").unwrap()).unwrap().validate().unwrap();
}

#[test]
fn reg_r02_a_real_registry_forgets_an_upload_that_is_cancelled() {
    let Some(registry) = Real::start() else {
        return;
    };
    let client = client();
    let destination = client.destination(&registry.reference("app:1"), &[]).unwrap();
    let remote = &destination.remote;
    let opened = client.runtime.block_on(remote.open_upload()).unwrap();
    assert_eq!(registry.open_uploads(), 1);
    client.runtime.block_on(remote.abandon(opened));
    assert_eq!(registry.open_uploads(), 0);
    for _ in 0..3 {
        client.runtime.block_on(remote.open_upload()).unwrap();
    }
    assert_eq!(registry.open_uploads(), 3);
    drop(destination);
    assert_eq!(registry.open_uploads(), 0);
}
