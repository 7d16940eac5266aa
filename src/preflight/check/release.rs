//! The rules' findings about every rendered HelmRelease, each once, however many ways lead to it.

use std::sync::Arc;

use rayon::prelude::*;

use super::contents::{Content, Contents};
use super::relations::Relations;
use super::{Criteria, plain, schema};
use crate::helmrelease::at;
use crate::json::pointer::is_within;
use crate::policy::{Finding, Level, Mode, field_path};
use crate::preflight::files::Files;
use crate::preflight::fix::{self, Refusal, Scope};
use crate::preflight::{judge::judge, place};
use crate::render::ends::{self, End, EndKind, Kind, Rendered};
use crate::report::rule::NOT_JUDGED;
use crate::report::{Diagnostic, Grade, Object, Related, SuggestedFix};
use crate::yaml::{Node, Span};

/// A finding.
struct Found<'r, 'a> {
    finding: Finding,
    grade: Grade,
    /// The place that it is about.
    span: Span,
    /// The object that it is about.
    object: &'r Node<'a>,
    /// The source that the finding is about, where it is not about the object itself.
    source: Option<&'r Node<'a>>,
    /// What prints the object.
    end: &'r End<'a>,
    /// Where it is found by its version.
    by_version: &'r [Span],
}

/// Judges the releases of every end.
pub(super) fn judge_all(
    rendered: &Rendered<'_>,
    relations: &Relations,
    criteria: Criteria<'_>,
    files: &Files<'_>,
) -> Vec<Diagnostic> {
    let (contents, has_flux) = (&Contents::of(rendered), rendered.has_flux());
    let found = rendered.ends.par_iter().enumerate().flat_map_iter(|(index, end)| {
        whole(end).map(move |object| {
            let content = contents.of_release(index, object);
            let findings = findings(object, content, end, relations, criteria);
            let invalid = schema::faults(object, end, has_flux, criteria);
            let invalid: Vec<_> = invalid.filter(|it| !is_reported(it, &findings)).collect();
            let found =
                findings.into_iter().filter_map(|finding| found(finding, object, content, end, criteria));
            (invalid, found.collect::<Vec<_>>())
        })
    });
    let (invalid, found): (Vec<_>, Vec<_>) = found.unzip();
    let mut found: Vec<Found<'_, '_>> = found.into_iter().flatten().collect();
    // Alike ones keep their order: the first one is told.
    found.par_sort_by(|one, other| one.identity().cmp(&other.identity()));
    // Most of it goes into fixes.
    let once = found.par_chunk_by(|one, other| one.identity() == other.identity());
    let mut told: Vec<_> = once.map(|found| diagnostic(found, criteria, files)).collect();
    told.extend(schema::diagnostics(invalid.into_iter().flatten().collect(), criteria));
    told.shrink_to_fit();
    told
}

/// Whether a rule of the policy reports the same, in better words, or is switched off and would.
fn is_reported(invalid: &schema::Invalid<'_, '_>, findings: &[Finding]) -> bool {
    let pointer = invalid.pointer();
    let is_about_source = is_within(at::CHART, pointer) || is_within(at::CHART_REF, pointer);
    let mut errors = findings.iter().filter(|it| it.level == Level::Error && it.in_source.is_none());
    errors.any(|finding| {
        let at = &*finding.at;
        // What a rule says about `spec` as a whole is about its source, and says nothing about its other fields.
        let is_about = if at == at::SPEC { is_about_source } else { is_within(at, pointer) };
        let is_named_there = match finding.rule.id {
            // One finding names all fields.
            "unknown-chart-field" => invalid.is_unknown_field() && is_within(at::CHART, pointer),
            // The older version has no chartRef, or requires a chart.
            "chart-ref-needs-v2" => is_about_source,
            _ => false,
        };
        is_about || is_within(pointer, at) || is_named_there
    })
}

/// The releases of an end that are judged.
pub(super) fn whole<'e, 'a>(end: &'e End<'a>) -> impl Iterator<Item = &'e ends::Object<'a>> {
    releases(end).filter(|object| !is_part(end, object))
}

