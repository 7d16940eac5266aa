//! From the fields of a rendered object to what is written in files.

use std::borrow::Cow;
use std::collections::BTreeMap;

use json_patch::PatchOperation;
use serde_json::Value;

use super::Refusal;
use crate::json::pointer::segments;
use crate::policy::field_path;
use crate::report::Excerpts;
use crate::yaml::{Entry, Form, Layout, Lines, Node, Span, Trail};

/// The files that an object is rendered from.
pub(super) struct Sources<'f> {
    root: Span,
    files: &'f dyn Excerpts,
    layouts: BTreeMap<u32, Layout<'f>>,
}

/// A field, and what it is to be.
pub(super) struct Target<'n, 'a> {
    /// The field, as the API server writes it.
    pub(super) field: String,
    /// The keys that lead to it.
    pub(super) path: Vec<String>,
    /// The map that it is in.
    pub(super) parent: &'n Node<'a>,
    /// What is there.
    pub(super) entry: Option<&'n Entry<'a>>,
    /// What is to be there; nothing where it is to go.
    pub(super) value: Option<Value>,
    /// An entry beside it that is changed, too: where that stands, a new one belongs.
    pub(super) sibling: Option<&'n Entry<'a>>,
}

/// Finds what the operations speak of, but for what is as they want it already.
pub(super) fn targets<'n, 'a>(
    object: &'n Node<'a>,
    operations: &[PatchOperation],
) -> Result<Vec<Target<'n, 'a>>, Refusal> {
    let mut targets = Vec::new();
    for operation in operations {
        let (pointer, value) = match operation {
            PatchOperation::Add(add) => (&add.path, Some(add.value.clone())),
            PatchOperation::Replace(replace) => (&replace.path, Some(replace.value.clone())),
            PatchOperation::Remove(remove) => (&remove.path, None),
            PatchOperation::Move(_) | PatchOperation::Copy(_) | PatchOperation::Test(_) => {
                let field = field_path(operation.path().as_str());
                let why = "it takes an operation other than add, replace and remove".to_owned();
                return Err(Refusal::Unsuitable { field, why });
            }
        };
        let target = target(object, pointer.as_str(), value)?;
        if !target.is_done() {
            targets.push(target);
        }
    }
    beside_each_other(&mut targets);
    Ok(targets)
}

fn target<'n, 'a>(
    object: &'n Node<'a>,
    pointer: &str,
    value: Option<Value>,
) -> Result<Target<'n, 'a>, Refusal> {
    let field = field_path(pointer);
    let path: Vec<String> = segments(pointer).map(Cow::into_owned).collect();
    let unsuitable = |why: &str| Refusal::Unsuitable { field: field.clone(), why: why.to_owned() };
    let Some((key, outer)) = path.split_last() else { return Err(unsuitable("it is the object itself")) };
    let step = |node: &'n Node<'a>, part: &String| match node.items() {
        [] => node.get(part),
        items => items.get(part.parse::<usize>().ok()?),
    };
    let parent =
        outer.iter().try_fold(object, step).ok_or_else(|| unsuitable("what it belongs in is missing"))?;
    if parent.scalar().is_some() || !parent.items().is_empty() {
        return Err(unsuitable("what it belongs in is no map"));
    }
    let entry = parent.entry(key);
    Ok(Target { field, path, parent, entry, value, sibling: None })
}

fn beside_each_other(targets: &mut [Target<'_, '_>]) {
    for index in 0..targets.len() {
        let outer = |target: &Target<'_, '_>| target.path[..target.path.len() - 1].to_vec();
        let own = outer(&targets[index]);
        let sibling =
            targets.iter().find(|it| it.entry.is_some() && outer(it) == own).and_then(|it| it.entry);
        targets[index].sibling = sibling;
    }
}

// === impl Target ===

impl Target<'_, '_> {
    /// The key of the field.
    pub(super) fn key(&self) -> &str {
        self.path.last().map_or("", String::as_str)
    }

    fn is_done(&self) -> bool {
        match (self.entry, &self.value) {
            (None, None) => true,
            (Some(entry), Some(value)) => {
                let wanted = value.to_string();
                json_of(&entry.value) == wanted
            }
            _ => false,
        }
    }
}

// === impl Sources ===

impl<'f> Sources<'f> {
    pub(super) fn of(object: &Node<'_>, files: &'f dyn Excerpts) -> Self {
        let mut layouts = BTreeMap::new();
        let mut open = vec![object];
        while let Some(node) = open.pop() {
            let keys = node.entries().iter().map(|entry| entry.key.at.file());
            for file in keys.chain([node.at.file()]) {
                layouts.entry(file).or_insert_with(|| Layout::of(files.text(file), file));
            }
            open.extend(node.items());
            open.extend(node.entries().iter().map(|entry| &entry.value));
        }
        Self { root: object.at, files, layouts }
    }

