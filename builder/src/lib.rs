//! The library of the build: from a source to an image at a destination.

#![forbid(unsafe_code)]

pub mod app_file;
pub mod command_line;
pub mod package_json;
pub mod source;
