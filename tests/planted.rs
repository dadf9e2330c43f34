//! Secrets of whoever starts a build, planted wherever they usually lie, and a build command that looks for them.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::harness::{Image, Keys, Lapstrake, tools, workspace};

/// An ordinary user's id, to whom nothing belongs.
const ORDINARY: u32 = 54_326;

/// Looks through every process and every file that it can see for words, which it is given backwards, and says in which of
/// them it found which.
const SEARCH: &str = r#"
import os, re, stat, sys
words = [word[::-1].encode() for word in open("words.txt").read().split()]
looked = {"processes": 0, "files": 0}

def look(where, data):
    for number, word in enumerate(words):
        if word in data:
            print("FOUND", number, where, flush=True)

look("environment", repr(dict(os.environ)).encode())
for process in filter(str.isdigit, os.listdir("/proc")):
    looked["processes"] += 1
    base = "/proc/" + process
    names = ["environ", "cmdline", "mountinfo", "mounts", "maps", "status", "stack", "task/" + process + "/environ"]
    for folder in ["fd", "fdinfo"]:
        try:
            names += [folder + "/" + name for name in os.listdir(base + "/" + folder)]
        except OSError:
            pass
    own = process == str(os.getpid())
    for name in names + ["cwd", "root", "exe"]:
        where = base + "/" + name
        try:
            look(where + " (link)", os.readlink(where).encode())
        except OSError:
            pass
        try:
            # Standard streams are pipes, and reading them never ends.
            if stat.S_ISREG(os.stat(where).st_mode):
                look(where, open(where, "rb").read(1 << 20))
        except OSError:
            pass
    for place in ["cwd", "root"]:
        if not own:
            try:
                look(base + "/" + place + "/", repr(os.listdir(base + "/" + place)).encode())
            except OSError:
                pass
for directory, below, files in os.walk("/"):
    if directory.startswith(("/proc", "/sys", "/usr", "/opt")):
        below[:] = []
        continue
    for name in files + below:
        path = os.path.join(directory, name)
        look(path + " (name)", path.encode())
        if name in files and name not in ("words.txt", "search.py"):
            looked["files"] += 1
            try:
                if stat.S_ISREG(os.lstat(path).st_mode):
                    look(path, open(path, "rb").read(1 << 20))
            except OSError:
                pass
print("LOOKED", looked["processes"], looked["files"])
"#;

/// What is planted: a word for each place, the first of which is meant to be found.
const PLACES: [&str; 13] = [
    "a file of the app, which is no secret",
    "a variable of the caller",
    "a second variable of the caller, of the kind that is a token",
    "an argument of the program",
    "the file with the logins for registries",
    "the configuration of docker in the caller's home",
    "the .netrc of the caller's home",
    "the key that signs provenance",
    "a file that the program inherited open",
    "the name of the caller's directory",
    "the arguments of another process of the caller's",
    "the environment of another process of the caller's",
    "the name and the content of a file in the directory for temporary files",
];

fn word(place: usize) -> String {
    format!("planted{place:02}x{:08x}", std::process::id())
}

/// A process that is gone with the value.
struct Bystander(Child);

