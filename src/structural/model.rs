//! The schema as data.

use std::sync::OnceLock;

use regex::Regex;
use serde_json::Value;

use super::metadata;
use super::rule::Rules;
use crate::json::pointer::segments;

/// The schemas of several versions of several kinds. Equal parts of embedded schemas are stored once.
#[derive(Debug, Default)]
pub struct Arena {
    nodes: Vec<Constraints>,
}

/// A schema, or a part of one.
#[derive(Debug, Clone, Copy)]
pub struct Schema<'s> {
    arena: &'s Arena,
    id: Id,
}

/// The index of a schema in its arena.
pub(super) type Id = u32;

/// What a schema requires of a value.
#[derive(Debug, Default)]
pub(super) struct Constraints {
    pub(super) kind: Option<Type>,
    pub(super) is_nullable: bool,
    /// `x-kubernetes-preserve-unknown-fields`.
    pub(super) is_open: bool,
    /// `x-kubernetes-int-or-string`.
    pub(super) is_int_or_string: bool,
    /// Sorted by name.
    properties: Vec<(Box<str>, Id)>,
    additional: Option<Id>,
    /// `propertyNames`.
    pub(super) names: Option<Pattern>,
    items: Option<Id>,
    pub(super) required: Vec<Box<str>>,
    /// `enum`; empty where any value is allowed.
    pub(super) choices: Vec<Box<str>>,
    pub(super) pattern: Option<Pattern>,
    /// The length of a string in characters, from and to.
    pub(super) length: (Option<u64>, Option<u64>),
    /// The value of a number, from and to.
    pub(super) range: (Option<f64>, Option<f64>),
    pub(super) default: Option<Value>,
    pub(super) rules: Rules,
}

/// `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Array,
    Boolean,
    Integer,
    Number,
    Object,
    String,
}

/// A regular expression, compiled on first use.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) text: Box<str>,
    compiled: OnceLock<Option<Regex>>,
}

// === impl Arena ===

impl Arena {
    /// Adds the schemas of the list `shared` of [`embedded`](super::catalog), in their order. A number in place of a schema is the
    /// index of an earlier one.
    pub(super) fn of_shared(shared: &[Value]) -> Self {
        let mut arena = Self { nodes: Vec::with_capacity(shared.len()) };
        for schema in shared {
            arena.add(schema);
        }
        arena
    }

    /// Adds an `openAPIV3Schema` with everything in it, and returns its index.
    pub(super) fn add(&mut self, schema: &Value) -> Id {
        if let Some(id) = schema.as_u64().and_then(|id| Id::try_from(id).ok()) {
            return id;
        }
        let is = |keyword: &str| schema[keyword] == true;
        let mut properties: Vec<(Box<str>, Id)> = schema["properties"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, schema)| (name.as_str().into(), self.add(schema)))
            .collect();
        properties.sort_unstable_by(|(one, _), (other, _)| in_order(one).cmp(&in_order(other)));
        let node = Constraints {
            kind: schema["type"].as_str().and_then(Type::named),
            is_nullable: is("nullable"),
            is_open: is("x-kubernetes-preserve-unknown-fields"),
            is_int_or_string: is("x-kubernetes-int-or-string"),
            properties,
            // `false` allows none, as no keyword does.
            additional: Some(&schema["additionalProperties"])
                .filter(|it| it.is_object() || it.is_u64() || **it == true)
                .map(|schema| self.add(schema)),
            names: schema["propertyNames"]["pattern"].as_str().map(Pattern::of),
            items: Some(&schema["items"]).filter(|it| !it.is_null()).map(|schema| self.add(schema)),
            required: texts(&schema["required"]),
            choices: texts(&schema["enum"]),
            pattern: schema["pattern"].as_str().map(Pattern::of),
            length: (schema["minLength"].as_u64(), schema["maxLength"].as_u64()),
            range: (schema["minimum"].as_f64(), schema["maximum"].as_f64()),
            default: Some(&schema["default"]).filter(|it| !it.is_null()).cloned(),
            rules: Rules::of(schema["x-kubernetes-validations"].as_array().into_iter().flatten()),
        };
        self.nodes.push(node);
        Id::try_from(self.nodes.len() - 1).expect("a CRD has at most 3 MiB")
    }

    /// Adds the schema of a kind, whose `metadata` no CRD describes.
    pub(super) fn add_kind(&mut self, schema: &Value) -> Id {
        let mut schema = schema.clone();
        schema["properties"]["metadata"] = metadata::SCHEMA.clone();
        self.add(&schema)
    }

    pub(super) fn schema(&self, id: Id) -> Schema<'_> {
        Schema { arena: self, id }
    }
}

/// What names are ordered by: to compare two lengths is faster than to compare two texts.
fn in_order(name: &str) -> (usize, &str) {
    (name.len(), name)
}

/// The texts in a list.
fn texts(list: &Value) -> Vec<Box<str>> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(Box::from).collect()
}

// === impl Schema ===

impl<'s> Schema<'s> {
    pub(super) fn constraints(self) -> &'s Constraints {
        &self.arena.nodes[self.id as usize]
    }

    /// The schema of a field.
    pub(super) fn property(self, name: &str) -> Option<Self> {
        let Constraints { properties, additional, .. } = self.constraints();
        let found = properties.binary_search_by(|(known, _)| in_order(known).cmp(&in_order(name)));
        let id = found.ok().map(|index| properties[index].1).or(*additional)?;
        Some(Self { id, ..self })
    }

    /// The schema of the items of a list.
    pub(super) fn items(self) -> Option<Self> {
        Some(Self { id: self.constraints().items?, ..self })
    }

    /// The names of the fields that the schema declares.
    pub(super) fn names(self) -> impl Iterator<Item = &'s str> {
        self.constraints().properties.iter().map(|(name, _)| &**name)
    }

    /// Whether it allows a field that it does not declare.
    pub(super) fn is_open(self) -> bool {
        let Constraints { is_open, properties, additional, .. } = self.constraints();
        *is_open || (properties.is_empty() && additional.is_none())
    }

    /// Whether it declares a field at a JSON Pointer. Items of lists count whatever their index.
    pub(super) fn declares(self, pointer: &str) -> bool {
        let step = |schema: Self, segment: &str| {
            if schema.constraints().items.is_some() { schema.items() } else { schema.property(segment) }
        };
        segments(pointer).try_fold(self, |schema, segment| step(schema, &segment)).is_some()
    }
}

// === impl Type ===

impl Type {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "array" => Self::Array,
            "boolean" => Self::Boolean,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "object" => Self::Object,
            "string" => Self::String,
            _ => return None,
        })
    }

    /// With its article.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Array => "a list",
            Self::Boolean => "a boolean",
            Self::Integer => "an integer",
            Self::Number => "a number",
            Self::Object => "a map",
            Self::String => "a string",
        }
    }
}

// === impl Pattern ===

impl Pattern {
    fn of(text: &str) -> Self {
        Self { text: text.into(), compiled: OnceLock::new() }
    }

    /// Whether it matches anywhere in a text. One that the `regex` crate does not support matches everything; the RE2 syntax of the
    /// API server has nothing that it lacks.
    pub(super) fn matches(&self, text: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| Regex::new(&self.text).ok());
        compiled.as_ref().is_none_or(|compiled| compiled.is_match(text))
    }
}
