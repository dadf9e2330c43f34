//! The digests of an image that is made of fixed inputs. They are a contract: builds of the same source, by other versions
//! of this program or of what it is made of, on other machines, are the same image. A change of one of these is a change of
//! every image, and belongs into the changelog.

use lapstrake_catalog::ImageKind;
use lapstrake_oci::image::ImageIndex;
use lapstrake_oci::layer::{Compression, PackOptions, pack};
use lapstrake_oci::tree::{FileTree, Node, Owner, TreePath};
use oci_spec::image::Descriptor;

use super::*;
use crate::build::LAYER_TIME;
use crate::cli::FlowArgs;
use crate::layering::app_trees;
use crate::needs::{Facts, KnownFacts};
use crate::plan::{RuntimeChoice, SourceFacts};
use crate::runtime::RuntimeLayer;

fn digest(digit: char) -> Digest {
    format!("sha256:{}", digit.to_string().repeat(64)).parse().unwrap()
}

fn plan() -> Plan {
    Plan {
        source: SourceFacts {
            given: "app".to_owned(),
            uri: None,
            kind: "directory".to_owned(),
            is_archive: false,
            digest: digest('1').into(),
            directory: String::new(),
            paths: 4,
            ignore_file: None,
            left_out: 0,
            newest: 1_700_000_000,
            checkout: None,
        },
        app_file: Some("apprunner.yaml".to_owned()),
        detected: Vec::new(),
        notes: Vec::new(),
        runtime: RuntimeChoice {
            request: "python3".to_owned(),
            entry: "python3-3.13.5-1".parse().unwrap(),
            reason: "it is the only one".to_owned(),
            catalog: "registry.example.com/catalog/runtimes".to_owned(),
            revision: 7,
            revision_digest: Some(digest('2')),
            run_image: ImageKind::Run,
            build_image: ImageKind::BuildFull,
            overrides: Vec::new(),
            is_checked: true,
        },
        platforms: vec!["linux/amd64".to_owned()],
        steps: Vec::new(),
        flow: FlowArgs::default(),
        build_env: Vec::new(),
        run: RunConfig {
            cmd: ["python3", "main.py"].map(str::to_owned).to_vec(),
            env: vec![("PORT".to_owned(), "8080".to_owned()), ("NAME".to_owned(), "Grüße".to_owned())],
            working_dir: "/app".to_owned(),
            port: 8080,
            user: Some(Owner { uid: 1000, gid: 1000 }),
            labels: BTreeMap::from([("com.example.team".to_owned(), "one".to_owned())]),
        },
        start: "as it was given".to_owned(),
        build_secrets: Vec::new(),
        secrets: BTreeMap::from([("TOKEN".to_owned(), "arn:of:a:secret".to_owned())]),
        annotations: BTreeMap::from([("com.example.build".to_owned(), "7".to_owned())]),
        origins: BTreeMap::new(),
        given: BTreeMap::new(),
        destinations: Vec::new(),
        why: None,
        layers: None,
    }
}

