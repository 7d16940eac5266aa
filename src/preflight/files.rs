//! The files of a check, by their numbers.

use crate::preflight::collect::Collected;
use crate::render::Tree;
use crate::report::Excerpts;

/// The files that were read, numbered as in their tree, and behind them those that could not be read.
#[derive(Debug)]
pub struct Files<'a>(&'a Collected);

impl<'a> Files<'a> {
    /// The files of what was collected.
    pub(super) fn of(collected: &'a Collected) -> Self {
        Self(collected)
    }

    /// The tree in which the same files have the same numbers.
    pub(super) fn tree(collected: &'a Collected) -> Tree<'a> {
        let mut tree = Tree::of_what_decides();
        tree.extend(collected.sources.iter().map(|source| (source.key(), &*source.text)));
        tree
    }
}

impl Excerpts for Files<'_> {
    fn path(&self, file: u32) -> &str {
        let Collected { sources, unreadable, .. } = self.0;
        let behind = || unreadable.get((file as usize).checked_sub(sources.len())?).map(|file| &*file.path);
        sources.get(file as usize).map(|source| &*source.path).or_else(behind).unwrap_or_default()
    }

    fn text(&self, file: u32) -> &str {
        self.0.sources.get(file as usize).map_or("", |source| &source.text)
    }
}
