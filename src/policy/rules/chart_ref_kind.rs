//! The kind of `spec.chartRef`.

use std::borrow::Cow;

use super::{Example, Rule, release};
use crate::{
    helmrelease::{Field, at},
    policy::{
        Case, Findings, Level,
        case::{removal, setting},
        chart_ref::canonical_kind,
        finding::quoted,
    },
};

pub(super) static RULE: Rule = Rule {
    id: "chart-ref-kind",
    level: Level::Error,
    policy: false,
    summary: "spec.chartRef.kind is one that the installed CRD allows, in its exact spelling.",
    why: "the kind decides which object helm-controller reads; the CRD refuses any that it does not know.",
    help: "set spec.chartRef.kind to OCIRepository or HelmChart (ExternalArtifact from Flux 2.7 on); a HelmRepository, \
           GitRepository or Bucket belongs in spec.chart.spec.sourceRef, or in the sourceRef of a HelmChart that chartRef names.",
    bad: Example::of(release!(
        "  chartRef:\n    kind: ocirepository\n    name: podinfo\n    namespace: apps\n"
    )),
    good: Example::of(release!(
        "  chartRef:\n    kind: OCIRepository\n    name: podinfo\n    namespace: apps\n"
    )),
    fixed: Some(release!("  chartRef:\n    kind: OCIRepository\n    name: podinfo\n    namespace: apps\n")),
    check,
};

fn check(case: &Case<'_>, findings: &mut Findings<'_>) {
    if let Field::WrongType(kind) = case.release().chart_ref() {
        findings.report(
            at::CHART_REF,
            format!("spec.chartRef is of type {kind}; it takes an object with kind and name"),
        );
    }
    // A schema that has no such field is what chart-ref-needs-v2 speaks of.
    let has_chart_ref = !case.schema.chart_ref_kinds.is_empty();
    if has_chart_ref && case.release().spec.set().is_some_and(|spec| spec.chart_ref_is_null) {
        // Server-side apply does not prune it, and then the schema asks for an object.
        findings
            .report(at::CHART_REF, "spec.chartRef is null")
            .why("the API server refuses a null in server-side apply.")
            .help("leave spec.chartRef out.")
            .heal(vec![removal(at::CHART_REF)], "removed spec.chartRef, which is null");
    }
    let (Some(chart_ref), Some(target)) = (case.chart_ref(), case.target) else { return };
    let allowed = &case.schema.chart_ref_kinds;
    if allowed.is_empty() {
        return; // chart-ref-needs-v2 has said so
    }
    let kind = match &chart_ref.kind {
        Field::WrongType(kind) => {
            findings.report(
                at::CHART_REF_KIND,
                format!("spec.chartRef.kind is of type {kind}; it takes a string"),
            );
            return;
        }
        Field::Absent => target.shorthand.map(|shorthand| shorthand.kind),
        Field::Set(kind) => Some(kind.as_ref()).filter(|kind| !kind.is_empty()),
    };
    let Some(kind) = kind else {
        findings.report(at::CHART_REF_KIND, "spec.chartRef.kind is missing");
        return;
    };
    let is_allowed = |kind: &str| allowed.iter().any(|allowed| allowed == kind);
    match canonical_kind(kind).filter(|canonical| is_allowed(canonical)) {
        Some(canonical) if canonical == kind => {}
        // A kind that a newer Flux brought: its CRD decides.
        None if is_allowed(kind) => {}
        Some(canonical) => {
            let what = format!("spec.chartRef.kind {} is spelled {canonical}", quoted(kind));
            let done = format!("spec.chartRef.kind {} read as {canonical}", quoted(kind));
            findings
                .report(at::CHART_REF_KIND, what)
                .heal(vec![setting(at::CHART_REF_KIND, canonical)], done);
        }
        None => {
            let what = format!("spec.chartRef.kind {} is not allowed by {}", quoted(kind), case.installed);
            findings.report(at::CHART_REF_KIND, what).help(instead_of(kind, allowed));
        }
    }
}

/// What to write where `kind` is not allowed.
fn instead_of(kind: &str, allowed: &[Cow<'_, str>]) -> String {
    let one_of = format!("set spec.chartRef.kind to {}", any_of(allowed));
    match kind {
        "HelmRepository" | "GitRepository" | "Bucket" => {
            format!(
                "{one_of}; a {kind} belongs in spec.chart.spec.sourceRef, or in the sourceRef of a HelmChart that chartRef names."
            )
        }
        _ if canonical_kind(kind) == Some("ExternalArtifact") => {
            format!(
                "{one_of}; ExternalArtifact needs Flux 2.7 or newer, with helm-controller's feature gate of that name."
            )
        }
        _ => format!("{one_of}."),
    }
}

/// `A, B or C`.
fn any_of(kinds: &[Cow<'_, str>]) -> String {
    match kinds {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => kinds.concat(),
    }
}
