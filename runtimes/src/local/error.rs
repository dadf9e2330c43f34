//! Why a runtime cannot be made.

use std::path::PathBuf;

use lapstrake_catalog::ImageKind;
use lapstrake_oci::document::DocumentError;
use lapstrake_oci::layer::{PackError, ReadError, UnpackError};
use lapstrake_oci::layout::LayoutError;

use crate::arch::{Arch, PlatformError};
use crate::fetch::FetchError;
use crate::layer::AssembleError;
use crate::mirrors::MirrorsError;
use crate::mirrors::defaults::DefaultsError;
use crate::pyc::PycError;
use crate::store::StoreError;
use crate::update::UpdateError;

/// Why a runtime cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The catalog has no such entry.
    #[error("the local catalog has no entry `{id}`")]
    UnknownEntry {
        /// The entry.
        id: String,
    },
    /// The entry is not for this platform.
    #[error("entry `{id}` is not for {platform}, but for {platforms}")]
    UnknownPlatform {
        /// The entry.
        id: String,
        /// The platform.
        platform: String,
        /// Those that it is for.
        platforms: String,
    },
    /// The entry has no such image.
    #[error("entry `{id}` has no image `{kind}`")]
    UnknownKind {
        /// The entry.
        id: String,
        /// The kind.
        kind: ImageKind,
    },
    /// The entry's locks belong to another version of this program.
    #[error(
        "entry `{id}` is made of an earlier state of the lock `{lock}`, which this program does not have"
    )]
    NoLock {
        /// The entry.
        id: String,
        /// The lock.
        lock: String,
    },
    /// The recipe of a layer is gone.
    #[error("no recipe has the layer `{lock}`")]
    NoRecipe {
        /// The name of its lock.
        lock: String,
    },
    /// The layer must be compiled by an interpreter that this machine cannot have.
    #[error(
        "entry `{id}` has no Python for {arch}, this machine's architecture, to compile its library with"
    )]
    NoInterpreter {
        /// The entry.
        id: String,
        /// This machine's architecture.
        arch: Arch,
    },
    /// A platform is none that runtimes are made for.
    #[error(transparent)]
    Platform(#[from] PlatformError),
    /// An artifact cannot be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It is not known where packages come from.
    #[error(transparent)]
    Mirrors(#[from] MirrorsError),
    /// The default index or registry cannot be found out.
    #[error(transparent)]
    Defaults(#[from] DefaultsError),
    /// The artifact store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The layers cannot be locked anew.
    #[error("a locked file is gone, and the layers could not be locked anew")]
    Renew(#[source] Box<UpdateError>),
    /// Artifacts do not make a layer.
    #[error("could not assemble the layer `{layer}`")]
    Assemble {
        /// The name of its lock.
        layer: String,
        /// Why.
        #[source]
        source: Box<AssembleError>,
    },
    /// The library of Python cannot be compiled.
    #[error("could not compile the layer `{layer}`")]
    Compile {
        /// The name of its lock.
        layer: String,
        /// Why.
        #[source]
        source: Box<PycError>,
    },
    /// A layer cannot be packed.
    #[error("could not pack the layer `{layer}`")]
    Pack {
        /// The name of its lock.
        layer: String,
        /// Why.
        #[source]
        source: Box<PackError>,
    },
    /// A layer cannot be read back.
    #[error("could not read the layer `{layer}`")]
    Read {
        /// The name of its lock.
        layer: String,
        /// Why.
        #[source]
        source: Box<ReadError>,
    },
    /// A layer cannot be unpacked for the interpreter.
    #[error("could not unpack the layer `{layer}`")]
    Unpack {
        /// The name of its lock.
        layer: String,
        /// Why.
        #[source]
        source: Box<UnpackError>,
    },
    /// The layout cannot be used.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A document of the layout is not what it should be.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The recipes and entries do not make a catalog.
    #[error("the program's recipes and entries do not make a catalog: {reason}")]
    Describe {
        /// What is wrong.
        reason: String,
    },
    /// A file of the data directory cannot be used.
    #[error("could not use `{path}`")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file of the data directory is not understood.
    #[error("`{path}` is not understood")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
}
