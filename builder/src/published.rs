//! A published catalog: a repository whose tags `rN` are its revisions, each following from the one before.

mod artifacts;
mod import;
mod next;
mod rebuild;
mod repository;
mod signature;
mod verify;

pub use import::{Facts, import};
pub use next::{Addition, Keep, Names, Next, additions};
pub use rebuild::Again;
pub(crate) use repository::number_of;
pub use repository::{Published, Repository};
pub use signature::signature_tag;
pub use verify::{Depth, verify};

/// The tag of the newest revision, which volunteers take.
pub const CANDIDATE: &str = "candidate";
