//! What hostile build commands leave behind, and what becomes of it in an image.
//!
//! | what the commands leave | what becomes of it |
//! |---|---|
//! | named pipe, socket | left out, with a warning that names it |
//! | device, deletion mark as a device 0/0 | the command may not make it |
//! | name that begins with `.wh.` | the build is refused |
//! | setuid, setgid, sticky bits, mode 0 | the file is kept with 0755 or 0644 |
//! | attributes, among them those of overlayfs and capabilities | left out; those that the kernel keeps are not settable |
//! | symbolic link to anywhere | kept as a link and never followed |
//! | hard link | kept inside `/app`; there is none across its border |
//! | sparse file | counts as long as it says it is: refused beyond 10 GiB, and not read |
//! | very deep directories | refused by the first path of more than 3072 bytes |
//! | names with control or right-to-left marks | kept byte by byte, escaped in messages |

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::harness::{Image, Lapstrake, Outcome, workspace};

const APP_FILE: &str = "version: 1.0
runtime: python3
build:
  commands:
    build:
      - python3 /app/hostile.py
run:
  command: python3 server.py
";

/// Builds an app whose only build command runs `script`.
fn build(scratch: &Path, script: &str) -> Outcome {
    let source = scratch.join("source");
    fs_err::create_dir_all(&source).unwrap();
    fs_err::write(source.join("apprunner.yaml"), APP_FILE).unwrap();
    fs_err::write(source.join("server.py"), "print(1)\n").unwrap();
    fs_err::write(source.join("hostile.py"), script).unwrap();
    let output = format!("oci:{}:app", scratch.join("layout").display());
    Lapstrake::new().run(["build", source.to_str().unwrap(), "--output", &output])
}

/// The paths that the build added, with kind, permissions, and the target or the length.
fn added(image: &Image) -> BTreeMap<String, String> {
    let own = image.manifest["annotations"]["dev.lapstrake.layers.runtime"].as_str().unwrap();
    let mut added = BTreeMap::new();
    for place in own.parse().unwrap()..image.layers().len() {
        let tar = image.tar(place);
        let mut archive = tar::Archive::new(tar.as_slice());
        for entry in archive.entries().unwrap() {
            let entry = entry.unwrap();
            let name = entry.path_bytes().escape_ascii().to_string();
            let target = entry.link_name_bytes().map(|target| target.escape_ascii().to_string());
            let rest = target.unwrap_or_else(|| entry.size().to_string());
            let mode = entry.header().mode().unwrap();
            let kind = char::from(entry.header().entry_type().as_byte());
            added.insert(name.trim_end_matches('/').to_owned(), format!("{kind} {mode:o} {rest}"));
        }
    }
    added
}

const EVERYTHING: &str = r"
import os, socket, stat

def tried(name, what):
    try:
        what()
        print('made', name, flush=True)
    except OSError as error:
        print('refused', name, error.strerror, flush=True)

os.mkfifo('/app/pipe')
os.mkfifo('/app/a\nb\x1b[31m\u202e')
socket.socket(socket.AF_UNIX).bind('/app/socket')
os.makedirs('/home/x/d')
for kind, device in ((stat.S_IFCHR, (0, 0)), (stat.S_IFCHR, (1, 3)), (stat.S_IFBLK, (8, 0))):
    for place in ('/app/device', '/home/x/device', '/usr/bin/env'):
        tried('device', lambda: os.mknod(place, 0o666 | kind, os.makedev(*device)))

def write(path, mode=0o644, text='four'):
    with open(path, 'w') as file:
        file.write(text)
    os.chmod(path, mode)

write('/app/setuid', 0o6755)
write('/home/x/setuid', 0o4711)
os.mkdir('/app/setgid')
os.chmod('/app/setgid', 0o3777)
for top in ('/app', '/home/x'):
    os.makedirs(top + '/closed/inner')
    write(top + '/closed/inner/file', 0)
    write(top + '/marked', text='')
    for attribute in ('opaque', 'whiteout', 'redirect', 'metacopy', 'origin'):
        for path in (top + '/marked', top + '/closed'):
            tried('mark', lambda: os.setxattr(path, 'user.overlay.' + attribute, b'y'))
            tried('kernel mark', lambda: os.setxattr(path, 'trusted.overlay.' + attribute, b'y'))
    tried('capability', lambda: os.setxattr(top + '/setuid', 'security.capability', b'\1\0\0\2' + b'\xff' * 16))
    os.chmod(top + '/closed/inner', 0)
    os.chmod(top + '/closed', 0)
os.symlink('/etc', '/app/dist')
os.symlink('/', '/app/node_modules')
os.symlink('../../../../etc/passwd', '/app/outward')
os.link('/app/setuid', '/app/twin')
tried('link out', lambda: os.link('/app/setuid', '/home/x/twin'))
tried('link in', lambda: os.link('/etc/passwd', '/app/passwd'))
for name in (b'c\nd', b'\x1b[31mred', b'\xff\xfe', '\u202eabc'.encode(), b'-rf', b'--checkpoint-action=exec=sh'):
    open(b'/app/' + name, 'w').close()
