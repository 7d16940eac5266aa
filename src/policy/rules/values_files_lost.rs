//! Reports the move from a chart with values files to a source that has none.

use super::{Example, Rule, release};
use crate::policy::{Case, Findings, Level};

pub(super) static RULE: Rule = Rule {
    id: "values-files-lost",
    level: Level::Warning,
    policy: false,
    summary: "valuesFiles of spec.chart are carried over on the move to another source.",
    why: "only a HelmChart has valuesFiles: with an OCIRepository or an ExternalArtifact the release is upgraded to the chart's \
          default values, and stays Ready.",
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
    let Some((chart, kind, at)) = case.leaves_helm_chart() else { return };
    if kind != "HelmChart" && chart.spec.set().is_some_and(|spec| spec.values_files) {
        let what =
            format!("the valuesFiles of spec.chart are lost with an {kind}: inline them or use a HelmChart");
        findings.report(at, what);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::helmrelease::at;
    use crate::policy::rules::testing::{found, release};

    #[test]
    fn an_inline_source_has_none_either() {
        let source = json!({"kind": "HelmRepository", "name": "podinfo"});
        let chart = json!({"chart": "podinfo", "sourceRef": source, "valuesFiles": ["values-prod.yaml"]});
        let old = release(&json!({"chart": {"spec": chart}}));
        let inline = json!({"kind": "OCIRepository", "spec": {"url": "oci://a/podinfo"}});
        let new = release(&json!({"chart": inline}));
        let found = found(&new, Some(&old));
        assert_eq!(
            found.iter().map(|it| (it.rule, &*it.at)).collect::<Vec<_>>(),
            [(RULE.id, at::CHART_KIND)]
        );
    }

    #[test]
    fn only_a_helm_chart_keeps_values_files() {
        let source = json!({"kind": "HelmRepository", "name": "podinfo"});
        let chart = json!({"chart": "podinfo", "sourceRef": source, "valuesFiles": ["values-prod.yaml"]});
        let old = release(&json!({"chart": {"spec": chart}}));
        for (kind, is_lost) in
            [("OCIRepository", true), ("ExternalArtifact", true), ("HelmChart", false), ("Bucket", false)]
        {
            let new = release(&json!({"chartRef": {"kind": kind, "name": "podinfo"}}));
            let lost = found(&new, Some(&old)).iter().any(|it| it.rule == RULE.id && it.what.contains(kind));
            assert_eq!(lost, is_lost, "{kind}");
        }
    }
}
