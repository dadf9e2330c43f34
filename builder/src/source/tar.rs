//! A strict reader of tar archives.
//!
//! It knows ustar and v7 headers, PAX `x` and `g`, GNU `L` and `K`, and the types file, directory and link. What two
//! tar readers could understand differently is refused, so that an archive has one meaning or none.

mod extended;
mod header;
mod number;
mod pax;
mod reader;

pub(super) use reader::{Member, MemberKind, Reader};
