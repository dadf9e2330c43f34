//! The references of a remote.

use std::collections::BTreeMap;

use super::object::ObjectId;

/// The branches and tags of a remote, and what its `HEAD` is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refs {
    /// The commit of `HEAD`.
    pub head: Option<ObjectId>,
    /// The branch that `HEAD` names, as `refs/heads/…`.
    pub head_name: Option<String>,
    /// Commits by the full names of branches and tags; an annotated tag stands for what it names.
    pub names: BTreeMap<String, ObjectId>,
}

impl Refs {
    /// Reads what `git ls-remote --symref` writes.
    pub(super) fn parse(text: &str) -> Self {
        let mut refs = Self::default();
        for line in text.lines() {
            let Some((value, name)) = line.split_once('\t') else { continue };
            if let Some(target) = value.strip_prefix("ref: ") {
                if name == "HEAD" {
                    refs.head_name = Some(target.to_owned());
                }
                continue;
            }
            let Ok(id) = value.parse::<ObjectId>() else { continue };
            match name.strip_suffix("^{}") {
                _ if name == "HEAD" => refs.head = Some(id),
                // It comes after the tag itself, and takes its place.
                Some(name) => drop(refs.names.insert(name.to_owned(), id)),
                None => drop(refs.names.insert(name.to_owned(), id)),
            }
        }
        refs
    }

    /// The commit of a branch, by its short name.
    #[must_use]
    pub fn branch(&self, name: &str) -> Option<&ObjectId> {
        self.names.get(&format!("refs/heads/{name}"))
    }

    /// The commit of a tag, by its short name.
    #[must_use]
    pub fn tag(&self, name: &str) -> Option<&ObjectId> {
        self.names.get(&format!("refs/tags/{name}"))
    }

    /// The full names of what a short or full name may mean.
    pub(super) fn meanings(&self, name: &str) -> Vec<&str> {
        let full = [name.to_owned(), format!("refs/heads/{name}"), format!("refs/tags/{name}")];
        let found = full.iter().filter_map(|name| self.names.get_key_value(name));
        found.map(|(name, _)| name.as_str()).collect()
    }

    /// Commits that references name and whose names begin with some digits, each once.
    pub(super) fn beginning_with(&self, digits: &str) -> Vec<&ObjectId> {
        let digits = digits.to_ascii_lowercase();
        let mut found: Vec<&ObjectId> =
            self.names.values().filter(|id| id.as_str().starts_with(&digits)).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Short names that look like one that is not there, the nearest first.
    #[must_use]
    pub fn near(&self, wanted: &str) -> Vec<String> {
        const SHOWN: usize = 5;
        let wanted = short(wanted);
        let mut found: Vec<(usize, &str)> =
            self.names.keys().map(|name| (distance(wanted, short(name)), short(name))).collect();
        found.sort_unstable();
        found.dedup();
        found.iter().take(SHOWN).map(|(_, name)| format!("`{name}`")).collect()
    }
}

fn short(name: &str) -> &str {
    ["refs/heads/", "refs/tags/", "refs/remotes/"]
        .iter()
        .find_map(|kind| name.strip_prefix(kind))
        .unwrap_or(name)
}

/// How many characters have to be changed; what is part of the other counts as near.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    if !a.is_empty() && !b.is_empty() && (a.contains(&b) || b.contains(&a)) {
        return 0;
    }
    let b: Vec<char> = b.chars().take(100).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(100).enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = before + usize::from(x != *y);
            before = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(before + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: char) -> String {
        digit.to_string().repeat(40)
    }

    fn refs() -> Refs {
        let lines = [
            format!("ref: refs/heads/main\tHEAD\n{}\tHEAD", id('a')),
            format!("{}\trefs/heads/main\n{}\trefs/heads/feature/x", id('a'), id('b')),
            format!("{}\trefs/tags/v1\n{}\trefs/tags/v1^{{}}", id('c'), id('d')),
            format!("{}\trefs/tags/main\nnonsense", id('e')),
        ];
        Refs::parse(&lines.join("\n"))
    }

    #[test]
    fn branches_and_tags_are_read_and_annotated_tags_stand_for_their_commits() {
        let refs = refs();
        assert_eq!(refs.head.as_ref().unwrap().as_str(), id('a'));
        assert_eq!(refs.head_name.as_deref(), Some("refs/heads/main"));
        assert_eq!(refs.branch("feature/x").unwrap().as_str(), id('b'));
        assert_eq!(refs.tag("v1").unwrap().as_str(), id('d'));
        assert_eq!(refs.tag("feature/x"), None);
    }

    #[test]
    fn a_name_may_mean_a_branch_and_a_tag() {
        assert_eq!(refs().meanings("main"), ["refs/heads/main", "refs/tags/main"]);
        assert_eq!(refs().meanings("refs/tags/main"), ["refs/tags/main"]);
        assert!(refs().meanings("other").is_empty());
    }

    #[test]
    fn commits_are_found_by_their_first_digits() {
        assert_eq!(refs().beginning_with("AAAA").len(), 1);
        assert!(refs().beginning_with("ab").is_empty());
    }

    #[test]
    fn the_nearest_names_come_first() {
        assert_eq!(refs().near("mian")[0], "`main`");
        assert_eq!(refs().near("x")[0], "`feature/x`");
        assert!(Refs::default().near("x").is_empty());
    }
}
