//! The releases of pnpm and yarn that are taken where an app names none: the newest that writes the lock file as it is.
//!
//! A newer one refuses an older lock file under `--frozen-lockfile` and `--immutable`, or writes it anew. Each release
//! is named with the digest of its file, which corepack checks whatever registry it comes from.

/// One release of a package manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Release {
    /// The manager's name.
    pub(super) name: &'static str,
    /// Its version.
    pub(super) version: &'static str,
    sha224: &'static str,
}

impl Release {
    /// The release as corepack is asked for it.
    pub(super) fn pinned(self) -> String {
        format!("{}@{}+sha224.{}", self.name, self.version, self.sha224)
    }

    /// The first component of its version.
    pub(super) fn major(self) -> u32 {
        major(self.version).unwrap_or_default()
    }
}

/// The first component of a version.
pub(super) fn major(version: &str) -> Option<u32> {
    version.split('.').next()?.parse().ok()
}

const fn release(name: &'static str, version: &'static str, sha224: &'static str) -> Release {
    Release { name, version, sha224 }
}

const PNPM_7: Release = release("pnpm", "7.33.7", "81079ecd4eacb2a54b4e7d468efe1bfe8ae3c5d9100a7f67d0090096");
const PNPM_8: Release = release("pnpm", "8.15.9", "700cc37478b96b5d4320b150c810bc2d7d2cae2ec17028c66bbd2cd8");
/// It runs the installation scripts of every package.
pub(super) const PNPM_9: Release =
    release("pnpm", "9.15.9", "8be1e20e960830edb6edc8478b736e507746a565af951dfbc95d7d12");
/// It reads settings from `pnpm-workspace.yaml`, and runs the installation scripts that these allow.
pub(super) const PNPM_10: Release =
    release("pnpm", "10.34.9", "28a6a8bd9f3143368c728cda2d45fe935bd867f24c3b3de34ea98af2");
/// The last release of yarn as it was first.
pub(super) const YARN_1: Release =
    release("yarn", "1.22.22", "b3354a4448ff7f95109b317dcf100acbb19dd7a067ff7fad9acf941f");
const YARN_2: Release = release("yarn", "2.4.2", "9862c84195ebe6880f4e50949746f83e05463a28e48fa8993d41555e");
const YARN_3_1: Release =
    release("yarn", "3.1.1", "2c68fe4d25aeebcb10adf7658e9c96331dffdd36c0c600f40ada9943");
const YARN_3: Release = release("yarn", "3.8.7", "d1f8286b125c29670720cd141b3a881653a7bdace9797e1501a2106f");
const YARN_4_13: Release =
    release("yarn", "4.13.0", "322a2fdff21f2dc59000097c351c28cb85db1f258888d85db90788cf");
const YARN_4_14: Release =
    release("yarn", "4.14.1", "88b7a7244bbd9040380c417f7eb556d85c67640b651f113cb4c72113");
const YARN_4: Release = release("yarn", "4.18.1", "065c7650cf11cb01e21cefe2398a1c8a70a13bd04136056722763046");

/// The pnpm for a `lockfileVersion`. Of those that write `9.0`, `has_settings` tells the one that reads them.
pub(super) fn pnpm(lockfile_version: Option<&str>, has_settings: bool) -> Release {
    match lockfile_version.and_then(major) {
        // Releases before 7 cannot reach a registry on the lines of Node.js that there are; 7 reads their lock files.
        Some(..=5) => PNPM_7,
        Some(6..=8) => PNPM_8,
        Some(9) if !has_settings => PNPM_9,
        _ => PNPM_10,
    }
}

/// The yarn for the `version` of a lock file's `__metadata`.
pub(super) fn yarn(metadata_version: Option<u32>) -> Release {
    match metadata_version {
        Some(..=4) => YARN_2,
        Some(5) => YARN_3_1,
        Some(6) => YARN_3,
        Some(7 | 8) => YARN_4_13,
        Some(9) => YARN_4_14,
        _ => YARN_4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_the_newest_that_writes_the_lock_file_as_it_is() {
        let pnpms = [
            ("5.3", "7.33.7"),
            ("5.4", "7.33.7"),
            ("6.0", "8.15.9"),
            ("6.1", "8.15.9"),
            ("9.0", "9.15.9"),
            ("10.0", "10.34.9"),
        ];
        for (lock, version) in pnpms {
            assert_eq!(pnpm(Some(lock), false).version, version, "{lock}");
        }
        assert_eq!(pnpm(Some("9.0"), true).version, "10.34.9");
        assert_eq!(pnpm(None, false).version, "10.34.9");
        let yarns = [
            (4, "2.4.2"),
            (5, "3.1.1"),
            (6, "3.8.7"),
            (8, "4.13.0"),
            (9, "4.14.1"),
            (10, "4.18.1"),
            (11, "4.18.1"),
        ];
        for (lock, version) in yarns {
            assert_eq!(yarn(Some(lock)).version, version, "{lock}");
        }
    }

    #[test]
    fn every_release_is_pinned_by_a_whole_digest() {
        let all =
            [PNPM_7, PNPM_8, PNPM_9, PNPM_10, YARN_1, YARN_2, YARN_3_1, YARN_3, YARN_4_13, YARN_4_14, YARN_4];
        for release in all {
            let (name, digest) =
                release.pinned().split_once("+sha224.").map(|(n, d)| (n.to_owned(), d.to_owned())).unwrap();
            assert_eq!(name, format!("{}@{}", release.name, release.version));
            assert!(digest.len() == 56 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
            assert_eq!(release.major().to_string(), release.version.split('.').next().unwrap());
        }
    }
}
