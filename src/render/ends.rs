//! What clusters are given in the end.
//!
//! Bases, components and patches are unfinished on purpose; to judge them would be to cry wolf. What counts is what the path of a Flux
//! Kustomization prints, else what a kustomization prints that nothing else builds on, else a file that nobody names, as it stands.

mod artifacts;
mod graph;
mod index;
mod instance;
mod objects;
mod roots;
#[cfg(test)]
mod tests;
mod tops;
mod ways;

use std::sync::Arc;

use rayon::prelude::*;

use super::{File, Note, Tree};
use crate::yaml::{Node, Span};
use artifacts::Artifacts;
use graph::Graph;
use index::Index;
use roots::Roots;
use tops::Tops;

pub use objects::{Kind, Object};
pub(crate) use objects::{expand, group_of};

/// What the files of a tree come to.
#[derive(Debug, Default)]
pub struct Rendered<'a> {
    /// What prints objects and is built upon by nothing else. First those of Flux, from the top of each cluster down, then the
    /// kustomizations, then the files, each by path.
    pub ends: Vec<End<'a>>,
    /// What each file is used for, by its number.
    pub uses: Vec<Use>,
}

/// Something that prints objects for a cluster.
#[derive(Debug)]
pub struct End<'a> {
    /// What it is.
    pub kind: EndKind,
    /// The folder that is built, or the file; in the tree.
    pub path: String,
    /// The ways that lead to it, each from the top down to the end itself, which is its last step. Never empty.
    pub ways: Vec<Way>,
    /// The display name of the Flux Kustomization that applies it with `spec.force`.
    pub forced_by: Option<String>,
    /// The HelmReleases and sources that it prints, in the order in which it prints them.
    pub objects: Vec<Object<'a>>,
    /// The `ConfigMap` objects that it prints and that a release of it reads single values from: with a `targetPath`.
    pub config_maps: Vec<Node<'a>>,
    /// What was left out of it, or read in another way than its author may think.
    pub notes: Vec<Note>,
}

/// What an end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndKind {
    /// A Flux Kustomization: kustomize-controller builds its path.
    Kustomization,
    /// A `ResourceSet` of the Flux Operator, with objects inside.
    ResourceSet,
    /// A folder with a kustomization file that nothing names.
    Folder,
    /// A file that nothing names: nothing here says that it ever reaches a cluster.
    File,
}

/// One way to an end. Ways that begin with the same step lead through the same cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// From the top of the cluster down. Never empty.
    pub steps: Vec<Step>,
}

/// What leads on to the next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it is, as a person would call it: `Kustomization flux-system/apps`, or the path of a kustomization file.
    pub name: Arc<str>,
    /// Where it stands: the name of the object, or the start of the file.
    pub at: Span,
}

/// What a file is used for. Of several uses the first of this list counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Use {
    /// An end prints what is in it.
    Resource,
    /// It is a kustomization file, or another that only steers how objects are built.
    Kustomization,
    /// A patch, or another file whose content goes into objects: it is no object by itself.
    Fragment,
    /// Something names it as a resource, but no end does: it waits to be built upon.
    Dormant,
    /// Nothing names it.
    Unreached,
}

// === impl Rendered ===

impl Rendered<'_> {
    /// Whether there are Flux Kustomizations.
    pub fn has_flux(&self) -> bool {
        self.ends.iter().any(|end| end.kind == EndKind::Kustomization)
    }
}

/// Renders a tree.
///
/// `roots` are the folders in it that are the top of a repository each, such as those with a `.git`; the empty text is the tree itself. They
/// decide what the path of a Flux Kustomization is relative to; where none of them fits, it is the nearest folder above the Kustomization
/// in which the path exists.
///
/// The answer depends on the arguments alone, in content and order.
pub fn all<'a>(tree: &Tree<'a>, roots: &[String]) -> Rendered<'a> {
    let (index, raw) = Index::of(tree);
    let roots = Roots::of(&index, &raw, roots);
    let artifacts = Artifacts::of(tree);
    let tops = Tops::of(&index, &roots, &artifacts, raw);
    let mut graph = Graph::of(&index, &roots, &artifacts);
    graph.follow(tops.raw);
    follow_unreached(&mut graph, &tops.leading);
    // Kustomizations that lead to each other, and to which nothing else leads: the first one stands for all.
    for (file, what) in tops.circular {
        if !graph.reached.resources[file as usize] {
            graph.follow([what]);
        }
    }
    follow_unreached(&mut graph, &tops.folders);
    let uses = graph.reached.uses(&index);
    let origins = graph.instances.iter().filter_map(|instance| instance.origin(&roots)).collect();
    let mut ends = graph.ends();
    let unreached = tree.files().par_iter().filter(|file| uses[file.id as usize] == Use::Unreached);
    let left_out = artifacts.left_out(&origins);
    let files = unreached.filter(|file| !left_out[file.id as usize]);
    let mut files: Vec<_> = files.filter_map(file_end).collect();
    files.sort_by(|one, other| one.path.cmp(&other.path));
    ends.extend(files);
    Rendered { ends, uses }
}

/// Renders those of some kustomizations that nothing took part in yet.
fn follow_unreached(graph: &mut Graph<'_, '_, '_>, numbers: &[u32]) {
    let unreached = numbers.iter().filter(|number| !graph.reached.kustomizations[**number as usize]);
    let folders: Vec<_> = unreached.map(|number| graph.index.folder(*number)).collect();
    graph.follow(folders);
}

/// A file as it stands, if it holds what is judged.
fn file_end<'a>(file: &File<'a>) -> Option<End<'a>> {
    if !file.stands_alone() || !objects::mentions(file.text) {
        return None;
    }
    let documents = file.documents().iter().filter_map(|document| document.as_ref().ok());
    let objects: Vec<_> = documents.flat_map(expand).filter_map(Object::of).collect();
    let at = Span::new(file.id, 0, 0);
    let steps = vec![Step { name: file.path.into(), at }];
    (!objects.is_empty()).then(|| End {
        kind: EndKind::File,
        path: file.path.to_owned(),
        ways: vec![Way { steps }],
        forced_by: None,
        objects,
        config_maps: Vec::new(),
        notes: Vec::new(),
    })
}
