//! The rule `schema`: HelmReleases and sources, validated by the CRDs of the chosen Flux.

use std::fmt::Write as _;

use rayon::prelude::*;

use super::release::{is_part, object_of, overridden, ways};
use super::{Criteria, plain};
use crate::json::Kind as Type;
use crate::policy::{field_path, quoted};
use crate::render::ends::{End, EndKind, Kind, Object, Rendered};
use crate::render::flux::{is_opaque, is_opaque_literal};
use crate::report::rule::{NOT_JUDGED, SCHEMA};
use crate::report::{Diagnostic, Grade};
use crate::structural::{Catalog, Fault, Problem};
use crate::yaml::{Overridden, Span};

/// A fault, and the object that has it.
#[derive(Debug)]
pub(super) struct Invalid<'r, 'a> {
    fault: Fault,
    object: &'r Object<'a>,
    end: &'r End<'a>,
}

/// Validates an object. A version that is not served has no schema; `deprecated-api-version` reports it.
///
/// `has_flux` tells whether the tree has Flux Kustomizations.
pub(super) fn faults<'r, 'a>(
    object: &'r Object<'a>,
    end: &'r End<'a>,
    has_flux: bool,
    criteria: Criteria<'_>,
) -> impl Iterator<Item = Invalid<'r, 'a>> {
    // What no Flux Kustomization leads to may be a base, of which something that is not here sets the rest.
    let is_part = is_part(end, object) || end.kind == EndKind::Folder && has_flux;
    let schema = criteria.catalog.schema(object.kind.name(), object.version());
    let is_known = |text: &str| if object.is_literal { !is_opaque_literal(text) } else { !is_opaque(text) };
    let faults = schema.map(|schema| schema.faults(&object.node, &is_known));
    let faults = faults.into_iter().flatten();
    let faults = faults.filter(move |fault| !(is_part && fault.problem.is_about_absence()));
    faults.map(move |fault| Invalid { fault, object, end })
}

/// Validates the sources of every output.
pub(super) fn of_sources<'r, 'a>(rendered: &'r Rendered<'a>, criteria: Criteria<'_>) -> Vec<Invalid<'r, 'a>> {
    let has_flux = rendered.has_flux();
    let ends = rendered.ends.par_iter();
    let invalid = ends.flat_map_iter(|end| {
        let sources = end.objects.iter().filter(|object| object.kind != Kind::HelmRelease);
        sources.flat_map(move |object| faults(object, end, has_flux, criteria))
    });
    invalid.collect()
}

/// The findings, each place once, however many outputs have it.
pub(super) fn diagnostics(mut invalid: Vec<Invalid<'_, '_>>, criteria: Criteria<'_>) -> Vec<Diagnostic> {
    invalid.sort_by(|one, other| one.identity().cmp(&other.identity()));
    let once = invalid.chunk_by(|one, other| one.identity() == other.identity());
    once.map(|invalid| diagnostic(invalid, criteria)).collect()
}

fn diagnostic(invalid: &[Invalid<'_, '_>], criteria: Criteria<'_>) -> Diagnostic {
    let first = &invalid[0];
    let Invalid { fault, object, .. } = first;
    let (rule, grade) = match fault.problem {
        Problem::UnknownRule { .. } => (NOT_JUDGED, Grade::Note),
        _ => (SCHEMA, Grade::Error),
    };
    let over = fault.over.as_deref().into_iter().flat_map(Overridden::places);
    let mut diagnostic = Diagnostic {
        what: first.what(criteria),
        object: Some(object_of(&object.node)),
        field: field_path(&fault.pointer),
        location: Some(fault.at.into()),
        related: overridden(over).collect(),
        ways: invalid.iter().flat_map(|invalid| ways(invalid.end)).collect(),
        ..plain(rule, grade)
    };
    if let Some(help) = first.help(criteria) {
        diagnostic.help = help.into();
    }
    diagnostic
}

// === impl Invalid ===

impl Invalid<'_, '_> {
    /// The field, as a JSON Pointer.
    pub(super) fn pointer(&self) -> &str {
        &self.fault.pointer
    }

    /// Whether the schema does not declare the field.
    pub(super) fn is_unknown_field(&self) -> bool {
        matches!(self.fault.problem, Problem::Unknown { .. })
    }

    /// What makes two faults the same finding.
    fn identity(&self) -> (Span, &str) {
        (self.fault.at, &self.fault.pointer)
    }

