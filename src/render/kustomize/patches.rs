//! Patches: what they are for, and what they make of it.

use serde_json::value::RawValue;

use super::assembly::Assembly;
use super::documents;
use super::engine::{To, in_tree, nowhere};
use super::fragments::{Fragment, Place, has_directives};
use super::json6902::{self, Operation};
use super::kustomization::{Patch, PatchSource, Text};
use super::merge::{DIRECTIVE, merged};
use super::metadata::with_texts;
use super::resource::{By, Id, Layer, Resource};
use crate::json::Kind;
use crate::render::tree::{Mend, Note, Reason, Tree};
use crate::yaml::{Entry, Key, Node, Span, Str};

/// A patch that is read.
enum Loaded<'a> {
    /// A strategic merge patch.
    Merge {
        patches: Vec<Node<'a>>,
        /// Whether keys are there twice in it, or directives may be, so that the whole object decides about the merge.
        needs_whole: bool,
    },
    /// A JSON patch.
    Steps(Vec<Operation<'a>>),
}

/// How a strategic merge patch may change what an object is called.
#[derive(Clone, Copy)]
struct Freedom {
    name: bool,
    kind: bool,
}

/// How a strategic merge patch is merged.
#[derive(Clone, Copy)]
struct Merging {
    freedom: Freedom,
    /// The place that asks for it.
    at: Span,
    /// Whether the object has to be read in whole.
    needs_whole: bool,
}

/// Applies an item of `patches`.
pub(super) fn apply<'a>(assembly: &mut Assembly<'_, '_, 'a>, folder: &str, patch: &Patch<'a>) {
    let Some((loaded, duplicates)) = load(assembly, folder, &patch.source) else { return };
    match loaded {
        Loaded::Steps(steps) => apply_steps(assembly, patch, &steps, true),
        Loaded::Merge { patches, needs_whole } => apply_merges(assembly, patch, &patches, needs_whole),
    }
    note_duplicates(assembly, duplicates);
}

/// Applies an item of `patchesJson6902`.
pub(super) fn apply_json6902<'a>(assembly: &mut Assembly<'_, '_, 'a>, folder: &str, patch: &Patch<'a>) {
    let Some((loaded, duplicates)) = load(assembly, folder, &patch.source) else { return };
    match loaded {
        Loaded::Steps(steps) => apply_steps(assembly, patch, &steps, false),
        Loaded::Merge { .. } => {
            assembly.note(patch.at, Reason::Refused, "patchesJson6902 takes lists of steps");
        }
    }
    note_duplicates(assembly, duplicates);
}

/// Applies an item of `patchesStrategicMerge`: the path of a file, or the patch itself.
pub(super) fn apply_strategic_merge<'a>(assembly: &mut Assembly<'_, '_, 'a>, folder: &str, text: &Text<'a>) {
    let is_path = !text.text.contains('\n') && !text.text.contains(": ");
    let source = if is_path { PatchSource::Path(text.clone()) } else { PatchSource::Inline(text.clone()) };
    let Some((loaded, duplicates)) = load(assembly, folder, &source) else { return };
    match loaded {
        Loaded::Merge { patches, needs_whole } => {
            let freedom = Freedom { name: false, kind: false };
            let merging = Merging { freedom, at: text.at, needs_whole };
            for patch in &patches {
                let patch = with_texts(patch, &["labels", "annotations"]);
                apply_to_its_object(assembly, &patch, merging);
            }
        }
        Loaded::Steps(_) => {
            assembly.note(text.at, Reason::Refused, "patchesStrategicMerge takes objects");
        }
    }
    note_duplicates(assembly, duplicates);
}

/// Notes keys that are there twice in a patch, unless one of them makes the build fail.
fn note_duplicates(assembly: &mut Assembly<'_, '_, '_>, duplicates: Vec<Note>) {
    for duplicate in duplicates {
        let fails = |note: &Note| note.at == duplicate.at && note.reason == Reason::Refused;
        if !assembly.build.notes.iter().any(fails) {
            assembly.build.notes.push(duplicate);
        }
    }
}

