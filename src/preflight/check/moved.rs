//! Releases that an overlay moves from a chart to a chartRef: what is lost of their base, and whether the chart is another one.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::Criteria;
use super::contents::Contents;
use super::release::{grade, object_of, ways, whole};
use crate::helmrelease::at;
use crate::policy::{Level, OCI_REPOSITORY, find_rule, keeps_release, other_chart};
use crate::preflight::place;
use crate::render::Tree;
use crate::render::ends::{End, Object, Rendered, expand};
use crate::render::flux::is_opaque;
use crate::report::{Diagnostic, Related};
use crate::yaml::{Node, Span};

/// The rule that speaks, as it does in admission, where the old object is the one in the cluster.
const RULE: &str = "values-files-lost";

/// The rule about the name of the chart.
const CHART_NAME_CHANGES: &str = "chart-name-changes";

/// The field that chooses what becomes of a release whose chart has another name.
const NAME_CHANGE_STRATEGY: &[&str] = &["spec", "upgrade", "chartNameChangeStrategy"];

/// A release that is moved, and what it loses.
struct Moved<'r, 'a> {
    object: &'r Object<'a>,
    kind: &'r str,
    ends: Vec<&'r End<'a>>,
}

/// The releases that an overlay moves to a source that has no `valuesFiles`, though their base lists some; each pair of places once.
pub(super) fn values_files_lost(
    rendered: &Rendered<'_>,
    criteria: Criteria<'_>,
    tree: &Tree<'_>,
) -> Vec<Diagnostic> {
    let Some(rule) = find_rule(RULE) else { return Vec::new() };
    let Some(grade) = grade(RULE, Level::Warning, criteria) else { return Vec::new() };
    let lost = rendered.ends.par_iter().flat_map_iter(|end| {
        whole(end).filter_map(move |object| {
            let (kind, at) = moved_to(&object.node)?;
            Some(((at, values_files(object, tree)?), object, kind, end))
        })
    });
    let mut once: BTreeMap<(Span, Span), Moved<'_, '_>> = BTreeMap::new();
    for (places, object, kind, end) in lost.collect::<Vec<_>>() {
        let new = || Moved { object, kind, ends: Vec::new() };
        once.entry(places).or_insert_with(new).ends.push(end);
    }
    let told = once.into_iter().map(|((at, files), Moved { object, kind, ends })| Diagnostic {
        why: rule.why.into(),
        help: rule.help.into(),
        object: Some(object_of(&object.node)),
        field: "spec.chartRef".to_owned(),
        location: Some(at.into()),
        related: vec![Related { location: files.into(), what: "they are listed here".to_owned() }],
        ways: ends.into_iter().flat_map(ways).collect(),
        ..Diagnostic::new(
            RULE,
            grade,
            format!("the valuesFiles of spec.chart are lost with an {kind}: inline them or use a HelmChart"),
        )
    });
    told.collect()
}

/// A release that an overlay moves to an `OCIRepository`.
struct Renamed<'r, 'a> {
    object: &'r Object<'a>,
    ends: Vec<&'r End<'a>>,
    what: String,
}

/// The releases that an overlay moves to an `OCIRepository` of another chart than their base names; each pair of places once.
pub(super) fn chart_names(
    rendered: &Rendered<'_>,
    criteria: Criteria<'_>,
    tree: &Tree<'_>,
) -> Vec<Diagnostic> {
    let Some(rule) = find_rule(CHART_NAME_CHANGES) else { return Vec::new() };
    let Some(grade) = grade(CHART_NAME_CHANGES, Level::Warning, criteria) else { return Vec::new() };
    let ends = rendered.ends.par_iter().enumerate();
    let moved = ends.flat_map_iter(|(index, end)| {
        whole(end).filter_map(move |object| {
            let (_, at) = moved_to(&object.node).filter(|(kind, _)| *kind == OCI_REPOSITORY)?;
            let chart = in_base(object, tree, &["spec", "chart", "spec", "chart"])?;
            let is_upgraded =
                keeps_release(object.node.text_of(NAME_CHANGE_STRATEGY), criteria.facts.serving(""));
            (!is_upgraded).then_some((index, end, object, at, chart))
        })
    });
    let moved: Vec<_> = moved.collect();
    if moved.is_empty() {
        return Vec::new();
    }
    let contents = Contents::of(rendered);
    let mut once: BTreeMap<(Span, Span), Renamed<'_, '_>> = BTreeMap::new();
    for (index, end, object, at, chart) in moved {
        let source = contents.of_release(index, object).and_then(|content| content.source.url.text());
        let names = chart.text().filter(|chart| !is_opaque(chart)).zip(source);
        let Some(what) = names.and_then(|(chart, url)| other_chart(chart, url)) else { continue };
        let new = || Renamed { object, ends: Vec::new(), what };
        once.entry((at, chart.at)).or_insert_with(new).ends.push(end);
    }
    let diagnostics = once.into_iter().map(|((at, chart), Renamed { object, ends, what })| Diagnostic {
        why: rule.why.into(),
        help: rule.help.into(),
        object: Some(object_of(&object.node)),
        field: "spec.chartRef".to_owned(),
        location: Some(at.into()),
        related: vec![Related { location: chart.into(), what: "it is named here".to_owned() }],
        ways: ends.into_iter().flat_map(ways).collect(),
        ..Diagnostic::new(CHART_NAME_CHANGES, grade, what)
    });
    diagnostics.collect()
}

/// The kind of source that a release has by chartRef alone, where that is none with `valuesFiles`; and the place of the chartRef.
fn moved_to<'n>(release: &'n Node<'_>) -> Option<(&'n str, Span)> {
    let has_chart = place::field(release, at::CHART).is_some_and(|entry| !entry.value.is_null());
    let kind = release.text_of(&["spec", "chartRef", "kind"]).filter(|_| !has_chart)?;
    matches!(kind, "OCIRepository" | "ExternalArtifact").then_some((kind, place::of(release, at::CHART_REF)))
}

/// Where the document that an object was made of lists `valuesFiles`.
fn values_files(object: &Object<'_>, tree: &Tree<'_>) -> Option<Span> {
    let files = in_base(object, tree, &["spec", "chart", "spec", "valuesFiles"])?;
    (!files.items().is_empty()).then_some(files.at)
}

/// A field of the document that an object was made of.
fn in_base<'t, 'a>(object: &Object<'_>, tree: &'t Tree<'a>, path: &[&str]) -> Option<&'t Node<'a>> {
    let documents = tree.file_of(object.document).documents().iter().flatten();
    documents.flat_map(expand).find(|node| node.at == object.document)?.at(path)
}