";

#[test]
fn out_01_what_hostile_commands_leave_becomes_a_plain_tree_or_is_left_out() {
    let scratch = workspace::scratch();
    let outcome = build(scratch.path(), EVERYTHING).expect(0);
    let image = Image::open(&scratch.path().join("layout"), Some("app"));
    let expected = [
        ("app", "5 755 0"),
        ("app/--checkpoint-action=exec=sh", "0 644 0"),
        ("app/-rf", "0 644 0"),
        (r"app/\x1b[31mred", "0 644 0"),
        (r"app/\xe2\x80\xaeabc", "0 644 0"),
        (r"app/\xff\xfe", "0 644 0"),
        (r"app/c\nd", "0 644 0"),
        ("app/closed", "5 755 0"),
        ("app/closed/inner", "5 755 0"),
        ("app/closed/inner/file", "0 644 4"),
        ("app/dist", "2 777 /etc"),
        ("app/marked", "0 644 0"),
        ("app/node_modules", "2 777 /"),
        ("app/outward", "2 777 ../../../../etc/passwd"),
        ("app/setgid", "5 755 0"),
        ("app/setuid", "0 755 4"),
        ("app/twin", "1 755 app/setuid"),
        ("home/x", "5 755 0"),
        ("home/x/closed", "5 755 0"),
        ("home/x/closed/inner", "5 755 0"),
        ("home/x/closed/inner/file", "0 644 4"),
        ("home/x/d", "5 755 0"),
        ("home/x/marked", "0 644 0"),
        ("home/x/setuid", "0 755 4"),
    ];
    let mut found = added(&image);
    for own in ["app/apprunner.yaml", "app/hostile.py", "app/server.py"] {
        assert!(found.remove(own).is_some(), "{own}");
    }
    let expected: BTreeMap<String, String> =
        expected.into_iter().map(|(path, what)| (path.to_owned(), what.to_owned())).collect();
    assert_eq!(found, expected);
    // What the image had stays: nothing that the commands made counts as a deletion.
    assert!(image.files().contains_key("usr/bin/env"));

    for kind in ["device", "kernel mark", "capability", "link out", "link in"] {
        assert!(!outcome.stderr.contains(&format!("made {kind}")), "{}", outcome.stderr);
        assert!(outcome.stderr.contains(&format!("refused {kind}")), "{}", outcome.stderr);
    }
    for (name, what) in
        [("pipe", "named pipe"), (r"a\nb\x1b[31m\xe2\x80\xae", "named pipe"), ("socket", "socket")]
    {
        let warning = format!("warning: `app/{name}` is a {what} and is not part of the image");
        assert!(outcome.stderr.lines().any(|line| line == warning), "{warning}: {}", outcome.stderr);
    }
    assert!(!outcome.stderr.contains(['\u{1b}', '\u{202e}']), "{}", outcome.stderr);
    let refused = outcome.stderr.lines().filter(|line| line.starts_with("[Build] refused ")).count();
    println!(
        "figure OUT-01: {} hostile paths are plain in the layer, {refused} system calls refused",
        found.len()
    );
}

#[test]
fn out_01_what_would_change_the_meaning_of_a_layer_or_fill_it_is_refused() {
    let deletion = "names that begin with `.wh.` mean deletions in a layer";
    let deep = "for _ in range(1600): os.mkdir('dd'); os.chdir('dd')";
    let sparse = "for n in range(4): os.truncate(os.open(f'{n}', os.O_CREAT | os.O_RDWR), 3 << 30)";
    let cases = [
        ("open('.wh.server.py', 'w')", 5, deletion),
        ("os.mkdir('d'); open('d/.wh..wh..opq', 'w')", 5, deletion),
        ("os.makedirs('/home/x'); open('/home/x/.wh.y', 'w')", 5, deletion),
        ("os.mkdir('.wh.d')", 5, deletion),
        ("os.symlink('/etc', '.wh.l')", 5, deletion),
        (deep, 5, "its path is longer than 3072 bytes"),
        (sparse, 5, "holds more than 10737418240 bytes"),
        ("os.truncate(os.open('t', os.O_CREAT | os.O_RDWR), 1 << 40)", 1, "File too large"),
    ];
    let mut slowest = Duration::ZERO;
    for (script, code, expected) in &cases {
        let scratch = workspace::scratch();
        let start = Instant::now();
        let outcome = build(scratch.path(), &format!("import os\n{script}\n")).expect(*code);
        slowest = slowest.max(start.elapsed());
        assert!(outcome.stderr.contains(expected), "{script}: {}", outcome.stderr);
        assert!(!scratch.path().join("layout").exists(), "{script}");
    }
    println!("figure OUT-01: {} refusals, the slowest build took {slowest:.1?}", cases.len());
    assert!(slowest < Duration::from_secs(20), "{slowest:?}");
    // Their opposite: a little less of each is an image.
    let scratch = workspace::scratch();
    let little = "
import os
open('wh.x', 'w'); open('x.wh.', 'w')
os.truncate(os.open('sparse', os.O_CREAT | os.O_RDWR), 64 << 20)
for _ in range(200): os.mkdir('dd'); os.chdir('dd')
";
    build(scratch.path(), little).expect(0);
    let files = Image::open(&scratch.path().join("layout"), Some("app")).files();
    assert_eq!(files["app/sparse"].bytes.len(), 64 << 20);
    assert!(files.contains_key("app/wh.x") && files.contains_key("app/x.wh."));
    assert!(files.contains_key(&format!("app{}", "/dd".repeat(200))));
}

