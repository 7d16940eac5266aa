//! Releases that an overlay moves from a chart to a chartRef: what their base says is lost on the way.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::Criteria;
use super::release::{grade, object_of, ways, whole};
use crate::helmrelease::at;
use crate::policy::{Level, find_rule};
use crate::preflight::place;
use crate::render::Tree;
use crate::render::ends::{End, Object, Rendered, expand};
use crate::report::{Diagnostic, Related};
use crate::yaml::{Node, Span};

/// The rule that speaks, as it does in admission, where the old object is the one in the cluster.
const RULE: &str = "values-files-lost";

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

/// The kind of source that a release has by chartRef alone, where that is none with `valuesFiles`; and the place of the chartRef.
fn moved_to<'n>(release: &'n Node<'_>) -> Option<(&'n str, Span)> {
    let has_chart = place::field(release, at::CHART).is_some_and(|entry| !entry.value.is_null());
    let kind = release.text_of(&["spec", "chartRef", "kind"]).filter(|_| !has_chart)?;
    matches!(kind, "OCIRepository" | "ExternalArtifact").then_some((kind, place::of(release, at::CHART_REF)))
}

/// Where the document that an object was made of lists `valuesFiles`.
fn values_files(object: &Object<'_>, tree: &Tree<'_>) -> Option<Span> {
    let documents = tree.file_of(object.document).documents().iter().flatten();
    let document = documents.flat_map(expand).find(|node| node.at == object.document)?;
    let files = document.at(&["spec", "chart", "spec", "valuesFiles"])?;
    (!files.items().is_empty()).then_some(files.at)
}
