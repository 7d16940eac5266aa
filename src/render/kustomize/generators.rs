//! `configMapGenerator` and `secretGenerator`: objects made of literals and files.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use super::assembly::Assembly;
use super::engine::in_tree;
use super::kustomization::{Change, Generator, GeneratorOptions, Text};
use super::metadata;
use super::names::named_file;
use super::resource::{Generated, Resource};
use crate::json::Kind;
use crate::render::tree::Reason;
use crate::yaml::{Entry, Key, Node, Span, Str};

const DATA: &str = "data";

/// The type of a Secret whose generator names none.
const OPAQUE: &str = "Opaque";

/// How many hexadecimal digits of a hash come behind a name.
const HASH_DIGITS: usize = 10;

/// The data of an object, as far as it is known here.
#[derive(Debug, Default)]
struct Data<'a> {
    /// In the order of the keys, as kustomize writes them.
    known: BTreeMap<Str<'a>, (Str<'a>, Span)>,
    /// The keys of what is copied from files that are not read.
    unread: Vec<Str<'a>>,
    /// Whether there may be more keys.
    may_be_more: bool,
}

/// Makes the object of a generator, or changes the one that is there, as kustomize 5.8 does: after the resources and before the components.
pub(super) fn apply<'a>(
    assembly: &mut Assembly<'_, '_, 'a>,
    folder: &str,
    generator: &Generator<'a>,
    global: &GeneratorOptions<'a>,
) {
    let Some(data) = data_of(assembly, folder, generator) else { return };
    let Some(name) = &generator.name else {
        let message = format!("a {} that is generated without a name", generator.kind);
        return assembly.note(generator.at, Reason::Refused, message);
    };
    for options in [global, &generator.options] {
        let tree = assembly.kustomize.tree;
        let keys = options.labels.iter().chain(&options.annotations).map(|entry| &entry.key);
        let refused = keys.filter(|key| metadata::is_refused(key, tree));
        assembly.build.notes.extend(refused.map(|key| metadata::refused_key(key.at, tree)));
    }
    let mut resource = made(generator, name, global, data);
    let id = resource.id();
    let is_it = |other: &Resource<'_>| other.ids().any(|other| other.is_same(&id));
    let mut there = assembly.build.resources.iter().enumerate().filter(|(_, other)| is_it(other));
    let (first, second) = (there.next(), there.next());
    match (first, &generator.changes) {
        (None, None) => assembly.append_generated(resource, generator.at),
        (None, Some(_)) => {
            let message = format!("there is no {id} that the generator can change");
            assembly.note_absence(generator.at, message);
        }
        (Some(_), None) => {
            let message = format!("{id} is there already, so its generator takes behavior: merge or replace");
            assembly.note(generator.at, Reason::Refused, message);
        }
        (Some(_), Some(_)) if second.is_some() => {
            let message = format!("there is more than one {id} that the generator could change");
            assembly.note(generator.at, Reason::Refused, message);
        }
        (Some((index, old)), Some(change)) => {
            take_over(&mut resource, old, matches!(change, Change::Merge));
            // A patch may have given it another kind, by which kustomize does not find it again.
            if resource.id().is_same(&old.id()) {
                assembly.build.resources[index] = resource;
            } else {
                let message = format!("{} is not what the generator could change any more", old.id());
                assembly.note(generator.at, Reason::Refused, message);
            }
        }
    }
}

