//! The commit that a source was taken from: what becomes the standard labels of an image and its time.
//!
//! A directory that is a checkout may have been made by anybody, and git obeys what it finds in one: its settings name
//! programs that are run to watch files, to filter and compare them and to reach remotes, and its hooks are programs
//! themselves. So git is not run here. References and objects are read by code of our own, which knows no such
//! setting, follows nothing out of the repository and expands no more than a limit; it needs no git on the machine.
//! Nothing that it reads is believed: a commit, its trees and the source's files are each checked against their names,
//! so a clean checkout has the very files of the commit that the image names.

mod compare;
mod config;
mod delta;
mod folder;
mod listing;
mod object;
mod pack;
mod place;
mod refs;
mod reftable;
mod repository_url;
mod state;
mod store;

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use lapstrake_oci::tree::{FileTree, TreePath};
use serde::Serialize;

use crate::git::ObjectId;
use crate::source::Rules;

pub use repository_url::RepositoryUrl;

/// The commit that a source was taken from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkout {
    /// The commit.
    pub commit: ObjectId,
    /// When it was committed, in seconds since 1970.
    pub time: i64,
    /// Where its repository is kept, when that is known and no place on this machine.
    pub repository: Option<RepositoryUrl>,
    /// Whether a file of the commit was changed or is gone.
    pub dirty: bool,
}

impl Checkout {
    /// What the image says of it: the commit, marked when the files are not those of the commit.
    #[must_use]
    pub fn revision(&self) -> String {
        if self.dirty { format!("{}-dirty", self.commit) } else { self.commit.to_string() }
    }

    /// The time of the commit, when the files are those of the commit.
    #[must_use]
    pub fn clean_time(&self) -> Option<i64> {
        (!self.dirty).then_some(self.time)
    }
}

/// A directory that has been read, as far as it is compared with a commit.
pub(crate) struct Files<'s> {
    /// What the ignore file leaves.
    pub(crate) tree: &'s FileTree,
    /// What counts although the ignore file leaves it out.
    pub(crate) aside: &'s FileTree,
    /// The ignore file.
    pub(crate) rules: Option<&'s Rules>,
}

/// What is known of a directory that is a checkout.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) checkout: Checkout,
    /// The files and directories of the source that the commit has.
    pub(crate) tracked: BTreeSet<TreePath>,
}

/// Why nothing is known of a directory that looks like a checkout.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckoutError {
    /// A file could not be read.
    #[error("could not read `{path}`")]
    Read {
        /// Which one.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// An object is not there.
    #[error("object {id} is not in the repository{}", if *.is_borrowed { "; objects that it borrows from another one are not read" } else { "" })]
    Missing {
        /// Its name.
        id: String,
        /// Whether the repository borrows objects from another one.
        is_borrowed: bool,
    },
    /// Something is not as git writes it.
    #[error("{what} is malformed")]
    Malformed {
        /// What it is.
        what: String,
    },
    /// A limit is exceeded.
    #[error("{what} are larger than what is read")]
    TooMuch {
        /// What is too large.
        what: &'static str,
    },
    /// The `.git` of the directory leads elsewhere.
    #[error("`.git` is not followed: {reason}")]
    NotFollowed {
        /// Why not.
        reason: &'static str,
    },
}

/// What is known of a directory, given by its path without links; none when it is no checkout of a commit.
pub(crate) fn of_directory(root: &Path, files: &Files<'_>) -> Result<Option<Known>, CheckoutError> {
    match place::Place::find(root)? {
        Some(place) => state::known(root, &place, files),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests;
