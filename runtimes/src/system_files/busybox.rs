//! Links to busybox for the tools that scripts expect, `env` first: npm and every command that it installs begin
//! with `#!/usr/bin/env node`.

use lapstrake_oci::tree::{FileTree, Node};

use crate::layer::AssembleError;

/// Applets that Debian's busybox has had since bookworm. Left out: all that configures a machine, its disks or
/// its network, servers, package tools, and what `dash` and `libc-bin` have.
const APPLETS: [&str; 105] = [
    "[",
    "[[",
    "ar",
    "arch",
    "ascii",
    "awk",
    "base64",
    "basename",
    "bc",
    "bunzip2",
    "bzcat",
    "bzip2",
    "cat",
    "chgrp",
    "chmod",
    "chown",
    "clear",
    "cmp",
    "cp",
    "cpio",
    "cut",
    "date",
    "dc",
    "dd",
    "df",
    "diff",
    "dirname",
    "dos2unix",
    "du",
    "echo",
    "egrep",
    "env",
    "expand",
    "expr",
    "factor",
    "false",
    "fgrep",
    "find",
    "fold",
    "free",
    "grep",
    "groups",
    "gunzip",
    "gzip",
    "head",
    "hexdump",
    "hostname",
    "id",
    "kill",
    "killall",
    "less",
    "link",
    "ln",
    "logname",
    "ls",
    "md5sum",
    "mkdir",
    "mkfifo",
    "mktemp",
    "more",
    "mv",
    "nl",
    "nproc",
    "od",
    "paste",
    "patch",
    "pidof",
    "printf",
    "ps",
    "pwd",
    "readlink",
    "realpath",
    "rev",
    "rm",
    "rmdir",
    "sed",
    "seq",
    "sha1sum",
    "sha256sum",
    "sha512sum",
    "shuf",
    "sleep",
    "sort",
    "stat",
    "strings",
    "stty",
    "tac",
    "tail",
    "tar",
    "tee",
    "test",
    "timeout",
    "touch",
    "tr",
    "true",
    "tty",
    "uname",
    "uniq",
    "unlink",
    "unxz",
    "unzip",
    "wc",
    "which",
    "whoami",
    "xargs",
];

pub(super) fn add(tree: &mut FileTree) -> Result<(), AssembleError> {
    for package in ["dash", "busybox"] {
        if tree.get(&super::path(&format!("usr/bin/{package}"))).is_none() {
            return Err(AssembleError::Missing { what: format!("`usr/bin/{package}`") });
        }
    }
    super::put(tree, "usr/bin/sh", Node::symlink("dash"))?;
    for applet in APPLETS {
        let path = super::path(&format!("usr/bin/{applet}"));
        if tree.get(&path).is_none() {
            tree.insert(path, Node::symlink("busybox"));
        }
    }
    Ok(())
}
