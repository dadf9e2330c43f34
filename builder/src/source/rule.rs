//! The rules by which a source is refused.

use lapstrake_oci::tree::TreePath;

/// The rule that an entry or an archive breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each variant's message says what it is")]
pub enum Rule {
    // The stream around the archive.
    #[error("the archive is larger than {limit} bytes")]
    CompressedSize { limit: u64 },
    #[error("the archive expands to more than {limit} bytes")]
    ExpandedSize { limit: u64 },
    #[error("its files have more than {limit} bytes")]
    DirectorySize { limit: u64 },
    #[error("the archive expands to more than {ratio} times its size")]
    Ratio { ratio: u64 },
    #[error("the {compression} stream is damaged or cut short: {detail}")]
    Stream { compression: &'static str, detail: String },
    #[error("it is a {format} file; a tar archive is expected, plain or compressed by gzip, zstd or xz")]
    Format { format: &'static str },
    #[error("it is no tar archive")]
    NotTar,
    #[error("it is cut short")]
    CutShort,
    #[error("it holds no entry")]
    Empty,
    #[error("something follows its end marker")]
    AfterEnd,
    #[error("it has more than {limit} entries")]
    Entries { limit: u64 },
    #[error("its symbolic links lead to one another too often to be followed")]
    Tangled,

    // Headers.
    #[error("the header's checksum is wrong")]
    Checksum,
    #[error("the header is neither ustar, GNU nor v7")]
    Magic,
    #[error("a {field} field that is no plain number")]
    Number { field: &'static str },
    #[error("bytes after the end of the {field} field")]
    AfterNul { field: &'static str },
    #[error("GNU header with data in fields that other formats use for the name")]
    GnuFields,
    #[error("star header with a prefix that other readers read differently")]
    StarPrefix,
    #[error("it is a sparse file")]
    Sparse,
    #[error("it is a {kind}; only files, directories and links are accepted")]
    Type { kind: &'static str },
    #[error("unknown entry type `{flag}`")]
    UnknownType { flag: String },
    #[error("a {kind} that says it has a size")]
    SizeOfNoFile { kind: &'static str },
    #[error("a {kind} that has a link target")]
    LinkOfNoLink { kind: &'static str },
    #[error("a file whose name ends in a slash")]
    FileWithSlash,

    // PAX and GNU records.
    #[error("an extended header of more than {limit} bytes")]
    ExtendedSize { limit: u64 },
    #[error("a PAX record of the wrong length or form")]
    PaxRecord,
    #[error("PAX key `{key}` twice")]
    PaxTwice { key: String },
    #[error("PAX key `{key}` is not accepted here")]
    PaxKey { key: String },
    #[error("PAX key `{key}` has the value `{value}`")]
    PaxValue { key: String, value: String },
    #[error("two extended headers for one entry that would overrule each other")]
    Stacked,
    #[error("an extended header without an entry")]
    Orphan,

    // Names.
    #[error("no path inside the source: {reason}")]
    Path { reason: &'static str },
    #[error("a commit cannot hold a repository's own directory")]
    GitName,
    #[error("a NUL byte in a name")]
    Nul,
    #[error("a path of more than {limit} bytes")]
    PathLength { limit: usize },
    #[error("a name of more than {limit} bytes")]
    NameLength { limit: usize },
    #[error("a path of more than {limit} components")]
    Depth { limit: usize },
    #[error("names that begin with `.wh.` mean deletions in an image")]
    Whiteout,
    #[error("the path is there twice")]
    Twice,
    #[error("it lies below `{ancestor}`, which is not a directory")]
    BelowNoDirectory { ancestor: TreePath },
    #[error("other entries lie below it, but it is not a directory")]
    AboveOthers,

    // Links.
    #[error("a link without a target")]
    NoTarget,
    #[error("a hard link to `{target}`, which is not an earlier file")]
    HardlinkTarget { target: String },
    #[error("a symbolic link that leads out of the source, to `{target}`")]
    OutwardLink { target: String },
}

impl Rule {
    /// Whether the rule is about the archive as a whole rather than about the entry that was being read.
    pub(super) fn is_of_archive(&self) -> bool {
        matches!(
            self,
            Self::CompressedSize { .. }
                | Self::ExpandedSize { .. }
                | Self::Ratio { .. }
                | Self::Stream { .. }
                | Self::Format { .. }
                | Self::NotTar
                | Self::Empty
                | Self::AfterEnd
                | Self::Entries { .. }
                | Self::Tangled
        )
    }
}
