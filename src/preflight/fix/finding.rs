//! Which findings are put right in files, and how.

use json_patch::{AddOperation, PatchOperation, jsonptr::PointerBuf};

use super::{Refusal, api_version, edits};
use crate::helmrelease::at;
use crate::json::pointer::{escaped, segments};
use crate::policy::{Finding, Installed, SOURCE_GROUP, Settings};
use crate::report::{Excerpts, SuggestedFix};
use crate::yaml::{Node, Span};

/// A rendered object, and what there is to know about where it came from.
#[derive(Clone, Copy)]
pub struct Scope<'s, 'a> {
    /// The object.
    pub object: &'s Node<'a>,
    /// Where else it is found by its version: the `apiVersion` of patches, and the `version` of targets.
    pub found_by: &'s [Span],
    /// What is chosen.
    pub settings: &'s Settings,
    /// What it is judged by.
    pub installed: Installed<'s>,
    /// The files.
    pub files: &'s dyn Excerpts,
}

/// What puts a finding right in files; `None` where nothing should be.
///
/// That is what its rule does to the object, but for what `/mutate` fills in without a word: a manifest need not say it. Nothing that is
/// stated is taken out, a `null` excepted. Besides, an old apiVersion becomes the newest one that is served.
pub fn fix(finding: &Finding, scope: &Scope<'_, '_>) -> Option<Result<SuggestedFix, Refusal>> {
    let (what, fields, edits) = match &finding.fix {
        Some(fix) => {
            if !fix.operations.iter().all(|it| is_for_files(it, fix.done.is_none(), scope.object)) {
                return None;
            }
            let what = fix.done.clone().unwrap_or_else(|| format!("set {}", finding.field()));
            (what, fields_of(&fix.operations), edits(scope.object, &fix.operations, scope.files))
        }
        None if finding.at == at::SOURCE_REF_API_VERSION => {
            let kind = scope.object.text_of(&["spec", "chart", "spec", "sourceRef", "kind"])?;
            let newest = format!("{SOURCE_GROUP}/{}", scope.installed.source_versions(kind).first()?);
            let path = PointerBuf::parse(at::SOURCE_REF_API_VERSION).expect("paths of rules are constants");
            let operation = PatchOperation::Add(AddOperation { path, value: newest.as_str().into() });
            let what = format!("set {} to {newest}", finding.field());
            let operations = [operation];
            (what, fields_of(&operations), edits(scope.object, &operations, scope.files))
        }
        None => {
            let newest = newer_version(finding, scope)?;
            return to_version(scope, newest);
        }
    };
    match edits {
        Ok(edits) if edits.is_empty() => None,
        edits => Some(edits.map(|edits| SuggestedFix { what, edits, fields })),
    }
}

/// What brings an object to a newer version of its kind; `None` where it is there already.
pub fn to_version(scope: &Scope<'_, '_>, version: &str) -> Option<Result<SuggestedFix, Refusal>> {
    if !api_version::is_older(scope.object, version) {
        return None;
    }
    let what = format!("set apiVersion to {version}");
    // Those that hold the version change with it.
    let annotations =
        scope.settings.annotations.keys().map(|key| format!("{}/{}", at::ANNOTATIONS, escaped(key)));
    let fields = std::iter::once(at::API_VERSION.to_owned()).chain(annotations).collect();
    match api_version(scope, version) {
        Ok(edits) if edits.is_empty() => None,
        edits => Some(edits.map(|edits| SuggestedFix { what, edits, fields })),
    }
}

fn fields_of(operations: &[PatchOperation]) -> Vec<String> {
    operations.iter().map(|operation| operation.path().as_str().to_owned()).collect()
}

/// The version that would put a finding right which is about the version.
fn newer_version<'s>(finding: &Finding, scope: &Scope<'s, '_>) -> Option<&'s str> {
    let newest = scope.installed.newest_schema();
    let is_about_it = match finding.rule.id {
        "deprecated-api-version" => finding.at == at::API_VERSION,
        "chart-ref-needs-v2" => !newest.chart_ref_kinds.is_empty() && !newest.chart_required,
        _ => false,
    };
    (is_about_it && api_version::is_older(scope.object, &newest.version)).then_some(&*newest.version)
}

/// Whether an operation of a rule is one that a file is given.
fn is_for_files(operation: &PatchOperation, silent: bool, object: &Node<'_>) -> bool {
    let pointer = operation.path().as_str();
    let keys: Vec<_> = segments(pointer).collect();
    let keys: Vec<&str> = keys.iter().map(|key| &**key).collect();
    let there = object.at(&keys);
    match operation {
        PatchOperation::Remove(_) => there.is_some_and(Node::is_null),
        _ => !silent || there.is_some_and(|node| !node.is_null() && node.text() != Some("")),
    }
}
