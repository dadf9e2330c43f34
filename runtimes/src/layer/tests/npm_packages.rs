use std::io::Write;

use super::*;

fn npm(files: &[(&str, &str)]) -> Pool {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("x.tgz");
    let mut archive = tar::Builder::new(Vec::new());
    for (name, text) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(text.len() as u64);
        archive.append_data(&mut header, format!("package/{name}"), text.as_bytes()).unwrap();
    }
    let mut encoder =
        flate2::write::GzEncoder::new(fs_err::File::create(&path).unwrap(), flate2::Compression::fast());
    encoder.write_all(&archive.into_inner().unwrap()).unwrap();
    encoder.finish().unwrap();
    let info = ArtifactInfo {
        kind: ArtifactKind::Npm,
        name: "node-x".to_owned(),
        version: "1.0.0".to_owned(),
        arch: String::new(),
    };
    Pool { directory, artifacts: vec![(info, path)] }
}

const MANIFEST: (&str, &str) =
    ("package.json", r#"{"name":"node-x","version":"1.0.0","bin":{"x":"./cli.js"}}"#);

#[test]
fn a_package_is_installed_globally_by_default() {
    let tree = npm(&[MANIFEST, ("cli.js", "run"), ("man/x.1", "m")])
        .assemble(&rules(&["usr/local/lib/node_modules/*/man"]), &[])
        .unwrap();
    assert_eq!(
        listing(&tree)[2..],
        [
            "usr/local/bin/ 755 0:0".to_owned(),
            "usr/local/bin/x -> ../lib/node_modules/node-x/cli.js".to_owned(),
            "usr/local/lib/ 755 0:0".to_owned(),
            "usr/local/lib/node_modules/ 755 0:0".to_owned(),
            "usr/local/lib/node_modules/node-x/ 755 0:0".to_owned(),
            "usr/local/lib/node_modules/node-x/cli.js 755 0:0 run".to_owned(),
            format!("usr/local/lib/node_modules/node-x/package.json 644 0:0 {}", MANIFEST.1.escape_default()),
        ]
    );
}

#[test]
fn places_take_only_what_they_name() {
    let files = [MANIFEST, ("cli.js", ""), ("bin/node", "elf"), ("LICENSE", "l"), ("include/node/v8.h", "h")];
    let pool = npm(&files);
    let place = |place| LayerRules { place, ..LayerRules::default() };
    let files = |tree: &FileTree| -> Vec<String> {
        tree.iter()
            .filter(|(_, node)| matches!(node.kind, Kind::File(_)))
            .map(|(path, _)| path.to_string())
            .collect()
    };
    let node = pool.assemble(&place(Place::node()), &[]).unwrap();
    assert_eq!(files(&node), ["usr/local/bin/node", "usr/local/share/licenses/node/LICENSE"]);
    let headers = pool.assemble(&place(Place::node_headers()), &[]).unwrap();
    assert_eq!(files(&headers), ["usr/local/include/node/v8.h"]);

    let message =
        npm(&[MANIFEST, ("cli.js", "")]).assemble(&place(Place::node()), &[]).unwrap_err().to_string();
    assert_eq!(message, "no artifact has `bin/node`, which the rules place");
}
