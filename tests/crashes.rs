//! Builds that are killed, or whose system calls fail, at any point: the next build makes up for it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::harness::injected::{Injected, count, inject, points, run_bounded};
use crate::harness::prepared::{Unpacked, names_below, settle, whole_in_layout, whole_in_registry};
use crate::harness::{Image, Lapstrake, Prepared, Registry, tools};

/// The calls by which a build changes anything, or learns of it.
const CALLS: [&str; 40] = [
    "chmod",
    "clone",
    "clone3",
    "close",
    "connect",
    "execve",
    "fchmod",
    "fchownat",
    "fcntl",
    "fdatasync",
    "flock",
    "fsmount",
    "fsync",
    "ftruncate",
    "futex",
    "getdents64",
    "lchown",
    "linkat",
    "mkdir",
    "mkdirat",
    "move_mount",
    "open",
    "openat",
    "openat2",
    "pwrite64",
    "read",
    "recvfrom",
    "rename",
    "renameat",
    "renameat2",
    "rmdir",
    "sendmsg",
    "sendto",
    "symlinkat",
    "unlink",
    "unlinkat",
    "utimensat",
    "wait4",
    "write",
    "writev",
];

/// Whether the long form was asked for.
fn is_long() -> bool {
    std::env::var_os("LAPSTRAKE_SECURITY_LONG").is_some()
}

/// An old and a new state of one app; a registry and a layout hold the old one.
struct Scene {
    prepared: Prepared,
    registry: Registry,
    old: String,
    new: String,
    /// What a build leaves that nothing disturbs.
    left: BTreeMap<&'static str, Vec<String>>,
}

/// A place of its own for one disturbed build: the tag holds the old image there.
struct Place {
    directory: PathBuf,
    repository: String,
    lapstrake: Lapstrake,
}

fn label(unpacked: Unpacked) -> &'static str {
    match unpacked {
        Unpacked::Shared => "unpacked",
        Unpacked::Missing => "packed",
    }
}

impl Scene {
    fn new() -> Self {
        let (prepared, registry) = (Prepared::new(), Registry::start());
        let lapstrake = prepared.data(&prepared.scratch().join("seed-data"), Unpacked::Shared);
        let mut scene =
            Self { prepared, registry, old: String::new(), new: String::new(), left: BTreeMap::new() };
        fs_err::write(scene.prepared.source().join("state.txt"), "old").unwrap();
        settle(&scene.prepared.source());
        let layout = scene.prepared.scratch().join("seed-layout");
        scene.old = run_bounded(scene.build(&lapstrake, "seed/app", &layout)).expect(0).digest();
        Image::built(&layout, &scene.old);
        fs_err::write(scene.prepared.source().join("state.txt"), "new").unwrap();
        settle(&scene.prepared.source());
        for unpacked in [Unpacked::Shared, Unpacked::Missing] {
            let place = scene.place(&format!("undisturbed-{}", label(unpacked)), unpacked);
            scene.new = run_bounded(scene.build_at(&place)).expect(0).digest();
            assert_ne!(scene.new, scene.old);
            scene.expect_both(&place, &[&scene.new]).unwrap();
            Image::built(&place.directory.join("layout"), &scene.new);
            // A build that finds everything made leaves something, too.
            run_bounded(scene.build_at(&place)).expect(0);
            scene.left.insert(label(unpacked), names_below(&place.directory));
        }
        scene
    }

    fn build(&self, lapstrake: &Lapstrake, repository: &str, layout: &Path) -> Command {
        let source = self.prepared.source();
        lapstrake.command([
            "build",
            source.to_str().unwrap(),
            "--tag",
            &self.registry.reference(&format!("{repository}:1")),
            "--output",
            &format!("oci:{}:1", layout.display()),
        ])
    }

    fn build_at(&self, place: &Place) -> Command {
        self.build(&place.lapstrake, &place.repository, &place.directory.join("layout"))
    }

    fn place(&self, name: &str, unpacked: Unpacked) -> Place {
        let directory = self.prepared.scratch().join(name);
        fs_err::create_dir(&directory).unwrap();
        let seed = self.prepared.scratch().join("seed-layout");
        tools::run("cp", [Path::new("-al"), &seed, &directory.join("layout")]);
        let repositories = self.registry.storage().join("docker/registry/v2/repositories");
        fs_err::create_dir(repositories.join(name)).unwrap();
        tools::run(
            "cp",
            [Path::new("-a"), &repositories.join("seed/app"), &repositories.join(name).join("app")],
        );
        let lapstrake = self.prepared.data(&directory.join("data"), unpacked);
        Place { directory, repository: format!("{name}/app"), lapstrake }
    }