fn load<'a>(
    assembly: &mut Assembly<'_, '_, 'a>,
    folder: &str,
    source: &PatchSource<'a>,
) -> Option<(Loaded<'a>, Vec<Note>)> {
    let (raw, Fragment { documents, duplicates }) = match source {
        PatchSource::Inline(text) => {
            // kustomize drops the line end, so that a block at the end of the patch has none, either.
            let trimmed = Text { text: Str::from(text.text.trim_end()), at: text.at };
            let place = Place::Text(&trimmed);
            let fragment = Fragment::patch(place, assembly.kustomize, &mut assembly.build.notes);
            (text.text.trim(), fragment)
        }
        PatchSource::Path(path) => {
            let file = in_tree(folder, &path.text);
            match file.as_deref().map(|there| assembly.kustomize.view.file(there).ok_or(there)) {
                Some(Ok(file)) => {
                    let place = Place::File(file);
                    (file.text, Fragment::patch(place, assembly.kustomize, &mut assembly.build.notes))
                }
                Some(Err(there)) => {
                    let message = assembly.kustomize.view.absence(&path.text, there);
                    assembly.note(path.at, Reason::Missing, message);
                    return None;
                }
                None => {
                    if let To::Nowhere(reason, message) = nowhere(&path.text) {
                        assembly.note(path.at, reason, message);
                    }
                    return None;
                }
            }
        }
    };
    let first = documents.first()?;
    if first.kind() != Kind::Array {
        let patches = documents::objects(&documents, &mut assembly.build.notes);
        let patches = patches.into_iter().map(|patch| patch.node).collect();
        let needs_whole = !duplicates.is_empty() || has_directives(raw);
        return Some((Loaded::Merge { patches, needs_whole }, duplicates));
    }
    // What begins with a bracket is JSON for kustomize, and nothing else.
    if raw.starts_with('[')
        && let Err(error) = serde_json::from_str::<&RawValue>(raw)
    {
        let message = format!("a JSON patch that begins with [ is read as JSON, and this is none: {error}");
        assembly.note(first.at, Reason::Refused, message);
        return None;
    }
    if let Some(second) = documents.get(1).filter(|second| !second.is_null()) {
        let message = "kustomize drops what comes behind the first document of a JSON patch";
        assembly.note(second.at, Reason::Lost, message);
    }
    match json6902::operations(first) {
        Ok(steps) => {
            for step in steps.iter().filter(|step| step.starts_without_slash()) {
                let message = "the path of the step does not begin with /, so that kustomize passes over its first part";
                assembly.note(step.at, Reason::Lost, message);
            }
            Some((Loaded::Steps(steps), duplicates))
        }
        Err((at, why)) => {
            assembly.note(at, Reason::Refused, why);
            None
        }
    }
}

fn apply_steps<'a>(
    assembly: &mut Assembly<'_, '_, 'a>,
    patch: &Patch<'a>,
    steps: &[Operation<'a>],
    remembers: bool,
) {
    let Some(target) = &patch.target else {
        return assembly.note(patch.at, Reason::Refused, "a JSON patch without a target");
    };
    for index in 0..assembly.build.resources.len() {
        let resource = &mut assembly.build.resources[index];
        if !target.selects(resource) {
            continue;
        }
        if remembers {
            resource.remember();
        }
        resource.found_by.extend(target.version_at);
        let mut changed = resource.clone();
        // kustomize keeps what it remembers in annotations, so that there always are some to add to.
        let has_annotations =
            changed.node.at(&["metadata", "annotations"]).is_some_and(|node| !node.is_null());
        if (!changed.previous.is_empty() || changed.generated.is_generated) && !has_annotations {
            let key = Key { text: Str::from("annotations"), at: patch.at };
            changed.set_metadata(key, Node::empty_mapping(patch.at));
        }
        let kustomize = assembly.kustomize;
        let context =
            json6902::Context { tree: kustomize.tree, may_copy: &|values| kustomize.may_do(values) };
        match json6902::apply(&mut changed.node, steps, context) {
            Ok(()) => {
                changed.node = with_texts(&changed.node, &["annotations"]);
                changed.layers.push(Layer { at: patch.at, by: By::Patch });
                let renames = steps.iter().rfind(|step| step.may_rename());
                match renames.map(|step| (step, documents::check(&changed.node))) {
                    Some((step, Err(why))) => {
                        let message = format!("{} becomes {why}", resource.id());
                        assembly.note(step.at, Reason::Refused, message);
                    }
                    _ => *resource = changed,
                }
            }
            Err((at, reason, why)) if resource.is_known() => {
                let message = format!("{why} ({})", resource.id());
                assembly.note(at, reason, message);
            }
            Err(_) => {}
        }
    }
    if steps.iter().any(Operation::may_rename) {
        assembly.refuse_the_same(patch.at);
    }
}

