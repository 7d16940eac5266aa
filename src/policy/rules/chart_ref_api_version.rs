//! The apiVersion of `spec.chartRef`.

use super::{Example, Rule, release};
use crate::{
    helmrelease::{Field, at},
    policy::{Case, Findings, Level, SOURCE_GROUP, case::setting, finding::quoted},
};

pub(super) static RULE: Rule = Rule {
    id: "chart-ref-api-version",
    level: Level::Warning,
    policy: false,
    summary: "spec.chartRef.apiVersion, where it is set, fits the kind and is served.",
    why: "helm-controller does not read it, the kind decides; people and tools that do read it are misled.",
    help: "leave spec.chartRef.apiVersion out, or set it to the served one.",
    bad: Example::of(release!(
        "  chartRef:\n    apiVersion: source.toolkit.fluxcd.io/v1beta2\n    kind: OCIRepository\n    name: podinfo\n"
        "    namespace: apps\n"
    )),
    good: Example::of(release!(
        "  chartRef:\n    apiVersion: source.toolkit.fluxcd.io/v1\n    kind: OCIRepository\n    name: podinfo\n"
        "    namespace: apps\n"
    )),
    fixed: Some(release!(
        "  chartRef:\n    apiVersion: source.toolkit.fluxcd.io/v1\n    kind: OCIRepository\n    name: podinfo\n"
        "    namespace: apps\n"
    )),
    check,
};

fn check(case: &Case<'_>, findings: &mut Findings<'_>) {
    let (Some(chart_ref), Some(target)) = (case.chart_ref(), case.target) else { return };
    let Some(kind) = target.kind.filter(|_| !chart_ref.api_version.is_absent()) else { return };
    let served = case.installed.source_versions(kind);
    let fits = |api_version: &str| {
        let version = api_version.strip_prefix(SOURCE_GROUP).and_then(|rest| rest.strip_prefix('/'));
        version.is_some_and(|version| served.contains(&version))
    };
    let given = match &chart_ref.api_version {
        Field::Set(given) if fits(given) => return,
        Field::Set(given) => quoted(given),
        Field::Absent | Field::WrongType(_) => "of another type".to_owned(),
    };
    let Some(newest) = served.first() else { return };
    let served = format!("{SOURCE_GROUP}/{newest}");
    let report = findings
        .report(at::CHART_REF_API_VERSION, format!("spec.chartRef.apiVersion {given} has no {kind}"))
        .help(format!("set it to {served}, or leave it out."));
    // Flux applies again whatever differs from its last dry run, so no patch may come and go with what we have heard of.
    if !case.installed.source_versions_may_change() {
        report.fix(vec![setting(at::CHART_REF_API_VERSION, &served)]);
    }
}
