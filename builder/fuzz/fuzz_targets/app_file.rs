//! No app file makes the reader fall over, and one that was made well is read as it was made.

#![no_main]

use lapstrake::app_file::{FILE_NAME, parse};
use lapstrake_fuzz::generators::{Choices, app_file};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        drop(parse(FILE_NAME, text));
    }
    let (text, command) = app_file(&mut Choices::new(bytes));
    let (read, diagnostics) = parse(FILE_NAME, &text);
    if command.is_some() {
        assert!(read.is_some(), "{text}\n{diagnostics:?}");
    }
});
