//! Neither `spec.chart` nor `spec.chartRef` is set.

use super::{Example, Rule, release};
use crate::{
    helmrelease::at,
    policy::{Case, Findings, Level, case::ChartState},
};

pub(super) static RULE: Rule = Rule {
    id: "no-chart-source",
    level: Level::Error,
    policy: false,
    summary: "A HelmRelease names its chart, in spec.chart or in spec.chartRef.",
    why: "helm-controller needs exactly one of them; without it there is nothing to install.",
    help: "set spec.chartRef to an OCIRepository or HelmChart, or spec.chart to a chart of a HelmRepository; if this \
           file is only a patch, apply what kustomize builds from it.",
    bad: Example::of(release!("  values: {}\n")),
    good: Example::of(release!(
        "  chart:\n    spec:\n      chart: podinfo\n      sourceRef:\n        kind: HelmRepository\n        name: podinfo\n"
    )),
    fixed: None,
    check,
};

fn check(case: &Case<'_>, findings: &mut Findings<'_>) {
    if case.chart() == ChartState::Absent && case.release().chart_ref().is_absent() {
        let is_taken = !case.schema.has_cel() && !case.schema.chart_required;
        findings.report(at::SPEC, "neither spec.chart nor spec.chartRef is set").policy_if(is_taken);
    }
}
