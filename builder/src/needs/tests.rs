use lapstrake_oci::tree::{Content, FileTree, Node, TreePath};

use super::*;

fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

fn file(tree: &mut FileTree, at: &str, content: impl Into<Content>) {
    tree.insert(path(at), Node::file(content, 0o755));
}

fn on_disk(at: &str) -> Content {
    let path = std::path::PathBuf::from(at);
    let len = path.metadata().unwrap().len();
    Content::path(path, len)
}

fn this_program() -> Content {
    on_disk(std::env::current_exe().unwrap().to_str().unwrap())
}

/// A library that this process has loaded.
fn loaded(name: &str) -> Content {
    let maps = fs_err::read_to_string("/proc/self/maps").unwrap();
    let line = maps.lines().find(|line| line.ends_with(&format!("/{name}"))).unwrap();
    on_disk(line.split_whitespace().last().unwrap())
}

fn needs(tree: &FileTree, node_modules: Option<u32>) -> Needs {
    Needs::of(&Facts::of_trees(&[tree], &KnownFacts::new()).unwrap(), node_modules)
}

fn provides(tree: &FileTree, entry: &str) -> Provides {
    Provides::of(&Facts::of_trees(&[tree], &KnownFacts::new()).unwrap(), &entry.parse().unwrap())
}

fn base() -> FileTree {
    let mut base = FileTree::new();
    for library in ["libc.so.6", "libgcc_s.so.1"] {
        file(&mut base, &format!("usr/lib/{library}"), loaded(library));
    }
    for name in ["libm.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"] {
        file(&mut base, &format!("usr/lib/{name}"), b"".to_vec());
    }
    base
}

#[test]
fn a_program_needs_libraries_and_the_versions_of_their_symbols() {
    let mut app = FileTree::new();
    file(&mut app, "app/tool", this_program());
    let needs = needs(&app, None);
    let all: Vec<Need> = needs
        .iter()
        .map(|(file, need)| {
            assert_eq!(file, "app/tool");
            need
        })
        .collect();
    assert!(all.contains(&Need::Library("libc.so.6".to_owned())), "{all:?}");
    let version = all.iter().find_map(|need| match need {
        Need::Version { library, version } if library == "libc.so.6" && version.starts_with("GLIBC_2.") => {
            Some(version.clone())
        }
        _ => None,
    });
    let version = version.unwrap();
    let old = provides(&base(), "python3-3.13.5-1");
    assert_eq!(needs.lacking(&old, &old), []);

    // The same library without its symbols' versions.
    let mut new = base();
    file(&mut new, "usr/lib/libc.so.6", b"".to_vec());
    let lacking = needs.lacking(&old, &provides(&new, "python3-3.13.5-2"));
    let text: Vec<String> = lacking.iter().map(Lack::to_string).collect();
    assert!(text.contains(&format!("`app/tool` needs `{version}` of `libc.so.6`")), "{text:?}");
    // What was missing before is missing after, and no reason.
    assert_eq!(needs.lacking(&provides(&new, "python3-3.13.5-1"), &provides(&new, "python3-3.13.5-2")), []);

    new.remove(&path("usr/lib/libc.so.6"));
    let lacking = needs.lacking(&old, &provides(&new, "python3-3.13.5-2"));
    assert!(lacking.iter().any(|lack| lack.to_string() == "`app/tool` needs the shared library `libc.so.6`"));
}

#[test]
fn what_an_app_brings_itself_it_does_not_need() {
    let mut app = FileTree::new();
    file(&mut app, "app/tool", this_program());
    file(&mut app, "app/lib/libc.so.6", loaded("libc.so.6"));
    file(&mut app, "app/bin/start", b"#!/usr/bin/env -S server --fast\n".to_vec());
    file(&mut app, "app/bin/server", b"#!/app/bin/python\n".to_vec());
    let node = Node {
        kind: lapstrake_oci::tree::Kind::Symlink(b"/usr/bin/python3.13".to_vec()),
        ..Node::directory()
    };
    app.insert(path("app/bin/python"), node);
    let all: Vec<String> = needs(&app, None).iter().map(|(file, need)| format!("{file}: {need}")).collect();
    assert!(!all.iter().any(|need| need.contains("`libc.so.6`")), "{all:?}");
    assert!(all.contains(&"app/bin/python: `/usr/bin/python3.13`".to_owned()), "{all:?}");
    assert!(all.contains(&"app/bin/start: `/usr/bin/env`".to_owned()), "{all:?}");
    assert!(!all.iter().any(|need| need.contains("program") || need.contains("`/app")), "{all:?}");
}

