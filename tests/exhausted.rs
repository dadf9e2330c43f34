//! Disks that are full, and processes that get less than they are used to: the build works, or says what is missing.

use std::path::Path;
use std::process::Command;

use crate::harness::injected::run_bounded;
use crate::harness::prepared::{Unpacked, whole_in_layout};
use crate::harness::{Lapstrake, Outcome, Prepared, tools, workspace};
use crate::registry_faults::{image, layout_of};

/// Mounts a file system of its own at a directory, fills it with links to all that lies in another one, runs a command
/// there, then the same command with more space. The mount goes with the namespace.
const FULL: &str = r#"
set -e
dir=$1 seed=$2 options=$3 out=$4; shift 4
mount -t tmpfs -o "$options" none "$dir"
for entry in "$seed"/*; do if test -e "$entry"; then ln -s "$entry" "$dir"; fi; done
code=0
"$@" >"$out/stdout" 2>"$out/stderr" || code=$?
echo "$code" >"$out/code"
mount -o remount,size=2g,nr_inodes=1m none "$dir"
"$@"
test ! -e "$dir/layout" || cp -r "$dir/layout" "$out"
"#;

/// What is on a small disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Small {
    /// Work and cache, where the runtime has to be unpacked.
    Unpacking,
    /// Work and cache alone.
    Cache,
    /// The image layout that is written.
    Output,
}

/// The same command below `wrapper`, with the variables and the directory that it has.
fn wrapped(command: &Command, program: &str, wrapper: &[&str]) -> Command {
    let mut outer = tools::tool(program);
    outer.args(wrapper).arg(command.get_program()).args(command.get_args());
    outer.stdin(std::process::Stdio::null());
    if let Some(directory) = command.get_current_dir() {
        outer.current_dir(directory);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer
}

/// Whether a failure is one that a user can do something about.
fn is_clear(outcome: &Outcome) -> bool {
    let is_fault = matches!(outcome.code, None | Some(70 | 101 | 126..));
    !is_fault && outcome.stderr.contains("error: ") && !outcome.stderr.contains("panicked")
}

/// Builds on a small disk, then on the same one with more space. Returns whether the first build failed.
fn fill(prepared: &Prepared, small: Small, options: &str, digest: &str) -> Result<bool, String> {
    let place = prepared.scratch().join(format!("{small:?}-{options}").replace(['=', ','], "-"));
    let (disk, seed, out) = (place.join("disk"), place.join("seed"), place.join("out"));
    for directory in [&disk, &seed, &out] {
        fs_err::create_dir_all(directory).unwrap();
    }
    let unpacked = if small == Small::Unpacking { Unpacked::Missing } else { Unpacked::Shared };
    let is_output = small == Small::Output;
    let data = if is_output { place.join("data") } else { seed.clone() };
    let lapstrake = prepared.data(&data, unpacked);
    let lapstrake = if is_output { lapstrake } else { lapstrake.with_data(&disk) };
    let layout = if is_output { disk.join("layout") } else { place.join("layout") };
    let source = prepared.source();
    let output = format!("oci:{}:1", layout.display());
    let build = lapstrake.command(["build", source.to_str().unwrap(), "--output", &output]);
    let [disk_name, seed, out_name] = [&disk, &seed, &out].map(|path| path.to_str().unwrap());
    let script = ["-m", "sh", "-c", FULL, "sh", disk_name, seed, options, out_name];
    let second = run_bounded(wrapped(&build, "unshare", &script));
    let text = |name: &str| fs_err::read_to_string(out.join(name)).unwrap_or_default();
    let first =
        Outcome { code: text("code").trim().parse().ok(), stdout: text("stdout"), stderr: text("stderr") };
    let found = whole_in_layout(&if is_output { out.join("layout") } else { layout }, "1");
    fs_err::remove_dir_all(&place).unwrap();
    let says_why = first.stderr.contains("No space left on device") && first.stderr.contains(disk_name);
    // What a command of the app writes, its own output names.
    let by_command = first.code == Some(1) && first.stderr.contains("No space left on device");
    match first.code {
        Some(0) if first.digest() == digest => {}
        Some(_) if is_clear(&first) && (says_why || by_command) => {}
        _ => return Err(format!("with {options}: {first:?}")),
    }
    if second.code != Some(0) || second.digest() != digest || found.as_deref() != Ok(digest) {
        return Err(format!("after {options}: {second:?}, {found:?}\nfirst: {first:?}"));
    }
    Ok(first.code != Some(0))
}

#[test]
fn flt_02_a_full_disk_is_named_and_the_next_build_with_more_space_works() {
    if !tools::is_root() {
        eprintln!("skipped: a disk of a given size needs root");
        return;
    }
    let prepared = Prepared::new();
    let data = prepared.scratch().join("measured");
    let layout = format!("oci:{}", prepared.scratch().join("measured-layout").display());
    let source = prepared.source();
    let lapstrake = prepared.data(&data, Unpacked::Missing);
    let digest =
        lapstrake.run_bounded(["build", source.to_str().unwrap(), "--output", &layout]).expect(0).digest();
    let used = tools::run("du", [Path::new("-sk"), &data.join("rootfs")]);
    let rootfs: u64 = used.split_whitespace().next().unwrap().parse().unwrap();
    fs_err::remove_dir_all(&data).unwrap();
    let mut disks = Vec::new();
    disks.extend((1..=6).map(|part| (Small::Unpacking, format!("size={}k", rootfs * part / 6))));
    disks.extend([4, 16, 32, 48, 64, 96, 128, 192].map(|size| (Small::Cache, format!("size={size}k"))));
    disks.extend([4, 64, 8000, 12000, 20000, 21000].map(|size| (Small::Output, format!("size={size}k"))));
    let sizes = disks.len();
    disks.extend([300, 3000].map(|count| (Small::Unpacking, format!("size=1g,nr_inodes={count}"))));
    disks.extend([8, 16, 32].map(|count| (Small::Cache, format!("size=1g,nr_inodes={count}"))));
    disks.extend([4, 7].map(|count| (Small::Output, format!("size=1g,nr_inodes={count}"))));
    let (total, mut full, mut failures) = (disks.len(), 0, Vec::new());
    for (small, options) in disks {
        match fill(&prepared, small, &options, &digest) {
            Ok(failed) => full += usize::from(failed),
            Err(failure) => failures.push(format!("{small:?} {failure}")),
        }
    }
    assert_eq!(failures, Vec::<String>::new(), "{} of {total}: {}", failures.len(), failures.join("\n\n"));
    assert!(full * 3 > total * 2, "only {full} of {total} disks were too small");
    println!(
        "figure FLT-02: {sizes} sizes and {} counts of inodes: {full} full disks named, the next build right in all {total}",
        total - sizes
    );
}

/// A condition: its name, a shell script that ends in the build, and whether it may fail.
const CONDITIONS: [(&str, &str, bool); 15] = [
    ("64 descriptors", "ulimit -n 64; exec \"$@\"", true),
    ("256 descriptors", "ulimit -n 256; exec \"$@\"", false),
    ("512 MiB of addresses", "ulimit -v 524288; exec \"$@\"", true),
    ("files of 64 KiB", "ulimit -f 128; exec \"$@\"", true),
    ("files of 4 MiB", "ulimit -f 8192; exec \"$@\"", true),
    ("no core file, small stack", "ulimit -c 0; ulimit -s 1024; exec \"$@\"", false),
    ("no home", "unset HOME; exec \"$@\"", false),
    ("a home that is no directory", "HOME=/dev/null/home; export HOME; exec \"$@\"", false),
    ("no home and no data directory", "unset HOME LAPSTRAKE_DATA_DIR LAPSTRAKE_STATE_DIR; exec \"$@\"", true),
    (
        "a home that cannot be written",
        "unset LAPSTRAKE_DATA_DIR LAPSTRAKE_STATE_DIR; HOME=/mnt; export HOME; test $(id -u) != 0 || \
         exec unshare -m sh -c 'mount -t tmpfs -o ro none /mnt && exec \"$@\"' sh \"$@\"; exec \"$@\"",
        true,
    ),
    ("no temporary directory", "TMPDIR=/nonexistent/tmp; export TMPDIR; exec \"$@\"", false),
    ("standard input closed", "exec \"$@\" <&-", false),
    ("the plain locale", "LC_ALL=C; LANG=C; export LC_ALL LANG; exec \"$@\"", false),
    ("no environment", "exec env -i LAPSTRAKE_DATA_DIR=\"$LAPSTRAKE_DATA_DIR\" \"$@\"", false),
    ("an umask that forbids everything", "umask 0777; exec \"$@\"", true),
];

/// Whether the file is named that may not grow, where that is what is limited.
fn names_the_file(script: &str, outcome: &Outcome, place: &Path) -> bool {
    let says = |words: &str| outcome.stderr.contains(words);
    !script.contains("ulimit -f")
        || (says("File too large") && says(place.to_str().unwrap()) && says("ulimit -f"))
}

#[test]
fn flt_07_a_process_that_gets_little_works_or_says_what_is_missing() {
    let prepared = Prepared::new();
    let source = prepared.source();
    let layout = format!("oci:{}", prepared.scratch().join("usual").display());
    let lapstrake = prepared.data(&prepared.scratch().join("usual-data"), Unpacked::Shared);
    let digest =
        lapstrake.run_bounded(["build", source.to_str().unwrap(), "--output", &layout]).expect(0).digest();
    let (mut failures, mut refused) = (Vec::new(), Vec::new());
    for (at, (name, script, may_fail)) in CONDITIONS.into_iter().enumerate() {
        let place = prepared.scratch().join(format!("condition-{at}"));
        let lapstrake = prepared.data(&place.join("data"), Unpacked::Shared);
        let layout = format!("oci:{}", place.join("layout").display());
        let build = lapstrake.command(["build", source.to_str().unwrap(), "--output", &layout]);
        let outcome = run_bounded(wrapped(&build, "sh", &["-c", script, "sh"]));
        match outcome.code {
            Some(0) if outcome.digest() == digest => {}
            Some(_) if may_fail && is_clear(&outcome) && names_the_file(script, &outcome, &place) => {
                refused.push(name);
            }
            _ => failures.push(format!("{name}: {outcome:?}")),
        }
        // Where little was given, what was kept must be of use to those who have more.
        let again = lapstrake.run_bounded(["build", source.to_str().unwrap(), "--output", &layout]);
        if again.code != Some(0) || again.digest() != digest {
            failures.push(format!("after {name}: {again:?}"));
        }
    }
    assert_eq!(failures, Vec::<String>::new(), "{} failed: {}", failures.len(), failures.join("\n\n"));
    println!(
        "figure FLT-07: {} conditions: {} builds right, a clear error with: {}",
        CONDITIONS.len(),
        CONDITIONS.len() - refused.len(),
        refused.join(", ")
    );
}

#[test]
fn flt_07_a_push_from_a_machine_without_a_pair_of_sockets_to_give_works() {
    let scratch = workspace::scratch();
    let layout = layout_of(&image(7, &[300_000]), &scratch.path().join("layout"));
    let registry = lapstrake_fixtures::registry::Registry::start();
    let tag = format!("{}/few/sockets:1", registry.host());
    let push = Lapstrake::new().command(["push", &layout, "--tag", &tag]);
    let calls = scratch.path().join("calls");
    let inject = ["-f", "-qq", "-e", "trace=socketpair", "-e", "inject=socketpair:error=EAGAIN"];
    let strace = [&inject[..], &["-o", calls.to_str().unwrap()]].concat();
    run_bounded(wrapped(&push, "strace", &strace)).expect(0);
    assert_eq!(registry.tags("few/sockets"), ["1"]);
}
