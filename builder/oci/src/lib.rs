//! OCI documents, layers, image layouts and the registry client.

#![forbid(unsafe_code)]

pub mod tree;