#[test]
fn python_is_needed_by_directories_names_and_wheels() {
    let mut app = FileTree::new();
    let site = "usr/local/lib/python3.13/site-packages";
    file(&mut app, &format!("{site}/x/__init__.py"), b"".to_vec());
    file(&mut app, &format!("{site}/x/y.cpython-313-x86_64-linux-gnu.so"), this_program());
    file(
        &mut app,
        &format!("{site}/z-1.dist-info/WHEEL"),
        b"Wheel-Version: 1.0\nTag: cp38-abi3-manylinux_2_17_x86_64\n".to_vec(),
    );
    let needs = needs(&app, None);
    let tags: Vec<String> = needs
        .iter()
        .filter_map(|(_, need)| match need {
            Need::Python(tag) => Some(tag),
            _ => None,
        })
        .collect();
    assert_eq!(tags, ["3.13", "cp313", "cp38-abi3"]);
    let python = |minor: &str| {
        let mut base = base();
        file(&mut base, &format!("usr/lib/python{minor}/os.py"), b"".to_vec());
        provides(&base, "python3-3.13.5-1")
    };
    let lost = |from: &str, to: &str| {
        needs.lacking(&python(from), &python(to)).iter().map(Lack::to_string).collect::<Vec<_>>()
    };
    assert_eq!(lost("3.13", "3.13"), [""; 0]);
    assert_eq!(
        lost("3.13", "3.14"),
        [
            format!("`{site}/x/__init__.py` needs Python `3.13`"),
            format!("`{site}/x/y.cpython-313-x86_64-linux-gnu.so` needs Python `cp313`"),
        ]
    );
    assert_eq!(lost("3.13", "3.7").len(), 3);
}

#[test]
fn files_that_are_text_by_name_are_not_opened_and_programs_are() {
    let nowhere = || Content::path("/nonexistent", 1);
    let mut app = FileTree::new();
    file(&mut app, "app/node_modules/x/index.js", nowhere());
    file(&mut app, "usr/local/lib/python3.13/site-packages/x/y.py", nowhere());
    assert_eq!(
        needs(&app, None).iter().map(|(_, need)| need).collect::<Vec<_>>(),
        [Need::Python("3.13".to_owned())]
    );
    for name in ["app/js", "app/tool", "app/bin/start.py", "app/libx.so"] {
        let mut app = FileTree::new();
        file(&mut app, name, nowhere());
        assert!(Facts::of_trees(&[&app], &KnownFacts::new()).is_err(), "{name}");
    }
}

#[test]
fn an_addon_needs_the_version_that_it_was_made_for() {
    let mut app = FileTree::new();
    file(&mut app, "app/node_modules/x/x.node", this_program());
    let needs = needs(&app, Some(127));
    assert!(needs.iter().any(|(_, need)| need == Need::NodeModules(127)));
    let node = |entry: &str| provides(&base(), entry);
    let lost = needs.lacking(&node("nodejs22-22.20.0-1"), &node("nodejs24-24.21.0-1"));
    assert_eq!(lost[0].to_string(), "`app/node_modules/x/x.node` needs NODE_MODULE_VERSION 127");
    assert_eq!(needs.lacking(&node("nodejs22-22.20.0-1"), &node("nodejs22-22.23.3-1")), []);
}

#[test]
fn the_text_of_a_label_is_read_again_and_others_are_refused() {
    let mut app = FileTree::new();
    file(&mut app, "app/tool", this_program());
    let needs = needs(&app, None);
    assert_eq!(Needs::parse(&needs.to_text()).unwrap(), needs);
    assert_eq!(Needs::of(&Facts::default(), None).to_text(), r#"{"schema":1,"files":[]}"#);
    for text in ["", "{}", r#"{"schema":2,"files":[]}"#, r#"{"schema":1,"files":[{"file":"x","x":1}]}"#] {
        assert!(Needs::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_layer_says_what_a_tree_says() {
    let mut tree = base();
    file(&mut tree, "app/tool", this_program());
    let directory = tempfile::tempdir().unwrap();
    let options = lapstrake_oci::layer::PackOptions::new(0);
    let packed = lapstrake_oci::layer::pack(&tree, &options, directory.path()).unwrap();
    let blob = || std::fs::File::open(packed.blob.path()).unwrap();
    let media_type = packed.descriptor.media_type().clone();
    let (facts, diff_ids) = of_layers(vec![(blob(), media_type.clone())]).unwrap();
    assert_eq!(diff_ids, std::slice::from_ref(&packed.diff_id));
    let entry = "python3-3.13.5-1".parse().unwrap();
    assert_eq!(Provides::of(&facts, &entry), provides(&tree, "python3-3.13.5-1"));
    // An upper layer takes away what a lower one has.
    let mut upper = FileTree::new();
    upper.insert(
        path("usr/lib/libc.so.6"),
        Node { kind: lapstrake_oci::tree::Kind::Whiteout, ..Node::directory() },
    );
    let gone = lapstrake_oci::layer::pack(&upper, &options, directory.path()).unwrap();
    let upper = std::fs::File::open(gone.blob.path()).unwrap();
    let (facts, _) = of_layers(vec![(blob(), media_type.clone()), (upper, media_type)]).unwrap();
    let provides = Provides::of(&facts, &entry);
    assert!(!provides.has(&Need::Path("/lib/libc.so.6".to_owned())));
    assert!(provides.has(&Need::Path("/lib/libgcc_s.so.1".to_owned())));
}
