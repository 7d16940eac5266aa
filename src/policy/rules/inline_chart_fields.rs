//! Reports fields of a HelmChart beside `spec.chart.kind: OCIRepository` (Flux 2.10).

use serde_json::{Value, json};

use super::{Example, Rule, release};
use crate::{
    helmrelease::{Chart, ChartField, ChartSpec, Field, HelmRelease, at},
    json::Reader,
    policy::{
        Case, CrdRule, Findings, Heal, Level, OCI_REPOSITORY,
        case::{is_inline, removal},
        finding::field_path,
        owners::Owner,
    },
};

/// Maximum length of a chart in the command that a message offers.
const MAX_SHOWN: usize = 2_048;

pub(super) static RULE: Rule = Rule {
    id: "inline-chart-fields",
    level: Level::Error,
    policy: false,
    summary: "spec.chart.spec has no field of a HelmChart where spec.chart.kind is OCIRepository.",
    why: "the API server answers that the field cannot be set when chart.kind is 'OCIRepository'.",
    help: "write the version as ref.tag or ref.semver, and the content of valuesFiles into spec.values; remove chart, \
           sourceRef, reconcileStrategy and ignoreMissingValuesFiles.",
    bad: Example::of(release!(
        "  chart:\n    kind: OCIRepository\n    spec:\n      url: oci://ghcr.io/stefanprodan/charts/podinfo\n"
        "      layerSelector:\n        operation: copy\n      \
         version: 6.5.4\n"
    )),
    good: Example::of(release!(
        "  chart:\n    kind: OCIRepository\n    spec:\n      url: oci://ghcr.io/stefanprodan/charts/podinfo\n"
        "      layerSelector:\n        operation: copy\n      \
         ref:\n        tag: 6.5.4\n"
    )),
    fixed: None,
    check,
};

/// The fields of a HelmChart that an OCIRepository cannot have: each with the rule of the CRD, its path, and the value
/// that the CRD allows there all the same.
const OF_HELM_CHART: [(ChartField, CrdRule, &str, Option<&str>); 6] = [
    (ChartField::Chart, CrdRule::NoChart, "/spec/chart/spec/chart", None),
    (ChartField::SourceRef, CrdRule::NoSourceRef, "/spec/chart/spec/sourceRef", None),
    (ChartField::Version, CrdRule::NoVersion, "/spec/chart/spec/version", Some("*")),
    (
        ChartField::ReconcileStrategy,
        CrdRule::NoReconcileStrategy,
        "/spec/chart/spec/reconcileStrategy",
        Some("ChartVersion"),
    ),
    (ChartField::ValuesFiles, CrdRule::NoValuesFiles, "/spec/chart/spec/valuesFiles", None),
    (
        ChartField::IgnoreMissingValuesFiles,
        CrdRule::NoIgnoreMissingValuesFiles,
        "/spec/chart/spec/ignoreMissingValuesFiles",
        None,
    ),
];

/// The fields of an OCIRepository that a HelmChart does not have, but for `url`, which the CRD refuses there.
const OF_OCI_REPOSITORY: [(ChartField, &str); 10] = [
    (ChartField::Ref, "/spec/chart/spec/ref"),
    (ChartField::LayerSelector, "/spec/chart/spec/layerSelector"),
    (ChartField::Provider, "/spec/chart/spec/provider"),
    (ChartField::SecretRef, "/spec/chart/spec/secretRef"),
    (ChartField::ServiceAccountName, "/spec/chart/spec/serviceAccountName"),
    (ChartField::CertSecretRef, "/spec/chart/spec/certSecretRef"),
    (ChartField::ProxySecretRef, "/spec/chart/spec/proxySecretRef"),
    (ChartField::Ignore, "/spec/chart/spec/ignore"),
    (ChartField::Insecure, "/spec/chart/spec/insecure"),
    (ChartField::Timeout, "/spec/chart/spec/timeout"),
];

