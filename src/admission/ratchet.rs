//! What was already stored may stay: an update is denied only for what it introduces.
//!
//! A spec counts as unchanged where it differs from the stored one in nothing but `suspend` and what a fix of ours changes.
//! kube-apiserver ratchets as well (`CRDValidationRatcheting`, on since 1.30): it does not validate again what an update leaves
//! byte for byte. So a spec whose error is excused must not be patched either, or the schema refuses what we let pass.

use std::cell::OnceCell;

use json_patch::PatchOperation;

use crate::{
    helmrelease::{Field, HelmRelease, Spec, at},
    json::{self, Kind, Raw, View},
    policy::{self, Case, Finding, Fix, Level, Mode, Operation, Subject},
};

/// What the object in the cluster already had wrong, worked out when it is first asked for.
pub(super) struct Stored<'c> {
    case: &'c Case<'c>,
    rules: OnceCell<Vec<&'static str>>,
    leaves_spec: OnceCell<bool>,
}

/// A member of the spec, and which parts of it count as the user's.
#[derive(Clone, Copy)]
enum Place {
    Spec,
    Chart,
    ChartRef,
    Else,
}

// === impl Stored ===

impl<'c> Stored<'c> {
    pub(super) fn of(case: &'c Case<'c>) -> Self {
        Self { case, rules: OnceCell::new(), leaves_spec: OnceCell::new() }
    }

    /// Whether an error was there before, and the update leaves the user's spec as it was.
    ///
    /// An error in a spec that does not change was there before, also where a rule learns it from the request. Errors in
    /// metadata are looked up in the stored object.
    pub(super) fn excuses(&self, finding: &Finding) -> bool {
        self.leaves_spec() && (!is_about_metadata(finding) || self.has(finding.rule.id))
    }

    /// Whether the spec has to stay as it is stored: the update leaves it as it was, and `/mutate` cannot fix all of it.
    pub(super) fn keeps_spec(&self, findings: &[Finding], namespace: Mode) -> bool {
        let settings = self.case.settings;
        let remains = |finding: &Finding| {
            // The schema knows nothing of levels and modes that are chosen for a rule. A finding of level note is no error to it
            // either.
            let is_error = finding.level == Level::Error
                || finding.rule.level == Level::Error && finding.level != Level::Note;
            let is_fixed =
                finding.fix.is_some() && settings.mode_of(finding.rule.id, namespace) == Mode::Enforce;
            is_error && !is_fixed && !is_about_metadata(finding)
        };
        findings.iter().any(remains) && self.leaves_spec()
    }

    /// Whether a fix leaves the spec unchanged, or makes it equal to the stored one.
    pub(super) fn restores(&self, fix: &Fix) -> bool {
        let spec = self.case.subject.old.and_then(|old| old.spec.set());
        fix.operations.iter().all(|operation| {
            let Some(path) = path_of(operation).strip_prefix(at::SPEC) else { return true };
            let stored = spec.and_then(|spec| value_at(spec.raw, path));
            match operation {
                PatchOperation::Add(add) => {
                    let text = stored.and_then(|stored| stored.reader().string().ok());
                    text.is_some_and(|text| add.value == *text)
                }
                PatchOperation::Remove(_) => stored.is_none(),
                _ => false,
            }
        })
    }

    fn leaves_spec(&self) -> bool {
        let Subject { release, old, namespace, .. } = self.case.subject;
        // Specs are compared last: to read two large ones costs far more than the rules do.
        old.is_some_and(|old| {
            *self.leaves_spec.get_or_init(|| is_same_spec(&old.spec, &release.spec, namespace))
        })
    }

    /// Whether a rule finds an error in the stored object.
    fn has(&self, rule: &str) -> bool {
        let Some(old) = self.case.subject.old else { return false };
        self.rules.get_or_init(|| self.errors_of(old)).contains(&rule)
    }

    fn errors_of(&self, old: &HelmRelease<'_>) -> Vec<&'static str> {
        let Case { subject, settings, facts, installed, .. } = self.case;
        let before =
            Subject { release: old, old: Some(old), operation: Operation::Create, manager: None, ..*subject };
        let found = policy::evaluate(&Case::new(before, settings, facts, *installed));
        found.iter().filter(|finding| finding.level == Level::Error).map(|finding| finding.rule.id).collect()
    }
}

fn is_about_metadata(finding: &Finding) -> bool {
    finding.at.starts_with("/metadata/")
}

fn path_of(operation: &PatchOperation) -> &str {
    match operation {
        PatchOperation::Add(add) => add.path.as_str(),
        PatchOperation::Remove(remove) => remove.path.as_str(),
        PatchOperation::Replace(replace) => replace.path.as_str(),
        PatchOperation::Move(it) => it.path.as_str(),
        PatchOperation::Copy(it) => it.path.as_str(),
        PatchOperation::Test(test) => test.path.as_str(),
    }
}

/// Returns the value at a pointer, if it is there and not null.
fn value_at<'a>(value: Raw<'a>, pointer: &str) -> Option<Raw<'a>> {
    let found = pointer.split('/').skip(1).try_fold(value, Raw::member)?;
    (found.kind() != Kind::Null).then_some(found)
}

/// Whether an update leaves the spec as the user wrote it. Suspending counts as no change: users suspend broken releases.
fn is_same_spec(old: &Field<Spec<'_>>, new: &Field<Spec<'_>>, namespace: Option<&str>) -> bool {
    match (old, new) {
        (Field::Absent, Field::Absent) => true,
        (Field::Set(old), Field::Set(new)) => {
            old.raw.bytes() == new.raw.bytes()
                || is_same_reference(old, new, namespace) && json::same(old.raw, new.raw, Place::Spec)
        }
        // No schema allows it to be stored, so nothing of it needs to be preserved.
        _ => false,
    }
}

/// Whether `chartRef` is the same but for what fixes change. Its other members are compared with the rest of the spec.
fn is_same_reference(old: &Spec<'_>, new: &Spec<'_>, namespace: Option<&str>) -> bool {
    match (&old.chart_ref, &new.chart_ref) {
        (Field::Absent, Field::Absent) => true,
        (Field::Set(old), Field::Set(new)) => policy::differ_by_fixes_alone(old, new, namespace),
        _ => false,
    }
}

// === impl Place ===

impl View for Place {
    fn counts(self, key: &str, value: Raw<'_>) -> bool {
        match self {
            // Server-side apply sends a null, and a fix removes it. No field of `chart` is nullable.
            Self::Spec => {
                key != "suspend" && !(["chart", "chartRef"].contains(&key) && value.kind() == Kind::Null)
            }
            Self::Chart => value.kind() != Kind::Null,
            Self::ChartRef => !["apiVersion", "kind", "name", "namespace"].contains(&key),
            Self::Else => true,
        }
    }

    fn below(self, key: &str) -> Self {
        match self {
            Self::Spec if key == "chartRef" => Self::ChartRef,
            Self::Spec if key == "chart" => Self::Chart,
            Self::Chart => Self::Chart,
            _ => Self::Else,
        }
    }
}
