//! How much memory all processes inside use together, where no cgroup counts it.

use std::fs;

/// Tells whether processes together use more than `limit` bytes that no file on disk backs.
pub(crate) fn exceeded(processes: &[String], limit: u64) -> bool {
    let page = rustix::param::page_size() as u64;
    // Pages that processes share, and those of programs, are counted for each of them here, so a high sum is only a
    // suspicion ...
    let suspected: u64 = processes.iter().map(|id| resident_pages(id).unwrap_or(0) * page).sum();
    // ... which the exact and slower count confirms or not.
    suspected > limit && processes.iter().map(|id| proportional(id).unwrap_or(0)).sum::<u64>() > limit
}

/// All processes of this namespace.
pub(crate) fn all() -> Vec<String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).collect()
}

/// `None` when the process is gone.
fn resident_pages(id: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/statm")).ok()?;
    text.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Bytes of anonymous and shared memory, each shared page divided among those who share it.
fn proportional(id: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?;
    let kib_of = |line: &str| -> Option<u64> {
        let value = line.strip_prefix("Pss_Anon:").or_else(|| line.strip_prefix("Pss_Shmem:"))?;
        value.split_ascii_whitespace().next()?.parse().ok()
    };
    Some(text.lines().filter_map(kib_of).sum::<u64>() * 1024)
}
