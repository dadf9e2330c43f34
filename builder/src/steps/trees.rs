//! What the commands of each phase run on, and in which order.

use std::path::PathBuf;

use lapstrake_sandbox::Root;

use super::{Phase, Workshop};
use crate::cli::Keep;

/// What commands run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tree {
    /// The layers of the build image and the source.
    Build,
    /// What those commands left, on a view that is thrown away.
    Scrap,
    /// What becomes the image.
    Image,
}

impl Workshop<'_> {
    /// The phases that share a sandbox, and what they run on. Where secrets differ they do not: what is left running of
    /// one phase would see the secrets of the next.
    pub(super) fn groups(&self) -> Vec<(Tree, Vec<Phase>)> {
        use Phase::{Build, PostBuild, PreBuild, PreRun};
        let together = |tree, first, second| {
            if self.secrets.are_the_same(first, second) {
                vec![(tree, vec![first, second])]
            } else {
                vec![(tree, vec![first]), (tree, vec![second])]
            }
        };
        let on_the_image = if self.flow.repeat_build {
            together(Tree::Image, Build, PreRun)
        } else {
            vec![(Tree::Image, vec![PreRun])]
        };
        [together(Tree::Build, PreBuild, Build), vec![(Tree::Scrap, vec![PostBuild])], on_the_image].concat()
    }

    /// The directory with what the image has of the changes outside `/app`, as an overlay records it.
    #[must_use]
    pub fn changes(&self) -> PathBuf {
        self.root(Tree::Image).upper()
    }

    pub(super) fn root(&self, tree: Tree) -> Root {
        let root = |name: &str| Root { lower: self.layers.clone(), scratch: self.scratch.join(name) };
        match (tree, self.flow.keep) {
            (Tree::Build, _) | (Tree::Image, Keep::All) => root("root"),
            // What the build changed outside of `/app` is not there.
            (Tree::Image, Keep::App) => root("image"),
            (Tree::Scrap, _) => {
                let below = self.root(Tree::Build).upper();
                let lower = below.is_dir().then_some(below).into_iter().chain(self.layers.clone()).collect();
                Root { lower, ..root("post-build/root") }
            }
        }
    }
}
