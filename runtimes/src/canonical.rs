//! Documents of our own, and the digests of them.

pub(crate) use lapstrake_oci::document::{canonical_json, sha256_of};
use serde::Serialize;

/// Sorted keys and line breaks, for files that people review; ends with a line break.
pub(crate) fn pretty_json(value: &impl Serialize) -> Vec<u8> {
    let mut value = serde_json::to_value(value).expect("our own types have text keys and plain numbers");
    value.sort_all_objects();
    format!("{value:#}\n").into_bytes()
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
