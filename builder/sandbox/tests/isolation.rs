//! What a step must not see, reach or change.

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;

use lapstrake_sandbox::{Feature, Isolation, MemoryFile, Mount, SandboxError};

use crate::harness::{BUILD_UID, Bench, PLANTED, Test, run_spec, sh, shell_in};
use crate::inside::PROGRAM;
use crate::terminal::TYPED;

/// Those that hold in every mode.
pub(crate) const EVERYWHERE: &[Test] = &[
    ("SBX-01 forbidden system calls are refused and others work", system_calls),
    ("SBX-01 a forged whiteout cannot be made", forged_whiteout),
    ("SBX-01 no file of the machine is reached by any name", files_of_the_machine),
    ("SBX-01 no process of the machine is reached, and no socket", processes_of_the_machine),
    ("SBX-05 no program that runs can be overwritten, the caller's own included", overwriting),
    ("SBX-09 a terminal of the caller's receives nothing", terminal),
    ("SBX-19 many threads use files at the same time, and any of them becomes another program", crowd),
    ("SBX-16 a probe finds what these tests use", probe),
];

/// Those that hold where the steps run on another kernel: what that one allows them is its own affair.
pub(crate) const ON_GUEST: &[Test] = &[
    ("SBX-20 the kernel is another one", other_kernel),
    ("SBX-20 no file of the machine is reached by any name", files_of_the_machine),
    ("SBX-20 no process of the machine is reached, and no socket", processes_of_the_machine),
    ("SBX-20 no program that runs can be overwritten, the caller's own included", overwriting),
    ("SBX-20 a terminal of the caller's receives nothing", terminal),
    ("SBX-20 the caller's environment is nowhere to be found", planted_secret),
    ("SBX-20 no descriptor of the caller's is open inside", descriptors),
    (
        "SBX-20 a file of memory is the build user's alone, and no process or disk outside shows it",
        memory_file,
    ),
    ("SBX-20 a file of memory lies below /run and nowhere else", memory_file_elsewhere),
    ("SBX-20 emptying a standard stream empties nothing", streams),
    ("SBX-20 a link in a layer does not lead a mount outside", link_in_layer),
    ("SBX-20 no mount shows outside", no_mount_outside),
    ("SBX-20 many threads use files at the same time, and any of them becomes another program", crowd),
    ("SBX-16 a probe finds what these tests use", probe),
];

/// Those of the mode that keeps nothing away.
pub(crate) const OPEN: &[Test] = &[
    ("SBX-19 many threads use files at the same time, and any of them becomes another program", crowd),
    ("SBX-16 nothing is kept from the steps but the caller's environment and root", nothing_kept),
    ("SBX-16 a probe finds what these tests use", probe),
];

pub(crate) const TESTS: &[Test] = &[
    ("SBX-01 nobody inside is root, and root is not behind them", not_root),
    ("SBX-03 the caller's environment is nowhere to be found", planted_secret),
    ("SBX-03 no descriptor of the caller's is open inside", descriptors),
    ("SBX-05 process 1 shows nothing of its program", process_one),
    ("SBX-01 the machine's files in /proc cannot be read or written", machine_files),
    ("SBX-01 only harmless devices exist", devices),
    (
        "SBX-03 a file of memory is the build user's alone, and no process or disk outside shows it",
        memory_file,
    ),
    ("SBX-03 a file of memory lies below /run and nowhere else", memory_file_elsewhere),
    ("SBX-06 emptying a standard stream empties nothing", streams),
    ("SBX-12 a link in a layer does not lead a mount outside", link_in_layer),
    ("SBX-14 no mount shows outside", no_mount_outside),
    ("SBX-16 a build uid of 0 is refused", build_uid_zero),
    ("SRC-01 a worker computes and reaches nothing but what it was given", worker),
];

