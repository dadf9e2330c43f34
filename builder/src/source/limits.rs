//! How much of a source is read at most.

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The limits of a source. The defaults fit every app that was measured, with room to spare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Limits {
    /// Bytes of an archive as it is stored.
    pub compressed: u64,
    /// Bytes of an archive when expanded, or of the files of a directory.
    pub expanded: u64,
    /// How many times larger than what was read an archive may become.
    pub ratio: u64,
    /// Expanded bytes up to which the ratio does not matter.
    pub ratio_from: u64,
    /// Paths.
    pub entries: u64,
    /// Components of a path.
    pub depth: usize,
    /// Bytes of a path, or of a link's target.
    pub path: usize,
    /// Bytes of one component.
    pub name: usize,
    /// Bytes of a PAX header.
    pub pax: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            compressed: 512 * MIB,
            expanded: 2 * GIB,
            ratio: 200,
            ratio_from: 64 * MIB,
            entries: 200_000,
            depth: 100,
            path: 4096,
            name: 255,
            pax: 64 * KIB,
        }
    }
}