fn apply_merges<'a>(
    assembly: &mut Assembly<'_, '_, 'a>,
    patch: &Patch<'a>,
    patches: &[Node<'a>],
    needs_whole: bool,
) {
    let freedom = Freedom { name: patch.allow_name_change, kind: patch.allow_kind_change };
    let merging = Merging { freedom, at: patch.at, needs_whole };
    let Some(target) = &patch.target else {
        for node in patches {
            let node = if freedom.is_any() { with_texts(node, &["annotations"]) } else { node.clone() };
            apply_to_its_object(assembly, &node, merging);
        }
        return;
    };
    let [node] = patches else {
        if !patches.is_empty() {
            assembly.note(patch.at, Reason::Refused, "a target is for one patch, and here are several");
        }
        return;
    };
    let node = with_texts(node, &["labels", "annotations"]);
    let mut index = 0;
    while index < assembly.build.resources.len() {
        let resource = &mut assembly.build.resources[index];
        if target.selects(resource) {
            resource.found_by.extend(target.version_at);
            if !merge_into(assembly, index, &node, merging) {
                continue;
            }
        }
        index += 1;
    }
    if freedom.is_any() {
        assembly.refuse_the_same(patch.at);
    }
}

/// Merges a patch into the one object that it names.
fn apply_to_its_object<'a>(assembly: &mut Assembly<'_, '_, 'a>, patch: &Node<'a>, merging: Merging) {
    let id = Id::of(patch);
    let resources = assembly.build.resources.iter().enumerate();
    let mut named =
        resources.filter(|(_, resource)| resource.ids().any(|it| it.is_same(&id))).map(|(index, _)| index);
    match (named.next(), named.next()) {
        (Some(index), None) => {
            let version = patch.get("apiVersion").map(|version| version.at);
            assembly.build.resources[index].found_by.extend(version);
            merge_into(assembly, index, patch, merging);
        }
        (Some(_), Some(_)) => {
            let message = format!("there is more than one {id} that the patch can be for");
            assembly.note(patch.at, Reason::Refused, message);
        }
        (None, _) => {
            let of_another_version = assembly.build.resources.iter().find(|resource| {
                resource.ids().any(|other| Id { version: id.version, ..other }.is_same(&id))
            });
            let written = patch.get("apiVersion");
            let Some((other, written)) = of_another_version.map(Resource::id).zip(written) else {
                let message = format!("there is no {id} that the patch can be for");
                return assembly.note_absence(patch.at, message);
            };
            // kustomize tells objects apart by their version, too.
            let message = format!(
                "there is no {id} at {} that the patch can be for: it is at {}",
                id.version, other.version
            );
            let mend = Mend { at: written.at, old: id.api_version(), new: other.api_version() };
            let note = Note { mend: Some(Box::new(mend)), ..Note::new(written.at, Reason::Refused, message) };
            assembly.build.notes.push(note);
        }
    }
}

/// Merges a patch into an object. False if that deleted it, and the next one has its place.
fn merge_into<'a>(
    assembly: &mut Assembly<'_, '_, 'a>,
    index: usize,
    patch: &Node<'a>,
    Merging { freedom, at, needs_whole }: Merging,
) -> bool {
    if let Some(directive) = patch.get(DIRECTIVE).filter(|it| it.text() == Some("replace")) {
        let message = "kustomize passes over a patch with $patch: replace at its top";
        assembly.note(directive.at, Reason::Lost, message);
        return true;
    }
    let tree = assembly.kustomize.tree;
    let resource = &mut assembly.build.resources[index];
    let prepared = if needs_whole { prepared(patch, &mut resource.node, tree) } else { None };
    let patch = prepared.as_ref().unwrap_or(patch);
    match merged(&resource.node, patch) {
        Ok(None) => {
            assembly.build.resources.remove(index);
            return false;
        }
        Ok(Some(node)) => {
            if freedom.is_any() {
                resource.remember();
            }
            if forgets(patch) {
                resource.previous.clear();
                resource.generated.needs_hash = false;
            }
            let old = std::mem::replace(&mut resource.node, node);
            freedom.restore(resource, &old);
            resource.layers.push(Layer { at, by: By::Patch });
            if needs_whole && !resource.id().may_have_keyed_lists() {
                note_directives_in_lists(assembly, patch, false);
            }
        }
        Err(_) if resource.id().may_have_keyed_lists() => resource.layers.push(Layer { at, by: By::Patch }),
        Err(misfit) => {
            let message = format!("{} ({})", misfit.message, resource.id());
            assembly.note(misfit.at, Reason::Refused, message);
        }
    }
    true
}

