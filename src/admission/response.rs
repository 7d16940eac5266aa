//! The AdmissionReview that goes out.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Serialize;

use super::denial::{self, Harmless, MAX_CAUSES};
use super::{Verdict, request::Review};
use crate::policy::{Finding, HELM_GROUP};

/// Room for the answer to a review that is allowed or patched. `serde_json` would begin with 128 bytes.
const USUAL_BYTES: usize = 512;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "AdmissionReview names it so")]
pub(super) struct Response<'v> {
    api_version: &'static str,
    kind: &'static str,
    response: Body<'v>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'v> {
    uid: &'v str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'v>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'v [String],
    audit_annotations: AuditAnnotations,
}

/// The API server puts the webhook's name before each key.
#[derive(Serialize)]
struct AuditAnnotations {
    mode: &'static str,
    decision: &'static str,
    /// Why the object is exempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    exempt: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    rules: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    patched: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the Kubernetes API names it so")]
struct Status<'v> {
    api_version: &'static str,
    kind: &'static str,
    status: &'static str,
    code: u16,
    reason: &'static str,
    message: Harmless,
    details: Details<'v>,
}

#[derive(Serialize)]
struct Details<'v> {
    group: &'static str,
    kind: &'static str,
    name: &'v str,
    causes: Vec<Cause>,
}

#[derive(Serialize)]
struct Cause {
    reason: &'static str,
    message: Harmless,
    field: Harmless,
}

// === impl Response ===

impl<'v> Response<'v> {
    pub(super) fn of(review: &'v Review<'_>, verdict: &'v Verdict, docs: Option<&str>) -> Self {
        let patch = (!verdict.patch.is_empty()).then(|| {
            let json = serde_json::to_vec(&verdict.patch).expect("a patch is made of JSON");
            BASE64_STANDARD.encode(json)
        });
        Self {
            api_version: review.protocol,
            kind: "AdmissionReview",
            response: Body {
                uid: &review.uid,
                allowed: verdict.denied.is_empty(),
                status: (!verdict.denied.is_empty()).then(|| Status::of(review, &verdict.denied, docs)),
                patch_type: patch.is_some().then_some("JSONPatch"),
                patch,
                warnings: &verdict.warnings,
                audit_annotations: AuditAnnotations::of(verdict),
            },
        }
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        let mut json = Vec::with_capacity(USUAL_BYTES);
        serde_json::to_writer(&mut json, self).expect("a response holds nothing that JSON cannot");
        json
    }
}

impl AuditAnnotations {
    fn of(verdict: &Verdict) -> Self {
        let mut rules: Vec<_> = verdict.findings.iter().map(|finding| finding.rule).collect();
        rules.dedup();
        Self {
            mode: verdict.mode.as_str(),
            decision: verdict.decision.as_str(),
            exempt: verdict.reason.clone(),
            rules: rules.join(","),
            patched: verdict.patched.join(","),
        }
    }
}

impl<'v> Status<'v> {
    /// All findings at once, as a 403 that is Forbidden: see [`denial`]. Code and reason are both set, as the API server (1.35)
    /// completes neither from the other.
    fn of(review: &'v Review<'_>, denied: &[Finding], docs: Option<&str>) -> Self {
        Self {
            api_version: "v1",
            kind: "Status",
            status: "Failure",
            code: 403,
            reason: "Forbidden",
            message: denial::message(denied, docs),
            details: Details {
                group: HELM_GROUP,
                kind: "HelmRelease",
                name: &review.name,
                causes: denied.iter().take(MAX_CAUSES).map(Cause::of).collect(),
            },
        }
    }
}

impl Cause {
    fn of(finding: &Finding) -> Self {
        let reason = if finding.policy { "FieldValueForbidden" } else { "FieldValueInvalid" };
        Self { reason, message: denial::cause(finding), field: Harmless::new(&finding.field()) }
    }
}
