//! The root file system: staged on a tmpfs in the sandbox's own mount namespace, then pivoted into.

use std::fs;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, openat2};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    UnmountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount,
    mount_change, move_mount, unmount,
};

use super::{devices, guest, proc};
use crate::error::Feature;
use crate::launcher::{MountSource, Sources, Stop};
use crate::spec::{Identity, Isolation, MemoryFile, Mount, Network, Spec};

/// Directories that exist on any machine and that the set-up does not need, one of which the stage covers.
const STAGES: [&str; 4] = ["/tmp", "/run", "/mnt", "/sys"];

/// Everything below `/run` and `/dev/shm` is memory, so it is kept small.
const RUN_SIZE: &str = "67108864";

/// Builds the root file system and makes it the only one that this process and its children see.
pub(super) fn enter(spec: &Spec, sources: Sources) -> Result<(), Stop> {
    let root = build(spec, sources)?;
    pivot(&root)
}

/// Builds the root file system of the steps, and makes the stage on which it stands the only one that this process sees:
/// what runs the steps has their root below it, at [`guest::ROOT`], and nothing of the machine beside it.
pub(super) fn enter_beside(spec: &Spec, mut sources: Sources) -> Result<(), Stop> {
    let runsc = sources.runsc.take();
    build(spec, sources)?;
    let stage = rustix::fs::open(".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(Stop::lacking(Feature::PivotRoot))?;
    for name in guest::DIRECTORIES {
        make_directory(&relative(Path::new(name)))?;
    }
    for (tree, place) in [
        (Some(proc::plain()?), "/proc"),
        (Some(clone_tree("/dev/null", MountAttrFlags::empty())?), "/dev/null"),
        (runsc, guest::PROGRAM),
    ] {
        let Some(tree) = tree else { continue };
        make_target(&relative(Path::new(place)), kind(&tree)?)?;
        attach(&stage, &tree, Path::new(place))?;
    }
    pivot(&stage)
}

/// Builds the root file system of the steps on a stage, which becomes the working directory.
fn build(spec: &Spec, sources: Sources) -> Result<OwnedFd, Stop> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(Stop::lacking(Feature::Namespaces))?;
    let host_files = HostFiles::read(spec);
    open_stage()?;
    make_bottom(spec, &sources)?;
    let root = overlay("root", &sources.lower, &sources.scratch)?;
    attach_at_path(&root, Path::new("root"))?;
    let root = open_root()?;
    if spec.isolation != Isolation::Gvisor {
        proc::mount(&root)?;
        devices::mount(&root)?;
    }
    attach(&root, &sources.temporary, Path::new("/tmp"))?;
    let run = tmpfs("755", RUN_SIZE)?;
    give(&run, Path::new(""), spec.identity).map_err(Stop::with("/run"))?;
    attach(&root, &run, Path::new("/run"))?;
    host_files.mount(&root)?;
    for (index, (mount, source)) in spec.mounts.iter().zip(sources.mounts).enumerate() {
        mount_extra(&root, index, (mount, spec.identity), source)?;
    }
    for (index, file) in spec.files.iter().enumerate() {
        mount_file(&root, index, file, spec.identity)?;
    }
    Ok(root)
}

/// Covers a directory of this namespace with a tmpfs and goes there, so that all staged paths are short.
fn open_stage() -> Result<(), Stop> {
    let stage = STAGES
        .iter()
        .find(|path| fs::metadata(path).is_ok_and(|found| found.is_dir()))
        .ok_or_else(|| Stop::lacking(Feature::Namespaces)("no directory to stage mounts on"))?;
    let made = mount("tmpfs", *stage, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, c"mode=700");
    made.map_err(Stop::lacking(Feature::Namespaces))?;
    std::env::set_current_dir(stage).map_err(Stop::with(stage))?;
    for name in ["bottom", "root"] {
        make_directory(Path::new(name))?;
    }
    Ok(())
}

/// The lowest layer: empty directories and files where mounts are to stand and perhaps no layer has anything.
fn make_bottom(spec: &Spec, sources: &Sources) -> Result<(), Stop> {
    let own = ["/proc", "/dev", "/tmp", "/run"].map(PathBuf::from);
    for directory in own {
        make_directory(&below("bottom", &directory))?;
    }
    if spec.isolation == Isolation::Gvisor {
        // gVisor makes it where it is not, which would be a change of the steps'.
        make_directory(&below("bottom", Path::new("/sys")))?;
    }
    for file in ["/etc/hosts", "/etc/resolv.conf"] {
        make_target(&below("bottom", Path::new(file)), FileType::RegularFile)?;
    }
    for (mount, source) in spec.mounts.iter().zip(&sources.mounts) {
        // What stands on the tmpfs mounts is made there.
        if !mount.target.starts_with("/run") && !mount.target.starts_with("/tmp") {
            make_target(&below("bottom", &mount.target), kind(&source.tree)?)?;
        }
    }
    Ok(())
}

