//! Reports an optional field that is stated, and is `null`.

use memchr::memmem;

use super::{Example, Rule, release};
use crate::{
    helmrelease::{ChartRef, HelmRelease, at},
    json::{Kind, Raw},
    policy::{
        Case, Findings, Level,
        case::{ChartState, removal},
        finding::field_path,
    },
};

/// The optional fields of `spec.chart` without a default that rules and readers know, behind it. `chart-kind` reports a null
/// kind.
///
/// `version` and `reconcileStrategy` have one up to Flux 2.9, and take that in place of the null.
const OF_CHART: [(&[&str], &str); 2] = [
    (&["spec", "interval"], at::CHART_INTERVAL),
    (&["spec", "sourceRef", "namespace"], at::SOURCE_REF_NAMESPACE),
];

pub(super) static RULE: Rule = Rule {
    id: "null-field",
    level: Level::Error,
    policy: false,
    summary: "A field of spec.chart or spec.chartRef that holds nothing is left out, not null.",
    why: "server-side apply, which Flux uses, hands a null to the schema, and that asks for a string; kubectl create drops it.",
    help: "leave the field out.",
    bad: Example::of(release!(
        "  chart:\n    spec:\n      chart: podinfo\n      interval:\n      sourceRef:\n        kind: HelmRepository\n        \
         name: podinfo\n"
    )),
    good: Example::of(release!(
        "  chart:\n    spec:\n      chart: podinfo\n      sourceRef:\n        kind: HelmRepository\n        name: podinfo\n"
    )),
    fixed: Some(release!(
        "  chart:\n    spec:\n      chart: podinfo\n      sourceRef:\n        kind: HelmRepository\n        name: podinfo\n"
    )),
    check,
};

fn check(case: &Case<'_>, findings: &mut Findings<'_>) {
    // A chart that is incomplete is removed, or completed, as a whole.
    let of_chart = in_chart(case.release()).filter(|_| case.chart() == ChartState::Whole);
    // chart-ref-needs-v2 reports a schema without the field.
    let of_chart_ref = case.chart_ref().filter(|_| !case.schema.chart_ref_kinds.is_empty());
    for at in of_chart.chain(of_chart_ref.into_iter().flat_map(in_chart_ref)) {
        let field = field_path(at);
        findings
            .report(at, format!("{field} is null"))
            .heal(vec![removal(at)], format!("removed {field}, which is null"));
    }
}

fn in_chart(release: &HelmRelease<'_>) -> impl Iterator<Item = &'static str> {
    let chart = release.chart().set().map(|chart| chart.raw);
    // Nearly none holds a null, and to look for one is faster than to read the chart once more.
    let chart = chart.filter(|chart| memmem::find(chart.bytes(), b"null").is_some());
    OF_CHART.into_iter().filter_map(move |(path, at)| {
        let value = path.iter().try_fold(chart?, |value, key| Raw::member(value, key))?;
        (value.kind() == Kind::Null).then_some(at)
    })
}

fn in_chart_ref(chart_ref: &ChartRef<'_>) -> impl Iterator<Item = &'static str> {
    let ChartRef { api_version_is_null, namespace_is_null, .. } = *chart_ref;
    let all =
        [(api_version_is_null, at::CHART_REF_API_VERSION), (namespace_is_null, at::CHART_REF_NAMESPACE)];
    all.into_iter().filter_map(|(is_null, at)| is_null.then_some(at))
}
