//! Embeds every recipe and lock in the library, so that a program is complete without any file beside it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let mut code = String::new();
    for (folder, extension, name) in [("recipes", "toml", "RECIPES"), ("locks", "json", "LOCKS")] {
        println!("cargo::rerun-if-changed={folder}");
        let _ = writeln!(code, "pub(super) const {name}: &[(&str, &str)] = &[");
        for path in files(Path::new(folder), extension)? {
            println!("cargo::rerun-if-changed={}", path.display());
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let full = path.canonicalize()?.to_string_lossy().into_owned();
            let _ = writeln!(code, "    ({stem:?}, include_str!({full:?})),");
        }
        code.push_str("];\n");
    }
    let out =
        env::var_os("OUT_DIR").map(PathBuf::from).ok_or_else(|| io::Error::other("OUT_DIR is not set"))?;
    fs::write(out.join("embedded.rs"), code)
}

fn files(folder: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
