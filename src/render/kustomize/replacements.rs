//! Replacements: values that are copied from one object into others.

use super::assembly::Assembly;
use super::engine::{TOO_MANY, in_tree};
use super::fragments::{Fragment, Place};
use super::kustomization::{Options, Replacement, ReplacementSource, ReplacementTarget, SourceId, Text};
use super::merge::is_word;
use super::path::{self, Part, Writer};
use super::printing::words;
use super::resource::{By, Id, Layer, Resource};
use crate::json::Kind;
use crate::render::tree::{Reason, Tree};
use crate::yaml::{Node, Scalar, Span, Str, Value};

/// The field that is meant where none is said.
const DEFAULT_PATH: &str = "metadata.name";

/// The field that is copied.
struct Origin {
    /// The object that it is in, by its place among all.
    index: usize,
    path: Vec<Part>,
}

type Found<'a> = (Node<'a>, Option<Origin>);

/// Where and why there is no value to copy.
enum Absent {
    /// kustomize would say so, too.
    Known(Span, String),
    /// It would be in an object of which not all is known here.
    Unknown(Span, String),
}

/// Applies an item of `replacements`.
pub(super) fn apply<'a>(assembly: &mut Assembly<'_, '_, 'a>, folder: &str, replacement: &Replacement<'a>) {
    match replacement {
        Replacement::Path(path) => {
            for replacement in load(assembly, folder, path) {
                if let Replacement::Inline { at, source, targets } = &replacement {
                    replace(assembly, *at, source, targets);
                }
            }
        }
        Replacement::Inline { at, source, targets } => replace(assembly, *at, source, targets),
    }
}

fn load<'a>(assembly: &mut Assembly<'_, '_, 'a>, folder: &str, path: &Text<'a>) -> Vec<Replacement<'a>> {
    let view = &assembly.kustomize.view;
    let there = in_tree(folder, &path.text);
    let Some(file) = there.as_deref().and_then(|there| view.file(there)) else {
        let message = view.absence(&path.text, there.as_deref().unwrap_or(&path.text));
        assembly.note(path.at, Reason::Missing, message);
        return Vec::new();
    };
    let notes = &mut assembly.build.notes;
    let Fragment { documents, duplicates } =
        Fragment::replacements(Place::File(file), assembly.kustomize, notes);
    notes.extend(duplicates);
    documents.first().map(|document| Replacement::read_file(document, notes)).unwrap_or_default()
}

fn replace<'a>(
    assembly: &mut Assembly<'_, '_, 'a>,
    at: Span,
    source: &ReplacementSource<'a>,
    targets: &[ReplacementTarget<'a>],
) {
    let (mut value, origin) = match value_of(&assembly.build.resources, source, assembly.kustomize.tree) {
        Ok(found) => found,
        Err(Absent::Known(at, why)) => return assembly.note_absence(at, why),
        Err(Absent::Unknown(at, why)) => return assembly.note(at, Reason::Unsupported, why),
    };
    for target in targets {
        for index in 0..assembly.build.resources.len() {
            let resource = &assembly.build.resources[index];
            if !is_meant(target, resource) {
                continue;
            }
            if !assembly.may_do(value.count(TOO_MANY), at) {
                return;
            }
            let resource = &mut assembly.build.resources[index];
            resource.found_by.extend(target.select.version_at);
            let mut changed = resource.clone();
            match write(&mut changed.node, target, &value, assembly.kustomize.tree) {
                Ok(()) => {
                    changed.layers.push(Layer { at, by: By::Replacement });
                    assembly.build.resources[index] = changed;
                }
                Err(_) if !resource.is_known() => {}
                Err(why) => {
                    let message = format!("{why} ({})", resource.id());
                    assembly.note(target.at, Reason::Refused, message);
                }
            }
            // kustomize copies from the field itself, which may just have been written to.
            if let Some(origin) = origin.as_ref().filter(|origin| origin.index == index)
                && let Ok(Some(now)) =
                    path::lookup(&assembly.build.resources[index].node, &origin.path, assembly.kustomize.tree)
            {
                value = now;
            }
        }
    }
}

