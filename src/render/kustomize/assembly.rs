//! Gathering what a kustomization names, and changing it in the order in which kustomize does.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use super::configurations;
use super::documents;
use super::engine::{Build, Kustomize, Named, Read, To};
use super::kustomization::Patch;
use super::metadata;
use super::patches;
use super::replacements;
use super::resource::{By, Layer, Resource};
use crate::render::tree::{Note, Reason};
use crate::yaml::Span;

/// How deep components may name components.
const MAX_DEPTH: usize = 100;

/// The fields that are not rendered and make objects, which a patch or a replacement may be about.
const MAKES_OBJECTS: &[&str] =
    &["configMapGenerator", "secretGenerator", "generators", "helmCharts", "helmChartInflationGenerator"];

/// A build under way.
pub(super) struct Assembly<'k, 't, 'a> {
    pub(super) kustomize: &'k Kustomize<'t, 'a>,
    pub(super) build: Build<'a>,
}

/// What objects are called, to find one that is there twice.
struct Seen {
    hasher: RandomState,
    hashes: HashSet<u64>,
}

// === impl Assembly ===

impl<'k, 't, 'a> Assembly<'k, 't, 'a> {
    /// What a kustomization in a folder makes. The folders below are built already.
    pub(super) fn of(kustomize: &'k Kustomize<'t, 'a>, folder: &str, read: &Read<'a>) -> Build<'a> {
        let mut this = Self { kustomize, build: Build::default() };
        this.take(folder, read, 0);
        this.build
    }

    /// What patches make of one object, where there are others that are not here.
    pub(super) fn patched(
        kustomize: &'k Kustomize<'t, 'a>,
        resource: Resource<'a>,
        patches: &[Patch<'a>],
    ) -> Build<'a> {
        let build = Build { resources: vec![resource], incomplete: Some(Reason::Remote), ..Build::default() };
        let mut this = Self { kustomize, build };
        for patch in patches {
            patches::apply(&mut this, "", patch);
        }
        this.build
    }

    fn take(&mut self, folder: &str, read: &Read<'a>, depth: usize) {
        self.build.notes.extend(read.notes.iter().cloned());
        for skipped in read.kustomization.skipped.iter().filter(|skipped| skipped.matters) {
            self.note(skipped.at, Reason::Unsupported, format!("{} is not rendered", skipped.field));
        }
        if read.kustomization.skipped.iter().any(|skipped| MAKES_OBJECTS.contains(&skipped.field)) {
            self.build.incomplete.get_or_insert(Reason::Unsupported);
        }
        let configurations = &read.kustomization.configurations;
        configurations::note(self.kustomize.tree, folder, configurations, &mut self.build.notes);
        self.gather(folder, read);
        for named in &read.components {
            self.apply_component(folder, named, depth);
        }
        self.transform(folder, read);
    }

    pub(super) fn note(&mut self, at: Span, reason: Reason, message: impl Into<String>) {
        self.build.notes.push(Note { at, reason, message: message.into() });
    }

    fn gather(&mut self, folder: &str, read: &Read<'a>) {
        let mut seen = Seen::of(&self.build.resources);
        for named in &*read.resources {
            let layer = Layer { at: named.at, by: By::Resources };
            match &named.to {
                To::Nowhere(reason, message) => {
                    self.note(named.at, *reason, message.clone());
                    self.build.incomplete.get_or_insert(*reason);
                }
                To::File(file) => {
                    let file = &self.kustomize.tree.files()[*file as usize];
                    let documents = documents::of_file(file, &mut self.build.notes);
                    for mut resource in documents::objects(&documents, &mut self.build.notes) {
                        resource.layers.push(layer);
                        self.append(&mut seen, resource, named.at);
                    }
                }
                To::Folder(below) => {
                    let Some(build) = self.below(folder, below, named.at) else { continue };
                    for resource in &build.resources {
                        let mut resource = resource.clone();
                        resource.layers.push(layer);
                        self.append(&mut seen, resource, named.at);
                    }
                }
            }
        }
    }

    /// What a folder that is named as a resource makes.
    fn below(&mut self, folder: &str, below: &'a str, at: Span) -> Option<Arc<Build<'a>>> {
        if self.kustomize.leads_back(below, folder) {
            self.note(at, Reason::Refused, format!("a cycle: {} leads back here", shown(below)));
            return None;
        }
        let read = self.kustomize.read(below)?;
        if read.kustomization.is_component {
            self.note(
                at,
                Reason::Refused,
                format!("{} is a Component, which belongs under components", shown(below)),
            );
            return None;
        }
        let build = self.kustomize.built(below);
        if let Some(reason) = build.incomplete {
            self.build.incomplete.get_or_insert(reason);
        }
        self.build.below.push(Arc::clone(&build));
        Some(build)
    }

    fn append(&mut self, seen: &mut Seen, resource: Resource<'a>, at: Span) {
        if !seen.insert(&resource) {
            let id = resource.id();
            if self.build.resources.iter().any(|other| other.id().is_same(&id)) {
                let message = format!("{id} is there already");
                return self.note(at, Reason::Refused, message);
            }
        }
        self.build.resources.push(resource);
    }

    fn apply_component(&mut self, folder: &str, named: &Named<'a>, depth: usize) {
        let path = match &named.to {
            To::Folder(path) => path,
            To::Nowhere(reason, message) => {
                self.build.incomplete.get_or_insert(*reason);
                return self.note(named.at, *reason, message.clone());
            }
            To::File(_) => return,
        };
        if depth == MAX_DEPTH || self.kustomize.leads_back(path, folder) {
            return self.note(named.at, Reason::Refused, format!("a cycle: {} leads back here", shown(path)));
        }
        let Some(read) = self.kustomize.read(path) else { return };
        if !read.kustomization.is_component {
            let message = format!("{} is no Component; it belongs under resources", shown(path));
            return self.note(named.at, Reason::Refused, message);
        }
        let count = self.build.resources.len();
        self.take(path, &read, depth + 1);
        // What is deleted by a component makes room for what it brings; what is new has no layer of this folder yet.
        for resource in self.build.resources.iter_mut().skip(count) {
            resource.layers.push(Layer { at: named.at, by: By::Components });
        }
    }

    fn transform(&mut self, folder: &str, read: &Read<'a>) {
        let kustomization = &read.kustomization;
        for text in &kustomization.patches_strategic_merge {
            patches::apply_strategic_merge(self, folder, text);
        }
        for patch in &kustomization.patches {
            patches::apply(self, folder, patch);
        }
        if let Some(namespace) = &kustomization.namespace {
            for resource in &mut self.build.resources {
                metadata::set_namespace(resource, namespace);
            }
            self.refuse_the_same(namespace.at);
        }
        for resource in &mut self.build.resources {
            if let Some(prefix) = &kustomization.name_prefix {
                metadata::add_prefix(resource, prefix);
            }
            if let Some(suffix) = &kustomization.name_suffix {
                metadata::add_suffix(resource, suffix);
            }
            metadata::set_labels_and_annotations(resource, kustomization);
        }
        for patch in &kustomization.patches_json6902 {
            patches::apply_json6902(self, folder, patch);
        }
        for replacement in &kustomization.replacements {
            replacements::apply(self, folder, replacement);
        }
    }

    /// Drops what is called the same as something before it, since kustomize refuses to build that.
    pub(super) fn refuse_the_same(&mut self, at: Span) {
        let mut seen = Seen::of(&[]);
        let mut kept: Vec<Resource<'a>> = Vec::with_capacity(self.build.resources.len());
        for resource in std::mem::take(&mut self.build.resources) {
            if !seen.insert(&resource) && kept.iter().any(|other| other.id().is_same(&resource.id())) {
                let message = format!("this makes a second {}", resource.id());
                self.note(at, Reason::Refused, message);
            } else {
                kept.push(resource);
            }
        }
        self.build.resources = kept;
    }
}

/// The path of a folder for a message.
fn shown(folder: &str) -> &str {
    if folder.is_empty() { "the top folder" } else { folder }
}

// === impl Seen ===

impl Seen {
    fn of(resources: &[Resource<'_>]) -> Self {
        let mut seen = Self { hasher: RandomState::new(), hashes: HashSet::new() };
        for resource in resources {
            seen.insert(resource);
        }
        seen
    }

    /// Remembers what an object is called; false if one before it may be called the same.
    fn insert(&mut self, resource: &Resource<'_>) -> bool {
        let id = resource.id();
        self.hashes.insert(self.hasher.hash_one((id.name, id.kind, id.effective_namespace())))
    }
}
