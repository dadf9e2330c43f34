//! Whole builds by what went into them: whoever asks for the same again gets the digest without anything being done.

use std::io;

use lapstrake_oci::document::HashingReader;
use lapstrake_oci::layer::FORMAT;
use oci_spec::image::Digest;
use serde::{Deserialize, Serialize};

use super::{Cache, Key, Kind};
use crate::cli::BuildArgs;
use crate::context::Context;
use crate::plan::SourceFacts;
use crate::source::{SourceAddress, SourceSpec};
use crate::trust::Trusted;

/// The form of what a key is made of. A change of what a build makes of its inputs is a new number.
const FORM: &str = "2";

/// What a build is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildKey(Key);

/// What tells one source from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceMark(String);

/// A build that was carried out before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptBuild {
    /// The digest of the manifest or image index.
    pub digest: Digest,
    /// Its report.
    pub report: serde_json::Map<String, serde_json::Value>,
}

impl SourceMark {
    /// Of an archive on this machine: its digest, for which it need not be unpacked. None for any other source.
    #[must_use]
    pub fn of_archive(address: &SourceAddress) -> Option<Self> {
        let SourceAddress::Local(SourceSpec::Path(path)) = address else { return None };
        let file =
            fs_err::File::open(path).ok().filter(|file| file.metadata().is_ok_and(|it| it.is_file()))?;
        let mut reader = HashingReader::new(file);
        io::copy(&mut reader, &mut io::sink()).ok()?;
        Some(Self(format!("archive {}", reader.finish().0)))
    }

    /// Of a source that was read. Files that have not been read so far are read now.
    #[must_use]
    pub fn of(source: &SourceFacts) -> Option<Self> {
        let digest = source.digest.get().ok()?;
        if source.is_archive {
            return Some(Self(format!("archive {digest}")));
        }
        let checkout = serde_json::to_string(&source.checkout).ok()?;
        let left_out = (&source.ignore_file, source.left_out);
        Some(Self(format!("{digest} {} {left_out:?} {checkout}", source.newest)))
    }
}

impl BuildKey {
    /// The key of a build; none where more goes into it than can be told beforehand: the local catalog makes its entries
    /// anew when it has to, and secrets are kept nowhere, not even as a part of a hash.
    #[must_use]
    pub fn new(args: &BuildArgs, source: &SourceMark, catalog: &Trusted, context: &Context) -> Option<Self> {
        let revision = catalog.index.as_ref()?;
        if !args.secrets.secrets.is_empty() {
            return None;
        }
        let app_file = match &args.source.config {
            Some(path) => fs_err::read(path).ok()?,
            None => Vec::new(),
        };
        let source_args = format!(
            "{:?}",
            (
                &args.source.source_dir,
                &args.source.platform,
                &args.source.catalog,
                &args.source.permissions,
                args.source.symlinks,
                &args.source.flow,
                &args.source.commit,
                &args.source.settings,
            )
        );
        let where_to = (&args.tags, &args.outputs, args.max_size);
        let rest =
            format!("{:?}", (where_to, &args.network, context.isolation, args.locked, args.compression));
        let trust = format!("{:?}", (&catalog.overrides, catalog.is_checked, catalog.newest_seen));
        let day = context.now.as_second().div_euclid(24 * 60 * 60);
        Some(Self(Key::of(&[
            b"build",
            FORM.as_bytes(),
            env!("CARGO_PKG_VERSION").as_bytes(),
            &FORMAT.to_le_bytes(),
            source.0.as_bytes(),
            revision.as_ref().as_bytes(),
            trust.as_bytes(),
            source_args.as_bytes(),
            rest.as_bytes(),
            &app_file,
            context.var("SOURCE_DATE_EPOCH").unwrap_or_default().as_bytes(),
            // A runtime may reach the end of its support.
            &day.to_le_bytes(),
        ])))
    }

    /// Its hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl Cache {
    /// Whether no build was ever kept, so that it is not worth while to ask for one.
    #[must_use]
    pub fn has_no_builds(&self) -> bool {
        self.is_empty(Kind::Builds)
    }

    /// The build of a key.
    #[must_use]
    pub fn build(&self, key: &BuildKey) -> Option<KeptBuild> {
        self.value(&key.0)
    }

    /// Keeps a build.
    pub fn keep_build(&self, key: &BuildKey, build: &KeptBuild) -> io::Result<()> {
        self.keep_value(&key.0, build)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use lapstrake_catalog::Catalog;

    use super::*;
    use crate::cli::{Cli, Command};

    fn args(more: &[&str]) -> BuildArgs {
        let words = ["lapstrake", "build", ".", "--catalog", "r.example/c:1"].iter().chain(more);
        match Cli::try_parse_from(words).unwrap().command {
            Command::Build(args) => *args,
            other => panic!("{other:?}"),
        }
    }

    fn trusted(digit: char) -> Trusted {
        let catalog = Catalog::empty("r.example/c");
        let index = Digest::try_from(format!("sha256:{}", digit.to_string().repeat(64)).as_str()).unwrap();
        Trusted { index: Some(index), ..Trusted::local(catalog) }
    }

    #[test]
    fn whatever_decides_about_the_image_is_in_the_key() {
        let context = Context::for_tests();
        let key = |more: &[&str], source: &str, catalog: char| {
            BuildKey::new(&args(more), &SourceMark(source.into()), &trusted(catalog), &context).unwrap().0
        };
        let mut later = context.clone();
        later.now = jiff::Timestamp::from_second(24 * 60 * 60).unwrap();
        let mut epoch = context.clone();
        epoch.env.insert("SOURCE_DATE_EPOCH".into(), "1".into());
        let keys = [
            key(&[], "a", '1'),
            key(&[], "b", '1'),
            key(&[], "a", '2'),
            key(&["--port", "81"], "a", '1'),
            key(&["--platform", "linux/arm64"], "a", '1'),
            key(&["--compression", "zstd"], "a", '1'),
            key(&["-t", "r.example/a:1"], "a", '1'),
            BuildKey::new(&args(&[]), &SourceMark("a".into()), &trusted('1'), &later).unwrap().0,
            BuildKey::new(&args(&[]), &SourceMark("a".into()), &trusted('1'), &epoch).unwrap().0,
        ];
        let unique: std::collections::BTreeSet<_> = keys.iter().collect();
        assert_eq!(unique.len(), keys.len());
        assert_eq!(key(&["--metadata-file", "m.json"], "a", '1'), keys[0]);
        let local = Trusted { index: None, ..trusted('1') };
        assert_eq!(BuildKey::new(&args(&[]), &SourceMark("a".into()), &local, &context), None);
        let secret = args(&["--secret", "id=X,env=Y"]);
        assert_eq!(BuildKey::new(&secret, &SourceMark("a".into()), &trusted('1'), &context), None);
    }
}
