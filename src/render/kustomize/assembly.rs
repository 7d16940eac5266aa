//! Gathering what a kustomization names, and changing it in the order in which kustomize does.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::HashSet;

use super::configurations;
use super::decoding::Mismatch;
use super::documents;
use super::engine::{Build, COMPONENT, Kustomize, Named, Read, TOO_MUCH, To};
use super::generators;
use super::kustomization::{Kustomization, Patch, Text};
use super::metadata::{self, RefusedKeys};
use super::patches;
use super::replacements;
use super::resource::{By, Id, Layer, Resource};
use crate::render::tree::{Note, Reason, is_kustomization};
use crate::yaml::Span;

/// How many layers of an object count as much as another one: each is a few bytes.
const LAYERS: usize = 36;

/// How deep components may name components.
const MAX_DEPTH: usize = 100;

/// The fields that are not rendered and make objects of any kind, or give them other names, which a patch or a replacement may be about.
const MAKES_OBJECTS: &[&str] = &["generators", "helmCharts", "helmChartInflationGenerator", "transformers"];

/// The kinds whose replicas `replicas` sets.
const SCALED: &[&str] = &["Deployment", "ReplicaSet", "ReplicationController", "StatefulSet"];

/// A build under way.
pub(super) struct Assembly<'k, 't, 'a> {
    pub(super) kustomize: &'k Kustomize<'t, 'a>,
    pub(super) build: Build<'a>,
}

/// What objects are called, to find one that is there twice.
#[derive(Default)]
struct Seen {
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

