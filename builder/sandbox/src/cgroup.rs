//! Exact limits of memory and processes, where the caller may make control groups: as root, or in a delegated subtree.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use crate::spec::Limits;

/// Where the kernel tells about this process's groups.
const MOUNTS: &str = "/proc/self/mountinfo";
const GROUPS: &str = "/proc/self/cgroup";

/// Starts the name of every group that is made here; the process id of its maker follows.
const PREFIX: &str = "lapstrake-";

/// Process 1 and the launcher live in the group as well.
const OWN_PROCESSES: u64 = 2;

/// The groups of one sandbox, removed with it.
pub(crate) struct Groups {
    made: Vec<PathBuf>,
    /// The file that counts processes killed for lack of memory.
    kills: PathBuf,
}

/// The two ways in which kernels are set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    /// One hierarchy for each controller.
    One,
    /// One hierarchy for all.
    Two,
}

/// A directory in which a group can be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    version: Version,
    directory: PathBuf,
}

impl Groups {
    /// Makes groups with these limits; says why not where that is not possible.
    pub(crate) fn make(limits: &Limits) -> Result<Self, String> {
        let read = |path| fs::read_to_string(path).map_err(|error| format!("cannot read `{path}`: {error}"));
        let (mounts, groups) = (read(MOUNTS)?, read(GROUPS)?);
        let memory = places(&mounts, &groups, "memory");
        let name = own_name();
        let mut reason = "no memory controller is mounted".to_owned();
        for place in memory {
            sweep(&place.directory);
            match Self::try_at(&place, &name, limits) {
                Ok(mut made) => {
                    made.limit_processes(&places(&mounts, &groups, "pids"), &name, limits);
                    return Ok(made);
                }
                Err(error) => reason = format!("`{}`: {error}", place.directory.display()),
            }
        }
        Err(reason)
    }

    fn try_at(place: &Place, name: &str, limits: &Limits) -> io::Result<Self> {
        let group = place.directory.join(name);
        fs::create_dir(&group)?;
        let (limit, kills) = match place.version {
            Version::One => ("memory.limit_in_bytes", "memory.oom_control"),
            Version::Two => ("memory.max", "memory.events"),
        };
        // From here on dropping it removes what was made.
        let made = Self { kills: group.join(kills), made: vec![group.clone()] };
        write(&group.join(limit), limits.memory)?;
        // Swap is not everywhere.
        let (swap, value) = match place.version {
            Version::One => ("memory.memsw.limit_in_bytes", limits.memory),
            Version::Two => ("memory.swap.max", 0),
        };
        let _ = write(&group.join(swap), value);
        if place.version == Version::Two {
            write(&group.join("pids.max"), limits.processes + OWN_PROCESSES)?;
        }
        Ok(made)
    }

    /// With the older kind, processes are counted in another hierarchy; the process limit that every user has does the
    /// same, so a machine without it loses nothing.
    fn limit_processes(&mut self, places: &[Place], name: &str, limits: &Limits) {
        for place in places.iter().filter(|place| place.version == Version::One) {
            sweep(&place.directory);
            let group = place.directory.join(name);
            if fs::create_dir(&group).is_ok() {
                let _ = write(&group.join("pids.max"), limits.processes + OWN_PROCESSES);
                self.made.push(group);
            }
        }
    }

    /// Puts a process, and all that it will start, into the groups.
    pub(crate) fn add(self, process: u32) -> io::Result<Self> {
        for group in &self.made {
            write(&group.join("cgroup.procs"), u64::from(process))?;
        }
        Ok(self)
    }

    /// Tells whether the kernel has killed a process in the group for lack of memory.
    pub(crate) fn out_of_memory(&self) -> bool {
        let text = fs::read_to_string(&self.kills).unwrap_or_default();
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.is_some_and(|count| count.trim() != "0")
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for group in &self.made {
            // The kernel may take a moment to notice that the last process has left.
            for _ in 0..50 {
                match fs::remove_dir(group) {
                    Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                        thread::sleep(Duration::from_millis(2));
                    }
                    _ => break,
                }
            }
        }
    }
}

/// Removes the groups of makers that were killed.
fn sweep(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let maker = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next());
        if maker.is_some_and(|maker| !Path::new("/proc").join(maker).exists()) {
            // A group that still holds processes cannot be removed.
            let _ = fs::remove_dir(entry.path());
        }
    }
}

fn own_name() -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("{PREFIX}{}-{number}", std::process::id())
}

fn write(path: &Path, value: u64) -> io::Result<()> {
    // Without `create`: a controller that is not switched on has no file, and must not get one.
    let mut file = fs::OpenOptions::new().write(true).open(path)?;
    io::Write::write_all(&mut file, value.to_string().as_bytes())
}

/// Where a group for a controller could be made, best first.
fn places(mounts: &str, groups: &str, controller: &str) -> Vec<Place> {
    let mut found = Vec::new();
    for line in mounts.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let (left, right): (Vec<&str>, Vec<&str>) = (left.split(' ').collect(), right.split(' ').collect());
        let (&[_, _, _, root, mounted, ..], &[kind, _, options]) = (left.as_slice(), right.as_slice()) else {
            continue;
        };
        let version = match kind {
            "cgroup2" => Version::Two,
            "cgroup" if options.split(',').any(|option| option == controller) => Version::One,
            _ => continue,
        };
        let Some(own) = own_group(groups, version, controller) else { continue };
        let Ok(below) = Path::new(own).strip_prefix(root) else { continue };
        let directory = Path::new(mounted).join(below);
        // A group of the newer kind that holds processes cannot have limited children, so a sibling is tried as well.
        let sibling =
            directory.parent().filter(|parent| version == Version::Two && parent.starts_with(mounted));
        let place = |directory: &Path| Place { version, directory: directory.to_owned() };
        found.push(place(&directory));
        found.extend(sibling.map(place));
    }
    found
}

fn own_group<'a>(groups: &'a str, version: Version, controller: &str) -> Option<&'a str> {
    groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let matches = match version {
            Version::One => controllers.split(',').any(|name| name == controller),
            Version::Two => number == "0",
        };
        matches.then_some(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(version: Version, directory: &str) -> Place {
        Place { version, directory: directory.into() }
    }

    #[test]
    fn a_delegated_group_of_the_newer_kind_is_tried_with_its_parent() {
        let mounts = "30 25 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
        let groups = "0::/user.slice/app.scope\n";
        let expected = ["/sys/fs/cgroup/user.slice/app.scope", "/sys/fs/cgroup/user.slice"];
        assert_eq!(places(mounts, groups, "memory"), expected.map(|path| place(Version::Two, path)));
    }

    #[test]
    fn with_both_kinds_the_hierarchy_of_the_controller_is_found() {
        let mounts = "31 25 0:27 / /cg/cpu rw - cgroup cgroup rw,cpu\n\
                      32 25 0:28 /job /cg/memory rw - cgroup cgroup rw,memory\n";
        let groups = "4:memory:/job/a\n1:cpu:/\n0::/\n";
        assert_eq!(places(mounts, groups, "memory"), [place(Version::One, "/cg/memory/a")]);
        assert_eq!(places(mounts, groups, "pids"), []);
    }
}
