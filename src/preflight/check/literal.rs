//! Variables that nobody replaces.

use rayon::prelude::*;

use super::plain;
use super::release::{object_of, ways};
use crate::json::pointer::escaped;
use crate::policy::{field_path, quoted};
use crate::render::ends::{End, Object, Rendered};
use crate::render::flux::has_variable;
use crate::report::rule::LITERAL_VARIABLE;
use crate::report::{Diagnostic, Grade};
use crate::yaml::{Node, Span};

/// Fields that hold texts for others, in which `${…}` is nothing of Flux's.
const OF_OTHERS: [&str; 5] =
    ["/metadata/annotations", "/metadata/labels", "/spec/values", "/spec/postRenderers", "/spec/ignore"];

/// A text with a variable that stays as it is.
struct Literal<'r, 'a> {
    at: Span,
    pointer: String,
    text: &'r str,
    object: &'r Object<'a>,
    end: &'r End<'a>,
}

/// The notes about variables in objects in which Flux replaces none, each place once.
pub(super) fn notes(rendered: &Rendered<'_>) -> Vec<Diagnostic> {
    let ends = rendered.ends.par_iter();
    let found = ends.flat_map_iter(|end| {
        let mut found = Vec::new();
        for object in end.objects.iter().filter(|object| object.is_literal && holds_variable(&object.node)) {
            visit(&object.node, &mut String::new(), &mut |at, pointer, text| {
                found.push(Literal { at, pointer: pointer.to_owned(), text, object, end });
            });
        }
        found
    });
    let mut found: Vec<_> = found.collect();
    found.sort_by_key(|literal| literal.at);
    found.chunk_by(|one, other| one.at == other.at).map(diagnostic).collect()
}

/// Whether there is a variable anywhere in it; in most there is none.
fn holds_variable(node: &Node<'_>) -> bool {
    node.scalar().is_some_and(|scalar| has_variable(&scalar.text))
        || node.entries().iter().any(|entry| holds_variable(&entry.value))
        || node.items().iter().any(holds_variable)
}

/// Reports each text with a variable, with its place and its field as a JSON Pointer.
fn visit<'n>(node: &'n Node<'_>, pointer: &mut String, report: &mut dyn FnMut(Span, &str, &'n str)) {
    if OF_OTHERS.contains(&pointer.as_str()) {
        return;
    }
    if let Some(text) = node.text().filter(|text| has_variable(text)) {
        report(node.at, pointer, text);
    }
    let entries = node.entries().iter().map(|entry| (entry.key.text.to_string(), &entry.value));
    let items = node.items().iter().enumerate().map(|(index, item)| (index.to_string(), item));
    for (segment, value) in entries.chain(items) {
        let length = pointer.len();
        pointer.push('/');
        pointer.push_str(&escaped(&segment));
        visit(value, pointer, report);
        pointer.truncate(length);
    }
}

fn diagnostic(literals: &[Literal<'_, '_>]) -> Diagnostic {
    let Literal { at, pointer, text, object, .. } = &literals[0];
    let field = field_path(pointer);
    Diagnostic {
        what: format!("{field} stays {}: nothing replaces the variable", quoted(text)),
        object: Some(object_of(&object.node)),
        field,
        location: Some((*at).into()),
        ways: literals.iter().flat_map(|literal| ways(literal.end)).collect(),
        ..plain(LITERAL_VARIABLE, Grade::Note)
    }
}
