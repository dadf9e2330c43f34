//! How much memory all processes inside use together, where no cgroup counts it.

use std::fs;

/// Tells whether the processes of this namespace use more than `limit` bytes that are theirs alone.
pub(super) fn exceeded(limit: u64) -> bool {
    let page = rustix::param::page_size() as u64;
    // Pages that forked processes share are counted for each of them here, so a high sum is only a suspicion ...
    let suspected: u64 = processes().map(|id| private_pages(&id).unwrap_or(0) * page).sum();
    // ... which the exact and slower count confirms or not.
    suspected > limit && processes().map(|id| proportional(&id).unwrap_or(0)).sum::<u64>() > limit
}

fn processes() -> impl Iterator<Item = String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Resident pages less the shared ones; `None` when the process is gone.
fn private_pages(id: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/statm")).ok()?;
    let mut fields = text.split_ascii_whitespace().skip(1).map(str::parse::<u64>);
    let (resident, shared) = (fields.next()?.ok()?, fields.next()?.ok()?);
    Some(resident.saturating_sub(shared))
}

/// Bytes of anonymous memory, each shared page divided among those who share it.
fn proportional(id: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss_Anon:"))?;
    line.split_ascii_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}
