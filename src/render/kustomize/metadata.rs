//! What a kustomization sets in the metadata of everything: namespace, names, labels, annotations.

use super::kustomization::{Kustomization, Text};
use super::resource::Resource;
use crate::render::tree::{Note, Reason, Tree};
use crate::yaml::{Entry, Key, Node, Scalar, Span, Str, Value, boolean, is_more_than_a_text, repeated};

/// Sets `namespace`, except on what has none; a `Namespace` is named after it.
pub(super) fn set_namespace<'a>(resource: &mut Resource<'a>, namespace: &Text<'a>) {
    resource.remember();
    let id = resource.id();
    let key = |text| Key { text: Str::from(text), at: namespace.at };
    if (id.group, id.version, id.kind) == ("", "v1", "Namespace") {
        resource.set_metadata(key("name"), namespace.node());
    } else if !id.is_cluster_scoped() {
        resource.set_metadata(key("namespace"), namespace.node());
    }
}

/// Puts `namePrefix` before a name.
pub(super) fn add_prefix<'a>(resource: &mut Resource<'a>, prefix: &Text<'a>) {
    rename(resource, prefix.at, |name| format!("{}{name}", prefix.text));
}

/// Puts `nameSuffix` behind a name.
pub(super) fn add_suffix<'a>(resource: &mut Resource<'a>, suffix: &Text<'a>) {
    rename(resource, suffix.at, |name| format!("{name}{}", suffix.text));
}

fn rename(resource: &mut Resource<'_>, at: Span, renamed: impl Fn(&str) -> String) {
    let original = resource.original();
    let keeps_its_name = match original.kind {
        "CustomResourceDefinition" | "Namespace" => true,
        "APIService" => original.group == "apiregistration.k8s.io",
        _ => false,
    };
    if keeps_its_name {
        return;
    }
    resource.remember();
    let name = Node::text_at(renamed(resource.id().name), at);
    resource.set_metadata(Key { text: Str::from("name"), at }, name);
}

/// Sets labels and annotations, but for a new one whose key is refused.
pub(super) fn set_labels_and_annotations<'a>(
    resource: &mut Resource<'a>,
    kustomization: &Kustomization<'a>,
    keys: &mut RefusedKeys,
) {
    for (field, entry) in labels_and_annotations(kustomization) {
        if keys.lets(resource, field, entry) {
            set_in(resource, field, entry);
        }
    }
}

/// What a kustomization sets, each entry with its field.
fn labels_and_annotations<'k, 'a>(
    kustomization: &'k Kustomization<'a>,
) -> impl Iterator<Item = (&'static str, &'k Entry<'a>)> {
    let labels = kustomization.labels.iter().flat_map(|labels| &labels.pairs);
    let labels = labels.chain(&kustomization.common_labels).map(|entry| ("labels", entry));
    labels.chain(kustomization.common_annotations.iter().map(|entry| ("annotations", entry)))
}

/// The keys of labels and annotations that make a build fail where an object does not have them already: kustomize (5.8) writes a new key
/// without quotes, and then cannot print an object in which it is no text.
#[derive(Debug, Default)]
pub(super) struct RefusedKeys {
    /// Their places, and whether an object was to get them.
    all: Vec<(Span, bool)>,
}

// === impl RefusedKeys ===

impl RefusedKeys {
    /// Those that a kustomization sets.
    pub(super) fn of(kustomization: &Kustomization<'_>, tree: &Tree<'_>) -> Self {
        let refused = labels_and_annotations(kustomization).filter(|(_, entry)| is_refused(&entry.key, tree));
        Self { all: refused.map(|(_, entry)| (entry.key.at, false)).collect() }
    }

    fn lets(&mut self, resource: &Resource<'_>, field: &str, entry: &Entry<'_>) -> bool {
        let Some((_, is_needed)) = self.all.iter_mut().find(|(at, _)| *at == entry.key.at) else {
            return true;
        };
        let map = resource.node.at(&["metadata", field]);
        let is_new = map.is_none_or(|map| map.get(&entry.key.text).is_none());
        *is_needed |= is_new;
        !is_new
    }

    /// The notes about those that an object was to get.
    pub(super) fn notes(&self, tree: &Tree<'_>) -> impl Iterator<Item = Note> {
        self.all.iter().filter(|(_, is_needed)| *is_needed).map(|(at, _)| refused_key(*at, tree))
    }
}

/// Whether the key of a label or an annotation is no text once kustomize wrote it. Its own file is YAML 1.1 for it: `y` is `true` there.
pub(super) fn is_refused(key: &Key<'_>, tree: &Tree<'_>) -> bool {
    let is_plain = || tree.file_of(key.at).text.get(key.at.range()) == Some(&*key.text);
    key.text.is_empty() || is_more_than_a_text(&key.text) || boolean(&key.text).is_some() && is_plain()
}

/// The note about the key of a label or an annotation that is no text.
pub(super) fn refused_key(at: Span, tree: &Tree<'_>) -> Note {
    let key = tree.file_of(at).text.get(at.range()).unwrap_or_default();
    let message = format!("kustomize writes the key {key} into objects as one that is no text, and fails");
    Note::new(at, Reason::Refused, message)
}

fn set_in<'a>(resource: &mut Resource<'a>, field: &'static str, entry: &Entry<'a>) {
    let at = entry.key.at;
    let present = resource.node.at(&["metadata", field]);
    if present.is_none_or(|node| !matches!(node.value, Value::Mapping(_))) {
        resource.set_metadata(Key { text: Str::from(field), at }, Node::empty_mapping(at));
    }
    if let Some(map) = resource.node.get_mut("metadata").and_then(|metadata| metadata.get_mut(field)) {
        map.set(entry.key.clone(), entry.value.clone());
    }
}

/// Makes labels or annotations texts, and drops the fields where there are none. kustomize does so with the annotations that it prints, and with a
/// patch before it applies it: a null in there deletes nothing, but becomes the text that it is written as, and of a key that is there twice
/// the last one counts.
pub(super) fn with_texts<'a>(patch: &Node<'a>, fields: &[&str]) -> Node<'a> {
    let mut patch = patch.clone();
    for field in fields {
        let Some(map) = patch.at(&["metadata", field]) else { continue };
        let is_text = |entry: &Entry<'_>| entry.value.scalar().is_some_and(|scalar| !scalar.plain);
        let is_twice = !repeated(map.entries()).is_empty();
        if !map.entries().is_empty() && map.entries().iter().all(is_text) && !is_twice {
            continue;
        }
        let is_empty = map.entries().is_empty();
        let Some(metadata) = patch.get_mut("metadata") else { continue };
        if is_empty {
            metadata.remove(field);
            continue;
        }
        let Some(map) = metadata.get_mut(field) else { continue };
        if is_twice {
            keep_last(map);
        }
        for entry in map.entries_mut().iter_mut().filter(|entry| !is_text(entry)) {
            let text = entry.value.scalar().map_or(Str::from(""), |scalar| scalar.text.clone());
            entry.value.value = Value::Scalar(Scalar { text, plain: false });
        }
    }
    patch
}

/// Drops the entries of a map whose keys are there again.
fn keep_last(map: &mut Node<'_>) {
    let Value::Mapping(entries) = &mut map.value else { return };
    let mut last: Vec<_> = entries.iter().rev().cloned().collect();
    let again = repeated(&last);
    let mut index = 0..;
    last.retain(|_| index.next().is_none_or(|index| again.binary_search(&index).is_err()));
    last.reverse();
    *entries = last.into();
}
