//! The `lapstrake` command.

#![forbid(unsafe_code)]

fn main() {}