    /// The fault in words.
    fn what(&self, criteria: Criteria<'_>) -> String {
        let field = field_path(&self.fault.pointer);
        match &self.fault.problem {
            Problem::Unknown { .. } => {
                let (kind, installed) = (self.object.kind.name(), criteria.facts.serving(""));
                format!("{field} is no field of {kind} {} in {installed}", self.object.version())
            }
            Problem::Missing => format!("{field} is missing"),
            Problem::Null => format!("{field} is null"),
            Problem::Type { wanted, found, text, .. } => {
                let found = match (found, text) {
                    (Type::Number, Some(text)) => format!("the number {text}"),
                    (Type::Boolean, Some(text)) => format!("the boolean {text}"),
                    (Type::Array, _) => "a list".to_owned(),
                    (Type::Object, _) => "a map".to_owned(),
                    _ => "a string".to_owned(),
                };
                format!("{field} is {found}, not {wanted}")
            }
            Problem::Choice { text, choices } => {
                format!("{field} is {}, not one of {}", quoted(text), choices.join(", "))
            }
            Problem::Pattern { text, pattern } => {
                format!("{field} is {}, which does not match {pattern}", quoted(text))
            }
            Problem::Key { text } => format!("{} is no valid key", quoted(text)),
            Problem::Length { allowed, found } => {
                let mut what = format!("{field} has {found} characters");
                match allowed {
                    (Some(least), _) if found < least => write!(what, ", at least {least} are required"),
                    (_, Some(most)) => write!(what, ", at most {most} are allowed"),
                    _ => Ok(()),
                }
                .expect("a string takes all");
                what
            }
            Problem::Range { allowed: (least, most), text } => match (least, most) {
                (Some(least), None) => format!("{field} is {text}, less than {least}"),
                (None, Some(most)) => format!("{field} is {text}, more than {most}"),
                _ => format!("{field} is {text}, which is out of range"),
            },
            Problem::Rule { message } => {
                format!("{}: {message}", if field.is_empty() { "object" } else { &*field })
            }
            Problem::UnknownRule { message } => {
                format!("a rule of the CRD that chartgate cannot evaluate: {message}")
            }
        }
    }

    /// Advice that the rule does not state for all.
    fn help(&self, criteria: Criteria<'_>) -> Option<String> {
        let pointer = &*self.fault.pointer;
        match &self.fault.problem {
            Problem::Unknown { alike } => self.unknown(alike.as_deref(), criteria),
            Problem::Null => Some("set a value, or remove the field.".to_owned()),
            Problem::Missing => Some(format!("set {}.", field_path(pointer))),
            Problem::Type { wanted: "a string", text: Some(text), is_valid_in_quotes: true, .. } => {
                Some(format!("put it in quotes: \"{text}\"."))
            }
            Problem::Type { pattern: Some(pattern), .. } | Problem::Pattern { pattern, .. }
                if pattern.contains("(ms|s|m") =>
            {
                Some("write a duration with its unit, such as 10m or 1h30m.".to_owned())
            }
            Problem::Choice { text, .. }
                if pointer.ends_with("/sourceRef/kind") && text == "OCIRepository" =>
            {
                Some(if self.object.kind == Kind::HelmRelease {
                    "an OCIRepository holds the chart itself: name it in spec.chartRef, and remove spec.chart.".to_owned()
                } else {
                    "an OCIRepository holds the chart itself: name it in spec.chartRef of the HelmRelease, in place of this \
                     HelmChart."
                        .to_owned()
                })
            }
            _ => None,
        }
    }

    /// Advice on an unknown field.
    fn unknown(&self, alike: Option<&str>, criteria: Criteria<'_>) -> Option<String> {
        let pointer = &*self.fault.pointer;
        let name = pointer.rsplit('/').next().unwrap_or_default();
        if pointer.starts_with("/spec/chartRef/") && matches!(name, "version" | "tag" | "semver" | "digest") {
            let field = if name == "version" { "tag, or a range in spec.ref.semver," } else { name };
            return Some(format!("set spec.ref.{field} of the OCIRepository that spec.chartRef names."));
        }
        let installed = criteria.facts.serving("").flux();
        if let (Some((first, last)), Some(installed)) =
            (Catalog::minors_with(self.object.kind.name(), pointer), installed)
        {
            if first > installed {
                return Some(format!("remove it: it comes with Flux {first}."));
            }
            if last < installed {
                return Some(format!("remove it: Flux {last} is the last that has it."));
            }
        }
        let parent = field_path(pointer.rsplit_once('/').map_or("", |(parent, _)| parent));
        let dot = if parent.is_empty() { "" } else { "." };
        Some(format!("rename it to {parent}{dot}{}, or remove it.", alike?))
    }
}