    pub(super) fn text(&self, file: u32) -> &'f str {
        self.files.text(file)
    }

    pub(super) fn path(&self, file: u32) -> String {
        self.files.path(file).to_owned()
    }

    /// The way to a scalar that stands in its file as the object has it, under the key that the object has it under.
    pub(super) fn scalar(
        &self,
        target: &Target<'_, '_>,
        entry: &Entry<'_>,
    ) -> Result<Trail<'_, 'f>, Refusal> {
        let made = || Refusal::Made { field: target.field.clone(), path: self.path(entry.value.at.file()) };
        let Some(scalar) = entry.value.scalar() else {
            let why = "a list or a map stands there".to_owned();
            return Err(Refusal::Unsuitable { field: target.field.clone(), why });
        };
        let at = entry.value.at;
        let trail = if at.start() == at.end() {
            self.layouts[&entry.key.at.file()].value_of_key(entry.key.at)
        } else {
            self.layouts[&at.file()].value(at)
        };
        let trail = trail.filter(|it| it.value.text() == Some(&*scalar.text)).ok_or_else(made)?;
        // A value may be copied from a field of another name; who changes it there changes more than this field.
        let names_it = trail
            .pair()
            .is_some_and(|pair| pair.key.text() == Some(target.key()) || is_value_of(&trail, target));
        if names_it || self.shared(&trail).is_some() { Ok(trail) } else { Err(made()) }
    }

    /// The way to the value of an entry, which must be in the text of the object itself.
    pub(super) fn own_entry(
        &self,
        target: &Target<'_, '_>,
        entry: &Entry<'_>,
    ) -> Result<Trail<'_, 'f>, Refusal> {
        let at = entry.key.at;
        let path = self.path(at.file());
        let trail = self.layouts[&at.file()].value_of_key(at);
        let trail = trail.filter(|_| entry.value.at.file() == at.file());
        let trail = trail.ok_or_else(|| Refusal::Made { field: target.field.clone(), path: path.clone() })?;
        let begins = |node: Span| node.file() == self.root.file() && node.start() == self.root.start();
        if trail.parents.iter().any(|(parent, _)| begins(parent.at)) {
            Ok(trail)
        } else {
            Err(Refusal::Elsewhere { field: target.field.clone(), path })
        }
    }

    /// The way to the map that a new entry belongs in: the one that an entry beside it stands in, else where the object's own begins.
    pub(super) fn mapping(&self, target: &Target<'_, '_>) -> Result<Trail<'_, 'f>, Refusal> {
        let beside = target.sibling.and_then(|sibling| {
            let trail = self.layouts[&sibling.key.at.file()].value_of_key(sibling.key.at)?;
            let own = trail.pair().is_some_and(|pair| pair.key.text() == Some(&*sibling.key.text));
            (own && !trail.is_merged() && self.shared(&trail).is_none()).then(|| trail.up()).flatten()
        });
        let at = target.parent.at;
        let trail = beside.or_else(|| self.layouts[&at.file()].mapping(at));
        trail.ok_or_else(|| Refusal::Made { field: target.field.clone(), path: self.path(at.file()) })
    }

    /// The way to the map of the object that a key came into by a merge, where it did.
    pub(super) fn merged_into(&self, target: &Target<'_, '_>) -> Option<Trail<'_, 'f>> {
        let at = target.parent.at;
        let trail = self.layouts[&at.file()].mapping(at)?;
        let merges = trail.value.pairs().iter().any(crate::yaml::Pair::is_merge);
        let has_it = trail.value.pairs().iter().any(|pair| pair.key.text() == Some(target.key()));
        (merges && !has_it).then_some(trail)
    }

    /// Refuses a place that other values are read from.
    pub(super) fn unshared(&self, target: &Target<'_, '_>, trail: &Trail<'_, 'f>) -> Result<(), Refusal> {
        let Some(at) = self.shared(trail) else { return Ok(()) };
        let place = Lines::of(self.text(at.file())).position(at.start() as usize);
        Err(Refusal::Shared {
            field: target.field.clone(),
            place: format!("{}:{place}", self.path(at.file())),
        })
    }

    /// Where the anchor stands that makes a place one of several, if it is.
    pub(super) fn shared(&self, trail: &Trail<'_, 'f>) -> Option<Span> {
        self.layouts[&trail.value.at.file()].shared(trail)
    }
}

/// Whether it is the `value` of a JSON patch operation whose `path` ends with the field.
fn is_value_of(trail: &Trail<'_, '_>, target: &Target<'_, '_>) -> bool {
    let Some((operation, _)) = trail.parents.last() else { return false };
    let text_of = |key: &str| {
        let pair = operation.pairs().iter().find(|pair| pair.key.text() == Some(key));
        pair.and_then(|pair| pair.value.text())
    };
    let is_value = trail.pair().is_some_and(|pair| pair.key.text() == Some("value"));
    let pointer = format!("/{}", target.path.join("/"));
    matches!(operation.form, Form::Mapping { .. }) && is_value && text_of("path") == Some(&pointer)
}

/// A value as JSON.
pub(super) fn json_of(node: &Node<'_>) -> String {
    let mut json = Vec::new();
    node.write_json(&mut json);
    String::from_utf8(json).expect("a tree is made of text")
}
