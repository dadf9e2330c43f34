//! The commands: each reads like the flow it carries out.

pub mod build;
pub mod catalog;
pub mod changed;
mod git_source;
pub mod lint;
pub mod plan;
pub mod push;
pub mod run;
pub mod schema;
pub mod watch;
