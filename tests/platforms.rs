//! One source for two platforms.

use std::collections::BTreeSet;
use std::path::Path;

use lapstrake_fixtures::apps::App;

use crate::harness::image::{described, document};
use crate::harness::{Image, Lapstrake, Registry, schema, tools, workspace};

const BOTH: &str = "linux/amd64,linux/arm64";

fn architectures_of_programs(image: &Image) -> BTreeSet<u16> {
    let files = image.files();
    let programs = files.values().filter(|file| file.bytes.starts_with(b"\x7fELF"));
    programs.map(|file| u16::from_le_bytes([file.bytes[18], file.bytes[19]])).collect()
}

// row 44
#[test]
fn an_app_without_build_commands_becomes_an_index_of_two_platforms() {
    let scratch = workspace::scratch();
    for name in ["plain-python", "plain-node"] {
        let source = App::named(name).directory();
        let layout = scratch.path().join(name);
        let output = format!("oci:{}", layout.display());
        let digest = Lapstrake::new()
            .run(["build", source.to_str().unwrap(), "--platform", BOTH, "--output", &output])
            .expect(0)
            .digest();
        assert_eq!(described(&layout, None)["digest"], digest.as_str());
        schema::check_layout(&layout, None);
        let images = Image::open_index(&layout, None);
        assert_eq!(images.keys().collect::<Vec<_>>(), ["linux/amd64", "linux/arm64"]);
        // The machine numbers of ELF: 62 is x86-64, 183 is AArch64.
        for (platform, machine) in [("linux/amd64", 62), ("linux/arm64", 183)] {
            let image = &images[platform];
            image.check();
            assert_eq!(platform.rsplit('/').next(), image.config["architecture"].as_str());
            assert_eq!(architectures_of_programs(image), BTreeSet::from([machine]), "{name} for {platform}");
        }
    }
}

#[test]
fn an_index_is_pushed_with_all_of_its_images() {
    let scratch = workspace::scratch();
    let registry = Registry::start();
    let reference = registry.reference("two/platforms:1");
    let source = App::named("plain-node").directory();
    let arguments = ["build", source.to_str().unwrap(), "--platform", BOTH, "--tag", &reference];
    let digest = Lapstrake::new().run(arguments).expect(0).digest();
    let layout = scratch.path().join("layout");
    let from = format!("docker://{reference}");
    let to = format!("oci:{}:app", layout.display());
    let copy = ["--insecure-policy", "copy", "--quiet", "--all", "--src-tls-verify=false", &from, &to];
    tools::run("skopeo", copy);
    let index = document(&layout, described(&layout, Some("app"))["digest"].as_str().unwrap());
    assert_eq!(described(&layout, Some("app"))["digest"], digest.as_str());
    assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
}

/// The platform that this machine is not.
const FOREIGN: &str = if cfg!(target_arch = "x86_64") { "linux/arm64" } else { "linux/amd64" };

// row 44
#[test]
fn commands_that_need_no_foreign_program_serve_a_foreign_platform() {
    let scratch = workspace::scratch();
    let layout = scratch.path().join("layout");
    let output = format!("oci:{}", layout.display());
    let source = App::named("phases").directory();
    Lapstrake::new()
        .run(["build", source.to_str().unwrap(), "--platform", FOREIGN, "--output", &output])
        .expect(0);
    let image = Image::open(&layout, None);
    image.check();
    assert_eq!(FOREIGN.rsplit('/').next(), image.config["architecture"].as_str());
    assert_eq!(architectures_of_programs(&image).len(), 1);
    assert_eq!(image.files()["app/build.txt"].bytes, b"pre-build saw plank\nbuild saw plank\n");
}

#[test]
fn commands_that_made_machine_code_are_refused_for_a_foreign_platform_with_the_file_and_the_way_out() {
    let scratch = workspace::scratch();
    let layout = scratch.path().join("layout");
    let output = format!("oci:{}", layout.display());
    let source = App::named("sdist-compile").directory();
    let outcome = Lapstrake::new()
        .run(["build", source.to_str().unwrap(), "--platform", FOREIGN, "--output", &output])
        .expect(2);
    let message = &outcome.stderr[outcome.stderr.rfind("error: ").unwrap()..];
    assert!(message.contains(FOREIGN) && message.contains("_speedups"), "{message}");
    assert!(message.contains("hint: "), "{message}");
    assert!(!Path::new(&layout).exists());
    assert_eq!(outcome.stdout, "");
}
