//! Whether a symbolic link leads out of the source.

use lapstrake_oci::tree::{FileTree, Kind, TreePath};

use super::path::printable;
use super::rule::Rule;
use super::{SymlinkPolicy, Warning};

/// How many links the kernel follows before it gives up.
const FOLLOWED: usize = 40;

/// A link that leads out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Escape {
    pub(super) target: Vec<u8>,
}

/// Follows the links of a tree as the kernel would, in the tree alone.
pub(super) struct Outward<'a> {
    tree: &'a FileTree,
    /// Links that lead through one another can make few bytes take many steps.
    steps: u64,
}

impl<'a> Outward<'a> {
    pub(super) fn new(tree: &'a FileTree) -> Self {
        Self { tree, steps: 1_000_000 + 100 * tree.len() as u64 }
    }

    /// What the link at a path leads out to, if it does. A loop leads nowhere.
    pub(super) fn find(&mut self, link: &TreePath) -> Result<Option<Escape>, Rule> {
        let Some(Kind::Symlink(target)) = self.tree.get(link).map(|node| &node.kind) else {
            return Ok(None);
        };
        let mut followed = 0;
        let mut at: Vec<&[u8]> = link.parent().map_or(Vec::new(), |_| link.components().collect());
        at.pop();
        if target.starts_with(b"/") {
            return Ok(Some(Escape { target: target.clone() }));
        }
        let mut left: Vec<&[u8]> = target.split(|byte| *byte == b'/').rev().collect();
        while let Some(name) = left.pop() {
            self.steps = self.steps.checked_sub(1).ok_or(Rule::Tangled)?;
            match name {
                b".." if at.pop().is_none() => return Ok(Some(Escape { target: target.clone() })),
                b"" | b"." | b".." => {}
                name => {
                    at.push(name);
                    let Some(next) = self.link_at(&at) else { continue };
                    at.pop();
                    followed += 1;
                    if next.starts_with(b"/") {
                        return Ok(Some(Escape { target: target.clone() }));
                    }
                    if followed > FOLLOWED {
                        return Ok(None);
                    }
                    left.extend(next.split(|byte| *byte == b'/').rev());
                }
            }
        }
        Ok(None)
    }

    fn link_at(&self, at: &[&[u8]]) -> Option<&'a [u8]> {
        let path = TreePath::new(at.join(&b'/')).ok()?;
        match &self.tree.get(&path)?.kind {
            Kind::Symlink(target) => Some(target),
            _ => None,
        }
    }
}

/// Checks every link of a tree, and returns those that lead out and are kept; or the rule that is broken, with the link
/// if it is about one.
pub(super) fn check(
    tree: &FileTree,
    policy: SymlinkPolicy,
) -> Result<Vec<Warning>, (Option<TreePath>, Rule)> {
    let mut outward = Outward::new(tree);
    let mut kept = Vec::new();
    for (path, _) in tree.iter() {
        match (outward.find(path), policy) {
            (Ok(None), _) => {}
            (Ok(Some(Escape { target })), SymlinkPolicy::KeepDangling) => {
                kept.push(Warning::OutwardLink { path: path.clone(), target });
            }
            (Ok(Some(Escape { target })), SymlinkPolicy::Refuse) => {
                return Err((Some(path.clone()), Rule::OutwardLink { target: printable(&target) }));
            }
            (Err(rule), _) => return Err((None, rule)),
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use lapstrake_oci::tree::Node;

    use super::*;

    fn escapes(links: &[(&str, &str)], link: &str) -> bool {
        let mut tree = FileTree::new();
        tree.insert(TreePath::new("p/q/r/file").unwrap(), Node::file(vec![1], 0o644));
        for (path, target) in links {
            tree.insert(TreePath::new(path).unwrap(), Node::symlink(*target));
        }
        tree.fill_parents();
        Outward::new(&tree).find(&TreePath::new(link).unwrap()).unwrap().is_some()
    }

    #[test]
    fn a_link_out_is_found_by_its_own_target() {
        for target in ["/etc/passwd", "/", "..", "../x", "a/../../x", "p/../../x", "./.././x"] {
            assert!(escapes(&[("link", target)], "link"), "{target}");
        }
        for target in ["p", "p/q/../r", "missing", ".", "a/..", "p//q"] {
            assert!(!escapes(&[("link", target)], "link"), "{target}");
        }
        assert!(!escapes(&[("p/q/link", "../../p")], "p/q/link"));
        assert!(escapes(&[("p/q/link", "../../../p")], "p/q/link"));
    }

    #[test]
    fn a_link_out_is_found_through_other_links() {
        // `p/q/r/up` is the root, so what reads like `p/q/r/x` lies beside the root.
        assert!(escapes(&[("p/q/r/up", "../../.."), ("link", "p/q/r/up/../x")], "link"));
        assert!(!escapes(&[("p/q/r/up", "../../.."), ("link", "p/q/r/up/p")], "link"));
        assert!(escapes(&[("out", "/etc"), ("link", "out/passwd")], "link"));
        // Read by name alone this one would leave.
        assert!(!escapes(&[("d", "p/q/r"), ("link", "d/../../x")], "link"));
    }

    #[test]
    fn a_loop_leads_nowhere() {
        assert!(!escapes(&[("a", "b"), ("b", "a")], "a"));
        assert!(!escapes(&[("a", "a/x")], "a"));
    }

    #[test]
    fn tangled_links_are_given_up() {
        let mut tree = FileTree::new();
        let slashes = "./".repeat(2000);
        for number in 0..2000 {
            let target = format!("{slashes}{}", number + 1);
            tree.insert(TreePath::new(number.to_string()).unwrap(), Node::symlink(target));
        }
        let mut outward = Outward::new(&tree);
        let found: Result<Vec<_>, _> = tree.iter().map(|(path, _)| outward.find(path)).collect();
        assert_eq!(found.unwrap_err(), Rule::Tangled);
    }
}
