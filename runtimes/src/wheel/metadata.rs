//! What the `.dist-info` directory of a wheel says.

use std::collections::BTreeSet;

use lapstrake_oci::tree::{FileTree, TreePath};

/// A command that runs a function: `name = module:attribute`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryPoint {
    /// The command's name.
    pub name: String,
    /// The module to import.
    pub module: String,
    /// What to call in it.
    pub attribute: String,
}

/// The one top-level `.dist-info` directory.
pub(super) fn dist_info(tree: &FileTree) -> Result<TreePath, String> {
    let tops: BTreeSet<&[u8]> = tree
        .iter()
        .filter_map(|(path, _)| path.components().next())
        .filter(|top| top.ends_with(b".dist-info"))
        .collect();
    let mut tops = tops.into_iter();
    match (tops.next(), tops.next()) {
        (Some(only), None) => TreePath::new(only).map_err(|cause| cause.to_string()),
        (None, _) => Err("it has no `.dist-info` directory".to_owned()),
        _ => Err("it has more than one `.dist-info` directory".to_owned()),
    }
}

pub(super) fn name_and_version(dist_info: &TreePath) -> Result<(String, String), String> {
    let stem = dist_info.to_string();
    let stem = stem.trim_end_matches(".dist-info");
    match stem.split_once('-') {
        Some((name, version)) if !name.is_empty() && !version.is_empty() => {
            Ok((name.to_owned(), version.to_owned()))
        }
        _ => Err(format!("`{dist_info}` is not `name-version.dist-info`")),
    }
}

/// The compressed tag set of the `Tag` lines of WHEEL: `py2.py3-none-any`.
pub(super) fn tag(wheel: &str) -> Result<String, String> {
    let mut parts: [Vec<&str>; 3] = Default::default();
    for line in wheel.lines() {
        let Some(tag) = line.strip_prefix("Tag:") else { continue };
        let fields: Vec<&str> = tag.trim().split('-').collect();
        if fields.len() != 3 {
            return Err(format!("`WHEEL` has the tag `{}`", tag.trim()));
        }
        for (part, field) in parts.iter_mut().zip(fields) {
            if !part.contains(&field) {
                part.push(field);
            }
        }
    }
    if parts[0].is_empty() {
        return Err("`WHEEL` has no tag".to_owned());
    }
    Ok(parts.map(|part| part.join(".")).join("-"))
}

/// The `[console_scripts]` of an `entry_points.txt`, sorted.
pub(super) fn console_scripts(text: &str) -> Result<Vec<EntryPoint>, String> {
    let mut section = "";
    let mut scripts = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.trim();
        } else if section == "console_scripts" {
            scripts.push(script(line).ok_or_else(|| format!("`entry_points.txt` has the line `{line}`"))?);
        }
    }
    scripts.sort();
    Ok(scripts)
}

fn script(line: &str) -> Option<EntryPoint> {
    let (name, object) = line.split_once('=')?;
    // `module:attribute [extra]`: extras are a thing of the past and mean nothing here.
    let object = object.split('[').next()?.trim();
    let (module, attribute) = object.split_once(':')?;
    let identifier =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "_.".contains(c));
    let name = name.trim();
    let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_.-".contains(c));
    (plain && !name.starts_with('.') && identifier(module.trim()) && identifier(attribute.trim())).then(
        || EntryPoint {
            name: name.to_owned(),
            module: module.trim().to_owned(),
            attribute: attribute.trim().to_owned(),
        },
    )
}
