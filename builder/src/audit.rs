//! Reads what an audit judges: manifests and configs of images, never a layer.

mod cache;
mod image;
mod packages;
mod place;
mod walk;

pub use cache::Cache;
pub use packages::{LocksAt, vulnerabilities};
pub use place::{LayoutPlace, Place, Reason, RegistryPlace};
pub use walk::{Found, Wanted, walk};
