//! The files of a check, by their numbers.

use std::collections::BTreeMap;

use crate::preflight::collect::{Collected, Named};
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

    /// What was collected.
    pub(super) fn collected(&self) -> &'a Collected {
        self.0
    }

    /// The tree in which the same files have the same numbers, without what kustomizations name besides.
    pub(super) fn tree(collected: &'a Collected) -> Tree<'a> {
        let mut tree = Tree::of_what_decides();
        tree.extend(collected.sources.iter().map(|source| (source.key(), &*source.text, source.counts)));
        place(&mut tree, collected);
        tree
    }

    /// Adds what kustomizations name besides.
    pub(super) fn complete(tree: &mut Tree<'a>, named: &'a Named) {
        tree.extend(named.sources.iter().map(|source| (source.key(), &*source.text, source.counts)));
        named.present.iter().for_each(|(path, text)| tree.add_other(path, text.as_deref()));
        named.links.iter().for_each(|path| tree.add_link(path));
        named.unreadable.iter().for_each(|file| tree.add_unreadable(file.key(), file.why.to_string()));
    }

    /// The whole tree with other texts in some files, of which all is read.
    pub(super) fn tree_with(collected: &'a Collected, texts: &BTreeMap<u32, &'a str>) -> Tree<'a> {
        let mut tree = Tree::default();
        let mut number = 0;
        tree.extend(collected.files().map(|source| {
            let text = texts.get(&number).copied().unwrap_or(&source.text);
            number += 1;
            (source.key(), text, source.counts)
        }));
        place(&mut tree, collected);
        if let Some(named) = collected.named.get() {
            named.present.iter().for_each(|(path, text)| tree.add_other(path, text.as_deref()));
            named.links.iter().for_each(|path| tree.add_link(path));
            named.unreadable.iter().for_each(|file| tree.add_unreadable(file.key(), file.why.to_string()));
        }
        tree
    }
}

/// Tells a tree all that was collected besides files.
fn place<'a>(tree: &mut Tree<'a>, collected: &'a Collected) {
    collected.folders.iter().for_each(|folder| tree.add_folder(folder));
    collected.links.iter().for_each(|path| tree.add_link(path));
    collected.unreadable.iter().for_each(|file| tree.add_unreadable(file.key(), file.why.to_string()));
    collected.unreadable_hidden.iter().for_each(|file| tree.add_unreadable(file.key(), file.why.to_string()));
    collected.ignore_files.iter().for_each(|(folder, text)| tree.add_ignore_file(folder, text));
    tree.place_in_repository(&collected.above);
}

impl Excerpts for Files<'_> {
    fn path(&self, file: u32) -> &str {
        let file = file as usize;
        let count = self.0.files().len();
        match file.checked_sub(count) {
            None => self.0.file(file).map_or("", |source| &*source.path),
            Some(behind) => self.0.unread().nth(behind).map_or("", |file| &*file.path),
        }
    }

    fn text(&self, file: u32) -> &str {
        self.0.file(file as usize).map_or("", |source| &*source.text)
    }
}