fn check(case: &Case<'_>, findings: &mut Findings<'_>) {
    let Field::Set(chart) = case.release().chart() else { return };
    let Field::Set(spec) = &chart.spec else { return };
    if case.schema.template.kinds.is_empty() {
        return;
    }
    if !is_inline(chart) {
        if case.judges_sources {
            without_effect(spec, findings);
        }
        return;
    }
    let refused = refused(case, spec);
    if refused.is_empty() {
        return;
    }
    let applies = |at: &str| case.is_applied(&segments(at));
    if applies(at::CHART_KIND) {
        let left: Vec<_> = refused.iter().copied().filter(|at| !applies(at)).collect();
        if left.len() == refused.len() {
            let is_whole = spec.has(ChartField::Chart) && spec.has(ChartField::SourceRef);
            left_behind(case, chart, &left, is_whole, findings);
            return;
        }
    } else if refused.iter().any(|at| applies(at)) && spec.has(ChartField::Url) && !applies(at::CHART_URL) {
        // The applier went back to a HelmChart, and another manager still owns a part of the OCIRepository.
        left_behind(case, chart, &[at::CHART_KIND, at::CHART_URL], true, findings);
        return;
    }
    let verb = if refused.len() == 1 { "is" } else { "are" };
    findings.report(refused[0], format!("{} {verb} set beside kind {OCI_REPOSITORY}", listed(&refused)));
}

/// Reports fields of an OCIRepository that are set for a HelmChart. The CRD accepts them, and a HelmChart has no such fields
/// (source-controller 1.10). Admission leaves that to check and audit, as it does what a source contains: to look for them would
/// cost every release with a `spec.chart`.
fn without_effect(spec: &ChartSpec<'_>, findings: &mut Findings<'_>) {
    let mut set = OF_OCI_REPOSITORY.iter().filter(|(field, _)| spec.has(*field)).map(|(_, at)| *at);
    let Some(first) = set.next() else { return };
    let all: Vec<_> = std::iter::once(first).chain(set).collect();
    let (has, it) = if all.len() == 1 { ("has", "it") } else { ("have", "them") };
    findings
        .report(first, format!("{} {has} no effect beside a HelmChart", listed(&all)))
        .why("only an OCIRepository has these fields: helm-controller leaves them out of the HelmChart that it makes.")
        .help(format!("remove {it}, or set spec.chart.kind to {OCI_REPOSITORY} and spec.chart.spec.url."))
        .policy_if(true)
        .at_most(Level::Warning);
}

/// Where the fields are that the CRD refuses beside kind OCIRepository.
fn refused(case: &Case<'_>, spec: &ChartSpec<'_>) -> Vec<&'static str> {
    let rules = case.schema.template.rules;
    let all = OF_HELM_CHART.iter().filter(|(field, rule, _, allowed)| {
        let text = match field {
            ChartField::Version => spec.version.text(),
            ChartField::ReconcileStrategy => spec.reconcile_strategy.text(),
            _ => None,
        };
        spec.has(*field) && rules.has(*rule) && (allowed.is_none() || text != *allowed)
    });
    all.map(|(_, _, at, _)| *at).collect()
}

