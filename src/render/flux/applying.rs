//! What kustomize-controller applies of the objects that it built: some it refuses, and some it leaves out without a word.

use crate::json::Kind;
use crate::render::kustomize::Resource;
use crate::render::{Note, Reason};
use crate::yaml::{Node, Span};

/// The group of kustomize's own files.
const KUSTOMIZE: &str = "kustomize.config.k8s.io/";

/// The labels and annotations by which an object asks not to be applied (kustomize-controller 1.9).
const EXCLUDED: [(&str, &str); 2] =
    [("kustomize.toolkit.fluxcd.io/reconcile", "disabled"), ("kustomize.toolkit.fluxcd.io/ssa", "Ignore")];

/// The fields by which the controller tells what an object is.
const IDENTITY: [&[&str]; 3] = [&["apiVersion"], &["kind"], &["metadata", "name"]];

/// Whether the controller (1.9) goes on with an object right after the build. What it refuses is noted, as `failed to decode Kubernetes apiVersion, kind and name`.
pub(super) fn is_complete(resource: &Resource<'_>, notes: &mut Vec<Note>) -> bool {
    let is_empty = |path: &&&[&str]| {
        let value = resource.node.at(path).filter(|value| !value.is_null());
        value.and_then(Node::scalar).is_none_or(|scalar| scalar.text.is_empty())
    };
    let lacking = IDENTITY.iter().find(is_empty);
    if let Some(path) = lacking {
        let at = resource.node.at(path).map_or(resource.document, |value| value.at);
        let message =
            format!("kustomize-controller takes no object without {}, and applies nothing", path.join("."));
        notes.push(Note::new(at, Reason::Refused, message));
    }
    lacking.is_none()
}

/// What the controller (`ssa` 0.76) reads of an object once its variables are replaced: the object, the items in it, or nothing. What is left out is
/// noted.
pub(super) fn read<'a>(resource: Resource<'a>, notes: &mut Vec<Note>) -> Vec<Resource<'a>> {
    let node = &resource.node;
    let mut tell = |at, reason, message: String| notes.push(Note::new(at, reason, message));
    let place = |path: &[&str]| node.at(path).map_or(resource.document, |value| value.at);
    if text(node, &["kind"]).is_none() {
        let message = "kustomize-controller takes no object whose kind is no text, and applies nothing";
        tell(place(&["kind"]), Reason::Refused, message.to_owned());
        return Vec::new();
    }
    if let Some(entry) = node.entry("items").filter(|entry| entry.value.kind() == Kind::Array) {
        return items(&resource, entry.key.at, entry.value.items(), notes);
    }
    let lacking = IDENTITY.iter().find(|path| text(node, path).is_none());
    if let Some(path) = lacking {
        let is = node.at(path).and_then(Node::scalar).map_or("", |scalar| &*scalar.text);
        let is = if is.is_empty() { "empty".to_owned() } else { format!("{is}, which is no text") };
        let message = format!("Flux leaves the object out without a word: its {} is {is}", path.join("."));
        tell(place(path), Reason::Dropped, message);
        return Vec::new();
    }
    let is_kustomization =
        text(node, &["kind"]).is_some_and(|kind| kind.eq_ignore_ascii_case("kustomization"));
    if is_kustomization && text(node, &["apiVersion"]).is_some_and(|version| version.starts_with(KUSTOMIZE)) {
        let message =
            "Flux leaves a file of kustomize that is named as an object out without a word: name its folder";
        tell(place(&["apiVersion"]), Reason::Dropped, message.to_owned());
        return Vec::new();
    }
    vec![resource]
}

/// The members of an object with `items`, which are applied in its place, whatever they are.
fn items<'a>(
    resource: &Resource<'a>,
    at: Span,
    items: &[Node<'a>],
    notes: &mut Vec<Note>,
) -> Vec<Resource<'a>> {
    if let Some(other) = items.iter().find(|item| item.kind() != Kind::Object) {
        let message =
            "kustomize-controller takes an object with items for a list of objects, and this is none";
        notes.push(Note::new(other.at, Reason::Refused, message));
        return Vec::new();
    }
    let message =
        "Flux applies what is in items in place of the object itself, which is left out without a word";
    notes.push(Note::new(at, Reason::Dropped, message));
    let member = |item: &Node<'a>| Resource { node: item.clone(), document: item.at, ..resource.clone() };
    items.iter().map(member).collect()
}

/// Whether the controller applies a release, which may ask to be left alone by a label or an annotation. What is left alone is noted: it is
/// not judged. Of sources and Kustomizations, the one that was applied before goes on to count.
pub(super) fn is_applied(resource: &Resource<'_>, notes: &mut Vec<Note>) -> bool {
    let node = &resource.node;
    if text(node, &["kind"]) != Some("HelmRelease") {
        return true;
    }
    for (key, value) in EXCLUDED {
        for field in ["labels", "annotations"] {
            let Some(asked) = node.at(&["metadata", field, key]) else { continue };
            if asked.text().is_some_and(|text| text.eq_ignore_ascii_case(value)) {
                let message =
                    format!("Flux does not apply the HelmRelease, which asks for that: {key}: {value}");
                notes.push(Note::new(asked.at, Reason::Unsupported, message));
                return false;
            }
        }
    }
    true
}

/// The text that a field is, if it is one and not empty.
fn text<'n>(node: &'n Node<'_>, path: &[&str]) -> Option<&'n str> {
    node.at(path).and_then(Node::text).filter(|text| !text.is_empty())
}
