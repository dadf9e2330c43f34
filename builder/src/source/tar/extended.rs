//! The extended headers that wait for their entry.

use super::super::rule::Rule;
use super::pax::Records;

/// What was said about the next entry.
#[derive(Debug, Default)]
pub(super) struct Extended {
    pax: Option<Records>,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl Extended {
    pub(super) fn is_empty(&self) -> bool {
        self.pax.is_none() && self.name.is_none() && self.link.is_none()
    }

    /// Takes PAX records. With anything before them, readers differ in which of the two wins.
    pub(super) fn set_pax(&mut self, records: Records) -> Result<(), Rule> {
        if !self.is_empty() {
            return Err(Rule::Stacked);
        }
        self.pax = Some(records);
        Ok(())
    }

    pub(super) fn set_gnu_name(&mut self, data: Vec<u8>) -> Result<(), Rule> {
        if self.pax.is_some() || self.name.is_some() {
            return Err(Rule::Stacked);
        }
        self.name = Some(gnu_text(data)?);
        Ok(())
    }

    pub(super) fn set_gnu_link(&mut self, data: Vec<u8>) -> Result<(), Rule> {
        if self.pax.is_some() || self.link.is_some() {
            return Err(Rule::Stacked);
        }
        self.link = Some(gnu_text(data)?);
        Ok(())
    }

    /// The one set of records for the entry that follows.
    pub(super) fn take(&mut self) -> Records {
        let Self { pax, name, link } = std::mem::take(self);
        pax.unwrap_or(Records { path: name, link, ..Records::default() })
    }
}

/// A name ended by a NUL at most.
fn gnu_text(mut data: Vec<u8>) -> Result<Vec<u8>, Rule> {
    if data.last() == Some(&0) {
        data.pop();
    }
    if data.is_empty() || data.contains(&0) { Err(Rule::Nul) } else { Ok(data) }
}