/// Reports fields below `spec.chart` that the applier does not state, and another manager left there.
///
/// Whole charts stay with `heal: leftovers`, as they do beside a chartRef: the manager that left one may still want it.
pub(super) fn left_behind(
    case: &Case<'_>,
    chart: &Chart<'_>,
    left: &[&'static str],
    is_whole: bool,
    findings: &mut Findings<'_>,
) {
    let owners = case.owners(&segments(left[0]));
    let owner = owners.iter().find(|owner| !case.is_applier(owner.manager));
    let by = owner.map_or_else(|| "a field manager that is gone".to_owned(), Owner::described);
    let fit = if left.len() == 1 { "is left and does not fit" } else { "are left and do not fit" };
    let report = findings
        .report(left[0], format!("{} {fit} the kind of spec.chart", listed(left)))
        .why(format!(
            "{by} set {}, and the applied manifest does not; applying a manifest without it does not remove it.",
            listed(left)
        ))
        .help(help(case, chart, left));
    if case.settings.heal == Heal::All || case.settings.heal != Heal::Never && !is_whole {
        let removals = left.iter().map(|at| removal(at)).collect();
        report.heal(removals, format!("removed {}, left by {by}", listed(left)));
    }
}

/// The command that sets `spec.chart` to what the applier states.
fn help(case: &Case<'_>, chart: &Chart<'_>, left: &[&str]) -> String {
    let is_short = chart.raw.bytes().len() <= MAX_SHOWN;
    let value = is_short.then(|| serde_json::from_slice::<Value>(chart.raw.bytes()).ok()).flatten();
    let Some(mut value) = value else {
        return format!("remove {} with kubectl edit, then apply again.", listed(left));
    };
    for at in left {
        let (parent, field) =
            at.strip_prefix(at::CHART).and_then(|rest| rest.rsplit_once('/')).unwrap_or_default();
        if let Some(parent) = value.pointer_mut(parent).and_then(Value::as_object_mut) {
            parent.shift_remove(field);
        }
    }
    let text = json!({"spec": {"chart": value}}).to_string();
    let Ok(Field::Set(patched)) = HelmRelease::read(&mut Reader::new(text.as_bytes())) else {
        return format!("remove {} with kubectl edit, then apply again.", listed(left));
    };
    match case.accepts(patched.chart().clone(), Field::Absent) {
        Ok(()) => case.patch_help(&json!([{"op": "replace", "path": at::CHART, "value": value}])),
        Err(instead) => instead,
    }
}

fn segments(at: &str) -> Vec<&str> {
    at.split('/').skip(1).collect()
}

fn listed(all: &[&str]) -> String {
    all.iter().map(|at| field_path(at)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Facts, Operation, Settings, Subject, evaluate};

    /// The finding for an update by `flux`, which applies `applied` (a `fieldsV1` set below `spec.chart`): the fields of the
    /// operations that heal it, and the advice.
    fn judged(chart: &Value, applied: &Value, heal: Heal) -> Vec<(String, Vec<String>, String)> {
        let text = json!({
            "apiVersion": "helm.toolkit.fluxcd.io/v2",
            "metadata": {"annotations": {"fluxcd.io/version": "v2"}, "managedFields": [
                {"manager": "flux", "operation": "Apply", "apiVersion": "helm.toolkit.fluxcd.io/v2",
                    "fieldsV1": {"f:spec": {"f:chart": applied}}},
            ]},
            "spec": {"interval": "1m", "chart": chart},
        });
        let text = text.to_string();
        let Ok(Field::Set(release)) = HelmRelease::read(&mut Reader::new(text.as_bytes())) else {
            panic!("no object")
        };
        let subject = Subject {
            release: &release,
            old: Some(&release),
            name: Some("podinfo"),
            namespace: Some("apps"),
            operation: Operation::Update,
            manager: Some("flux"),
        };
        let (settings, facts) = (Settings { heal, ..Settings::default() }, Facts::default());
        let findings =
            evaluate(&Case::new(subject, &settings, &facts, facts.serving("v2")).with_source(None));
        let findings = findings.into_iter().filter(|finding| finding.rule.id == RULE.id);
        let told = findings.map(|finding| {
            let operations = finding.fix.into_iter().flat_map(|fix| fix.operations);
            let healed = operations.map(|operation| operation.path().to_string()).collect();
            (format!("{}: {}", finding.rule.id, finding.what), healed, finding.help.into_owned())
        });
        told.collect()
    }

    fn inline(more: &Value) -> Value {
        let mut chart = json!({"kind": OCI_REPOSITORY, "spec": {"url": "oci://a/b"}});
        json_patch::merge(&mut chart["spec"], more);
        chart
    }

    #[test]
    fn a_part_that_others_left_is_removed_and_a_whole_chart_only_where_all_is_healed() {
        let applied = json!({"f:kind": {}, "f:spec": {"f:url": {}}});
        let part = inline(&json!({"version": "1.x"}));
        let whole = inline(&json!({"chart": "b", "sourceRef": {"kind": "HelmRepository", "name": "a"}}));
        let healed = |chart, heal| judged(chart, &applied, heal).remove(0).1;
        assert_eq!(healed(&part, Heal::Never), [""; 0]);
        assert_eq!(healed(&part, Heal::Leftovers), ["/spec/chart/spec/version"]);
        assert_eq!(healed(&whole, Heal::Leftovers), [""; 0]);
        assert_eq!(healed(&whole, Heal::All), ["/spec/chart/spec/chart", "/spec/chart/spec/sourceRef"]);
    }

    #[test]
    fn fields_of_an_oci_repository_have_no_effect_beside_a_helm_chart() {
        let source = json!({"kind": "HelmRepository", "name": "a"});
        let mut chart = json!({"spec": {"chart": "b", "sourceRef": source, "suspend": false}});
        assert!(judged(&chart, &json!({}), Heal::Leftovers).is_empty());
        chart["spec"]["ref"] = json!({"tag": "1.0.0"});
        let found = judged(&chart, &json!({}), Heal::Leftovers).remove(0).0;
        assert_eq!(found, "inline-chart-fields: spec.chart.spec.ref has no effect beside a HelmChart");
    }

    #[test]
    fn what_the_applier_states_itself_is_never_removed() {
        let chart = inline(&json!({"version": "1.x", "valuesFiles": ["a.yaml"]}));
        let applied = json!({"f:kind": {}, "f:spec": {"f:url": {}, "f:version": {}}});
        let found = judged(&chart, &applied, Heal::All);
        let what = "spec.chart.spec.version, spec.chart.spec.valuesFiles are set beside kind OCIRepository";
        assert_eq!((&*found[0].0, &*found[0].1), (&*format!("inline-chart-fields: {what}"), &[][..]));
    }

    #[test]
    fn the_command_sets_the_chart_that_the_applier_states() {
        let chart = inline(&json!({"chart": "b", "sourceRef": {"kind": "HelmRepository", "name": "a"}}));
        let back = json!({"f:spec": {"f:chart": {}, "f:sourceRef": {}}});
        for (applied, value) in [
            (
                json!({"f:kind": {}, "f:spec": {"f:url": {}}}),
                r#"{"kind":"OCIRepository","spec":{"url":"oci://a/b"}}"#,
            ),
            (back, r#"{"spec":{"chart":"b","sourceRef":{"kind":"HelmRepository","name":"a"}}}"#),
        ] {
            let found = judged(&chart, &applied, Heal::Leftovers);
            let patch = format!(r#"'[{{"op":"replace","path":"/spec/chart","value":{value}}}]'"#);
            let command = format!("kubectl patch helmrelease podinfo -n apps --type=json -p {patch}");
            assert!(found[0].2.ends_with(&command), "{found:?}");
        }
    }

    #[test]
    fn the_defaults_of_before_are_allowed_and_other_values_are_not() {
        let found = |more: Value| judged(&inline(&more), &json!({}), Heal::Leftovers).len();
        assert_eq!(found(json!({"version": "*", "reconcileStrategy": "ChartVersion"})), 0);
        for more in [
            json!({"version": ""}),
            json!({"version": 3}),
            json!({"reconcileStrategy": "Revision"}),
            json!({"ignoreMissingValuesFiles": false}),
            json!({"valuesFiles": []}),
        ] {
            assert_eq!(found(more.clone()), 1, "{more}");
        }
    }
}
