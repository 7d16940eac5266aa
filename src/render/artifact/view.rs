//! Shows a build the files that it sees: all of a tree for kustomize alone, those in the artifact for kustomize-controller.

use std::sync::Arc;

use super::Artifact;
use crate::render::tree::{File, KUSTOMIZATIONS, Tree, join};

/// The part of a tree that a build sees.
#[derive(Debug, Clone)]
pub struct View<'t, 'a> {
    tree: &'t Tree<'a>,
    /// `None` where all of the tree is seen.
    artifact: Option<Arc<Artifact<'a>>>,
}

// === impl View ===

impl<'t, 'a> View<'t, 'a> {
    /// All of a tree.
    pub fn whole(tree: &'t Tree<'a>) -> Self {
        Self { tree, artifact: None }
    }

    /// The files of a tree that are in an artifact.
    pub fn of(tree: &'t Tree<'a>, artifact: Artifact<'a>) -> Self {
        let is_whole = artifact.is_whole(tree);
        Self { tree, artifact: (!is_whole).then(|| Arc::new(artifact)) }
    }

    /// Whether all of the tree is seen.
    pub fn is_whole(&self) -> bool {
        self.artifact.is_none()
    }

    /// Whether it is not known which files are seen, since there are too many patterns to be tried.
    pub fn has_too_many_patterns(&self) -> bool {
        self.artifact.as_ref().is_some_and(|artifact| artifact.has_too_many_patterns)
    }

    /// The tree.
    pub fn tree(&self) -> &'t Tree<'a> {
        self.tree
    }

    /// The file at a path.
    pub fn file(&self, path: &str) -> Option<&'t File<'a>> {
        self.tree.file(path).filter(|file| self.has(file))
    }

    /// The kustomization file of a folder.
    pub fn kustomization(&self, folder: &str) -> Option<&'t File<'a>> {
        let first = self.tree.kustomization(folder)?;
        if self.has(first) {
            return Some(first);
        }
        let files = KUSTOMIZATIONS.iter().filter_map(|name| self.file(&join(folder, name)?));
        files.into_iter().next()
    }

    /// Whether there is a file below a folder.
    pub fn is_folder(&self, folder: &str) -> bool {
        self.tree.below(folder).any(|file| self.has(file))
    }

    /// Whether a folder is there, with or without files.
    pub(in crate::render) fn holds_folder(&self, folder: &str) -> bool {
        let Some(artifact) = &self.artifact else { return true };
        self.is_folder(folder) || !artifact.lacks_path(self.tree, folder, true)
    }

    /// The files below a folder that kustomize-controller finds when it lists them.
    pub(in crate::render) fn listed_below(&self, folder: &str) -> impl Iterator<Item = &'t File<'a>> {
        let is_listed = |file: &&File<'a>| self.artifact.as_ref().is_none_or(|it| !it.may_lack(file));
        self.tree.below(folder).filter(is_listed)
    }

    /// Whether a file is there, read or not.
    pub fn exists(&self, path: &str) -> bool {
        self.tree.exists(path) && self.has_path(path)
    }

    /// What is in a file, if all of it was kept.
    pub fn content(&self, path: &str) -> Option<&'a str> {
        self.tree.content(path).filter(|_| self.has_path(path))
    }

    /// Whether a file is below the top of the artifact, and certainly not in it.
    pub(in crate::render) fn leaves_out(&self, file: &File<'a>) -> bool {
        !self.has(file)
    }

    /// Why a path is not there, as a sentence about the text that names it.
    pub fn absence(&self, named: &str, path: &str) -> String {
        match (self.reason(path), self.tree.unreadable(path)) {
            (Some(reason), _) => format!("{named} is not in the artifact: {reason}"),
            (None, Some(why)) => format!("{named} {why}"),
            (None, None) => format!("{named} is not there"),
        }
    }

    /// Why the artifact lacks a file, or a folder with its kustomization file.
    pub(in crate::render) fn reason(&self, path: &str) -> Option<String> {
        let artifact = self.artifact.as_ref()?;
        if self.tree.exists(path) {
            return artifact.reason(self.tree, path, false);
        }
        let folder = artifact.reason(self.tree, path, true);
        folder.or_else(|| artifact.reason(self.tree, self.tree.kustomization(path)?.path, false))
    }

    fn has(&self, file: &File<'a>) -> bool {
        self.artifact.as_ref().is_none_or(|artifact| !artifact.lacks(file))
    }

    fn has_path(&self, path: &str) -> bool {
        let Some(artifact) = &self.artifact else { return true };
        match self.tree.file(path) {
            Some(file) => !artifact.lacks(file),
            None => !artifact.lacks_path(self.tree, path, false),
        }
    }
}
