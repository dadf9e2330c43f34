//! What this process was started with, as others see it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;

/// Takes this process's arguments, all but the name of the program, out of what the kernel shows of it in
/// `/proc/PID/cmdline`, which anybody may read. Without a process namespace the steps of a sandbox see that file too.
///
/// To be called once the arguments have been read: from then on `std::env::args` gives empty texts.
///
/// # Errors
///
/// Where the kernel tells nothing of the place of the arguments, or does not let it be written to.
pub fn hide_arguments() -> io::Result<()> {
    let (start, end) = place(&fs::read_to_string("/proc/self/stat")?)
        .ok_or_else(|| io::Error::other("`/proc/self/stat` does not say where the arguments are"))?;
    let length = usize::try_from(end - start).map_err(io::Error::other)?;
    let memory = File::options().read(true).write(true).open("/proc/self/mem")?;
    let mut arguments = vec![0; length];
    memory.read_exact_at(&mut arguments, start)?;
    let program = arguments.iter().position(|byte| *byte == 0).unwrap_or(length);
    memory.write_all_at(&vec![0; length - program], start + program as u64)
}

/// Takes what is in this process, its environment above all, from other processes of the same user, which read it in
/// `/proc` otherwise: those of steps that nothing keeps away.
///
/// # Errors
///
/// Where the kernel does not know how.
pub fn hide_contents() -> io::Result<()> {
    Ok(rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?)
}

/// Where the arguments begin and end in memory (proc(5), fields 48 and 49).
fn place(stat: &str) -> Option<(u64, u64)> {
    // The name of the program may hold anything, brackets and spaces included; it is the second field.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(45);
    let mut next = || fields.next()?.parse::<u64>().ok().filter(|address| *address > 0);
    let (from, to) = (next()?, next()?);
    (from < to).then_some((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_that_of_fields_48_and_49() {
        let fields: Vec<String> = (3..=52).map(|field| field.to_string()).collect();
        assert_eq!(place(&format!("7 (a b) c) {}", fields.join(" "))), Some((48, 49)));
        let hidden: Vec<&str> = (3..=52).map(|_| "0").collect();
        assert_eq!(place(&format!("7 (a) {}", hidden.join(" "))), None, "a kernel that does not tell");
        assert_eq!(place("7 (a) S 1"), None);
    }
}
