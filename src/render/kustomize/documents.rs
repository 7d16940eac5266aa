//! From files to objects.

use super::printing::{Reading, settled, words};
use super::resource::{Id, Resource};
use crate::json::Kind;
use crate::render::tree::{File, Note, Reason};
use crate::yaml::{Node, Span, Value};

/// The objects in documents, with lists of objects taken apart. What kustomize would refuse is noted, and left out.
pub(super) fn objects<'a>(documents: &[Node<'a>], notes: &mut Vec<Note>) -> Vec<Resource<'a>> {
    let mut objects = Vec::new();
    // Lists in lists come behind what stands beside them, as with kustomize.
    let mut queue: std::collections::VecDeque<(Node<'a>, Span)> = std::collections::VecDeque::new();
    let is_empty = |document: &Node<'_>| match &document.value {
        Value::Sequence(items) => items.is_empty(),
        Value::Mapping(entries) => entries.is_empty(),
        Value::Scalar(_) | Value::Elided { .. } => false,
    };
    for document in documents.iter().filter(|document| !is_empty(document)) {
        let is_list = || documents.len() == 1 && matches!(Id::of(document).kind, "List" | "ResourceList");
        match document.get("items").filter(|_| is_list()) {
            Some(items) => queue.extend(items.items().iter().map(|item| (item.clone(), item.at))),
            None => queue.push_back((document.clone(), document.at)),
        }
    }
    while let Some((node, at)) = queue.pop_front() {
        if let Err(why) = check(&node) {
            notes.push(Note::new(at, Reason::Refused, why));
            continue;
        }
        match node.get("items").filter(|_| Id::of(&node).kind.ends_with("List")) {
            None => objects.push(Resource::of(node, at)),
            Some(items) => {
                for item in items.items() {
                    let settled = settled(item, Reading::Lists).unwrap_or_else(|| item.clone());
                    queue.push_back((settled, item.at));
                }
            }
        }
    }
    objects
}

/// What is wrong with an object, in words such as kustomize's.
pub(super) fn check(node: &Node<'_>) -> Result<(), String> {
    if node.kind() != Kind::Object {
        return Err(format!("an object of Kubernetes is a map of fields, not {}", words(node.kind())));
    }
    let id = Id::of(node);
    if id.kind.is_empty() {
        return Err("an object without a kind".to_owned());
    }
    if id.name.is_empty() && !id.kind.ends_with("List") {
        return Err(format!("an object of kind {} without a name (metadata.name)", id.kind));
    }
    Ok(())
}

/// The documents of a file that can be read; the others are noted.
pub(super) fn of_file<'a>(file: &File<'a>, notes: &mut Vec<Note>) -> Vec<Node<'a>> {
    let mut documents = Vec::new();
    for document in file.documents() {
        match document {
            Ok(node) => documents.push(node.clone()),
            Err(error) => {
                let at = Span::of(file.id, error.offset..error.offset);
                notes.push(Note::new(at, Reason::Refused, error.message.clone()));
            }
        }
    }
    documents
}
