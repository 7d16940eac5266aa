//! What the next apply of a release comes to, if chartgate enforces: asked of the code that answers the API server.

use json_patch::{Patch, PatchOperation};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::admission::{self, Decision, Endpoint, Foreseen};
use crate::policy::{Facts, HELM_GROUP, Settings};

/// What the next apply of an unchanged manifest comes to.
#[derive(Debug, Clone, Default)]
pub struct Next {
    /// Whether it passes.
    pub outcome: Outcome,
    /// The rules that decide about it.
    pub rules: Vec<&'static str>,
    /// Why it does not pass, in the words in which that will be said; empty where it does.
    pub message: String,
    /// The JSON Patch that `/mutate` answers with, as JSON.
    pub patch: Option<Value>,
    /// What the patch changes, field by field.
    pub changes: Vec<Change>,
}

/// Whether an apply passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Outcome {
    /// Without a word.
    #[default]
    Allowed,
    /// With warnings.
    Warned,
    /// With a change.
    Patched,
    /// chartgate denies it.
    Denied,
    /// The API server refuses it, before or without any webhook.
    Refused,
    /// It is none of our business: exempt, or being deleted.
    Skipped,
}

/// What a patch does to one field.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The field, as the API server writes it.
    pub field: String,
    /// What is there; nothing where the field is new.
    pub before: Option<Value>,
    /// What will be there; nothing where the field goes.
    pub after: Option<Value>,
}

/// Who applies what, as the API server would ask about it.
#[derive(Clone, Copy)]
pub(super) struct Request<'r> {
    pub(super) namespace: &'r str,
    pub(super) name: &'r str,
    pub(super) version: &'r str,
    pub(super) manager: Option<&'r str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Review<'r> {
    api_version: &'static str,
    kind: &'static str,
    request: ReviewRequest<'r>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReviewRequest<'r> {
    uid: &'static str,
    kind: GroupVersionKind<'r>,
    namespace: &'r str,
    name: &'r str,
    operation: &'static str,
    object: &'r RawValue,
    old_object: &'r RawValue,
    dry_run: bool,
    options: Options<'r>,
}

#[derive(Serialize)]
struct GroupVersionKind<'r> {
    group: &'static str,
    version: &'r str,
    kind: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Options<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    field_manager: Option<&'r str>,
}

// === impl Request ===

impl Request<'_> {
    /// What both webhooks say to an apply that changes nothing.
    pub(super) fn foresee(&self, stored: &RawValue, settings: &Settings, facts: &Facts) -> Next {
        let mutated = self.ask(stored, stored, Endpoint::Mutate, settings, facts);
        if mutated.patch.is_empty() {
            let validated = self.ask(stored, stored, Endpoint::Validate, settings, facts);
            return if validated.decision == Decision::Denied {
                Next::of(validated)
            } else {
                Next::of(mutated)
            };
        }
        let before: Value = serde_json::from_str(stored.get()).expect("raw JSON is JSON");
        let mut after = before.clone();
        let patch = Patch(mutated.patch.clone());
        json_patch::patch(&mut after, &patch).expect("our patches fit the object that they are made for");
        let patched = RawValue::from_string(after.to_string()).expect("a value is JSON");
        let validated = self.ask(&patched, stored, Endpoint::Validate, settings, facts);
        if validated.decision == Decision::Denied {
            return Next::of(validated);
        }
        let changes = patch.0.iter().filter_map(|operation| Change::of(operation, &before)).collect();
        let patch = serde_json::to_value(&patch).expect("a patch is JSON");
        Next { patch: Some(patch), changes, ..Next::of(mutated) }
    }

    /// The rules by which either webhook denies a write of `new` over `stored`.
    pub(super) fn denied_by(
        &self,
        new: &RawValue,
        stored: &RawValue,
        settings: &Settings,
        facts: &Facts,
    ) -> Vec<&'static str> {
        let denies = |endpoint| {
            let foreseen = self.ask(new, stored, endpoint, settings, facts);
            (foreseen.decision == Decision::Denied).then_some(foreseen.rules)
        };
        denies(Endpoint::Mutate).or_else(|| denies(Endpoint::Validate)).unwrap_or_default()
    }

    fn ask(
        &self,
        object: &RawValue,
        old_object: &RawValue,
        endpoint: Endpoint,
        settings: &Settings,
        facts: &Facts,
    ) -> Foreseen {
        let Self { namespace, name, version, manager } = *self;
        let review = Review {
            api_version: "admission.k8s.io/v1",
            kind: "AdmissionReview",
            request: ReviewRequest {
                uid: "audit",
                kind: GroupVersionKind { group: HELM_GROUP, version, kind: "HelmRelease" },
                namespace,
                name,
                operation: "UPDATE",
                object,
                old_object,
                dry_run: true,
                options: Options { field_manager: manager },
            },
        };
        let body = serde_json::to_vec(&review).expect("a review is JSON");
        admission::foresee(&body, endpoint, settings, facts).expect("it is a review that can be answered")
    }
}

// === impl Next ===

impl Next {
    /// The API server itself refuses it.
    pub(super) fn refused(rule: &'static str, message: String) -> Self {
        Self { outcome: Outcome::Refused, rules: vec![rule], message, ..Self::default() }
    }

    /// Whether it passes, and nothing else.
    pub(super) fn in_short(&self) -> Self {
        Self { outcome: self.outcome, ..Self::default() }
    }

    fn of(foreseen: Foreseen) -> Self {
        let Foreseen { decision, rules, message, patch: _ } = foreseen;
        let outcome = match decision {
            Decision::Allowed => Outcome::Allowed,
            Decision::Patched => Outcome::Patched,
            Decision::Warned => Outcome::Warned,
            Decision::Denied => Outcome::Denied,
            Decision::Exempt | Decision::Skipped => Outcome::Skipped,
        };
        Self { outcome, rules, message, ..Self::default() }
    }
}

// === impl Outcome ===

impl Outcome {
    /// All of them, the worst first.
    pub const ALL: [Self; 6] =
        [Self::Refused, Self::Denied, Self::Patched, Self::Warned, Self::Allowed, Self::Skipped];

    /// As it is told.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Warned => "warned",
            Self::Patched => "patched",
            Self::Denied => "denied",
            Self::Refused => "refused",
            Self::Skipped => "skipped",
        }
    }
}

// === impl Change ===

impl Change {
    fn of(operation: &PatchOperation, before: &Value) -> Option<Self> {
        let (path, after) = match operation {
            PatchOperation::Add(add) => (add.path.as_str(), Some(add.value.clone())),
            PatchOperation::Replace(replace) => (replace.path.as_str(), Some(replace.value.clone())),
            PatchOperation::Remove(remove) => (remove.path.as_str(), None),
            PatchOperation::Move(_) | PatchOperation::Copy(_) | PatchOperation::Test(_) => return None,
        };
        Some(Self { field: crate::policy::field_path(path), before: before.pointer(path).cloned(), after })
    }
}
