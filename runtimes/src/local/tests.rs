//! Local catalogs from small packages, fetched from a mirror on loopback.

use std::cell::RefCell;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use lapstrake_fixtures::debs::DebFile;
use lapstrake_oci::layer::{Contents, list};
use tempfile::TempDir;

use super::*;
use crate::canonical::hex;
use crate::lock::{Artifact, DebArtifact, LOCK_SCHEMA, Lock};
use crate::mirrors::{MirrorFlags, NoPrograms};
use crate::progress::Silent;
use crate::pyc::ToolError;
use crate::recipe::Recipes;
use crate::update::{number, plans};

const OS: &str = r#"
    [os]
    name = "debian13"
    suite = "trixie"
    glibc = "2.41"
    os_eol = 2028-08-09
    os_lts = 2030-06-30
    prune = ["usr/share/man/**"]
    [[os.archive]]
    name = "trixie"
    site = "main"
    [[os.layer]]
    role = "os"
    packages = ["base", "libc"]
    [[os.layer]]
    role = "cc"
    below = ["os"]
    packages = ["gcc"]
"#;

const RUNTIME: &str = r#"
    [runtime]
    name = "nodejs22"
    language = "node"
    default = "22"
    grammar = "major"
    licenses = ["MIT"]
    cpe = "cpe:2.3:a:nodejs:node.js"
    cmd = ["node"]
    env = { PATH = "/usr/bin" }
    [runtime.images]
    run = ["os", "node"]
    build-full = ["os", "node", "cc"]
    [[runtime.line]]
    version = "22"
    os = "debian13"
    origin = "deb"
    version_of = "node"
    abi = "node22"
    platforms = ["linux/amd64", "linux/arm64"]
    [[runtime.line.layer]]
    role = "node"
    name = "node22"
    below = ["os"]
    packages = ["node"]
    links = { "usr/bin/nodejs" = "node" }
"#;

/// No layer here is compiled.
struct NoTool;

impl RunTool for NoTool {
    fn run(&self, _: &[PathBuf], _: &Path, argv: &[String]) -> Result<(), ToolError> {
        Err(ToolError { program: argv.join(" "), source: "there is no tool".into() })
    }
}

