//! Where the files of a wheel go in a Debian file system, and the commands that come with them.

use lapstrake_oci::tree::{FileTree, Kind, Node, TreePath};

use super::{EntryPoint, Wheel, record};
use crate::tarball::{ArchiveError, EntryFault};

impl Wheel {
    /// The wheel as installed for all users of Debian's Python `minor` (`3.13`): below `/usr/local`, in
    /// `dist-packages`, with its commands in `/usr/local/bin`.
    ///
    /// RECORD is completed with the commands, so that pip can replace the distribution later.
    pub fn install(&self, minor: &str) -> Result<FileTree, ArchiveError> {
        let layout = Layout { minor, packages: format!("usr/local/lib/python{minor}/dist-packages") };
        let data = format!("{}-{}.data", self.name, self.version);
        let mut installed = FileTree::new();
        let mut added = Vec::new();
        for (path, node) in self.tree.iter() {
            let Kind::File(content) = &node.kind else { continue };
            let refuse = |fault| ArchiveError::entry(&self.filename, path.as_bytes(), fault);
            let (to, script) = layout.place(path, &data, &self.name).map_err(refuse)?;
            let node = if script {
                let text = content.read().map_err(ArchiveError::read(&self.filename))?;
                Node::file(layout.with_interpreter(text), 0o755)
            } else {
                node.clone()
            };
            installed.insert(to, node);
        }
        for script in self.commands(minor) {
            let text = layout.command(&script);
            added.push(record::line(&format!("../../../bin/{}", script.name), &text));
            insert(&mut installed, &format!("usr/local/bin/{}", script.name), Node::file(text, 0o755));
        }
        let made_by = b"lapstrake\n".to_vec();
        let installer_path = format!("{}/INSTALLER", self.dist_info);
        added.push(record::line(&installer_path, &made_by));
        insert(&mut installed, &format!("{}/{installer_path}", layout.packages), Node::file(made_by, 0o644));
        self.complete_record(&layout, &mut installed, &added)?;
        Ok(installed)
    }

    /// The console scripts; pip makes itself a `pip3.13` too, which is in no metadata.
    fn commands(&self, minor: &str) -> Vec<EntryPoint> {
        let mut commands = self.console_scripts.clone();
        if self.name == "pip"
            && let Some(pip) = commands.iter().find(|script| script.name == "pip").cloned()
        {
            commands.retain(|script| !script.name.starts_with("pip3."));
            commands.push(EntryPoint { name: format!("pip{minor}"), ..pip });
        }
        commands
    }

    fn complete_record(
        &self,
        layout: &Layout,
        installed: &mut FileTree,
        added: &[String],
    ) -> Result<(), ArchiveError> {
        let mut text =
            super::text(&self.tree, &self.dist_info, "RECORD", &self.filename)?.unwrap_or_default();
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text.extend(added.iter().map(String::as_str));
        let path = format!("{}/{}/RECORD", layout.packages, self.dist_info);
        insert(installed, &path, Node::file(text.into_bytes(), 0o644));
        Ok(())
    }
}

fn insert(tree: &mut FileTree, path: &str, node: Node) {
    tree.insert(TreePath::new(path).expect("made of checked components"), node);
}

struct Layout<'a> {
    minor: &'a str,
    packages: String,
}

impl Layout<'_> {
    /// The place of a file, and whether it is a script whose first line names the interpreter.
    fn place(&self, path: &TreePath, data: &str, name: &str) -> Result<(TreePath, bool), EntryFault> {
        let text = path.to_string();
        let Some(inside) = text.strip_prefix(data).and_then(|rest| rest.strip_prefix('/')) else {
            return Ok((TreePath::new(&self.packages)?.join(path.as_bytes())?, false));
        };
        let (scheme, rest) = inside.split_once('/').ok_or(EntryFault::Unlisted("the format".to_owned()))?;
        let base = match scheme {
            "purelib" | "platlib" => self.packages.clone(),
            "scripts" => "usr/local/bin".to_owned(),
            "headers" => format!("usr/local/include/python{}/{name}", self.minor),
            "data" => "usr/local".to_owned(),
            _ => return Err(EntryFault::Unlisted("the format".to_owned())),
        };
        Ok((TreePath::new(base)?.join(rest)?, scheme == "scripts"))
    }

    /// A script that begins with `#!python` gets the interpreter's path, as the format asks.
    fn with_interpreter(&self, text: Vec<u8>) -> Vec<u8> {
        match text.strip_prefix(b"#!python") {
            Some(rest) => [format!("#!/usr/bin/python{}", self.minor).as_bytes(), rest].concat(),
            None => text,
        }
    }

    fn command(&self, script: &EntryPoint) -> Vec<u8> {
        let EntryPoint { module, attribute, .. } = script;
        let root = attribute.split('.').next().unwrap_or(attribute);
        format!(
            "#!/usr/bin/python{}\nimport sys\nfrom {module} import {root}\n\nif __name__ == \"__main__\":\n    \
             sys.exit({attribute}())\n",
            self.minor
        )
        .into_bytes()
    }
}
