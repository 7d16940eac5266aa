//! The name of `spec.chartRef`, and its shorthand `Kind/name.namespace`.

use super::{Example, Rule, release};
use crate::{
    helmrelease::{ChartRef, Field, at},
    policy::{
        Case, Findings, Level,
        case::setting,
        chart_ref::{MAX_NAME, Shorthand, Target, is_subdomain},
        finding::quoted,
    },
};

pub(super) static RULE: Rule = Rule {
    id: "chart-ref-name",
    level: Level::Error,
    policy: false,
    summary: "spec.chartRef.name is the name of an object: an RFC 1123 subdomain of at most 253 characters.",
    why: "no object can have another name, so helm-controller would never find it.",
    help: "set spec.chartRef.name to the name of the source alone, and kind and namespace in fields of their own.",
    bad: Example::of(release!("  chartRef:\n    name: OCIRepository/podinfo.apps\n")),
    good: Example::of(release!(
        "  chartRef:\n    kind: OCIRepository\n    name: podinfo\n    namespace: apps\n"
    )),
    fixed: Some(release!("  chartRef:\n    name: podinfo\n    kind: OCIRepository\n    namespace: apps\n")),
    check,
};

fn check(case: &Case<'_>, findings: &mut Findings<'_>) {
    let (Some(chart_ref), Some(target)) = (case.chart_ref(), case.target) else { return };
    let name = match &chart_ref.name {
        Field::WrongType(kind) => {
            findings.report(
                at::CHART_REF_NAME,
                format!("spec.chartRef.name is of type {kind}; it takes a string"),
            );
            return;
        }
        Field::Set(name) if !name.is_empty() => name.as_ref(),
        Field::Set(_) | Field::Absent => {
            findings
                .report(at::CHART_REF_NAME, "spec.chartRef.name is missing")
                .why("the CRD requires it, and helm-controller finds the source by it.")
                .help(format!("set spec.chartRef.name to the name of the source; {}.", listing(target)));
            return;
        }
    };
    if let Some(shorthand) = target.shorthand {
        split(chart_ref, name, shorthand, findings);
    } else if name.len() > MAX_NAME {
        let what = format!("spec.chartRef.name is longer than {MAX_NAME} characters");
        findings
            .report(at::CHART_REF_NAME, what)
            .help(format!("set it to the name of the source; {}.", listing(target)));
    } else if !is_subdomain(name) {
        findings
            .report(at::CHART_REF_NAME, format!("spec.chartRef.name {} cannot be the name of an object", quoted(name)))
            .policy_if(true)
            .why("names are made of lower-case letters, digits, '-' and '.', so helm-controller would never find it.")
            .help(format!("set it to the name of the source; {}.", listing(target)));
    }
}

/// The command that shows the names to choose from.
fn listing(target: Target<'_>) -> String {
    let kind = target.kind.unwrap_or("OCIRepository").to_ascii_lowercase();
    format!("kubectl get {kind} -A lists them")
}

fn split(chart_ref: &ChartRef<'_>, name: &str, shorthand: Shorthand<'_>, findings: &mut Findings<'_>) {
    if !shorthand.fits(chart_ref) {
        let what = format!("spec.chartRef.name {} contradicts kind or namespace", quoted(name));
        findings.report(at::CHART_REF_NAME, what).policy_if(true).why(format!(
            "the name means {} {} and the other fields mean something else; only you know which is right.",
            shorthand.kind,
            quoted(shorthand.name)
        ));
        return;
    }
    let mut operations = vec![setting(at::CHART_REF_NAME, shorthand.name)];
    if chart_ref.kind.filled().is_none() {
        operations.push(setting(at::CHART_REF_KIND, shorthand.kind));
    }
    if let Some(namespace) = shorthand.namespace.filter(|_| chart_ref.namespace.filled().is_none()) {
        operations.push(setting(at::CHART_REF_NAMESPACE, namespace));
    }
    let what = format!("spec.chartRef.name {} holds more than the name", quoted(name));
    let done = format!("spec.chartRef.name {} split into its fields", quoted(name));
    // The schema accepts the name as it is, and refuses a kind that is missing.
    let has_kind = chart_ref.kind.filled().is_some();
    findings.report(at::CHART_REF_NAME, what).policy_if(has_kind).heal(operations, done);
}
