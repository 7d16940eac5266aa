//! From a chart with values files to an `OCIRepository`, which has none.

use super::{Example, Rule, release};
use crate::{
    helmrelease::at,
    policy::{Case, Findings, Level},
};

pub(super) static RULE: Rule = Rule {
    id: "values-files-lost",
    level: Level::Warning,
    policy: false,
    summary: "valuesFiles of spec.chart are carried over on the move to chartRef.",
    why: "an OCIRepository has no valuesFiles, so the release would be upgraded to the chart's default values.",
    help: "point chartRef to a HelmChart that lists the valuesFiles, or write their content into spec.values.",
    bad: Example::of(release!("  chartRef:\n    kind: OCIRepository\n    name: podinfo\n    namespace: apps\n")).after(
        release!(
            "  chart:\n    spec:\n      chart: podinfo\n      valuesFiles: [values-prod.yaml]\n      sourceRef:\n        "
            "kind: HelmRepository\n        name: podinfo\n"
        ),
        "kustomize-controller",
    ),
    good: Example::of(release!("  chartRef:\n    kind: HelmChart\n    name: podinfo\n    namespace: apps\n")).after(
        release!(
            "  chart:\n    spec:\n      chart: podinfo\n      valuesFiles: [values-prod.yaml]\n      sourceRef:\n        "
            "kind: HelmRepository\n        name: podinfo\n"
        ),
        "kustomize-controller",
    ),
    fixed: None,
    check,
};

fn check(case: &Case<'_>, findings: &mut Findings<'_>) {
    let Some((_, chart)) = case.moves_from() else { return };
    let had_files = chart.spec.set().is_some_and(|spec| spec.values_files);
    if had_files && case.target.is_some_and(|target| target.kind == Some("OCIRepository")) {
        findings.report(
            at::CHART_REF,
            "the valuesFiles of spec.chart are lost with an OCIRepository: inline them or use a HelmChart",
        );
    }
}
