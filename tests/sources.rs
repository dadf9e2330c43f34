//! The same app in every form in which a source may come.

use std::io::Write;
use std::path::{Path, PathBuf};

use lapstrake_fixtures::apps::App;
use lapstrake_fixtures::archive::{copy_tree, tar_of};

use crate::harness::{Image, Lapstrake, Outcome, workspace};

fn compressed(tar: &[u8], form: &str) -> Vec<u8> {
    match form {
        "gz" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(tar).unwrap();
            encoder.finish().unwrap()
        }
        "zst" => zstd::encode_all(tar, 3).unwrap(),
        "xz" => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 6);
            encoder.write_all(tar).unwrap();
            encoder.finish().unwrap()
        }
        _ => tar.to_vec(),
    }
}

fn lapstrake() -> Lapstrake {
    Lapstrake::new().with("SOURCE_DATE_EPOCH", "1700000000")
}

/// Builds a source to a layout beside it and returns the layers of the image.
fn layers(source: &Path, layout: &str) -> Vec<String> {
    built(layout, |output| lapstrake().run(["build", source.to_str().unwrap(), "--output", output]))
}

fn built(layout: &str, build: impl FnOnce(&str) -> Outcome) -> Vec<String> {
    let digest = build(&format!("oci:{layout}")).expect(0).digest();
    let image = Image::open(Path::new(layout), None);
    assert_eq!(image.digest, digest);
    image.check();
    image.layers()
}

fn in_scratch(scratch: &tempfile::TempDir, name: &str) -> (PathBuf, String) {
    let layout = scratch.path().join(format!("{name}-layout"));
    (scratch.path().join(name), layout.display().to_string())
}

// row 46
#[test]
fn a_directory_and_every_archive_of_it_give_the_same_layers() {
    let scratch = workspace::scratch();
    let app = App::named("plain-python").directory();
    let expected = layers(&app, &scratch.path().join("directory").display().to_string());
    let tar = tar_of(&app, "").unwrap();
    for form in ["tar", "gz", "zst", "xz"] {
        let (source, layout) = in_scratch(&scratch, form);
        fs_err::write(&source, compressed(&tar, form)).unwrap();
        assert_eq!(layers(&source, &layout), expected, "{form}");

        let piped = format!("{layout}-piped");
        let from_input =
            built(&piped, |output| lapstrake().run_with_input(["build", "-", "--output", output], &source));
        assert_eq!(from_input, expected, "{form} on standard input");
    }
}

#[test]
fn an_archive_with_a_single_top_level_directory_is_unwrapped() {
    let scratch = workspace::scratch();
    let app = App::named("plain-node").directory();
    let expected = layers(&app, &scratch.path().join("directory").display().to_string());
    for prefix in ["app-1.0/", "./"] {
        let (source, layout) = in_scratch(&scratch, &format!("wrapped-{}", prefix.len()));
        fs_err::write(&source, tar_of(&app, prefix).unwrap()).unwrap();
        assert_eq!(layers(&source, &layout), expected, "{prefix}");
    }
}

#[test]
fn the_source_directory_is_looked_for_inside_the_unwrapped_archive() {
    let scratch = workspace::scratch();
    let tree = scratch.path().join("tree");
    copy_tree(&App::named("plain-python").directory(), &tree.join("web")).unwrap();
    let (source, layout) = in_scratch(&scratch, "source.tar");
    fs_err::write(&source, tar_of(&tree, "app-1.0/").unwrap()).unwrap();
    built(&layout, |output| {
        lapstrake().run(["build", source.to_str().unwrap(), "--source-dir", "web", "--output", output])
    });
    let image = Image::open(Path::new(&layout), None);
    assert_eq!(image.config["config"]["WorkingDir"], "/app/web");
    assert!(image.files().contains_key("app/web/server.py"));
}

#[test]
fn a_cut_archive_is_refused() {
    let scratch = workspace::scratch();
    let tar = tar_of(&App::named("plain-python").directory(), "").unwrap();
    for form in ["gz", "zst", "xz"] {
        let (source, layout) = in_scratch(&scratch, form);
        let whole = compressed(&tar, form);
        fs_err::write(&source, &whole[..whole.len() / 2]).unwrap();
        let output = format!("oci:{layout}");
        lapstrake().run(["build", source.to_str().unwrap(), "--output", &output]).expect(5);
        assert!(!Path::new(&layout).exists(), "{form}");
    }
}
