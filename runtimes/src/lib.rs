//! From recipes and locks to runtime layers.
//!
//! A recipe (TOML, written by people) names packages; a lock (JSON, written by [`update`]) names the exact files;
//! [`fetch`] brings them from the mirrors that this machine is configured for; the layers that are made of them are
//! recorded in a local catalog ([`local`]).

#![forbid(unsafe_code)]

pub mod arch;
mod canonical;
pub mod changelog;
pub mod closure;
pub mod deb;
pub mod definitions;
pub mod entries;
pub mod evidence;
pub mod fetch;
pub mod layer;
pub mod local;
pub mod lock;
pub mod merge;
pub mod mirrors;
pub mod progress;
pub mod pyc;
pub mod recipe;
mod sbom;
pub mod store;
pub mod system_files;
pub mod tarball;
pub mod update;
pub mod wheel;
