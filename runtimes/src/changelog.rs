//! What a package's own changelog says was fixed between two versions (deb-changelog(5)).

use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use lapstrake_oci::tree::{Kind, TreePath};

use crate::deb::{self, Deb};
use crate::lock::DebArtifact;
use crate::store::{Store, Stored};

/// A changelog of a kernel has some ten megabytes; this is where it stops being one.
const LIMIT: u64 = 64 << 20;

/// The CVE numbers that the changelog of a package names between two of its versions, sorted; or why nobody can say.
///
/// `debs` are the packages that the package may have been locked with: where its documentation folder is a link to
/// another's, that one's changelog counts.
pub fn fixes(
    debs: &[&DebArtifact],
    package: &str,
    (from, to): (&str, &str),
    (store, scratch): (&Store, &Path),
) -> Result<Vec<String>, String> {
    let artifact = debs.iter().find(|deb| deb.name == package && deb.version == to);
    let artifact = artifact.ok_or("it is no package of Debian's")?;
    let opened = open(artifact, store, scratch)?;
    let text = match link(&opened, package) {
        None => text(&opened)?,
        Some(other) => {
            let other =
                debs.iter().find(|deb| deb.name == other).ok_or("its changelog is another package's")?;
            text(&open(other, store, scratch)?)?
        }
    };
    between(&text, from, to).ok_or_else(|| format!("its changelog does not lead from {from} to {to}"))
}

fn open(artifact: &DebArtifact, store: &Store, scratch: &Path) -> Result<Deb, String> {
    match store.verified(&artifact.sha256) {
        Ok(Stored::File(path)) => deb::open(&path, scratch).map_err(|cause| cause.to_string()),
        Ok(_) => Err("the package was not at hand".to_owned()),
        Err(cause) => Err(cause.to_string()),
    }
}

/// The package whose documentation folder this one uses.
fn link(deb: &Deb, package: &str) -> Option<String> {
    let path = TreePath::new(format!("usr/share/doc/{package}")).ok()?;
    match &deb.tree.get(&path)?.kind {
        Kind::Symlink(target) => {
            target.rsplit(|byte| *byte == b'/').next().map(|name| String::from_utf8_lossy(name).into_owned())
        }
        _ => None,
    }
}