impl Drop for Bystander {
    fn drop(&mut self) {
        // Both fail only when it has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Another process of the same user's, with a word in its arguments and one in its environment.
fn bystander(user: Option<u32>) -> Bystander {
    let mut words: Vec<String> = Vec::new();
    if let Some(user) = user {
        let user = user.to_string();
        let change = ["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups", "--"];
        words.extend(change.map(str::to_owned));
    }
    let argument = word(10);
    words.extend(["sh", "-c", "while :; do sleep 1; done", &argument].map(str::to_owned));
    let mut command = Command::new(&words[0]);
    command
        .args(&words[1..])
        .env("PLANTED_ELSEWHERE", word(11))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Bystander(command.spawn().unwrap())
}

/// Builds an app that looks for the words, and returns what it printed.
fn search(lapstrake: &Lapstrake, mode: &str, user: Option<u32>, scratch: &Path) -> String {
    let ground = lapstrake.writable(scratch);
    let home = ground.join(format!("of-{}", word(9)));
    let app = home.join("app");
    fs_err::create_dir_all(home.join(".docker")).unwrap();
    fs_err::create_dir_all(&app).unwrap();
    let write = |path: &Path, text: &str| fs_err::write(path, text).unwrap();
    let words: Vec<String> = (0..PLACES.len()).map(|place| word(place).chars().rev().collect()).collect();
    write(&app.join("words.txt"), &words.join("\n"));
    write(&app.join("search.py"), SEARCH);
    write(&app.join("visible.txt"), &word(0));
    write(
        &app.join("apprunner.yaml"),
        "version: 1.0\nruntime: python3\nbuild:\n  commands:\n    build:\n      - python3 search.py\nrun:\n  command: \
         python3 -m http.server\n",
    );
    let login = |place: usize| format!("{{\"auths\": {{\"r.example\": {{\"auth\": \"{}\"}}}}}}", word(place));
    write(&home.join("logins.json"), &login(4));
    write(&home.join(".docker/config.json"), &login(5));
    write(&home.join(".netrc"), &format!("machine r.example login me password {}\n", word(6)));
    let keys = Keys::ed25519(&home, "key");
    let key = fs_err::read_to_string(&keys.private).unwrap();
    write(Path::new(&keys.private), &format!("{}\n{key}", word(7)));
    write(&home.join("open"), &word(8));
    let temporary = std::env::temp_dir().join(word(12));
    write(&temporary, &word(12));
    if let Some(user) = user {
        let owner = format!("{user}:{user}");
        tools::run("chown", ["-R", &owner, home.to_str().unwrap()]);
        tools::run("chown", [&owner, temporary.to_str().unwrap()]);
    }
    let _other = bystander(user);
    let script = format!("cd '{}' && exec 7<open && rm -f open && exec \"$@\"", home.display());
    let before = ["sh", "-c", &script, "sh"].map(OsString::from);
    let lapstrake = lapstrake
        .clone()
        .behind(before)
        .with("HOME", &home)
        .with("PLANTED_VARIABLE", word(1))
        .with("REGISTRY_TOKEN", word(2))
        // Where downloads are kept tells nothing, and would lie in the home.
        .with("LAPSTRAKE_AUTHFILE", home.join("logins.json"));
    let (layout, statement) = (format!("oci:{}", home.join("layout").display()), home.join("statement.json"));
    let argument = format!("https://ci.example.com/{}", word(3));
    let words = [
        "build",
        app.to_str().unwrap(),
        "--isolation",
        mode,
        "--output",
        &layout,
        "--progress",
        "plain",
        "--builder-id",
        &argument,
        "--provenance-file",
        statement.to_str().unwrap(),
        "--provenance-key",
        &keys.private,
    ];
    let outcome = lapstrake.run(words).expect(0);
    fs_err::remove_file(&temporary).unwrap();
    outcome.stderr
}

fn nothing_is_found(lapstrake: &Lapstrake, mode: &str, user: Option<u32>, scratch: &Path) {
    let said = search(lapstrake, mode, user, scratch);
    let lines: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("[Build] ")).collect();
    let found: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("FOUND ")).collect();
    assert!(found.iter().any(|line| line.contains("/app/visible.txt")), "the search finds nothing: {said}");
    // Without namespaces an ordinary user's commands see which processes there are, and what they were started with.
    let is_told =
        |line: &&str| mode == "landlock" && line.starts_with("10 /proc/") && line.ends_with("/cmdline");
    assert_eq!(found.iter().any(is_told), mode == "landlock", "{said}");
    let secret: Vec<&str> =
        found.into_iter().filter(|line| !line.starts_with("0 ") && !is_told(line)).collect();
    assert!(secret.is_empty(), "mode {mode}: {secret:#?} of {PLACES:#?}");
    let looked = lines.iter().find_map(|line| line.strip_prefix("LOOKED ")).unwrap();
    let planted = if mode == "landlock" { 11 } else { 12 };
    println!(
        "figure SBX-03: mode {mode}: 0 of {planted} planted secrets found in (processes, files) {looked}"
    );
}

