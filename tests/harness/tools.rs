//! Other people's programs, which judge what the binary made.

use std::ffi::OsStr;
use std::process::Command;

/// A command that must exist.
pub(crate) fn tool(name: &str) -> Command {
    find(name).unwrap_or_else(|| panic!("`{name}` is missing: `tests/run` installs it"))
}

/// Whether there is a command that not every distribution has; said aloud where there is none.
pub(crate) fn is_there(name: &str) -> bool {
    let is_there = find(name).is_some();
    if !is_there {
        println!("missing: there is no `{name}` here to judge anything");
    }
    is_there
}

fn find(name: &str) -> Option<Command> {
    // runc and the registry live where only root's search path leads.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<_> = std::env::split_paths(&path).collect();
    places.extend(["/usr/sbin".into(), "/sbin".into()]);
    places.iter().map(|place| place.join(name)).find(|file| file.is_file()).map(Command::new)
}

/// Runs a tool to its end and returns what it printed; a failure ends the test with all of its output.
pub(crate) fn run<S: AsRef<OsStr>>(name: &str, arguments: impl IntoIterator<Item = S>) -> String {
    let mut command = tool(name);
    command.args(arguments);
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Whether these tests run as root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
