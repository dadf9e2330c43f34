//! Paths as the steps mean them, where their root directory is an ordinary directory of the machine's.
//!
//! Nothing here is a border: Landlock is, and what Landlock leaves open is carried out by the tracer itself. A path that
//! is taken for another leads to a file that the steps may use anyway, or nowhere.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// More links on the way to a file are given up, as the kernel does.
const MOST_LINKS: usize = 40;

/// Devices that are the machine's.
const DEVICES: [&[u8]; 6] = [b"null", b"zero", b"full", b"random", b"urandom", b"tty"];

/// Names in `/dev` that lead to the process's own descriptors.
const STREAMS: [(&[u8], &[u8]); 4] = [
    (b"fd", b"/proc/self/fd"),
    (b"stdin", b"/proc/self/fd/0"),
    (b"stdout", b"/proc/self/fd/1"),
    (b"stderr", b"/proc/self/fd/2"),
];

/// Whether a link at the end of a path is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    Follow,
    Keep,
}

/// A directory that is seen as the root.
pub(super) struct View {
    root: PathBuf,
}

impl View {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The path below the root of a path that [`Self::outside`] gave; `None` for what is the machine's own.
    pub(super) fn below<'p>(&self, outside: &'p [u8]) -> Option<&'p [u8]> {
        let rest = outside.strip_prefix(self.root.as_os_str().as_bytes())?;
        match rest {
            [] => Some(b"."),
            [b'/', rest @ ..] => Some(if rest.is_empty() { b"." } else { rest }),
            _ => None,
        }
    }

    /// The path at which the machine has what a process means by `path`, relative to `base`, a path of the machine's.
    /// `None` when there are too many links, or the base is nowhere in this view.
    pub(super) fn outside(&self, base: &[u8], path: &[u8], last: Last) -> Option<Vec<u8>> {
        let mut done: Vec<Vec<u8>> = if path.first() == Some(&b'/') {
            Vec::new()
        } else {
            let base = self.inside(base)?;
            base.split(|&byte| byte == b'/').filter(|part| !part.is_empty()).map(<[u8]>::to_vec).collect()
        };
        let is_directory = path.ends_with(b"/") || path.ends_with(b"/.");
        let mut waiting: VecDeque<Vec<u8>> = parts(path).collect();
        let mut links = 0;
        while let Some(part) = waiting.pop_front() {
            match part.as_slice() {
                b"." => continue,
                b".." => {
                    done.pop();
                    continue;
                }
                _ => done.push(part),
            }
            if let Some(machines) = machines(&done) {
                let place = with_rest(machines, &waiting);
                return Some(if leads_out_of_proc(&place) { NOWHERE.to_vec() } else { place });
            }
            if waiting.is_empty() && last == Last::Keep && !is_directory {
                break;
            }
            let Ok(target) = fs::read_link(self.place(&done)) else { continue };
            links += 1;
            if links > MOST_LINKS {
                return None;
            }
            let target = target.into_os_string().into_vec();
            if target.first() == Some(&b'/') {
                done.clear();
            } else {
                done.pop();
            }
            for part in parts(&target).collect::<Vec<_>>().into_iter().rev() {
                waiting.push_front(part);
            }
        }
        let mut place = self.place(&done).into_os_string().into_vec();
        if is_directory && place.last() != Some(&b'/') {
            place.push(b'/');
        }
        Some(place)
    }

    /// The path of this view for a path of the machine's; `None` when it is nowhere in it.
    pub(super) fn inside(&self, path: &[u8]) -> Option<Vec<u8>> {
        let rest = path.strip_prefix(self.root.as_os_str().as_bytes());
        match rest {
            Some([]) => Some(b"/".to_vec()),
            Some(rest) if rest[0] == b'/' => Some(rest.to_vec()),
            _ if path.starts_with(b"/proc/") || path.starts_with(b"/dev/") => Some(path.to_vec()),
            _ => None,
        }
    }

    fn place(&self, done: &[Vec<u8>]) -> PathBuf {
        let mut place = self.root.clone();
        place.extend(done.iter().map(|part| OsStr::from_bytes(part)));
        place
    }
}

/// What cannot be: there is nothing below a device.
const NOWHERE: &[u8] = b"/dev/null/nowhere";

/// Whether a path in `/proc` goes on through a link to a directory, from where it could lead anywhere.
fn leads_out_of_proc(place: &[u8]) -> bool {
    let names: Vec<&[u8]> = place.split(|&byte| byte == b'/').collect();
    names.iter().any(|name| matches!(*name, b".." | b"root" | b"cwd" | b"map_files"))
        || names.iter().position(|name| *name == b"fd").is_some_and(|fd| names.len() > fd + 2)
}