    /// Whether registry and layout hold one of these images each, with all that it is made of.
    fn expect_both(&self, place: &Place, images: &[&String]) -> Result<(), String> {
        let registry = whole_in_registry(&self.registry, &place.repository, "1")?;
        let layout = whole_in_layout(&place.directory.join("layout"), "1")?;
        if images.contains(&&registry) && images.contains(&&layout) {
            return Ok(());
        }
        Err(format!("the registry's tag names {registry}, that of the layout {layout}"))
    }

    /// Builds again without a disturbance, and compares everything with what it should be.
    fn make_up(&self, place: &Place, unpacked: Unpacked) -> Result<(), String> {
        self.expect_both(place, &[&self.old, &self.new])?;
        let again = run_bounded(self.build_at(place));
        if again.code != Some(0) || again.digest() != self.new {
            return Err(format!("the next build: {again:?}"));
        }
        self.expect_both(place, &[&self.new])?;
        let (left, usual) = (names_below(&place.directory), &self.left[label(unpacked)]);
        let more: Vec<&String> = left.iter().filter(|name| !usual.contains(name)).collect();
        // What is not there was not kept, and is made again by whoever needs it.
        if more.is_empty() {
            Ok(())
        } else {
            Err(format!("left over: {more:?} of {} and {}", left.len(), usual.len()))
        }
    }
}

/// Does something at each point, in two threads, and returns what went wrong.
fn at_each<T: Send + Debug>(points: Vec<T>, act: impl Fn(&T) -> Result<(), String> + Sync) -> Vec<String> {
    let (points, failures) = (Mutex::new(points.into_iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(point) = points.lock().unwrap().next() else { break };
                    let begun = Instant::now();
                    if let Err(failure) = act(&point) {
                        eprintln!("failed: {point:?}: {failure}");
                        failures.lock().unwrap().push(format!("{point:?}: {failure}"));
                    }
                    eprintln!("{point:?}: {:.1} s", begun.elapsed().as_secs_f64());
                }
            });
        }
    });
    failures.into_inner().unwrap()
}

/// What a killed build must not leave in the kernel.
fn nothing_lives_on(killed: &Injected, place: &Place) -> Result<(), String> {
    if killed.outcome.code.is_none() && killed.afterlife > Duration::from_secs(1) {
        return Err(format!("a process lived on for {:?}", killed.afterlife));
    }
    let mounts = fs_err::read_to_string("/proc/self/mountinfo").unwrap();
    match mounts.lines().find(|line| line.contains(place.directory.to_str().unwrap())) {
        Some(line) => Err(format!("still mounted: {line}")),
        None => Ok(()),
    }
}

/// The control groups of a process that is gone.
fn groups_of(pid: u32) -> Vec<PathBuf> {
    let name = format!("lapstrake-{pid}");
    let walk = walkdir::WalkDir::new("/sys/fs/cgroup").max_depth(6).into_iter().filter_map(Result::ok);
    let of_it = walk.filter(|entry| {
        let found = entry.file_name().to_string_lossy();
        found.strip_prefix(&name).is_some_and(|rest| !rest.starts_with(|digit: char| digit.is_ascii_digit()))
    });
    of_it.map(walkdir::DirEntry::into_path).collect()
}

#[test]
fn flt_01_a_build_that_is_killed_at_any_call_is_made_up_for_by_the_next_one() {
    let scene = Scene::new();
    let counts = if is_long() { [260, 60] } else { [17, 7] };
    let mut all = Vec::new();
    for (unpacked, wanted) in [Unpacked::Shared, Unpacked::Missing].into_iter().zip(counts) {
        let place = scene.place(&format!("counted-{}", label(unpacked)), unpacked);
        let (outcome, most) = count(&scene.build_at(&place), &CALLS, &place.directory.join("trace"));
        assert_eq!(outcome.expect(0).digest(), scene.new);
        let points = points(&most, wanted);
        assert_eq!(points.len(), wanted, "{most:?}");
        all.extend(points.into_iter().map(|(call, at)| (unpacked, call, at)));
    }
    let (total, killed, longest) = (all.len(), Mutex::new(0), Mutex::new(Duration::ZERO));
    let failures = at_each(all, |(unpacked, call, at)| {
        let place = scene.place(&format!("killed-{}-{call}-{at}", label(*unpacked)), *unpacked);
        let log = scene.prepared.scratch().join(format!("trace-{}-{call}-{at}", label(*unpacked)));
        let injected = inject(&scene.build_at(&place), (call, *at), "signal=KILL", &log);
        if injected.outcome.code.is_none() {
            *killed.lock().unwrap() += 1;
            let mut longest = longest.lock().unwrap();
            *longest = injected.afterlife.max(*longest);
        }
        nothing_lives_on(&injected, &place)?;
        scene
            .make_up(&place, *unpacked)
            .map_err(|failure| format!("{failure}\nfirst: {:?}", injected.outcome))?;
        let groups = groups_of(injected.pid);
        fs_err::remove_dir_all(&place.directory).unwrap();
        if groups.is_empty() { Ok(()) } else { Err(format!("left over: {groups:?}")) }
    });
    let (killed, longest) = (killed.into_inner().unwrap(), longest.into_inner().unwrap());
    assert_eq!(failures, Vec::<String>::new(), "{} of {total}: {}", failures.len(), failures.join("\n\n"));
    // The others hit a process of the sandbox, or came too late.
    assert!(killed * 3 > total, "the program itself was killed {killed} times of {total}");
    println!(
        "figure FLT-01: {total} of {total} points: same digest, tag old or new, nothing left; \
         {killed} hit the program itself, the last process was gone after {} ms at most",
        longest.as_millis()
    );
}

