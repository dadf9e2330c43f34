//! Where the lock file of a uv workspace is, whose members have none of their own.

use crate::detect::files::Files;
use crate::detect::toml_file::TomlFile;

use super::project::{FILE_NAME, Fact, Project};

/// How far up the root of a workspace may be.
const LEVELS: usize = 20;

/// The lock file of the app, or of the workspace that it is in, relative to the directory of the app.
pub(super) fn uv_lock(files: &Files<'_>) -> Option<String> {
    if files.has("uv.lock") {
        return Some("uv.lock".to_owned());
    }
    let mut up = String::new();
    for _ in 0..LEVELS {
        up.push_str("../");
        let lock = format!("{up}uv.lock");
        if files.has(&lock) {
            return is_workspace(files, &format!("{up}{FILE_NAME}")).then_some(lock);
        }
    }
    None
}

/// A file beside another one.
pub(super) fn beside(file: &str, name: &str) -> String {
    file.rsplit_once('/').map_or_else(|| name.to_owned(), |(directory, _)| format!("{directory}/{name}"))
}

/// Whether a file describes a workspace; one that cannot be read describes none.
fn is_workspace(files: &Files<'_>, name: &str) -> bool {
    let text = files.text(name).ok().flatten();
    text.is_some_and(|text| {
        TomlFile::parse(&text).is_ok_and(|toml| Project::new(&toml).says(Fact::Workspace))
    })
}

#[cfg(test)]
mod tests {
    use lapstrake_oci::tree::TreePath;

    use super::*;
    use crate::detect::files::tests::tree;

    #[test]
    fn the_lock_file_of_a_workspace_is_found_from_a_member() {
        let workspace = "[tool.uv.workspace]\nmembers = ['services/*']\n";
        let root = [("uv.lock", ""), ("pyproject.toml", workspace), ("services/api/pyproject.toml", "")];
        let member = TreePath::new("services/api").unwrap();
        let found = uv_lock(&Files::new(&tree(&root), Some(&member))).unwrap();
        assert_eq!((found.as_str(), beside(&found, ".venv").as_str()), ("../../uv.lock", "../../.venv"));
        let other = [("uv.lock", ""), ("pyproject.toml", "[project]\n"), ("services/api/pyproject.toml", "")];
        assert_eq!(uv_lock(&Files::new(&tree(&other), Some(&member))), None, "the lock is another project's");
        assert_eq!(uv_lock(&Files::new(&tree(&root), None)).unwrap(), "uv.lock");
        assert_eq!(beside("uv.lock", ".venv"), ".venv");
    }
}
