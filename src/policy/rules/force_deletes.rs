//! Reports a release that Flux deletes when its next apply is refused.

use super::{Example, Rule};
use crate::{
    helmrelease::{HelmRelease, at},
    policy::{Case, Findings, Level, finding::quoted},
};

/// The key of a label or an annotation that asks kustomize-controller (v1.9.4) to replace an object whose apply is refused
/// as Invalid.
const FORCE: &str = "kustomize.toolkit.fluxcd.io/force";

pub(super) static RULE: Rule = Rule {
    id: "force-deletes",
    level: Level::Error,
    policy: true,
    summary: "A release whose next apply would be refused is not applied by Flux with force.",
    why: "where the API server refuses an apply as Invalid (422), kustomize-controller with spec.force, or with \
          kustomize.toolkit.fluxcd.io/force on the object, deletes the live HelmRelease, and helm-controller uninstalls the \
          application. A denial of chartgate prevents that; where chartgate is away, or only warns, nothing does.",
    help: "remove spec.force from the Kustomization, and kustomize.toolkit.fluxcd.io/force from the object, until the other \
           findings are fixed and applied.",
    bad: Example::of(
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata:\n  name: podinfo\n  namespace: apps\n  \
         annotations:\n    fluxcd.io/version: v2\n    kustomize.toolkit.fluxcd.io/force: Enabled\nspec:\n  interval: 10m\n  \
         chart:\n    spec:\n      version: 6.5.4\n  chartRef:\n    kind: OCIRepository\n    name: podinfo\n    \
         namespace: apps\n",
    ),
    good: Example::of(
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata:\n  name: podinfo\n  namespace: apps\n  \
         annotations:\n    fluxcd.io/version: v2\n    kustomize.toolkit.fluxcd.io/force: Enabled\nspec:\n  interval: 10m\n  \
         chartRef:\n    kind: OCIRepository\n    name: podinfo\n    namespace: apps\n",
    ),
    fixed: None,
    check,
};

fn check(case: &Case<'_>, findings: &mut Findings<'_>) {
    let marked = marked(case.release()).or_else(|| marked(case.subject.old?));
    let by = match (case.forced_by, marked) {
        (Some(kustomization), _) => format!("Kustomization {}", quoted(kustomization)),
        (None, Some(_)) => "this object".to_owned(),
        (None, None) => return,
    };
    let Some(first) = findings.invalid().next() else { return };
    let is_patched = findings.invalid().all(|finding| finding.fix.is_some());
    let at = marked.map_or_else(|| first.at.clone(), Into::into);
    if is_patched {
        findings
            .report(at, format!("{by} has force: without chartgate's patch Flux deletes the release"))
            .level(Level::Warning, case.settings)
            .beside_others();
    } else {
        findings.report(at, format!("{by} has force: a refused apply deletes the release")).beside_others();
    }
}

/// Whether an object itself asks kustomize-controller to replace it where its apply is refused.
pub fn is_marked_for_force(release: &HelmRelease<'_>) -> bool {
    marked(release).is_some()
}

/// Where an object asks for force, as fluxcd/pkg/ssa (v0.76.2) reads it: in a label or an annotation, in large letters or small ones.
fn marked(release: &HelmRelease<'_>) -> Option<&'static str> {
    let is_set = |text: Option<&str>| text.is_some_and(|text| text.eq_ignore_ascii_case("enabled"));
    if is_set(release.annotation(FORCE).text()) {
        return Some(at::FORCE_ANNOTATION);
    }
    is_set(release.label(FORCE).text()).then_some(at::FORCE_LABEL)
}
