//! The files of a check, by their numbers.

use crate::preflight::collect::Collected;
use crate::render::Tree;
use crate::report::Excerpts;

/// The files that were read, numbered as in their tree, and behind them those that could not be read.
#[derive(Debug)]
pub struct Files<'a> {
    all: Vec<(&'a str, &'a str)>,
}

impl<'a> Files<'a> {
    /// The files of what was collected.
    pub(super) fn of(collected: &'a Collected) -> Self {
        let read = collected.sources.iter().map(|source| (&*source.path, &*source.text));
        let unreadable = collected.unreadable.iter().map(|file| (&*file.path, ""));
        Self { all: read.chain(unreadable).collect() }
    }

    /// The tree in which the same files have the same numbers.
    pub(super) fn tree(collected: &'a Collected) -> Tree<'a> {
        let mut tree = Tree::of_what_decides();
        for source in &collected.sources {
            tree.add(&source.key, &source.text);
        }
        tree
    }
}

impl Excerpts for Files<'_> {
    fn path(&self, file: u32) -> &str {
        self.all.get(file as usize).map_or("", |(path, _)| path)
    }

    fn text(&self, file: u32) -> &str {
        self.all.get(file as usize).map_or("", |(_, text)| text)
    }
}