    /// What a kustomization file makes, with what kustomize refuses where nothing is added to it.
    pub(super) fn of_file(kustomize: &'k Kustomize<'t, 'a>, folder: &str, read: &Read<'a>) -> Build<'a> {
        let mut build = Self::of(kustomize, folder, read);
        build.notes.extend(emptiness(&read.kustomization));
        build
    }

    fn take(&mut self, folder: &str, read: &Read<'a>, depth: usize) {
        self.build.notes.extend(read.notes.iter().cloned());
        self.build.notes.extend(read.kustomization.mismatches.iter().map(Mismatch::refused));
        for skipped in read.kustomization.skipped.iter().filter(|skipped| skipped.matters) {
            self.note(skipped.at, Reason::Unsupported, format!("{} is not rendered", skipped.field));
        }
        let skips = |fields: &[&str]| read.kustomization.skipped.iter().any(|it| fields.contains(&it.field));
        if skips(MAKES_OBJECTS) {
            self.build.incomplete.get_or_insert(Reason::Unsupported);
        }
        let configurations = &read.kustomization.configurations;
        self.build.opens_charts |=
            configurations::note(self.kustomize.tree, folder, configurations, &mut self.build.notes);
        self.gather(folder, read);
        for generator in &read.kustomization.generators {
            generators::apply(self, folder, generator, &read.kustomization.generator_options);
        }
        for named in &read.components {
            self.apply_component(folder, named, depth);
        }
        self.transform(folder, read);
        // kustomize hands configurations on to the folders above, which then hold for all that is gathered there.
        for resource in self.build.resources.iter_mut().filter(|_| self.build.opens_charts) {
            resource.has_open_chart = true;
        }
    }

    /// Notes the names in `replicas` that no object has whose replicas kustomize knows.
    fn check_replicas(&mut self, names: &[Text<'a>]) {
        for name in names {
            let is_it = |id: Id<'_>| SCALED.contains(&id.kind) && *id.name == *name.text;
            if !self.build.resources.iter().any(|resource| resource.ids().any(is_it)) {
                let message = format!("there is no object {:?} whose replicas can be set", name.text);
                self.note_absence(name.at, message);
            }
        }
    }

    pub(super) fn note(&mut self, at: Span, reason: Reason, message: impl Into<String>) {
        self.build.notes.push(Note::new(at, reason, message.into()));
    }

    /// Notes that an object is not there, unless something that is missing itself may bring it: that is reported already.
    pub(super) fn note_absence(&mut self, at: Span, message: String) {
        match self.build.incomplete {
            None => self.note(at, Reason::Refused, message),
            Some(Reason::Missing | Reason::Refused) => {}
            Some(reason) => self.note(at, reason, message),
        }
    }

    /// Notes a patch whose target selects nothing, which kustomize says nothing about. A component, or a Flux Kustomization, may be
    /// meant for folders of all sorts; with them only a version that is not the one of the object is noted.
    fn note_lost(&mut self, folder: &str, is_component: bool, patch: &Patch<'a>) {
        let Some(target) = &patch.target else { return };
        if self.build.incomplete.is_some() {
            return;
        }
        let is_own = self.kustomize.tree.file_of(patch.at).folder() == folder && !is_component;
        let mut missed: Option<&Resource<'a>> = None;
        for resource in &self.build.resources {
            if target.selects(resource) {
                return;
            }
            if missed.is_none() && target.selects_but_for_version(resource) {
                missed = Some(resource);
            }
        }
        let message = match missed {
            Some(resource) => {
                let id = resource.id();
                format!(
                    "the patch is for no object: its target asks for another version than that of {id}, {}",
                    id.version
                )
            }
            None if is_own => "the patch is for no object: its target selects none".to_owned(),
            None => return,
        };
        self.note(target.at, Reason::Lost, message);
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
                        if !self.append(&mut seen, resource, named.at) {
                            return;
                        }
                    }
                }
                To::Folder(below) => {
                    let Some(build) = self.below(folder, below, named.at) else { continue };
                    for resource in &build.resources {
                        let mut resource = resource.clone();
                        resource.layers.push(layer);
                        if !self.append(&mut seen, resource, named.at) {
                            return;
                        }
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
        self.build.opens_charts |= build.opens_charts;
        self.build.below.push(Arc::clone(&build));
        Some(build)
    }

    /// Adds an object, unless there are too many.
    fn append(&mut self, seen: &mut Seen, resource: Resource<'a>, at: Span) -> bool {
        if !self.may_do(1 + resource.layers.len() / LAYERS, at) {
            return false;
        }
        if !seen.insert(&resource) {
            let id = resource.id();
            if let Some(other) = self.build.resources.iter().find(|other| other.id().is_same(&id)) {
                // A transformer that is not run may have given it another name.
                if self.build.incomplete == Some(Reason::Unsupported) {
                    return true;
                }
                let path = |place: Span| self.kustomize.tree.file_of(place).path;
                // The path of a Flux Kustomization lists many files.
                let message = if is_kustomization(path(at)) {
                    format!("{id} is there already")
                } else {
                    let (first, second) = (path(other.document), path(resource.document));
                    format!("{id} is there already: in {first}, and in {second}")
                };
                self.note(at, Reason::Refused, message);
                return true;
            }
        }
        self.build.resources.push(resource);
        true
    }

    /// Adds an object that a generator makes.
    pub(super) fn append_generated(&mut self, resource: Resource<'a>, at: Span) {
        if self.may_do(1, at) {
            self.build.resources.push(resource);
        }
    }

    /// Whether so much more may be done; if not, objects are missing from here on.
    pub(super) fn may_do(&mut self, work: usize, at: Span) -> bool {
        let may = self.kustomize.may_do(work);
        if !may {
            self.note(at, Reason::TooMuch, TOO_MUCH);
            self.build.incomplete.get_or_insert(Reason::Unsupported);
        }
        may
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
        if !self.may_do(COMPONENT, named.at) {
            return;
        }
        let count = self.build.resources.len();
        self.build.notes.extend(emptiness(&read.kustomization));
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
            self.note_lost(folder, kustomization.is_component, patch);
            patches::apply(self, folder, patch);
        }
        if let Some(namespace) = &kustomization.namespace {
            for resource in &mut self.build.resources {
                metadata::set_namespace(resource, namespace);
            }
            self.refuse_the_same(namespace.at);
        }
        let mut keys = RefusedKeys::of(kustomization, self.kustomize.tree);
        for resource in &mut self.build.resources {
            if let Some(prefix) = &kustomization.name_prefix {
                metadata::add_prefix(resource, prefix);
            }
            if let Some(suffix) = &kustomization.name_suffix {
                metadata::add_suffix(resource, suffix);
            }
            metadata::set_labels_and_annotations(resource, kustomization, &mut keys);
        }
        self.build.notes.extend(keys.notes(self.kustomize.tree));
        for patch in &kustomization.patches_json6902 {
            self.note_lost(folder, kustomization.is_component, patch);
            patches::apply_json6902(self, folder, patch);
        }
        for replacement in &kustomization.replacements {
            replacements::apply(self, folder, replacement);
        }
        self.check_replicas(&kustomization.replicas);
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

/// The note of a kustomization file that says nothing.
fn emptiness(kustomization: &Kustomization<'_>) -> Option<Note> {
    let message = || "the kustomization file is empty".to_owned();
    kustomization.is_empty.then(|| Note::new(kustomization.at, Reason::Refused, message()))
}

/// The path of a folder for a message.
fn shown(folder: &str) -> &str {
    if folder.is_empty() { "the top folder" } else { folder }
}

// === impl Seen ===

impl Seen {
    fn of(resources: &[Resource<'_>]) -> Self {
        let mut seen = Self::default();
        for resource in resources {
            seen.insert(resource);
        }
        seen
    }

    /// Remembers what an object is called; false if one before it may be called the same.
    fn insert(&mut self, resource: &Resource<'_>) -> bool {
        let id = resource.id();
        self.hashes.insert(self.hashes.hasher().hash_one((id.name, id.kind, id.effective_namespace())))
    }
}
