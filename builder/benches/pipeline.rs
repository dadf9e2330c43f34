//! The parts of the way from a source to a layer, each by itself: `cargo bench -p lapstrake --bench pipeline`.

use std::fmt::Write as _;
use std::hint::black_box;
use std::io;
use std::path::Path;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use lapstrake::layering::app_trees;
use lapstrake::source::{MaterialiseOptions, ReadOptions, Source, SourceSpec, materialise, read};
use lapstrake_oci::layer::{Compression, PackOptions, pack};
use lapstrake_oci::tree::{Content, FileTree, Kind, Node, Owner, TreePath, tree_digest};

/// How many files the source has.
const FILES: u64 = 2000;
/// The user and group of the app.
const OWNER: Owner = Owner { uid: 1000, gid: 1000 };

/// Text that compresses as source text does, another one for each number.
fn text(number: u64) -> Vec<u8> {
    const WORDS: [&str; 8] = ["return", "value", "import", "request", "handler", "config", "self", "token"];
    let (mut state, mut text) = (number, String::new());
    while text.len() < 8000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let word = WORDS[usize::try_from(state >> 61).unwrap_or(0)];
        let _ = write!(text, "{word}{} ", (state >> 40) % 1000);
        if state.is_multiple_of(7) {
            text.push('\n');
        }
    }
    text.into_bytes()
}

/// Writes the source into a directory.
fn write_source(directory: &Path) {
    for number in 0..FILES {
        let path = directory.join(format!("node_modules/p{}/f{number}.js", number / 40));
        fs_err::create_dir_all(path.parent().expect("it has one")).expect("a directory");
        fs_err::write(path, text(number)).expect("a file");
    }
}

fn source(path: &Path, scratch: &Path) -> Source {
    read(&SourceSpec::Path(path.to_owned()), io::empty(), &ReadOptions::new(scratch)).expect("a source")
}

/// The tree of the image, below `/app`.
fn below_app(source: FileTree) -> FileTree {
    let place = |(path, node): (TreePath, Node)| {
        let path = TreePath::new([b"app/", path.as_bytes()].concat()).expect("a path");
        (path, node)
    };
    let mut tree: FileTree = source.into_iter().map(place).collect();
    tree.fill_parents();
    tree
}

/// The same tree with contents whose digests nobody knows yet.
fn unknown(tree: &FileTree) -> FileTree {
    let forget = |(path, node): (&TreePath, &Node)| {
        let kind = match &node.kind {
            Kind::File(content) => Kind::File(Content::from(content.place().clone())),
            other => other.clone(),
        };
        (path.clone(), Node { kind, ..node.clone() })
    };
    tree.iter().map(forget).collect()
}

fn parts(criterion: &mut Criterion) {
    let work = tempfile::tempdir().expect("a directory");
    let (directory, scratch) = (work.path().join("app"), work.path().join("scratch"));
    fs_err::create_dir(&scratch).expect("a directory");
    write_source(&directory);
    let archive = |name: &str, options: &str| {
        let path = work.path().join(name);
        let run = std::process::Command::new("tar")
            .args(["-C".as_ref(), directory.as_os_str(), options.as_ref(), path.as_os_str(), ".".as_ref()])
            .status();
        assert!(run.is_ok_and(|status| status.success()), "tar packs {name}");
        path
    };
    let (plain, gzip) = (archive("app.tar", "-cf"), archive("app.tar.gz", "-czf"));
    let tree = below_app(source(&directory, &scratch).tree);
    let bytes: u64 = tree
        .iter()
        .map(|(_, node)| match &node.kind {
            Kind::File(content) => content.len(),
            _ => 0,
        })
        .sum();

    let mut group = criterion.benchmark_group("source");
    group.throughput(Throughput::Bytes(bytes)).sample_size(20);
    for (name, path) in [("directory", &directory), ("tar", &plain), ("tar.gz", &gzip)] {
        group.bench_function(name, |bencher| bencher.iter(|| source(path, &scratch)));
    }
    group.bench_function("materialise", |bencher| {
        let source = source(&directory, &scratch).tree;
        let target = || tempfile::tempdir_in(work.path()).expect("a directory");
        let write = |target: tempfile::TempDir| {
            materialise(&source, &target.path().join("app"), &MaterialiseOptions::default()).expect("files");
            target
        };
        bencher.iter_batched(target, write, BatchSize::PerIteration);
    });
    group.finish();

    let mut group = criterion.benchmark_group("tree");
    group.throughput(Throughput::Bytes(bytes)).sample_size(20);
    group.bench_function("digest", |bencher| {
        bencher.iter_batched(
            || unknown(&tree),
            |tree| tree_digest(&tree).expect("it"),
            BatchSize::PerIteration,
        );
    });
    group.bench_function("layers", |bencher| {
        let split = |tree| black_box(app_trees(tree, FileTree::new(), OWNER));
        bencher.iter_batched(|| tree.clone(), split, BatchSize::PerIteration);
    });
    group.finish();

    let mut group = criterion.benchmark_group("pack");
    group.throughput(Throughput::Bytes(bytes)).sample_size(10);
    let codecs = [
        ("tar", Compression::None),
        ("gzip", Compression::default()),
        ("gzip-6", Compression::Gzip(6)),
        ("zstd-3", Compression::Zstd(3)),
    ];
    for (name, compression) in codecs {
        let options = PackOptions::new(315_619_200).compression(compression);
        group.bench_function(name, |bencher| {
            bencher.iter(|| pack(&tree, &options, &scratch).expect("a layer"));
        });
    }
    group.finish();
}

criterion_group!(benches, parts);
criterion_main!(benches);
