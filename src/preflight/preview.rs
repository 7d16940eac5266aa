//! What the webhook would say and change, document by document.

use json_patch::Patch;
use serde_json::{Value, json};

use crate::{
    admission::{self, BadReview, Endpoint},
    policy::{Facts, HELM_GROUP, Settings},
    yaml::{self, Lines, Position},
};

/// What the webhook would answer to a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Preview {
    /// Whether it would pass, and changed how.
    pub verdict: Verdict,
    /// What it would say besides.
    pub warnings: Vec<String>,
}

/// Whether a document would pass.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// As it is.
    Allowed,
    /// With a change.
    Patched {
        /// The JSON Patch.
        patch: Value,
        /// The object after it.
        result: Value,
    },
    /// Not at all.
    Denied {
        /// What is wrong, why, and what to do.
        message: String,
    },
}

/// The documents of a YAML or JSON text, without the empty ones, as kubectl reads them. The error names line and column.
pub fn documents(text: &str) -> Result<Vec<Value>, String> {
    let documents = yaml::documents(text, 0).into_iter().map(|document| {
        let document = document.map_err(|error| {
            let Position { line, column } = Lines::of(text).position(error.offset);
            format!("line {line} column {column}: {error}")
        })?;
        Ok(document.to_json())
    });
    documents.collect()
}

/// Asks the webhook's own code about a HelmRelease, as if it were created, or about a captured AdmissionReview.
pub fn preview(document: &Value, settings: &Settings, facts: &Facts) -> Result<Preview, BadReview> {
    let review = if document["kind"] == "AdmissionReview" { document.clone() } else { created(document) };
    let body = serde_json::to_vec(&review).expect("a value is JSON");
    let answer = admission::review(&body, Endpoint::Mutate, settings, facts)?;
    let answer: Value = serde_json::from_slice(&answer.body).expect("an answer is JSON");
    let response = &answer["response"];
    let warnings = response["warnings"].as_array().into_iter().flatten();
    let warnings = warnings.filter_map(|warning| Some(warning.as_str()?.to_owned())).collect();
    let verdict = if response["allowed"] == false {
        Verdict::Denied { message: response["status"]["message"].as_str().unwrap_or_default().to_owned() }
    } else if let Some(patch) = response["patch"].as_str() {
        patched(patch, &review["request"]["object"])
    } else {
        Verdict::Allowed
    };
    Ok(Preview { verdict, warnings })
}

fn patched(encoded: &str, object: &Value) -> Verdict {
    let bytes = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, encoded).expect("we encoded it");
    let patch: Patch = serde_json::from_slice(&bytes).expect("we wrote it");
    let mut result = object.clone();
    json_patch::patch(&mut result, &patch).expect("our patches fit the object that they are made for");
    Verdict::Patched { patch: json!(patch), result }
}

/// The review that the API server would send for a new object. It names no version: that a request arrives proves that
/// its version is served, and a file proves nothing.
fn created(object: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "preview",
            "kind": {"group": HELM_GROUP, "version": "", "kind": "HelmRelease"},
            "name": object["metadata"]["name"], "namespace": object["metadata"]["namespace"],
            "operation": "CREATE", "object": object, "options": {"kind": "CreateOptions"},
        },
    })
}
