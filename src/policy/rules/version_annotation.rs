//! The annotation that makes a bump of apiVersion visible to Flux.

use json_patch::PatchOperation;
use serde_json::{Value, json};

use super::{Example, Rule, release};
use crate::{
    helmrelease::{Field, HelmRelease, ManagedFields, at},
    json::pointer::escaped,
    policy::{
        AnnotationValue, Case, Findings, Level, applier,
        case::{addition, helm_version, setting},
        finding::quoted,
        owns,
    },
};

pub(super) static RULE: Rule = Rule {
    id: "version-annotation",
    level: Level::Warning,
    policy: false,
    summary: "The annotation fluxcd.io/version holds the version at which the manifest is applied.",
    why: "Flux sees no drift in a bump of apiVersion alone and applies nothing, so managedFields stay at the old \
          version; an annotation that follows the version of the manifest makes it apply. Writes of other managers do not \
          change it.",
    help: "leave the annotation out of the manifest: chartgate keeps it current.",
    bad: Example::of(
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata:\n  name: podinfo\n  namespace: apps\nspec:\n  \
         interval: 10m\n  chartRef:\n    kind: OCIRepository\n    name: podinfo\n    namespace: apps\n",
    ),
    good: Example::of(release!(
        "  chartRef:\n    kind: OCIRepository\n    name: podinfo\n    namespace: apps\n"
    )),
    fixed: Some(release!("  chartRef:\n    kind: OCIRepository\n    name: podinfo\n    namespace: apps\n")),
    check,
};

/// The target value of the annotation in this request.
struct Target<'a> {
    /// The version at which the manager of the request applies the spec.
    version: &'a str,
    /// That manager, where `managedFields` name it.
    applier: Option<&'a ManagedFields<'a>>,
}

fn check(case: &Case<'_>, findings: &mut Findings<'_>) {
    let Field::Set(metadata) = &case.release().metadata else { return };
    if matches!(metadata.annotations, Field::WrongType(_)) {
        return; // the API server refuses that itself
    }
    let Some(target) = Target::of(case) else { return };
    // The first key to be added makes the map, where there is none.
    let mut has_map = metadata.annotations.set().is_some();
    for (key, AnnotationValue::ApiVersion) in &case.settings.annotations {
        let (version, found) = (target.value(case, key), case.release().annotation(key));
        if found.text() == Some(version) {
            continue;
        }
        let pointer = format!("{}/{}", at::ANNOTATIONS, escaped(key));
        match found {
            Field::Absent => {
                let operation = if has_map { setting(&pointer, version) } else { with_map(key, version) };
                has_map = true;
                findings
                    .report(pointer, format!("annotation {key} is absent; it should be {version}"))
                    .fix(vec![operation]);
            }
            Field::Set(value) if target.is_stated(case, key) => {
                let what = format!(
                    "a manifest sets annotation {key} to {}; it should be {version}, or left out",
                    quoted(&value)
                );
                findings.report(pointer, what);
            }
            Field::Set(_) | Field::WrongType(_) => {
                let operation = setting(&pointer, version);
                let what = if version == target.version {
                    format!("annotation {key} is stale; it should be {version}")
                } else {
                    format!("annotation {key} hides a bump of apiVersion; it is {version} for one apply")
                };
                findings.report(pointer, what).fix(vec![operation]);
            }
        }
    }
}

// === impl Target ===

impl<'a> Target<'a> {
    /// `None` where the request does not come from the manager that applies the spec: the version of a write by another
    /// manager does not show the version of the manifest.
    fn of(case: &Case<'a>) -> Option<Self> {
        let release = case.release();
        let version = case.version?;
        if release.managed_fields().is_empty() {
            // A manifest that nobody has applied yet. The applier of a stored object is unknown.
            return case.subject.old.is_none().then_some(Self { version, applier: None });
        }
        if is_settled(case, version) {
            return None;
        }
        let applier = applier(release)?;
        let requests = match case.subject.manager {
            Some(manager) => applier.manager.text() == Some(manager),
            // A client that names no manager gets one by its user agent, which no review contains; the client that creates
            // an object is the only one in it.
            None => case.subject.old.is_none(),
        };
        let version = applier.api_version.text().and_then(helm_version)?;
        requests.then_some(Self { version, applier: Some(applier) })
    }

    /// The value of one annotation.
    ///
    /// Flux applies only where something other than apiVersion differs. Where the annotation already has the value of the
    /// version that the manager reaches with this request, nothing would: so it takes the value of the previous version,
    /// which makes Flux apply, and the next apply finds it behind.
    fn value(&self, case: &Case<'a>, key: &str) -> &'a str {
        let before = self.applied_before(case).filter(|before| *before != self.version);
        let hides = |old: &HelmRelease<'_>| old.annotation(key).text() == Some(self.version);
        let before = before.filter(|_| case.subject.old.is_some_and(hides) && !self.is_stated(case, key));
        before.unwrap_or(self.version)
    }

    /// The version at which the same manager has used server-side apply until now.
    fn applied_before(&self, case: &Case<'a>) -> Option<&'a str> {
        let manager = &self.applier.filter(|applier| applier.is_apply())?.manager;
        let entries = case.subject.old?.managed_fields();
        let before = entries.iter().find(|entry| entry.is_apply() && entry.manager == *manager)?;
        before.api_version.text().and_then(helm_version)
    }

    /// Whether a manifest states the annotation: that of the applier, or one of another manager that uses server-side apply
    /// and so states it again. A value that was written once is no manifest.
    fn is_stated(&self, case: &Case<'_>, key: &str) -> bool {
        let Some(applier) = self.applier else { return true };
        case.release().managed_fields().iter().any(|entry| {
            (entry.is_apply() || entry.manager == applier.manager)
                && owns(entry, &["metadata", "annotations", key])
        })
    }
}

/// Whether every annotation and every entry is at one version, before and after. Nearly every object is like that, and finding
/// the applier requires reading all sets of fields.
fn is_settled(case: &Case<'_>, version: &str) -> bool {
    let is_at = |entry: &ManagedFields<'_>| entry.api_version.text().and_then(helm_version) == Some(version);
    let are_at = |release: &HelmRelease<'_>| release.managed_fields().iter().all(is_at);
    case.settings.annotations.keys().all(|key| case.release().annotation(key).text() == Some(version))
        && are_at(case.release())
        && case.subject.old.is_none_or(are_at)
}

fn with_map(key: &str, version: &str) -> PatchOperation {
    let map: Value = json!({ key: version });
    addition(at::ANNOTATIONS, map)
}