/// Prepares a merge for directives and for keys that are there twice: the elided parts of the object are read, since they decide whether a map
/// is new. Returns the patch with annotations in which the last ones count, as they do for kustomize (5.8) where the object has none.
fn prepared<'a>(patch: &Node<'a>, object: &mut Node<'a>, tree: &Tree<'a>) -> Option<Node<'a>> {
    for Entry { value: field, .. } in object.entries_mut() {
        for Entry { value, .. } in field.entries_mut() {
            if let Some(whole) = value.is_elided().then(|| tree.whole(value)).flatten() {
                *value = whole;
            }
        }
    }
    let annotations = patch.at(&["metadata", "annotations"])?;
    let are_new = object.at(&["metadata", "annotations"]).is_none_or(Node::is_null);
    let is_needed = are_new && !annotations.duplicate_keys().is_empty();
    is_needed.then(|| with_texts(patch, &["annotations"]))
}

/// Notes the directives in lists: kustomize (5.8) has no keys for the lists of custom resources, and copies their items as they are.
fn note_directives_in_lists(assembly: &mut Assembly<'_, '_, '_>, patch: &Node<'_>, is_in_list: bool) {
    for Entry { key, value } in patch.entries() {
        if is_in_list && key.text == DIRECTIVE {
            let message = "kustomize replaces this list as a whole, and copies $patch into the object";
            assembly.note(key.at, Reason::Lost, message);
        }
        note_directives_in_lists(assembly, value, is_in_list);
    }
    for item in patch.items() {
        note_directives_in_lists(assembly, item, true);
    }
}

/// Whether a patch takes all annotations away, and with them what kustomize remembers there.
fn forgets(patch: &Node<'_>) -> bool {
    let metadata = patch.get("metadata");
    let annotations = metadata.and_then(|metadata| metadata.get("annotations"));
    let replaces =
        |node: &Node<'_>| node.is_null() || matches!(node.text_of(&["$patch"]), Some("replace" | "delete"));
    metadata.is_some_and(replaces) || annotations.is_some_and(replaces)
}

// === impl Freedom ===

impl Freedom {
    fn is_any(self) -> bool {
        self.name || self.kind
    }

    /// Puts back what a patch must not change, and what it does not change though it says it: the old place is the one to look at.
    fn restore<'a>(self, resource: &mut Resource<'a>, old: &Node<'a>) {
        let is_same = |one: Option<&Node<'a>>, other: Option<&Node<'a>>| {
            let text =
                |node: Option<&Node<'a>>| node.and_then(Node::scalar).map(|scalar| scalar.text.clone());
            text(one) == text(other)
        };
        for (field, is_free) in [("apiVersion", false), ("kind", self.kind)] {
            if let Some(entry) = old.entry(field)
                && (!is_free || is_same(resource.node.get(field), Some(&entry.value)))
            {
                put(&mut resource.node, entry.key.clone(), entry.value.clone());
            }
        }
        for (field, is_free) in [("name", self.name), ("namespace", false)] {
            let before = old.get("metadata").and_then(|metadata| metadata.entry(field));
            let now = resource.node.at(&["metadata", field]);
            match before {
                Some(entry) if !is_free || is_same(now, Some(&entry.value)) => {
                    let (key, value) = (entry.key.clone(), entry.value.clone());
                    if resource.node.get("metadata").is_none_or(|metadata| metadata.kind() != Kind::Object) {
                        resource.set_metadata(key, value);
                    } else if let Some(metadata) = resource.node.get_mut("metadata") {
                        put(metadata, key, value);
                    }
                }
                None if !is_free && now.is_some() => {
                    if let Some(metadata) = resource.node.get_mut("metadata") {
                        metadata.remove(field);
                    }
                }
                _ => {}
            }
        }
    }
}

/// Sets a key without a trace of what was there.
fn put<'a>(map: &mut Node<'a>, key: Key<'a>, value: Node<'a>) {
    match map.get_mut(&key.text) {
        Some(present) => *present = value,
        None => map.set(key, value),
    }
}
