//! End to end, through the binary: what only arguments, messages, exit codes, processes and bytes at a registry
//! can show. `tests/run` installs what these tests need and runs them.

#[cfg(test)]
mod harness;
#[cfg(test)]
mod harness_checks;
#[cfg(test)]
mod rooms;
