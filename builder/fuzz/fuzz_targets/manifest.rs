//! No manifest makes the reader fall over, and none with a key twice is taken.

#![no_main]

use lapstrake_fuzz::generators::{Choices, manifest};
use libfuzzer_sys::fuzz_target;

/// The reader is private to the registry client, and needs two names of its crate.
#[path = "../../oci/src/registry/strict.rs"]
mod strict;

mod document {
    pub(crate) use lapstrake_oci::document::{DOCKER_MANIFEST, DOCKER_MANIFEST_LIST};
}

fuzz_target!(|bytes: &[u8]| {
    drop(strict::media_type(bytes, None));
    let (text, has_key_twice, content_type) = manifest(&mut Choices::new(bytes));
    let read = strict::media_type(text.as_bytes(), content_type);
    assert!(!(has_key_twice && read.is_ok()), "{text}");
});
