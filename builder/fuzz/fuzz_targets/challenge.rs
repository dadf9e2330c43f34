//! No header makes the reader fall over, and a sound one offers the realm that it was made with.

#![no_main]

use lapstrake_fuzz::generators::{Choices, challenge};
use libfuzzer_sys::fuzz_target;

/// The reader is private to the registry client.
#[path = "../../oci/src/registry/challenge.rs"]
#[allow(dead_code, reason = "its other parts are for the client")]
mod reader;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        drop(reader::choose(std::iter::once(text)));
    }
    let (text, is_sound, realm) = challenge(&mut Choices::new(bytes));
    let found = match reader::choose(std::iter::once(text.as_str())) {
        Some(reader::Challenge::Bearer(bearer)) => Some(bearer.realm),
        _ => None,
    };
    assert!(!is_sound || found.as_deref() == realm, "{text}");
});