/// The data that a generator asks for; `None`, with a note, where kustomize refuses that.
fn data_of<'a>(
    assembly: &mut Assembly<'_, '_, 'a>,
    folder: &str,
    generator: &Generator<'a>,
) -> Option<Data<'a>> {
    let mut data = Data::default();
    let mut is_refused = false;
    let mut refuse = |assembly: &mut Assembly<'_, '_, 'a>, at, message: String| {
        assembly.note(at, Reason::Refused, message);
        is_refused = true;
    };
    for path in &generator.envs {
        let Some(there) = in_tree(folder, &path.text) else {
            data.may_be_more = true;
            continue;
        };
        let Some(text) = assembly.kustomize.view.content(&there) else {
            data.may_be_more = true;
            note_missing(assembly, path, &there);
            continue;
        };
        for (key, value) in lines_of_env_file(text) {
            if !data.insert(key.into(), value.into(), path.at) {
                refuse(assembly, path.at, repeated(generator, key));
            }
        }
    }
    for literal in &generator.literals {
        match literal.text.split_once('=').filter(|(key, _)| !key.is_empty()) {
            Some((key, value)) => {
                let (key, value) = (Str::from(key.to_owned()), Str::from(without_quotes(value).to_owned()));
                let message = repeated(generator, &key);
                if !data.insert(key, value, literal.at) {
                    refuse(assembly, literal.at, message);
                }
            }
            None => refuse(assembly, literal.at, format!("the literal {:?} is not key=value", literal.text)),
        }
    }
    for file in &generator.files {
        let Some((key, path)) = named_file(&file.text) else {
            refuse(assembly, file.at, format!("{:?} is neither a path nor name=path", file.text));
            continue;
        };
        let path = Text { text: Str::from(path.to_owned()), at: file.at };
        let key = Str::from(key.to_owned());
        let there = in_tree(folder, &path.text);
        let text = there.as_deref().and_then(|there| assembly.kustomize.view.content(there));
        if let (Some(there), None) = (&there, text) {
            note_missing(assembly, &path, there);
        }
        let is_new = match text {
            _ if data.unread.contains(&key) => false,
            Some(text) => data.insert(key.clone(), text.into(), file.at),
            None => !data.known.contains_key(&key),
        };
        if !is_new {
            refuse(assembly, file.at, repeated(generator, &key));
        } else if text.is_none() {
            data.unread.push(key);
        }
    }
    (!is_refused).then_some(data)
}

fn repeated(generator: &Generator<'_>, key: &str) -> String {
    format!("the key {key:?} is there twice in the {} that is generated", generator.kind)
}

fn note_missing<'a>(assembly: &mut Assembly<'_, '_, 'a>, path: &Text<'a>, there: &str) {
    if !assembly.kustomize.view.exists(there) {
        let message = assembly.kustomize.view.absence(&path.text, there);
        assembly.note(path.at, Reason::Missing, message);
    }
}

/// The object that a generator makes by itself.
fn made<'a>(
    generator: &Generator<'a>,
    name: &Text<'a>,
    global: &GeneratorOptions<'a>,
    data: Data<'a>,
) -> Resource<'a> {
    let at = generator.at;
    let key = |text: &'static str| Key { text: Str::from(text), at };
    let mut node = Node::empty_mapping(at);
    node.set(key("apiVersion"), Node::text_at(Str::from("v1"), at));
    node.set(key("kind"), Node::text_at(Str::from(generator.kind), at));
    let mut resource = Resource::of(node, at);
    resource.set_metadata(Key { text: Str::from("name"), at: name.at }, name.node());
    if let Some(namespace) = &generator.namespace {
        resource.set_metadata(Key { text: Str::from("namespace"), at: namespace.at }, namespace.node());
    }
    let options = [global, &generator.options];
    for (field, entries) in [
        ("labels", options.map(|options| &options.labels)),
        ("annotations", options.map(|options| &options.annotations)),
    ] {
        let mut map = Node::empty_mapping(at);
        entries.into_iter().flatten().for_each(|entry| map.set(entry.key.clone(), entry.value.clone()));
        if !map.entries().is_empty() {
            resource.set_metadata(key(field), map);
        }
    }
    let is_secret = generator.kind == "Secret";
    let is_partial = data.may_be_more || !data.unread.is_empty();
    let mut map = Node::empty_mapping(at);
    for (key, (value, at)) in data.known {
        let value = if is_secret { Str::from(BASE64_STANDARD.encode(&*value)) } else { value };
        map.set(Key { text: key, at }, Node::text_at(value, at));
    }
    if is_secret {
        let its_type = generator.secret_type.as_ref().map_or(Str::from(OPAQUE), |text| text.text.clone());
        resource.node.set(key("type"), Node::text_at(its_type, at));
    }
    if is_secret || !map.entries().is_empty() {
        resource.node.set(key(DATA), map);
    }
    let needs_hash = !options.iter().any(|options| options.disables_hash);
    resource.generated = Generated { is_generated: true, needs_hash, is_partial };
    resource
}

