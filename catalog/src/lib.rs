//! The runtime catalog as values: entries, revisions, resolution. No I/O.

#![forbid(unsafe_code)]
