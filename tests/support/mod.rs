//! What the tests of the server share.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

pub mod cgroup;
pub mod process;

use chartgate::admission::{self, Answer, BadReview, Endpoint, Facts, Settings};
use chartgate::webhook::Judge;
use serde_json::json;

/// The judge of the program, with nothing configured.
#[derive(Default)]
pub struct Real {
    settings: Settings,
    facts: Facts,
}

impl Judge for Real {
    fn judge<'a>(&self, body: &'a [u8], endpoint: Endpoint) -> Result<Answer<'a>, BadReview> {
        admission::review(body, endpoint, &self.settings, &self.facts)
    }
}

/// A review of a release that sets both chart and chartRef.
pub fn both_set() -> String {
    review_with_note("")
}

/// The same review, made `bytes` long by an annotation.
pub fn review_of_size(bytes: usize) -> Vec<u8> {
    let empty = both_set().len();
    review_with_note(&"x".repeat(bytes - empty)).into()
}

fn review_with_note(note: &str) -> String {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "try-me",
            "kind": {"group": "helm.toolkit.fluxcd.io", "version": "v2", "kind": "HelmRelease"},
            "resource": {"group": "helm.toolkit.fluxcd.io", "version": "v2", "resource": "helmreleases"},
            "namespace": "default",
            "name": "podinfo",
            "operation": "CREATE",
            "userInfo": {"username": "you"},
            "object": {
                "apiVersion": "helm.toolkit.fluxcd.io/v2",
                "kind": "HelmRelease",
                "metadata": {"namespace": "default", "name": "podinfo", "annotations": {"note": note}},
                "spec": {
                    "interval": "10m",
                    "chart": {"spec": {"chart": "podinfo", "sourceRef": {"kind": "HelmRepository", "name": "podinfo"}}},
                    "chartRef": {"kind": "OCIRepository", "name": "podinfo"},
                },
            },
        },
    })
    .to_string()
}
