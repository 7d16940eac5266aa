//! `spec.chartRef` points to a source that is not there.

use super::{Example, Rule, release};
use crate::{
    helmrelease::at,
    policy::{
        Case, Findings, Level,
        chart_ref::{is_label, is_subdomain},
        finding::quoted,
    },
};

pub(super) static RULE: Rule = Rule {
    id: "chart-ref-source-missing",
    level: Level::Warning,
    policy: false,
    summary: "The source that spec.chartRef names is in the cluster.",
    why: "helm-controller waits for the source, and the release stays as it is until then. Sources may be applied after \
          the release, so this is never more than a warning.",
    help: "apply the source too, or correct kind, name or namespace of spec.chartRef.",
    bad: Example::of(release!(
        "  chartRef:\n    kind: OCIRepository\n    name: podinfo\n    namespace: apps\n"
    ))
    .among(&[("OCIRepository", "sources", "podinfo")]),
    good: Example::of(release!(
        "  chartRef:\n    kind: OCIRepository\n    name: podinfo\n    namespace: apps\n"
    ))
    .among(&[("OCIRepository", "apps", "podinfo")]),
    fixed: None,
    check,
};

fn check(case: &Case<'_>, findings: &mut Findings<'_>) {
    let Some(target) = case.target else { return };
    let (Some(kind), Some(name)) = (target.kind, target.name.filter(|name| is_subdomain(name))) else {
        return;
    };
    let Some(namespace) = target.namespace.or(case.subject.namespace).filter(|it| is_label(it)) else {
        return;
    };
    if case.facts.has_source(kind, namespace, name) == Some(false) {
        findings
            .report(at::CHART_REF, format!("{kind} {} is not there", quoted(&format!("{namespace}/{name}"))))
            .at_most(Level::Warning);
    }
}
