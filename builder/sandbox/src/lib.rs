//! Runs build commands in a sandbox made of Linux namespaces, seccomp and Landlock.
//!
//! The only crate in which `unsafe` is allowed.
