//! Checks the kind that `spec.chart` makes, and the `url` that goes with it (Flux 2.10).

use std::borrow::Cow;

use super::{Example, Rule, inline_chart_fields::left_behind, release};
use crate::{
    helmrelease::{Chart, ChartField, ChartSpec, Field, at},
    policy::{
        Case, CrdRule, Findings, Level, OCI_REPOSITORY,
        case::{canonical_template_kind, is_inline, removal, setting},
        finding::quoted,
        schema::is_oci_url,
    },
};

pub(super) static RULE: Rule = Rule {
    id: "chart-kind",
    level: Level::Error,
    policy: false,
    summary: "spec.chart.kind is HelmChart (meant where it is absent) or OCIRepository, and goes with spec.chart.spec.url.",
    why: "from Flux 2.10 on the kind decides what helm-controller makes from spec.chart; the CRD refuses any other, and a url \
          beside a HelmChart.",
    help: "for an OCIRepository set spec.chart.kind: OCIRepository and spec.chart.spec.url; for a HelmChart leave kind and \
           url out and set chart and sourceRef.",
    bad: Example::of(release!(
        "  chart:\n    kind: ocirepository\n    spec:\n      url: oci://ghcr.io/stefanprodan/charts/podinfo\n"
        "      layerSelector:\n        operation: copy\n"
    )),
    good: Example::of(release!(
        "  chart:\n    kind: OCIRepository\n    spec:\n      url: oci://ghcr.io/stefanprodan/charts/podinfo\n"
        "      layerSelector:\n        operation: copy\n      \
         ref:\n        tag: 6.5.4\n"
    )),
    fixed: Some(release!(
        "  chart:\n    kind: OCIRepository\n    spec:\n      url: oci://ghcr.io/stefanprodan/charts/podinfo\n"
        "      layerSelector:\n        operation: copy\n"
    )),
    check,
};

fn check(case: &Case<'_>, findings: &mut Findings<'_>) {
    let Field::Set(chart) = case.release().chart() else { return };
    // unknown-chart-field reports the field where a schema does not have it.
    if case.schema.template.kinds.is_empty() || !kind(case, chart, findings) {
        return;
    }
    let Field::Set(spec) = &chart.spec else { return };
    if is_inline(chart) {
        url(case, spec, findings);
    } else if spec.has(ChartField::Url) && case.schema.template.rules.has(CrdRule::OciForUrl) {
        url_of_helm_chart(case, chart, findings);
    }
}

/// Reports faults of `spec.chart.kind`; returns whether the kind is plain.
fn kind(case: &Case<'_>, chart: &Chart<'_>, findings: &mut Findings<'_>) -> bool {
    let kind = match &chart.kind {
        Field::Absent if chart.kind_is_null => {
            // Server-side apply does not prune it, and then the schema asks for a string.
            findings
                .report(at::CHART_KIND, "spec.chart.kind is null")
                .why("the API server refuses a null in server-side apply.")
                .help("leave spec.chart.kind out, or set it to OCIRepository.")
                .heal(vec![removal(at::CHART_KIND)], "removed spec.chart.kind, which is null");
            return true;
        }
        Field::Absent => return true,
        Field::WrongType(kind) => {
            findings.report(at::CHART_KIND, format!("spec.chart.kind is of type {kind}; it takes a string"));
            return false;
        }
        Field::Set(kind) => kind.as_ref(),
    };
    let allowed = &case.schema.template.kinds;
    let is_allowed = |kind: &str| allowed.iter().any(|allowed| allowed == kind);
    match canonical_template_kind(kind).filter(|canonical| is_allowed(canonical)) {
        _ if is_allowed(kind) => true,
        Some(canonical) => {
            let what = format!("spec.chart.kind {} is spelled {canonical}", quoted(kind));
            let done = format!("spec.chart.kind {} read as {canonical}", quoted(kind));
            findings.report(at::CHART_KIND, what).heal(vec![setting(at::CHART_KIND, canonical)], done);
            true
        }
        None => {
            let what = format!("spec.chart.kind {} is not allowed by {}", quoted(kind), case.installed);
            findings.report(at::CHART_KIND, what).help(instead_of(kind, allowed));
            false
        }
    }
}

