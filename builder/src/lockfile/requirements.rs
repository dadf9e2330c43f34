//! Requirements files, as pip reads them: what holds each package that they name.

use super::{ComesFrom, Held, Package, leads_out};
use crate::detect::requirements::{is_project, logical_lines};

/// Options that name a place to take packages from.
const PLACES: [&str; 6] = ["--index-url", "-i", "--extra-index-url", "--find-links", "-f", "--editable"];

/// The packages of one file; what it includes are files of their own. An index that it names is listed under its option.
pub(super) fn packages(text: &str) -> Vec<Package> {
    logical_lines(text).into_iter().filter_map(|(line, text)| package(line, text.trim())).collect()
}

fn package(line: usize, text: &str) -> Option<Package> {
    let of = |name: &str, from, held| Package { name: name.to_owned(), line, from, held, alias_of: None };
    if is_project(text) {
        return Some(of(".", ComesFrom::Source, Held::ByNothing));
    }
    let editable = text.strip_prefix("--editable").or_else(|| text.strip_prefix("-e"));
    if let Some(place) = editable {
        let place = place.trim_start_matches(['=', ' ', '\t']);
        return Some(of(name_in(place), address(place), Held::ByNothing));
    }
    if let Some(option) = PLACES.iter().find(|option| text.starts_with(**option)) {
        let place = text[option.len()..].trim_start_matches(['=', ' ', '\t']);
        // It is a place and no package: nothing of it could be held.
        return Some(of(option, index(place), Held::Firmly));
    }
    if text.starts_with('-') {
        return None;
    }
    let (requirement, options) = text.split_once(" -").unwrap_or((text, ""));
    let requirement = requirement.trim();
    let held = hashes(options).map(Held::by_named).min().unwrap_or(Held::ByNothing);
    let place = requirement.split_once('@').filter(|(name, _)| !name.contains([':', '/']));
    match place {
        Some((name, place)) => {
            let place = place.split(" ;").next().unwrap_or(place).trim();
            Some(of(name.trim(), address(place), held.max(by_fragment(place))))
        }
        None if requirement.contains("://") || requirement.contains('/') || is_archive(requirement) => {
            Some(of(name_in(requirement), address(requirement), held.max(by_fragment(requirement))))
        }
        None => Some(of(name_in(requirement), ComesFrom::Registry, held)),
    }
}

/// The hashes among the options of a requirement; any of them will do for pip.
fn hashes(options: &str) -> impl Iterator<Item = &str> {
    let mut words = options.split_ascii_whitespace();
    std::iter::from_fn(move || {
        loop {
            let value = words.next()?.trim_start_matches('-').strip_prefix("hash");
            match value {
                Some("") => return words.next(),
                Some(value) => return Some(value.trim_start_matches('=')),
                None => {}
            }
        }
    })
}

/// The hash at the end of an address: `#sha256=…`.
fn by_fragment(address: &str) -> Held {
    let fragment = address.split_once('#').map(|(_, fragment)| fragment).unwrap_or_default();
    fragment.split('&').map(Held::by_named).max().unwrap_or(Held::ByNothing)
}

/// The name at the beginning of a requirement, or the whole where it is an address.
fn name_in(requirement: &str) -> &str {
    if requirement.contains('/') {
        let egg = requirement.split_once("#egg=").map(|(_, egg)| egg.split(['&', '[']).next().unwrap_or(egg));
        let plain = requirement.split(['?', '#', ' ']).next().unwrap_or(requirement);
        return egg.unwrap_or_else(|| plain.rsplit('/').next().unwrap_or(plain));
    }
    let ends = |c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
    requirement.split(ends).next().unwrap_or(requirement)
}

fn is_archive(requirement: &str) -> bool {
    [".whl", ".tar.gz", ".zip", ".tgz"].iter().any(|end| requirement.ends_with(end))
}

fn index(place: &str) -> ComesFrom {
    let place = place.trim_matches(['"', '\'']);
    if place.contains("://") { ComesFrom::Address(place.to_owned()) } else { address(place) }
}

fn address(place: &str) -> ComesFrom {
    let place = place.trim_matches(['"', '\'']);
    let path = place.strip_prefix("file:").unwrap_or(place);
    let is_path = !place.contains("://") && !place.starts_with("git@");
    if is_path && !leads_out(path, 0) { ComesFrom::Source } else { ComesFrom::Address(place.to_owned()) }
}
