//! What gVisor takes of the machine: its program, and a user namespace with three ids. One is the steps', one gVisor's own,
//! which may do everything to the files of the first, and one is for what shall be nobody. None of them is root outside.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{Gid, Uid};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, waitpid};
use rustix::thread::{set_thread_res_gid, set_thread_res_uid};

use crate::error::Feature;
use crate::launcher::{Stop, die_with_parent};
use crate::spec::Spec;
use crate::sys::{self, Fork};

/// Where the program is looked for: nobody but root writes there.
const PLACES: [&str; 4] = ["/usr/local/bin", "/usr/bin", "/usr/local/sbin", "/usr/sbin"];

/// The id of nobody, inside.
const NOBODY: u32 = 65534;

/// What the writer says when the ids are mapped.
const MAPPED: &str = "mapped";

/// The file of gVisor's program.
pub(crate) fn program() -> Result<PathBuf, Stop> {
    let files = PLACES.iter().map(|place| PathBuf::from(place).join("runsc"));
    let lacking = || Stop::lacking(Feature::Gvisor)(format!("there is no `runsc` in {}", PLACES.join(", ")));
    files.into_iter().find(|file| file.is_file()).ok_or_else(lacking)
}

/// Which of two processes this is.
pub(crate) enum Split {
    /// The one that goes on, and asks the other for its ids.
    Launcher(Mapper),
    /// The one that has mapped them, after all is over; with the exit code of the other.
    Ended(i32),
}

/// What maps the ids of a user namespace.
pub(crate) struct Mapper {
    ask: File,
    answer: File,
}

/// Forks a process that stays root, because several ids can be mapped by somebody with a capability outside alone.
pub(crate) fn split(spec: &Spec, may_mount: bool) -> Result<Split, Stop> {
    program()?;
    if !may_mount {
        return Err(Stop::lacking(Feature::Gvisor)(
            "this mode is for root, who can give three ids to a user namespace",
        ));
    }
    let lowest = spec.build_uid.checked_sub(2).filter(|&id| id > 0);
    let lowest = lowest.ok_or_else(|| {
        Stop::lacking(Feature::Gvisor)(format!("there are no two ids below the build uid {}", spec.build_uid))
    })?;
    let make = || pipe_with(PipeFlags::CLOEXEC).map_err(Stop::lacking(Feature::UserNamespace));
    let ((asked, ask), (answer, say)) = (make()?, make()?);
    match sys::fork().map_err(Stop::lacking(Feature::Namespaces))? {
        Fork::Child => {
            drop((asked, say));
            die_with_parent()?;
            Ok(Split::Launcher(Mapper { ask: ask.into(), answer: answer.into() }))
        }
        Fork::Parent(child) => {
            drop((ask, answer));
            serve(spec, lowest, child, (asked, say));
            let status = rustix::io::retry_on_intr(|| waitpid(Some(child), WaitOptions::empty()))
                .map_err(Stop::lacking(Feature::Namespaces))?;
            Ok(Split::Ended(status.and_then(|(_, status)| status.exit_status()).unwrap_or(124)))
        }
    }
}

/// Maps the ids of a process that asks for it; one that has ended asks for nothing.
fn serve(spec: &Spec, lowest: u32, process: Pid, (asked, say): (OwnedFd, OwnedFd)) {
    let (mut asked, mut say) = (File::from(asked), File::from(say));
    if asked.read_exact(&mut [0]).is_err() {
        return;
    }
    let map = |file: &str, inside: u32| {
        let text = format!("0 {lowest} 1\n{inside} {} 1\n{NOBODY} {} 1\n", spec.build_uid, lowest + 1);
        std::fs::write(format!("/proc/{}/{file}", process.as_raw_nonzero()), text)
    };
    let mapped = map("gid_map", spec.identity.gid).and_then(|()| map("uid_map", spec.identity.uid));
    let answer = mapped.map_or_else(|error| error.to_string(), |()| MAPPED.to_owned());
    // The process may have ended meanwhile; then nobody waits.
    let _ = say.write_all(answer.as_bytes());
}

impl Mapper {
    /// Has the ids of this process's new user namespace mapped, and becomes gVisor's own.
    pub(crate) fn map(mut self) -> Result<(), Stop> {
        let lacking = Stop::lacking::<std::io::Error>(Feature::UserNamespace);
        let mut said = String::new();
        self.ask.write_all(b"x").and_then(|()| self.answer.read_to_string(&mut said)).map_err(lacking)?;
        if said != MAPPED {
            return Err(Stop::lacking(Feature::UserNamespace)(format!("cannot map three ids: {said}")));
        }
        set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)
            .and_then(|()| set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT))
            .map_err(Stop::lacking(Feature::UserNamespace))
    }
}