#[test]
fn sbx_03_no_planted_secret_is_found_by_a_command_in_mode_strict() {
    let scratch = workspace::scratch();
    nothing_is_found(&Lapstrake::new(), "strict", None, scratch.path());
}

#[test]
fn sbx_03_no_planted_secret_is_found_by_a_command_in_mode_chroot() {
    if !tools::is_root() {
        println!("skipped: the mode is for root");
        return;
    }
    let scratch = workspace::scratch();
    nothing_is_found(&Lapstrake::new(), "chroot", None, scratch.path());
}

#[test]
fn sbx_03_no_planted_secret_is_found_by_a_command_in_mode_landlock() {
    if !tools::is_root() {
        println!("skipped: only root can become another user");
        return;
    }
    let scratch = workspace::scratch();
    let root = Lapstrake::new();
    // The runtime layers must be there to be copied along.
    nothing_is_found(&root, "strict", None, &scratch.path().join("first"));
    let user = root.for_user(ORDINARY, scratch.path());
    nothing_is_found(&user, "landlock", Some(ORDINARY), scratch.path());
}

/// Variables that steer programs are for the commands of the app alone: no process of ours has them.
#[test]
fn cfg_05_no_process_of_the_program_has_a_variable_of_the_app_file() {
    if !tools::is_root() {
        println!("skipped: only root can read the environment of others");
        return;
    }
    let scratch = workspace::scratch();
    let app = scratch.path().join("app");
    fs_err::create_dir(&app).unwrap();
    let names = [
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "PATH",
        "HTTPS_PROXY",
        "TMPDIR",
        "LAPSTRAKE_TAG",
        "SSL_CERT_FILE",
        "HOME",
    ];
    // Programs are still found, and the library that is not there is passed over.
    let value = |name: &str| format!("/app/{}:/usr/local/bin:/usr/bin:/bin", word(20 + name.len()));
    let list = names.map(|name| format!("    - name: {name}\n      value: \"{}\"\n", value(name))).concat();
    let text = format!(
        "version: 1.0\nruntime: python3\nbuild:\n  commands:\n    build:\n      - echo begun; sleep 3\n  env:\n{list}run:\n  \
         command: python3 -m http.server\n  env:\n{list}"
    );
    fs_err::write(app.join("apprunner.yaml"), text).unwrap();
    let layout = scratch.path().join("layout");
    let output = format!("oci:{}", layout.display());
    for mode in ["strict", "chroot"] {
        let words = ["build", app.to_str().unwrap(), "--output", &output, "--isolation", mode];
        let mut child = Lapstrake::new().start(words);
        let (mut of_commands, mut of_ours, mut looked) = (0, Vec::new(), 0);
        while child.try_wait().unwrap().is_none() {
            for process in fs_err::read_dir("/proc").unwrap().flatten() {
                let environment = fs_err::read(process.path().join("environ")).unwrap_or_default();
                let text = String::from_utf8_lossy(&environment).into_owned();
                if !names.iter().any(|name| text.contains(&format!("{name}={}", value(name)))) {
                    continue;
                }
                let program = fs_err::read_link(process.path().join("exe")).unwrap_or_default();
                if program.ends_with("lapstrake") { of_ours.push(text) } else { of_commands += 1 }
            }
            looked += 1;
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        Image::open(&layout, None);
        assert!(of_commands > 0, "the commands have them, and were seen in one of {looked} looks");
        assert!(of_ours.is_empty(), "{mode}: {of_ours:?}");
    }
    println!("figure CFG-05: {} variables that steer programs, in no process of the program", names.len());
}
