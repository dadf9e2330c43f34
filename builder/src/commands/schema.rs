//! `lapstrake schema`: the JSON Schema of the app file, for editors.

use crate::failure::{Exit, Failure};
use crate::report::print_result;
use crate::schema::schema;

/// Runs the command.
pub fn run() -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(&schema())
        .map_err(|cause| Failure::because(Exit::Ours, "could not print the schema", cause))?;
    print_result(&format!("{json}\n"))
}
