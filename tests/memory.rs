//! Memory that does not grow with the app.

use std::time::Duration;

use lapstrake_fixtures::apps::App;
use lapstrake_fixtures::archive::copy_tree;

use crate::harness::{Image, Lapstrake, Registry, workspace};

const MIB: u64 = 1024 * 1024;

/// Bytes that no compressor makes smaller, the same in every run.
fn noise(seed: u64, length: u64) -> Vec<u8> {
    let mut state = seed;
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < length {
        // Xorshift, by Marsaglia.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

/// The largest resident size so far, in bytes; `None` once the process is gone.
fn peak(pid: u32) -> Option<u64> {
    let status = fs_err::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

#[test]
fn a_build_and_push_of_300_mib_stays_under_100_mb() {
    let scratch = workspace::scratch();
    let registry = Registry::start();
    let source = scratch.path().join("large");
    copy_tree(&App::named("plain-python").directory(), &source).unwrap();
    for seed in 1..=3 {
        fs_err::write(source.join(format!("noise-{seed}")), noise(seed, 100 * MIB)).unwrap();
    }
    let reference = registry.reference("large/app:1");
    let layout = scratch.path().join("layout");
    let output = format!("oci:{}", layout.display());
    let source = source.display().to_string();
    let mut build =
        Lapstrake::new().start(["build", &source, "--quiet", "--tag", &reference, "--output", &output]);
    let mut highest = 0;
    let status = loop {
        if let Some(status) = build.try_wait().unwrap() {
            break status;
        }
        highest = highest.max(peak(build.id()).unwrap_or_default());
        std::thread::sleep(Duration::from_millis(20));
    };
    let output = build.wait_with_output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let image = Image::open(&layout, None);
    let sizes = image.manifest["layers"].as_array().unwrap().iter();
    assert!(sizes.map(|layer| layer["size"].as_u64().unwrap()).sum::<u64>() > 300 * MIB);
    eprintln!("peak memory: {} MiB", highest / MIB);
    assert!(highest > MIB, "the peak was not seen");
    assert!(highest < 100_000_000, "{highest} bytes");
}