/// The value to write where `kind` is not allowed.
fn instead_of(kind: &str, allowed: &[Cow<'_, str>]) -> String {
    let one_of = format!("set spec.chart.kind to {}, or leave it out for a HelmChart", allowed.join(" or "));
    match kind {
        "HelmRepository" | "GitRepository" | "Bucket" => {
            format!("{one_of}; a {kind} belongs in spec.chart.spec.sourceRef.")
        }
        _ => format!("{one_of}."),
    }
}

fn url(case: &Case<'_>, spec: &ChartSpec<'_>, findings: &mut Findings<'_>) {
    let what = match &spec.url {
        Field::WrongType(kind) => format!("spec.chart.spec.url is of type {kind}; it takes a string"),
        // partial-chart reports one that is missing or empty.
        Field::Set(url)
            if !url.is_empty() && case.schema.template.rules.has(CrdRule::OciUrl) && !is_oci_url(url) =>
        {
            format!("spec.chart.spec.url {} does not begin with oci://", quoted(url))
        }
        Field::Set(_) | Field::Absent => return,
    };
    findings
        .report(at::CHART_URL, what)
        .why("the CRD takes nothing else for an OCIRepository.")
        .help("set it to the repository of the chart without a tag, such as oci://ghcr.io/stefanprodan/charts/podinfo.");
}

/// Reports a `url` beside a HelmChart: one that is stated, or one that another manager left.
fn url_of_helm_chart(case: &Case<'_>, chart: &Chart<'_>, findings: &mut Findings<'_>) {
    let applies = |field| case.is_applied(&["spec", "chart", "spec", field]);
    if !applies("url") && (applies("chart") || applies("sourceRef")) {
        left_behind(case, chart, &[at::CHART_URL], false, findings);
        return;
    }
    findings
        .report(at::CHART_URL, format!("spec.chart.spec.url is set without kind {OCI_REPOSITORY}"))
        .why("the API server answers that chart.spec.url requires chart.kind: 'OCIRepository'.")
        .help(
            "for a HelmChart remove spec.chart.spec.url; for an OCIRepository set spec.chart.kind: OCIRepository, and \
             remove chart, sourceRef, version and valuesFiles.",
        );
}

#[cfg(test)]
mod tests {
    use crate::{
        helmrelease::{Field, HelmRelease},
        json::Reader,
        policy::{Case, Facts, Operation, Settings, Subject, evaluate},
    };

    /// The findings for a new release with this chart, with the rule, by Flux.
    fn said(chart: &str, flux: &str) -> Vec<String> {
        let text = format!(
            r#"{{"apiVersion":"helm.toolkit.fluxcd.io/v2","metadata":{{"annotations":{{"fluxcd.io/version":"v2"}}}},
                "spec":{{"interval":"1m","chart":{chart}}}}}"#
        );
        let Ok(Field::Set(release)) = HelmRelease::read(&mut Reader::new(text.as_bytes())) else {
            panic!("no object")
        };
        let subject = Subject {
            release: &release,
            old: None,
            name: None,
            namespace: Some("apps"),
            operation: Operation::Create,
            manager: None,
        };
        let (settings, facts) = (Settings::default(), Facts::of(flux.parse().unwrap()));
        let findings = evaluate(&Case::new(subject, &settings, &facts, facts.serving("v2")));
        findings.into_iter().map(|finding| format!("{}: {}", finding.rule.id, finding.what)).collect()
    }

    const TEMPLATE: &str = r#""chart":"a","sourceRef":{"kind":"HelmRepository","name":"b"}"#;

    #[test]
    fn each_of_the_nine_rules_of_the_crd_is_reported_in_its_own_words() {
        let url = r#""url":"oci://a/b""#;
        let oci = |fields: &str| format!(r#"{{"kind":"OCIRepository","spec":{{{fields}}}}}"#);
        let beside = |field: &str| {
            let name = field.split('"').nth(1).unwrap();
            let what =
                format!("inline-chart-fields: spec.chart.spec.{name} is set beside kind OCIRepository");
            (oci(&format!("{url},{field}")), what)
        };
        let mut all = vec![
            (oci(""), "partial-chart: spec.chart.spec.url is missing".to_owned()),
            (
                format!(r#"{{"spec":{{{url},{TEMPLATE}}}}}"#),
                "chart-kind: spec.chart.spec.url is set without kind OCIRepository".to_owned(),
            ),
            (format!(r#"{{"spec":{{{url}}}}}"#), "partial-chart: spec.chart.kind is missing".to_owned()),
            (
                r#"{"kind":"HelmChart","spec":{"version":"1.x"}}"#.to_owned(),
                "partial-chart: spec.chart.spec.chart, spec.chart.spec.sourceRef are missing".to_owned(),
            ),
        ];
        all.extend(
            [
                r#""chart":"a""#,
                r#""version":"1.x""#,
                r#""sourceRef":{"kind":"HelmRepository","name":"b"}"#,
                r#""reconcileStrategy":"Revision""#,
                r#""valuesFiles":["a"]"#,
                r#""ignoreMissingValuesFiles":true"#,
            ]
            .map(beside),
        );
        for (chart, what) in all {
            assert_eq!(said(&chart, "2.10"), [what], "{chart}");
        }
        for chart in [
            oci(url),
            format!(r#"{{"spec":{{{TEMPLATE}}}}}"#),
            format!(r#"{{"kind":"HelmChart","spec":{{{TEMPLATE}}}}}"#),
        ] {
            assert_eq!(said(&chart, "2.10"), [""; 0], "{chart}");
        }
    }

    #[test]
    fn before_the_fields_exist_they_are_unknown_and_nothing_else() {
        let of = |flux: &str| {
            said(r#"{"kind":"OCIRepository","spec":{"url":"oci://a/b","ref":{"tag":"1"}}}"#, flux)
        };
        assert_eq!(
            of("2.9"),
            [
                "unknown-chart-field: spec.chart.kind, spec.chart.spec.url, spec.chart.spec.ref are no fields of HelmRelease v2 in Flux 2.9"
            ]
        );
        assert_eq!(of("2.10"), [""; 0]);
    }
}
