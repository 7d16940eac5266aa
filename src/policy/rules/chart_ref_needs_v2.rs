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
    help: "set apiVersion: helm.toolkit.fluxcd.io/v2; where the release is in the cluster already, do so in a commit of its \
           own that keeps spec.chart, and move to chartRef when that is applied.",
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
    let version = &case.schema.version;
    let unknown = case.schema.chart_ref_kinds.is_empty();
    // A field that the schema does not have is refused even if it is null.
    let is_null = unknown && case.release().spec.set().is_some_and(|spec| spec.chart_ref_is_null);
    if case.chart_ref().is_none() && !is_null {
        return;
    }
    if unknown {
        let report =
            findings.report(at::CHART_REF, format!("{version} of {} has no spec.chartRef", case.installed));
        let report =
            report.why("the API server would answer \".spec.chartRef: field not declared in schema\".");
        // That is not an Invalid.
        let report = report.policy_if(true);
        if case.installed.newest_schema().chart_ref_kinds.is_empty() {
            report.help(
                "keep spec.chart until Flux 2.3 or newer is installed; it brings chartRef and apiVersion v2.",
            );
        }
    } else if case.schema.chart_required && case.chart() != ChartState::Whole {
        let what =
            format!("{version} of {} requires spec.chart, so chartRef cannot replace it", case.installed);
        findings
            .report(at::API_VERSION, what)
            .why("the API server would answer \"spec.chart: Required value\".");
    }
}