/// Puts a generated object in the place of one that is there, whose name, labels and annotations it keeps; and its data, if they are merged.
fn take_over<'a>(resource: &mut Resource<'a>, old: &Resource<'a>, merges: bool) {
    let kept = |resource: &mut Resource<'a>, path: [&'static str; 2]| {
        let old = old.node.at(&path).map(Node::entries).unwrap_or_default();
        let new = resource.node.at(&path).map(Node::entries).unwrap_or_default();
        let mut map = Node::empty_mapping(resource.document);
        old.iter().chain(new).for_each(|Entry { key, value }| map.set(key.clone(), value.clone()));
        map
    };
    let at = resource.document;
    for field in ["labels", "annotations"] {
        let map = kept(resource, ["metadata", field]);
        if !map.entries().is_empty() {
            resource.set_metadata(Key { text: Str::from(field), at }, map);
        }
    }
    for field in ["name", "namespace"] {
        if let Some(entry) = old.node.get("metadata").and_then(|metadata| metadata.entry(field)) {
            resource.set_metadata(entry.key.clone(), entry.value.clone());
        }
    }
    let old_data = old.node.get(DATA);
    let is_whole = old_data.is_none_or(|data| data.kind() == Kind::Object && !data.is_elided())
        && old.node.get("stringData").is_none();
    if merges {
        let mut map = Node::empty_mapping(at);
        for data in [old_data, resource.node.get(DATA)].into_iter().flatten() {
            data.entries().iter().for_each(|Entry { key, value }| map.set(key.clone(), value.clone()));
        }
        if !map.entries().is_empty() {
            resource.node.set(Key { text: Str::from(DATA), at }, map);
        }
        resource.generated.is_partial |= old.generated.is_partial || !is_whole;
    }
    resource.generated.needs_hash &= old.generated.needs_hash;
    resource.previous.clone_from(&old.previous);
    resource.layers.clone_from(&old.layers);
}

/// Puts the hash of what is in an object behind its name, as kustomize does in the end, where all of that is known.
pub(super) fn add_hash(resource: &mut Resource<'_>) {
    let at = resource.document;
    let id = resource.id();
    let mut hashed: BTreeMap<&str, Json> = BTreeMap::new();
    hashed.insert("kind", id.kind.into());
    // It means to hash the name, and looks for it where it is not.
    hashed.insert("name", "".into());
    let others: &[&str] = if id.kind == "Secret" { &["type", DATA] } else { &[DATA] };
    for field in others {
        hashed.insert(field, resource.node.get(field).map_or_else(|| "".into(), Node::to_json));
    }
    for field in ["stringData", "binaryData"] {
        if let Some(map) = resource.node.get(field).filter(|map| map.kind() == Kind::Object) {
            hashed.insert(field, map.to_json());
        }
    }
    hashed.values_mut().for_each(Json::sort_all_objects);
    // Go writes these letters of HTML so.
    let json = serde_json::to_string(&hashed).expect("a tree is written as JSON");
    let json = json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    let json = json.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
    let digest = Sha256::digest(json).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let letters = digest.chars().take(HASH_DIGITS).map(|digit| match digit {
        '0' => 'g',
        '1' => 'h',
        '3' => 'k',
        'a' => 'm',
        'e' => 't',
        other => other,
    });
    let name = format!("{}-{}", id.name, letters.collect::<String>());
    resource.set_metadata(Key { text: Str::from("name"), at }, Node::text_at(name, at));
}

/// The keys and values of an env file: `KEY=value` in each line. A key alone has an empty value.
fn lines_of_env_file(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once('=').unwrap_or((line, ""))).filter(|(key, _)| !key.is_empty())
}

/// A value without the quotes that it is in, if both are the same.
fn without_quotes(value: &str) -> &str {
    let within = |quote| value.strip_prefix(quote)?.strip_suffix(quote);
    within('"').or_else(|| within('\'')).unwrap_or(value)
}

// === impl Data ===

impl<'a> Data<'a> {
    /// Adds a value; false if there is one of that key.
    fn insert(&mut self, key: Str<'a>, value: Str<'a>, at: Span) -> bool {
        self.known.insert(key, (value, at)).is_none()
    }
}
