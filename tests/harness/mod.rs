//! What the tests share: the binary, a real registry, other people's tools, and the image as they see it.

pub(crate) mod browser;
pub(crate) mod built;
pub(crate) mod container;
pub(crate) mod containerd;
pub(crate) mod gathered;
pub(crate) mod image;
pub(crate) mod injected;
pub(crate) mod judges;
pub(crate) mod keys;
pub(crate) mod lapstrake;
pub(crate) mod package_index;
pub(crate) mod prepared;
pub(crate) mod registry;
pub(crate) mod repository;
pub(crate) mod schema;
pub(crate) mod tools;
pub(crate) mod validated;
pub(crate) mod watching;
pub(crate) mod workspace;

pub(crate) use browser::Page;
pub(crate) use container::Container;
pub(crate) use image::Image;
pub(crate) use keys::Keys;
pub(crate) use lapstrake::{Lapstrake, Outcome};
pub(crate) use package_index::PackageIndex;
pub(crate) use prepared::Prepared;
pub(crate) use registry::Registry;
pub(crate) use repository::Repository;
pub(crate) use watching::Watching;
