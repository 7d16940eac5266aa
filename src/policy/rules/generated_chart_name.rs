//! Reports a chartRef to the source that helm-controller generated, and deletes on the switch.

use super::{Example, Rule, release};
use crate::{
    helmrelease::{GeneratedSource, at},
    policy::{Case, Findings, Level, finding::quoted},
};

pub(super) static RULE: Rule = Rule {
    id: "generated-chart-name",
    level: Level::Error,
    policy: true,
    summary: "spec.chartRef does not name the source that helm-controller generated for this release.",
    why: "on the switch to chartRef helm-controller deletes the source that status.helmChart names before it looks at the \
          new one, so the release would lose its chart.",
    help: "give the source another name, such as the release's own, and name that in spec.chartRef.",
    bad: Example::of(release!(
        "  chartRef:\n    kind: HelmChart\n    name: apps-podinfo\n    namespace: apps\n"
    ))
    .after(
        release!(
            "  chart:\n    spec:\n      chart: podinfo\n      sourceRef:\n        kind: HelmRepository\n        name: podinfo\n"
            "status:\n  helmChart: apps/apps-podinfo\n"
        ),
        "kustomize-controller",
    ),
    good: Example::of(release!("  chartRef:\n    kind: HelmChart\n    name: podinfo\n    namespace: apps\n")).after(
        release!(
            "  chart:\n    spec:\n      chart: podinfo\n      sourceRef:\n        kind: HelmRepository\n        name: podinfo\n"
            "status:\n  helmChart: apps/apps-podinfo\n"
        ),
        "kustomize-controller",
    ),
    fixed: None,
    check,
};

fn check(case: &Case<'_>, findings: &mut Findings<'_>) {
    let Some(target) = case.target else { return };
    let (Some(kind), Some(name)) = (target.kind, target.name) else { return };
    let Some(namespace) = target.namespace.or(case.subject.namespace) else { return };
    let named = GeneratedSource { kind, namespace, name };
    // helm-controller deletes exactly the source that the status names; any other of that name is safe (seen with 1.6.3).
    if let Some(old) = case.subject.old {
        if old.generated_source() == Some(named) {
            let what = format!("{kind} {} is the one that helm-controller deletes", quoted(name));
            findings.report(at::CHART_REF_NAME, what).help(another_name(case, kind));
        }
    } else if case.is_file && is_usual_name(case, named) {
        let what =
            format!("{kind} {} has the name that helm-controller generates for this release", quoted(name));
        findings.report(at::CHART_REF_NAME, what).level(Level::Note, case.settings).why(
            "where the release still takes its chart from spec.chart, helm-controller deletes that source on the switch to \
             chartRef. A release that never had spec.chart is safe; only status.helmChart in the cluster tells.",
        ).help(another_name(case, kind));
    }
}

/// Whether a source has the name `<namespace>-<name>` and is in the release's own namespace, where it is generated unless
/// `sourceRef.namespace` names another one.
fn is_usual_name(case: &Case<'_>, named: GeneratedSource<'_>) -> bool {
    let (Some(own), Some(home)) = (case.subject.name, case.subject.namespace) else { return false };
    let name = named.name.strip_prefix(home).and_then(|rest| rest.strip_prefix('-'));
    named.kind == "HelmChart" && named.namespace == home && name == Some(own)
}