fn not_root(bench: &Bench) {
    let said = bench
        .shell("id -u; id -g; cat /proc/self/uid_map; hostname; grep -c NoNewPrivs:.1 /proc/self/status");
    let text = said.stdout();
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let (outside, _) = lapstrake_sandbox::outside_identity(BUILD_UID);
    assert_eq!(words, ["1000", "1000", "1000", &outside.to_string(), "1", "build", "1"]);
    assert_ne!(outside, 0);
    let capabilities = bench.shell("grep ^Cap /proc/self/status").stdout();
    assert!(capabilities.lines().all(|line| line.ends_with("\t0000000000000000")), "{capabilities}");
}

fn other_kernel(bench: &Bench) {
    let inside = bench.shell("cat /proc/version; cat /proc/self/status").stdout();
    let outside = fs::read_to_string("/proc/version").unwrap();
    assert!(!inside.contains(outside.trim()), "{inside}");
    let capabilities: Vec<&str> = inside.lines().filter(|line| line.starts_with("Cap")).collect();
    assert!(
        !capabilities.is_empty() && capabilities.iter().all(|line| line.ends_with("\t0000000000000000")),
        "{inside}"
    );
    println!("figure SBX-20: steps see `{}`", inside.lines().next().unwrap_or_default());
}

fn crowd(bench: &Bench) {
    let mut spec = bench.spec();
    spec.mounts = vec![Bench::this_program()];
    let line = format!("mkdir /tmp/crowd; echo last >/tmp/crowd/last; exec {PROGRAM} --crowd");
    assert_eq!(shell_in(&spec, &line).stdout(), "24\nlast\nbecame");
}

fn system_calls(bench: &Bench) {
    let mut spec = bench.spec();
    spec.mounts = vec![Bench::this_program()];
    let mode = bench.isolation.name();
    let text = shell_in(&spec, &format!("{PROGRAM} --try-calls {mode}")).stdout();
    assert!(!text.contains("WRONG"), "{text}");
    let tried = text.lines().count();
    assert!(tried >= 64, "{text}");
    println!("figure SBX-01: {tried} calls as expected in mode {mode} by uid {}", bench.uid());
}

/// A file of the machine that belongs to whoever stands behind the sandbox is neither read nor changed, whatever it is
/// called.
fn files_of_the_machine(bench: &Bench) {
    use std::os::unix::fs::MetadataExt;
    let directory = bench.directory("machine");
    let canary = directory.join("canary");
    fs::write(&canary, "of the machine\n").unwrap();
    let (uid, gid) = lapstrake_sandbox::outside_identity(BUILD_UID);
    std::os::unix::fs::chown(&canary, Some(uid), Some(gid)).unwrap();
    let state = || {
        let found = fs::metadata(&canary).unwrap();
        (found.mode(), found.mtime(), found.nlink(), fs::read_to_string(&canary).unwrap())
    };
    let before = state();
    let up = "../".repeat(20);
    let place = canary.display();
    let said = bench.shell(&format!(
        "for name in {place} /proc/self/root{place} /proc/self/cwd/{up}{place} /proc/1/root{place} /{up}{place} \
             {up}{place} /dev/fd/../root{place} /proc/self/fd/0/{up}{place} /proc/self/task/../root{place}; do
           cat $name; echo x >>$name; chmod 777 $name; touch $name; rm -f $name; done 2>/dev/null
         cd /proc/self 2>/dev/null && {{ cat root{place}; chmod 777 root{place}; touch cwd/root{place}; }} 2>/dev/null
         cd /; {{ cat proc/self/root{place}; cat tmp/{up}proc/1/root{place}; }} 2>/dev/null
         echo done"
    ));
    assert_eq!(said.stdout(), "done");
    assert_eq!(state(), before);
}

