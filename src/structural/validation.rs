//! Validates a node by a schema.

use std::fmt::Write as _;
use std::sync::Arc;

use super::model::{Constraints, Schema, Type};
use crate::json::Kind;
use crate::json::pointer::escaped;
use crate::yaml::{Entry, Node, Overridden, Span, number};

/// A value that the API server refuses.
#[derive(Debug, Clone)]
pub struct Fault {
    /// The field, as a JSON Pointer.
    pub pointer: String,
    /// The value; the key of an unknown field, a list or a map; what lacks a field.
    pub at: Span,
    /// What the value overrides.
    pub over: Option<Arc<Overridden>>,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Problem {
    /// The schema does not declare the field.
    Unknown {
        /// The declared field that is spelt most alike.
        alike: Option<String>,
    },
    /// A required field is absent.
    Missing,
    /// It is null, which the schema does not allow.
    Null,
    /// It is of another type.
    Type {
        /// What it should be, with its article.
        wanted: &'static str,
        /// What it is.
        found: Kind,
        /// How it is written, if it is a scalar.
        text: Option<String>,
        /// The regular expression that the schema requires a string to match.
        pattern: Option<String>,
        /// Whether it is valid as a string of the same text.
        is_valid_in_quotes: bool,
    },
    /// It is none of the values of `enum`.
    Choice {
        /// The value.
        text: String,
        /// The values that are allowed.
        choices: Vec<String>,
    },
    /// It does not match `pattern`.
    Pattern {
        /// The value.
        text: String,
        /// The regular expression.
        pattern: String,
    },
    /// The key does not match the pattern of keys.
    Key {
        /// The key.
        text: String,
    },
    /// It is shorter or longer than allowed.
    Length {
        /// The least and the greatest number of characters.
        allowed: (Option<u64>, Option<u64>),
        /// How many it has.
        found: u64,
    },
    /// It is smaller or greater than allowed.
    Range {
        /// The least and the greatest value.
        allowed: (Option<f64>, Option<f64>),
        /// The value.
        text: String,
    },
    /// A CEL rule does not hold.
    Rule {
        /// Its message.
        message: String,
    },
    /// A CEL rule that cannot be evaluated here.
    UnknownRule {
        /// Its message.
        message: String,
    },
}

/// Collects faults on the way down.
struct Walk<'w> {
    /// Whether a text is known here, as opposed to a variable that something else replaces.
    is_known: &'w dyn Fn(&str) -> bool,
    faults: Vec<Fault>,
}

/// The way to a value. It becomes a JSON Pointer where there is a fault.
#[derive(Clone, Copy)]
enum Way<'w> {
    Root,
    Key(&'w Way<'w>, &'w str),
    Item(&'w Way<'w>, usize),
}

impl Schema<'_> {
    /// Everything of an object that the API server refuses in a server-side apply. `is_known` tells a text from a variable that something
    /// else replaces; nothing is assumed of the latter.
    pub fn faults(self, object: &Node<'_>, is_known: &dyn Fn(&str) -> bool) -> Vec<Fault> {
        let mut walk = Walk { is_known, faults: Vec::new() };
        let at = object.entry("kind").map_or(object.at, |entry| entry.value.at);
        walk.value(object, self, at, &Way::Root);
        walk.faults
    }
}

// === impl Problem ===

impl Problem {
    /// Whether something may still be set that solves it.
    pub fn is_about_absence(&self) -> bool {
        matches!(self, Self::Missing | Self::Rule { .. })
    }
}

// === impl Walk ===

