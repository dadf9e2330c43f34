//! Watching a branch: what is built next, and what has to be remembered for that. Pure but for the state file and the
//! lock; the remote, the build and the clock belong to `commands::watch`.
//!
//! A watch has no queue that could be lost. It remembers the last commit that was built and the last one that failed,
//! and asks the remote for the newest: what was pushed while a build ran is what the branch holds when it is over.

mod backoff;
mod file;
mod lock;
mod next;
mod state;
#[cfg(test)]
mod tests;

pub use backoff::Backoff;
pub use file::{StateError, StateFile};
pub use lock::{LockError, TargetLock, file_name};
pub use next::{Compared, Next, Rest, Step, Watch, Why};
pub use state::{Built, Failed, OnSuccess, State, Watched};
