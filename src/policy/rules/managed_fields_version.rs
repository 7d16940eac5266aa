//! A managedFields entry at a version that the CRD lost or will lose.

use super::{Example, Rule, release};
use crate::{
    helmrelease::at,
    policy::{Case, Findings, Flux, Level, case::helm_version, finding::quoted},
};

pub(super) static RULE: Rule = Rule {
    id: "managed-fields-version",
    level: Level::Warning,
    policy: false,
    summary: "Every managedFields entry names a version that the CRD serves, and none older than the object's own.",
    why: "once the CRD drops that version, every apply of the object fails with \"request to convert CR to an invalid \
          group/version\".",
    help: "run flux migrate (CLI of Flux 2.7.1 or newer): it rewrites the apiVersion of every managedFields entry of all \
           Flux objects in the cluster, and changes nothing else in them.",
    bad: Example::of(
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata:\n  name: podinfo\n  namespace: apps\n  \
         annotations:\n    fluxcd.io/version: v2\n  managedFields:\n  - manager: helm-controller\n    operation: Update\n    \
         apiVersion: helm.toolkit.fluxcd.io/v2beta2\n    fieldsType: FieldsV1\n    fieldsV1: {\"f:metadata\": {\"f:finalizers\": {}}}\n\
         spec:\n  interval: 10m\n  chartRef:\n    kind: OCIRepository\n    name: podinfo\n    namespace: apps\n",
    )
    .on("2.7"),
    good: Example::of(release!("  chartRef:\n    kind: OCIRepository\n    name: podinfo\n    namespace: apps\n")),
    fixed: None,
    check,
};

fn check(case: &Case<'_>, findings: &mut Findings<'_>) {
    let served = case.installed.served();
    let place = |version: &str| served.iter().position(|schema| schema.version == version);
    let own = case.version.and_then(place);
    for (index, entry) in case.release().managed_fields().iter().enumerate() {
        let Some(version) = entry.api_version.text().and_then(helm_version) else { continue };
        let place = place(version);
        // Nearly every entry is in order, and a message about it would only be thrown away.
        if place.is_some() && place >= own {
            continue;
        }
        let manager = quoted(entry.manager.text().unwrap_or_default());
        let at = format!("{}/{index}/apiVersion", at::MANAGED_FIELDS);
        if place.is_none() {
            let what = format!("managedFields of {manager} are at {}, which is gone", quoted(version));
            findings.report(at, what).level(Level::Error, case.settings).why(
                "every apply of the object fails with \"request to convert CR to an invalid group/version\", before \
                 any webhook is asked.",
            );
        } else {
            let drops = Flux::that_dropped(version).map(|flux| format!(", gone in Flux {flux}"));
            let drops = drops.unwrap_or_default();
            let what = format!("managedFields of {manager} are at {version}{drops}: run flux migrate");
            findings.report(at, what);
        }
    }
}
