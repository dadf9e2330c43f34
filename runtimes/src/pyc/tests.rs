use std::process::Command;

use tempfile::TempDir;

use super::*;

/// Runs a Python of this machine in place of that of a layer.
struct HostPython(PathBuf);

impl RunTool for HostPython {
    fn run(&self, _: &[PathBuf], work: &Path, argv: &[String]) -> Result<(), ToolError> {
        let fail = |source| ToolError { program: argv[0].clone(), source };
        let inside = |argument: &String| argument.replace("/exchange", &work.display().to_string());
        let output = Command::new(&self.0)
            .args(argv[1..].iter().map(inside))
            .output()
            .map_err(|cause| fail(cause.into()))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(()) } else { Err(fail(said.into())) }
    }
}

/// The first Python of this machine, with its version.
fn host() -> Option<(HostPython, String)> {
    let code = "import sys; print(sys.executable); print('%d.%d' % sys.version_info[:2])";
    let output = Command::new("python3").args(["-c", code]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (program, minor) = text.trim().split_once('\n')?;
    Some((HostPython(PathBuf::from(program)), minor.to_owned()))
}

fn layer(minor: &str, source: &str) -> FileTree {
    let mut tree = FileTree::new();
    let mut file = |path: String, text: &str| {
        tree.insert(TreePath::new(path).unwrap(), Node::file(text.as_bytes().to_vec(), 0o644));
    };
    file(format!("usr/lib/python{minor}/a/__init__.py"), source);
    file(
        format!("usr/lib/python{minor}/b.py"),
        "NAMES = {'one', 'two', 'three'}\ndef f(x): return x in {'p', 'q', 'r'}\n",
    );
    file(format!("usr/lib/python{minor}/template.py_t"), "not { python");
    file("usr/share/x.py".to_owned(), "not { python");
    tree.fill_parents();
    tree
}

fn bytes(tree: &FileTree, path: &str) -> Vec<u8> {
    match &tree.get(&TreePath::new(path).unwrap()).unwrap().kind {
        Kind::File(content) => content.read().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn sources_are_compiled_unchecked_for_their_final_paths() {
    let Some((tool, minor)) = host() else {
        eprintln!("skipped: no python3 on this machine");
        return;
    };
    let scratch = TempDir::new().unwrap();
    let interpreter = Interpreter { minor: &minor, rootfs: &[], tool: &tool };
    let tree = layer(&minor, "def where(): return __file__\n");
    let compiled = compile(&tree, interpreter, scratch.path()).unwrap();
    let tag = minor.replace('.', "");
    let added: Vec<String> = compiled
        .iter()
        .filter(|(path, node)| tree.get(path).is_none() && matches!(node.kind, Kind::File(_)))
        .map(|(path, _)| path.to_string())
        .collect();
    let library = format!("usr/lib/python{minor}");
    assert_eq!(
        added,
        [
            format!("{library}/a/__pycache__/__init__.cpython-{tag}.pyc"),
            format!("{library}/__pycache__/b.cpython-{tag}.pyc")
        ]
        .into_iter()
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect::<Vec<_>>()
    );
    let code = bytes(&compiled, &format!("{library}/a/__pycache__/__init__.cpython-{tag}.pyc"));
    // PEP 552: a hash, and not to be checked.
    assert_eq!(code[4..8], [1, 0, 0, 0]);
    let recorded = format!("/{library}/a/__init__.py");
    assert!(code.windows(recorded.len()).any(|window| window == recorded.as_bytes()));

    let again = TempDir::new().unwrap();
    let second = compile(&tree, interpreter, again.path()).unwrap();
    for path in added {
        assert_eq!(bytes(&compiled, &path), bytes(&second, &path), "{path}");
    }
    assert_eq!(
        fs_err::read_dir(again.path()).unwrap().count(),
        0,
        "something is left in the scratch directory"
    );
}

#[test]
fn a_source_that_does_not_compile_is_an_error() {
    let Some((tool, minor)) = host() else {
        eprintln!("skipped: no python3 on this machine");
        return;
    };
    let scratch = TempDir::new().unwrap();
    let interpreter = Interpreter { minor: &minor, rootfs: &[], tool: &tool };
    let error = compile(&layer(&minor, "def {"), interpreter, scratch.path()).unwrap_err();
    assert!(matches!(error, PycError::Tool { .. }), "{error}");
}

#[test]
fn a_tool_that_writes_nothing_is_found_out() {
    struct Idle;
    impl RunTool for Idle {
        fn run(&self, _: &[PathBuf], _: &Path, _: &[String]) -> Result<(), ToolError> {
            Ok(())
        }
    }
    let scratch = TempDir::new().unwrap();
    let interpreter = Interpreter { minor: "3.13", rootfs: &[], tool: &Idle };
    let message = compile(&layer("3.13", ""), interpreter, scratch.path()).unwrap_err().to_string();
    assert!(message.starts_with("Python 3.13 wrote nothing for `usr/lib/python3.13/"), "{message}");
}