fn text(deb: &Deb) -> Result<String, String> {
    let content = deb.changelog().ok_or("it has no changelog")?;
    let reader = content.open().map_err(|cause| cause.to_string())?;
    let mut bytes = Vec::new();
    MultiGzDecoder::new(reader)
        .take(LIMIT)
        .read_to_end(&mut bytes)
        .map_err(|cause| format!("its changelog: {cause}"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The CVE numbers of the paragraphs from one version down to another, which is not counted; none unless both have one.
fn between(text: &str, from: &str, to: &str) -> Option<Vec<String>> {
    let (from, to) = (source_version(from), source_version(to));
    let (mut is_inside, mut found) = (false, Vec::new());
    for line in text.lines() {
        match heading(line) {
            Some(version) if is_inside && version == from => {
                found.sort();
                found.dedup();
                return Some(found);
            }
            Some(version) if version == to => is_inside = true,
            _ if is_inside => found.extend(cves(line)),
            _ => {}
        }
    }
    None
}

/// `openssl (3.5.9-1~deb13u1) trixie-security; urgency=medium`
fn heading(line: &str) -> Option<&str> {
    let (name, rest) = line.split_once(" (")?;
    let (version, rest) = rest.split_once(')')?;
    (!name.is_empty() && !name.contains(char::is_whitespace) && rest.contains(';')).then_some(version)
}

/// A rebuild without a change of the source (`+b1`) has the source's paragraphs.
fn source_version(version: &str) -> &str {
    match version.rsplit_once("+b") {
        Some((source, number)) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => {
            source
        }
        _ => version,
    }
}

fn cves(line: &str) -> Vec<String> {
    let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number = |rest: &str| {
        let year = digits(rest);
        let tail = rest[year..].strip_prefix('-').filter(|_| year == 4)?;
        let length = digits(tail);
        (length >= 4).then(|| format!("CVE-{}-{}", &rest[..year], &tail[..length]))
    };
    line.split("CVE-").skip(1).filter_map(number).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use lapstrake_fixtures::debs::DebFile;

    use super::*;

    const TEXT: &str = "\
openssl (3.5.9-1~deb13u1) trixie-security; urgency=high

  * Fix CVE-2026-1002, CVE-2026-1001 (closes: #1) and CVE-2026-12.

 -- Somebody <nobody@example.com>  Mon, 01 Jun 2026 00:00:00 +0000

openssl (3.5.8-1) unstable; urgency=medium

  * CVE-2026-1001 again, CVE-2025-99999

openssl (3.5.7-1~deb13u3) trixie; urgency=medium

  * CVE-2024-0001
";

    #[test]
    fn the_paragraphs_between_two_versions_count_and_no_other() {
        let all = ["CVE-2025-99999", "CVE-2026-1001", "CVE-2026-1002"];
        assert_eq!(between(TEXT, "3.5.7-1~deb13u3", "3.5.9-1~deb13u1+b2").unwrap(), all);
        assert_eq!(between(TEXT, "3.5.8-1", "3.5.9-1~deb13u1").unwrap(), ["CVE-2026-1001", "CVE-2026-1002"]);
        // Backwards, or from what it does not tell of, nothing is claimed.
        assert_eq!(between(TEXT, "3.5.9-1~deb13u1", "3.5.7-1~deb13u3"), None);
        assert_eq!(between(TEXT, "3.5.6-1", "3.5.9-1~deb13u1"), None);
    }

    #[test]
    fn a_changelog_is_read_from_the_package_or_from_the_one_that_its_folder_links_to() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().join("store")).unwrap();
        let mut gz = GzEncoder::new(Vec::new(), Compression::default());
        gz.write_all(TEXT.as_bytes()).unwrap();
        let own = DebFile::new("libssl", "3.5.9-1~deb13u1", "amd64").file(
            "usr/share/doc/libssl/changelog.Debian.gz",
            0o644,
            gz.finish().unwrap(),
        );
        let linked =
            DebFile::new("openssl", "3.5.9-1~deb13u1", "amd64").symlink("usr/share/doc/openssl", "libssl");
        let bare = DebFile::new("bare", "3.5.9-1~deb13u1", "amd64").file("usr/bin/x", 0o755, "x");
        let locked = [&own, &linked, &bare].map(|deb| keep(deb, directory.path(), &store));
        let debs: Vec<&DebArtifact> = locked.iter().collect();
        let versions = ("3.5.8-1", "3.5.9-1~deb13u1");
        let ask = |package| fixes(&debs, package, versions, (&store, directory.path()));
        assert_eq!(ask("libssl").unwrap(), ["CVE-2026-1001", "CVE-2026-1002"]);
        assert_eq!(ask("openssl"), ask("libssl"));
        assert_eq!(ask("bare").unwrap_err(), "it has no changelog");
        assert_eq!(ask("pip").unwrap_err(), "it is no package of Debian's");
        fs_err::remove_file(store.path(&debs[0].sha256)).unwrap();
        assert_eq!(ask("openssl").unwrap_err(), "the package was not at hand");
    }

    fn keep(deb: &DebFile, directory: &Path, store: &Store) -> DebArtifact {
        use sha2::Digest as _;
        let bytes = fs_err::read(deb.write(directory).unwrap()).unwrap();
        let sha256 = crate::canonical::hex(&sha2::Sha256::digest(&bytes));
        let mut file = store.temporary().unwrap();
        file.write_all(&bytes).unwrap();
        store.adopt(file, &sha256).unwrap();
        DebArtifact {
            name: deb.name().to_owned(),
            version: deb.version().to_owned(),
            arch: deb.architecture().to_owned(),
            suite: "trixie".to_owned(),
            path: String::new(),
            size: bytes.len() as u64,
            sha256,
            source: deb.name().to_owned(),
        }
    }
}