/// An overlay of detached mounts, topmost first, which are staged under `name`.
fn overlay(name: &str, lower: &[OwnedFd], scratch: &OwnedFd) -> Result<OwnedFd, Stop> {
    let mut layers = Vec::new();
    for (index, tree) in lower.iter().enumerate() {
        let place = format!("{name}-{index}");
        make_directory(Path::new(&place))?;
        attach_at_path(tree, Path::new(&place))?;
        layers.push(place);
    }
    if name == "root" {
        layers.push("bottom".to_owned());
    }
    let changes = format!("{name}-scratch");
    make_directory(Path::new(&changes))?;
    attach_at_path(scratch, Path::new(&changes))?;
    let create = || -> rustix::io::Result<OwnedFd> {
        let filesystem = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(filesystem.as_fd(), "lowerdir", layers.join(":"))?;
        fsconfig_set_string(filesystem.as_fd(), "upperdir", format!("{changes}/upper"))?;
        fsconfig_set_string(filesystem.as_fd(), "workdir", format!("{changes}/work"))?;
        fsconfig_set_flag(filesystem.as_fd(), "userxattr")?;
        // The changes need not outlive a power cut, and the end of the sandbox must not wait for the disk.
        fsconfig_set_flag(filesystem.as_fd(), "volatile")?;
        mounted(&filesystem)
    };
    create().map_err(|errno| refuse_overlay(errno, scratch))
}

/// The kernel's error, and what is behind it in most containers.
fn refuse_overlay(errno: rustix::io::Errno, scratch: &OwnedFd) -> Stop {
    const OVERLAYFS: u64 = 0x794c_7630;
    let nested = rustix::fs::fstatfs(scratch).is_ok_and(|found| u64::try_from(found.f_type) == Ok(OVERLAYFS));
    let reason = if nested {
        format!("{errno}: the work directory lies on an overlay itself; put it on a volume or a tmpfs")
    } else {
        errno.to_string()
    };
    Stop::lacking(Feature::Overlay)(reason)
}

