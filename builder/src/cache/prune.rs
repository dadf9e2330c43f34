//! What the cache holds, and what of it is given up: the oldest first, by when it was last of use.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use lapstrake_oci::layer::remove_tree;
use serde::Serialize;

use super::{Cache, Kind, TEMPORARY, packages};

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The bytes of all entries together.
    pub bytes: u64,
    /// How long an entry is kept that is of no use to any build.
    pub age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 10 << 30, age: Duration::from_hours(24 * 30) }
    }
}

/// What is younger may belong to a build that is under way.
const IN_USE: Duration = Duration::from_hours(1);

/// An entry of the cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    /// Its kind: `blobs`, `builds`, `circumstances`, `commands`, `documents`, `layers`, `packages`, `paths`,
    /// `reads` or `stamps`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// How many seconds ago it was last of use.
    pub unused: u64,
    #[serde(skip)]
    path: PathBuf,
}

/// What was given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// How many entries.
    pub entries: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl Cache {
    /// The directory of the cache.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// All entries, the longest unused first.
    pub fn list(&self, now: Timestamp) -> io::Result<Vec<Kept>> {
        let kinds = Kind::ALL.map(|kind| (kind.name(), self.dir.join(kind.name())));
        let packages = ("packages", self.packages_dir());
        let mut all = Vec::new();
        for (kind, dir) in kinds.into_iter().chain([packages]) {
            let entries = match fs_err::read_dir(dir) {
                Ok(entries) => entries,
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => continue,
                Err(cause) => return Err(cause),
            };
            for entry in entries {
                let entry = entry?;
                // Another build may have moved or removed it.
                let Ok(found) = entry.metadata() else { continue };
                let path = entry.path();
                all.push(Kept {
                    kind,
                    name: entry.file_name().to_string_lossy().into_owned(),
                    size: if found.is_dir() { packages::size_of(&path) } else { found.len() },
                    unused: u64::try_from(now.as_second() - found.mtime()).unwrap_or_default(),
                    path,
                });
            }
        }
        all.sort_by(|left, right| right.unused.cmp(&left.unused).then_with(|| left.name.cmp(&right.name)));
        Ok(all)
    }

    /// Gives up what is unused for too long, and then the longest unused until the rest fits. What was of use within the
    /// last hour stays.
    pub fn prune(&self, limits: Limits, now: Timestamp) -> io::Result<Pruned> {
        let all = self.list(now)?;
        let mut left: u64 = all.iter().map(|kept| kept.size).sum();
        let mut pruned = Pruned::default();
        for kept in all {
            let unused = Duration::from_secs(kept.unused);
            let unfinished = kept.name.starts_with(TEMPORARY);
            let is_too_much = left > limits.bytes || unused > limits.age || unfinished;
            if unused < IN_USE || !is_too_much {
                continue;
            }
            remove_tree(&kept.path)?;
            left -= kept.size;
            pruned.entries += 1;
            pruned.bytes += kept.size;
        }
        Ok(pruned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(cache: &Cache, now: Timestamp) -> Vec<String> {
        cache.list(now).unwrap().into_iter().map(|kept| format!("{}/{}", kept.kind, kept.name)).collect()
    }

    #[test]
    fn what_was_of_no_use_for_longest_goes_first_and_what_is_young_stays() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::of(dir.path());
        let now = Timestamp::from_second(2_000_000_000).unwrap();
        let hours = |count| Duration::from_hours(count);
        for (kind, name, age) in [
            (Kind::Blobs, "old", hours(5)),
            (Kind::Blobs, "older", hours(9)),
            (Kind::Layers, "young", Duration::from_mins(1)),
            (Kind::Stamps, ".new-left", hours(2)),
        ] {
            cache.write(kind, name, &[0; 10]).unwrap();
            let file = std::fs::File::open(cache.path(kind, name)).unwrap();
            file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(2_000_000_000) - age).unwrap();
        }
        let all = ["blobs/older", "blobs/old", "stamps/.new-left", "layers/young"];
        assert_eq!(names(&cache, now), all);
        let limits = |bytes, age| Limits { bytes, age };
        let pruned = cache.prune(limits(1 << 20, hours(10)), now).unwrap();
        assert_eq!(pruned, Pruned { entries: 1, bytes: 10 });
        let pruned = cache.prune(limits(20, hours(10)), now).unwrap();
        assert_eq!(
            (pruned.entries, names(&cache, now)),
            (1, vec!["blobs/old".into(), "layers/young".into()])
        );
        cache.prune(limits(1 << 20, hours(4)), now).unwrap();
        cache.prune(limits(0, Duration::ZERO), now).unwrap();
        assert_eq!(names(&cache, now), ["layers/young"]);
    }

    #[test]
    fn what_installers_downloaded_is_given_up_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::of(&dir.path().join("data"));
        let packages = cache.packages("an app").unwrap();
        fs_err::create_dir(packages.tree().join("pip")).unwrap();
        fs_err::write(packages.tree().join("pip/wheel"), vec![0; 50_000]).unwrap();
        packages.measure().unwrap();
        let now = Timestamp::from_second(jiff::Timestamp::now().as_second() + 10_000).unwrap();
        let kept = cache.list(now).unwrap();
        assert_eq!((kept.len(), kept[0].kind), (1, "packages"));
        assert!(kept[0].size >= 50_000, "{}", kept[0].size);
        assert!((9_000..=10_001).contains(&kept[0].unused), "{}", kept[0].unused);
        cache.prune(Limits { bytes: 1000, age: Duration::from_hours(9) }, now).unwrap();
        assert_eq!(cache.list(now).unwrap(), []);
        assert!(!packages.tree().exists());
    }
}