fn parts(path: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    path.split(|&byte| byte == b'/').filter(|part| !part.is_empty()).map(<[u8]>::to_vec)
}

/// What the steps have of the machine's own.
fn machines(done: &[Vec<u8>]) -> Option<Vec<u8>> {
    match done {
        [proc, rest @ ..] if proc == b"proc" => Some(
            [b"/proc".as_slice()]
                .into_iter()
                .chain(rest.iter().map(Vec::as_slice))
                .collect::<Vec<_>>()
                .join(&b'/'),
        ),
        [dev, name] if dev == b"dev" => {
            let stream = STREAMS.iter().find(|(stream, _)| stream == name).map(|(_, place)| place.to_vec());
            stream
                .or_else(|| DEVICES.contains(&name.as_slice()).then(|| [b"/dev/", name.as_slice()].concat()))
        }
        _ => None,
    }
}

fn with_rest(mut place: Vec<u8>, rest: &VecDeque<Vec<u8>>) -> Vec<u8> {
    for part in rest {
        place.push(b'/');
        place.extend(part);
    }
    place
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn shown(view: &View, base: &str, path: &str, last: Last) -> Option<String> {
        let root = view.root.to_str().unwrap();
        let base = format!("{root}{base}");
        let found = view.outside(base.as_bytes(), path.as_bytes(), last)?;
        Some(String::from_utf8(found).unwrap().replace(root, "R"))
    }

    #[test]
    fn paths_lead_where_they_would_with_another_root() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir_all(root.join("usr/bin")).unwrap();
        symlink("usr/bin", root.join("bin")).unwrap();
        symlink("/usr/bin/python3.13", root.join("usr/bin/python3")).unwrap();
        symlink("../../../../../etc", root.join("usr/up")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let view = View::new(root);
        let follow = |path: &str| shown(&view, "/app", path, Last::Follow).unwrap();
        assert_eq!(follow("/bin/python3"), "R/usr/bin/python3.13");
        assert_eq!(shown(&view, "/", "bin/python3", Last::Keep).unwrap(), "R/usr/bin/python3");
        assert_eq!(follow("main.py"), "R/app/main.py");
        assert_eq!(follow("../../../../etc/passwd"), "R/etc/passwd");
        assert_eq!(follow("/usr/up/passwd"), "R/etc/passwd");
        assert_eq!(follow("new/"), "R/app/new/");
        assert_eq!(follow("/"), "R/");
        assert_eq!(follow("/proc/self/fd/3"), "/proc/self/fd/3");
        for path in ["/proc/self/root/etc", "/proc/1/cwd", "/proc/self/../etc", "/proc/self/fd/3/x"] {
            assert_eq!(follow(path), "/dev/null/nowhere", "{path}");
        }
        assert_eq!(view.outside(b"/proc/17", b"status", Last::Follow).unwrap(), b"/proc/17/status");
        assert_eq!(view.outside(b"/proc/17", b"root/etc", Last::Follow).unwrap(), NOWHERE);
        assert_eq!(view.below(b"/dev/null"), None);
        assert_eq!(view.below(root.join("a/b").as_os_str().as_bytes()), Some(b"a/b".as_slice()));
        assert_eq!(follow("/dev/stderr"), "/proc/self/fd/2");
        assert_eq!(follow("/dev/null"), "/dev/null");
        assert_eq!(follow("/dev/sda"), "R/dev/sda");
        assert_eq!(follow("/dev/../etc"), "R/etc");
        assert_eq!(shown(&view, "/", "/loop", Last::Follow), None);
        assert_eq!(shown(&view, "/", "/loop", Last::Keep).unwrap(), "R/loop");
    }

    #[test]
    fn paths_of_the_machine_are_shown_as_the_steps_know_them() {
        let view = View::new(Path::new("/data/root"));
        let inside = |path: &str| view.inside(path.as_bytes()).map(|found| String::from_utf8(found).unwrap());
        assert_eq!(inside("/data/root/app/x").unwrap(), "/app/x");
        assert_eq!(inside("/data/root").unwrap(), "/");
        assert_eq!(inside("/data/rooted"), None);
        assert_eq!(inside("/proc/1/fd").unwrap(), "/proc/1/fd");
        assert_eq!(view.outside(b"/elsewhere", b"x", Last::Keep), None);
    }
}