/// The program that made the sandbox, which belongs to an ordinary user who started it, and the shell that the step runs.
fn overwriting(bench: &Bench) {
    use std::os::unix::fs::MetadataExt;
    let programs = [fs::read_link("/proc/self/exe").unwrap(), bench.rootfs.join("bin/sh")];
    if bench.uid() != 0 {
        assert_eq!(fs::metadata(&programs[0]).unwrap().uid(), bench.uid());
    }
    let state = || {
        programs.each_ref().map(|program| {
            let found = fs::metadata(program).unwrap();
            let mut bytes = Vec::new();
            fs::File::open(program).unwrap().read_to_end(&mut bytes).unwrap();
            (found.mode(), found.ino(), found.mtime_nsec(), bytes)
        })
    };
    let before = state();
    let mut spec = bench.spec();
    spec.mounts = vec![Bench::this_program()];
    let said = shell_in(&spec, &format!("{PROGRAM} --overwrite")).stdout();
    assert!(state() == before, "a program has changed: {said}");
    let tried: usize = said.parse().unwrap();
    assert!(tried > 100, "{said}");
    println!(
        "figure SBX-05: {tried} attempts in mode {} by uid {} to write to a program, none changed",
        bench.isolation.name(),
        bench.uid()
    );
}

fn terminal(bench: &Bench) {
    if std::process::Command::new("script").arg("--version").output().is_err() {
        println!("skipped: there is no `script` to make a terminal with");
        return;
    }
    let caller = fs::read_link("/proc/self/exe").unwrap();
    let directory = bench.directory("terminal");
    let [caller, rootfs, directory] = [&caller, &bench.rootfs, &directory].map(|path| path.to_str().unwrap());
    let line = format!("{caller} --on-terminal {} {rootfs} {directory}", bench.isolation.name());
    // It gives the command a new terminal and copies what that shows.
    let shown = std::process::Command::new("script")
        .args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&shown.stdout).replace('\r', "");
    assert!(shown.status.success(), "{text}");
    // The end of the empty input is shown as well.
    let text = text.trim_start_matches(['^', 'D', '\u{8}']);
    let (tried, rest) = text.split_once(" attempts\n").unwrap_or_else(|| panic!("{text:?}"));
    // A kernel that still types for anybody who may has typed for the caller, in the end.
    let typed = String::from_utf8_lossy(TYPED);
    assert!(rest == "nothing to read\n" || rest == format!("nothing to read\n{typed}"), "{text}");
    assert!(tried.parse::<usize>().unwrap() > 8, "{text}");
    println!("figure SBX-09: {tried} attempts in mode {} by uid {}", bench.isolation.name(), bench.uid());
}

fn processes_of_the_machine(bench: &Bench) {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("lapstrake-test-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let listener = std::os::unix::net::UnixListener::bind_addr(&address);
    let mut victim = std::process::Command::new("sleep").arg("60").env("SECRET", "x").spawn().unwrap();
    let mut spec = bench.spec();
    spec.mounts = vec![Bench::this_program()];
    let said = shell_in(&spec, &format!("{PROGRAM} --reach {} {name}", victim.id())).stdout();
    victim.kill().unwrap();
    victim.wait().unwrap();
    drop(listener);
    // A network namespace has a UDP of its own; without a process namespace it is seen how many files somebody has open.
    let own = match bench.isolation {
        Isolation::Strict | Isolation::Gvisor => "sends UDP\n",
        Isolation::Chroot => "",
        Isolation::Landlock => "sees its files\n",
        Isolation::Host => unreachable!("there is nothing that it keeps from anybody"),
    };
    assert_eq!(said, format!("{own}changes its own mode"));
}

fn nothing_kept(bench: &Bench) {
    let mut spec = bench.spec();
    spec.mounts = vec![Bench::this_program()];
    let said =
        shell_in(&spec, &format!("{PROGRAM} --reach {} nobody; env; id -u", std::process::id())).stdout();
    assert!(said.contains("sends UDP"), "{said}");
    assert!(!said.contains(PLANTED.1), "{said}");
    let (uid, _) = lapstrake_sandbox::outside_identity(BUILD_UID);
    assert_eq!(said.lines().last(), Some(uid.to_string().as_str()));
}

fn planted_secret(bench: &Bench) {
    let (name, value) = PLANTED;
    assert_eq!(std::env::var_os(name).unwrap(), value);
    // The pattern is written so that it does not find itself.
    let (first, rest) = value.split_at(1);
    let said = bench.shell(&format!(
        "cd /proc; for file in [0-9]*/environ [0-9]*/cmdline [0-9]*/mountinfo; do
           cat $file 2>/dev/null | grep -c '[{first}]{rest}' | grep -v '^0$'; done; ls -d [0-9]*"
    ));
    let processes: Vec<u32> = said.stdout().lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(processes[0], 1);
    assert!(processes.iter().all(|&id| id < 200), "{processes:?}");
}

fn descriptors(bench: &Bench) {
    let leaked = fs::File::open("/").unwrap();
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).unwrap();
    let said = bench.shell("ls /proc/self/fd; cat <&0");
    // The fourth is the directory that `ls` reads.
    assert_eq!(said.stdout(), "0\n1\n2\n3");
}