#[test]
fn out_01_ten_thousand_files_of_commands_become_a_layer() {
    let scratch = workspace::scratch();
    let script = "
import os
for top in ('/app/many', '/home/many'):
    os.makedirs(top)
    for n in range(5000): open(f'{top}/{n}', 'w').close()
";
    build(scratch.path(), script).expect(0);
    let added = added(&Image::open(&scratch.path().join("layout"), Some("app")));
    assert_eq!(added.keys().filter(|path| path.contains("/many/")).count(), 10_000);
}

#[test]
fn out_13_an_output_that_is_a_link_or_exists_is_replaced_whole_or_left_alone() {
    let scratch = workspace::scratch();
    let at = |name: &str| scratch.path().join(name);
    let source = lapstrake_fixtures::apps::App::named("plain-python").directory();
    let canary = at("canary");
    fs_err::write(&canary, "alive").unwrap();
    let builds = std::cell::Cell::new(0);
    let build = |arguments: &[&str]| {
        builds.set(builds.get() + 1);
        let own = ["build", source.to_str().unwrap()];
        Lapstrake::new().run([&own[..], arguments].concat())
    };
    let report = at("report.json");
    for kind in ["oci-archive", "docker-archive"] {
        let file = at(kind);
        for link in [&file, &report] {
            let _ = fs_err::remove_file(link);
            std::os::unix::fs::symlink(&canary, link).unwrap();
        }
        let output = format!("{kind}:{}", file.display());
        build(&["--output", &output, "--metadata-file", report.to_str().unwrap()]).expect(0);
        assert_eq!(fs_err::read_to_string(&canary).unwrap(), "alive", "{kind}");
        assert!(!file.is_symlink() && fs_err::metadata(&file).unwrap().len() > 1 << 20, "{kind}");
        // What is there is replaced, but never a directory.
        build(&["--output", &output]).expect(0);
        let directory = at(&format!("{kind}-directory"));
        fs_err::create_dir(&directory).unwrap();
        let outcome = build(&["--output", &format!("{kind}:{}", directory.display())]);
        assert_ne!(outcome.code, Some(0), "{kind}");
        assert_eq!(fs_err::read_dir(&directory).unwrap().count(), 0, "{kind}");
    }
    // A layout is not made of a file, nor among files of something else.
    let full = at("full");
    fs_err::create_dir(&full).unwrap();
    fs_err::write(full.join("file"), "mine").unwrap();
    for place in [&canary, &full] {
        assert_ne!(build(&["--output", &format!("oci:{}", place.display())]).code, Some(0));
    }
    assert_eq!(fs_err::read_to_string(&canary).unwrap(), "alive");
    assert_eq!(fs_err::read_dir(&full).unwrap().count(), 1);
    // Links inside a layout lead nowhere out of it either: another tag changes the index, and the blobs stay.
    let layout = at("layout");
    let output = |tag: &str| format!("oci:{}:{tag}", layout.display());
    build(&["--output", &output("one")]).expect(0);
    let digest = Image::open(&layout, Some("one")).digest;
    let blob = format!("blobs/{}", digest.replace(':', "/"));
    for (place, file) in ["index.json", &blob].into_iter().enumerate() {
        let (file, copy) = (layout.join(file), at(&format!("copy-{place}")));
        fs_err::copy(&file, &copy).unwrap();
        fs_err::remove_file(&file).unwrap();
        std::os::unix::fs::symlink(&copy, &file).unwrap();
        let before = fs_err::read(&copy).unwrap();
        let tag = format!("more-{place}");
        build(&["--output", &output(&tag)]).expect(0);
        assert_eq!(fs_err::read(&copy).unwrap(), before, "{}", file.display());
        assert_eq!(Image::open(&layout, Some(&tag)).digest, digest);
    }
    assert!(!layout.join("index.json").is_symlink());
    println!(
        "figure OUT-13: {} builds to what was a link, a file or a directory: none followed, none lost",
        builds.get()
    );
}