/// Faults that a disk, a network or a signal makes, and the calls that meet them. A call that reads or writes nothing is
/// the shortest of the short ones. Of sockets there is no EIO; what networks do is for the tests of registries.
const FAULTS: [(&str, &[&str]); 4] = [
    (
        "error=EIO",
        &[
            "chmod",
            "fchmod",
            "fdatasync",
            "flock",
            "fsync",
            "ftruncate",
            "getdents64",
            "linkat",
            "mkdir",
            "mkdirat",
            "openat",
            "openat2",
            "pwrite64",
            "read",
            "renameat",
            "renameat2",
            "rename",
            "symlinkat",
            "unlink",
            "unlinkat",
            "utimensat",
            "write",
            "writev",
        ],
    ),
    (
        "error=EINTR",
        &["connect", "flock", "openat", "read", "recvfrom", "sendto", "wait4", "write", "writev"],
    ),
    // Not of sockets: whoever waits for them to be ready would do so for ever, as only a lie could make it.
    ("error=EAGAIN", &["flock", "read", "write"]),
    ("retval=0", &["read", "write", "writev"]),
];

#[test]
fn flt_03_calls_that_fail_lead_to_an_error_or_to_the_right_image_and_never_to_a_panic() {
    let scene = Scene::new();
    let wanted = if is_long() { 200 } else { 20 };
    let faults_in = |unpacked, wanted| {
        let place = scene.place(&format!("counted-{}", label(unpacked)), unpacked);
        let (outcome, most) = count(&scene.build_at(&place), &CALLS, &place.directory.join("trace"));
        assert_eq!(outcome.expect(0).digest(), scene.new);
        let all = FAULTS.iter().flat_map(|(fault, calls)| {
            let found = calls.iter().filter_map(|call| most.get_key_value(*call));
            found.map(move |(call, most)| (format!("{fault} {call}"), *most))
        });
        let points = points(&all.collect(), wanted);
        points.into_iter().map(move |(fault, at)| (unpacked, fault, at)).collect::<Vec<_>>()
    };
    let mut points = faults_in(Unpacked::Shared, wanted - wanted / 10);
    points.extend(faults_in(Unpacked::Missing, wanted / 10));
    assert_eq!(points.len(), wanted);
    let (met, failed) = (Mutex::new(0), Mutex::new(0));
    let failures = at_each(points, |(unpacked, fault, at)| {
        let (how, call) = fault.split_once(' ').unwrap();
        let name = format!("{}-{}-{call}-{at}", label(*unpacked), how.replace('=', "-").to_lowercase());
        let place = scene.place(&name, *unpacked);
        let log = scene.prepared.scratch().join(format!("trace-{name}"));
        let injected = inject(&scene.build_at(&place), (call, *at), how, &log);
        *met.lock().unwrap() += usize::from(injected.was_met);
        let outcome = &injected.outcome;
        *failed.lock().unwrap() += usize::from(outcome.code != Some(0));
        let is_clear = match outcome.code {
            Some(0) => outcome.digest() == scene.new,
            Some(70 | 101) | None => false,
            Some(_) => outcome.stderr.contains("error: "),
        };
        let made_up = scene.make_up(&place, *unpacked);
        fs_err::remove_dir_all(&place.directory).unwrap();
        // A signal interrupts no write to an eventfd, by which the threads of the network library wake each other.
        let is_lie = outcome.stderr.contains("failed to wake I/O driver");
        if !is_lie && (!is_clear || outcome.stderr.contains("panicked")) {
            return Err(format!("{outcome:?}"));
        }
        made_up.map_err(|failure| format!("{failure}\nfirst: {outcome:?}"))
    });
    let (met, failed) = (met.into_inner().unwrap(), failed.into_inner().unwrap());
    assert_eq!(failures, Vec::<String>::new(), "{} of {wanted}: {}", failures.len(), failures.join("\n\n"));
    assert!(met * 10 >= wanted * 9, "only {met} faults were met");
    println!(
        "figure FLT-03: {wanted} of {wanted} points: no panic, right digest afterwards; {met} faults were met, \
         {failed} of the builds failed with an error"
    );
}
