//! What happens while runtimes are fetched and assembled, as data; who shows it is the caller's business.

/// Hears of events; called from several threads.
pub trait Progress: Sync {
    /// Something happened.
    fn event(&self, event: &Event<'_>);
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// Files are going to be fetched.
    FetchPlanned {
        /// How many are not in the store yet.
        files: usize,
        /// Their bytes.
        bytes: u64,
    },
    /// Bytes have arrived (a negative number has to be fetched again).
    Received {
        /// How many.
        bytes: i64,
    },
    /// A file is there and verified.
    Fetched {
        /// The package.
        name: &'a str,
        /// Its size.
        bytes: u64,
    },
    /// A transfer broke and starts again.
    Retried {
        /// The package.
        name: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// A stored file was damaged and is fetched again.
    Damaged {
        /// The package.
        name: &'a str,
    },
    /// A layer is being made of its files.
    LayerStarted {
        /// The name of its lock.
        layer: &'a str,
    },
    /// A layer is there.
    LayerReady {
        /// The name of its lock.
        layer: &'a str,
        /// The compressed size.
        bytes: u64,
        /// Whether it was there before.
        cached: bool,
    },
    /// A locked file is gone from the mirrors, so its layer is locked anew.
    Relocked {
        /// The name of the lock.
        layer: &'a str,
        /// The package.
        package: &'a str,
        /// The version that was locked.
        from: Option<&'a str>,
        /// The version that takes its place.
        to: Option<&'a str>,
        /// Whether it is this file that is gone.
        gone: bool,
    },
    /// An index of packages is being read.
    IndexRead {
        /// The suite, package or project.
        name: &'a str,
    },
}

/// Shows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _: &Event<'_>) {}
}