/// The documents that are no release yet: something that is not here completes them, and nothing says what comes of it.
pub(super) fn parts(rendered: &Rendered<'_>) -> Vec<Diagnostic> {
    let parts = rendered.ends.iter().flat_map(|end| releases(end).filter(|object| is_part(end, object)));
    let told = parts.map(|object| Diagnostic {
        what: "a part of a HelmRelease: it has no spec.interval, and nothing here completes it".to_owned(),
        why: "no version of HelmRelease is applied without spec.interval, so what completes it may set anything else, too.".into(),
        help: "check it together with the kustomization that completes it; if it is whole, set spec.interval.".into(),
        object: Some(object_of(&object.node)),
        location: Some(place::of(&object.node, "/metadata/name").into()),
        ..plain(NOT_JUDGED, Grade::Note)
    });
    told.collect()
}

fn releases<'e, 'a>(end: &'e End<'a>) -> impl Iterator<Item = &'e ends::Object<'a>> {
    end.objects.iter().filter(|object| object.kind == Kind::HelmRelease)
}

/// Whether a HelmRelease of a file that nobody names lacks what every version requires of it: it was never applied like that.
pub(super) fn is_part(end: &End<'_>, release: &ends::Object<'_>) -> bool {
    end.kind == EndKind::File && release.node.at(&["spec", "interval"]).is_none()
}

fn findings<'r, 'a>(
    object: &'r ends::Object<'a>,
    content: Option<&Content<'r, 'a>>,
    end: &'r End<'a>,
    relations: &Relations,
    criteria: Criteria<'_>,
) -> Vec<Finding> {
    let source = content.map(|content| &content.source);
    judge(&object.node, criteria.settings, relations.facts_for(end, object), source, forced_by(end))
}

/// A finding with its grade and place, unless its rule is switched off.
fn found<'r, 'a>(
    finding: Finding,
    object: &'r ends::Object<'a>,
    content: Option<&Content<'r, 'a>>,
    end: &'r End<'a>,
    criteria: Criteria<'_>,
) -> Option<Found<'r, 'a>> {
    let node = &object.node;
    let grade = grade(finding.rule.id, finding.level, criteria)?;
    let source = content.map(|content| content.node).filter(|_| finding.in_source.is_some());
    let span = match (source, finding.in_source) {
        (Some(source), Some(at)) => place::of(source, at),
        _ => place::of(node, &finding.at),
    };
    Some(Found { finding, grade, span, object: node, source, end, by_version: &object.found_by })
}

/// The Flux Kustomization that applies an end with `spec.force`, as `namespace/name`.
fn forced_by<'e>(end: &'e End<'_>) -> Option<&'e str> {
    let title = end.forced_by.as_deref()?;
    Some(title.strip_prefix("Kustomization ").unwrap_or(title))
}

/// What is told of a finding, by the first object that has it and all the ways that lead to one.
fn diagnostic(found: &[Found<'_, '_>], criteria: Criteria<'_>, files: &Files<'_>) -> Diagnostic {
    let Found { finding, grade, span, object, source, .. } = &found[0];
    let ways = found.iter().flat_map(|found| ways(found.end)).collect();
    if let Some(source) = source {
        return of_source(&found[0], source, ways);
    }
    let (settings, installed) = (criteria.settings, criteria.facts.serving(""));
    let mut found_by: Vec<Span> = found.iter().flat_map(|found| found.by_version).copied().collect();
    found_by.sort_unstable();
    found_by.dedup();
    let scope = Scope { object, found_by: &found_by, settings, installed, files };
    let (fix, unfixed) = fix_or_reason(criteria.fixes.then(|| fix::fix(finding, &scope)).flatten());
    Diagnostic {
        rule: finding.rule.id,
        grade: *grade,
        what: finding.what.clone(),
        why: finding.why.clone(),
        help: finding.help.clone(),
        object: Some(object_of(object)),
        field: finding.field(),
        location: Some((*span).into()),
        related: related(object, finding),
        ways,
        fix,
        unfixed,
        fingerprint: String::new(),
    }
}