fn process_one(bench: &Bench) {
    let said = bench.shell(
        "for name in environ maps mem fd/0 exe root/etc cwd; do
           { cat /proc/1/$name || ls /proc/1/$name/; } >/dev/null 2>&1 && echo $name; done; true",
    );
    assert_eq!(said.stdout(), "");
}

fn machine_files(bench: &Bench) {
    let said = bench.shell(
        "for file in sys/kernel/core_pattern sys/vm/panic_on_oom sys/kernel/hostname sysrq-trigger; do
           (echo x >/proc/$file) 2>/dev/null && echo wrote $file; done
         for file in kcore keys kallsyms kmsg timer_list; do
           [ $(head -c 10 /proc/$file 2>/dev/null | tr -d '\\0' | wc -c 2>/dev/null || echo 0) = 0 ] || echo read $file; done
         ls /sys 2>/dev/null; cat /proc/sys/kernel/ostype",
    );
    assert_eq!(said.stdout(), "Linux");
}

fn devices(bench: &Bench) {
    let said =
        bench.shell("ls /dev; echo x >/dev/null; head -c 3 /dev/zero | tr '\\0' z; echo x >/dev/shm/x");
    let expected = [
        "fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty", "urandom",
        "zero",
    ];
    assert_eq!(said.stdout(), format!("{}\nzzz", expected.join("\n")));
}

fn memory_file(bench: &Bench) {
    let content = [b"a-value-of-memory-".repeat(20_000), b"\xff\x00end".to_vec()].concat();
    let mut spec = bench.spec();
    spec.files = vec![
        MemoryFile { target: "/run/secrets/TOKEN".into(), content: content.clone() },
        MemoryFile { target: "/run/secrets/empty".into(), content: Vec::new() },
    ];
    let script = "cd /run/secrets; ls; stat -c '%a %u %s %F' TOKEN; tr -cd '\\377\\000' <TOKEN | wc -c
         for try in 'echo x >TOKEN' 'rm -f TOKEN' 'chmod 666 TOKEN' 'rm -r /run/secrets'; do
           (eval $try) 2>/dev/null && echo done: $try; done
         cat TOKEN >/dev/null && echo ready; sleep 1";
    let (mut seen, mut said) = (Vec::new(), Vec::new());
    let never = std::sync::atomic::AtomicBool::new(false);
    let outcome = lapstrake_sandbox::run(&spec, &[sh(script)], &never, &mut |event| {
        if let lapstrake_sandbox::Event::Output { line, .. } = event {
            if line == "ready" {
                seen = who_shows(b"a-value-of-memory", bench);
            }
            said.push(line);
        }
    });
    assert_eq!(outcome.unwrap().result, Ok(()), "{said:?}");
    let size = content.len();
    assert_eq!(said[..3], ["TOKEN", "empty", &format!("400 1000 {size} regular file")], "{said:?}");
    assert_eq!(said[3..], ["2", "ready"], "{said:?}");
    assert_eq!(seen, Vec::<String>::new());
    assert_eq!(shell_in(&bench.spec(), "ls /run").stdout(), "");
}

