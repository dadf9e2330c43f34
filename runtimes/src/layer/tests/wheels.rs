use std::fmt::Write as _;
use std::io::Write as _;

use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;

use super::*;

/// A pip without anything in it.
fn pip() -> Pool {
    use base64::Engine;
    let files = [
        ("pip/__init__.py", ""),
        ("pip-1.0.dist-info/WHEEL", "Tag: py3-none-any\n"),
        ("pip-1.0.dist-info/entry_points.txt", "[console_scripts]\npip = pip:main\npip3 = pip:main\n"),
    ];
    let mut record = String::new();
    for (name, text) in &files {
        let digest = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(Sha256::digest(text));
        writeln!(record, "{name},sha256={digest},{}", text.len()).unwrap();
    }
    record.push_str("pip-1.0.dist-info/RECORD,,\n");
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("0123abcd");
    let mut archive = zip::ZipWriter::new(fs_err::File::create(&path).unwrap());
    for (name, text) in files.iter().chain([&("pip-1.0.dist-info/RECORD", record.as_str())]) {
        archive.start_file(*name, SimpleFileOptions::default()).unwrap();
        archive.write_all(text.as_bytes()).unwrap();
    }
    archive.finish().unwrap();
    let info = ArtifactInfo {
        kind: ArtifactKind::Wheel,
        name: "pip".to_owned(),
        version: "1.0".to_owned(),
        arch: String::new(),
    };
    Pool { directory, artifacts: vec![(info, path)] }
}

fn wheel_rules() -> LayerRules {
    LayerRules {
        python: Some("3.13".to_owned()),
        generate: vec![Generate::PythonWheels],
        ..LayerRules::default()
    }
}

fn has(tree: &FileTree, path: &str) -> bool {
    tree.get(&TreePath::new(path).unwrap()).is_some()
}

#[test]
fn pip_is_installed_with_its_commands_and_carried_for_venv() {
    let pool = pip();
    let tree = pool.assemble(&wheel_rules(), &[]).unwrap();
    for name in ["pip", "pip3", "pip3.13"] {
        assert!(has(&tree, &format!("usr/local/bin/{name}")), "{name}");
    }
    assert!(has(&tree, "usr/local/lib/python3.13/dist-packages/pip/__init__.py"));
    let path = TreePath::new("usr/share/python-wheels/pip-1.0-py3-none-any.whl").unwrap();
    let Kind::File(carried) = &tree.get(&path).unwrap().kind else { panic!("no file") };
    assert_eq!(carried.read().unwrap(), fs_err::read(&pool.artifacts[0].1).unwrap());
}

#[test]
fn a_carried_wheel_is_not_installed() {
    let rules = LayerRules { carried_wheels: vec!["pip".to_owned()], ..wheel_rules() };
    let tree = pip().assemble(&rules, &[]).unwrap();
    assert!(has(&tree, "usr/share/python-wheels/pip-1.0-py3-none-any.whl"));
    assert!(!has(&tree, "usr/local"));
}

#[test]
fn a_wheel_needs_a_python() {
    let rules = LayerRules { python: None, ..wheel_rules() };
    let message = pip().assemble(&rules, &[]).unwrap_err().to_string();
    assert_eq!(
        message,
        "the layer has the wheel `pip-1.0-py3-none-any.whl`, but its rules name no Python version"
    );
}
