//! OCI documents, layers, image layouts and the registry client.

#![forbid(unsafe_code)]

pub mod document;
pub mod image;
pub mod layer;
pub mod layout;
pub mod tree;