fn runtime() -> RuntimeImage {
    let layer = |role: &str, digit, size| RuntimeLayer {
        role: role.to_owned(),
        descriptor: Descriptor::new(MediaType::ImageLayerGzip, size, digest(digit)),
        diff_id: digest(digit),
        file: None,
        repository: Some(
            lapstrake_oci::reference::parse("registry.example.com/catalog/runtimes:r7").unwrap(),
        ),
        fresh: false,
    };
    RuntimeImage {
        entry: "python3-3.13.5-1".parse().unwrap(),
        kind: ImageKind::Run,
        manifest: Some(digest('3')),
        layers: vec![layer("os", 'a', 8_000_000), layer("python", 'b', 12_000_000)],
        env: BTreeMap::from([("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())]),
        user: "1000:1000".to_owned(),
    }
}

/// The app's files: two layers, with names of other writing systems, a link, and a program.
fn source() -> FileTree {
    let text = |line: &str| line.repeat(5000).into_bytes();
    let nodes = [
        ("app/main.py", Node::file(text("print('hello')\n"), 0o644)),
        ("app/bin/start", Node::file(b"#!/bin/sh\n".to_vec(), 0o755)),
        ("app/current", Node::symlink("main.py")),
        ("app/gr\u{fc}n/\u{65e5}\u{672c}", Node::file(Vec::new(), 0o644)),
        ("app/site-packages/flask/app.py", Node::file(text("import this\n"), 0o644)),
    ];
    let mut tree: FileTree =
        nodes.into_iter().map(|(path, node)| (TreePath::new(path).unwrap(), node)).collect();
    tree.fill_parents();
    tree
}

fn made(compression: Compression) -> Vec<String> {
    let scratch = tempfile::tempdir().unwrap();
    let trees = app_trees(source(), FileTree::new(), Owner { uid: 1000, gid: 1000 });
    let facts = Facts::of_trees(&trees.trees(), &KnownFacts::new()).unwrap();
    let needs = Needs::of(&facts, None);
    let layers = trees.0.iter().map(|layer| {
        let options = PackOptions::new(LAYER_TIME).compression(compression);
        let packed = pack(&layer.tree, &options, scratch.path()).unwrap();
        AppLayer {
            role: layer.role,
            part: layer.part.clone(),
            blob: Blob::file(packed.descriptor, packed.blob.path().to_owned()),
            diff_id: packed.diff_id,
            is_kept: false,
        }
    });
    let platform: PlatformKey = "linux/amd64".parse().unwrap();
    let created = Timestamp::from_second(1_700_000_000).unwrap();
    let (plan, runtime) = (plan(), runtime());
    let (image, reports) = assemble(&plan, &platform, &runtime, layers.collect(), &needs, created).unwrap();
    let own = reports.iter().skip(2).map(|report| format!("{} {}", report.role, report.digest));
    let own: Vec<String> = own.collect();
    let (config, manifest) = (image.config.digest().clone(), image.manifest.digest().clone());
    let index = ImageIndex::assemble(vec![image], &plan.annotations).unwrap();
    let documents = [("config", &config), ("manifest", &manifest), ("index", index.document.digest())];
    own.into_iter().chain(documents.map(|(name, digest)| format!("{name} {digest}"))).collect()
}

#[test]
fn the_image_of_fixed_inputs_is_the_golden_one() {
    assert_eq!(
        made(Compression::default()),
        [
            "dependencies sha256:cb9d45734ce5d7214a6d2c0440ba4b7145f7e6b0520e1717c493f074b5279256",
            "app sha256:9954b8fe190a8060937669fb3d4a30aea8978e1113d2305d4f7e62e162a60947",
            "config sha256:b15ecdba545f315141613fac8bb4772f1eada473416ccf04d4f0158a77f2b1a9",
            "manifest sha256:15991ad8f7fc8ccba9ef26eee688c69abd199117bbc595a7db332612c238456c",
            "index sha256:0794825b4f492cb4a63a04888db2aecc09910f74089e073e8168abe1b48095b6",
        ]
    );
    assert_eq!(
        made(Compression::Zstd(3)),
        [
            "dependencies sha256:51987491a22755515cd484fbc329c806fc930abea0777184ccf4b421726dd24e",
            "app sha256:65fd6e4d39096ca8bb1e6784b519cb09efb1c749b2e6b792b3d25424f1778362",
            "config sha256:b15ecdba545f315141613fac8bb4772f1eada473416ccf04d4f0158a77f2b1a9",
            "manifest sha256:78e23f579fd077bfadcab53dddfbb2924dde7c629dcca9b939b1e9735be03db5",
            "index sha256:fdca0ad66250cf93b417f7c657ca8d6848c6aa35f105b11a97a22a7807e3acea",
        ]
    );
}
