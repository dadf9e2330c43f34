//! Compiles the sources of a Python layer, so that no start of an app and no build step has to.
//!
//! The interpreter must have the version of the layer, and runs on this machine whatever architecture the layer is
//! for. Running it is the caller's business ([`RunTool`]), who does it in a sandbox.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use lapstrake_oci::tree::{FileTree, Kind, Node, TreePath};

use crate::tarball::Spool;

/// The program that the interpreter runs. It takes one path after the other in one process, since what marshal
/// writes depends on what else the process holds, and fixes the hash seed, which orders sets of strings.
const DRIVER: &str = include_str!("pyc/compile.py");

/// Runs a program of a root file system made of layers.
pub trait RunTool {
    /// Runs `argv` to its end; an exit code other than 0 is an error.
    ///
    /// `rootfs` are directories with unpacked layers, topmost first. `work` is mounted at `/exchange`, writable.
    fn run(&self, rootfs: &[PathBuf], work: &Path, argv: &[String]) -> Result<(), ToolError>;
}

/// A program that could not be run or failed.
#[derive(Debug, thiserror::Error)]
#[error("`{program}` failed")]
pub struct ToolError {
    /// The program.
    pub program: String,
    /// How it failed.
    pub source: Box<dyn Error + Send + Sync>,
}

/// Why sources are not compiled.
#[derive(Debug, thiserror::Error)]
pub enum PycError {
    /// The directory for the interpreter cannot be prepared or read back.
    #[error("could not exchange files with the Python interpreter")]
    Exchange(#[from] io::Error),
    /// The interpreter failed.
    #[error("could not compile the sources of Python {minor}")]
    Tool {
        /// The version, `3.13`.
        minor: String,
        /// What it says.
        source: ToolError,
    },
    /// The interpreter succeeded without the file that it was asked for.
    #[error("Python {minor} wrote nothing for `{path}`")]
    Silent {
        /// The version, `3.13`.
        minor: String,
        /// The source.
        path: TreePath,
    },
}

/// The interpreter that compiles a layer.
#[derive(Clone, Copy)]
pub struct Interpreter<'a> {
    /// Its version, and that of the layer: `3.13`.
    pub minor: &'a str,
    /// The unpacked layers that hold it, topmost first, for this machine's architecture.
    pub rootfs: &'a [PathBuf],
    /// Runs it.
    pub tool: &'a dyn RunTool,
}

/// The tree with a `.pyc` beside every source of the standard library.
///
/// They are of the unchecked kind: neither the time of a source, which differs from image to image, nor its bytes
/// are compared when it is imported.
pub fn compile(tree: &FileTree, interpreter: Interpreter<'_>, scratch: &Path) -> Result<FileTree, PycError> {
    let minor = interpreter.minor;
    let work = tempfile::tempdir_in(scratch)?;
    let sources = sources(tree, minor);
    write_sources(tree, &sources, work.path())?;
    let program = ["python", minor].concat();
    let argv = [&format!("/usr/bin/{program}"), "-I", "-S", "-B", "/exchange/compile.py"].map(str::to_owned);
    interpreter
        .tool
        .run(interpreter.rootfs, work.path(), &argv)
        .map_err(|source| PycError::Tool { minor: minor.to_owned(), source })?;
    let mut spool = Spool::create(scratch)?;
    let mut compiled = tree.clone();
    for path in sources {
        let target = target(&path, minor);
        let file = match fs_err::File::open(target.below(&work.path().join("out"))) {
            Ok(file) => file,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                return Err(PycError::Silent { minor: minor.to_owned(), path });
            }
            Err(cause) => return Err(cause.into()),
        };
        compiled.insert(target, Node::file(spool.append(file)?, 0o644));
    }
    compiled.fill_parents();
    Ok(compiled)
}

/// The sources below the standard library's directory, in order.
fn sources(tree: &FileTree, minor: &str) -> Vec<TreePath> {
    let library = TreePath::new(format!("usr/lib/python{minor}")).expect("a version has no slash");
    tree.iter()
        .filter(|(path, node)| {
            matches!(node.kind, Kind::File(_)) && path.is_within(&library) && is_source(path)
        })
        .map(|(path, _)| path.clone())
        .collect()
}

/// Only names that Python can import: templates and examples may hold anything.
fn is_source(path: &TreePath) -> bool {
    let plain = |name: &[u8]| name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(byte));
    path.name().ends_with(b".py") && path.components().all(plain)
}

fn write_sources(tree: &FileTree, sources: &[TreePath], work: &Path) -> io::Result<()> {
    let mut list = String::new();
    for path in sources {
        let Some(Kind::File(content)) = tree.get(path).map(|node| &node.kind) else { continue };
        let place = path.below(&work.join("source"));
        if let Some(parent) = place.parent() {
            fs_err::create_dir_all(parent)?;
        }
        io::copy(&mut content.open()?, &mut fs_err::File::create(place)?)?;
        list.push_str(&path.to_string());
        list.push('\n');
    }
    fs_err::create_dir_all(work.join("out"))?;
    fs_err::write(work.join("list"), list)?;
    fs_err::write(work.join("compile.py"), DRIVER)
}

/// PEP 3147: `a/b.py` -> `a/__pycache__/b.cpython-313.pyc`.
fn target(source: &TreePath, minor: &str) -> TreePath {
    let name = source.name();
    let stem = String::from_utf8_lossy(&name[..name.len() - ".py".len()]);
    let directory = source.parent().expect("a source lies below the library");
    let cached = format!("__pycache__/{stem}.cpython-{}.pyc", minor.replace('.', ""));
    directory.join(cached).expect("a plain name below a path")
}

#[cfg(test)]
mod tests;
