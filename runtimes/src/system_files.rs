//! The files that Debian's maintainer scripts would make when a system is installed.
//!
//! Each is a value that follows from the packaged files alone, so that the same packages give the same bytes.
//! Deliberately absent: `machine-id` and `hostname`, which belong to one machine, and `ld.so.cache`, which embeds
//! the C library of the machine that writes it.

mod busybox;
mod pg_config;

use lapstrake_oci::tree::{FileTree, Kind, Node, Owner, TreePath};

use crate::layer::AssembleError;

/// A group of files that no package has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Generate {
    /// What every image needs: the links of the merged `/usr`, accounts, name resolution, time zone, temporary
    /// directories, and the bundle of certificate authorities.
    Base,
    /// `sh`, and busybox in place of the usual tools.
    Shell,
    /// `pg_config` as a shell script, in place of the perl script of `libpq-dev`.
    PgConfig,
    /// The wheels of the layer as files in `/usr/share/python-wheels`, where Debian's `ensurepip` looks.
    PythonWheels,
}

/// The unprivileged user of an image, and its group.
const APP: Owner = Owner { uid: 1000, gid: 1000 };

const PASSWD: &str = "\
root:*:0:0:root:/root:/bin/sh
daemon:*:1:1:daemon:/usr/sbin:/usr/sbin/nologin
bin:*:2:2:bin:/bin:/usr/sbin/nologin
sys:*:3:3:sys:/dev:/usr/sbin/nologin
man:*:6:12:man:/var/cache/man:/usr/sbin/nologin
mail:*:8:8:mail:/var/mail:/usr/sbin/nologin
www-data:*:33:33:www-data:/var/www:/usr/sbin/nologin
app:*:1000:1000:app:/home/app:/bin/sh
nobody:*:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
";

const GROUP: &str = "\
root:*:0:
daemon:*:1:
bin:*:2:
sys:*:3:
adm:*:4:
tty:*:5:
disk:*:6:
mail:*:8:
man:*:12:
www-data:*:33:
shadow:*:42:
utmp:*:43:
staff:*:50:
users:*:100:
app:*:1000:
nogroup:*:65534:
";

const NSSWITCH: &str = "\
passwd:         files
group:          files
shadow:         files

hosts:          files dns
networks:       files

protocols:      files
services:       files
ethers:         files
rpc:            files
";

/// Adds the files of each group to the tree of a layer.
pub(crate) fn generate(groups: &[Generate], tree: &mut FileTree) -> Result<(), AssembleError> {
    for group in groups {
        match group {
            Generate::Base => base(tree)?,
            Generate::Shell => busybox::add(tree)?,
            Generate::PgConfig => pg_config::add(tree)?,
            Generate::PythonWheels => {} // made where the wheel is at hand, see `layer`
        }
    }
    Ok(())
}

fn base(tree: &mut FileTree) -> Result<(), AssembleError> {
    for name in ["bin", "sbin", "lib"] {
        put(tree, name, Node::symlink(format!("usr/{name}")))?;
    }
    // Only where the architecture has its loader there.
    if tree.get(&path("usr/lib64")).is_some() {
        put(tree, "lib64", Node::symlink("usr/lib64"))?;
    }
    for name in [
        "dev",
        "etc",
        "home",
        "proc",
        "run",
        "sys",
        "usr/bin",
        "usr/sbin",
        "usr/lib",
        "usr/local/bin",
        "var/lib",
    ] {
        tree.insert(path(name), Node::directory());
    }
    for name in ["tmp", "var/tmp", "run/lock"] {
        tree.insert(path(name), Node { mode: 0o1777, ..Node::directory() });
    }
    for (name, target) in [("var/run", "../run"), ("var/lock", "../run/lock")] {
        // `base-files` has directories there and makes links of them afterwards.
        tree.remove(&path(name));
        put(tree, name, Node::symlink(target))?;
    }
    tree.insert(path("root"), Node { mode: 0o700, ..Node::directory() });
    tree.insert(path("home/app"), Node { owner: APP, ..Node::directory() });
    for (name, text) in [
        ("etc/passwd", PASSWD),
        ("etc/group", GROUP),
        ("etc/nsswitch.conf", NSSWITCH),
        ("etc/timezone", "Etc/UTC\n"),
        ("etc/shells", "/bin/sh\n"),
        // Container runtimes mount theirs over these; without them the mounts would leave files in an app's layer.
        ("etc/hosts", ""),
        ("etc/resolv.conf", ""),
    ] {
        put(tree, name, Node::file(text.as_bytes().to_vec(), 0o644))?;
    }
    put(tree, "etc/localtime", Node::symlink("/usr/share/zoneinfo/Etc/UTC"))?;
    certificates(tree)
}

/// The bundle that programs are built to look for, and OpenSSL's two names for it, which are in the `openssl`
/// package: without them Python trusts nobody.
fn certificates(tree: &mut FileTree) -> Result<(), AssembleError> {
    let directory = path("usr/share/ca-certificates/mozilla");
    let mut bundle = Vec::new();
    for (path, node) in tree.iter().filter(|(path, _)| path.is_within(&directory)) {
        if let Kind::File(content) = &node.kind
            && path.name().ends_with(b".crt")
        {
            let read = |source| AssembleError::Read { path: path.clone(), source };
            bundle.extend(content.read().map_err(read)?);
            if bundle.last() != Some(&b'\n') {
                bundle.push(b'\n');
            }
        }
    }
    if bundle.is_empty() {
        return Err(AssembleError::Missing { what: format!("certificates in `{directory}`") });
    }
    put(tree, "etc/ssl/certs/ca-certificates.crt", Node::file(bundle, 0o644))?;
    put(tree, "usr/lib/ssl/cert.pem", Node::symlink("/etc/ssl/certs/ca-certificates.crt"))?;
    put(tree, "usr/lib/ssl/certs", Node::symlink("/etc/ssl/certs"))
}

/// Puts a file or link in place of a packaged one, never of a directory.
fn put(tree: &mut FileTree, name: &str, node: Node) -> Result<(), AssembleError> {
    let path = path(name);
    if tree.get(&path).is_some_and(|node| matches!(node.kind, Kind::Directory)) {
        return Err(AssembleError::Directory { path });
    }
    tree.insert(path, node);
    Ok(())
}

fn path(name: &str) -> TreePath {
    TreePath::new(name).expect("a constant that is a good path")
}

#[cfg(test)]
mod tests;