/// The value that is copied.
fn value_of<'a>(
    resources: &[Resource<'a>],
    source: &ReplacementSource<'a>,
    tree: &Tree<'a>,
) -> Result<Found<'a>, Absent> {
    let (at, id, path, options) = match source {
        ReplacementSource::Value(text) => return Ok((text.node(), None)),
        ReplacementSource::Field { at, id, path, options } => (*at, id, path.as_ref(), options),
    };
    let refuse = |why: String| Absent::Known(at, why);
    let is_it = |resource: &Resource<'a>| resource.ids().any(|it| is_selected(id, &it));
    let mut selected = resources.iter().enumerate().filter(|(_, resource)| is_it(resource));
    let (index, resource) = match (selected.next(), selected.next()) {
        (Some(found), None) => found,
        (Some(_), Some(_)) => {
            return Err(refuse("more than one object is meant to be copied from".to_owned()));
        }
        (None, _) => return Err(refuse("there is no such object to copy from".to_owned())),
    };
    let path = path.map_or(DEFAULT_PATH, |path| &*path.text);
    let parts = path::parse(path).map_err(refuse)?;
    let found = path::lookup(&resource.node, &parts, tree);
    let is_empty = |node: &Node<'_>| match node.kind() {
        Kind::Object => node.entries().is_empty(),
        Kind::Array => node.items().is_empty(),
        kind => kind == Kind::Null,
    };
    let value = found.map_err(refuse)?.filter(|node| !is_empty(node));
    let value = value.ok_or_else(|| {
        if resource.generated.is_partial {
            Absent::Unknown(at, format!("what {} has at {path} is not read", resource.id()))
        } else {
            refuse(format!("{} has no {path} to copy", resource.id()))
        }
    })?;
    let Some(delimiter) = &options.delimiter else {
        return Ok((value.clone(), Some(Origin { index, path: parts })));
    };
    let scalar = value.scalar().ok_or_else(|| refuse("only a text can be split".to_owned()))?;
    let part =
        usize::try_from(options.index).ok().and_then(|index| scalar.text.split(&**delimiter).nth(index));
    let part = part.ok_or_else(|| refuse(format!("{:?} has no part {}", scalar.text, options.index)))?;
    let scalar = Scalar { text: Str::from(part.to_owned()), plain: scalar.plain };
    Ok((Node { value: Value::Scalar(scalar), at: value.at, over: value.over.clone() }, None))
}

fn is_selected(source: &SourceId<'_>, id: &Id<'_>) -> bool {
    let says = |said: &Option<Str<'_>>, is: &str| said.as_deref().is_none_or(|said| said == is);
    let namespace = source.namespace.as_deref().is_none_or(|namespace| {
        let namespace = if namespace.is_empty() { "default" } else { namespace };
        namespace == id.effective_namespace()
    });
    namespace
        && says(&source.name, id.name)
        && says(&source.kind, id.kind)
        && says(&source.group, id.group)
        && says(&source.version, id.version)
}

/// Whether a target of a replacement means an object.
fn is_meant(target: &ReplacementTarget<'_>, resource: &Resource<'_>) -> bool {
    let is_rejected = target.reject.iter().any(|reject| {
        let by_labels = reject.has_labels() && reject.matches_labels(&resource.node);
        by_labels || (!reject.names_nothing() && resource.ids().any(|id| reject.matches_id(&id)))
    });
    !is_rejected
        && target.select.matches_labels(&resource.node)
        && resource.ids().any(|id| target.select.matches_id(&id))
}

/// Writes a value at all the paths of a target.
fn write<'a>(
    node: &mut Node<'a>,
    target: &ReplacementTarget<'a>,
    value: &Node<'a>,
    tree: &Tree<'a>,
) -> Result<(), String> {
    let default = [Text { text: Str::from(DEFAULT_PATH), at: target.at }];
    let paths = if target.paths.is_empty() { &default[..] } else { &target.paths };
    let blank = match value.kind() {
        Kind::Object => Value::Mapping(std::sync::Arc::default()),
        Kind::Array => Value::Sequence(std::sync::Arc::default()),
        _ => Value::Scalar(Scalar { text: Str::from(""), plain: true }),
    };
    let blank = Node { value: blank, at: target.at, over: None };
    for path in paths {
        let parts = path::parse(&path.text)?;
        let mut put = |field: &mut Node<'a>, is_new: bool| set(field, value, &target.options, is_new);
        let create = target.options.create.then_some(path.at);
        let count = Writer { create, blank: &blank, tree, write: &mut put }.walk(node, &parts, false)?;
        if count == 0 {
            return Err(format!("there is no {} to write to", path.text));
        }
    }
    Ok(())
}

/// Sets a field to a value, or a part of it. What was a number stays one; what was made just now is what it looks like.
fn set<'a>(
    field: &mut Node<'a>,
    value: &Node<'a>,
    options: &Options<'a>,
    is_new: bool,
) -> Result<(), String> {
    let mut text = value.scalar().map_or(Str::from(""), |scalar| scalar.text.clone());
    let Some(present) = field.scalar() else {
        if options.delimiter.is_some() {
            return Err("only a text can be split".to_owned());
        }
        let new = Node { value: value.value.clone(), at: value.at, over: None };
        *field = new.in_place_of(field);
        return Ok(());
    };
    if let Some(delimiter) = &options.delimiter {
        let mut parts: Vec<&str> = present.text.split(&**delimiter).collect();
        match usize::try_from(options.index) {
            Err(_) => parts.insert(0, &text),
            Ok(index) if index >= parts.len() => parts.push(&text),
            Ok(index) => parts[index] = &text,
        }
        text = Str::from(parts.join(delimiter));
    }
    let kind = field.kind();
    let scalar = if is_new {
        Scalar { text, plain: true }
    } else {
        let mut scalar = Scalar { text, plain: kind != Kind::String };
        scalar.plain |= present.plain && is_word(&scalar);
        let becomes = Node { value: Value::Scalar(scalar.clone()), at: field.at, over: None }.kind();
        if becomes != kind {
            return Err(format!("{:?} is put where {} was", scalar.text, words(kind)));
        }
        scalar
    };
    let new = Node { value: Value::Scalar(scalar), at: value.at, over: None };
    *field = new.in_place_of(field);
    Ok(())
}
