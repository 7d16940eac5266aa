//! The annotation that makes a bump of apiVersion visible to Flux.

use json_patch::PatchOperation;
use serde_json::{Value, json};

use super::{Example, Rule, release};
use crate::{
    helmrelease::{Field, at},
    policy::{
        AnnotationValue, Case, Findings, Level,
        case::{addition, setting},
        finding::quoted,
    },
};

pub(super) static RULE: Rule = Rule {
    id: "version-annotation",
    level: Level::Warning,
    policy: false,
    summary: "The annotation fluxcd.io/version holds the version part of the apiVersion.",
    why: "Flux sees no drift in a bump of apiVersion alone and applies nothing, so managedFields stay at the old \
          version; an annotation that follows the version makes it apply.",
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

fn check(case: &Case<'_>, findings: &mut Findings<'_>) {
    let (Field::Set(metadata), Some(version)) = (&case.release().metadata, case.version) else { return };
    if matches!(metadata.annotations, Field::WrongType(_)) {
        return; // the API server refuses that itself
    }
    // The first key to be added makes the map, where there is none.
    let mut has_map = metadata.annotations.set().is_some();
    for (key, AnnotationValue::ApiVersion) in &case.settings.annotations {
        let found = case.release().annotation(key);
        if found.text() == Some(version) {
            continue;
        }
        let pointer = format!("{}/{}", at::ANNOTATIONS, key.replace('~', "~0").replace('/', "~1"));
        match found {
            Field::Absent => {
                let operation = if has_map { setting(&pointer, version) } else { with_map(key, version) };
                has_map = true;
                findings
                    .report(pointer, format!("annotation {key} is absent; it should be {version}"))
                    .fix(vec![operation]);
            }
            Field::Set(value) if owned(case, key) => {
                let what = format!(
                    "a manifest sets annotation {key} to {}; it should be {version}, or left out",
                    quoted(&value)
                );
                findings.report(pointer, what);
            }
            Field::Set(_) | Field::WrongType(_) => {
                let operation = setting(&pointer, version);
                findings
                    .report(pointer, format!("annotation {key} is stale; it should be {version}"))
                    .fix(vec![operation]);
            }
        }
    }
}

fn with_map(key: &str, version: &str) -> PatchOperation {
    let map: Value = json!({ key: version });
    addition(at::ANNOTATIONS, map)
}

/// Whether somebody's manifest sets the annotation. A new object without managedFields is a manifest itself.
fn owned(case: &Case<'_>, key: &str) -> bool {
    let is_manifest = case.subject.old.is_none() && case.release().managed_fields().is_empty();
    is_manifest || !case.owners(&["metadata", "annotations", key]).is_empty()
}
