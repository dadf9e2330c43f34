//! End to end, through the binary: what only arguments, messages, exit codes, processes and bytes at a registry
//! can show. `tests/run` installs what these tests need and runs them.

#[cfg(test)]
mod app_file;
#[cfg(test)]
mod apps;
#[cfg(test)]
mod archives;
#[cfg(test)]
mod audit_page;
#[cfg(test)]
mod audited;
#[cfg(test)]
mod build_secrets;
#[cfg(test)]
mod cached;
#[cfg(test)]
mod catalog_imported;
#[cfg(test)]
mod catalog_published;
#[cfg(test)]
mod catalog_trusted;
#[cfg(test)]
mod catalog_updated;
#[cfg(test)]
mod changed;
#[cfg(test)]
mod checklist;
#[cfg(test)]
mod crashes;
#[cfg(test)]
mod crowded;
#[cfg(test)]
mod detected;
#[cfg(test)]
mod endurance;
#[cfg(test)]
mod exhausted;
#[cfg(test)]
mod fleet;
#[cfg(test)]
mod git_logins;
#[cfg(test)]
mod git_sources;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod harness_checks;
#[cfg(test)]
mod hostile_output;
#[cfg(test)]
mod ignored;
#[cfg(test)]
mod interrupted;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod layers_twice;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod linted;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod mounted;
#[cfg(test)]
mod network;
#[cfg(test)]
mod overrides;
#[cfg(test)]
mod packages;
#[cfg(test)]
mod planted;
#[cfg(test)]
mod platforms;
#[cfg(test)]
mod provenance;
#[cfg(test)]
mod rebased;
#[cfg(test)]
mod refetched;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod registry_doctor;
#[cfg(test)]
mod registry_faults;
#[cfg(test)]
mod remote_archives;
#[cfg(test)]
mod reproducible;
#[cfg(test)]
mod reused;
#[cfg(test)]
mod rooms;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod served;
#[cfg(test)]
mod sources;
#[cfg(test)]
mod tenants;
#[cfg(test)]
mod unprivileged;
#[cfg(test)]
mod validated;
#[cfg(test)]
mod watched;
#[cfg(test)]
mod worker;
