use super::*;

fn packaged(files: &[&str]) -> FileTree {
    let mut tree = FileTree::new();
    for name in files {
        tree.insert(path(name), Node::file(format!("{name}\n").into_bytes(), 0o644));
    }
    tree.fill_parents();
    tree
}

fn base_tree() -> FileTree {
    let mut tree = packaged(&[
        "usr/share/ca-certificates/mozilla/b.crt",
        "usr/share/ca-certificates/mozilla/a.crt",
        "usr/share/ca-certificates/mozilla/README",
    ]);
    tree.insert(path("var/run"), Node::directory());
    tree
}

fn target(tree: &FileTree, name: &str) -> String {
    match tree.get(&path(name)).map(|node| &node.kind) {
        Some(Kind::Symlink(target)) => target.escape_ascii().to_string(),
        other => panic!("{name}: {other:?}"),
    }
}

fn content(tree: &FileTree, name: &str) -> String {
    match tree.get(&path(name)).map(|node| &node.kind) {
        Some(Kind::File(content)) => String::from_utf8(content.read().unwrap()).unwrap(),
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn a_base_has_what_maintainer_scripts_would_make() {
    let mut tree = base_tree();
    generate(&[Generate::Base], &mut tree).unwrap();
    assert_eq!(target(&tree, "bin"), "usr/bin");
    assert_eq!(target(&tree, "var/run"), "../run");
    assert_eq!(target(&tree, "etc/localtime"), "/usr/share/zoneinfo/Etc/UTC");
    assert_eq!(target(&tree, "usr/lib/ssl/cert.pem"), "/etc/ssl/certs/ca-certificates.crt");
    assert_eq!(
        content(&tree, "etc/ssl/certs/ca-certificates.crt"),
        "usr/share/ca-certificates/mozilla/a.crt\nusr/share/ca-certificates/mozilla/b.crt\n"
    );
    assert_eq!(content(&tree, "etc/hosts"), "");
    let node = |name: &str| tree.get(&path(name)).map(|node| (node.mode, node.owner.uid));
    assert_eq!(node("tmp"), Some((0o1777, 0)));
    assert_eq!(node("home/app"), Some((0o755, 1000)));
    assert!(content(&tree, "etc/passwd").contains("\napp:*:1000:1000:app:/home/app:/bin/sh\n"));
    for absent in ["lib64", "etc/machine-id", "etc/hostname", "etc/ld.so.cache"] {
        assert_eq!(node(absent), None, "{absent}");
    }
}

#[test]
fn the_link_of_the_loader_is_made_only_where_the_loader_is() {
    let mut tree = base_tree();
    tree.insert(path("usr/lib64"), Node::directory());
    generate(&[Generate::Base], &mut tree).unwrap();
    assert_eq!(target(&tree, "lib64"), "usr/lib64");
}

#[test]
fn a_base_without_certificates_is_an_error() {
    let message = generate(&[Generate::Base], &mut FileTree::new()).unwrap_err().to_string();
    assert_eq!(message, "no package of the layer has certificates in `usr/share/ca-certificates/mozilla`");
}

#[test]
fn busybox_stands_in_only_for_what_is_missing() {
    let mut tree = packaged(&["usr/bin/dash", "usr/bin/busybox", "usr/bin/ls"]);
    generate(&[Generate::Shell], &mut tree).unwrap();
    assert_eq!(target(&tree, "usr/bin/sh"), "dash");
    assert_eq!(target(&tree, "usr/bin/env"), "busybox");
    assert_eq!(content(&tree, "usr/bin/ls"), "usr/bin/ls\n");
    let message = generate(&[Generate::Shell], &mut FileTree::new()).unwrap_err().to_string();
    assert_eq!(message, "no package of the layer has `usr/bin/dash`");
}

#[test]
fn pg_config_answers_without_perl() {
    let script =
        "#!/usr/bin/perl\nexit 0;\n__DATA__\nLIBDIR = /usr/lib/x\nCFLAGS = -DX='a \"$b' -O2\n\nusage\n";
    let mut tree = FileTree::new();
    tree.insert(path("usr/bin/pg_config"), Node::file(script.as_bytes().to_vec(), 0o755));
    generate(&[Generate::PgConfig], &mut tree).unwrap();
    let directory = tempfile::TempDir::new().unwrap();
    let program = directory.path().join("pg_config");
    fs_err::write(&program, content(&tree, "usr/bin/pg_config")).unwrap();
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new("sh").arg(&program).args(arguments).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(run(&["--libdir", "--cflags"]), (true, "/usr/lib/x\n-DX='a \"$b' -O2\n".to_owned()));
    assert_eq!(run(&[]), (true, "LIBDIR = /usr/lib/x\nCFLAGS = -DX='a \"$b' -O2\n".to_owned()));
    for bad in ["--nothing", "libdir", "--lib.*", "--"] {
        assert!(!run(&[bad]).0, "{bad}");
    }
    let message = generate(&[Generate::PgConfig], &mut FileTree::new()).unwrap_err().to_string();
    assert_eq!(message, "no package of the layer has `usr/bin/pg_config`");
}
