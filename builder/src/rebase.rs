//! Images on newer runtime layers: another config and manifest, and the layers of the app as they are.
//!
//! A rebase equals the rebuild: what is written is what a build of the same app on the newer entry writes, byte by byte, as
//! long as the app's layers are the same. So nothing in the image says that it was rebased; the earlier image stays under a
//! tag of its own.

mod documents;
mod image;
mod proof;
mod smoke;
mod target;

pub use documents::{Base, rebased};
pub use image::{Outcome, Rebase, Rebased};
pub use proof::Proof;
pub use smoke::smoke;
pub use target::{Refusal, Target, target};