fn mounted(filesystem: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    fsconfig_create(filesystem.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    fsmount(filesystem.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// A tmpfs of at most `size` bytes.
pub(super) fn tmpfs(mode: &str, size: &str) -> Result<OwnedFd, Stop> {
    let create = || -> rustix::io::Result<OwnedFd> {
        let filesystem = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(filesystem.as_fd(), "mode", mode)?;
        fsconfig_set_string(filesystem.as_fd(), "size", size)?;
        mounted(&filesystem)
    };
    create().map_err(Stop::lacking(Feature::MountApi))
}

fn mount_extra(
    root: &OwnedFd,
    index: usize,
    (mount, of): (&Mount, Identity),
    source: MountSource,
) -> Result<(), Stop> {
    if mount.target.starts_with("/run") || mount.target.starts_with("/tmp") {
        let target = relative(&mount.target);
        make_target_inside(root, &target, kind(&source.tree)?, of)?;
    }
    let tree = match source.scratch {
        None => source.tree,
        Some(scratch) => overlay(&format!("mount-{index}"), &[source.tree], &scratch)?,
    };
    attach(root, &tree, &mount.target)
}

/// Mounts a file of the stage's memory. Nothing can be done to it through a read-only mount, and a mount point cannot
/// be removed.
fn mount_file(root: &OwnedFd, index: usize, file: &MemoryFile, of: Identity) -> Result<(), Stop> {
    let target = &file.target;
    if !target.starts_with("/run") {
        return Err(Stop::with(target.display())("only `/run` has files of memory"));
    }
    make_target_inside(root, &relative(target), FileType::RegularFile, of)?;
    let name = format!("file-{index}");
    let mut options = fs::OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(0o400).open(&name);
    let written = opened.and_then(|mut made| {
        made.write_all(&file.content)?;
        // On gVisor's kernel the steps are somebody else than this process.
        std::os::unix::fs::fchown(&made, Some(of.uid), Some(of.gid))
    });
    written.map_err(Stop::with(target.display()))?;
    let locked = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    attach(root, &clone_tree(&name, locked)?, target)
}

/// Makes a mount point on one of the tmpfs mounts, which hold nothing of anybody else's yet.
fn make_target_inside(root: &OwnedFd, target: &Path, kind: FileType, of: Identity) -> Result<(), Stop> {
    let fail = || Stop::with::<rustix::io::Errno>(target.display());
    let parent = target.parent().unwrap_or(Path::new(""));
    let mut at = rustix::io::fcntl_dupfd_cloexec(root, 3).map_err(fail())?;
    for name in parent {
        let made = rustix::fs::mkdirat(&at, name, Mode::from_raw_mode(0o755));
        match made.and_then(|()| give(&at, Path::new(name), of)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(errno) => return Err(fail()(errno)),
        }
        at = resolve(&at, Path::new(name)).map_err(fail())?;
    }
    let name = target.file_name().ok_or_else(|| fail()(rustix::io::Errno::INVAL))?;
    let made = if kind == FileType::Directory {
        rustix::fs::mkdirat(&at, name, Mode::from_raw_mode(0o755))
    } else {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        rustix::fs::openat(&at, name, flags, Mode::from_raw_mode(0o644)).map(drop)
    };
    match made.and_then(|()| give(&at, Path::new(name), of)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(errno) => Err(fail()(errno)),
    }
}

/// Gives the steps what was made for them: on gVisor's kernel they are somebody else than this process.
fn give(directory: &OwnedFd, name: &Path, to: Identity) -> rustix::io::Result<()> {
    let (uid, gid) = (rustix::fs::Uid::from_raw(to.uid), rustix::fs::Gid::from_raw(to.gid));
    let flags = AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::chownat(directory, name, Some(uid), Some(gid), flags)
}

/// The files that name resolution needs; the layers have empty ones.
struct HostFiles {
    hosts: String,
    resolver: Option<Vec<u8>>,
}

impl HostFiles {
    fn read(spec: &Spec) -> Self {
        let name = &spec.hostname;
        let own = format!("127.0.0.1 localhost {name}\n::1 localhost ip6-localhost\n");
        if !matches!(spec.network, Network::Host) {
            return Self { hosts: own, resolver: None };
        }
        let theirs = fs_err_read("/etc/hosts").and_then(|bytes| String::from_utf8(bytes).ok());
        Self { hosts: theirs.unwrap_or(own), resolver: fs_err_read("/etc/resolv.conf") }
    }

    /// Mounts read-only copies.
    fn mount(&self, root: &OwnedFd) -> Result<(), Stop> {
        let mut files = vec![("hosts", self.hosts.as_bytes())];
        if let Some(resolver) = &self.resolver {
            files.push(("resolv.conf", resolver));
        }
        for (name, bytes) in files {
            fs::write(name, bytes).map_err(Stop::with(name))?;
            let copy = clone_tree(name, MountAttrFlags::MOUNT_ATTR_RDONLY)?;
            attach(root, &copy, &Path::new("/etc").join(name))?;
        }
        Ok(())
    }
}

/// A machine without the file is a machine without these names.
fn fs_err_read(path: &str) -> Option<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(1 << 20).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// A private, detached copy of the mount at a path of this namespace.
pub(super) fn clone_tree(path: &str, attributes: MountAttrFlags) -> Result<OwnedFd, Stop> {
    use rustix::mount::{OpenTreeFlags, open_tree};
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(CWD, path, flags).map_err(Stop::with(path))?;
    crate::sys::set_mount_attributes(tree.as_fd(), attributes).map_err(Stop::with(path))?;
    Ok(tree)
}

/// Puts a detached mount on a path inside. Links are followed as a process inside would follow them, so a layer
/// whose `/app` is a link to `/../..` leads nowhere else.
pub(super) fn attach(root: &OwnedFd, tree: &OwnedFd, target: &Path) -> Result<(), Stop> {
    let place = resolve(root, &relative(target)).map_err(Stop::with(target.display()))?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, "", &place, "", flags).map_err(Stop::with(target.display()))
}

/// Opens a path inside, without reading it.
pub(super) fn resolve(root: &OwnedFd, target: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    openat2(root, target, flags, Mode::empty(), resolve)
}

fn attach_at_path(tree: &OwnedFd, target: &Path) -> Result<(), Stop> {
    move_mount(tree, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(Stop::lacking(Feature::MountApi))
}

fn open_root() -> Result<OwnedFd, Stop> {
    rustix::fs::open("root", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(Stop::lacking(Feature::PivotRoot))
}

fn pivot(root: &OwnedFd) -> Result<(), Stop> {
    let pivot = || -> rustix::io::Result<()> {
        rustix::process::fchdir(root)?;
        rustix::process::pivot_root(".", ".")?;
        // The old root now lies on top of the new one.
        unmount(".", UnmountFlags::DETACH)?;
        rustix::process::chdir("/")
    };
    pivot().map_err(Stop::lacking(Feature::PivotRoot))
}

fn kind(tree: &OwnedFd) -> Result<FileType, Stop> {
    let found = rustix::fs::fstat(tree).map_err(Stop::with("mount source"))?;
    Ok(FileType::from_raw_mode(found.st_mode))
}

/// A path inside as it stands below its root.
fn relative(target: &Path) -> PathBuf {
    target.strip_prefix("/").unwrap_or(target).to_owned()
}

fn below(directory: &str, target: &Path) -> PathBuf {
    Path::new(directory).join(relative(target))
}

fn make_directory(path: &Path) -> Result<(), Stop> {
    fs::create_dir_all(path).map_err(Stop::with(path.display()))
}

fn make_target(path: &Path, kind: FileType) -> Result<(), Stop> {
    if kind == FileType::Directory {
        return make_directory(path);
    }
    make_directory(path.parent().unwrap_or(path))?;
    fs::write(path, b"").map_err(Stop::with(path.display()))
}
