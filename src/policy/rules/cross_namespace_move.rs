//! Reports sources of `spec.chart` in another namespace, where cross-namespace references are off.

use super::{Example, Rule, release};
use crate::{
    helmrelease::at,
    policy::{
        Case, CrossNamespace, Findings, Level,
        case::{ChartState, word},
        finding::quoted,
    },
};

pub(super) static RULE: Rule = Rule {
    id: "cross-namespace-move",
    level: Level::Error,
    policy: true,
    summary: "Where cross-namespace references are off, spec.chart takes its source from the release's own namespace, and no \
              move leaves a generated HelmChart behind in another one.",
    why: "helm-controller with --no-cross-namespace-refs=true may not delete the HelmChart that it generated in another \
          namespace. It only logs that: the release keeps Ready=True, is never reconciled again, and cannot be deleted.",
    help: "make the move while helm-controller still allows cross-namespace references, and turn them off then.",
    bad: Example::of(release!("  chartRef:\n    kind: HelmChart\n    name: podinfo\n    namespace: apps\n"))
        .after(
            release!(
                "  chart:\n    spec:\n      chart: podinfo\n      sourceRef:\n        kind: HelmRepository\n        "
                "name: podinfo\n        namespace: sources\n"
                "status:\n  helmChart: sources/apps-podinfo\n"
            ),
            "kustomize-controller",
        )
        .same_namespace_only(),
    good: Example::of(release!("  chartRef:\n    kind: HelmChart\n    name: podinfo\n    namespace: apps\n"))
        .after(
            release!(
                "  chart:\n    spec:\n      chart: podinfo\n      sourceRef:\n        kind: HelmRepository\n        name: podinfo\n"
                "status:\n  helmChart: apps/apps-podinfo\n"
            ),
            "kustomize-controller",
        )
        .same_namespace_only(),
    fixed: None,
    check,
};

fn check(case: &Case<'_>, findings: &mut Findings<'_>) {
    if case.settings.chart_ref.cross_namespace == CrossNamespace::Allow {
        return;
    }
    if case.chart_ref().is_some() {
        left_behind(case, at::CHART_REF, findings);
        return;
    }
    match (source_namespace(case), case.subject.namespace) {
        (Some(named), Some(own)) if named != own => foreign_source(named, own, findings),
        _ if case.chart() == ChartState::Whole => left_behind(case, at::CHART, findings),
        _ => {}
    }
}

/// `spec.chart.spec.sourceRef.namespace`, where one is named.
fn source_namespace<'c>(case: &'c Case<'_>) -> Option<&'c str> {
    case.release().chart().set()?.spec.set()?.source_ref.set()?.namespace.filled()
}

/// Seen with helm-controller 1.6.3: a new release with such a source has no condition at all.
fn foreign_source(named: &str, own: &str, findings: &mut Findings<'_>) {
    let (named, own) = (quoted(named), quoted(own));
    let what = format!("spec.chart takes its source from namespace {named}, the release is in {own}");
    findings
        .report(at::SOURCE_REF_NAMESPACE, what)
        .why(
            "cross-namespace references are off: helm-controller with --no-cross-namespace-refs=true only logs such a source, \
             and the release gets no condition.",
        )
        .help(
            "copy the source into the release's namespace and drop spec.chart.spec.sourceRef.namespace, or ask those who run \
             the cluster to allow cross-namespace references.",
        );
}

/// Seen with helm-controller 1.6.3 for a chartRef. For a `spec.chart` that moves back to its own namespace, its code
/// (`HelmChartTemplate.Reconcile`, 1.0 to 1.6) does the same: it first deletes the source that the status names.
fn left_behind(case: &Case<'_>, at: &'static str, findings: &mut Findings<'_>) {
    let Some(generated) = case.generated_elsewhere() else { return };
    let source = format!("{}/{}", generated.namespace, generated.name);
    let what =
        format!("the release gets stuck: {} {} is in another namespace", generated.kind, quoted(&source));
    let (name, own) = (case.subject.name.unwrap_or("NAME"), case.subject.namespace.unwrap_or("NAMESPACE"));
    findings.report(at, what).help(format!(
        "{} A release that is stuck already goes on, and that {} can be deleted, after: kubectl patch helmrelease {} -n {} \
         --subresource=status --type=json -p '[{{\"op\":\"remove\",\"path\":\"/status/helmChart\"}}]'",
        RULE.help,
        generated.kind,
        word(name),
        word(own),
    ));
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::policy::rules::testing::{found, found_with, release};
    use crate::policy::{ChartRefSettings, Settings};

    fn chart(source_namespace: Option<&str>, status: &str) -> Value {
        let mut source = json!({"kind": "HelmRepository", "name": "repo"});
        if let Some(namespace) = source_namespace {
            source["namespace"] = json!(namespace);
        }
        let mut release = release(&json!({"chart": {"spec": {"chart": "cfg", "sourceRef": source}}}));
        release["status"] = json!({"helmChart": status});
        release
    }

    fn strict() -> Settings {
        let chart_ref =
            ChartRefSettings { cross_namespace: CrossNamespace::Deny, ..ChartRefSettings::default() };
        Settings { chart_ref, ..Settings::default() }
    }

    fn home() -> Value {
        release(&json!({"chartRef": {"kind": "HelmChart", "name": "own", "namespace": "apps"}}))
    }

    #[test]
    fn fires_where_helm_controller_may_not_delete_what_it_generated() {
        let (home, stuck) = (home(), {
            let mut stuck = home();
            stuck["status"] = json!({"helmChart": "src/apps-podinfo"});
            stuck
        });
        for (new, old, at) in [
            (&home, Some(chart(Some("src"), "src/apps-podinfo")), Some(at::CHART_REF)),
            (&home, Some(stuck), Some(at::CHART_REF)),
            (&chart(None, ""), Some(chart(Some("src"), "src/apps-podinfo")), Some(at::CHART)),
            // helm-controller never generated one, or has it in a namespace where it may delete it.
            (&home, Some(chart(Some("src"), "")), None),
            (&home, Some(chart(None, "apps/apps-podinfo")), None),
            (&home, Some(chart(None, "OCIRepository/apps/apps-podinfo")), None),
            (&home, None, None),
        ] {
            let found = found_with(new, old.as_ref(), &strict());
            let places: Vec<_> = found.iter().filter(|it| it.rule == RULE.id).map(|it| &*it.at).collect();
            assert_eq!(places, at.into_iter().collect::<Vec<_>>(), "{new} after {old:?}");
        }
    }

    #[test]
    fn a_source_elsewhere_is_found_in_a_new_release_and_in_one_that_is_stored() {
        for old in [None, Some(chart(Some("src"), "src/apps-podinfo"))] {
            let found = found_with(&chart(Some("src"), ""), old.as_ref(), &strict());
            let places: Vec<_> = found.iter().filter(|it| it.rule == RULE.id).map(|it| &*it.at).collect();
            assert_eq!(places, [at::SOURCE_REF_NAMESPACE], "{old:?}");
        }
        let own = found_with(&chart(Some("apps"), ""), None, &strict());
        assert!(own.iter().all(|it| it.rule != RULE.id));
    }

    #[test]
    fn nothing_is_wrong_where_cross_namespace_references_are_on() {
        let old = chart(Some("src"), "src/apps-podinfo");
        for new in [home(), chart(Some("src"), "")] {
            assert!(found(&new, Some(&old)).iter().all(|it| it.rule != RULE.id));
        }
    }
}
