//! `spec.chartRef` in a version of HelmRelease that cannot live on it alone.

use super::{Example, Rule};
use crate::{
    helmrelease::at,
    policy::{Case, Findings, Level, case::ChartState},
};

pub(super) static RULE: Rule = Rule {
    id: "chart-ref-needs-v2",
    level: Level::Error,
    policy: false,
    summary: "spec.chartRef stands in an apiVersion whose schema can do without spec.chart.",
    why: "the schema of this apiVersion has no spec.chartRef, or requires spec.chart beside it; the API server then \
          answers \"spec.chart: Required value\" or \"field not declared in schema\".",
    help: "set apiVersion: helm.toolkit.fluxcd.io/v2 in a commit of its own, wait until it is applied, then move to \
           chartRef.",
    bad: Example::of(
        "apiVersion: helm.toolkit.fluxcd.io/v2beta2\nkind: HelmRelease\nmetadata:\n  name: podinfo\n  namespace: apps\n  \
         annotations:\n    fluxcd.io/version: v2beta2\nspec:\n  interval: 10m\n  chartRef:\n    kind: OCIRepository\n    \
         name: podinfo\n    namespace: apps\n",
    )
    .on("2.2"),
    good: Example::of(
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata:\n  name: podinfo\n  namespace: apps\n  \
         annotations:\n    fluxcd.io/version: v2\nspec:\n  interval: 10m\n  chartRef:\n    kind: OCIRepository\n    \
         name: podinfo\n    namespace: apps\n",
    )
    .on("2.6"),
    fixed: None,
    check,
};

fn check(case: &Case<'_>, findings: &mut Findings<'_>) {
    let version = case.schema.version;
    let unknown = case.schema.chart_ref_kinds.is_empty();
    // A field that the schema does not have is refused even if it is null.
    let is_null = unknown && case.release().spec.set().is_some_and(|spec| spec.chart_ref_is_null);
    if case.chart_ref().is_none() && !is_null {
        return;
    }
    if unknown {
        findings.report(at::CHART_REF, format!("{version} of Flux {} has no spec.chartRef", case.facts.flux));
    } else if case.schema.chart_required && case.chart() != ChartState::Whole {
        let what = format!(
            "{version} of Flux {} requires spec.chart, so chartRef cannot replace it",
            case.facts.flux
        );
        findings.report(at::API_VERSION, what);
    }
}
