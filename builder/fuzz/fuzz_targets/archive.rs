//! No archive makes the reader fall over, and one that was made well is read as it was made.

#![no_main]

use lapstrake::source::{ReadOptions, SourceSpec, read};
use lapstrake_fuzz::generators::{Choices, archive};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let scratch = std::env::temp_dir();
    let options = ReadOptions::new(&scratch);
    // As it is, for whoever starts from real archives, and as choices.
    drop(read(&SourceSpec::Stdin, bytes, &options));
    let made = archive(&mut Choices::new(bytes));
    let source = read(&SourceSpec::Stdin, &made.bytes[..], &options);
    if made.is_sound {
        assert!(source.is_ok(), "{source:?}");
    }
});
