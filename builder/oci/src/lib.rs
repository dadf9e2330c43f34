//! OCI documents, layers, image layouts and the registry client.

#![forbid(unsafe_code)]

pub mod archive;
pub mod destination;
pub mod document;
pub mod image;
pub mod layer;
pub mod layout;
pub mod reference;
pub mod registry;
pub mod tree;
pub mod unfinished;
