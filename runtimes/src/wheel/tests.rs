use std::io::Write;
use std::path::PathBuf;

use tempfile::TempDir;
use zip::write::SimpleFileOptions;

use super::*;

const WHEEL: &str = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py2-none-any\nTag: py3-none-any\n";
const ENTRY_POINTS: &str =
    "[console_scripts]\nhello = hello.cli:app.main\npip3.9 = x:y\n\n[other]\nx = y:z\n";

/// A wheel of the given files with a RECORD that fits, but for the lines that `change` makes of it.
fn wheel(directory: &TempDir, files: &[(&str, &str)], change: impl FnOnce(String) -> String) -> PathBuf {
    let path = directory.path().join("any-name");
    let mut archive = zip::ZipWriter::new(fs_err::File::create(&path).unwrap());
    let mut record: String = files.iter().map(|(name, text)| record::line(name, text.as_bytes())).collect();
    record.push_str("hello-1.0.dist-info/RECORD,,\n");
    let record = change(record);
    for (name, text) in files.iter().chain([&("hello-1.0.dist-info/RECORD", record.as_str())]) {
        archive.start_file(*name, SimpleFileOptions::default()).unwrap();
        archive.write_all(text.as_bytes()).unwrap();
    }
    archive.finish().unwrap();
    path
}

const FILES: [(&str, &str); 6] = [
    ("hello/__init__.py", ""),
    ("hello-1.0.data/scripts/greet", "#!python\nprint()\n"),
    ("hello-1.0.data/headers/hello.h", "h"),
    ("hello-1.0.data/data/share/x", "d"),
    ("hello-1.0.dist-info/WHEEL", WHEEL),
    ("hello-1.0.dist-info/entry_points.txt", ENTRY_POINTS),
];

fn text_at(tree: &FileTree, path: &str) -> String {
    match &tree.get(&TreePath::new(path).unwrap()).unwrap().kind {
        Kind::File(content) => String::from_utf8(content.read().unwrap()).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_wheel_is_laid_out_as_an_installer_does_it() {
    let directory = TempDir::new().unwrap();
    let wheel = open(&wheel(&directory, &FILES, |record| record), directory.path()).unwrap();
    assert_eq!(wheel.filename, "hello-1.0-py2.py3-none-any.whl");
    let tree = wheel.install("3.13").unwrap();
    let packages = "usr/local/lib/python3.13/dist-packages";
    let paths: Vec<String> = tree.iter().map(|(path, node)| format!("{path} {:o}", node.mode)).collect();
    assert_eq!(
        paths,
        [
            "usr/local/bin/greet 755".to_owned(),
            "usr/local/bin/hello 755".to_owned(),
            "usr/local/bin/pip3.9 755".to_owned(),
            "usr/local/include/python3.13/hello/hello.h 644".to_owned(),
            format!("{packages}/hello/__init__.py 644"),
            format!("{packages}/hello-1.0.dist-info/INSTALLER 644"),
            format!("{packages}/hello-1.0.dist-info/RECORD 644"),
            format!("{packages}/hello-1.0.dist-info/WHEEL 644"),
            format!("{packages}/hello-1.0.dist-info/entry_points.txt 644"),
            "usr/local/share/x 644".to_owned(),
        ]
    );
    assert_eq!(text_at(&tree, "usr/local/bin/greet"), "#!/usr/bin/python3.13\nprint()\n");
    assert_eq!(
        text_at(&tree, "usr/local/bin/hello"),
        "#!/usr/bin/python3.13\nimport sys\nfrom hello.cli import app\n\nif __name__ == \"__main__\":\n    \
         sys.exit(app.main())\n"
    );
    let record = text_at(&tree, &format!("{packages}/hello-1.0.dist-info/RECORD"));
    assert!(record.contains("\n../../../bin/hello,sha256="), "{record}");
    assert!(record.contains("\nhello-1.0.dist-info/INSTALLER,sha256="), "{record}");
}

#[test]
fn a_file_that_record_does_not_vouch_for_is_refused() {
    let directory = TempDir::new().unwrap();
    let refusal = |change: fn(String) -> String| {
        open(&wheel(&directory, &FILES, change), directory.path()).unwrap_err()
    };
    let fault = |error| match error {
        ArchiveError::Entry { entry, source, .. } => (entry, source),
        other => panic!("{other}"),
    };
    let (entry, source) = fault(refusal(|record| record.replacen("sha256=4", "sha256=5", 1)));
    assert_eq!(entry, "hello/__init__.py");
    assert!(matches!(source, EntryFault::Digest(_)));
    let (entry, source) = fault(refusal(|record| record.replace("hello/__init__.py", "hello/other.py")));
    assert_eq!((entry.as_str(), source), ("hello/__init__.py", EntryFault::Unlisted("RECORD".to_owned())));
    let message = refusal(|record| record + "\"a,\"\"b\",sha256=x,1\n").to_string();
    assert_eq!(message, "`any-name` is no wheel: `RECORD` lists `a,\\\"b`, which is missing");
}

#[test]
fn a_path_that_leaves_the_wheel_is_refused() {
    let directory = TempDir::new().unwrap();
    for bad in ["../x", "/etc/x"] {
        let files = [&FILES[..], &[(bad, "")]].concat();
        let error = open(&wheel(&directory, &files, |record| record), directory.path()).unwrap_err();
        assert!(matches!(error, ArchiveError::Entry { source: EntryFault::Path(_), .. }), "{error}");
    }
}

#[test]
fn an_unknown_part_of_data_is_refused() {
    let directory = TempDir::new().unwrap();
    let files = [&FILES[..], &[("hello-1.0.data/etc/x", "")]].concat();
    let wheel = open(&wheel(&directory, &files, |record| record), directory.path()).unwrap();
    assert!(matches!(wheel.install("3.13"), Err(ArchiveError::Entry { .. })));
}

#[test]
fn what_is_no_wheel_is_said_so() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("x.whl");
    fs_err::write(&path, "no zip").unwrap();
    let message = open(&path, directory.path()).unwrap_err().to_string();
    assert!(message.starts_with("`x.whl` is no wheel: "), "{message}");
    let without = wheel(&directory, &[("hello/__init__.py", "")], |record| record);
    assert!(open(&without, directory.path()).is_err());
}

#[test]
fn entry_points_that_are_none_are_refused() {
    for bad in ["x = y", "a/b = c:d", "x = os;y:z", " = a:b"] {
        let text = format!("[console_scripts]\n{bad}\n");
        assert!(metadata::console_scripts(&text).is_err(), "{bad}");
    }
}
