//! The catalog as text: the table of `catalog list` and the sheet of `catalog show`.

use std::fmt::Write as _;

use lapstrake_catalog::{Catalog, Date, Entry, Status, UpstreamSource};

use crate::report::printable;

/// Which entries `catalog list` shows.
pub struct Selection<'a> {
    /// Only this runtime, by its name or one of its aliases.
    pub runtime: Option<&'a str>,
    /// Also entries that have been replaced.
    pub all: bool,
}

/// The entries that are selected, newest first within each runtime.
#[must_use]
pub fn select<'a>(catalog: &'a Catalog, selection: &Selection<'_>) -> Vec<&'a Entry> {
    let replaced =
        |entry: &Entry| catalog.entries.iter().any(|other| other.replaces.as_ref() == Some(&entry.id));
    let mut entries: Vec<&Entry> = catalog
        .entries
        .iter()
        .filter(|entry| selection.runtime.is_none_or(|wanted| is_named(catalog, entry, wanted)))
        .filter(|entry| selection.all || !replaced(entry))
        .collect();
    entries.sort_by(|a, b| {
        a.runtime.cmp(&b.runtime).then(b.version.cmp(&a.version)).then(b.build.cmp(&a.build))
    });
    entries
}

fn is_named(catalog: &Catalog, entry: &Entry, wanted: &str) -> bool {
    let alias = catalog.runtimes.get(&entry.runtime).and_then(|runtime| runtime.aliases.get(wanted));
    entry.runtime == wanted
        || alias.is_some_and(|line| format!("{}.", entry.version).starts_with(&format!("{line}.")))
}

/// The table of `catalog list`.
#[must_use]
pub fn list(catalog: &Catalog, entries: &[&Entry], as_of: Date) -> String {
    let header =
        ["ENTRY", "STATUS", "SYSTEM", "RELEASED", "SUPPORT ENDS", "PLATFORMS", "LAYERS"].map(str::to_owned);
    let rows = entries.iter().map(|entry| {
        let ends = catalog.dates(entry).eol.map_or_else(|| "-".to_owned(), |date| date.to_string());
        let platforms: Vec<&str> =
            entry.platforms.keys().map(lapstrake_catalog::PlatformKey::as_str).collect();
        let layers = if entry.is_assembled() { "made" } else { "on demand" };
        [
            entry.id.to_string(),
            catalog.status_at(entry, as_of).to_string(),
            entry.os.clone(),
            entry.released.to_string(),
            ends,
            platforms.join(","),
            layers.to_owned(),
        ]
    });
    table(&std::iter::once(header).chain(rows).collect::<Vec<_>>())
}

/// Columns as wide as their widest cell; no space behind the last.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let widths: Vec<usize> =
        (0..N).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    text
}

/// The sheet of `catalog show`.
#[must_use]
pub fn show(catalog: &Catalog, entry: &Entry, as_of: Date) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<14}{}", printable(value));
    };
    let dates = catalog.dates(entry);
    line("entry", &entry.id.to_string());
    line("status", &status(catalog.status_at(entry, as_of), entry));
    line(
        "catalog",
        &format!("{}, revision {} (entry added in {})", catalog.name, catalog.revision, entry.added_in),
    );
    line("released", &entry.released.to_string());
    let vendor = entry.upstream.vendor_version.as_deref().unwrap_or_default();
    line("upstream", format!("{} {vendor}", entry.upstream.version).trim_end());
    for (name, date) in
        [("upstream ends", entry.upstream.eol), ("deprecated", dates.deprecated), ("support ends", dates.eol)]
    {
        if let Some(date) = date {
            line(name, &date.to_string());
        }
    }
    line("system", &system(catalog, entry));
    line("abi", &entry.abi);
    line("source", &origin(&entry.source));
    if let Some(replaces) = &entry.replaces {
        line("replaces", &replaces.to_string());
    }
    for (tool, version) in &entry.tools {
        line(tool, version);
    }
    for change in &entry.changes {
        let from = change.from.as_deref().unwrap_or("new");
        let to = change.to.as_deref().unwrap_or("gone");
        line("change", &format!("{} {from} -> {to}", change.package));
    }
    text.push_str(&images(entry));
    text
}

fn status(status: Status, entry: &Entry) -> String {
    match &entry.revoked {
        Some(revocation) => format!("{status} since {}: {}", revocation.date, revocation.reason),
        None => status.to_string(),
    }
}

fn system(catalog: &Catalog, entry: &Entry) -> String {
    match catalog.oses.get(&entry.os) {
        Some(os) => {
            let end = |date: Option<Date>| date.map_or_else(|| "open".to_owned(), |date| date.to_string());
            format!(
                "{} ({}), glibc {}, supported until {}, long-term {}",
                entry.os,
                os.suite,
                os.glibc,
                end(os.os_eol),
                end(os.os_lts)
            )
        }
        None => entry.os.clone(),
    }
}

fn origin(source: &UpstreamSource) -> String {
    match source {
        UpstreamSource::Deb { verified } => format!("Debian packages, checked by {verified}"),
        UpstreamSource::Imported { image, from: Some(from) } => format!("imported from {from}@{image}"),
        UpstreamSource::Imported { image, from: None } => format!("imported from a layout, {image}"),
        UpstreamSource::Npm { package, repackager, upstream_verified, .. } => {
            let checked = if *upstream_verified { "compared" } else { "not compared" };
            format!("npm package {package}, made by {repackager}; the makers' own checksums were {checked}")
        }
    }
}

fn images(entry: &Entry) -> String {
    let mut text = String::new();
    for (platform, record) in &entry.platforms {
        if record.images.is_empty() {
            let _ = writeln!(text, "\n{platform}: layers are made when a build needs them");
        }
        for (kind, image) in &record.images {
            let size: u64 = image.layers.iter().map(|layer| layer.size).sum();
            let _ = writeln!(text, "\n{platform} {kind}: {}", indicatif::HumanBytes(size));
            let rows: Vec<[String; 4]> = image
                .layers
                .iter()
                .map(|layer| {
                    let size = indicatif::HumanBytes(layer.size).to_string();
                    [
                        format!("  {}", layer.role),
                        size,
                        format!("{} files", layer.files),
                        layer.diff_id.to_string(),
                    ]
                })
                .collect();
            text.push_str(&table(&rows));
        }
    }
    text
}

/// A package of an entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The architecture of the layer that it is in.
    pub architecture: String,
    /// The layer.
    pub layer: String,
}

/// The table of packages.
#[must_use]
pub fn packages(packages: &[Package]) -> String {
    if packages.is_empty() {
        return String::new();
    }
    let rows: Vec<[String; 4]> = packages
        .iter()
        .cloned()
        .map(|package| [package.name, package.version, package.architecture, package.layer])
        .collect();
    format!("\n{}", table(&rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a".to_owned(), "bb".to_owned()], ["ccc".to_owned(), "d".to_owned()]];
        assert_eq!(table(&rows), "a    bb\nccc  d\n");
    }
}
