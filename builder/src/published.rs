//! A published catalog: a repository whose tags `rN` are its revisions, each following from the one before.

mod next;
mod repository;
mod verify;

pub use next::{Addition, Next, additions};
pub use repository::{Published, Repository};
pub use verify::verify;
