//! What `kustomize build --load-restrictor LoadRestrictionsNone` prints, as far as it decides about HelmReleases, their sources, Flux's own
//! Kustomizations and the `ConfigMaps` that they read.
//!
//! One [`Kustomize`] serves a whole tree, from any number of threads: a folder is built once, whoever asks.
//!
//! ```
//! use chartgate::render::Tree;
//! use chartgate::render::kustomize::Kustomize;
//!
//! let mut tree = Tree::default();
//! tree.add("app/kustomization.yaml", "resources: [release.yaml]\nnamespace: prod\n");
//! tree.add("app/release.yaml", "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: web}\n");
//! let kustomize = Kustomize::of(&tree);
//! let build = kustomize.folder("app").unwrap();
//! let printed = build.printed();
//! assert_eq!(printed[0].node.text_of(&["metadata", "namespace"]), Some("prod"));
//! assert!(build.notes.is_empty());
//! ```
//!
//! - [`Kustomize::folder`] is what the kustomization file of a folder makes; [`Build::printed`] is what of it comes out in the end.
//! - [`Kustomize::given`] does the same for a [`Kustomization`] that is in no file: Flux makes one out of the fields of its own Kustomization. Take
//!   [`Kustomize::kustomization`] of the folder, or [`Kustomization::at`] where it has none, and add to its public fields. [`Patch::read`] reads
//!   an item of `spec.patches`, which Flux took from kustomize as it is.
//! - What is not rendered is a [`Note`](super::Note) in [`Build::notes`], with the place that asks for it; the rest goes on. Notes of the folders below
//!   are in their own builds, which [`Build::below`] leads to, so that they are told once.
//!
//! Every value knows where it was set last, and what it took the place of there (`Node::over`).

mod assembly;
mod configurations;
mod decoding;
mod documents;
mod engine;
mod fields;
mod fragments;
mod generators;
mod inline;
mod json6902;
mod kustomization;
mod labels;
mod merge;
mod metadata;
mod names;
mod patches;
mod path;
mod printing;
mod reading;
mod replacements;
mod resource;
mod target;
#[cfg(test)]
mod tests;

pub use decoding::{Leniency, Mismatch, canonical};
pub(super) use engine::TOO_MUCH;
pub(crate) use engine::in_tree;
pub use engine::{Build, Kustomize};
pub use kustomization::{
    Change, Generator, GeneratorOptions, Kustomization, Labels, Options, Patch, PatchSource, Replacement,
    ReplacementSource, ReplacementTarget, Skipped, SourceId, Text,
};
pub use names::Names;
pub(crate) use resource::group_and_version;
pub use resource::{By, Generated, Id, Layer, Previous, Resource};
pub use target::{Pattern, Target};
