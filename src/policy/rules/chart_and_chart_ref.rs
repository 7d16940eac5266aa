//! Both `spec.chart` and `spec.chartRef` are set.

use super::{Example, Rule, release};
use crate::{
    helmrelease::at,
    policy::{
        Case, Findings, Heal, Level,
        case::{ChartState, removal},
        finding::quoted,
    },
};

pub(super) static RULE: Rule = Rule {
    id: "chart-and-chart-ref",
    level: Level::Error,
    policy: false,
    summary: "A HelmRelease takes its chart from spec.chart or from spec.chartRef, never from both.",
    why: "helm-controller takes exactly one of them. Where the CRD lets both pass (v2beta1 on Flux 2.3 to 2.6), it \
          stalls without a condition or an event.",
    help: "to use chartRef, remove spec.chart from the manifest and from every overlay and patch of it; to keep the \
           chart, remove spec.chartRef.",
    bad: Example::of(release!(
        "  chart:\n    spec:\n      chart: podinfo\n      sourceRef:\n        kind: HelmRepository\n        name: podinfo\n"
        "  chartRef:\n    kind: OCIRepository\n    name: podinfo\n    namespace: apps\n"
    )),
    good: Example::of(release!(
        "  chartRef:\n    kind: OCIRepository\n    name: podinfo\n    namespace: apps\n"
    )),
    fixed: None,
    check,
};

fn check(case: &Case<'_>, findings: &mut Findings<'_>) {
    if case.chart() != ChartState::Whole || case.chart_ref().is_none() {
        return;
    }
    let owners = case.owners(&["spec", "chart"]);
    let left_by = owners.iter().find(|owner| !case.is_applier(owner.manager));
    let applier_sets_it = owners.iter().any(|owner| case.is_applier(owner.manager));
    let newer = match case.subject.old {
        Some(old) if old.chart_ref().is_absent() => " (chartRef is new)",
        Some(old) if old.chart().is_absent() => " (chart is new)",
        _ => "",
    };
    let report = findings.report(at::CHART, format!("spec.chart and spec.chartRef are both set{newer}"));
    let report = report.policy_if(!case.schema.has_cel());
    let Some(owner) = left_by.filter(|_| !applier_sets_it) else { return };
    let report = report
        .why(format!(
            "spec.chart belongs to the field manager {}, so applying a manifest without it does not remove it.",
            quoted(owner.manager)
        ))
        .help(case.switch_help(owner));
    if case.settings.heal == Heal::All && case.may_heal() {
        report.heal(vec![removal(at::CHART)], format!("removed spec.chart, left by {}", owner.described()));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::helmrelease::{Field, HelmRelease};
    use crate::json::Reader;
    use crate::policy::{Facts, Flux, Operation, Settings, Subject, evaluate};

    /// Whether the chart that `lens` left beside the chartRef of `flux` is removed.
    fn is_healed(version: &str) -> bool {
        let api_version = format!("helm.toolkit.fluxcd.io/{version}");
        let entry = |manager: &str, operation: &str, fields: &serde_json::Value| json!({"manager": manager, "operation": operation, "apiVersion": api_version, "fieldsV1": {"f:spec": fields}});
        let text = json!({
            "apiVersion": api_version,
            "metadata": {"managedFields": [
                entry("flux", "Apply", &json!({"f:chartRef": {"f:kind": {}, "f:name": {}}})),
                entry("lens", "Update", &json!({"f:chart": {"f:spec": {"f:chart": {}, "f:sourceRef": {}}}})),
            ]},
            "spec": {
                "chart": {"spec": {"chart": "a", "sourceRef": {"kind": "HelmRepository", "name": "a"}}},
                "chartRef": {"kind": "OCIRepository", "name": "a"},
            },
        })
        .to_string();
        let Ok(Field::Set(release)) = HelmRelease::read(&mut Reader::new(text.as_bytes())) else {
            panic!("no object")
        };
        let subject = Subject {
            release: &release,
            old: Some(&release),
            name: Some("a"),
            namespace: Some("apps"),
            operation: Operation::Update,
            manager: Some("flux"),
        };
        let (settings, facts) =
            (Settings { heal: Heal::All, ..Settings::default() }, Facts::of("2.4".parse::<Flux>().unwrap()));
        let findings = evaluate(&Case::new(subject, &settings, &facts, facts.serving(version)));
        findings.iter().any(|finding| finding.rule.id == RULE.id && finding.fix.is_some())
    }

    #[test]
    fn a_chart_is_not_removed_where_the_schema_requires_one() {
        assert!(is_healed("v2"));
        assert!(!is_healed("v2beta1"), "the API server would refuse what is left");
    }
}