/// Serves the files of a directory, and counts requests.
struct Mirror {
    directory: TempDir,
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Mirror {
    fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/debian", listener.local_addr().unwrap());
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let (root, log) = (directory.path().to_owned(), Arc::clone(&requests));
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                let Some(first) = lines.next() else { continue };
                lines.take_while(|line| !line.is_empty()).for_each(drop);
                let name = first.split(' ').nth(1).unwrap().rsplit('/').next().unwrap().to_owned();
                let (status, body) = match fs_err::read(root.join(&name)) {
                    Ok(body) => ("200 OK", body),
                    Err(_) => ("404 Not Found", Vec::new()),
                };
                log.lock().unwrap().push(name);
                let head = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
            }
        });
        Self { directory, url, requests }
    }

    /// Puts a package on the mirror, and says what a lock says of it.
    fn add(&self, deb: &DebFile) -> Artifact {
        use sha2::Digest as _;
        let path = deb.write(self.directory.path()).unwrap();
        let bytes = fs_err::read(&path).unwrap();
        Artifact::Deb(DebArtifact {
            name: deb.name().to_owned(),
            version: deb.version().to_owned(),
            arch: deb.architecture().to_owned(),
            suite: "trixie".to_owned(),
            path: format!("pool/{}", path.file_name().unwrap().to_str().unwrap()),
            size: bytes.len() as u64,
            sha256: hex(&sha2::Sha256::digest(&bytes)),
            source: deb.name().to_owned(),
        })
    }

    fn requests(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

fn deb(name: &str, version: &str, arch: Arch) -> DebFile {
    DebFile::new(name, version, &arch.to_string())
        .directory("usr/share/man", 0o755)
        .file("usr/share/man/page", 0o644, "documentation")
        .file(&format!("usr/lib/{name}"), 0o644, format!("{name} {version} {arch}").repeat(500))
}

/// Recipes of one runtime with locks and one entry, all of whose packages a mirror has.
fn definitions(mirror: &Mirror) -> Definitions {
    let recipes = Recipes::parse([("debian13", OS), ("nodejs22", RUNTIME)]).unwrap();
    let mut definitions = Definitions { recipes, ..Definitions::default() };
    let packages = |layer: &str, arch| match layer {
        "os" => vec![deb("base", "1", arch).directory("tmp", 0o1777), deb("libc", "2.41-1", arch)],
        "cc" => vec![deb("gcc", "14-1", arch).file("tmp/x", 0o600, "x")],
        _ => vec![deb("node", "22.1.0-1", arch).file("usr/bin/node", 0o755, "#!")],
    };
    for plan in plans(&definitions.recipes.clone()).unwrap() {
        for arch in &plan.arches {
            let artifacts = packages(plan.layer.name(), *arch).iter().map(|deb| mirror.add(deb)).collect();
            let lock = Lock {
                lock: LOCK_SCHEMA,
                layer: plan.layer.name().to_owned(),
                os: plan.os.name.clone(),
                arch: *arch,
                recipe: plan.digest().to_string(),
                suites: Vec::new(),
                wanted: plan.layer.packages.clone(),
                excluded: Vec::new(),
                artifacts,
            };
            definitions.locks.insert(lock.name(), lock);
        }
    }
    definitions.entries = number(&definitions, &definitions, now()).unwrap().entries;
    definitions
}

fn now() -> Timestamp {
    "2026-11-25T10:00:00Z".parse().unwrap()
}

fn id() -> EntryId {
    "nodejs22-22.1.0-1".parse().unwrap()
}

fn platform(name: &str) -> PlatformKey {
    name.parse().unwrap()
}

/// Runs with a context for a mirror.
fn with<T>(mirror: &Mirror, threads: usize, when_gone: WhenGone, run: impl FnOnce(&Context<'_>) -> T) -> T {
    let env = BTreeMap::new();
    let machine = Machine { env: &env, root: Path::new("/nonexistent"), ask: &NoPrograms };
    let flags = MirrorFlags { debian: Some(mirror.url.clone()), ..MirrorFlags::default() };
    let mirrors = || Mirrors::discover(&flags, machine);
    run(&Context {
        mirrors: &mirrors,
        machine,
        tool: &NoTool,
        progress: &Silent,
        threads: NonZeroUsize::new(threads).unwrap(),
        arch: Arch::Amd64,
        now: now(),
        when_gone,
    })
}

const BOTH: [ImageKind; 2] = [ImageKind::Run, ImageKind::BuildFull];

/// Every digest of an entry's images.
fn digests(ready: &ReadyEntry) -> Vec<String> {
    let images = ready.images.values().map(|image| &image.record);
    let of = |record: &ImageRecord| {
        let layers =
            record.layers.iter().flat_map(|layer| [layer.digest.to_string(), layer.diff_id.to_string()]);
        layers.chain(record.manifest.iter().map(ToString::to_string)).collect::<Vec<_>>()
    };
    images.flat_map(of).collect()
}

#[test]
fn the_catalog_is_known_before_anything_is_fetched_and_images_are_recorded_once_made() {
    let mirror = Mirror::start();
    let data = TempDir::new().unwrap();
    let definitions = definitions(&mirror);
    let mut catalog = LocalCatalog::open(data.path(), definitions.clone()).unwrap();
    assert_eq!((mirror.requests(), catalog.catalog().revision), (0, 1));
    let entry = &catalog.catalog().entries[0];
    assert_eq!((entry.id.clone(), entry.is_assembled()), (id(), false));
    let amd64 = platform("linux/amd64");
    let made =
        with(&mirror, 2, WhenGone::Fail, |context| catalog.ensure(&id(), &amd64, &BOTH, context)).unwrap();
    assert_eq!(made.images[&ImageKind::Run].layers.len(), 2);
    assert_eq!(made.config.env["PATH"], "/usr/bin");
    assert_eq!(mirror.requests(), 4);
    // Another process finds them, and nothing is fetched or made again.
    let mut again = LocalCatalog::open(data.path(), definitions).unwrap();
    assert_eq!(again.catalog().entries[0].platforms[&amd64].images.len(), 2);
    let found =
        with(&mirror, 2, WhenGone::Fail, |context| again.ensure(&id(), &amd64, &BOTH, context)).unwrap();
    assert_eq!(digests(&found), digests(&made));
    assert_eq!(mirror.requests(), 4);
    // Whoever only looks finds them too, even with an outline.
    let outline = Definitions { locks: BTreeMap::new(), ..again.definitions().clone() };
    let looked = LocalCatalog::look(data.path(), outline).unwrap();
    assert_eq!(looked.entries[0].platforms, again.catalog().entries[0].platforms);
    let tags: Vec<_> = again.layout().tags().unwrap().into_iter().map(|(tag, _)| tag).collect();
    assert_eq!(tags, ["r1", "latest"]);
}

#[test]
fn a_look_makes_and_writes_nothing() {
    let definitions = definitions(&Mirror::start());
    let data = TempDir::new().unwrap();
    let nowhere = data.path().join("nothing");
    let looked = LocalCatalog::look(&nowhere, definitions.clone()).unwrap();
    assert_eq!(looked.entries[0].id, id());
    assert!(!nowhere.exists());
    assert_eq!(&looked, LocalCatalog::open(data.path(), definitions).unwrap().catalog());
}

#[test]
fn an_image_is_whole_and_its_layers_hold_what_the_packages_have() {
    let mirror = Mirror::start();
    let data = TempDir::new().unwrap();
    let mut catalog = LocalCatalog::open(data.path(), definitions(&mirror)).unwrap();
    let amd64 = platform("linux/amd64");
    let made =
        with(&mirror, 1, WhenGone::Fail, |context| catalog.ensure(&id(), &amd64, &BOTH, context)).unwrap();
    let image = &made.images[&ImageKind::BuildFull];
    let index = catalog.layout().resolve("latest").unwrap();
    let index: oci_spec::image::ImageIndex = catalog.layout().read_document(&index).unwrap().parse().unwrap();
    let descriptor =
        index.manifests().iter().find(|one| Some(one.digest()) == image.record.manifest.as_ref()).unwrap();
    assert_eq!(descriptor.platform().as_ref().unwrap().architecture().to_string(), "amd64");
    let stored = catalog.layout().read_image(descriptor).unwrap();
    stored.validate().unwrap();
    let paths = |at: usize| {
        let file = std::fs::File::open(&image.layers[at].1).unwrap();
        let listing = list(file, stored.layers[at].descriptor.media_type(), Contents::Skip).unwrap();
        assert_eq!(listing.diff_id, image.layers[at].0.diff_id);
        listing.entries
    };
    let names: Vec<String> = paths(1).keys().map(ToString::to_string).collect();
    assert!(names.contains(&"usr/bin/nodejs".to_owned()), "{names:?}");
    assert!(!names.iter().any(|name| name.starts_with("usr/share/man/")), "{names:?}");
    // A directory of a layer below keeps its mode.
    let cc = paths(2);
    let tmp = cc.iter().find(|(path, _)| path.to_string() == "tmp").unwrap().1;
    assert_eq!(tmp.entry.mode, 0o1777);
    assert!(cc.values().all(|listed| listed.entry.mtime == LAYER_MTIME));
}

// row 18
#[test]
fn the_same_locks_give_the_same_bytes_anywhere() {
    let mirror = Mirror::start();
    let definitions = definitions(&mirror);
    let make = |threads: usize, umask: u32| {
        let data = TempDir::new().unwrap();
        let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
        let mut all = Vec::new();
        let mut catalog = LocalCatalog::open(data.path(), definitions.clone()).unwrap();
        for name in ["linux/amd64", "linux/arm64"] {
            let platform = platform(name);
            let made = with(&mirror, threads, WhenGone::Fail, |c| catalog.ensure(&id(), &platform, &BOTH, c));
            all.extend(digests(&made.unwrap()));
        }
        rustix::process::umask(before);
        all
    };
    let once = make(1, 0o022);
    assert_eq!(once.len(), 2 * (5 * 2 + 2));
    assert_eq!(make(4, 0o077), once);
}

#[test]
fn two_processes_at_a_time_make_one_catalog() {
    let mirror = Mirror::start();
    let definitions = definitions(&mirror);
    let data = TempDir::new().unwrap();
    std::thread::scope(|scope| {
        for name in ["linux/amd64", "linux/arm64", "linux/amd64"] {
            let (definitions, data, mirror) = (definitions.clone(), &data, &mirror);
            scope.spawn(move || {
                let mut catalog = LocalCatalog::open(data.path(), definitions).unwrap();
                with(mirror, 2, WhenGone::Fail, |c| catalog.ensure(&id(), &platform(name), &BOTH, c))
                    .unwrap();
            });
        }
    });
    let catalog = LocalCatalog::open(data.path(), definitions).unwrap();
    let platforms = &catalog.catalog().entries[0].platforms;
    assert_eq!(platforms.values().map(|record| record.images.len()).collect::<Vec<_>>(), [2, 2]);
}

#[test]
fn a_file_that_is_gone_is_an_error_where_locks_must_hold_and_one_that_changed_always() {
    let mirror = Mirror::start();
    let definitions = definitions(&mirror);
    let data = TempDir::new().unwrap();
    let file = mirror.directory.path().join("gcc_14-1_amd64.deb");
    let run = || {
        let mut catalog = LocalCatalog::open(data.path(), definitions.clone()).unwrap();
        let amd64 = platform("linux/amd64");
        with(&mirror, 1, WhenGone::Fail, |context| catalog.ensure(&id(), &amd64, &BOTH, context))
            .map(|made| made.id)
    };
    let name = fs_err::read_dir(mirror.directory.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect::<Vec<_>>();
    assert!(file.exists(), "{name:?}");
    let bytes = fs_err::read(&file).unwrap();
    fs_err::remove_file(&file).unwrap();
    let error = run().unwrap_err();
    assert!(
        matches!(error, LocalError::Fetch(FetchError::Gone { ref artifact, .. }) if artifact == "gcc 14-1")
    );
    let mut other = bytes.clone();
    other[100] ^= 1;
    fs_err::write(&file, other).unwrap();
    let error = run().unwrap_err();
    assert!(matches!(error, LocalError::Fetch(FetchError::Mismatch { .. })), "{error}");
    fs_err::write(&file, bytes).unwrap();
    assert_eq!(run().unwrap(), id());
}

#[test]
fn entries_that_were_locked_anew_here_stay_and_the_old_one_keeps_its_bytes() {
    let mirror = Mirror::start();
    let before = definitions(&mirror);
    let data = TempDir::new().unwrap();
    let amd64 = platform("linux/amd64");
    let mut catalog = LocalCatalog::open(data.path(), before.clone()).unwrap();
    let first = with(&mirror, 1, WhenGone::Fail, |c| catalog.ensure(&id(), &amd64, &BOTH, c)).unwrap();
    let mut after = before.clone();
    for arch in [Arch::Amd64, Arch::Arm64] {
        let lock = after.locks.get_mut(&format!("cc-debian13-{arch}")).unwrap();
        lock.artifacts = vec![mirror.add(&deb("gcc", "14-2", arch))];
    }
    after.entries = number(&before, &after, now()).unwrap().entries;
    catalog.state.add(after).unwrap();
    // The program starts again, with what it was built with.
    let mut catalog = LocalCatalog::open(data.path(), before).unwrap();
    let ids: Vec<String> = catalog.catalog().entries.iter().map(|entry| entry.id.to_string()).collect();
    assert_eq!(ids, ["nodejs22-22.1.0-1", "nodejs22-22.1.0-2"]);
    let change = &catalog.catalog().entries[1].changes[0];
    assert_eq!((change.package.as_str(), change.to.as_deref()), ("gcc", Some("14-2")));
    let second: EntryId = "nodejs22-22.1.0-2".parse().unwrap();
    let made = with(&mirror, 1, WhenGone::Fail, |c| catalog.ensure(&second, &amd64, &BOTH, c)).unwrap();
    let layers = |ready: &ReadyEntry| {
        ready.images[&ImageKind::BuildFull]
            .layers
            .iter()
            .map(|(layer, _)| layer.diff_id.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(layers(&made)[..2], layers(&first)[..2]);
    assert_ne!(layers(&made)[2], layers(&first)[2]);
    let old = with(&mirror, 1, WhenGone::Fail, |c| catalog.ensure(&id(), &amd64, &BOTH, c)).unwrap();
    assert_eq!(digests(&old), digests(&first));
}

#[test]
fn what_does_not_exist_is_named() {
    let mirror = Mirror::start();
    let data = TempDir::new().unwrap();
    let mut catalog = LocalCatalog::open(data.path(), definitions(&mirror)).unwrap();
    let messages = RefCell::new(Vec::new());
    with(&mirror, 1, WhenGone::Fail, |context| {
        let mut ask = |id: &str, on: &str, kind: ImageKind| {
            let error = catalog.ensure(&id.parse().unwrap(), &platform(on), &[kind], context).unwrap_err();
            messages.borrow_mut().push(error.to_string());
        };
        ask("nodejs22-22.1.0-9", "linux/amd64", ImageKind::Run);
        ask("nodejs22-22.1.0-1", "linux/riscv64", ImageKind::Run);
        ask("nodejs22-22.1.0-1", "linux/amd64", ImageKind::RunNpm);
    });
    assert_eq!(
        messages.into_inner(),
        [
            "the local catalog has no entry `nodejs22-22.1.0-9`",
            "platform `linux/riscv64` is not one of `linux/amd64`, `linux/arm64`",
            "entry `nodejs22-22.1.0-1` has no image `run-npm`",
        ]
    );
}