/// Processes of this machine whose command line or environment shows `words`, and files of the bench that do.
fn who_shows(words: &[u8], bench: &Bench) -> Vec<String> {
    let holds = |path: &std::path::Path| {
        let mut bytes = Vec::new();
        let read = fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes));
        read.is_ok() && bytes.windows(words.len()).any(|window| window == words)
    };
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let files = processes.flat_map(|process| [process.join("cmdline"), process.join("environ")]);
    let mut shown: Vec<_> = files.filter(|path| holds(path)).collect();
    let mut open = vec![bench.spec().root.scratch];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
            } else if holds(&entry.path()) {
                shown.push(entry.path());
            }
        }
    }
    shown.iter().map(|path| path.display().to_string()).collect()
}

fn memory_file_elsewhere(bench: &Bench) {
    for target in ["/etc/token", "/app", "run/token"] {
        let mut spec = bench.spec();
        spec.files = vec![MemoryFile { target: target.into(), content: b"x".to_vec() }];
        let (_, outcome) = run_spec(&spec, &[sh("true")]);
        assert!(matches!(&outcome, Err(SandboxError::Setup { what, .. }) if what == target), "{outcome:?}");
    }
}

fn forged_whiteout(bench: &Bench) {
    let said = bench.shell("mknod /etc/shadow c 0 0 2>/dev/null || echo refused");
    assert_eq!(said.stdout(), "refused");
}

fn streams(bench: &Bench) {
    let said =
        bench.shell("echo before; : >/proc/self/fd/1; echo after; ls -l /proc/self/fd/1 | grep -c pipe:");
    assert_eq!(said.stdout(), "before\nafter\n1");
}

fn link_in_layer(bench: &Bench) {
    let (layer, victim, app) = (bench.directory("layer"), bench.directory("victim"), bench.directory("app"));
    symlink(&victim, layer.join("app")).unwrap();
    symlink("../../../../../../../../etc", layer.join("up")).unwrap();
    fs::write(app.join("motd"), "app\n").unwrap();
    let mut spec = bench.spec();
    spec.root.lower.insert(0, layer);
    spec.mounts = vec![Mount::writable(&app, "/app")];
    let (_, outcome) = run_spec(&spec, &[sh("true")]);
    assert!(matches!(&outcome, Err(SandboxError::Setup { what, .. }) if what == "/app"), "{outcome:?}");
    assert_eq!(fs::read_dir(&victim).unwrap().count(), 0);
    spec.mounts = vec![Mount::writable(&app, "/up")];
    assert_eq!(shell_in(&spec, "cat /etc/motd").stdout(), "app");
}

fn no_mount_outside(bench: &Bench) {
    let before = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let app = bench.directory("app");
    let mut spec = bench.spec();
    spec.mounts = vec![Mount::writable(&app, "/app"), Mount::writable(&app, "/app2")];
    shell_in(&spec, "true");
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), before);
}

fn probe(bench: &Bench) {
    let found = lapstrake_sandbox::probe(bench.isolation, &bench.directory("probe"), BUILD_UID);
    let missing = found.iter().filter(|(feature, result)| {
        result.is_err() && !matches!(feature, Feature::Cgroup | Feature::Landlock)
    });
    assert_eq!(missing.count(), 0, "{found:?}");
    println!("       {:?}", found.last().unwrap());
}

fn worker(bench: &Bench) {
    let said = |arguments: &[&str]| {
        let output = std::process::Command::new("/proc/self/exe").args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(said(&["--work"]), "computes 1048576\n");
    let directory = bench.directory("made-below");
    let text = said(&["--work-below", directory.to_str().unwrap()]);
    assert_eq!(text, "computes 1048576\nmakes a file below\n");
    assert!(directory.join("made").exists() && !std::path::Path::new("/tmp/worker-was-here").exists());
}

fn build_uid_zero(bench: &Bench) {
    if bench.uid() != 0 {
        return;
    }
    let mut spec = bench.spec();
    spec.build_uid = 0;
    let (_, outcome) = run_spec(&spec, &[sh("true")]);
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("leaving root"), "{error}");
}
