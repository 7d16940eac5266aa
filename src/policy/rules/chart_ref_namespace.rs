//! The namespace of `spec.chartRef`.

use super::{Example, Rule, release};
use crate::{
    helmrelease::{Field, at},
    policy::{
        Case, CrossNamespace, Findings, Level,
        case::setting,
        chart_ref::{MAX_NAMESPACE, is_label},
        finding::quoted,
    },
};

pub(super) static RULE: Rule = Rule {
    id: "chart-ref-namespace",
    level: Level::Error,
    policy: true,
    summary: "spec.chartRef.namespace is written out, and is the release's own where cross-namespace references are off.",
    why: "cross-namespace references are off: helm-controller with --no-cross-namespace-refs=true stalls such a release with \
          reason AccessDenied.",
    help: "copy the source into the release's namespace and drop spec.chartRef.namespace, or ask those who run the \
           cluster to allow cross-namespace references.",
    bad: Example::of(release!(
        "  chartRef:\n    kind: OCIRepository\n    name: podinfo\n    namespace: sources\n"
    ))
    .same_namespace_only(),
    good: Example::of(release!(
        "  chartRef:\n    kind: OCIRepository\n    name: podinfo\n    namespace: apps\n"
    ))
    .same_namespace_only(),
    fixed: None,
    check,
};

fn check(case: &Case<'_>, findings: &mut Findings<'_>) {
    let (Some(chart_ref), Some(target)) = (case.chart_ref(), case.target) else { return };
    if let Field::WrongType(kind) = chart_ref.namespace {
        let what = format!("spec.chartRef.namespace is of type {kind}; it takes a string");
        findings
            .report(at::CHART_REF_NAMESPACE, what)
            .malformed()
            .why("the CRD allows nothing else.")
            .help("set it to the namespace of the source, or leave it out where that is the release's own.");
        return;
    }
    let chosen = case.settings.chart_ref;
    match (target.namespace, case.subject.namespace) {
        (Some(named), _) if !is_label(named) => {
            let what = format!("spec.chartRef.namespace {} cannot be the name of a namespace", quoted(named));
            let report = findings.report(at::CHART_REF_NAMESPACE, what);
            // The schema looks at the length alone.
            let report = if named.chars().count() > MAX_NAMESPACE { report.malformed() } else { report };
            report
                .why(
                    "names of namespaces are made of lower-case letters, digits and '-', at most 63 of them.",
                )
                .help(
                    "set it to the namespace of the source, or leave it out where that is the release's own.",
                );
        }
        (Some(named), Some(own)) if named != own && chosen.cross_namespace == CrossNamespace::Deny => {
            let what = format!(
                "spec.chartRef points to namespace {}, the release is in {}",
                quoted(named),
                quoted(own)
            );
            findings.report(at::CHART_REF_NAMESPACE, what);
        }
        (None, Some(own)) if chosen.fill_namespace => {
            findings
                .report(at::CHART_REF_NAMESPACE, "spec.chartRef.namespace is not written out")
                .level(Level::Note, case.settings)
                .why("absent, it means the namespace of the release.")
                .help(format!("nothing, or set spec.chartRef.namespace: {own}"))
                .fix(vec![setting(at::CHART_REF_NAMESPACE, own)]);
        }
        _ => {}
    }
}