fn another_name(case: &Case<'_>, kind: &str) -> String {
    let own = case.subject.name.unwrap_or("the release's own");
    format!("create a {kind} with another name, such as {own}, and set spec.chartRef.name to it.")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::policy::rules::testing::{found, release};

    /// The release and the generated HelmChart as the cluster holds them, and the chartRef that is applied next: every case that
    /// was run against helm-controller 1.6.3. True where it deleted the source that the chartRef names.
    fn cases() -> Vec<(&'static str, Value, Value, bool)> {
        let chart = |source_namespace: Option<&str>, status: Option<&str>| {
            let mut source = json!({"kind": "HelmRepository", "name": "repo"});
            if let Some(namespace) = source_namespace {
                source["namespace"] = json!(namespace);
            }
            let mut old = release(&json!({"chart": {"spec": {"chart": "cfg", "sourceRef": source}}}));
            if let Some(status) = status {
                old["status"] = json!({"helmChart": status});
            }
            old
        };
        let reference = |kind: &str, namespace: &str| json!({"chartRef": {"kind": kind, "name": "apps-podinfo", "namespace": namespace}});
        let to_chart = release(&reference("HelmChart", "apps"));
        let oci =
            release(&json!({"chartRef": {"kind": "OCIRepository", "name": "cfg", "namespace": "apps"}}));
        let elsewhere = release(&reference("HelmChart", "src"));
        vec![
            (
                "from spec.chart, in one namespace",
                chart(None, Some("apps/apps-podinfo")),
                to_chart.clone(),
                true,
            ),
            ("applied again after the deletion", to_chart.clone(), to_chart.clone(), false),
            ("spec.chart that was never reconciled", chart(None, None), to_chart.clone(), false),
            (
                "generated in another namespace, explicit at home",
                chart(Some("src"), Some("src/apps-podinfo")),
                to_chart.clone(),
                false,
            ),
            ("both elsewhere", chart(Some("src"), Some("src/apps-podinfo")), elsewhere, true),
            ("from an OCIRepository", oci, to_chart, false),
        ]
    }

    #[test]
    fn fires_exactly_where_helm_controller_deletes_the_source() {
        for (what, old, new, deleted) in cases() {
            let ids: Vec<_> = found(&new, Some(&old)).into_iter().map(|it| (it.rule, it.level)).collect();
            let expected: &[_] = if deleted { &[("generated-chart-name", Level::Error)] } else { &[] };
            let ids: Vec<_> = ids.into_iter().filter(|(rule, _)| *rule == RULE.id).collect();
            assert_eq!(ids, expected, "{what}");
        }
    }

    #[test]
    fn a_new_release_has_nothing_to_lose_whatever_its_status_claims() {
        let mut new = release(&json!({"chartRef": {"kind": "HelmChart", "name": "apps-podinfo"}}));
        // A create drops the status, which a restored object still carries in the request.
        new["status"] = json!({"helmChart": "apps/apps-podinfo"});
        assert!(found(&new, None).iter().all(|it| it.rule != RULE.id));
    }

    #[test]
    fn the_kind_and_the_namespace_count() {
        for (status, reference, deleted) in [
            (
                "OCIRepository/apps/apps-podinfo",
                json!({"kind": "OCIRepository", "name": "apps-podinfo"}),
                true,
            ),
            ("OCIRepository/apps/apps-podinfo", json!({"kind": "HelmChart", "name": "apps-podinfo"}), false),
            ("apps/apps-podinfo", json!({"kind": "OCIRepository", "name": "apps-podinfo"}), false),
            ("apps/apps-podinfo", json!({"kind": "helmchart", "name": "apps-podinfo"}), true),
            ("apps/apps-podinfo", json!({"name": "HelmChart/apps-podinfo.apps"}), true),
            ("apps/apps-podinfo", json!({"kind": "HelmChart", "name": "podinfo"}), false),
            ("apps/another-name", json!({"kind": "HelmChart", "name": "another-name"}), true),
            ("", json!({"kind": "HelmChart", "name": "apps-podinfo"}), false),
        ] {
            let mut old = release(&json!({"chart": {"spec": {"chart": "cfg"}}}));
            old["status"] = json!({"helmChart": status});
            let new = release(&json!({"chartRef": reference}));
            let fires = found(&new, Some(&old)).iter().any(|it| it.rule == RULE.id);
            assert_eq!(fires, deleted, "{status} and {reference}");
        }
    }
}
