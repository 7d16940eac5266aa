//! From chart to chartRef in one step, while something still holds on to the chart.

use super::{Example, Rule, release};
use crate::{
    helmrelease::at,
    policy::{Case, Findings, Level, finding::quoted, owners},
};

pub(super) static RULE: Rule = Rule {
    id: "migration-order",
    level: Level::Warning,
    policy: false,
    summary: "The move to chartRef starts when nobody else owns spec.chart and the applier's entry is at the new version.",
    why: "what another manager owns below spec.chart stays when the applier lets go of it, and an entry at an older \
          version can make the API server fail to merge.",
    help: "first set apiVersion to v2 and keep spec.chart; move to chartRef in a later commit, when kubectl get helmrelease \
           NAME -o yaml --show-managed-fields shows the applier at v2 and nobody else below spec.chart. kustomize-controller v1.10 \
           (Flux 2.10) takes over what another manager owns by --override-manager-before-dry-run=MANAGER.",
    bad: Example::of(release!("  chartRef:\n    kind: HelmChart\n    name: podinfo\n    namespace: apps\n")).after(
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata:\n  name: podinfo\n  namespace: apps\n  \
         annotations:\n    fluxcd.io/version: v2\n  managedFields:\n  - manager: kubectl-edit\n    operation: Update\n    \
         apiVersion: helm.toolkit.fluxcd.io/v2\n    fieldsType: FieldsV1\n    \
         fieldsV1: {\"f:spec\": {\"f:chart\": {\"f:spec\": {\"f:interval\": {}}}}}\n\
         spec:\n  interval: 10m\n  chart:\n    spec:\n      chart: podinfo\n      interval: 5m\n      sourceRef:\n        \
         kind: HelmRepository\n        name: podinfo\n",
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

fn check(case: &Case<'_>, findings: &mut Findings<'_>) {
    let Some((old, _)) = case.moves_from() else { return };
    let owners = owners::at(old.managed_fields(), &["spec", "chart"]);
    if let Some(other) = owners.iter().find(|owner| !case.is_applier(owner.manager)) {
        findings.report(
            at::CHART_REF,
            format!("moved to chartRef while {} owns part of spec.chart", quoted(other.manager)),
        );
        return;
    }
    let behind = old.managed_fields().iter().find(|entry| {
        let own = entry.manager.text().is_some_and(|manager| case.is_applier(manager));
        own && entry.is_apply() && entry.api_version.text() != case.release().api_version.text()
    });
    if let Some(entry) = behind {
        let version =
            quoted(entry.api_version.text().unwrap_or_default().rsplit('/').next().unwrap_or_default());
        findings.report(
            at::CHART_REF,
            format!("moved to chartRef while managedFields of the applier are at {version}"),
        );
    }
}
