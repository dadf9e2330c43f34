//! The system calls that take paths, and where in their arguments.

use super::view::Last;

/// How a path of a system call is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PathArgument {
    /// Which argument is the directory that it is relative to; the working directory when none is.
    pub(super) directory: Option<usize>,
    /// Which argument it is.
    pub(super) path: usize,
    /// Whether a link at its end is followed.
    pub(super) last: Ending,
}

/// Whether a link at the end of a path is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Always(Last),
    /// Unless one of these bits is in this argument.
    Unless(usize, i32),
    /// Only if one of these bits is.
    If(usize, i32),
}

/// A traced system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Traced {
    /// Its paths are to be led to where they are.
    Paths([Option<PathArgument>; 2]),
    /// It executes a program.
    Execute,
    /// It asks for the working directory.
    WorkingDirectory,
    /// It changes the mode of a file.
    Mode { path: PathArgument, mode: usize },
    /// It changes the owner of a file.
    Owner { path: PathArgument, owner: usize },
    /// It changes the times of a file.
    Times { path: PathArgument, times: usize },
    /// It is refused with this error.
    Refused(i32),
    /// It reads a link: of a directory, if one is given, at this path, into this buffer.
    ReadLink { directory: Option<usize>, path: usize },
}

const FOLLOW: Ending = Ending::Always(Last::Follow);
const KEEP: Ending = Ending::Always(Last::Keep);

const fn plain(path: usize, last: Ending) -> PathArgument {
    PathArgument { directory: None, path, last }
}

const fn at(directory: usize, path: usize, last: Ending) -> PathArgument {
    PathArgument { directory: Some(directory), path, last }
}

const fn one(path: PathArgument) -> Traced {
    Traced::Paths([Some(path), None])
}

const fn two(first: PathArgument, second: PathArgument) -> Traced {
    Traced::Paths([Some(first), Some(second)])
}

/// Opening does not follow a link when it was told not to, or when it must make the file.
const fn opening(flags: usize) -> Ending {
    Ending::Unless(flags, libc::O_NOFOLLOW | libc::O_EXCL)
}

const fn unless_nofollow(flags: usize) -> Ending {
    Ending::Unless(flags, libc::AT_SYMLINK_NOFOLLOW)
}

/// All of them.
pub(super) const CALLS: &[(i64, Traced)] = &[
    (libc::SYS_open, one(plain(0, opening(1)))),
    (libc::SYS_openat, one(at(0, 1, opening(2)))),
    (libc::SYS_creat, one(plain(0, FOLLOW))),
    (libc::SYS_stat, one(plain(0, FOLLOW))),
    (libc::SYS_lstat, one(plain(0, KEEP))),
    (libc::SYS_newfstatat, one(at(0, 1, unless_nofollow(3)))),
    (libc::SYS_statx, one(at(0, 1, unless_nofollow(2)))),
    (libc::SYS_access, one(plain(0, FOLLOW))),
    (libc::SYS_faccessat, one(at(0, 1, FOLLOW))),
    (libc::SYS_faccessat2, one(at(0, 1, unless_nofollow(3)))),
    (libc::SYS_readlink, Traced::ReadLink { directory: None, path: 0 }),
    (libc::SYS_readlinkat, Traced::ReadLink { directory: Some(0), path: 1 }),
    (libc::SYS_chdir, one(plain(0, FOLLOW))),
    (libc::SYS_mkdir, one(plain(0, KEEP))),
    (libc::SYS_mkdirat, one(at(0, 1, KEEP))),
    (libc::SYS_rmdir, one(plain(0, KEEP))),
    (libc::SYS_unlink, one(plain(0, KEEP))),
    (libc::SYS_unlinkat, one(at(0, 1, KEEP))),
    (libc::SYS_rename, two(plain(0, KEEP), plain(1, KEEP))),
    (libc::SYS_renameat, two(at(0, 1, KEEP), at(2, 3, KEEP))),
    (libc::SYS_renameat2, two(at(0, 1, KEEP), at(2, 3, KEEP))),
    (libc::SYS_link, two(plain(0, KEEP), plain(1, KEEP))),
    (libc::SYS_linkat, two(at(0, 1, Ending::If(4, libc::AT_SYMLINK_FOLLOW)), at(2, 3, KEEP))),
    (libc::SYS_symlink, one(plain(1, KEEP))),
    (libc::SYS_symlinkat, one(at(1, 2, KEEP))),
    // Landlock has no right for these, so that they are never made by the process itself: it could change the path in its
    // memory after it was looked at.
    (libc::SYS_chmod, Traced::Mode { path: plain(0, FOLLOW), mode: 1 }),
    (libc::SYS_fchmodat, Traced::Mode { path: at(0, 1, FOLLOW), mode: 2 }),
    (libc::SYS_fchmodat2, Traced::Mode { path: at(0, 1, unless_nofollow(3)), mode: 2 }),
    (libc::SYS_chown, Traced::Owner { path: plain(0, FOLLOW), owner: 1 }),
    (libc::SYS_lchown, Traced::Owner { path: plain(0, KEEP), owner: 1 }),
    (libc::SYS_fchownat, Traced::Owner { path: at(0, 1, unless_nofollow(4)), owner: 2 }),
    (libc::SYS_utimensat, Traced::Times { path: at(0, 1, unless_nofollow(3)), times: 2 }),
    // C libraries have not made these for long.
    (libc::SYS_utime, Traced::Refused(libc::ENOSYS)),
    (libc::SYS_utimes, Traced::Refused(libc::ENOSYS)),
    (libc::SYS_futimesat, Traced::Refused(libc::ENOSYS)),
    (libc::SYS_setxattr, Traced::Refused(libc::EOPNOTSUPP)),
    (libc::SYS_lsetxattr, Traced::Refused(libc::EOPNOTSUPP)),
    (libc::SYS_removexattr, Traced::Refused(libc::EOPNOTSUPP)),
    (libc::SYS_lremovexattr, Traced::Refused(libc::EOPNOTSUPP)),
    (libc::SYS_truncate, one(plain(0, FOLLOW))),
    (libc::SYS_mknod, one(plain(0, KEEP))),
    (libc::SYS_mknodat, one(at(0, 1, KEEP))),
    (libc::SYS_getxattr, one(plain(0, FOLLOW))),
    (libc::SYS_lgetxattr, one(plain(0, KEEP))),
    (libc::SYS_listxattr, one(plain(0, FOLLOW))),
    (libc::SYS_llistxattr, one(plain(0, KEEP))),
    (libc::SYS_statfs, one(plain(0, FOLLOW))),
    (libc::SYS_inotify_add_watch, one(plain(1, FOLLOW))),
    (libc::SYS_execve, Traced::Execute),
    (libc::SYS_getcwd, Traced::WorkingDirectory),
];

/// Where a root directory of their own was entered, only what `/proc` would tell has to be answered.
pub(super) const LINKS: &[(i64, Traced)] = &[
    (libc::SYS_readlink, Traced::ReadLink { directory: None, path: 0 }),
    (libc::SYS_readlinkat, Traced::ReadLink { directory: Some(0), path: 1 }),
];
