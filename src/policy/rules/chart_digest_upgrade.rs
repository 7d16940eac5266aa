//! Reports the Helm upgrade that follows the move from `spec.chart` to a source with a digest.

use super::{Example, Rule, chart_name_changes, release};
use crate::policy::{Case, Findings, Level};

pub(super) static RULE: Rule = Rule {
    id: "chart-digest-upgrade",
    level: Level::Warning,
    policy: false,
    summary: "The move from a HelmChart of spec.chart to an OCIRepository or an ExternalArtifact comes with a Helm upgrade, which is \
              reported once.",
    why: "helm-controller appends the digest of such a source to the version of the chart, so that a Helm upgrade follows even \
          where the chart is the same. The label helm.sh/chart of most charts changes with it, which restarts their pods.",
    help: "nothing, or make the move when pods may restart; a HelmChart of the same version, or helm-controller with the \
           feature gate DisableChartDigestTracking (from Flux 2.6), causes no upgrade.",
    bad: Example::of(release!("  chartRef:\n    kind: OCIRepository\n    name: podinfo\n    namespace: apps\n")).after(
        release!(
            "  chart:\n    spec:\n      chart: podinfo\n      sourceRef:\n        kind: HelmRepository\n        name: podinfo\n"
        ),
        "kustomize-controller",
    ),
    good: Example::of(release!("  chartRef:\n    kind: HelmChart\n    name: podinfo\n    namespace: apps\n")).after(
        release!(
            "  chart:\n    spec:\n      chart: podinfo\n      sourceRef:\n        kind: HelmRepository\n        name: podinfo\n"
        ),
        "kustomize-controller",
    ),
    fixed: None,
    check,
};

/// Seen with helm-controller 1.3.0 to 1.6.3. The revision of an ExternalArtifact is in its status, which is not read here: one
/// without a digest causes no upgrade.
fn check(case: &Case<'_>, findings: &mut Findings<'_>) {
    let Some((chart, kind, at)) = case.leaves_helm_chart() else { return };
    // values-files-lost reports the same upgrade, and the worse effect with it; a chart of another name is not upgraded to.
    if chart.spec.set().is_some_and(|spec| spec.values_files) || chart_name_changes::reinstalls(case) {
        return;
    }
    let what = match kind {
        "OCIRepository" => {
            "the move to OCIRepository makes a Helm upgrade and changes helm.sh/chart: pods may restart"
        }
        "ExternalArtifact" => {
            "an ExternalArtifact with a digest makes a Helm upgrade: helm.sh/chart changes, pods may restart"
        }
        _ => return,
    };
    // The upgrade is no reason to deny the move, whatever the settings are.
    findings.report(at, what).at_most(Level::Warning);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::policy::rules::testing::{Found, found, found_with, release};
    use crate::policy::{RuleSettings, Settings};

    fn chart(more: &Value) -> Value {
        let mut spec =
            json!({"chart": "podinfo", "sourceRef": {"kind": "HelmRepository", "name": "podinfo"}});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        release(&json!({"chart": {"spec": spec}}))
    }

    fn chart_ref(kind: &str) -> Value {
        release(&json!({"chartRef": {"kind": kind, "name": "podinfo", "namespace": "apps"}}))
    }

    fn own(found: Vec<Found>) -> Vec<Found> {
        found.into_iter().filter(|it| it.rule == RULE.id).collect()
    }

    #[test]
    fn is_reported_on_the_switch_and_only_there() {
        let (from, to) = (chart(&json!({})), chart_ref("OCIRepository"));
        assert_eq!(own(found(&to, Some(&from))).len(), 1);
        for (new, old) in [(&to, Some(&to)), (&to, None), (&from, Some(&to)), (&from, Some(&from))] {
            assert!(own(found(new, old)).is_empty(), "{new} after {old:?}");
        }
    }

    #[test]
    fn an_inline_source_is_an_oci_repository_already() {
        let inline =
            release(&json!({"chart": {"kind": "OCIRepository", "spec": {"url": "oci://a/podinfo"}}}));
        assert_eq!(own(found(&inline, Some(&chart(&json!({}))))).len(), 1);
        assert!(own(found(&chart_ref("OCIRepository"), Some(&inline))).is_empty());
    }

    #[test]
    fn follows_from_a_source_with_a_digest_and_is_reported_by_one_rule() {
        for (kind, reported) in [("OCIRepository", 1), ("ExternalArtifact", 1), ("HelmChart", 0)] {
            assert_eq!(own(found(&chart_ref(kind), Some(&chart(&json!({}))))).len(), reported, "{kind}");
        }
        let with_files = chart(&json!({"valuesFiles": ["values-prod.yaml"]}));
        let ids: Vec<_> = found(&chart_ref("OCIRepository"), Some(&with_files));
        assert_eq!(ids.iter().map(|it| it.rule).collect::<Vec<_>>(), ["values-files-lost"]);
    }

    #[test]
    fn never_denies_whatever_is_chosen() {
        let error = RuleSettings { level: Some(Level::Error), ..RuleSettings::default() };
        let settings = Settings { rules: [(RULE.id.to_owned(), error)].into(), ..Settings::default() };
        let found = own(found_with(&chart_ref("OCIRepository"), Some(&chart(&json!({}))), &settings));
        assert_eq!(found.iter().map(|it| it.level).collect::<Vec<_>>(), [Level::Warning]);
    }
}
