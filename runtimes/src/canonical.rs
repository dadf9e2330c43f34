//! Canonical JSON and the digests of it.

use oci_spec::image::Digest;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// The canonical form of a value that is always representable: sorted keys, no white space.
pub(crate) fn canonical_json(value: &impl Serialize) -> Vec<u8> {
    sorted(value).to_string().into_bytes()
}

/// The same with line breaks, for files that people review; ends with a line break.
pub(crate) fn pretty_json(value: &impl Serialize) -> Vec<u8> {
    let mut text = format!("{:#}", sorted(value));
    text.push('\n');
    text.into_bytes()
}

fn sorted(value: &impl Serialize) -> serde_json::Value {
    let mut value = serde_json::to_value(value).expect("our own types have text keys and plain numbers");
    value.sort_all_objects();
    value
}

/// The digest of bytes.
pub(crate) fn sha256_of(bytes: &[u8]) -> Digest {
    let hex = hex(&Sha256::digest(bytes));
    format!("sha256:{hex}").parse().expect("64 hexadecimal digits are a digest")
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