impl Walk<'_> {
    /// Validates a value. `key` is where it is named.
    fn value(&mut self, node: &Node<'_>, schema: Schema<'_>, key: Span, way: &Way<'_>) {
        let constraints = schema.constraints();
        let kind = node.kind();
        // No variable looks like a number, a boolean or null.
        if kind == Kind::String && node.scalar().is_some_and(|scalar| !(self.is_known)(&scalar.text)) {
            return;
        }
        if kind == Kind::Null {
            let is_typed = constraints.kind.is_some() || constraints.is_int_or_string;
            if is_typed && !constraints.is_nullable && constraints.default.is_none() {
                self.fault(node, key, Problem::Null, way);
            }
            return;
        }
        if let Some(wanted) = mismatch(constraints, node) {
            let text = node.scalar().map(|scalar| scalar.text.to_string());
            let at = if text.is_some() { node.at } else { key };
            let pattern = constraints.pattern.as_ref();
            let is_valid = |text: &String| pattern.is_none_or(|pattern| pattern.matches(text));
            let is_valid_in_quotes = text.as_ref().is_some_and(is_valid);
            let pattern = pattern.map(|pattern| pattern.text.to_string());
            self.fault(
                node,
                at,
                Problem::Type { wanted, found: kind, text, pattern, is_valid_in_quotes },
                way,
            );
            return;
        }
        let before = self.faults.len();
        match kind {
            Kind::Object if !node.is_elided() => self.map(node, schema, key, way),
            Kind::Array => {
                for (index, item) in node.items().iter().enumerate() {
                    if let Some(schema) = schema.items() {
                        self.value(item, schema, item.at, &Way::Item(way, index));
                    }
                }
            }
            Kind::String => self.text(node, constraints, way),
            Kind::Number => self.number(node, constraints, way),
            _ => {}
        }
        // The API server evaluates rules on values that are valid otherwise.
        if self.faults.len() == before && !constraints.rules.is_empty() {
            self.rules(node, schema, key, way);
        }
    }

    fn map(&mut self, node: &Node<'_>, schema: Schema<'_>, key: Span, way: &Way<'_>) {
        let constraints = schema.constraints();
        let mut has_variables = false;
        for entry in node.entries() {
            let name = &*entry.key.text;
            if !(self.is_known)(name) {
                has_variables = true;
            } else if let Some(schema) = schema.property(name) {
                let way = Way::Key(way, name);
                if constraints.names.as_ref().is_some_and(|names| !names.matches(name)) {
                    self.fault(&entry.value, entry.key.at, Problem::Key { text: name.to_owned() }, &way);
                }
                self.value(&entry.value, schema, entry.key.at, &way);
            } else if !schema.is_open() {
                let alike = alike(name, node.entries(), schema);
                self.fault(&entry.value, entry.key.at, Problem::Unknown { alike }, &Way::Key(way, name));
            }
        }
        if has_variables {
            return;
        }
        for name in &constraints.required {
            let is_there = node.get(name).is_some();
            let has_default = || schema.property(name).is_some_and(|it| it.constraints().default.is_some());
            if !is_there && !has_default() {
                self.fault(node, key, Problem::Missing, &Way::Key(way, name));
            }
        }
    }

    fn text(&mut self, node: &Node<'_>, constraints: &Constraints, way: &Way<'_>) {
        let Some(text) = node.text() else { return };
        if let Some(pattern) = constraints.pattern.as_ref().filter(|pattern| !pattern.matches(text)) {
            let pattern = pattern.text.to_string();
            self.fault(node, node.at, Problem::Pattern { text: text.to_owned(), pattern }, way);
        }
        let (least, most) = constraints.length;
        if least.is_some() || most.is_some() {
            let found = text.chars().count() as u64;
            if least.is_some_and(|least| found < least) || most.is_some_and(|most| found > most) {
                self.fault(node, node.at, Problem::Length { allowed: constraints.length, found }, way);
            }
        }
        if !constraints.choices.is_empty() && !constraints.choices.iter().any(|choice| **choice == *text) {
            let choices = constraints.choices.iter().map(ToString::to_string).collect();
            self.fault(node, node.at, Problem::Choice { text: text.to_owned(), choices }, way);
        }
    }

    fn number(&mut self, node: &Node<'_>, constraints: &Constraints, way: &Way<'_>) {
        let Some(value) = number_of(node) else { return };
        let (least, most) = constraints.range;
        if least.is_some_and(|least| value < least) || most.is_some_and(|most| value > most) {
            let text = node.scalar().map_or_else(String::new, |scalar| scalar.text.to_string());
            self.fault(node, node.at, Problem::Range { allowed: constraints.range, text }, way);
        }
    }

    fn rules(&mut self, node: &Node<'_>, schema: Schema<'_>, key: Span, way: &Way<'_>) {
        for (rule, holds) in schema.constraints().rules.evaluate(node, schema) {
            let message = || rule.message.to_string();
            match holds {
                Some(true) => {}
                // It may hold once the variables are replaced.
                Some(false) if self.has_variables(node) => {}
                Some(false) => self.fault(node, key, Problem::Rule { message: message() }, way),
                None => self.fault(node, key, Problem::UnknownRule { message: message() }, way),
            }
        }
    }

    fn has_variables(&self, node: &Node<'_>) -> bool {
        node.scalar().is_some_and(|scalar| !(self.is_known)(&scalar.text))
            || node.items().iter().any(|item| self.has_variables(item))
            || node
                .entries()
                .iter()
                .any(|entry| !(self.is_known)(&entry.key.text) || self.has_variables(&entry.value))
    }

    fn fault(&mut self, node: &Node<'_>, at: Span, problem: Problem, way: &Way<'_>) {
        let mut pointer = String::new();
        way.write(&mut pointer);
        self.faults.push(Fault { pointer, at, over: node.over.clone(), problem });
    }
}

// === impl Way ===

impl Way<'_> {
    fn write(&self, pointer: &mut String) {
        match self {
            Self::Root => {}
            Self::Key(before, key) => {
                before.write(pointer);
                pointer.push('/');
                pointer.push_str(&escaped(key));
            }
            Self::Item(before, index) => {
                before.write(pointer);
                let _ = write!(pointer, "/{index}");
            }
        }
    }
}

/// The type that a value should have, if it has another one.
fn mismatch(constraints: &Constraints, node: &Node<'_>) -> Option<&'static str> {
    let kind = node.kind();
    let is_integer = || number_of(node).is_some_and(|number| number.fract() == 0.0);
    if constraints.is_int_or_string {
        let fits = kind == Kind::String || kind == Kind::Number && is_integer();
        return (!fits).then_some("an integer or a string");
    }
    let wanted = constraints.kind?;
    let fits = match wanted {
        Type::Array => kind == Kind::Array,
        Type::Boolean => kind == Kind::Boolean,
        Type::Integer => kind == Kind::Number && is_integer(),
        Type::Number => kind == Kind::Number,
        Type::Object => kind == Kind::Object,
        Type::String => kind == Kind::String,
    };
    (!fits).then(|| wanted.noun())
}

/// The value of a number; none for `.inf` and `.nan`.
fn number_of(node: &Node<'_>) -> Option<f64> {
    number(&node.scalar()?.text)?.parse().ok()
}

/// The declared field that is spelt most like an unknown one, and is not there yet.
fn alike(name: &str, there: &[Entry<'_>], schema: Schema<'_>) -> Option<String> {
    let free = schema.names().filter(|known| there.iter().all(|entry| entry.key.text != *known));
    let (likeness, known) = free
        .map(|known| (strsim::jaro_winkler(name, known), known))
        .max_by(|one, other| one.0.total_cmp(&other.0))?;
    (likeness > 0.85).then(|| known.to_owned())
}