/// The fix of a finding, or the reason why there is none.
pub(super) fn fix_or_reason(
    fix: Option<Result<SuggestedFix, Refusal>>,
) -> (Option<SuggestedFix>, Option<String>) {
    match fix {
        Some(Ok(fix)) => (Some(fix), None),
        Some(Err(refusal)) => (None, Some(refusal.to_string())),
        None => (None, None),
    }
}

/// The report of a finding about the source of a release.
fn of_source(found: &Found<'_, '_>, source: &Node<'_>, ways: Vec<Vec<Arc<str>>>) -> Diagnostic {
    let Found { finding, grade, span, object, .. } = found;
    let chart_ref = place::of(object, "/spec/chartRef/name");
    let what = format!("{} takes its chart from it", object_of(object));
    Diagnostic {
        rule: finding.rule.id,
        grade: *grade,
        what: finding.what.clone(),
        why: finding.why.clone(),
        help: finding.help.clone(),
        object: Some(object_of(source)),
        field: field_path(finding.in_source.unwrap_or_default()),
        location: Some((*span).into()),
        related: vec![Related { location: chart_ref.into(), what }],
        ways,
        fix: None,
        unfixed: None,
        fingerprint: String::new(),
    }
}

/// How bad a finding is, where the configuration of its rule lets it do so much.
pub(super) fn grade(rule: &str, level: Level, criteria: Criteria<'_>) -> Option<Grade> {
    let mode = criteria.settings.rules.get(rule).and_then(|rule| rule.mode);
    let most = match mode.unwrap_or(Mode::Enforce) {
        Mode::Off => return None,
        Mode::Audit => Grade::Note,
        Mode::Warn => Grade::Warning,
        Mode::Enforce => Grade::Error,
    };
    Some(Grade::from(level).min(most))
}

/// The object as reports name it.
pub(super) fn object_of(node: &Node<'_>) -> Object {
    let text = |path: &[&str]| node.text_of(path).unwrap_or_default().to_owned();
    Object {
        api_version: text(&["apiVersion"]),
        kind: text(&["kind"]),
        namespace: text(&["metadata", "namespace"]),
        name: text(&["metadata", "name"]),
    }
}

/// The ways that lead to an end, each by the names of its steps.
pub(super) fn ways(end: &End<'_>) -> Vec<Vec<Arc<str>>> {
    if end.kind == EndKind::File {
        return Vec::new();
    }
    let named = end.ways.iter().map(|way| way.steps.iter().map(|step| Arc::clone(&step.name)).collect());
    named.collect()
}

/// What else is to be looked at: the other one of chart and chartRef, and what the value took the place of.
fn related(object: &Node<'_>, finding: &Finding) -> Vec<Related> {
    let other = other_source(object, finding);
    other.into_iter().chain(overridden(place::overridden(object, &finding.at))).collect()
}

/// The other one of chart and chartRef, where a finding about one of them has to do with both.
fn other_source(object: &Node<'_>, finding: &Finding) -> Option<Related> {
    let (other, name) = if is_within(at::CHART, &finding.at) {
        (at::CHART_REF, "spec.chartRef")
    } else if is_within(at::CHART_REF, &finding.at) && finding.rule.id != "chart-ref-source-missing" {
        (at::CHART, "spec.chart")
    } else {
        return None;
    };
    let entry = place::field(object, other).filter(|entry| !entry.value.is_null())?;
    Some(Related { location: entry.key.at.into(), what: format!("{name} is set here") })
}

/// The places that a value took the place of.
pub(super) fn overridden(places: impl Iterator<Item = Span>) -> impl Iterator<Item = Related> {
    places.map(|span| Related { location: span.into(), what: "it overrides this".to_owned() })
}

// === impl Found ===

impl Found<'_, '_> {
    /// What makes two findings the same one.
    fn identity(&self) -> (Span, &'static str, &str) {
        (self.span, self.finding.rule.id, &self.finding.what)
    }
}
