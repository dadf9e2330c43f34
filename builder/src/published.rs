//! A published catalog: a repository whose tags `rN` are its revisions, each following from the one before.

mod import;
mod next;
mod rebuild;
mod repository;
mod verify;

pub use import::{Facts, import};
pub use next::{Addition, Names, Next, additions};
pub use rebuild::Again;
pub use repository::{Published, Repository};
pub use verify::{Depth, verify};
